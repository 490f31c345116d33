"""The nets of He15 for pictures of CIFAR's size: `cifar_resnet` (6n + 2 layers), `cifar_bottleneck` (9n + 2)."""

import torch.nn as nn

from ..blocks import BasicBlock, Bottleneck, PlainBlock, PreActBlock, conv3x3
from .base import ResNet, cifar_stages, finish

# parameters with option A (and of the plain net), MMAC at 32×32
CIFAR_COST = {
    20: (269_722, 40.55),
    32: (464_154, 68.86),
    44: (658_586, 97.17),
    56: (853_018, 125.49),
    110: (1_727_962, 252.89),
}


def cifar_resnet(depth: int, residual: bool = True, shortcut: str = "A", width: int = 16, in_channels: int = 3,
                 num_classes: int = 10, block: str = "post", norm: bool = True) -> ResNet:
    """The 6n + 2 net of He15 §4.2: 3×3 stem, three stages of n blocks, widths w, 2w, 4w.

    ``residual=False`` is the plain control, with exactly the parameters of option A. ``block``:
    "post" (He15) or "pre" (full pre-activation, He16). The paper's width is 16. ``norm=False``: no batch
    norm anywhere, biases on all convolutions instead.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width!r}")
    if block not in ("post", "pre"):
        raise ValueError(f"block must be one of post, pre, got {block!r}")
    if block == "pre" and not residual:
        raise ValueError("the plain control is defined for block='post' only; use residual=True with block='pre'")
    if block == "pre" and not norm:
        raise ValueError("nets without batch norm are defined for block='post' only")
    kind = PreActBlock if block == "pre" else BasicBlock if residual else PlainBlock
    options = {"shortcut": shortcut} if residual else {}
    if not norm:
        options |= {"norm": False, "bias": True}
    stages = cifar_stages(kind, depth, width, **options)
    if block == "pre":
        stages[0][0].first = True
    net = ResNet(conv3x3(in_channels, width, bias=not norm), stages, 4 * width, num_classes,
                 pre_activation=block == "pre", norm=norm)
    return finish(net, "cifar_resnet", depth=depth, residual=residual, shortcut=shortcut, width=width,
                   in_channels=in_channels, num_classes=num_classes, block=block, norm=norm)


def cifar_bottleneck(depth: int, width: int = 16, expansion: int = 4, shortcut: str = "A", stride_in: str = "3x3",
                     in_channels: int = 3, num_classes: int = 10) -> ResNet:
    """The CIFAR net with bottlenecks: 9n + 2 layers, n blocks of three in each stage, as He16's ResNet-164.

    The 3×3 of the stages have w, 2w, 4w channels, their outputs ``expansion`` times as many; the stem has w. Blocks
    are those of He15 (activation after the addition).
    """
    valid = isinstance(depth, int) and not isinstance(depth, bool) and depth >= 11 and (depth - 2) % 9 == 0
    if not valid:
        raise ValueError(f"depth must be 9n + 2 (11, 20, 29, 38, 47, 56, 83, 164, …), got {depth!r}")
    for name, value in (("width", width), ("expansion", expansion)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value!r}")
    stages, c_in, options = [], width, {"shortcut": shortcut, "stride_in": stride_in, "expansion": expansion}
    for k in range(3):
        w = width * 2**k
        first = Bottleneck(c_in, w, 1 if k == 0 else 2, **options)
        c_in = w * expansion
        stages.append(nn.Sequential(first, *[Bottleneck(c_in, w, **options) for _ in range((depth - 2) // 9 - 1)]))
    return finish(ResNet(conv3x3(in_channels, width), stages, c_in, num_classes), "cifar_bottleneck", depth=depth,
                  width=width, expansion=expansion, shortcut=shortcut, stride_in=stride_in, in_channels=in_channels,
                  num_classes=num_classes)
