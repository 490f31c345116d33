"""Data sets by name: from the official files, or the digits that come with scikit-learn."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from resnet_lib.data.download import fetch_set
from resnet_lib.data.images import CLASSES, NAMES, ImageSet
from resnet_lib.data.sources import OFFICIAL, DataError, elsewhere, find, read
from resnet_lib.files import home
from resnet_lib.wording import TITLES


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

    Half a set, a damaged one, or one that lies elsewhere in data/ is an error and not a reason to fall back: raises
    DataError as load does.
    """
    _check(name)
    if name != "digits" and not any(find(OFFICIAL[name], _root(root), f) for f in OFFICIAL[name].files):
        if found := elsewhere(OFFICIAL[name], _root(root)):
            raise DataError(f"{TITLES[name]} is not in {_root(root) / OFFICIAL[name].folder}, and the digits shall not "
                            f"stand in for it: {found}")
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
