"""The official files of MNIST, Fashion-MNIST and CIFAR-10: what each must be, and reading them.

Files lie where torchvision keeps them, as they are or, for idx files, as .gz. Nothing is used before
its MD5 is right, and no file's content is ever run: CIFAR-10's pickles may name numpy arrays only.
"""

import gzip
import hashlib
import io
import os
import pickle
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resnet_lib.wording import TITLES


class DataError(ValueError):
    """A data set cannot be named, found, trusted, fetched or written."""


@dataclass(frozen=True)
class File:
    """A file by what it must be: its name, its size in bytes, its MD5."""

    name: str
    size: int
    md5: str


@dataclass(frozen=True)
class Source:
    """One data set: the unpacked files, the archives that hold them, the addresses they come from."""

    name: str
    folder: str  # below the data root, with torchvision's spelling
    files: tuple[File, ...]
    archives: tuple[File, ...]  # one .gz for each file, or a single .tar.gz with all of them
    mirrors: tuple[str, ...]  # base addresses, tried in this order


IDX = (("train-images-idx3-ubyte", 47_040_016), ("train-labels-idx1-ubyte", 60_008),
       ("t10k-images-idx3-ubyte", 7_840_016), ("t10k-labels-idx1-ubyte", 10_008))  # fmt: skip


def _files(md5s: Sequence[str]) -> tuple[File, ...]:
    return tuple(File(name, size, md5) for (name, size), md5 in zip(IDX, md5s, strict=True))


def _archives(sizes: Sequence[int], md5s: Sequence[str]) -> tuple[File, ...]:
    return tuple(File(n + ".gz", size, md5) for (n, _), size, md5 in zip(IDX, sizes, md5s, strict=True))


