"""Muon against a singular value decomposition, torch.optim.Muon, and torch.optim.SGD."""

import pytest
import torch

from resnet_lib import nets
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run
from resnet_lib.train.optim import Muon, orthogonalize
from conftest import toy_images


@pytest.mark.parametrize("shape", [(16, 144), (32, 9), (20, 20)])
def test_orthogonalize_keeps_the_singular_vectors_and_pulls_their_values_to_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    turned = u.mT @ orthogonalize(matrix) @ vh.mT
    values = turned.diagonal()
    assert (turned - values.diag()).abs().max() < 1e-9
    # what starts at a hundredth of the largest or less needs more rounds than five
    assert values[s > s.sum() / 100].min() > 0.6 and values.max() < 1.3
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def weights_after(make, shape, steps=6):
    """A weight's values after a few steps along given gradients."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.nn.Parameter(torch.randn(shape, generator=generator))
    optimizer = make([weight])
    for _ in range(steps):
        weight.grad = torch.randn(shape, generator=generator)
        optimizer.step()
    return weight.detach()


def test_a_kernel_moves_as_torchs_muon_moves_the_matrix():
    options = {"lr": 0.02, "momentum": 0.6, "weight_decay": 0.5}
    kernel = weights_after(lambda p: Muon(p, **options), (8, 4, 3, 3))
    matrix = weights_after(lambda p: torch.optim.Muon(p, **options), (8, 36))
    start = weights_after(lambda p: Muon(p, **options), (8, 4, 3, 3), steps=0)
    moved, theirs = (kernel - start).flatten(1), matrix - start.flatten(1)
    assert (moved - theirs).norm() < 0.01 * theirs.norm(), "torch computes in bfloat16: eight bits"


@pytest.mark.parametrize("shape", [(10, 16), (16,)])
def test_all_other_weights_move_as_with_nesterovs_momentum(shape):
    options = {"lr": 0.02, "momentum": 0.6, "weight_decay": 0.5}
    ours = weights_after(lambda p: Muon(p, **options), shape)
    theirs = weights_after(lambda p: torch.optim.SGD(p, nesterov=True, **options), shape)
    assert torch.allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_a_weight_without_a_gradient_stays():
    weight = torch.nn.Parameter(torch.ones(2, 2, 3, 3))
    Muon([weight], lr=1.0).step()
    assert torch.equal(weight, torch.ones(2, 2, 3, 3))


def test_memory_layout_changes_only_rounding():
    def trained(channels_last):
        recipe = Recipe(steps=3, batch=32, optimizer="muon", lr=0.05, momentum=0.6, drops=(), eval_every=3)
        execution = Execution(device="cpu", channels_last=channels_last)
        return list(Run(nets.cifar_resnet(8, width=4), toy_images(), recipe, execution))[-1]["train_loss"]
    assert trained(True) == pytest.approx(trained(False), rel=1e-4)
