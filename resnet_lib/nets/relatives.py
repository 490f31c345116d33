"""Relatives of the 6n + 2 net, one older and two younger: `highway_net`, `dense_net`, `se_resnet`.

Each is the same stem, three stages and head with other blocks; the chapter "Before and after" writes the same blocks.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..blocks import BasicBlock, conv1x1, conv3x3
from .base import ResNet, cifar_stages, finish


class HighwayBlock(BasicBlock):
    """t·relu(F(x)) + (1 − t)·shortcut(x), t = sigmoid(gate), nothing after the addition (Srivastava et al. 2015).

    The gate is a 1×1 convolution of what the shortcut carries, as in He16 §3.1; the paper's is as large as the layer
    that it gates. Its bias begins at ``gate_bias``: below zero, so that the block begins near its shortcut.
    """

    def __init__(self, c_in: int, width: int, stride: int = 1, gate_bias: float = -1.0):
        super().__init__(c_in, width, stride, shortcut="A")
        self.gate_bias = gate_bias
        self.gate = conv1x1(width, width, bias=True)

    def after_draw(self) -> None:
        self.gate.bias.fill_(self.gate_bias)

    def forward(self, x: Tensor) -> Tensor:
        s = self.shortcut(x)
        t = torch.sigmoid(self.gate(s))
        return t * F.relu(self.residual(x)) + (1 - t) * s


class Excite(nn.Module):
    """g·f, g one number in (0, 1) for each channel, made from the means of all channels (Hu et al. 2018, Eq. 2 to 4).

    Names and weights are those of torchvision's ``SqueezeExcitation(c, c // ratio)``.
    """

    def __init__(self, c: int, ratio: int = 16):
        super().__init__()
        self.fc1 = nn.Conv2d(c, max(c // ratio, 1), 1)
        self.fc2 = nn.Conv2d(max(c // ratio, 1), c, 1)

    def forward(self, f: Tensor) -> Tensor:
        z = f.mean((2, 3), keepdim=True)
        return f * torch.sigmoid(self.fc2(F.relu(self.fc1(z))))


class SEBlock(BasicBlock):
    """relu(g·F(x) + shortcut(x)); see `Excite`."""

    def __init__(self, c_in: int, width: int, stride: int = 1, ratio: int = 16):
        super().__init__(c_in, width, stride, shortcut="A")
        self.bn2 = nn.Sequential(self.bn2, Excite(width, ratio))


class DenseLayer(nn.Module):
    """(N, c_in, H, W) -> (N, c_in + k, H, W): x, and k channels more (Huang et al. 2017, DenseNet-B).

    The k are bn-relu-conv1×1-bn-relu-conv3×3 of x, with 4k channels in between.
    """

    def __init__(self, c_in: int, k: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv1x1(c_in, 4 * k)
        self.bn2 = nn.BatchNorm2d(4 * k)
        self.conv2 = conv3x3(4 * k, k)

    def forward(self, x: Tensor) -> Tensor:
        f = self.conv1(F.relu(self.bn1(x)))
        f = self.conv2(F.relu(self.bn2(f)))
        return torch.cat([x, f], 1)


def highway_net(depth: int, gate_bias: float = -1.0, width: int = 16, in_channels: int = 3,
                num_classes: int = 10) -> ResNet:
    """The 6n + 2 net of gated blocks; see `HighwayBlock`."""
    stages = cifar_stages(HighwayBlock, depth, width, gate_bias=gate_bias)
    return finish(ResNet(conv3x3(in_channels, width), stages, 4 * width, num_classes), "highway_net", depth=depth,
                  gate_bias=gate_bias, width=width, in_channels=in_channels, num_classes=num_classes)


def se_resnet(depth: int, ratio: int = 16, width: int = 16, in_channels: int = 3, num_classes: int = 10) -> ResNet:
    """The 6n + 2 net with a factor for each channel of each branch; see `SEBlock`."""
    stages = cifar_stages(SEBlock, depth, width, ratio=ratio)
    return finish(ResNet(conv3x3(in_channels, width), stages, 4 * width, num_classes), "se_resnet", depth=depth,
                  ratio=ratio, width=width, in_channels=in_channels, num_classes=num_classes)


def dense_net(layers: int, growth: int, in_channels: int = 3, num_classes: int = 10) -> nn.Sequential:
    """DenseNet-BC for small pictures: three dense blocks of ``layers`` layers, each layer appends ``growth`` channels.

    The stem has 2k channels; between blocks a 1×1 convolution halves the channels and 2×2 means the picture (§3).
    DenseNet-BC-100 with k = 12 is ``dense_net(16, 12)``.
    """
    for name, value in (("layers", layers), ("growth", growth)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    c = 2 * growth
    parts: list[nn.Module] = [conv3x3(in_channels, c)]
    for block in range(3):
        for _ in range(layers):
            parts.append(DenseLayer(c, growth))
            c += growth
        if block < 2:
            parts += [nn.BatchNorm2d(c), nn.ReLU(), conv1x1(c, c // 2), nn.AvgPool2d(2)]
            c //= 2
    parts += [nn.BatchNorm2d(c), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, num_classes)]
    return finish(nn.Sequential(*parts), "dense_net", layers=layers, growth=growth, in_channels=in_channels,
                  num_classes=num_classes)
