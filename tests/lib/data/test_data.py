"""data and sources: the sets against torchvision and scikit-learn, resizing and crops against plain loops."""

import hashlib
import json
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision import datasets

from conftest import ROOT
from resnet_lib import data, files
from resnet_lib.data.sources import OFFICIAL

TORCHVISION = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "cifar10": datasets.CIFAR10}
# A change of these two moves every run on digits to another id: what draws the permutations has changed.
DIGITS_SHA256 = "7d210d064e5204d62824d9b6dd86303ee54c72770dec69cc47060e4bbd2d7ba9"
DIGITS_SUBSET_SHA256 = "b88d33b6dcaaf895aa2ff0d4eb5c63eee7cccd06d795dee5fd1ed606e0f2598a"
RESIZED_SHA256 = ["1d8a87cecee9b174", "a08dd94f06177be6", "1c655f435f40fea0"]  # to 4, 12 and 28


@pytest.fixture(scope="module")
def digits() -> data.ImageSet:
    return data.load("digits")


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


# --- the sets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TORCHVISION)
def test_equals_torchvision(name):
    ours = data.load_or_digits(name)  # a damaged set fails here
    if ours.fallback:
        pytest.skip(f"{data.TITLES[name]} is not in {files.home() / 'data'}: run `make data`")
    assert data.available(name)
    for train, x, y in ((True, ours.train_x, ours.train_y), (False, ours.test_x, ours.test_y)):
        theirs = TORCHVISION[name](files.home() / "data", train=train)
        expected = torch.as_tensor(theirs.data)
        expected = expected[:, None] if expected.ndim == 3 else expected.permute(0, 3, 1, 2)
        assert torch.equal(x, expected)
        assert torch.equal(y, torch.as_tensor(theirs.targets))
        assert (x.dtype, y.dtype, x.is_contiguous()) == (torch.uint8, torch.int64, True)
    if name != "mnist":  # torchvision spells MNIST's classes "0 - zero"
        assert ours.classes == tuple(theirs.classes)
    assert len(ours.classes) == 10


def test_table_agrees_with_torchvision():
    for name in ("mnist", "fashion_mnist"):
        theirs = TORCHVISION[name].resources
        assert {a.name: a.md5 for a in OFFICIAL[name].archives} == dict(theirs)
        assert OFFICIAL[name].folder == f"{TORCHVISION[name].__name__}/raw"
    cifar, meta = datasets.CIFAR10, datasets.CIFAR10.meta
    theirs = dict(cifar.train_list + cifar.test_list) | {meta["filename"]: meta["md5"]}
    assert {f.name: f.md5 for f in OFFICIAL["cifar10"].files} == theirs
    assert [(a.name, a.md5) for a in OFFICIAL["cifar10"].archives] == [(cifar.filename, cifar.tgz_md5)]
    assert OFFICIAL["cifar10"].folder == cifar.base_folder


def test_digits_are_all_of_sklearns(digits):
    raw = load_digits()
    # every picture once, with its label, in one of the two parts
    ours = [(x.numpy().tobytes(), int(y)) for part in ("train", "test")
            for x, y in zip(getattr(digits, part + "_x"), getattr(digits, part + "_y"), strict=True)]  # fmt: skip
    scaled = np.array([floor(Fraction(255 * v, 16) + Fraction(1, 2)) for v in range(17)], np.uint8)
    theirs = [(scaled[x.astype(int)].tobytes(), int(y)) for x, y in zip(raw.images, raw.target, strict=True)]
    assert sorted(ours) == sorted(theirs)
    assert ours != theirs  # shuffled: scikit-learn's order runs through the writers
    assert (len(digits.train_x), len(digits.test_x), digits.train_x.shape[1:]) == (1437, 360, (1, 8, 8))
    assert (scaled[0], scaled[8], scaled[16]) == (0, 128, 255)
    assert digits.identity()["sha256"] == DIGITS_SHA256


def test_load_or_digits(tmp_path, digits):
    stand_in = data.load_or_digits("cifar10", tmp_path)
    assert (stand_in.name, stand_in.fallback) == ("digits", "cifar10")
    assert torch.equal(stand_in.train_x, digits.train_x)
    assert stand_in.identity()["fallback"] == "cifar10"
    assert "standing in for CIFAR-10" in stand_in.subset(100).resize(16).describe()
    assert data.load_or_digits("digits", tmp_path).fallback is None
    assert not data.available("cifar10", tmp_path)
    assert data.available("digits", tmp_path)


def test_home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path / "elsewhere"))
    assert files.home() == tmp_path / "elsewhere"
    monkeypatch.setenv("RESNET_LIB_HOME", "~/runs")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.home() == tmp_path / "runs"
    monkeypatch.delenv("RESNET_LIB_HOME")
    monkeypatch.setattr(files, "BOOK", None)
    monkeypatch.chdir(tmp_path)
    assert files.home() == tmp_path
    monkeypatch.setattr(files, "BOOK", tmp_path / "book")
    assert files.home() == tmp_path / "book"


# --- identity and subsets ------------------------------------------------------------------------


