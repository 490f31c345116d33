"""Whether a classifier's probabilities can be believed: the parts of its loss, calibration, and temperature scaling.

Logits are float ``(N, K)``, labels int64 ``(N,)``. Definitions after Guo et al. 2017 (1706.04599), sections 2 and 4.2.
"""

from dataclasses import dataclass
from statistics import fmean

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..records import Record

BINS = 15  # as in the paper's tables


@torch.no_grad()
def logits(net: nn.Module, x: Tensor, batch: int = 250) -> Tensor:
    """Logits ``(N, K)`` of uint8 pictures ``(N, C, H, W)`` as [0, 1], in evaluation mode; it is undone after."""
    training = net.training
    net.eval()
    found = torch.cat([net(part.float() / 255) for part in x.split(batch)])
    net.train(training)
    return found


@dataclass(frozen=True)
class Loss:
    """A mean loss as the sum of two parts: ``right`` and ``wrong`` are sums over these pictures, divided by all N."""

    error: float
    right: float
    wrong: float

    @property
    def mean(self) -> float:
        return self.right + self.wrong


def split(z: Tensor, y: Tensor) -> Loss:
    """The mean cross-entropy, split into what rightly and what wrongly classified pictures add to it."""
    each = F.cross_entropy(z.double(), y, reduction="none")
    right = z.argmax(1) == y
    n = len(y)
    return Loss(1 - right.sum().item() / n, each[right].sum().item() / n, each[~right].sum().item() / n)


def early_and_late(record: Record, field: str) -> tuple[float, float]:
    """Means of ``field`` over the five rows around the lowest test loss, and over the last five."""
    losses, values = record.column("test_loss"), record.column(field)
    low = losses.index(min(losses))
    return fmean(values[max(0, low - 2):low + 3]), fmean(values[-5:])


def confidence(z: Tensor) -> Tensor:
    """The probability of the most likely class, ``(N,)``."""
    return z.double().softmax(1).max(1).values


def reliability(z: Tensor, y: Tensor, bins: int = BINS) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, mean confidence and accuracy in each of ``bins`` equal bins of the confidence, each ``(bins,)``.

    Bin m holds confidences in ((m − 1)/bins, m/bins]. Where it is empty, confidence and accuracy are NaN.
    """
    c, right = confidence(z), (z.argmax(1) == y).double()
    index = (c * bins).ceil().long().clamp(1, bins) - 1
    count = torch.bincount(index, minlength=bins).double()
    return (count, torch.bincount(index, c, minlength=bins) / count,
            torch.bincount(index, right, minlength=bins) / count)


def ece(z: Tensor, y: Tensor, bins: int = BINS) -> float:
    """Expected calibration error: the mean over pictures of |accuracy − confidence| of the bin they are in."""
    count, confident, accurate = reliability(z, y, bins)
    return ((accurate - confident).abs().nan_to_num() * count).sum().item() / len(y)


def ece_if_calibrated(z: Tensor, draws: int = 100, bins: int = BINS, seed: int = 0) -> float:
    """The mean `ece` if the labels were drawn from the net's own probabilities: not 0, since N is finite."""
    generator, p = torch.Generator().manual_seed(seed), z.double().softmax(1)
    labels = torch.multinomial(p, draws, replacement=True, generator=generator).T
    return sum(ece(z, y, bins) for y in labels) / draws


def temperature(z: Tensor, y: Tensor, least: float = 0.01, most: float = 100.0) -> float:
    """The T that minimizes the mean cross-entropy of softmax(z / T). It changes no prediction.

    In β = 1/T the loss is convex, so its one minimum is where the derivative, Σ_k p_k z_k − z_y in the mean, changes
    sign: bisection. Where it does not (all pictures right: smaller is always better) the nearer bound is returned.
    """
    z, low, high = z.double(), 1 / most, 1 / least
    z = z - z.gather(1, y[:, None])  # else a small derivative would be rounded away beside z_y
    for _ in range(60):
        beta = (low * high) ** 0.5
        if ((beta * z).softmax(1) * z).sum(1).mean() <= 0:
            low = beta
        else:
            high = beta
    return 1 / (low * high) ** 0.5
