"""The data files of the chapter "Why it works": their shape, and a part of each computed again."""

from statistics import fmean, stdev

import pytest
import torch
import torch.nn.functional as F

from conftest import ROOT
from resnet_lib import data, experiments
from resnet_lib.lab import accounts as lab

import accounts as tool


def test_they_say_where_they_come_from_and_took_less_than_five_minutes():
    both = [lab.results(name) for name in ("shattered", "surfaces")]
    assert sum(found["seconds"] for found in both) < 300
    for found in both:
        said = lab.origin(found)
        assert found["threads"] == 1 and found["versions"]["torch"] in said and found["date"] in said
    assert all(path.stat().st_size < 20_000 for path in (ROOT / "data" / "accounts").iterdir())


def test_every_kind_depth_and_plane_is_there():
    shattered, surfaces = lab.results("shattered"), lab.results("surfaces")
    assert tuple(shattered["depths"]) == tool.DEPTHS and shattered["draws"] == tool.DRAWS >= 20
    assert list(shattered["kinds"]) == list(lab.KINDS)
    for found in shattered["kinds"].values():
        assert all(len(found[name]) == len(tool.DEPTHS) for name in ("neighbors", "all pairs"))
    n = len(surfaces["offsets"])
    assert (surfaces["offsets"][0], surfaces["offsets"][n // 2], surfaces["offsets"][-1]) == (-1, 0, 1)
    for net in surfaces["nets"].values():
        assert [len(net[mode]) for mode in ("running", "batch")] == [1, 2]
        assert all(len(row) == n for mode in ("running", "batch") for plane in net[mode] for row in plane)


def test_the_band_is_student_s():
    mean, half = tool.mean_and_band([1.0, 2.0, 3.0, 6.0])
    assert mean == 3 and half == pytest.approx(3.18245 * stdev([1, 2, 3, 6]) / 2, rel=1e-4)


def test_the_recording_with_few_draws():
    few = tool.shattered(depths=(2, 3), draws=3, width=30)
    points = torch.linspace(-2, 2, tool.POINTS)
    for kind, found in few["kinds"].items():
        drawn = [lab.correlation(lab.input_gradients(kind, 3, points, 30, seed), 1) for seed in range(3)]
        assert found["neighbors"][1][0] == pytest.approx(fmean(drawn), abs=1e-5)


def test_shallow_nets_computed_again():
    held, points = lab.results("shattered"), torch.linspace(-2, 2, tool.POINTS)
    for kind in ("plain", "residual"):
        drawn = [lab.correlation(lab.input_gradients(kind, 2, points, held["width"], seed))
                 for seed in range(held["draws"])]
        assert held["kinds"][kind]["all pairs"][0][0] == pytest.approx(fmean(drawn), abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(not data.available("cifar10"), reason="CIFAR-10 is not in data/")
def test_a_corner_of_a_plane_computed_again():
    """With a net trained here, whose sums another processor rounds otherwise: the residual net's loss to a tenth."""
    held = lab.results("surfaces")
    pictures = experiments.job("degradation", "quick", "residual-56").pictures.load()
    x = pictures.train_x.float() / 255
    x, y = (x - x.mean(0))[:held["pictures"]], pictures.train_y[:held["pictures"]]
    net = experiments.trained("degradation", "quick", "residual-56").train()
    directions = tuple(lab.filter_direction(net, seed) for seed in tool.PLANES[0])
    rows = lab.surface(lambda: F.cross_entropy(net(x), y).item(), net, directions, (0.0, 0.5))
    plane, places = held["nets"]["residual-56"]["batch"][0], [held["offsets"].index(v) for v in (0.0, 0.5)]
    for a, row in zip(places, rows, strict=True):
        assert row == pytest.approx([plane[a][b] for b in places], rel=0.1)
