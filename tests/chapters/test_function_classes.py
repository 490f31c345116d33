"""What the chapter on function classes says of its runs: live ones, on both data, and recorded ones."""

import numpy as np
import pytest
import torch

from resnet_lib import experiments, nets, plots, probes
from resnet_lib.nets import deepen

NETS = ("residual-56", "residual-20", "plain-20")
GROWN = ["plain-20-to-56", "plain-8-to-56", "residual-20-to-56"]


@pytest.fixture(scope="module")
def runs(both_homes):
    """The runs of the chapter with their controls, and the trained net of 20 layers of each kind."""
    found = experiments.run("degradation", "quick", (0,), ["plain-20", "plain-56", "residual-20", "residual-56"])
    found += experiments.run("function_classes", "quick", (0,), GROWN)
    trained = {v: experiments.trained("degradation", "quick", v) for v in NETS}
    pictures = experiments.job("degradation", "quick", "plain-20").pictures.load()
    x = pictures.train_x.float() / 255
    return plots.by_variant(found), trained, x - x.mean(0)


def mean(runs, variant, step=192, field="train_error"):
    return 100 * np.mean([next(row[field] for row in r.rows if row["step"] == step) for r in runs[0][variant]])


@pytest.mark.slow
def test_what_one_live_seed_shows_with_every_processor(runs):
    """A live run differs by several points from one processor to the next; what is finer is in the records, below."""
    assert mean(runs, "plain-8-to-56") < mean(runs, "plain-56")
    assert abs(mean(runs, "residual-20-to-56") - mean(runs, "residual-20")) < 10
    assert mean(runs, "plain-56", field="train_error_eval") > mean(runs, "plain-20", field="train_error_eval") + 5


def test_the_recorded_runs_say_what_the_chapter_says():
    """Seed by seed: the same class begun at the identity trains much better, the deepened residual net keeps its gain,
    the deepened plain one loses some and stays ahead of the one that was deep from the start."""
    def at(variant, step):
        found = experiments.find("function_classes", "short", variant)
        assert [r.seed for r in found] == [0, 1, 2]
        return np.array([100 * row["train_error"] for r in found for row in r.rows if row["step"] == step])

    end = 1200
    assert (at("plain-8-to-56", end) < at("plain-56", end) - 15).all()
    assert (abs(at("residual-20-to-56", end) - at("residual-20", end)) < 3).all()
    assert (at("plain-20-to-56", 700) > at("plain-20-to-56", 600) + 5).all()
    assert (at("plain-20-to-56", 700) > at("plain-20", 700) + 5).all()
    assert (at("plain-20-to-56", end) < at("plain-56", end) - 10).all()


@pytest.mark.slow
@torch.no_grad()
def test_trained_nets_deepen_as_the_chapter_says(runs):
    _, trained, x = runs
    for name, exact in (("residual-20", True), ("plain-20", False)):
        net = trained[name]
        deep = deepen.deepen(net, 56, x[:512])
        for training in (False, True):  # in this order: training mode moves the statistics of evaluation mode
            a, b = net.train(training)(x[512:1024]), deep.train(training)(x[512:1024])
            assert torch.equal(a, b) == exact
            assert training or (a - b).norm() / a.norm() < 1e-4


@pytest.mark.slow
def test_residual_branches_are_smaller_in_the_deeper_net_and_do_not_all_shrink(runs):
    _, trained, x = runs
    ended = {v: probes.block_changes(trained[v], x[:256]) for v in ("residual-20", "residual-56", "plain-20")}
    median = {v: np.median([r["change"] for r in rows]) for v, rows in ended.items()}
    assert median["residual-56"] < median["residual-20"] < median["plain-20"]
    fresh = nets.cifar_resnet(56, width=8, in_channels=x.shape[1])
    nets.init_weights(fresh, "he", torch.Generator().manual_seed(0))
    begun = probes.block_changes(fresh, x[:256])
    assert any(b["branch"] > a["branch"] for a, b in zip(begun, ended["residual-56"], strict=True))
