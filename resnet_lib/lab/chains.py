"""A chain of residual blocks of one shape, for which signals and gradients can be written down, and measured.

Each block computes ``x_{l+1} = λ x_l + F(x_l)``; with λ = 1 it is a stage of a pre-activation net. All sizes are at
initialization; v is the mean square of an entry of x, taken over pictures, channels and positions.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..blocks import PreActBlock, conv3x3
from ..nets.ablations import UnnormalizedBlock
from ..nets.base import init_weights

KINDS = ("silent", "sqrt", "none", "norm")
# Of relu(z), z normal with variance 1, the mean square is 1/2 and the variance 1/2 - 1/(2π). He's factor 2 makes 1 and
# 1 - 1/π of them: the part of a convolution's output that batch norm sees, which subtracts each channel's mean.
SPREAD = 1 - 1 / math.pi


class Chain(nn.Module):
    """Stem, ``length`` blocks of ``channels`` channels, ReLU, mean over positions, linear layer.

    ``kind``: "silent": no batch norm, branches that begin at zero. "sqrt": no batch norm, branches times 1/√length.
    "none": no batch norm and no remedy. "norm": batch norm (full pre-activation).
    """

    def __init__(self, kind: str, length: int = 50, channels: int = 16, in_channels: int = 3, num_classes: int = 10,
                 seed: int = 0):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        self.kind, self.length = kind, length
        remedy = {"silent": "zero", "sqrt": "sqrt", "none": "none"}
        self.stem = conv3x3(in_channels, channels)
        self.blocks = nn.ModuleList(
            PreActBlock(channels, channels) if kind == "norm"
            else UnnormalizedBlock(channels, channels, remedy=remedy[kind], length=length) for _ in range(length))
        self.fc = nn.Linear(channels, num_classes)
        init_weights(self, "he", torch.Generator().manual_seed(seed))

    def states(self, x: Tensor, scale: float = 1.0) -> list[Tensor]:
        """x_0 … x_length, each (N, channels, H, W), λ = ``scale``: a block gives x + F(x), and (λ − 1) x is added."""
        states = [self.stem(x)]
        for block in self.blocks:
            h = states[-1]
            states.append(block(h) + (scale - 1) * h if scale != 1 else block(h))
        return states

    def logits(self, state: Tensor) -> Tensor:
        """What the head makes of x_length: (N, channels, H, W) -> (N, num_classes)."""
        return self.fc(F.relu(state).mean((2, 3)))


def gradient_norms(chain: Chain, x: Tensor, y: Tensor, scale: float = 1.0) -> tuple[list[float], float]:
    """‖∂L/∂x_l‖ / ‖∂L/∂x_length‖ for l = 0 … length, L the mean cross-entropy; and the variance of x_0 in a channel."""
    states = chain.states(x, scale)
    loss = F.cross_entropy(chain.logits(states[-1]), y)
    norms = torch.stack([g.norm() for g in torch.autograd.grad(loss, states)])
    return (norms / norms[-1]).tolist(), states[0].var((0, 2, 3), correction=0).mean().item()


def predicted_gradients(kind: str, scale: float, length: int, start: float = 1.0) -> list[float]:
    """The expectation behind `gradient_norms`, l = 0 … length: the root of Π (λ² + gain of a branch) from l on.

    Wide layers, He initialization, no borders, independent weights. A branch without batch norm has the gain a²
    (0, 1/length or 1). With batch norm it divides by the variance of x_l, ``start`` for l = 0, which follows
    λ² v + 1 − 1/π, and by 1 − 1/π once more at its second normalization.
    """
    gains, variance = [], start
    for _ in range(length):
        gains.append({"silent": 0, "sqrt": 1 / length, "none": 1, "norm": 1 / (SPREAD * variance)}[kind])
        variance = scale**2 * variance + SPREAD
    norms = [1.0]
    for gain in reversed(gains):
        norms.append(norms[-1] * math.sqrt(scale**2 + gain))
    return norms[::-1]


@torch.no_grad()
def mean_squares(chain: Chain, x: Tensor, scale: float = 1.0) -> list[float]:
    """The mean square of an entry of x_0 … x_length."""
    return [state.square().mean().item() for state in chain.states(x, scale)]


def predicted_mean_squares(kind: str, scale: float, length: int, start: float) -> list[float]:
    """The expectation behind `mean_squares`: times λ² + a² a block, or with batch norm times λ² and plus 1."""
    squares = [start]
    for _ in range(length):
        v = squares[-1]
        squares.append(scale**2 * v + {"silent": 0, "sqrt": v / length, "none": v, "norm": 1}[kind])
    return squares
