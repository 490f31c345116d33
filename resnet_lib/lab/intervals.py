"""What chance may do: how far one more run may lie from the mean of some."""

from collections.abc import Sequence
from statistics import stdev
import math


def one_more(values: Sequence[float], level: float = 0.95) -> float:
    """How far one more run may lie from the mean of these by chance: half the width of the prediction interval.

    For normal values: ``t · s · √(1 + 1/n)`` with Student's t of n − 1 degrees of freedom; two values or more.
    """
    from scipy.stats import t  # takes a while

    n = len(values)
    return float(t.ppf((1 + level) / 2, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n)
