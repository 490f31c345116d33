"""Intervals against a table of Student's t, and drawn numbers."""

import numpy as np
import pytest

from resnet_lib.lab.intervals import one_more


@pytest.mark.parametrize("n, t", [(2, 12.706), (3, 4.303), (5, 2.776)])  # two-sided 95 %, n − 1 degrees of freedom
def test_one_more_uses_students_t(n, t):
    values = list(range(n))
    expected = t * np.std(values, ddof=1) * (1 + 1 / n) ** 0.5
    assert one_more(values) == pytest.approx(expected, rel=2e-4)  # the table has four digits


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_one_more_run_lies_within_as_often_as_said(level):
    drawn = np.random.default_rng(0).normal(7, 3, (4_000, 4))
    inside = np.mean([abs(new - np.mean(rest)) <= one_more(rest, level) for *rest, new in drawn.tolist()])
    assert inside == pytest.approx(level, abs=4 * (level * (1 - level) / 4_000) ** 0.5)


def test_a_single_run_tells_nothing_of_chance():
    with pytest.raises(ValueError, match="two data points"):
        one_more([0.1])
