"""Data sets as uint8 tensors, their identity, and augmentation of a whole batch in one operation.

    images = load("cifar10").subset(5000, 2000).resize(16)
    view = pad(images.train_x)                                   # once
    dy, dx, flip = draw_crops(len(images.train_x), 4, generator)  # once per epoch
    batch = crop_flip(view, index, dy[index], dx[index], flip[index], size=16)
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_lib.download import fetch_set
from resnet_lib.sources import OFFICIAL, DataError, find, read

NAMES = ("mnist", "fashion_mnist", "cifar10", "digits")
TITLES = {"digits": "scikit-learn digits"} | {name: source.title for name, source in OFFICIAL.items()}
TEN = tuple("0123456789")
CLASSES = {
    "mnist": TEN,
    "fashion_mnist": ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                      "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "digits": TEN,
}  # fmt: skip


def home() -> Path:
    """The folder that holds data/ and _build/: $RESNET_LIB_HOME, else the book's root, else here."""
    if chosen := os.environ.get("RESNET_LIB_HOME"):
        return Path(chosen)
    book = Path(__file__).resolve().parent.parent
    return book if (book / "_config.yml").exists() else Path.cwd()


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


# --- loading -------------------------------------------------------------------------------------


def load(name: str, root: str | Path | None = None, download: bool = False) -> ImageSet:
    """The whole set ``name`` from the official files below ``root`` (default: home()/"data").

    ``download=True`` first fetches what is missing or damaged. Raises DataError for an unknown name and
    for files that are missing, truncated or altered.
    """
    _check(name)
    if name == "digits":
        return _digits()
    if download:
        download_all([name], root)
    return ImageSet(name, *read(OFFICIAL[name], _root(root)), CLASSES[name])


def available(name: str, root: str | Path | None = None) -> bool:
    """Whether the set's files lie below ``root``, by their sizes; the digits always do."""
    _check(name)
    places = [] if name == "digits" else [find(OFFICIAL[name], _root(root), f) for f in OFFICIAL[name].files]
    return all(place and place[0].stat().st_size == place[1].size for place in places)


def state(name: str, root: str | Path | None = None) -> tuple:
    """What tells whether a set's files have changed: names, sizes and times of those that are there."""
    _check(name)
    if name == "digits":
        return ()
    folder = _root(root)
    found = [folder / OFFICIAL[name].folder / f.name for f in OFFICIAL[name].files]
    return tuple((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in found if p.exists())


def load_or_digits(name: str, root: str | Path | None = None) -> ImageSet:
    """The set, or the digits (with ``fallback=name``) where none of its files is there.

    Half a set, or a damaged one, is an error and not a reason to fall back: raises DataError as load does.
    """
    _check(name)
    if name != "digits" and not any(find(OFFICIAL[name], _root(root), f) for f in OFFICIAL[name].files):
        return replace(_digits(), fallback=name)
    return load(name, root)


def download_all(names: Sequence[str] = NAMES, root: str | Path | None = None,
                 mirrors: Mapping[str, Sequence[str]] | None = None, timeout: float = 20.0,
                 progress: bool = True) -> dict[str, bool]:  # fmt: skip
    """Fetch the named sets into ``root``; per name whether anything had to be written.

    ``mirrors``: base addresses by set name, instead of the official ones. Raises DataError.
    """
    for name in names:
        _check(name)
    fetched, mirrors = dict.fromkeys(names, False), mirrors or {}
    for name in fetched:
        if name != "digits":
            fetched[name] = fetch_set(OFFICIAL[name], _root(root), mirrors.get(name), timeout, progress)
    return fetched


def _check(name: str) -> None:
    if name not in NAMES:
        raise DataError(f"unknown data set {name!r}; there are {', '.join(NAMES)}")


def _root(root: str | Path | None) -> Path:
    return home() / "data" if root is None else Path(root)


def _digits() -> ImageSet:
    """1,437 training and 360 test pictures, 1x8x8: a permutation by seed 0, its first 1,437 for training.

    Ink 0..16 becomes 0..255 as (255 v + 8) // 16: 255 v / 16 to the nearest integer, halves up.
    """
    from sklearn.datasets import load_digits  # lazy: a second's import that only this set needs

    raw = load_digits()
    x = torch.from_numpy(raw.images).to(torch.int64)[:, None]
    x, y = ((255 * x + 8) // 16).to(torch.uint8), torch.from_numpy(raw.target).to(torch.int64)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    return ImageSet("digits", x[train], y[train], x[test], y[test], CLASSES["digits"])


# --- augmentation --------------------------------------------------------------------------------


def pixel_mean(x: Tensor) -> Tensor:
    """The mean picture of uint8 (N, C, H, W) as float32 (C, H, W) in [0, 1].

    The sum is exact, in integers (int32 holds 8 million pictures), so that no order of adding matters.
    """
    return (x.sum(0, dtype=torch.int32).double() / (255 * len(x))).float()


def pad(x: Tensor, padding: int = 4) -> Tensor:
    """Zeros around (N, C, H, W): (N, C, H + 2 padding, W + 2 padding), same dtype and device."""
    return F.pad(x, (padding,) * 4)


def crop_flip(padded: Tensor, index: Tensor, dy: Tensor, dx: Tensor, flip: Tensor, size: int) -> Tensor:
    """Pictures ``index`` (B,) of ``padded``, cut to (B, C, size, size) at (dy, dx), mirrored where ``flip``.

    dy, dx int64 (B,), flip bool (B,), all on the device of ``padded``. The unfolded view holds every
    window without copying one, so a batch of different crops is one gather. Given the padded mean
    picture and index 0, it cuts the mean as it cut the pictures: subtracting the two is exact.
    """
    crops = padded.unfold(2, size, 1).unfold(3, size, 1)[index, :, dy, dx]
    return torch.where(flip[:, None, None, None], crops.flip(-1), crops)


def draw_crops(n: int, padding: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """dy, dx in 0..2 padding (int64) and flip (bool) for n pictures, from a CPU generator: once per epoch."""
    dy, dx = (torch.randint(0, 2 * padding + 1, (n,), generator=generator) for _ in range(2))
    return dy, dx, torch.randint(0, 2, (n,), generator=generator).bool()
