"""Folding and rounding of nets: what they keep, and by how much a weight moves."""

import pytest
import torch
import torch.nn as nn

from conftest import randomize_batch_norm
from resnet_lib import nets
from resnet_lib.lab import quantize


@pytest.mark.parametrize("residual", [True, False])
def test_folding_keeps_the_function(residual):
    torch.manual_seed(0)
    net = nets.cifar_resnet(14, residual=residual, width=4, in_channels=1).double()
    randomize_batch_norm(net, affine=True)
    x = torch.randn(4, 1, 12, 12).double()
    bare = quantize.folded(net.eval()).double()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in bare.modules())
    assert torch.allclose(bare(x), net(x), rtol=1e-4, atol=1e-4)  # folded weights are float32


def test_rounding_is_to_the_nearest_of_255_levels():
    torch.manual_seed(0)
    w = torch.randn(5, 3, 3, 3) * torch.tensor([1e-3, 1, 50, 1, 0]).view(-1, 1, 1, 1)
    q, scale = quantize.int8(w)
    assert q.dtype == torch.int8 and q.abs().amax((1, 2, 3)).tolist() == [127] * 4 + [0]
    assert ((q * scale.view(-1, 1, 1, 1) - w).abs() <= scale.view(-1, 1, 1, 1) * 0.5001).all()
