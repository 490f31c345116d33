"""Trained nets with blocks taken out or swapped (Veit et al. 2016, 1605.06431): every combination of a net's blocks.

For the 6n + 2 nets of He15, `nets.cifar_resnet` with ``block="post"`` and batch norm. No net is changed.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
import copy
import json

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..files import recorded

Kept = tuple[bool, ...]  # for each block, first to last, whether it is still there
At = Callable[[nn.Module, Kept], nn.Module]  # what stands for a block after this combination of the blocks before it


def blocks(net: nn.Module) -> list[nn.Module]:
    """All blocks, first to last."""
    return [block for k in range(1, net.stages + 1) for block in getattr(net, f"layer{k}")]


def keeps_shape(block: nn.Module) -> bool:
    """Whether a block's output has the shape of its input."""
    return block.conv1.stride == (1, 1) and block.conv1.in_channels == block.conv2.out_channels


def choices(net: nn.Module) -> list[tuple[bool, ...]]:
    """For each block what is possible: a plain one that changes the shape must stay, all others may go."""
    return [(False, True) if keeps_shape(b) or b.downsample is not None else (True,) for b in blocks(net)]


def swaps(net: nn.Module) -> list[tuple[int, int]]:
    """Pairs of blocks, counted from 0, that can change places: equal shapes, both of input and of output."""
    shapes = [(b.conv1.in_channels, b.conv2.out_channels, b.conv1.stride) for b in blocks(net)]
    return [(i, j) for i, j in combinations(range(len(shapes)), 2) if shapes[i] == shapes[j]]


def swapped(net: nn.Module, i: int, j: int) -> list[nn.Module]:
    """The blocks with two of them in each other's place."""
    order = blocks(net)
    order[i], order[j] = order[j], order[i]
    return order


def without(block: nn.Module, x: Tensor) -> Tensor:
    """What is left of a block whose branch is taken out: relu(shortcut(x)); in a plain net x itself, as x >= 0."""
    return F.relu(block.shortcut(x))


def stem(net: nn.Module, x: Tensor) -> Tensor:
    """(N, C, H, W) as the net wants it -> what enters the first block."""
    return F.relu(net.bn1(net.conv1(x)))


def head(net: nn.Module, x: Tensor) -> Tensor:
    """What leaves the last block -> logits (N, classes)."""
    return net.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def as_trained(block: nn.Module, _before: Kept) -> nn.Module:
    """The block as it is: running statistics of the intact net."""
    return block


def walk(order: Sequence[nn.Module], x: Tensor, possible: Sequence[tuple[bool, ...]], at: At = as_trained,
         kept: Kept = ()) -> Iterator[tuple[Kept, Tensor]]:
    """Each combination of ``possible`` choices with what leaves the last block.

    What combinations have in common is computed once: 9 blocks cost 511 block passes instead of 2,304.
    """
    if len(kept) == len(order):
        yield kept, x
        return
    block = order[len(kept)]
    for stays in possible[len(kept)]:
        out = at(block, kept)(x) if stays else without(block, x)
        yield from walk(order, out, possible, at, (*kept, stays))


@torch.no_grad()
def answers(net: nn.Module, x: Tensor, possible: Sequence[tuple[bool, ...]], order: Sequence[nn.Module] | None = None,
            at: At = as_trained, batch: int = 1000) -> dict[Kept, Tensor]:
    """The class that each lesioned net gives each picture of x (N, C, H, W), normalized: int64 (N,) by combination."""
    found: dict[Kept, list[Tensor]] = {}
    for part in x.split(batch):
        for kept, out in walk(order or blocks(net), stem(net, part), possible, at):
            found.setdefault(kept, []).append(head(net, out).argmax(1))
    return {kept: torch.cat(parts) for kept, parts in found.items()}


@torch.no_grad()
def reestimated(net: nn.Module, x: Tensor, possible: Sequence[tuple[bool, ...]],
                order: Sequence[nn.Module] | None = None) -> At:
    """Blocks whose batch norms have the statistics of pictures x after each lesion, for `answers`.

    The control that tells statistics that no longer fit from a function that is lost: weights, γ and β stay. x is one
    batch in training mode, so that each layer is measured behind layers that are already corrected.
    """
    found: dict[Kept, nn.Module] = {}

    def measured(block: nn.Module, before: Kept) -> nn.Module:
        found[before] = copy.deepcopy(block).train()
        for m in found[before].modules():
            if isinstance(m, nn.BatchNorm2d):
                m.reset_running_stats()
                m.momentum = None  # a plain mean over batches; there is one
        return found[before]

    for _ in walk(order or blocks(net), stem(net, x), possible, measured):
        pass
    for block in found.values():
        block.eval()
    return lambda _block, before: found[before]


# --- what tools/lesions.py has written down ---------------------------------------------------------------


def results(name: str = "clothes") -> dict:
    """A data file of the lesion lab: all combinations for two nets ("clothes"), or single lesions of all ("seeds")."""
    return json.loads(recorded("lesions", f"{name}.json").read_text(encoding="utf-8"))


def right(found: dict, kind: str, gone: Sequence[int] = (), again: bool = False) -> float:
    """The share of right answers of the net ``kind`` without the blocks ``gone``, counted from 1.

    ``again``: with batch norm statistics measured anew. ValueError for a block that cannot go.
    """
    net = found["nets"][kind]
    place = sum(2 ** net["free"].index(number - 1) for number in gone)
    return (net["again"][place] if again else sum(net["correct"][10 * place:10 * place + 10])) / found["n"]


def exchanged(found: dict, kind: str, pair: tuple[int, int], again: bool = False) -> float:
    """The share of right answers with two blocks, counted from 1, in each other's place."""
    swap = next(s for s in found["nets"][kind]["swaps"] if s["pair"] == [pair[0] - 1, pair[1] - 1])
    return (swap["again"][0] if again else sum(swap["correct"])) / found["n"]
