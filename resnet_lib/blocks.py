"""Building blocks: shortcuts A, B, C and the blocks of He et al. 2015 (1512.03385) and 2016 (1603.05027).

Every block maps ``(N, c_in, H, W)`` to ``(N, width * expansion, H / stride, W / stride)``.
Attribute names are torchvision's, so its ``state_dict`` loads unchanged (test_nets.py).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

SHORTCUTS = ("A", "B", "C")
STRIDE_IN = ("3x3", "1x1")


def conv3x3(c_in: int, c_out: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """3×3 convolution with padding 1; no bias, since a batch norm follows and would remove it."""
    return nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=bias)


class NarrowConv1x1(nn.Conv2d):
    """A strided 1×1 convolution of few channels, in two operations: take every ``stride``-th pixel, then map.

    In one operation its weight gradient writes past a buffer on CPUs when the layout is channels-last and
    ``c_in`` is below the kernel's block of 8 or 16 channels (oneDNN issue 6035): crashes and wrong gradients.
    """

    def forward(self, x: Tensor) -> Tensor:
        s = self.stride[0]
        return F.conv2d(x[:, :, ::s, ::s].contiguous(memory_format=torch.channels_last), self.weight, self.bias)


def conv1x1(c_in: int, c_out: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """1×1 convolution: a linear map of the channels at every position."""
    kind = NarrowConv1x1 if stride > 1 and c_in < 16 else nn.Conv2d
    return kind(c_in, c_out, 1, stride, bias=bias)


class PadShortcut(nn.Module):
    """Option A: take every ``stride``-th pixel and append zero channels. No parameters (He15 §3.3).

    The paper does not say where the zeros go; here they follow the existing channels.
    """

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.stride, self.new_channels = stride, c_out - c_in

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_channels={self.new_channels}"


def make_shortcut(
    option: str, c_in: int, c_out: int, stride: int, bias: bool = False, norm: bool = True
) -> nn.Module | None:
    """The shortcut of one block, or None where it is the identity (He15 §3.3 and §4.1).

    A: identity, and zero padding where the shape changes. B: projection where the shape changes.
    C: projection everywhere. A projection is a 1×1 convolution and, with ``norm``, a batch norm.
    """
    if option not in SHORTCUTS:
        raise ValueError(f"shortcut must be one of {', '.join(SHORTCUTS)}, got {option!r}")
    same_shape = stride == 1 and c_in == c_out
    if same_shape and option != "C":
        return None
    if option == "A":
        if c_out < c_in:
            raise ValueError(f"option A can only add channels, got {c_in} -> {c_out}; use shortcut='B'")
        return PadShortcut(c_in, c_out, stride)
    projection = conv1x1(c_in, c_out, stride, bias)
    return nn.Sequential(projection, nn.BatchNorm2d(c_out)) if norm else projection


class BasicBlock(nn.Module):
    """relu(F(x) + shortcut(x)), F = conv-bn-relu-conv-bn (He15 Fig. 2 and Eq. 1).

    ``bias`` and ``shortcut_norm`` exist to reproduce well-known variants that put biases on the
    convolutions or leave the batch norm off the shortcut; the paper's block has neither change.
    ``norm=False`` leaves out every batch norm; use it with ``bias=True``, since nothing else shifts then.
    """

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, shortcut: str = "B",
                 bias: bool = False, shortcut_norm: bool = True, norm: bool = True):
        super().__init__()
        self.conv1 = conv3x3(c_in, width, stride, bias)
        self.bn1 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.conv2 = conv3x3(width, width, 1, bias)
        self.bn2 = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.downsample = make_shortcut(shortcut, c_in, width, stride, bias, shortcut_norm and norm)

    def residual(self, x: Tensor) -> Tensor:
        """F(x), the branch that is learned."""
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))

    def shortcut(self, x: Tensor) -> Tensor:
        """x itself, or x brought to the shape of F(x)."""
        return x if self.downsample is None else self.downsample(x)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class PlainBlock(BasicBlock):
    """The paper's control: the same layers and the same parameters as with option A, no addition."""

    def __init__(self, c_in: int, width: int, stride: int = 1, bias: bool = False, norm: bool = True):
        super().__init__(c_in, width, stride, shortcut="A", bias=bias, norm=norm)
        self.downsample = None

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x))


class PreActBlock(nn.Module):
    """F(x) + shortcut(x), F = bn-relu-conv-bn-relu-conv: "full pre-activation" (He16 Fig. 4e).

    In the first block of a net the activation stands before the split, so that the shortcut carries
    relu(bn(x)) too (He16, appendix).
    """

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int = 1, shortcut: str = "A", first: bool = False):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = conv3x3(c_in, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width)
        self.downsample = make_shortcut(shortcut, c_in, width, stride, norm=False)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        skip = active if self.first else x
        if self.downsample is not None:
            skip = self.downsample(skip)
        return self.conv2(F.relu(self.bn2(self.conv1(active)))) + skip


class Bottleneck(nn.Module):
    """relu(F(x) + shortcut(x)), F = 1×1, 3×3, 1×1, each with batch norm (He15 Fig. 5, right).

    ``stride_in``: the convolution that carries the stride. "1x1" is the paper's; "3x3" is
    torchvision's "v1.5", which reads every pixel on the branch and costs about 6 % more.
    ``expansion``: output channels by ``width``, the channels of the 3×3; the paper's is 4.
    """

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int = 1, shortcut: str = "B", stride_in: str = "3x3",
                 expansion: int = 4):
        super().__init__()
        if stride_in not in STRIDE_IN:
            raise ValueError(f"stride_in must be one of {', '.join(STRIDE_IN)}, got {stride_in!r}")
        c_out = width * expansion
        self.conv1 = conv1x1(c_in, width, stride if stride_in == "1x1" else 1)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv3x3(width, width, stride if stride_in == "3x3" else 1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = conv1x1(width, c_out)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.downsample = make_shortcut(shortcut, c_in, c_out, stride)

    def residual(self, x: Tensor) -> Tensor:
        """F(x), the branch that is learned."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(x))

    shortcut = BasicBlock.shortcut
    forward = BasicBlock.forward


class LinearResidual(nn.Module):
    """relu(x + F(x)) with F = conv 5×5, conv 3×3, both biased: the block of `nets.mnist_simple`.

    As published there is nothing between the two convolutions, so that F is one linear map; with
    ``norm`` F becomes conv-bn-relu-conv-bn.
    """

    def __init__(self, channels: int, hidden: int, norm: bool = False):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, hidden, 5, padding=2)
        self.between = nn.Sequential(nn.BatchNorm2d(hidden), nn.ReLU()) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(hidden, channels, 3, padding=1)
        self.after = nn.BatchNorm2d(channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.after(self.conv2(self.between(self.conv1(x)))))