MOST_LOOKED_AT = 5_000  # files below data/, where a set is looked for that is not where it belongs
CIFAR_SPLITS = (tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",))

OFFICIAL = {
    "mnist": Source(
        "mnist", "MNIST/raw",
        _files(["6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624",
                "2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"]),
        _archives([9_912_422, 28_881, 1_648_877, 4_542],
                  ["f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432",
                   "9fb629c4189551a2d022fa330f9573f3", "ec29112dd5afa0611ce80d1b7f02629c"]),
        ("https://ossci-datasets.s3.amazonaws.com/mnist/",
         "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    ),
    "fashion_mnist": Source(
        "fashion_mnist", "FashionMNIST/raw",
        _files(["f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9",
                "8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"]),
        _archives([26_421_880, 29_515, 4_422_102, 5_148],
                  ["8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe",
                   "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310"]),
        ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"),
    ),
    "cifar10": Source(
        "cifar10", "cifar-10-batches-py",
        (File("data_batch_1", 31_035_704, "c99cafc152244af753f735de768cd75f"),
         File("data_batch_2", 31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
         File("data_batch_3", 31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
         File("data_batch_4", 31_035_696, "634d18415352ddfa80567beed471001a"),
         File("data_batch_5", 31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
         File("test_batch", 31_035_526, "40351d587109b95175f43aff81a1287e"),
         File("batches.meta", 158, "5ff9c542aee3614f3951f8cda6e48888")),
        (File("cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),),
        ("https://www.cs.toronto.edu/~kriz/",),
    ),
}  # fmt: skip


def find(source: Source, root: Path, want: File) -> tuple[Path, File] | None:
    """Where a file of the set lies below ``root``, and what it must be there: itself, its .gz, or None."""
    path = root / source.folder / want.name
    try:
        if path.exists():
            return path, want
        for archive in source.archives:
            packed = path.with_name(archive.name)
            if archive.name == want.name + ".gz" and packed.exists():
                return packed, archive
    except OSError as error:  # a folder of another user
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return None


def elsewhere(source: Source, root: Path) -> str | None:
    """What lies below ``root`` of a set none of whose files is where it belongs, and the way out; None if nothing does.

    Files count by what they hold, since MNIST and Fashion-MNIST have the same names; links that lead nowhere by name.
    """
    folder = root / source.folder
    others = [root / other.folder for other in OFFICIAL.values() if other is not source]
    known = {want.name: want for want in (*source.files, *source.archives)}
    for found in islice(root.rglob("*"), MOST_LOOKED_AT):
        want = known.get(found.name)
        if want is None or any(other in found.parents for other in others):
            continue
        if found.is_symlink() and not found.exists():
            return f"{found} is a link to {os.readlink(found)}, which is not there: mend the link, or delete it"
        if not found.is_file() or found.stat().st_size != want.size or _md5(found) != want.md5:
            continue
        if want in source.archives and found.parent == (root if want.name.endswith(".tar.gz") else folder):
            return f"{found} is there, but not unpacked: python -m resnet_lib data {source.name} unpacks it"
        return f"{found} is there, but belongs in {folder}: move it and the files beside it"
    return None


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read(source: Source, root: Path) -> list[Tensor]:
    """train_x, train_y, test_x, test_y of the set; raises DataError as read_files does."""
    content = read_files(source, root)
    if "test_batch" in content:
        return [t for batches in CIFAR_SPLITS for t in _batches([content[name] for name in batches])]
    return [_idx(content[f.name]) for f in source.files]


def read_files(source: Source, root: Path) -> dict[str, bytes]:
    """The set's files by name, their MD5 checked after reading: what is used is what was checked.

    Raises DataError for a missing, unreadable, truncated or altered file.
    """
    found = {want.name: find(source, root, want) for want in source.files}
    way_out = f"run `make data` or `python -m resnet_lib data {source.name}`"
    if missing := [name for name, place in found.items() if place is None]:
        raise DataError(f"{TITLES[source.name]} lacks {', '.join(missing)} in {root / source.folder}; {way_out}")
    content = {}
    for name, (path, want) in found.items():
        data = _checked(path, want, way_out)
        content[name] = data if want.name == name else gzip.decompress(data)
    return content


def _checked(path: Path, want: File, way_out: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if md5 == want.md5:
        return data
    fault = f"altered: its MD5 is {md5}, the official one is {want.md5}"
    if len(data) != want.size:
        kind = "truncated" if len(data) < want.size else "too long"
        fault = f"{kind}: {len(data):,} bytes instead of {want.size:,}"
    raise DataError(f"{path} is {fault}; {way_out} to fetch it again, or delete it")


def _idx(content: bytes) -> Tensor:
    """An idx file: images as uint8 (N, 1, H, W), labels as int64 (N,)."""
    shape = struct.unpack_from(f">{content[3]}I", content, 4)  # byte 3 counts the dimensions
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
    if array.ndim == 1:
        return torch.from_numpy(array.astype(np.int64))
    return torch.from_numpy(array.copy())[:, None]


# Python 2's names of numpy's parts, whatever module holds them now
ARRAY_PARTS = {("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
               ("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}  # fmt: skip


class _ArraysOnly(pickle.Unpickler):
    """Plain containers and numpy arrays; any other name that a pickle asks for is refused."""

    def find_class(self, module: str, name: str):
        try:
            return ARRAY_PARTS[module, name]
        except KeyError:
            raise DataError(f"a CIFAR-10 batch asks for {module}.{name}, which no data file needs") from None


def _batches(pickles: Sequence[bytes]) -> list[Tensor]:
    """CIFAR-10 batches one after another: pictures as uint8 (N, 3, 32, 32), labels as int64 (N,)."""
    batches = [_ArraysOnly(io.BytesIO(p), encoding="latin1").load() for p in pickles]
    pictures = np.concatenate([b["data"] for b in batches]).reshape(-1, 3, 32, 32)
    return [torch.from_numpy(pictures), torch.tensor([label for b in batches for label in b["labels"]])]
