"""Why residual nets train: measurements behind three accounts of it, for the chapter of that question.

Paths (Veit et al. 2016, 1605.06431, section 4): `passed`, `by_length`, `along`. Shattered gradients (Balduzzi et al.
2017, 1702.08591): `input_gradients`, `correlation`, `decay`. Loss surfaces (Li et al. 2018, 1712.09913):
`filter_direction`, `surface`, `dents`. What tools/accounts.py has written down: `results`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
import json
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..files import recorded
from . import lesions

# --- paths: n blocks unroll into 2^n, each through the branch of some and the shortcut of the others ---------------


@dataclass(frozen=True)
class Passed:
    """A block as a signal passed it: ``x`` came in, and ``after(branch + shortcut)`` left, its slope ``slope``."""

    x: Tensor
    branch: Tensor
    shortcut: Tensor
    slope: Tensor | float = 1.0  # of what follows the addition: 1, or for a ReLU 1 where it lets pass

    def back(self, gradient: Tensor, through_branch: bool) -> Tensor:
        """A gradient behind the block, brought to its input through one of its two ways."""
        way = self.branch if through_branch else self.shortcut
        return torch.autograd.grad(way, self.x, gradient * self.slope, retain_graph=True)[0]


def passed(net: nn.Module, x: Tensor, y: Tensor) -> tuple[list[Passed], Tensor]:
    """All blocks of a residual 6n + 2 net as the pictures x pass them, and ∂loss/∂(what leaves the last one).

    The net is used in the mode it is in; in training mode its running statistics move.
    """
    steps, h = [], lesions.stem(net, x)
    for block in lesions.blocks(net):
        h = h.detach().requires_grad_()
        branch, shortcut = block.residual(h), block.shortcut(h)
        steps.append(Passed(h, branch, shortcut, (branch + shortcut > 0).to(h.dtype)))
        h = F.relu(branch + shortcut)
    h = h.detach().requires_grad_()
    return steps, torch.autograd.grad(F.cross_entropy(lesions.head(net, h), y), h)[0]


def by_length(steps: Sequence[Passed], gradient: Tensor) -> Tensor:
    """What all paths of each length bring to the first block's input, together: (n + 1, *x.shape).

    Entry k is the sum over all paths through exactly k branches; the sum of all entries is the gradient itself. Exact,
    in n (n + 1) / 2 passes through a branch: a path of k has left a block by its branch with k - 1 behind it, or not.
    """
    sums = [gradient]
    for step in reversed(steps):
        straight = [step.back(g, False) for g in sums]
        branched = [step.back(g, True) for g in sums]
        sums = [a + b for a, b in zip([*straight, 0], [0, *branched], strict=True)]
    return torch.stack(sums)


def along(steps: Sequence[Passed], gradient: Tensor, chosen: Collection[int]) -> Tensor:
    """What the single path through the branches of the ``chosen`` blocks (from 0) brings to the first input."""
    for k in reversed(range(len(steps))):
        gradient = steps[k].back(gradient, k in chosen)
    return gradient


def path_norms(steps: Sequence[Passed], gradient: Tensor, samples: int, seed: int = 0) -> list[float]:
    """The mean norm of a path of each length 0 … n, over ``samples`` paths drawn at random."""
    generator, n = torch.Generator().manual_seed(seed), len(steps)

    def norm(k: int) -> float:
        return along(steps, gradient, torch.randperm(n, generator=generator)[:k].tolist()).norm().item()

    # there is one path of length 0, and one of length n
    return [sum(norm(k) for _ in range(m)) / m for k in range(n + 1) for m in [samples if 0 < k < n else 1]]


def scale_branches(net: nn.Module, factor: float) -> nn.Module:
    """Multiply all branches of a residual net, in place, by way of their last batch norm."""
    with torch.no_grad():
        for block in lesions.blocks(net):
            block.bn2.weight.mul_(factor)
            block.bn2.bias.mul_(factor)
    return net


# --- shattered gradients -----------------------------------------------------------------------------------------

KINDS = ("plain", "plain, batch norm", "residual", "residual, 0.1", "looks linear")


def input_gradients(kind: str, depth: int, points: Tensor, width: int = 200, seed: int = 0) -> Tensor:
    """df/dx of an untrained ReLU net f from numbers to numbers, at each of the ``points``: (n,).

    The first layer has weights and biases from N(0, 1), the ``depth`` - 1 others He's weights and no biases. "plain"
    subtracts each unit's mean over the points before the ReLU; "plain, batch norm" also divides by its deviation.
    "residual" is h + β W relu(bn(h)), β = 1 or 0.1. "looks linear" mirrors orthogonal weights, W relu(h) - W relu(-h).
    Means and deviations count as constants in the derivative, as in evaluation mode.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    g = torch.Generator().manual_seed(seed)
    slope = torch.randn(width, generator=g)
    h, t = points[:, None] * slope + torch.randn(width, generator=g), slope.expand(len(points), width)
    beta = {"residual": 1.0, "residual, 0.1": 0.1}.get(kind)
    for _ in range(depth - 1):
        w = torch.empty(width, width)
        if kind == "looks linear":
            nn.init.orthogonal_(w, generator=g)
            h, t = F.relu(h) @ w - F.relu(-h) @ w, ((h > 0) * t) @ w + ((h <= 0) * t) @ w
            continue
        w.normal_(0, math.sqrt(2 / width), generator=g)
        z, dz = h - h.mean(0), t
        if kind != "plain":
            deviation = z.square().mean(0).add(1e-5).sqrt()
            z, dz = z / deviation, dz / deviation
        z, dz = F.relu(z) @ w, ((z > 0) * dz) @ w
        h, t = (z, dz) if beta is None else (h + beta * z, t + beta * dz)
    return t @ torch.randn(width, generator=g)


