"""Deeper nets that compute the same function: identity blocks put into a trained 6n + 2 net (Net2Net, 1511.05641).

A residual block with γ = 0 in its last batch norm adds nothing: relu(0 + x) = x for x ≥ 0, to the last bit and in
both modes. A plain block has to copy its input through two convolutions and two batch norms. That can be done in
evaluation mode up to rounding; in training mode a batch norm uses the batch's own statistics, and it is only near.
"""

import copy

import torch
import torch.nn as nn
from torch import Tensor

from .. import probes
from ..blocks import BasicBlock, PlainBlock
from .base import blocks_per_stage, init_weights


def deepen(net: nn.Module, depth: int, pictures: Tensor | None = None,
           generator: torch.Generator | None = None) -> nn.Module:
    """A copy of a plain or residual 6n + 2 net, ``depth`` layers deep, that computes the same function.

    ``pictures``: float ``(N, C, H, W)``, as the net wants them; needed for a plain net, to set its new batch norms.
    ``generator`` draws the first kernels of new residual branches. ValueError for nets that cannot be deepened so.
    """
    return grow(copy.deepcopy(net), depth, pictures, generator)


def grow(net: nn.Module, depth: int, pictures: Tensor | None = None,
         generator: torch.Generator | None = None) -> nn.Module:
    """What `deepen` does, in the net itself: its old layers, with their momentum, stay the same objects.

    New blocks follow the first block of each stage: that one changes the shape, so no identity can replace it, and
    its output has gone through a ReLU.
    """
    more = new_blocks(net, depth)
    if more == 0:
        return net
    plain = isinstance(net.layer1[0], PlainBlock)
    if plain and pictures is None:
        raise ValueError("a plain net needs pictures=…, float (N, C, H, W), to set its new batch norms")
    statistics = _statistics(net, pictures) if plain else [None] * net.stages
    for k in range(net.stages):
        stage = getattr(net, f"layer{k + 1}")
        old = stage[0].conv2.weight
        make = identity_plain if plain else identity_residual
        new = [make(old.shape[0], statistics[k] if plain else generator).to(old.device) for _ in range(more)]
        # in place, not a new nn.Sequential: hooks, and whoever holds the stage, see it grow
        blocks = [stage[0], *new, *stage[1:]]
        for i, block in enumerate(blocks):
            stage.add_module(str(i), block)
    net.spec = {**net.spec, "depth": depth}
    return net.train(net.training)


def new_blocks(net: nn.Module, depth: int) -> int:
    """How many blocks each stage needs to get from the net's depth to ``depth``; ValueError where that cannot be."""
    spec = getattr(net, "spec", {})
    if spec.get("name") != "cifar_resnet" or spec["block"] != "post" or not spec["norm"] or spec["shortcut"] == "C":
        raise ValueError("only nets of nets.cifar_resnet with block='post', norm=True and shortcut 'A' or 'B' can be "
                         "deepened")
    more = blocks_per_stage(depth) - blocks_per_stage(spec["depth"])
    if more < 0:
        raise ValueError(f"depth must be at least the net's own, {spec['depth']}, got {depth}")
    return more


def identity_residual(channels: int, generator: torch.Generator | None = None) -> BasicBlock:
    """A residual block that is the identity on x ≥ 0: random kernels, and γ = 0 in the last batch norm.

    Only γ is zero. With the kernel before it at zero as well, neither would ever get a gradient.
    """
    block = init_weights(BasicBlock(channels, channels), "he", generator)
    nn.init.zeros_(block.bn2.weight)
    return block


def identity_plain(channels: int, statistics: tuple[Tensor, Tensor]) -> PlainBlock:
    """A plain block that is the identity on x ≥ 0 in evaluation mode, up to rounding.

    Dirac kernels copy. A batch norm whose running statistics are m and v undoes itself with γ = √(v + ε), β = m;
    ``statistics``, per channel, are those of its input, so that it nearly does so in training mode too.
    """
    block = PlainBlock(channels, channels)
    for conv, bn in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        nn.init.dirac_(conv.weight)
        undo(bn, *statistics)
    return block


@torch.no_grad()
def undo(bn: nn.BatchNorm2d, mean: Tensor, var: Tensor) -> None:
    """Make a batch norm the identity in evaluation mode, given running statistics ``(C,)`` for it."""
    bn.running_mean.copy_(mean)
    bn.running_var.copy_(var)
    bn.weight.copy_((var + bn.eps).sqrt())
    bn.bias.copy_(mean)


@torch.no_grad()
def _statistics(net: nn.Module, pictures: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Mean and variance per channel after the first block of each stage, on this batch in training mode."""
    found = []

    def keep(_module, _inputs, out):
        found.append((out.mean((0, 2, 3)), out.var((0, 2, 3), correction=0)))

    handles = [getattr(net, f"layer{k + 1}")[0].register_forward_hook(keep) for k in range(net.stages)]
    try:
        with probes.undisturbed(net):  # the old batch norms keep their running statistics
            net.train()
            net(pictures)
    finally:
        for handle in handles:
            handle.remove()
    return found
