"""Approximation, estimation and optimization error where all three can be computed: polynomials on [0, 2].

The class F_k holds the polynomials with k coefficients, so F_1 ⊂ F_2 ⊂ …. Samples are y = f*(t) + noise at n fixed
points. Least squares and gradient descent are both linear in y, so expectations over the noise are closed formulas.
"""

from dataclasses import dataclass

import numpy as np

BASES = ("monomials", "legendre")
START, END = 0.0, 2.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)  # exact for polynomials of degree 127
POINTS, WEIGHTS = START + (END - START) * (NODES + 1) / 2, WEIGHTS / 2  # mean over [0, 2]


@dataclass(frozen=True)
class Problem:
    """What is to be learned: f*(t) = sin(3t) from ``n`` samples with Gaussian noise of standard deviation ``noise``."""

    n: int = 200
    noise: float = 0.3

    def samples(self) -> np.ndarray:
        """The n points: the middles of n equal parts of [0, 2]."""
        return START + (END - START) * (np.arange(self.n) + 0.5) / self.n


@dataclass(frozen=True)
class Errors:
    """Mean squared errors over [0, 2], in expectation over the noise (Bottou & Bousquet 2008, section 2.1).

    ``optimization`` may be negative: what is not fitted to the end is not fitted to the noise either.
    """

    approximation: float
    estimation: float
    optimization: float

    @property
    def total(self) -> float:
        """The expected squared distance of what was learned from f*."""
        return self.approximation + self.estimation + self.optimization


def target(t: np.ndarray) -> np.ndarray:
    """f*, which is in none of the classes."""
    return np.sin(3 * t)


def features(t: np.ndarray, k: int, basis: str) -> np.ndarray:
    """``(len(t), k)``: the basis of F_k at the points. Both bases span the same polynomials."""
    if basis == "monomials":
        return np.vander(t, k, increasing=True)
    if basis == "legendre":  # orthonormal for the mean over [0, 2]
        scaled = 2 * (t - START) / (END - START) - 1
        return np.polynomial.legendre.legvander(scaled, k - 1) * np.sqrt(2 * np.arange(k) + 1)
    raise ValueError(f"basis must be one of {', '.join(BASES)}, got {basis!r}")


def learned(k: int, steps: float, basis: str, problem: Problem) -> np.ndarray:
    """``(64, n)``: the matrix that takes samples y to the learned function at the quadrature points.

    ``steps`` of gradient descent from zero weights on ‖Xw − y‖² / 2 with the rate 1 / s₁², the largest that is
    safe, s₁ being the largest singular value of X; infinitely many are least squares. With X = U S Vᵀ, a
    direction of singular value s is learned to the part 1 − (1 − s²/s₁²)^steps.
    """
    u, s, vt = np.linalg.svd(features(problem.samples(), k, basis), full_matrices=False)
    part = np.ones_like(s) if np.isinf(steps) else -np.expm1(steps * np.log1p(-np.minimum((s / s[0])**2, 1 - 1e-16)))
    return features(POINTS, k, basis) @ vt.T @ np.diag(part / s) @ u.T


def risk(matrix: np.ndarray, problem: Problem) -> float:
    """Expected mean squared distance from f* over [0, 2]: that of the mean prediction, and the noise's share."""
    bias = matrix @ target(problem.samples()) - target(POINTS)
    return float(WEIGHTS @ (bias**2 + problem.noise**2 * (matrix**2).sum(1)))


def best_in_class(k: int) -> float:
    """Mean squared distance of f* from the nearest function of F_k: f* minus its projection."""
    basis = features(POINTS, k, "legendre")
    return float(WEIGHTS @ (target(POINTS) - basis @ (basis.T @ (WEIGHTS * target(POINTS))))**2)


def errors(k: int, steps: float, basis: str = "monomials", problem: Problem | None = None) -> Errors:
    """The three errors of F_k after ``steps`` of gradient descent. ValueError for k outside 1…12: beyond, rounding
    spoils the monomials."""
    problem = problem or Problem()
    if not 1 <= k <= min(12, problem.n):
        raise ValueError(f"k must be 1 to {min(12, problem.n)}, got {k!r}")
    approximation = best_in_class(k)
    fitted = risk(learned(k, np.inf, basis, problem), problem)
    reached = risk(learned(k, steps, basis, problem), problem)
    return Errors(approximation, fitted - approximation, reached - fitted)
