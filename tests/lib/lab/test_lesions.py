"""Lesions against nets that are cut by hand, and the walk over all combinations against a loop."""

from itertools import product
import copy

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from conftest import randomize_batch_norm
from resnet_lib import nets
from resnet_lib.lab import lesions


def trained_like(residual, n=6):
    """A small net whose batch norms are not what they begin as, in evaluation mode."""
    torch.manual_seed(n)
    net = nets.cifar_resnet(14, residual=residual, width=4, in_channels=1)
    randomize_batch_norm(net, n, affine=True)
    return net.eval()


class Nothing(nn.Module):
    """A block that is gone."""

    def forward(self, x):
        return x


def test_an_intact_net_is_the_net():
    x = torch.randn(5, 1, 12, 12)
    for residual in (True, False):
        net = trained_like(residual)
        (kept, out), = lesions.walk(lesions.blocks(net), lesions.stem(net, x), [(True,)] * 6)
        assert kept == (True,) * 6 and torch.equal(lesions.head(net, out), net(x))


def test_a_plain_net_cannot_lose_a_block_that_changes_the_shape():
    assert [len(c) for c in lesions.choices(trained_like(False))] == [2, 2, 1, 2, 1, 2]
    assert [len(c) for c in lesions.choices(trained_like(True))] == [2] * 6
    assert lesions.swaps(trained_like(True)) == [(0, 1)]
    assert lesions.swaps(nets.cifar_resnet(20, width=4)) == [(0, 1), (0, 2), (1, 2), (4, 5), (7, 8)]


@pytest.mark.slow
@pytest.mark.parametrize("residual", [True, False])
def test_every_combination_is_the_net_with_its_blocks_cut_out_by_hand(residual):
    net, x = trained_like(residual), torch.randn(7, 1, 12, 12)
    found = lesions.answers(net, x, lesions.choices(net), batch=3)
    assert list(found) == list(product(*lesions.choices(net))) and len(found) == (64 if residual else 16)
    for kept, ours in found.items():
        cut = copy.deepcopy(net)
        for place, stays in enumerate(kept):
            stage, k = getattr(cut, f"layer{place // 2 + 1}"), place % 2
            if not stays and residual and place in (2, 4):  # by hand: every second pixel, zeros for new channels
                channels = stage[k].conv1.in_channels
                stage[k].residual = lambda y, c=channels: torch.zeros(len(y), 2 * c, y.shape[2] // 2, y.shape[3] // 2)
                stage[k].shortcut = lambda y, c=channels: torch.cat([y[:, :, ::2, ::2],
                                                                     torch.zeros_like(y[:, :, ::2, ::2])], 1)
            elif not stays:
                stage[k] = Nothing()
        assert torch.equal(ours, cut(x).argmax(1)), kept


def test_swapping_is_the_net_with_two_blocks_exchanged():
    net, x = trained_like(True), torch.randn(7, 1, 12, 12)
    by_hand = copy.deepcopy(net)
    by_hand.layer1[0], by_hand.layer1[1] = net.layer1[1], net.layer1[0]
    ours, = lesions.answers(net, x, [(True,)] * 6, lesions.swapped(net, 0, 1)).values()
    assert torch.equal(ours, by_hand(x).argmax(1)) and not torch.equal(by_hand(x), net(x))


def test_reestimated_statistics_are_those_of_training_mode():
    """On the pictures they come from, evaluation with them is training mode, but for the unbiased variance."""
    net, x = trained_like(True), torch.randn(64, 1, 12, 12)
    before = copy.deepcopy(net.state_dict())
    possible = lesions.choices(net)
    at = lesions.reestimated(net, x, possible)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items()) and not net.training
    kept = (True, False, True, True, False, True)
    (_, ours), = lesions.walk(lesions.blocks(net), lesions.stem(net, x), [(k,) for k in kept], at)
    y = lesions.stem(net, x)
    for block, stays in zip(copy.deepcopy(lesions.blocks(net)), kept, strict=True):
        y = block.train()(y) if stays else F.relu(block.shortcut(y))
    assert torch.allclose(ours, y, rtol=0.02, atol=0.02)
    (_, wrong), = lesions.walk(lesions.blocks(net), lesions.stem(net, x), [(k,) for k in kept])
    assert not torch.allclose(wrong, y, rtol=0.02, atol=0.02)
