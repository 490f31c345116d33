"""The implementation court: nets that are all called "ResNet-18", and what tells them apart from outside.

    found = differences(NETS["d2l"](), NETS["torchvision"]())   # what is observable, one line each
    transfer(theirs, ours)                                      # weights by name; what could not be matched
    gap(ours, theirs, x)                                        # how far their logits are apart

The nets are written from descriptions, with torchvision's names for their parts, so that one change can be seen
at a time; where a source differs in more than that, its docstring says so.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .. import nets
from ..blocks import BasicBlock
from ..nets.base import ResNet

PARTS = ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4", "fc")
KINDS = ("convolution weights", "convolution biases", "batch norm", "linear layer")


class EarlyReluBlock(BasicBlock):
    """relu(F(x)) + shortcut(x): the ReLU before the addition and none after it (He16 Fig. 4c).

    (N, c_in, H, W) -> (N, width, H / stride, W / stride), with exactly the layers of a `BasicBlock`.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x)) + self.shortcut(x)


def _stem(in_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)


def torchvision_resnet18(num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    """torchvision's own, with random weights; its stem is exchanged where ``in_channels`` is not 3."""
    import torchvision

    net = torchvision.models.resnet18(weights=None, num_classes=num_classes)
    if in_channels != 3:
        net.conv1 = _stem(in_channels)
    return net


def never_shrinking(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """Stride 2 in the very first block of the net and in no other; no max-pooling.

    At 224×224 the four stages put out 56×56. The first block needs a projection (+4,224 parameters). As in
    labml.ai's annotated ResNet (its issues 83, 136 and 205), whose net also has biases on all convolutions and no
    ReLU behind the stem; those are left out here.
    """
    return ResNet(_stem(in_channels), nets.resnet18_stages(strides=(2, 1, 1, 1)), 512, num_classes)


def forgotten_stride(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """Stem and pooling of the right net, and no stride in any stage: names, shapes and number of weights are right."""
    return ResNet(_stem(in_channels), nets.resnet18_stages(strides=(1, 1, 1, 1)), 512, num_classes, pool=True)


def small_stem(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """A 3×3 stem of stride 1 and no max-pooling, for pictures of 32×32; the four stages are as they should be.

    At 224×224 they put out 224, 112, 56, 28. As in pytorch-cifar, where other names stand for ``downsample`` and
    ``fc``, and the last pooling has a fixed window of 4×4.
    """
    return nets.cifar_resnet18(num_classes, in_channels, pool=False)


def early_relu(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ReLU before the addition in every block: the right layers, put together in another order."""
    return ResNet(_stem(in_channels), nets.resnet18_stages(EarlyReluBlock), 512, num_classes, pool=True)


# each maps (num_classes, in_channels) to a net: (N, in_channels, H, W) -> logits (N, num_classes)
NETS: dict[str, Callable[..., nn.Module]] = {
    "torchvision": torchvision_resnet18, "d2l": nets.d2l_resnet18, "never shrinking": never_shrinking,
    "small stem": small_stem}


# --- what can be observed -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """What a net shows from outside for one picture: names and shapes of its parameters, sizes of its maps, MACs."""

    shapes: dict[str, tuple[int, ...]]  # of each parameter and buffer, by name
    kinds: dict[str, int]  # numbers in parameters, by `KINDS`
    stages: dict[str, tuple[int, ...]]  # (C, H, W) after each of `PARTS`
    macs: int

    @property
    def parameters(self) -> int:
        return sum(self.kinds.values())


def kind_of(module: nn.Module, name: str) -> str:
    """Which of `KINDS` a parameter of a module belongs to; TypeError for a module that no ResNet has."""
    if isinstance(module, nn.Conv2d):
        return KINDS[0] if name == "weight" else KINDS[1]
    if isinstance(module, nn.BatchNorm2d):
        return KINDS[2]
    if isinstance(module, nn.Linear):
        return KINDS[3]
    raise TypeError(f"a parameter must belong to Conv2d, BatchNorm2d or Linear, got {type(module).__name__}")


def observe(net: nn.Module, shape: tuple[int, int, int] = (3, 224, 224)) -> Observed:
    """Look at a net with torchvision's names for its parts, with one picture of ``shape`` (C, H, W)."""
    kinds = dict.fromkeys(KINDS, 0)
    for module in net.modules():
        for name, parameter in module.named_parameters(recurse=False):
            kinds[kind_of(module, name)] += parameter.numel()
    cost = nets.cost(net, shape)
    return Observed({n: tuple(t.shape) for n, t in net.state_dict().items()}, kinds,
                    {n: s for n, s in cost.stages if n in PARTS}, cost.macs)


def differences(net: nn.Module, reference: nn.Module, shape: tuple[int, int, int] = (3, 224, 224)) -> list[str]:
    """How ``net`` differs from ``reference``, as far as can be seen without running numbers through them; [] if not.

    Both need the class count and channels of the other; the net's value stands before the reference's.
    """
    a, b = observe(net, shape), observe(reference, shape)
    found = [f"{kind}: {a.kinds[kind]:,}, not {b.kinds[kind]:,} ({a.kinds[kind] - b.kinds[kind]:+,})"
             for kind in KINDS if a.kinds[kind] != b.kinds[kind]]
    for words, names in (("has {n} tensors that the other lacks", a.shapes.keys() - b.shapes.keys()),
                         ("lacks {n} tensors that the other has", b.shapes.keys() - a.shapes.keys())):
        if names:
            found.append(f"{words.format(n=len(names))}, such as {min(names)}")
    found += [f"{name}: {list(a.shapes[name])}, not {list(b.shapes[name])}" for name in a.shapes
              if name in b.shapes and a.shapes[name] != b.shapes[name]]
    for part in PARTS:
        mine, theirs = a.stages.get(part), b.stages.get(part)
        if mine != theirs:
            found.append(f"after {part}: {_size(mine)}, not {_size(theirs)}")
    return found + ([f"MACs: {a.macs / b.macs:.3g} times as many"] if a.macs != b.macs else [])


def _size(shape: tuple[int, ...] | None) -> str:
    return "no such part" if shape is None else "×".join(map(str, shape))


# --- what only numbers show ---------------------------------------------------------------------------


def transfer(source: nn.Module, target: nn.Module) -> list[str]:
    """Copy every tensor that has the same name and shape in both, in place; the names that have no counterpart."""
    theirs, ours = source.state_dict(), target.state_dict()
    alike = {n: t for n, t in theirs.items() if n in ours and ours[n].shape == t.shape}
    target.load_state_dict(alike, strict=False)
    return sorted((theirs.keys() | ours.keys()) - alike.keys())


def stir_batch_norm(net: nn.Module, seed: int = 0) -> nn.Module:
    """Draw scale, shift and running statistics of every batch norm, in place.

    In a fresh net they are 1, 0, 0 and 1, which hides what is wrong with them or with their order.
    """
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.1, generator=g)
                m.running_var.uniform_(0.5, 2, generator=g)
                m.weight.uniform_(0.5, 1.5, generator=g)
                m.bias.normal_(0, 0.1, generator=g)
    return net


def gap(net: nn.Module, reference: nn.Module, x: Tensor) -> float:
    """Distance of the two nets' logits for pictures x (N, C, H, W), relative to the reference's; evaluation mode."""
    modes = net.training, reference.training
    with torch.no_grad():
        a, b = net.eval()(x), reference.eval()(x)
    net.train(modes[0]), reference.train(modes[1])
    return ((a - b).norm() / b.norm()).item()
