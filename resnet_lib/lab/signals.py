"""What a random net does to a signal on its way through, and to a gradient on its way back.

A chain of 3×3 convolutions with ReLU between them, weights drawn with a chosen *gain* n · Var[w], where n is
the fan-in. Nothing is trained. `expected` is what the mean over all weights would be: it follows from
Var[y] = n · Var[w] · E[x²] at every position (He et al. 2015b, 1502.01852, Eq. 7), with no limit of large width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import ImageSet

PADDINGS = ("zeros", "circular")


@dataclass(frozen=True)
class Passage:
    """Mean squares per layer, first to last: of the outputs y_l before ReLU, and of ∂L/∂y_l."""

    forward: Tensor  # (layers,), float64
    backward: Tensor  # (layers,), float64


def batch(images: ImageSet, n: int = 8) -> Tensor:
    """The first n training pictures as float32 (n, C, H, W) in [0, 1], minus their mean picture."""
    x = images.train_x[:n].float() / 255
    return x - x.mean(0)


def _padded(x: Tensor, padding: str) -> Tensor:
    """One pixel more on each side: zeros, or what lies on the opposite side."""
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {', '.join(PADDINGS)}, got {padding!r}")
    return F.pad(x, (1, 1, 1, 1), mode="constant" if padding == "zeros" else "circular")


def passage(x: Tensor, gain: float, layers: int = 50, width: int = 32, seed: int = 0, padding: str = "zeros",
            norm: bool = False, slope: float = 0.0) -> Passage:
    """Send pictures (N, C, H, W) through ``layers`` random convolutions, and a random gradient back.

    Weights are normal with variance gain / (9 · channels in), drawn by ``seed``. The gradient at the last
    output is standard normal noise, independent of everything: a stand-in for what would follow. ``norm`` puts
    batch normalization (training mode) between a convolution and its ReLU; ``slope`` is the leaky ReLU's.
    """
    if not gain > 0:
        raise ValueError(f"gain must be positive, got {gain!r}")
    generator = torch.Generator().manual_seed(seed)
    h, outputs = x.clone().requires_grad_(), []
    for _ in range(layers):
        w = torch.randn(width, h.shape[1], 3, 3, generator=generator)
        y = F.conv2d(_padded(h, padding), w * (gain / (9 * h.shape[1])) ** 0.5)
        y.retain_grad()
        outputs.append(y)
        z = F.batch_norm(y, None, None, training=True) if norm else y
        h = F.leaky_relu(z, slope)
    last = z if norm else y
    last.backward(torch.randn(last.shape, generator=generator))
    return Passage(torch.stack([y.detach().double().square().mean() for y in outputs]),
                   torch.stack([y.grad.double().square().mean() for y in outputs]))


def expected(x: Tensor, gain: float, layers: int = 50, padding: str = "zeros", slope: float = 0.0) -> Passage:
    """The mean of `passage` over all weights, exactly, without batch norm.

    Position by position: the energy e(p) of an output is gain / 9 times the sum of the input's over the nine taps
    around p, and a leaky ReLU keeps (1 + slope²) / 2 of it, since outputs are symmetric about 0. A tap beside the
    picture brings nothing. Backward the same holds, with ones at the last layer.
    """
    def nine(e: Tensor) -> Tensor:
        return F.avg_pool2d(_padded(e, padding), 3, stride=1) * gain

    keep = (1 + slope**2) / 2
    e = nine(x.double().square().mean((0, 1))[None, None])
    g = torch.ones_like(e)
    forward, backward = [e.mean()], [g.mean()]
    for _ in range(layers - 1):
        e, g = nine(keep * e), keep * nine(g)
        forward.append(e.mean())
        backward.insert(0, g.mean())
    return Passage(torch.stack(forward), torch.stack(backward))


def border_factor(size: int) -> float:
    """Share of the energy that zero padding leaves per layer, far from the input: the limit for size × size pictures.

    Along one axis the nine taps' mean is (left + middle + right) / 3 with nothing beside the picture; its largest
    eigenvalue is (1 + 2 cos(π / (size + 1))) / 3, and the two axes multiply.
    """
    axis = (1 + 2 * torch.cos(torch.tensor(torch.pi / (size + 1), dtype=torch.float64))) / 3
    return float(axis**2)
