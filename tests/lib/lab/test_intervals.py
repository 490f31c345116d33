"""Intervals against numpy, a table of Student's t, and drawn numbers."""

import numpy as np
import pytest

from conftest import mostly_slow
from resnet_lib.lab.intervals import difference, noise, one_more


def test_noise_is_twice_the_standard_error():
    a, b = [0.1, 0.3, 0.2, 0.6], [0.5, 0.7]
    expected = [np.var(v, ddof=1) / len(v) for v in (a, b)]
    assert noise(a) == pytest.approx(2 * expected[0] ** 0.5)
    assert noise(a, b) == pytest.approx(2 * sum(expected) ** 0.5)


def test_a_difference_is_in_points_with_its_noise_where_that_is_known():
    # by hand: means 0.2 and 0.25; variances 0.01 and 0.005, so 2 · √(0.01 / 3 + 0.005 / 2) = 0.15275
    assert difference([0.1, 0.2, 0.3], [0.2, 0.3]) == "−5.0 ± 15.3"
    assert difference([0.2, 0.3], [0.1, 0.2, 0.3], 2) == "+5.00 ± 15.28"
    assert difference([0.25], [0.1, 0.2, 0.3]) == "+5.0"


@pytest.mark.parametrize("n, t", [(2, 12.706), (3, 4.303), (5, 2.776)])  # two-sided 95 %, n − 1 degrees of freedom
def test_one_more_uses_students_t(n, t):
    values = list(range(n))
    expected = t * np.std(values, ddof=1) * (1 + 1 / n) ** 0.5
    assert one_more(values) == pytest.approx(expected, rel=2e-4)  # the table has four digits


@pytest.mark.parametrize("level", mostly_slow([0.5, 0.95], 0.95))
def test_one_more_run_lies_within_as_often_as_said(level):
    drawn = np.random.default_rng(0).normal(7, 3, (4_000, 4))
    inside = np.mean([abs(new - np.mean(rest)) <= one_more(rest, level) for *rest, new in drawn.tolist()])
    assert inside == pytest.approx(level, abs=4 * (level * (1 - level) / 4_000) ** 0.5)


def test_a_single_run_tells_nothing_of_chance():
    for of in (noise, one_more):
        with pytest.raises(ValueError, match="two data points"):
            of([0.1])
