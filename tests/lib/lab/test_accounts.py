"""Paths, shattered gradients and planes: against closed forms, naive loops and autograd."""

from itertools import combinations
from math import comb, exp

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import nets
from resnet_lib.lab import accounts, lesions


def chain(matrices, start):
    """Blocks x + x A, passed one after the other: linear, nothing behind the addition."""
    steps, x = [], start
    for A in matrices:
        x = x.detach().requires_grad_()
        steps.append(accounts.Passed(x, x @ A, x))
        x = x + x @ A
    return steps


def drawn(n, d, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(d, d, generator=g, dtype=torch.float64) / d for _ in range(n)], torch.randn(
        2, d, generator=g, dtype=torch.float64)


# --- paths


@pytest.mark.parametrize("a", [0.3, 1.0, -2.0])
def test_equal_linear_branches_give_the_binomial_expansion(a):
    """(1 + a)ⁿ = Σ C(n, k) aᵏ, term by term; each single path has aᵏ."""
    start = torch.ones(3, 4, dtype=torch.float64)
    steps = chain([a * torch.eye(4, dtype=torch.float64)] * 12, start)
    sums = accounts.by_length(steps, start)
    for k in range(13):
        assert torch.allclose(sums[k], comb(12, k) * a**k * start, rtol=1e-12)
    norms = accounts.path_norms(steps, start, 3)
    assert norms == pytest.approx([abs(a)**k * 12**0.5 for k in range(13)])


def test_sums_by_length_are_those_over_all_paths():
    matrices, g = drawn(5, 3)
    steps = chain(matrices, torch.ones(2, 3, dtype=torch.float64))
    sums = accounts.by_length(steps, g)
    for k in range(6):
        naive = sum(accounts.along(steps, g, chosen) for chosen in combinations(range(5), k))
        assert torch.allclose(sums[k], naive, rtol=1e-12)
    for A in reversed(matrices):
        g = g + g @ A.T
    assert torch.allclose(sums.sum(0), g, rtol=1e-12)


def test_a_single_path_is_a_product_of_the_chosen_jacobians():
    matrices, g = drawn(4, 3)
    steps = chain(matrices, torch.ones(2, 3, dtype=torch.float64))
    assert torch.allclose(accounts.along(steps, g, {1, 3}), g @ matrices[3].T @ matrices[1].T, rtol=1e-12)


@pytest.mark.parametrize("net", [
    nets.cifar_resnet(14, width=4), nets.cifar_resnet(14, width=4, norm=False),
    nets.cifar_resnet(8, width=4, shortcut="B")], ids=["A", "no norm", "B"])
def test_all_paths_of_a_net_together_are_its_gradient(net):
    net = net.double().train()
    x, y = torch.randn(6, 3, 8, 8, dtype=torch.float64), torch.arange(6)
    steps, gradient = accounts.passed(net, x, y)
    start = lesions.stem(net, x).detach().requires_grad_()
    h = start
    for block in lesions.blocks(net):
        h = block(h)
    F.cross_entropy(lesions.head(net, h), y).backward()
    assert torch.allclose(accounts.by_length(steps, gradient).sum(0), start.grad, rtol=1e-9, atol=1e-15)
    every = sum(accounts.along(steps, gradient, chosen) for k in range(len(steps) + 1)
                for chosen in combinations(range(len(steps)), k)) if len(steps) < 5 else start.grad
    assert torch.allclose(every, start.grad, rtol=1e-9, atol=1e-15)


def test_scaled_branches():
    net = nets.cifar_resnet(8, width=4)
    x = torch.randn(2, 4, 8, 8)
    block = lesions.blocks(net)[0]
    before = block.residual(x)
    accounts.scale_branches(net, 3.0)
    assert torch.allclose(block.residual(x), 3 * before, rtol=1e-4, atol=1e-5)


# --- shattered gradients


def by_autograd(kind, depth, points, width, seed):
    """The same nets written as nets; means and deviations detached."""
    g = torch.Generator().manual_seed(seed)
    x = points.clone().requires_grad_()
    h = x[:, None] * torch.randn(width, generator=g)
    h = h + torch.randn(width, generator=g)
    for _ in range(depth - 1):
        w = torch.empty(width, width)
        if kind == "looks linear":
            torch.nn.init.orthogonal_(w, generator=g)
            h = torch.cat([F.relu(h), F.relu(-h)], 1) @ torch.cat([w, -w])
            continue
        w.normal_(0, (2 / width)**0.5, generator=g)
        z = h - h.mean(0).detach()
        if kind != "plain":
            z = z / (z.square().mean(0) + 1e-5).sqrt().detach()
        branch = F.relu(z) @ w
        h = branch if "plain" in kind else h + (0.1 if "0.1" in kind else 1.0) * branch
    (h @ torch.randn(width, generator=g)).sum().backward()
    return x.grad


