"""Checks of the chapter "Why it works"."""

import math

import torch

from ..checks import Function, Number, as_number, difference

CASES = ((4, 1.0), (27, 0.2), (27, 1.0), (27, 3.0), (10, 0.5), (9, 2.0))


def short_share(n: int, a: float) -> float:
    """What why-it-works-1 asks for: the weight of paths through fewer than n / 2 branches, of (1 + a)ⁿ."""
    return sum(math.comb(n, k) * a**k for k in range(math.ceil(n / 2))) / (1 + a) ** n


def by_length(jacobians: list, g: torch.Tensor) -> torch.Tensor:
    """What why-it-works-2 asks for: (n + 1, d), row k the sum over all paths through exactly k branches."""
    sums = torch.zeros(len(jacobians) + 1, len(g), dtype=g.dtype)
    sums[0] = g
    for J in reversed(jacobians):
        branched = sums @ J
        sums[1:] = sums[1:] + branched[:-1]
    return sums


def direction(weight: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What why-it-works-4 asks for: each filter of ``noise`` with the norm of ``weight``'s; vectors stay."""
    if weight.dim() < 2:
        return torch.zeros_like(noise)
    size = weight.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    return noise * size.view(-1, *[1] * (noise.dim() - 1))


def _short_share(f):
    def shorter(n):
        return range(math.ceil(n / 2))

    def lengths(n, a):
        return [math.comb(n, k) * a**k for k in range(n + 1)]

    slips = ((lambda n, a: sum(a**k for k in shorter(n)) / sum(a**k for k in range(n + 1)),
              "There are more paths of some lengths than of others: count them."),
             (lambda n, a: sum(math.comb(n, k) for k in shorter(n)) / 2**n,
              "That is the share of the number of paths. How much does a path of length k weigh?"),
             (lambda n, a: sum(lengths(n, a)[k] for k in shorter(n)),
              "That is the sum itself; a share is of what all paths bring together."),
             (lambda n, a: sum(lengths(n, a)[k] for k in shorter(n)) / 2**n,
              "You divided by the number of paths. What do they bring together?"),
             (lambda n, a: sum(lengths(n, a)[:n // 2 + 1]) / (1 + a) ** n,
              "Fewer than half: where n is even, the paths through exactly n / 2 branches do not count."),
             (lambda n, a: 1 - short_share(n, a), "That is the share of the other paths."),
             (lambda n, a: sum(math.comb(n, k) * a ** (n - k) for k in shorter(n)) / (1 + a) ** n,
              "The factor a belongs to the branches that a path takes, not to those it leaves out."))
    got = [as_number(f(n, a)) for n, a in CASES]

    def agrees(g):
        return all(math.isclose(x, g(n, a), rel_tol=1e-6, abs_tol=1e-12)
                   for x, (n, a) in zip(got, CASES, strict=True))

    return None if agrees(short_share) else next((hint for slip, hint in slips if agrees(slip)), "")


def _forward(jacobians, g):
    return by_length(jacobians[::-1], g)


def _transposed(jacobians, g):
    return by_length([J.T for J in jacobians], g)


def _single(jacobians, g):
    """The one path that takes the last k branches."""
    rows = [g]
    for J in reversed(jacobians):
        rows.append(rows[-1] @ J)
    return torch.stack(rows)


def _twice(jacobians, g):
    sums = torch.zeros(len(jacobians) + 1, len(g), dtype=g.dtype)
    sums[0] = g
    for J in reversed(jacobians):
        for k in range(len(jacobians)):
            sums[k + 1] += sums[k] @ J
    return sums


def _by_length(f):
    generator = torch.Generator().manual_seed(0)
    for n, d in ((1, 2), (2, 3), (4, 3)):
        jacobians = [torch.randn(d, d, generator=generator) for _ in range(n)]
        g = torch.randn(d, generator=generator)
        got = f(jacobians, g)
        problem = difference(got, by_length(jacobians, g))
        if problem is None:
            continue
        if isinstance(got, torch.Tensor) and got.shape == (n, d):
            return "There are n + 1 lengths: a path may go through no branch at all."
        slips = ((_transposed, "Backward a branch multiplies by its Jacobian transposed: J.T @ g, or g @ J."),
                 (_forward, "A gradient comes from behind: it meets the last block first."),
                 (_single, "That is one path of each length. There are several."),
                 (_twice, "A path was sent through the same branch more than once. Which rows still are those from "
                          "behind the block?"))
        return next((hint for slip, hint in slips if difference(got, slip(jacobians, g)) is None), problem)
    return None


def _per_filter(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))


def _direction(f):
    generator = torch.Generator().manual_seed(0)
    for shape in ((4, 3, 3, 3), (5, 7), (6,)):
        grow = torch.arange(1.0, shape[0] + 1)
        weight, noise = (_per_filter(grow, t) * t for t in (torch.randn(*shape, generator=generator) for _ in range(2)))
        got = f(weight, noise)
        problem = difference(got, direction(weight, noise))
        if problem is None:
            continue
        if len(shape) == 1 and isinstance(got, int | float | torch.Tensor) and not torch.as_tensor(got).any():
            return "Zero is right for γ, β and biases: give it as a tensor of the shape of noise."
        if len(shape) == 1:
            return ("γ, β and biases are one number a channel: moving them by as much as they are large is no small "
                    "step. The direction is zero there.")
        sizes, own = (_per_filter(t.flatten(1).norm(dim=1), t) for t in (weight, noise))
        slips = ((noise / noise.norm() * weight.norm(),
                  "That gives the whole layer its norm. Small filters are then moved by more than they are."),
                 (noise * sizes, "The noise has a norm of its own, which still has to go."),
                 (noise / own, "Now every filter has the norm 1."),
                 (noise / noise.norm(dim=0, keepdim=True) * weight.norm(dim=0, keepdim=True),
                  "A filter is what makes one output channel: a row of the weight, not a column."))
        return next((hint for slip, hint in slips if difference(got, slip) is None), problem)
    return None


CHECKS = {
    "why-it-works-1": Function(_short_share, hint="Σ over k below n / 2 of (number of paths) · (weight of one), by the "
                                                  "same sum over all k."),
    "why-it-works-2": Function(_by_length),
    "why-it-works-3": Number(
        100, rel=1e-9, wrong=(
            (99, "At this block the share is exactly one per cent, and fewer were asked for."),
            (101, "One block earlier it is already below."),
            (10_000, "The share of the mean square was asked for, not of its root."),
            (27, "The depth of the net does not matter: it is the number of the block."),
            (7, "That is a stream that doubles at each block, as without batch norm; there each share is 1/2.")),
        hint="Write down the mean square of the stream behind block l, then the part of it that block l brought."),
    "why-it-works-4": Function(_direction),
}
