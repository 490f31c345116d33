"""What the chapter on degradation says of its own runs, on the data that lie here and on the digits."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from resnet_lib import experiments, plots

SEEDS = (0, 1, 2)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def records(both_homes):
    """The twelve runs; those of the first kind are shared with the book through the run store."""
    found = experiments.run("degradation", "quick", SEEDS, ["plain-20", "plain-56", "residual-20", "residual-56"])
    return plots.by_variant(found)


def mean(records, variant, field="train_error"):
    assert [r.seed for r in records[variant]] == list(SEEDS)
    return 100 * np.mean([r.final[field] for r in records[variant]])


def test_the_deeper_plain_net_trains_worse_and_the_addition_mends_it(records):
    # rounding, which differs between processors, moves these means by a few points
    assert mean(records, "plain-56") >= mean(records, "plain-20") + 5
    assert mean(records, "residual-56") <= mean(records, "plain-56") - 10


def test_it_is_not_overfitting(records):
    for field in ("train_error_eval", "test_error"):
        assert mean(records, "plain-56", field) >= mean(records, "plain-20", field) + 2


def test_residual_56_has_not_overtaken_residual_20_in_so_few_steps(records):
    assert mean(records, "residual-56") >= mean(records, "residual-20")


def test_gradients_explode_first_and_turn_over_soon(records):
    def ratio(variant, step, value="output_grad_norm"):  # first convolution by last, geometric mean over the seeds
        norms = [plots.layer_values(r, value, step) for r in records[variant]]
        return 10 ** np.mean([np.log10(n[0] / n[-2]) for n in norms])

    assert ratio("plain-56", 0) > 1e3 and ratio("plain-56", 8) < 1
    assert ratio("plain-56", 0) > 30 * max(ratio("plain-20", 0), ratio("residual-56", 0))
    free = {s: ratio("plain-56", s, "relative_grad") for s in (0, 1, 8)}
    assert free[0] > 100 and free[0] > 5 * free[1] and ratio("plain-56", 8) < free[8] < 1
    for variant in ("plain-20", "residual-56"):
        assert all(0.1 < ratio(variant, s, "relative_grad") < 10 for s in (0, 1, 8, 192))


def test_the_explosion_inflates_the_first_layers_weights(records):
    growth = {v: np.mean([r.probes[1]["weight_norm"][0] / r.probes[0]["weight_norm"][0] for r in records[v]])
              for v in ("plain-20", "plain-56")}
    assert growth["plain-56"] > 5 and growth["plain-20"] < 1.5


def test_batch_norm_stretches_the_gradient_by_what_the_page_says():
    """A wide chain of linear layers, batch norm and ReLU at random weights: sqrt(pi / (pi - 1)) a layer."""
    torch.manual_seed(0)
    layers, width = 24, 512
    x, outputs = torch.randn(1024, width), []
    for _ in range(layers):
        y = x @ torch.randn(width, width) / width ** 0.5
        y.requires_grad_() if not outputs else y.retain_grad()
        outputs.append(y)
        x = F.batch_norm(y, None, None, training=True).relu()
    (x * torch.randn_like(x)).sum().backward()
    norms = [y.grad.norm().item() * y.std().item() for y in outputs]  # the weights' scale taken out
    growth = (norms[0] / norms[-1]) ** (1 / (layers - 1))
    assert growth == pytest.approx(math.sqrt(math.pi / (math.pi - 1)), rel=0.02)
    assert round((math.pi / (math.pi - 1)) ** 27, -3) == 31_000
