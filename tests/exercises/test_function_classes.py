"""Exercises of the chapter on function classes: the right answer, and the wrong ones that people give."""

import copy

import pytest
import torch
from torch import nn

from resnet_lib import experiments
from resnet_lib.blocks import BasicBlock
from resnet_lib.checks import check


def identity(kernel=nn.init.dirac_, gamma=lambda bn: (bn.running_var + bn.eps).sqrt(), beta=lambda bn: bn.running_mean):
    @torch.no_grad()
    def answer(block):
        for conv, bn in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            kernel(conv.weight)
            bn.weight.copy_(gamma(bn))
            bn.bias.copy_(beta(bn))
        return block
    return answer


def center_everywhere(w):
    nn.init.zeros_(w)
    w[:, :, 1, 1] = 1


def test_a_plain_block_as_identity():
    assert check("function-classes-1", identity())


@pytest.mark.parametrize("answer, hint", [
    (identity(kernel=nn.init.zeros_, beta=lambda bn: bn.running_mean * 0), "zero everywhere"),
    (identity(kernel=center_everywhere), "copy its own channel only"),
    (identity(kernel=nn.init.ones_), "adds up all input channels"),
    (identity(kernel=lambda w: None), "does not copy its input"),
    (identity(gamma=lambda bn: bn.running_var), "a division by a root"),
    (identity(gamma=lambda bn: bn.running_var.sqrt()), "ε is not negligible"),
    (identity(beta=lambda bn: 0 * bn.running_mean), "still subtracted"),
    (identity(gamma=lambda bn: torch.ones_like(bn.running_var), beta=lambda bn: 0 * bn.running_mean),
     "still subtracts"),
    (identity(beta=lambda bn: -bn.running_mean), "still subtracted"),
], ids=range(9))
def test_what_a_plain_block_lacks(answer, hint):
    verdict = check("function-classes-1", answer)
    assert not verdict and hint in str(verdict)


def test_statistics_are_not_to_be_reset():
    @torch.no_grad()
    def answer(block):
        block.bn2.reset_parameters()
        return identity()(block)
    assert "come from data" in str(check("function-classes-1", answer))


def deepened(at=1, zero=("bn2",), kept=True):
    def answer(net, more):
        net = copy.deepcopy(net) if kept else net
        for stage in (net.layer1, net.layer2, net.layer3):
            channels = stage[0].conv2.out_channels
            for _ in range(more):
                block = BasicBlock(channels, channels)
                for name in zero:
                    nn.init.zeros_(getattr(block, name).weight)
                stage.insert(at, block)
        return net
    return answer


def test_deepening():
    assert check("function-classes-3", deepened())


@pytest.mark.parametrize("answer, hint", [
    (deepened(at=0), "where the old channels and the new ones meet"),
    (deepened(zero=("bn1", "bn2")), "a gradient of exactly zero"),
    (deepened(zero=("bn2", "conv2")), "a gradient of exactly zero"),
    (deepened(zero=()), "computes something else"),
    (deepened(zero=("bn1",)), "something else|exactly zero"),
    (deepened(kept=False), "compares it with itself"),
    (lambda net, more: copy.deepcopy(net), "four blocks each"),
    (lambda net, more: 3, "Return the deeper net"),
], ids=range(8))
def test_faults_of_deepening(answer, hint):
    verdict = check("function-classes-3", answer)
    assert not verdict and any(h in str(verdict) for h in hint.split("|")), str(verdict)


@pytest.mark.slow
def test_reading_the_record(live_home):
    record = experiments.run("function_classes", "quick", (0,), ["plain-20-to-56"])[0]
    rows = {row["step"]: row for row in record.rows}
    rise = {f: 100 * (rows[120][f] - rows[96][f]) for f in ("train_error", "test_error")}
    assert check("function-classes-4", rise["train_error"])
    assert "training error" in str(check("function-classes-4", rise["test_error"]))
    assert not check("function-classes-4", rise["train_error"] + 2)
