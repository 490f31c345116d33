"""Signals through random layers, against closed forms and against nets of torch."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_lib import data, experiments, plots
from resnet_lib.lab import signals
from conftest import mostly_slow


@pytest.fixture(scope="module")
def pictures():
    return signals.batch(data.load("digits").resize(12), 8)


def test_a_passage_is_what_torch_computes_for_a_net_with_these_weights(pictures):
    p = signals.passage(pictures, 2.0, layers=3, width=4, seed=5)
    generator = torch.Generator().manual_seed(5)
    convs = [nn.Conv2d(c, 4, 3, padding=1, bias=False) for c in (pictures.shape[1], 4, 4)]
    for conv in convs:
        conv.weight.data = torch.randn(conv.weight.shape, generator=generator) * math.sqrt(2 / (9 * conv.in_channels))
    y1 = convs[0](pictures)
    y2 = convs[1](F.relu(y1))
    y3 = convs[2](F.relu(y2))
    noise = torch.randn(y3.shape, generator=generator)
    gradients = torch.autograd.grad((y3 * noise).sum(), (y1, y2, y3))
    for ours, theirs in ((p.forward, (y1, y2, y3)), (p.backward, gradients)):
        torch.testing.assert_close(ours, torch.stack([t.detach().double().square().mean() for t in theirs]), rtol=1e-4,
                                   atol=0)


@pytest.mark.parametrize("padding", signals.PADDINGS)
@pytest.mark.parametrize("slope", mostly_slow([0.0, 0.5], 0.0))
def test_the_mean_over_many_draws_is_the_expected_one(pictures, padding, slope):
    many = [signals.passage(pictures, 2.0, 3, 16, seed, padding, slope=slope) for seed in range(150)]
    ideal = signals.expected(pictures, 2.0, 3, padding, slope)
    for field in ("forward", "backward"):
        values = torch.stack([getattr(p, field) for p in many]) / getattr(ideal, field)
        error = values.std(0) / len(many) ** 0.5
        assert ((values.mean(0) - 1).abs() < 4 * error + 0.01).all(), (field, values.mean(0), error)


def test_with_circular_padding_the_expected_passage_is_the_formula(pictures):
    p = signals.expected(pictures, 1.0, 11, "circular")
    assert p.forward[-1] / p.forward[0] == pytest.approx(0.5**10)
    assert p.backward[0] / p.backward[-1] == pytest.approx(0.5**10)
    q = signals.expected(pictures, 2 / (1 + 0.3**2), 11, "circular", slope=0.3)
    assert q.forward[-1] / q.forward[0] == pytest.approx(1)


def test_the_gain_multiplies_by_its_power(pictures):
    """ReLU nets without biases are homogeneous: this holds for each draw, not only for the mean."""
    he, xavier = (signals.passage(pictures, g, 12, 8, seed=1) for g in (2.0, 1.0))
    torch.testing.assert_close(xavier.forward / he.forward, 0.5 ** torch.arange(1, 13).double(), rtol=1e-3, atol=0)
    torch.testing.assert_close(xavier.backward / he.backward, 0.5 ** torch.arange(11, -1, -1).double(), rtol=1e-3,
                               atol=0)


@pytest.mark.parametrize("size", [4, 8, 12])
def test_the_border_factor_is_the_limit_of_the_map(size):
    p = signals.expected(torch.rand(1, 1, size, size), 2.0, layers=8 * size)
    assert float(p.forward[-1] / p.forward[-2]) == pytest.approx(signals.border_factor(size), rel=1e-3)
    matrix = torch.eye(size, dtype=torch.float64)
    for k in (-1, 1):
        matrix += torch.diag(torch.ones(size - 1, dtype=torch.float64), k)
    assert float(torch.linalg.eigvalsh(matrix / 3).max()) ** 2 == pytest.approx(signals.border_factor(size))


@pytest.mark.slow
def test_narrow_nets_scatter_more_and_their_typical_signal_is_smaller(pictures):
    logs = {w: torch.stack([(p.forward[-1] / p.forward[0]).log() for p in (
        signals.passage(pictures, 2.0, 30, w, seed, "circular") for seed in range(20))]) for w in (4, 32)}
    assert logs[4].std() > 1.5 * logs[32].std() and logs[4].mean() < logs[32].mean() < 0.5


def test_batch_norm_holds_the_signal_and_multiplies_the_gradient(pictures):
    x = signals.batch(data.load("digits").resize(12), 32)
    grown = {}
    for gain in (1.0, 2.0):
        p = signals.passage(x, gain, 20, 32, norm=True)
        grown[gain] = float(p.backward[0] / p.backward[-1]) ** (1 / 19)
        assert 0.3 < p.forward[-1] / p.forward[1] < 3
    assert grown[1.0] == pytest.approx(grown[2.0], rel=0.15)  # only the first layer's gradient knows its gain
    assert 1.3 < grown[2.0] < 1.7  # π / (π - 1) = 1.47


def test_faults_are_named(pictures):
    with pytest.raises(ValueError, match="zeros, circular"):
        signals.passage(pictures, 2.0, padding="same")
    with pytest.raises(ValueError, match="positive"):
        signals.passage(pictures, 0.0)


@pytest.mark.slow
def test_what_the_chapter_says_of_the_short_runs(both_homes):
    """At 20 layers a He net starts (on the digits one of two) and no Xavier net does; with batch norm both do."""
    records = plots.by_variant(experiments.run("initialization", "quick", None))
    errors = {v: [r.final["train_error"] for r in rs] for v, rs in records.items()}
    assert any(e < 0.85 for e in errors["he-20"])
    assert all(e > 0.85 for v in ("xavier-20", "xavier-20-lr0.2") for e in errors[v])
    assert errors["he-20-norm"][0] < 0.85 and errors["xavier-20-norm"][0] < 0.85
    assert errors["he-8"][0] < errors["xavier-8"][0]
    gradients = {v: plots.layer_values(rs[0], "weight_grad_norm", 0)[:-1].mean() for v, rs in records.items()}
    assert gradients["xavier-20"] < gradients["he-20"] / 30  # what the initialization does before any step
    assert gradients["xavier-20-norm"] == pytest.approx(gradients["he-20-norm"], rel=2)
