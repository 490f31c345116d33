"""What chance may do: the noise of means over seeds, and how far one more run may lie from them."""

from collections.abc import Sequence
from statistics import fmean, stdev
import math

from ..wording import sign


def noise(*samples: Sequence[float]) -> float:
    """Twice the standard error of the mean of a sample, or of the difference of two means; two values or more each."""
    return noise_of(*((stdev(values), len(values)) for values in samples))


def noise_of(*scatter: tuple[float, int]) -> float:
    """`noise` from the standard deviation of single runs and their number, for each sample."""
    return 2 * math.sqrt(sum(spread ** 2 / n for spread, n in scatter))


def difference(a: Sequence[float], b: Sequence[float], digits: int = 1) -> str:
    """Mean of ``a`` minus mean of ``b``, both fractions, in points with its `noise`: "+1.2 ± 0.4".

    Where one of them has a single value, without the noise, which is then not known."""
    known = f" ± {100 * noise(a, b):.{digits}f}" if min(len(a), len(b)) > 1 else ""
    return sign(f"{100 * (fmean(a) - fmean(b)):+.{digits}f}{known}")


def one_more(values: Sequence[float], level: float = 0.95) -> float:
    """How far one more run may lie from the mean of these by chance: half the width of the prediction interval.

    For normal values: ``t · s · √(1 + 1/n)`` with Student's t of n − 1 degrees of freedom; two values or more.
    """
    from scipy.stats import t  # takes a while

    n = len(values)
    return float(t.ppf((1 + level) / 2, n - 1)) * stdev(values) * math.sqrt(1 + 1 / n)
