"""A run's pictures on its device: the plan of an epoch, and the batches that it stands for."""

import math

import torch
from torch import Tensor

from .. import data
from ..recipe import Recipe

PADDING = {"crop_flip": 4, "flip": 0}  # 4: He15 §4.2
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of red, green, blue in [0, 1]


class Batches:
    """``batches(plan)`` gives pictures (n, C, H, W) and labels (n), as the recipe normalizes and augments them.

    Everything goes to the device once, as uint8. ``n`` training pictures are trained on; what `Recipe.validation`
    holds back lies behind them in ``train_x``.
    """

    def __init__(self, images: data.ImageSet, recipe: Recipe, device: torch.device, layout: torch.memory_format):
        def there(tensor: Tensor) -> Tensor:
            return (tensor.clone() if tensor.is_inference() else tensor).to(device)  # no gradient may meet such

        self.recipe, self.device, self.layout = recipe, device, layout
        self.n = round(len(images.train_y) * (1 - recipe.validation))
        self.per_epoch = math.ceil(self.n / recipe.batch)
        mean, std = torch.zeros(images.train_x.shape[1:]), None
        if recipe.normalize == "pixel_mean":
            mean = data.pixel_mean(images.train_x[: self.n])
        elif recipe.normalize in ("channel", "imagenet"):
            of = IMAGENET if recipe.normalize == "imagenet" else data.channels(images.train_x[: self.n])
            mean, std = (torch.tensor(v)[:, None, None].expand(images.train_x.shape[1:]) for v in of)
        self.mean, self.std = mean.to(device), None if std is None else std.to(device)
        self.train_x, self.train_y = there(images.train_x), there(images.train_y)
        self.test_x, self.test_y = there(images.test_x), there(images.test_y)
        if recipe.augment != "none":  # the mean picture is padded like the pictures
            padding = PADDING[recipe.augment]
            self._padded = data.pad(self.train_x[: self.n], padding)
            self._padded_mean = data.pad(self.mean[None], padding)

    def normalize(self, x: Tensor, mean: Tensor | None = None) -> Tensor:
        """uint8 pictures (n, C, H, W) -> float32 as the recipe wants them; ``mean``: one for each, cropped alike."""
        if self.recipe.normalize == "raw":
            return x.to(torch.float32, memory_format=self.layout)
        x = x.to(torch.float32) / 255
        x = x * 2 - 1 if self.recipe.normalize == "symmetric" else x - (self.mean if mean is None else mean)
        if self.std is not None:
            x = x / self.std
        return x.contiguous(memory_format=self.layout)

    def draw(self, generator: torch.Generator) -> None:
        """The plan of one epoch, drawn on the CPU in one go: a row of indices, with crops also dy, dx and flip."""
        order = torch.randperm(self.n, generator=generator) if self.recipe.shuffle else torch.arange(self.n)
        padding = PADDING.get(self.recipe.augment)
        crops = () if padding is None else data.draw_crops(self.n, padding, generator)
        self.plan = torch.stack([order, *(t.to(torch.int64) for t in crops)]).to(self.device)  # (1 or 4, n)

    def stretch(self, step: int) -> Tensor:
        """The part of the epoch's plan that belongs to a step: (1 or 4, batch), fewer in an epoch's last step."""
        start = step % self.per_epoch * self.recipe.batch
        return self.plan[:, start: start + self.recipe.batch]

    def __call__(self, plan: Tensor) -> tuple[Tensor, Tensor]:
        index = plan[0]
        if self.recipe.augment == "none":
            return self.normalize(self.train_x[index]), self.train_y[index]
        _, dy, dx, flip = plan
        size = self.train_x.shape[-1]
        x = data.crop_flip(self._padded, index, dy, dx, flip.bool(), size)
        # padding the mean with zeros, like the pictures, is the same as padding after the subtraction
        mean = data.crop_flip(self._padded_mean, torch.zeros_like(index), dy, dx, flip.bool(), size)
        return self.normalize(x, mean), self.train_y[index]
