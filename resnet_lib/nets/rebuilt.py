"""Nets of published systems, rebuilt: ResNet-18 for small pictures, d2l's, Keras' example, the small one for digits."""

import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..blocks import BasicBlock, LinearResidual, conv3x3
from .base import ResNet, cifar_stages, finish
from .imagenet import resnet18_stages

PADDINGS = ("symmetric", "keras")


def cifar_resnet18(num_classes: int = 10, in_channels: int = 3, pool: bool = True, width: int = 64,
                   blocks: int = 2) -> ResNet:
    """ResNet-18 with a 3×3/1 stem; ``pool`` keeps the 3×3/2 max-pooling of the ImageNet net.

    ``width``: channels of the stem and the first stage, 64 in ResNet-18; the others have 2, 4 and 8 times as many.
    ``blocks``: in each stage, two in ResNet-18; with one it is ResNet-10.
    """
    for name, value in (("width", width), ("blocks", blocks)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    stages = resnet18_stages(width=width, blocks=blocks)
    net = ResNet(conv3x3(in_channels, width), stages, 8 * width, num_classes, pool=pool)
    return finish(net, "cifar_resnet18", num_classes=num_classes, in_channels=in_channels, pool=pool, width=width,
                  blocks=blocks)


def d2l_resnet18(num_classes: int = 10, in_channels: int = 1) -> ResNet:
    """ResNet-18 as the d2l book builds it: biases on all convolutions (+4,800 parameters) and no
    batch norm on the shortcuts (−1,792)."""
    stem = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=True)
    stages = resnet18_stages(bias=True, shortcut_norm=False)
    return finish(ResNet(stem, stages, 512, num_classes, pool=True), "d2l_resnet18", num_classes=num_classes,
                   in_channels=in_channels)


class RightPaddedConv3x3(nn.Conv2d):
    """A 3×3 convolution of stride 2 with Keras' "same" padding: one row and column, at the bottom and on the right."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride)


def keras_v1(depth: int = 20, num_classes: int = 10, in_channels: int = 3, padding: str = "symmetric") -> ResNet:
    """The 6n + 2 net of Keras' CIFAR-10 example: biased convolutions, bare 1×1 projections, BN ε 1e-3
    and momentum 0.99 (0.01 in PyTorch's convention).

    ``padding`` of the two 3×3 convolutions of stride 2: "keras" is as published, on the right and bottom only;
    "symmetric" is what PyTorch does. With "keras" these look at pixels 0…2, 2…4, …, one to the right of and below those
    around the pixels 0, 2, … that the shortcut takes: the sampling grid is shifted by a pixel, which trained weights of
    the one do not bear in the other.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    stages = cifar_stages(BasicBlock, depth, 16, shortcut="B", bias=True, shortcut_norm=False)
    net = ResNet(conv3x3(in_channels, 16, bias=True), stages, 64, num_classes)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.01
    for first in (net.layer2[0], net.layer3[0]) if padding == "keras" else ():
        c_out, c_in = first.conv1.weight.shape[:2]
        first.conv1 = RightPaddedConv3x3(c_in, c_out, 3, stride=2)
    return finish(net, "keras_v1", depth=depth, num_classes=num_classes, in_channels=in_channels, padding=padding)


def mnist_simple(num_classes: int = 10, norm: bool = False) -> nn.Sequential:
    """The small residual system for 28×28 gray pictures, as its code was published: 42,790 parameters, no batch norm.

    ``norm`` puts batch norm and ReLU inside the branches of its two blocks (+190 parameters). Its spec is not called
    like this function: what had that name was a net without the ReLU after each addition."""
    net = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.ReLU(), LinearResidual(20, 30, norm),
        nn.Conv2d(20, 15, 3), nn.MaxPool2d(2), nn.ReLU(), LinearResidual(15, 30, norm),
        nn.Flatten(), nn.Linear(375, num_classes))
    return finish(net, "mnist_simple_relu", num_classes=num_classes, norm=norm)
