"""The closed formulas of the three errors, against gradient descent as a loop and against drawn noise."""

import numpy as np
import pytest

from resnet_lib.lab.least_squares import BASES, POINTS, WEIGHTS, Problem, errors, features, learned, target

SMALL = Problem(n=30, noise=0.3)


def descend(k, steps, basis, y):
    """Gradient descent as one writes it: the learned function at the quadrature points."""
    x = features(SMALL.samples(), k, basis)
    rate, w = 1 / np.linalg.norm(x, 2)**2, np.zeros(k)
    for _ in range(steps):
        w -= rate * x.T @ (x @ w - y)
    return features(POINTS, k, basis) @ w


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("k", [1, 4, 7])
def test_the_formula_is_gradient_descent(basis, k):
    y = target(SMALL.samples()) + 0.3 * np.random.default_rng(0).standard_normal(30)
    np.testing.assert_allclose(learned(k, 200, basis, SMALL) @ y, descend(k, 200, basis, y), atol=1e-8)


@pytest.mark.parametrize("basis", BASES)
def test_infinitely_many_steps_are_least_squares(basis):
    y = target(SMALL.samples()) + 0.3 * np.random.default_rng(1).standard_normal(30)
    w = np.linalg.lstsq(features(SMALL.samples(), 6, basis), y, rcond=None)[0]
    np.testing.assert_allclose(learned(6, np.inf, basis, SMALL) @ y, features(POINTS, 6, basis) @ w, atol=1e-8)


def test_expectations_are_those_of_drawn_noise():
    rng = np.random.default_rng(2)
    y = target(SMALL.samples()) + SMALL.noise * rng.standard_normal((20_000, 30))
    for steps in (50, np.inf):
        drawn = ((y @ learned(6, steps, "monomials", SMALL).T - target(POINTS))**2 @ WEIGHTS).mean()
        e = errors(6, steps, problem=SMALL)
        expected = e.total if np.isfinite(steps) else e.approximation + e.estimation
        assert drawn == pytest.approx(expected, rel=0.02)


def test_classes_nest_and_both_bases_span_them():
    table = {basis: [errors(k, np.inf, basis, SMALL) for k in range(1, 13)] for basis in BASES}
    best = [e.approximation for e in table["monomials"]]
    assert best == sorted(best, reverse=True) and best[11] < 1e-12
    for a, b in zip(*table.values(), strict=True):
        assert a.approximation == b.approximation and a.estimation == pytest.approx(b.estimation, rel=1e-4)
        assert abs(a.optimization) < 1e-12 and a.estimation > 0


def test_what_the_chapter_says_of_the_figure():
    few, many = 100, 10**9
    assert errors(12, few).total > 2 * errors(3, few).total  # the larger class is worse …
    assert errors(12, many).total < errors(3, many).total / 10  # … and better after more steps
    for k in (3, 12):  # in the other basis nothing is left to optimize, and the same class is better at once
        assert abs(errors(k, few, "legendre").optimization) < 1e-3
    assert errors(12, 100, problem=Problem(n=20, noise=0.5)).optimization < 0  # fitted less to the noise


@pytest.mark.parametrize("k", [0, 13])
def test_classes_outside_the_table_are_refused(k):
    with pytest.raises(ValueError, match="k must be 1 to 12"):
        errors(k, 10)
    with pytest.raises(ValueError, match="basis must be one of monomials, legendre"):
        errors(2, 10, "fourier")
