"""`resnet`: the nets of 18 to 152 layers for pictures of ImageNet's size (He15 Table 1)."""

from collections.abc import Sequence

import torch.nn as nn

from ..blocks import BasicBlock, Bottleneck
from .base import ResNet, finish, stage

# depth -> (block, blocks per stage); He15 Table 1
IMAGENET = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
# parameters, then GMAC at 224×224 with the stride on the 3×3 ("v1.5") and on the 1×1 (the paper)
IMAGENET_COST = {
    18: (11_689_512, 1.814, 1.814),
    34: (21_797_672, 3.664, 3.664),
    50: (25_557_032, 4.089, 3.858),
    101: (44_549_160, 7.801, 7.570),
    152: (60_192_808, 11.514, 11.282),
}


def resnet18_stages(block: type[nn.Module] = BasicBlock, strides: Sequence[int] = (1, 2, 2, 2), width: int = 64,
                    blocks: int = 2, **options) -> list[nn.Sequential]:
    """The four stages of ResNet-18, two ``blocks`` of w, 2w, 4w and 8w channels each; options go to the blocks."""
    widths = (width, width, 2 * width, 4 * width, 8 * width)
    return [stage(block, widths[k], widths[k + 1], blocks, s, **options) for k, s in enumerate(strides)]


def resnet(depth: int, num_classes: int = 1000, in_channels: int = 3, stride_in: str = "3x3") -> ResNet:
    """ResNet-18, 34, 50, 101 or 152 for ImageNet-size pictures (He15 Table 1), shortcuts B.

    With ``stride_in="3x3"`` it is torchvision's net: same names, same numbers, bit for bit.
    ``stride_in="1x1"`` is the paper's bottleneck; it changes nothing for depths 18 and 34.
    """
    if depth not in IMAGENET:
        raise ValueError(f"depth must be one of {', '.join(map(str, IMAGENET))}, got {depth!r}")
    block, blocks = IMAGENET[depth]
    options = {"stride_in": stride_in} if block is Bottleneck else {}
    stages, c_in = [], 64
    for k, n in enumerate(blocks):
        width = 64 * 2**k
        stages.append(stage(block, c_in, width, n, 1 if k == 0 else 2, **options))
        c_in = width * block.expansion
    stem = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
    return finish(ResNet(stem, stages, c_in, num_classes, pool=True), "resnet", depth=depth,
                   num_classes=num_classes, in_channels=in_channels, stride_in=stride_in)