def correlation(gradients: Tensor, lag: int | None = None) -> float:
    """Mean of g_i g_j over pairs of points ``lag`` apart (None: over all pairs i ≠ j), by the mean of g².

    No mean is subtracted: over all draws of the weights it is zero, and Balduzzi's theorems speak of these draws.
    """
    g = gradients.double()
    if lag is not None:
        return (g[:len(g) - lag] @ g[lag:] / (len(g) - lag) / g.square().mean()).item()
    return ((g.sum().square() / g.square().sum() - 1) / (len(g) - 1)).item()


def decay(depths: Sequence[int], values: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Least squares on the logarithms: {"exponential": (r, left), "power": (p, left)} for c·rᴸ and c·Lᵖ.

    ``left``: the root mean square of what the line leaves of ln(value). ValueError for values that are not positive.
    """
    if min(values) <= 0:
        raise ValueError(f"values must be positive to take their logarithms, got {min(values)!r}")
    y, L, found = torch.tensor(values, dtype=torch.float64).log(), torch.tensor(depths, dtype=torch.float64), {}
    for name, x in (("exponential", L), ("power", L.log())):
        slope = (((x - x.mean()) @ (y - y.mean())) / (x - x.mean()).square().sum()).item()
        left = (y - y.mean() - slope * (x - x.mean())).square().mean().sqrt().item()
        found[name] = (math.exp(slope) if name == "exponential" else slope, left)
    return found


# --- loss surfaces and what is recorded ----------------------------------------------------------------------------

def filter_direction(net: nn.Module, seed: int) -> dict[str, Tensor]:
    """A random direction in which each filter (row of a weight) has the norm of the net's; nothing for γ, β, biases."""
    g, found = torch.Generator().manual_seed(seed), {}
    for name, weight in net.named_parameters():
        if weight.dim() > 1:
            d = torch.randn(weight.shape, generator=g)
            size = weight.detach().flatten(1).norm(dim=1) / d.flatten(1).norm(dim=1)
            found[name] = d * size.view(-1, *[1] * (d.dim() - 1))
    return found


@torch.no_grad()
def surface(loss: Callable[[], float], net: nn.Module, directions: tuple[dict, dict], offsets: Sequence[float]
            ) -> list[list[float]]:
    """``loss()`` with the net's weights moved by a·directions[0] + b·directions[1]: a row for each a; then put back."""
    weights = dict(net.named_parameters())
    start, rows = {name: weights[name].clone() for name in directions[0]}, []
    for a in offsets:
        rows.append([])
        for b in offsets:
            for name, w in start.items():
                weights[name].copy_(w + a * directions[0][name] + b * directions[1][name])
            rows[-1].append(loss())
    for name, w in start.items():
        weights[name].copy_(w)
    return rows


def dents(rows: Sequence[Sequence[float]]) -> float:
    """The share of negative second differences along rows and columns; a convex surface has none."""
    z = torch.tensor(rows, dtype=torch.float64)
    second = torch.cat([z.diff(n=2, dim=d).flatten() for d in (0, 1)])
    return (second < 0).double().mean().item()


def results(name: str) -> dict:
    """What tools/accounts.py wrote down: "shattered" or "surfaces"."""
    return json.loads(recorded("accounts", f"{name}.json").read_text(encoding="utf-8"))


def origin(found: dict) -> str:
    """Machine, versions, day and cost of such a file, for the line below a figure."""
    return f"{found['device']}, 1 thread · torch {found['versions']['torch']} · {found['date']} · {found['seconds']} s"
