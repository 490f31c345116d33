"""Residual nets with one thing changed: the shortcut, the batch norm, or an operation that works in place.

`tampered_resnet` is He16 Table 1, `unnormalized_resnet` what stands in for batch norm, `relu_first_resnet` the
block in which ``ReLU(inplace=True)`` overwrites the shortcut. All are 6n + 2 nets with shortcuts A where the shape
changes. What an initialization needs beyond drawn weights is done in ``after_draw`` (base.init_weights).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..blocks import BasicBlock, conv1x1, conv3x3, make_shortcut
from .base import ResNet, blocks_per_stage, cifar_stages, finish

TAMPERINGS = ("scaled", "scaled-both", "exclusive", "gated", "dropout-0.5", "conv")
REMEDIES = ("none", "zero", "zero-live", "skipinit", "sqrt", "fixup")


class TamperedBlock(BasicBlock):
    """relu(a(x)·F(x) + b(x)·shortcut(x)): the shortcuts of He16 Figure 2, ReLU after the addition as there.

    ``kind``, with s the shortcut's value and g = sigmoid(W s + gate_bias), W a 1×1 convolution:
    "scaled": F + s/2; "scaled-both": F/2 + s/2; "exclusive": g·F + (1 − g)·s; "gated": F + (1 − g)·s;
    "dropout-0.5": F + dropout(s), half of it; "conv": F + a 1×1 convolution with batch norm (option C).
    In blocks that change the shape g reads s, which option A has brought to the new shape; the paper does not say.
    """

    def __init__(self, c_in: int, width: int, stride: int = 1, kind: str = "scaled", gate_bias: float = 0.0):
        super().__init__(c_in, width, stride, shortcut="C" if kind == "conv" else "A")
        self.kind, self.gate_bias = kind, gate_bias
        self.gate = conv1x1(width, width, bias=True) if kind in ("exclusive", "gated") else None

    def after_draw(self) -> None:
        if self.gate is not None:
            self.gate.bias.fill_(self.gate_bias)

    def forward(self, x: Tensor) -> Tensor:
        s, f = self.shortcut(x), self.residual(x)
        if self.gate is not None:
            g = torch.sigmoid(self.gate(s))
            s, f = (1 - g) * s, g * f if self.kind == "exclusive" else f
        elif self.kind in ("scaled", "scaled-both"):
            s, f = s / 2, f / 2 if self.kind == "scaled-both" else f
        elif self.kind == "dropout-0.5":
            s = F.dropout(s, 0.5, self.training)
        return F.relu(f + s)


class Scalar(nn.Module):
    """One learned number for all channels and positions, added or multiplied; ``start`` is its first value."""

    def __init__(self, start: float, multiply: bool = False):
        super().__init__()
        self.start, self.multiply = start, multiply
        self.value = nn.Parameter(torch.tensor(float(start)))

    def after_draw(self) -> None:
        self.value.fill_(self.start)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value if self.multiply else x + self.value


class UnnormalizedBlock(nn.Module):
    """x + a·F(x) without batch norm, F = relu-conv-relu-conv, ``length`` the number L of blocks in the net.

    ``remedy``: "none": a = 1. "zero": the last convolution begins at zero. The channels that shortcut A appends are
    then zero on both ways, and as ReLU's slope at zero is zero, nothing behind them ever gets them a gradient;
    "zero-live" leaves the blocks that append channels as drawn. "skipinit": a is learned and begins at zero (De &
    Smith 2020). "sqrt": a = 1/√L, fixed. "fixup" (Zhang et al. 2019, with m = 2 layers a branch): the first
    convolution drawn L^(-1/(2m-2)) = 1/√L times smaller, the last one zero, a learned from 1, and a scalar bias
    before every convolution and ReLU instead of one for each channel after it.
    ``inplace`` lets the first ReLU overwrite its input, which is the bug of the chapter: x is then relu(x).
    """

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, remedy: str = "none", length: int = 1,
                 inplace: bool = False):
        super().__init__()
        fixup = remedy == "fixup"
        self.remedy, self.length, self.inplace = remedy, length, inplace
        self.before = nn.ModuleList(Scalar(0) if fixup else nn.Identity() for _ in range(4))
        self.conv1 = conv3x3(c_in, width, stride, bias=not fixup)
        self.conv2 = conv3x3(width, width, bias=not fixup)
        learned = {"skipinit": 0.0, "fixup": 1.0}
        self.scale = Scalar(learned[remedy], multiply=True) if remedy in learned else nn.Identity()
        self.factor = length**-0.5 if remedy == "sqrt" else 1.0
        self.downsample = make_shortcut("A", c_in, width, stride, norm=False)

    def after_draw(self) -> None:
        if self.remedy == "fixup":
            self.conv1.weight.mul_(self.length**-0.5)
        if self.remedy in ("zero", "fixup") or (self.remedy == "zero-live" and self.downsample is None):
            self.conv2.weight.zero_()

    def residual(self, x: Tensor) -> Tensor:
        """F(x), times what the remedy multiplies it with."""
        b = self.before
        x = self.conv1(b[1](F.relu(b[0](x), inplace=self.inplace)))
        return self.factor * self.scale(self.conv2(b[3](F.relu(b[2](x)))))

    def forward(self, x: Tensor) -> Tensor:
        f = self.residual(x)
        return f + (x if self.downsample is None else self.downsample(x))


class ReluFirstBlock(nn.Module):
    """F(x) + shortcut(x), F = relu-conv-bn-relu-conv-bn: "ReLU-only pre-activation" (He16 Fig. 4d).

    With ``inplace`` the first ReLU overwrites x before the shortcut is taken.
    """

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, inplace: bool = False):
        super().__init__()
        self.relu = nn.ReLU(inplace=inplace)
        self.conv1 = conv3x3(c_in, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = make_shortcut("A", c_in, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        f = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(self.relu(x))))))
        return f + (x if self.downsample is None else self.downsample(x))


def tampered_resnet(depth: int, kind: str, gate_bias: float = 0.0, width: int = 16, in_channels: int = 3,
                    num_classes: int = 10) -> ResNet:
    """The 6n + 2 net with another shortcut in every block (He16 Table 1); see `TamperedBlock`."""
    if kind not in TAMPERINGS:
        raise ValueError(f"kind must be one of {', '.join(TAMPERINGS)}, got {kind!r}")
    stages = cifar_stages(TamperedBlock, depth, width, kind=kind, gate_bias=gate_bias)
    return finish(ResNet(conv3x3(in_channels, width), stages, 4 * width, num_classes), "tampered_resnet", depth=depth,
                  kind=kind, gate_bias=gate_bias, width=width, in_channels=in_channels, num_classes=num_classes)


def unnormalized_resnet(depth: int, remedy: str = "none", inplace: bool = False, width: int = 16, in_channels: int = 3,
                        num_classes: int = 10) -> ResNet:
    """The 6n + 2 net with identity after the addition and no batch norm; see `UnnormalizedBlock`.

    Fixup's zero also goes to the last layer, and a scalar bias before the last ReLU (one before the linear layer would
    add nothing to the bias that it has).
    """
    if remedy not in REMEDIES:
        raise ValueError(f"remedy must be one of {', '.join(REMEDIES)}, got {remedy!r}")
    fixup = remedy == "fixup"
    stages = cifar_stages(UnnormalizedBlock, depth, width, remedy=remedy, length=3 * blocks_per_stage(depth),
                     inplace=inplace)
    net = ResNet(conv3x3(in_channels, width, bias=not fixup), stages, 4 * width, num_classes, pre_activation=True)
    net.tail = Scalar(0) if fixup else nn.Identity()
    if fixup:
        net.fc = ZeroLinear(4 * width, num_classes)
    return finish(net, "unnormalized_resnet", depth=depth, remedy=remedy, inplace=inplace, width=width,
                  in_channels=in_channels, num_classes=num_classes)


class ZeroLinear(nn.Linear):
    """A linear layer that begins at zero (Fixup)."""

    def after_draw(self) -> None:
        self.weight.zero_()


def relu_first_resnet(depth: int, inplace: bool = False, width: int = 16, in_channels: int = 3,
                      num_classes: int = 10) -> ResNet:
    """The 6n + 2 net with ReLU-only pre-activation (He16 Fig. 4d); see `ReluFirstBlock`."""
    stages = cifar_stages(ReluFirstBlock, depth, width, inplace=inplace)
    net = ResNet(conv3x3(in_channels, width), stages, 4 * width, num_classes, pre_activation=True)
    net.conv1 = nn.Sequential(net.conv1, nn.BatchNorm2d(width))  # the ReLU after it is the first block's
    net.tail = nn.Identity()
    return finish(net, "relu_first_resnet", depth=depth, inplace=inplace, width=width, in_channels=in_channels,
                  num_classes=num_classes)
