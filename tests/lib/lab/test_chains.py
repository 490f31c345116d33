"""The chain of blocks: what is exact is compared exactly, the theory with measurements."""

import math

import pytest
import torch

from conftest import mostly_slow
from resnet_lib import blocks
from resnet_lib.lab import chains
from resnet_lib.nets import ablations


def batch(n=16, side=8, channels=3, dtype=torch.float64):
    g = torch.Generator().manual_seed(1)
    return torch.randn(n, channels, side, side, generator=g, dtype=dtype), torch.randint(0, 10, (n,), generator=g)


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_silent_branches_leave_the_power_of_the_scale(scale):
    norms, _ = chains.gradient_norms(chains.Chain("silent", length=20).double(), *batch(), scale)
    assert norms == pytest.approx([scale ** (20 - k) for k in range(21)], rel=1e-12)
    assert norms == pytest.approx(chains.predicted_gradients("silent", scale, 20), rel=1e-12)


@pytest.mark.parametrize("kind", ["sqrt", "norm"])
@pytest.mark.parametrize("scale", mostly_slow([0.5, 0.8, 1.0, 1.2, 1.5], 0.8, 1.2))
def test_theory_meets_measurement(kind, scale):
    """Fifty blocks: over some twenty orders of magnitude the two agree to a factor of ten (borders, narrow layers)."""
    norms, start = chains.gradient_norms(chains.Chain(kind).double(), *batch(32), scale)
    expected = chains.predicted_gradients(kind, scale, 50, start)
    assert abs(math.log(norms[0] / expected[0])) < math.log(10)


@pytest.mark.slow
def test_a_scaled_shortcut_starves_or_feeds_depending_on_the_branch():
    """The reversal in the chapter: at λ = 1/2 the gradient vanishes behind small branches, explodes with batch norm."""
    first = {k: chains.gradient_norms(chains.Chain(k).double(), *batch(32), 0.5)[0][0] for k in ("sqrt", "norm")}
    assert first["sqrt"] < 1e-12 and first["norm"] > 1e3


def test_states_are_the_blocks_of_the_library_and_the_scale_is_the_shortcuts():
    chain = chains.Chain("norm", length=3).double()
    x, _ = batch(4)
    states = chain.states(x)
    assert len(states) == 4 and torch.equal(states[1], chain.blocks[0](states[0]))
    h = chain.states(x, 0.3)[0]
    f = chain.blocks[0](h) - h
    assert torch.allclose(chain.states(x, 0.3)[1], 0.3 * h + f, atol=1e-12)
    assert isinstance(chain.blocks[0], blocks.PreActBlock)
    assert isinstance(chains.Chain("sqrt", 2).blocks[0], ablations.UnnormalizedBlock)


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="silent, sqrt, none, norm"):
        chains.Chain("batch")
