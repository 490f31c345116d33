"""Nets from before shortcuts: VGG (1409.1556), and a small convolutional net with two fully connected layers."""

import torch
import torch.nn as nn
from torch import Tensor

from .base import finish

# depth -> 3×3 convolutions in each of the five stages; Simonyan & Zisserman 2014, Table 1 (A, B, D, E)
VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
# parameters, GMAC at 224×224
VGG_COST = {11: (132_863_336, 7.609), 13: (133_047_848, 11.308), 16: (138_357_544, 15.470), 19: (143_667_240, 19.632)}


class ConvNet(nn.Module):
    """Convolutions with pooling (``features``), then fully connected layers (``classifier``).

    (N, in_channels, H, W) -> (N, num_classes). Attribute names are torchvision's, so its VGG's ``state_dict`` loads.
    """

    def __init__(self, features: nn.Sequential, pool: nn.Module, classifier: nn.Sequential):
        super().__init__()
        self.features, self.avgpool, self.classifier = features, pool, classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def _features(stages: list[list[int]], c_in: int) -> nn.Sequential:
    """3×3 convolutions of these channels, each with a ReLU; a 2×2 max-pooling ends each stage."""
    layers: list[nn.Module] = []
    for stage in stages:
        for c_out in stage:
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.ReLU()]
            c_in = c_out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def vgg(depth: int, num_classes: int = 1000, in_channels: int = 3) -> ConvNet:
    """VGG-11, 13, 16 or 19: ``depth`` counts the layers with weights, the last three of them fully connected.

    torchvision's net without batch norm: same names, same numbers, bit for bit (in training its dropout draws)."""
    if depth not in VGG:
        raise ValueError(f"depth must be one of {', '.join(map(str, VGG))}, got {depth!r}")
    channels = (64, 128, 256, 512, 512)
    features = _features([[c] * n for c, n in zip(channels, VGG[depth], strict=True)], in_channels)
    classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 4096), nn.ReLU(), nn.Dropout(),
                               nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, num_classes))
    net = ConvNet(features, nn.AdaptiveAvgPool2d(7), classifier)
    return finish(net, "vgg", depth=depth, num_classes=num_classes, in_channels=in_channels)


def small_cnn(size: int, width: int = 16, hidden: int = 64, in_channels: int = 3, num_classes: int = 10) -> ConvNet:
    """A conventional net for pictures of ``size`` × ``size``: two 3×3 convolutions (``width``, 2 ``width`` channels),
    each with ReLU and 2×2 max-pooling, then two fully connected layers."""
    for name, value, least in (("size", size, 4), ("width", width, 1), ("hidden", hidden, 1)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value!r}")
    side = size // 2 // 2
    classifier = nn.Sequential(nn.Linear(2 * width * side * side, hidden), nn.ReLU(), nn.Linear(hidden, num_classes))
    net = ConvNet(_features([[width], [2 * width]], in_channels), nn.Identity(), classifier)
    return finish(net, "small_cnn", size=size, width=width, hidden=hidden, in_channels=in_channels,
                  num_classes=num_classes)