def test_identity(digits):
    identity = digits.identity()
    assert json.loads(json.dumps(identity)) == identity
    content = b"".join(t.numpy().tobytes() for t in (digits.train_x, digits.train_y, digits.test_x, digits.test_y))
    assert identity["sha256"] == hashlib.sha256(content).hexdigest()
    assert identity | {"sha256": ""} == {
        "name": "digits", "n_train": 1437, "n_test": 360, "shape": [1, 8, 8], "sha256": "",
        "fallback": None, "subset": None}  # fmt: skip


@pytest.mark.parametrize("field", ["train_x", "train_y", "test_x", "test_y"])
def test_identity_sees_one_changed_value(digits, field):
    changed = getattr(digits, field).clone()
    changed.view(-1)[7] += 1
    fields = {k: getattr(digits, k) for k in ("train_x", "train_y", "test_x", "test_y")} | {field: changed}
    assert data.ImageSet("digits", **fields, classes=digits.classes).identity()["sha256"] != DIGITS_SHA256


def test_subset_draws_without_repeats_and_keeps_labels(digits):
    part = digits.subset(500, 100, seed=3)
    labelled = {(x.numpy().tobytes(), int(y)) for x, y in zip(digits.train_x, digits.train_y, strict=True)}
    drawn = [(x.numpy().tobytes(), int(y)) for x, y in zip(part.train_x, part.train_y, strict=True)]
    assert len(drawn) == len(set(drawn)) == 500
    assert set(drawn) <= labelled
    assert part.identity()["subset"] == {"n_train": 500, "n_test": 100, "seed": 3}


def test_subset_depends_on_the_seed_only(digits):
    part = digits.subset(500, 100, seed=3)
    assert torch.equal(part.train_x[:50], digits.subset(50, seed=3).train_x)  # nested
    assert torch.equal(part.test_x, digits.subset(n_test=100, seed=3).test_x)  # n_train does not matter
    assert not torch.equal(part.train_x, digits.subset(500, 100, seed=4).train_x)
    assert digits.subset(100, 50, seed=1).identity()["sha256"] == DIGITS_SUBSET_SHA256


def test_subset_of_everything_is_the_set_itself(digits):
    assert digits.subset() is digits
    assert digits.subset(10**6, 360, seed=5) is digits
    train_only = digits.subset(10)
    assert torch.equal(train_only.test_x, digits.test_x)
    assert train_only.part == {"n_train": 10, "n_test": None, "seed": 0}
    assert train_only.subset(5, seed=2).part["of"] == train_only.part


def test_describe(digits):
    assert digits.describe() == "scikit-learn’s digits, 1,437 training and 360 test pictures at 8×8"
    assert digits.subset(1000, 100, seed=7).resize(16).describe() == (
        "scikit-learn’s digits, 1,000 training and 100 test pictures at 16×16 (subset by seed 7)")  # fmt: skip


# --- resizing ------------------------------------------------------------------------------------


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def bilinear_weights(old: int, new: int) -> list[list[Fraction]]:
    """Row i: how much of each old pixel goes into new pixel i; a triangle as wide as the coarser grid."""
    scale = Fraction(old, new)
    support, rows = max(scale, Fraction(1)), []
    for i in range(new):
        center = (i + Fraction(1, 2)) * scale
        row = [max(Fraction(0), 1 - abs(j + Fraction(1, 2) - center) / support) for j in range(old)]
        rows.append([w / sum(row) for w in row])
    return rows


def resized(x: Tensor, size: int) -> Tensor:
    blank = torch.zeros(1, dtype=torch.int64)
    return data.ImageSet("digits", x, blank, x[:1], blank, ("0",)).resize(size).train_x


@pytest.mark.parametrize(("old", "new"), [(8, 16), (5, 7), (7, 5), (6, 4), (8, 12)])
def test_bilinear_is_exact(old, new):
    x, w = pictures(3, 2, old, old), bilinear_weights(old, new)
    expected = torch.empty(3, 2, new, new, dtype=torch.uint8)
    for n, c, i, j in np.ndindex(*expected.shape):
        pixels = x[n, c].tolist()
        expected[n, c, i, j] = half_up(sum(w[i][a] * w[j][b] * pixels[a][b]
                                           for a in range(old) for b in range(old) if w[i][a] and w[j][b]))  # fmt: skip
    assert torch.equal(resized(x, new), expected)


@pytest.mark.parametrize(("old", "new"), [(32, 16), (28, 14), (9, 3), (8, 1)])
def test_shrinking_by_a_factor_takes_means(old, new):
    x, k = pictures(3, 2, old, old), old // new
    expected = torch.empty(3, 2, new, new, dtype=torch.uint8)
    for n, c, i, j in np.ndindex(*expected.shape):
        square = x[n, c, i * k : (i + 1) * k, j * k : (j + 1) * k]
        expected[n, c, i, j] = half_up(Fraction(int(square.sum()), k * k))
    assert torch.equal(resized(x, new), expected)


