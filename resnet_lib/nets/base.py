"""What the nets share: stem, stages, head, and how their weights are drawn."""

from functools import partial

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class ResNet(nn.Module):
    """Stem, stages, global average pooling, one linear layer (He15 §3.3).

    Stages after the first begin with stride 2. ``tail`` is what follows the last stage (the batch
    norm that pre-activation needs), ``pool`` whether a 3×3/2 max-pooling follows the stem.
    """

    def __init__(self, stem: nn.Conv2d, stages: list[nn.Sequential], features: int, num_classes: int,
                 pool: bool = False, pre_activation: bool = False, norm: bool = True):
        super().__init__()
        self.conv1 = stem
        self.bn1 = nn.BatchNorm2d(stem.out_channels) if norm and not pre_activation else nn.Identity()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if pool else nn.Identity()
        for k, stage in enumerate(stages, start=1):
            setattr(self, f"layer{k}", stage)
        self.stages = len(stages)
        self.tail = nn.BatchNorm2d(features) if pre_activation else nn.Identity()
        self.pre_activation = pre_activation
        self.fc = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        if not self.pre_activation:
            x = F.relu(self.bn1(x))
        x = self.maxpool(x)
        for k in range(1, self.stages + 1):
            x = getattr(self, f"layer{k}")(x)
        if self.pre_activation:
            x = F.relu(self.tail(x))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def _he(weight: Tensor, generator, mode: str = "fan_in") -> None:
    nn.init.kaiming_normal_(weight, mode=mode, nonlinearity="relu", generator=generator)


def _he_truncated(weight: Tensor, generator) -> None:
    cut = (2 / weight[0].numel()) ** 0.5 / CUT_AT_TWO  # of the whole distribution
    nn.init.trunc_normal_(weight, std=cut, a=-2 * cut, b=2 * cut, generator=generator)


def _xavier(weight: Tensor, generator) -> None:
    nn.init.xavier_uniform_(weight, generator=generator)


def _torch(weight: Tensor, generator) -> None:
    nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)


def _no_bias(module: nn.Module, _generator) -> None:
    nn.init.zeros_(module.bias)


def _torch_bias(module: nn.Module, generator) -> None:
    bound = module.weight[0].numel() ** -0.5
    nn.init.uniform_(module.bias, -bound, bound, generator=generator)


CUT_AT_TWO = 0.87962566103423978  # the standard deviation of a standard normal that is cut off at two
DRAWS = {  # how convolutions, linear layers and biases are drawn
    "he": (_he, _he, _no_bias), "he_fan_out": (partial(_he, mode="fan_out"), _torch, _torch_bias),
    "he_truncated": (_he_truncated, _he_truncated, _no_bias), "xavier": (_xavier, _xavier, _no_bias),
    "xavier_weights": (_xavier, _xavier, _torch_bias), "torch": (_torch, _torch, _torch_bias), "keep": None}


def init_weights(net: nn.Module, how: str = "he", generator: torch.Generator | None = None) -> nn.Module:
    """Draw all weights anew, in place; biases and batch norm as usual (0; γ = 1, β = 0).

    "he": normal, variance 2 / fan-in (He et al. 2015b, 1502.01852, Eq. 10). "he_truncated": Keras' ``he_normal``, the
    same variance from a normal distribution cut off at two of its standard deviations. "xavier": uniform
    (Glorot & Bengio 2010). "torch": what torch's layers do when they are made, weights and biases uniform with
    variance 1 / (3 fan-in). Two that published code uses mix these: "he_fan_out", convolutions of variance 2 / fan-out
    and all else as "torch"; "xavier_weights", biases as "torch". "keep": change nothing. The generator makes the draw
    reproducible.

    A module that wants something else (a zero, another scale) has a method ``after_draw()``, which is
    called when all weights are drawn.
    """
    if how not in DRAWS:
        raise ValueError(f"init must be one of {', '.join(DRAWS)}, got {how!r}")
    if how == "keep":
        return net
    convolution, linear, bias = DRAWS[how]
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            (convolution if isinstance(module, nn.Conv2d) else linear)(module.weight, generator)
            if module.bias is not None:
                bias(module, generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    for module in net.modules():
        if hasattr(module, "after_draw"):
            with torch.no_grad():
                module.after_draw()
    return net


def finish(net: nn.Module, name: str, **arguments) -> nn.Module:
    """``net`` with its spec and with weights drawn."""
    net.spec = {"name": name, **arguments}
    return init_weights(net)


def stage(block, c_in: int, width: int, blocks: int, stride: int, **options) -> nn.Sequential:
    """``blocks`` blocks, the first with ``stride``; each but the first gets what the one before puts out."""
    first = block(c_in, width, stride, **options)
    return nn.Sequential(first, *[block(width * block.expansion, width, **options) for _ in range(blocks - 1)])


def cifar_stages(block, depth: int, width: int, **options) -> list[nn.Sequential]:
    """The three stages of a 6n + 2 net (He15 §4.2): n blocks of w, of 2w and of 4w channels."""
    n = blocks_per_stage(depth)
    return [stage(block, width * 2 ** max(k - 1, 0), width * 2**k, n, 1 if k == 0 else 2, **options) for k in range(3)]


def blocks_per_stage(depth: int) -> int:
    """n for a CIFAR net of 6n + 2 weighted layers; ValueError names the valid depths."""
    valid = isinstance(depth, int) and not isinstance(depth, bool) and depth >= 8 and (depth - 2) % 6 == 0
    if not valid:
        raise ValueError(f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, 110, …), got {depth!r}")
    return (depth - 2) // 6