@pytest.mark.parametrize("kind", accounts.KINDS)
def test_input_gradients_are_autograd_s(kind):
    points = torch.linspace(-2, 2, 32)
    ours = accounts.input_gradients(kind, 5, points, width=20, seed=3)
    assert torch.allclose(ours, by_autograd(kind, 5, points, 20, 3), rtol=1e-3, atol=1e-3)


def test_a_net_that_looks_linear_has_one_gradient():
    g = accounts.input_gradients("looks linear", 20, torch.linspace(-2, 2, 32), width=20)
    assert [accounts.correlation(g, lag) for lag in (None, 5)] == pytest.approx([1, 1], abs=1e-4)
    with pytest.raises(ValueError, match="looks linear"):
        accounts.input_gradients("dense", 3, torch.ones(3))


def test_correlations_of_known_sequences():
    alternating = torch.tensor([1.0, -1.0] * 10)
    assert accounts.correlation(alternating, 1) == -1 and accounts.correlation(alternating, 2) == 1
    assert accounts.correlation(torch.full((9,), 3.0)) == pytest.approx(1)
    g = torch.randn(12, generator=torch.Generator().manual_seed(0)).double()
    pairs = [(g[i] * g[j]).item() for i in range(12) for j in range(12) if i != j]
    assert accounts.correlation(g) == pytest.approx(sum(pairs) / len(pairs) / g.square().mean().item())


@pytest.mark.parametrize("depth, expected", [(2, 1 / 2), (3, 1 / 4)])
def test_the_theorem_for_plain_nets(depth, expected):
    """Balduzzi et al., theorem 1: each ReLU layer halves the correlation of a typical pair. Four standard errors."""
    points = torch.linspace(-2, 2, 64)
    found = torch.tensor([accounts.correlation(accounts.input_gradients("plain", depth, points, 100, seed))
                          for seed in range(200)])
    assert abs(found.mean().item() - expected) < 4 * found.std().item() / 200**0.5


def test_each_law_is_recovered_where_it_holds():
    depths = (2, 4, 8, 16)
    exponential = accounts.decay(depths, [3 * 0.5**L for L in depths])
    assert exponential["exponential"] == pytest.approx((0.5, 0), abs=1e-9) and exponential["power"][1] > 0.1
    power = accounts.decay(depths, [2 * L**-0.5 for L in depths])
    assert power["power"] == pytest.approx((-0.5, 0), abs=1e-9) and power["exponential"][1] > 0.05
    with pytest.raises(ValueError, match="positive"):
        accounts.decay(depths, [1.0, 0.5, -0.1, 0.2])


# --- planes


def test_a_direction_has_the_norm_of_each_filter_and_leaves_the_rest():
    net = nets.cifar_resnet(8, width=4)
    direction = accounts.filter_direction(net, 1)
    for name, weight in net.named_parameters():
        assert (name in direction) == (weight.dim() > 1)
        if name in direction:
            ours, theirs = (t.detach().flatten(1).norm(dim=1) for t in (direction[name], weight))
            assert torch.allclose(ours, theirs, rtol=1e-5)


def test_the_surface_of_a_quadratic():
    """‖w + a d + b e‖², with all weights back in place; it is convex, and its negative is nowhere."""
    net = torch.nn.Linear(3, 2, bias=False)
    before, offsets = net.weight.detach().clone(), (-1.0, -0.5, 0.0, 0.5, 1.0)
    d, e = (accounts.filter_direction(net, seed) for seed in (0, 1))
    rows = accounts.surface(lambda: net.weight.square().sum().item(), net, (d, e), offsets)
    for a, row in zip(offsets, rows, strict=True):
        for b, value in zip(offsets, row, strict=True):
            assert value == pytest.approx((before + a * d["weight"] + b * e["weight"]).square().sum().item(), rel=1e-5)
    assert torch.equal(net.weight, before)
    assert accounts.dents(rows) == 0 and accounts.dents([[-v for v in row] for row in rows]) == 1


def test_noise_has_dents_in_half_of_its_places():
    g = torch.Generator().manual_seed(0)
    assert accounts.dents(torch.randn(60, 60, generator=g).tolist()) == pytest.approx(0.5, abs=0.03)
    assert accounts.dents([[exp(a * b) for b in range(3)] for a in range(3)]) == 0