def test_resize_keeps_range_and_everything_else(digits):
    part = digits.subset(20, 10)
    large = part.resize(16)
    assert part.resize(8).train_x is part.train_x
    assert (large.train_x.dtype, large.train_x.is_contiguous()) == (torch.uint8, True)
    assert large.identity()["shape"] == [1, 16, 16]
    assert large.identity() == part.resized_identity(16) == part.identity() | {"shape": [1, 16, 16]}
    again = large.subset(5, 5)  # a part of resized pictures is known by its own bytes
    assert again.identity()["sha256"] != part.subset(5, 5).identity()["sha256"]
    assert (large.part, large.train_y) == (part.part, part.train_y)
    white = torch.full((1, 1, 7, 7), 255, dtype=torch.uint8)
    for size in (1, 3, 5, 12, 28):
        assert set(resized(white, size).unique().tolist()) == {255}
        assert set(resized(white - 255, size).unique().tolist()) == {0}


def test_resized_bytes_are_those_of_the_recorded_runs(digits):
    """The id of a run names the originals and the size, so what resizing makes of them must not change."""
    digests = [hashlib.sha256(digits.resize(size).train_x.numpy().data).hexdigest()[:16] for size in (4, 12, 28)]
    assert digests == RESIZED_SHA256


def test_resize_across_pieces():
    x = pictures(2003, 1, 4, 4)
    assert torch.equal(resized(x, 6)[1990:], resized(x[1990:], 6))


# --- augmentation --------------------------------------------------------------------------------


def crop_one(picture: Tensor, dy: int, dx: int, flip: bool, padding: int) -> Tensor:
    """One picture the plain way: on a black canvas, cut out, mirrored."""
    c, h, w = picture.shape
    canvas = torch.zeros(c, h + 2 * padding, w + 2 * padding, dtype=picture.dtype)
    canvas[:, padding : padding + h, padding : padding + w] = picture
    crop = canvas[:, dy : dy + h, dx : dx + w]
    return torch.stack([crop[:, :, w - 1 - k] for k in range(w)], dim=2) if flip else crop


@pytest.mark.parametrize(("channels", "size", "padding"), [(3, 32, 4), (1, 8, 2), (1, 28, 0)])
def test_crops_equal_the_loop(channels, size, padding):
    x, generator = pictures(50, channels, size, size), torch.Generator().manual_seed(1)
    index = torch.randint(0, 50, (200,), generator=generator)  # repeats, as across epochs
    dy, dx, flip = data.draw_crops(200, padding, generator)
    batch = data.crop_flip(data.pad(x, padding), index, dy, dx, flip, size)
    expected = torch.stack([crop_one(x[i], y, z, f, padding) for i, y, z, f in
                            zip(index.tolist(), dy.tolist(), dx.tolist(), flip.tolist(), strict=True)])  # fmt: skip
    assert torch.equal(batch, expected)
    assert (batch.dtype, batch.is_contiguous()) == (torch.uint8, True)


def test_mean_subtraction_on_crops_is_exact():
    """Crop uint8 and mean alike, then subtract = subtract the mean picture first, then pad and crop."""
    x, padding = pictures(40, 3, 32, 32), 4
    mean, generator = data.pixel_mean(x), torch.Generator().manual_seed(2)
    index, (dy, dx, flip) = torch.arange(40), data.draw_crops(40, padding, generator)
    crops = data.crop_flip(data.pad(x, padding), index, dy, dx, flip, 32).float() / 255
    means = data.crop_flip(data.pad(mean[None], padding), torch.zeros_like(index), dy, dx, flip, 32)
    centered = x.float() / 255 - mean
    expected = torch.stack([crop_one(centered[i], int(dy[i]), int(dx[i]), bool(flip[i]), padding)
                            for i in range(40)])  # fmt: skip
    assert torch.equal(crops - means, expected)


def test_draw_crops_covers_its_range_evenly():
    dy, dx, flip = data.draw_crops(90_000, 4, torch.Generator().manual_seed(0))
    for offsets in (dy, dx):
        counts = offsets.bincount()
        assert len(counts) == 9  # 0..8
        assert (counts - 10_000).abs().max() < 500  # 5 standard deviations
    assert abs(int(flip.sum()) - 45_000) < 750
    assert not torch.equal(dy, dx)
    again = data.draw_crops(90_000, 4, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip((dy, dx, flip), again, strict=True))


def test_pixel_mean():
    x = pictures(200_000, 2, 5, 5) | 128  # sums beyond 2**24: float32 would lose count
    mean, total = data.pixel_mean(x), x.numpy().sum(0, dtype=np.uint64).ravel().tolist()
    expected = [np.float32(float(Fraction(v, 255 * 200_000))) for v in total]
    assert (mean.dtype, mean.shape) == (torch.float32, (2, 5, 5))
    assert mean.view(-1).tolist() == expected


def test_data_readme_lists_every_file():
    text = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for source in OFFICIAL.values():
        for f in (*source.files, *source.archives):
            folder = "" if f.name.endswith(".tar.gz") else source.folder + "/"
            assert f"| `{folder}{f.name}` | {f.size:,} | `{f.md5}` |" in text
