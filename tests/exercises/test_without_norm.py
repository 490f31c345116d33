"""The exercises of the chapter on life without batch norm: right answers, and the wrong ones that people give."""

import math

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib import nets
from resnet_lib.checks import check
from resnet_lib.exercises import without_norm
from resnet_lib.lab import chains
from . import right_answers, usual_mistakes


class SkipInit(nn.Module):
    def __init__(self, channels, begin=0.0, shape=(), bias=True):
        super().__init__()
        self.a = nn.Parameter(torch.full(shape, begin))
        self.last = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)

    def forward(self, x):
        return x + self.a * self.last(F.relu(self.first(F.relu(x))))


def other(forward=None, **how):
    class Changed(SkipInit):
        def __init__(self, channels):
            super().__init__(channels, **how)

    if forward:
        Changed.forward = forward
    return Changed


class Fixed(SkipInit):
    def __init__(self, channels):
        super().__init__(channels)
        del self.a
        self.a = torch.zeros(())


def other_growth(kind, formula):
    return lambda k, n: formula(n) if k == kind else without_norm.growth_of(k, n)


@pytest.mark.parametrize("answer, word", [
    ((1 + 1 / 54) ** 54, None), (2.694, None), (torch.tensor(2.6937), None),
    (math.e, "limit"), (2**54, "without the factor"), ((1 + 54**-0.5) ** 54, "square of it"),
    ((1 + 1 / 54) ** 27, "root"), ((1 + 1 / 110) ** 110, "counted layers"), (1 + 1 / 54, "one block"), (2, "added up"),
    (54, "repeat it L times"),
])
def test_the_growth(answer, word):
    verdict = check("without-norm-1", answer)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text


test_right_answers_pass = right_answers({
    "without-norm-2": SkipInit, "without-norm-3": without_norm.growth_of, "without-norm-4": 0.5})

test_usual_mistakes_are_named = usual_mistakes([
    ("without-norm-2", SkipInit(4), "Expected a class"),
    ("without-norm-2", other(begin=1.0), "a begins at zero"),
    ("without-norm-2", other(shape=(5, 1, 1)), "one number"),
    ("without-norm-2", other(bias=False), "with biases"),
    ("without-norm-2", Fixed, "nn.Parameter"),
    ("without-norm-2", other(lambda self, x: F.relu(SkipInit.forward(self, x))), "follows the addition"),
    ("without-norm-2", other(lambda self, x: x + self.a.detach() * self.last(F.relu(self.first(F.relu(x))))
                             + 0 * self.a), "no gradient"),
    ("without-norm-2", other(lambda self, x: x + self.a * self.last(F.relu(self.first(x)))), "first ReLU"),
    ("without-norm-2", other(lambda self, x: x + self.a * self.last(self.first(F.relu(x)))), "between"),
    ("without-norm-2", other(lambda self, x: x + self.a * self.last(F.relu(self.first(F.relu(x)))).tanh()), "0.7"),
    ("without-norm-2", other(lambda self, x: x.relu_() + self.a * self.last(F.relu(self.first(x)))), "in place"),
    ("without-norm-3", other_growth("none", lambda n: 1.0 + n), "it doubles"),
    ("without-norm-3", other_growth("none", lambda n: 2.0 * n), "make a power"),
    ("without-norm-3", other_growth("none", lambda n: math.sqrt(2.0**n)), "not its root"),
    ("without-norm-3", other_growth("sqrt", lambda n: 2.0), "made larger"),
    ("without-norm-3", other_growth("sqrt", lambda n: (1 + n**-0.5) ** n), "1/L of the mean square"),
    ("without-norm-3", other_growth("silent", lambda n: 0.0), "leave the stream"),
    ("without-norm-3", other_growth("norm", lambda n: 2.0**n), "however large"),
    ("without-norm-3", other_growth("norm", lambda n: float(n)), "still there"),
    ("without-norm-3", other_growth("norm", lambda n: 7.0), '"norm"'),
    ("without-norm-4", 0.25, "has three"), ("without-norm-4", 1 / 16, "1/L"), ("without-norm-4", 2, "smaller"),
    ("without-norm-4", 16 ** (-1 / 6), "exponent is"), ("without-norm-4", 48**-0.25, "not layers"),
])


@pytest.mark.parametrize("kind", without_norm.KINDS)
def test_the_growth_is_what_wide_chains_measure(kind):
    """Up to the zeros that a convolution reads at the border, a twentieth of its inputs here, twice in each block."""
    torch.manual_seed(0)
    x = torch.randn(8, 3, 24, 24, dtype=torch.float64)
    found = [chains.mean_squares(chains.Chain(kind, 4, 64, seed=s).double(), x) for s in range(2)]
    grown = sum(v[-1] / v[0] for v in found) / len(found)
    start = sum(v[0] for v in found) / len(found)
    want = without_norm.growth_of(kind, 4) if kind != "norm" else 1 + 4 / start
    assert grown**0.25 == pytest.approx(want**0.25, rel=0.12)  # by block


def test_skip_init_is_the_library_s_block():
    block = nets.build({"name": "unnormalized_resnet", "depth": 8, "remedy": "skipinit", "width": 4}).layer1[0]
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)
