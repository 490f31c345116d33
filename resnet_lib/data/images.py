"""`ImageSet`: a data set as uint8 tensors, its identity, subsets and other sizes."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_lib.data.sources import DataError
from resnet_lib.wording import TITLES

NAMES = ("mnist", "fashion_mnist", "cifar10", "digits")
TEN = tuple("0123456789")
CLASSES = {
    "mnist": TEN,
    "fashion_mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                      "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "digits": TEN,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Training and test pictures, uint8 (N, C, H, W), with labels, int64 (N,)."""

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]
    fallback: str | None = None  # the set that was asked for, where the digits stand in for it
    part: dict | None = None  # how a subset was drawn: {"n_train", "n_test", "seed"}
    origin: "ImageSet | None" = None  # the pictures before they were resized

    @property
    def title(self) -> str:
        """The set's name as prose spells it."""
        return TITLES[self.name]

    @cached_property
    def _sha256(self) -> str:
        digest = hashlib.sha256()
        for tensor in (self.train_x, self.train_y, self.test_x, self.test_y):
            array = tensor.cpu().contiguous().numpy()
            digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).data)
        return digest.hexdigest()

    def identity(self) -> dict:
        """What the pictures are, as plain JSON; sha256 runs over the four tensors' bytes, little-endian.

        Of resized pictures it is that of the originals, and only ``shape`` is theirs: 70,000 pictures
        need not be enlarged to know what a run is called.
        """
        return {"name": self.name, "n_train": len(self.train_x), "n_test": len(self.test_x),
                "shape": list(self.train_x.shape[1:]), "sha256": (self.origin or self)._sha256,
                "fallback": self.fallback, "subset": self.part}  # fmt: skip

    def resized_identity(self, size: int) -> dict:
        """``self.resize(size).identity()``, without resizing."""
        return self.identity() | {"shape": [self.train_x.shape[1], size, size]}

    def subset(self, n_train: int | None = None, n_test: int | None = None, seed: int = 0) -> "ImageSet":
        """The first n of a permutation drawn by ``seed``; None, or n >= the size, keeps all as they are.

        A smaller subset by the same seed is the beginning of a larger one. Classes are not balanced.
        """
        for n in (n_train, n_test):
            if n is not None and n < 1:
                raise DataError(f"a subset needs at least 1 picture (None keeps all), got {n}")
        generator, changes = torch.Generator().manual_seed(seed), {}
        for split, n in (("train", n_train), ("test", n_test)):
            x, y = getattr(self, split + "_x"), getattr(self, split + "_y")
            # drawn even where all is kept, so that n_train does not change which test pictures are chosen
            order = torch.randperm(len(y), generator=generator)
            if n is not None and n < len(y):
                changes |= {split + "_x": x[order[:n]], split + "_y": y[order[:n]]}
        if not changes:
            return self
        part = {"n_train": n_train if "train_y" in changes else None,
                "n_test": n_test if "test_y" in changes else None, "seed": seed}  # fmt: skip
        return replace(self, part=part | ({"of": self.part} if self.part else {}), origin=None, **changes)

    def resize(self, size: int) -> "ImageSet":
        """The same set with pictures of size x size."""
        if size < 1:
            raise DataError(f"pictures need a size of at least 1 pixel, got {size}")
        if self.train_x.shape[-2:] == (size, size):
            return self
        return replace(self, train_x=_resize(self.train_x, size), test_x=_resize(self.test_x, size), origin=self)

    def describe(self) -> str:
        """Prose: "CIFAR-10, 5,000 training and 2,000 test pictures at 16×16 (subset by seed 0)"."""
        height, width = self.train_x.shape[-2:]
        text = (f"{self.title}, {len(self.train_x):,} training and {len(self.test_x):,} test pictures "
                f"at {height}×{width}")  # fmt: skip
        notes = [f"subset by seed {self.part['seed']}"] if self.part else []
        if self.fallback:
            notes.append(f"standing in for {TITLES[self.fallback]}, which is not in data/")
        return text + (f" ({'; '.join(notes)})" if notes else "")


def _resize(x: Tensor, size: int) -> Tensor:
    """uint8 (N, C, H, W) -> uint8 (N, C, size, size), the same bytes on every machine.

    Shrinking by an integer factor takes the mean of each square, in integers; anything else is
    antialiased bilinear in float64. Both round to the nearest integer, halves up: the 1e-6 keeps exact
    halves, which are common here, from being decided by the last bit of the machine's arithmetic.
    """
    n, c, height, width = x.shape
    factor = height // size
    if height == width == factor * size:
        squares = x.reshape(n, c, size, factor, size, factor).sum((3, 5), dtype=torch.int32)
        return ((squares + factor**2 // 2) // factor**2).to(torch.uint8)
    pieces = []
    for piece in x.split(1000):  # float64 takes eight times the room
        resized = F.interpolate(piece.double(), size=(size, size), mode="bilinear", antialias=True)
        pieces.append(resized.add_(0.5 + 1e-6).to(torch.uint8))  # within 0..255: the conversion floors
    return torch.cat(pieces)
