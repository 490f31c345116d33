"""What the chapter on bottlenecks says, where it could be wrong: what a block sees, and what the trap does."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import blocks, data, nets, train
from resnet_lib.experiments.reference import QUICK


def reached(path, side=8):
    x = torch.randn(1, 16, side, side, requires_grad=True)
    out = path(x)
    (out * torch.randn(out.shape)).sum().backward()
    return x.grad[0].abs().sum(0) > 0


def test_which_pixels_reach_a_strided_block():
    torch.manual_seed(0)
    every_second = torch.zeros(8, 8, dtype=torch.bool)
    every_second[::2, ::2] = True
    paper, ours = (blocks.Bottleneck(16, 32, 2, stride_in=s).eval() for s in ("1x1", "3x3"))
    for path in (paper.residual, paper.shortcut, paper, ours.shortcut):
        assert torch.equal(reached(path), every_second)
    assert reached(ours.residual).all() and reached(ours).all()
    assert reached(blocks.BasicBlock(16, 32, 2).eval()).all()
    pooled = torch.nn.Sequential(torch.nn.AvgPool2d(2), blocks.conv1x1(16, 64))  # the shortcut of ResNet-D
    assert reached(pooled).all()


def test_the_branch_sees_as_many_directions_as_its_3x3_has_channels():
    torch.manual_seed(0)
    block = blocks.Bottleneck(64, 16).eval().double()
    unseen = torch.linalg.svd(block.conv1.weight[:, :, 0, 0])[2][16:]  # (48, 64)
    x = torch.randn(1, 64, 6, 6, dtype=torch.double)
    v = torch.einsum("kc,khw->chw", unseen, torch.randn(48, 6, 6, dtype=torch.double))
    with torch.no_grad():
        assert torch.allclose(block.residual(x + v), block.residual(x))
        assert not torch.allclose(block.residual(x + torch.randn_like(v)), block.residual(x), rtol=0.1)
        out = block.residual(x)[0].flatten(1).T
    assert torch.linalg.matrix_rank(out - out.mean(0), tol=1e-9) <= 16


@pytest.mark.slow
def test_weights_for_another_stride_load_and_ruin_the_net():
    digits = data.load("digits").resize(12)
    net, twin = (nets.cifar_bottleneck(20, width=8, in_channels=1, stride_in=s) for s in ("3x3", "1x1"))
    run = train.Run(net, digits, replace(QUICK, steps=96, probe_steps=()), train.Execution(device="cpu", threads=1))
    row = list(run)[-1]
    twin.load_state_dict(net.state_dict(), strict=True)
    x = (digits.test_x.float() - digits.train_x.float().mean(0)) / 255

    def error(model):
        with torch.no_grad():
            return (model.eval()(x).argmax(1) != digits.test_y).float().mean().item()

    assert error(net) == pytest.approx(row["test_error"], abs=0.005)  # the preprocessing of the page is training's
    assert error(net) < 0.2 and error(twin) > error(net) + 0.1
    probe = F.pad(torch.linspace(-1, 1, 4 * 100).reshape(4, 1, 10, 10), (1, 1, 1, 1))
    with torch.no_grad():
        assert not torch.allclose(net(probe), twin(probe), atol=1e-3)
