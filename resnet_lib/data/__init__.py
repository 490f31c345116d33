"""Data sets as uint8 tensors, their identity, and augmentation of a whole batch in one operation.

    images = load("cifar10").subset(5000, 2000).resize(16)
    view = pad(images.train_x)                                   # once
    dy, dx, flip = draw_crops(len(images.train_x), 4, generator)  # once per epoch
    batch = crop_flip(view, index, dy[index], dx[index], flip[index], size=16)
"""

from ..wording import TITLES
from .augmentation import channels, crop_flip, draw_crops, pad, pixel_mean
from .images import CLASSES, NAMES, ImageSet
from .loading import available, download_all, load, load_or_digits, state
from .sources import DataError

__all__ = ["CLASSES", "NAMES", "TITLES", "DataError", "ImageSet", "available", "channels", "crop_flip",
           "download_all", "draw_crops", "load", "load_or_digits", "pad", "pixel_mean", "state"]
