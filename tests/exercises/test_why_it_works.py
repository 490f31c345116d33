"""The exercises of the chapter on why residual nets train: right answers, and the wrong ones that people give."""

from itertools import combinations
import math

import pytest
import torch

from resnet_lib.checks import check
from resnet_lib.exercises import why_it_works as ours
from resnet_lib.lab import accounts
from . import right_answers, usual_mistakes


def paths(n, a, upto, all_of=None):
    return sum(math.comb(n, k) * a**k for k in range(upto)) / ((1 + a) ** n if all_of is None else all_of)


def half(n):
    return math.ceil(n / 2)


def one_path(jacobians, g):
    rows = [g]
    for J in reversed(jacobians):
        rows.append(rows[-1] @ J)
    return torch.stack(rows)


def in_place(jacobians, g):
    sums = torch.zeros(len(jacobians) + 1, len(g), dtype=g.dtype)
    sums[0] = g
    for J in reversed(jacobians):
        for k in range(len(jacobians)):
            sums[k + 1] += J.T @ sums[k]
    return sums


def by_layer(weight, noise):
    return noise / noise.norm() * weight.norm() if weight.dim() > 1 else torch.zeros_like(noise)


def rows(t):
    return t.reshape(len(t), -1).norm(dim=1).view(-1, *[1] * (t.dim() - 1))


test_right_answers_pass = right_answers({
    "why-it-works-1": ours.short_share, "why-it-works-2": ours.by_length, "why-it-works-3": 100,
    "why-it-works-4": ours.direction})

test_usual_mistakes_are_named = usual_mistakes([
    ("why-it-works-1", lambda n, a: sum(a**k for k in range(half(n))) / sum(a**k for k in range(n + 1)), "count them"),
    ("why-it-works-1", lambda n, a: paths(n, 1.0, half(n)), "number of paths"),
    ("why-it-works-1", lambda n, a: paths(n, a, half(n), 1), "sum itself"),
    ("why-it-works-1", lambda n, a: paths(n, a, half(n), 2**n), "divided by the number"),
    ("why-it-works-1", lambda n, a: paths(n, a, n // 2 + 1), "Fewer than half"),
    ("why-it-works-1", lambda n, a: 1 - ours.short_share(n, a), "other paths"),
    ("why-it-works-1", lambda n, a: paths(n, 1 / a, half(n), (1 + a) ** n / a**n), "leaves out"),
    ("why-it-works-1", lambda n, a: 0.5, "weight of one"),
    ("why-it-works-2", lambda js, g: ours.by_length([J.T for J in js], g), "transposed"),
    ("why-it-works-2", lambda js, g: ours.by_length(js[::-1], g), "from behind"),
    ("why-it-works-2", one_path, "one path of each length"),
    ("why-it-works-2", in_place, "more than once"),
    ("why-it-works-2", lambda js, g: ours.by_length(js, g)[1:], "n + 1"),
    ("why-it-works-2", lambda js, g: 2 * ours.by_length(js, g), "values"),
    ("why-it-works-3", 99, "exactly one per cent"), ("why-it-works-3", 101, "already below"),
    ("why-it-works-3", 10_000, "root"), ("why-it-works-3", 27, "number of the block"),
    ("why-it-works-3", 7, "doubles"), ("why-it-works-3", 50, "brought"),
    ("why-it-works-4", by_layer, "whole layer"),
    ("why-it-works-4", lambda w, n: n * rows(w) if w.dim() > 1 else 0 * n, "norm of its own"),
    ("why-it-works-4", lambda w, n: n / rows(n) if w.dim() > 1 else 0 * n, "norm 1"),
    ("why-it-works-4", lambda w, n: n / n.norm(dim=0, keepdim=True) * w.norm(dim=0, keepdim=True), "not a column"),
    ("why-it-works-4", lambda w, n: n * rows(w) / rows(n), "β and biases"),
    ("why-it-works-4", lambda w, n: n * rows(w) / rows(n) if w.dim() > 1 else 0, "tensor of the shape of noise"),
    ("why-it-works-4", lambda w, n: w, "values"),
])


def test_the_sums_are_those_over_all_subsets():
    g = torch.Generator().manual_seed(3)
    jacobians = [torch.randn(3, 3, generator=g, dtype=torch.float64) for _ in range(4)]
    end = torch.randn(3, generator=g, dtype=torch.float64)
    for k in range(5):
        total = torch.zeros(3, dtype=torch.float64)
        for chosen in combinations(range(4), k):
            path = end
            for b in sorted(chosen, reverse=True):
                path = jacobians[b].T @ path
            total += path
        assert torch.allclose(ours.by_length(jacobians, end)[k], total)


@pytest.mark.parametrize("n, a", ours.CASES)
def test_the_share_is_that_of_a_net_of_equal_branches(n, a):
    """Blocks x + a x: the library's sums by length have the weights of the formula."""
    steps = []
    for _ in range(n):
        x = torch.ones(1, dtype=torch.float64, requires_grad=True)
        steps.append(accounts.Passed(x, a * x, x))
    sums = accounts.by_length(steps, torch.ones(1, dtype=torch.float64))[:, 0]
    assert (sums[:half(n)].sum() / sums.sum()).item() == pytest.approx(ours.short_share(n, a))


def test_the_direction_is_the_library_s():
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))
    g = torch.Generator().manual_seed(5)
    noise = torch.randn(3, 2, 3, 3, generator=g)
    assert torch.allclose(accounts.filter_direction(net, 5)["0.weight"], ours.direction(net[0].weight.detach(), noise))


def test_the_hundredth_block():
    assert 1 / (1 + 100) < 0.01 <= 1 / (1 + 99)


def test_a_table_of_zeros_of_the_usual_type_will_do():
    def by_table(jacobians, g):
        sums = torch.zeros(len(jacobians) + 1, len(g))
        sums[0] = g
        for J in reversed(jacobians):
            longer = sums[:-1] @ J
            sums[1:] = sums[1:] + longer
        return sums

    assert check("why-it-works-2", by_table)
