"""Numbers in words and in tables, as a page shows them: errors in per cent, spreads in points, durations.

    table(["net", "test error"], [[v, mean_spread(errors)] for v, errors in found.items()], note="Three seeds.")

Nothing heavy is imported: the build of the book reads this module too.
"""

import os
import re
from collections.abc import Iterable, Sequence
from statistics import fmean, stdev

NBSP = "\u00a0"
COMMAND = "RESNET_LIB_COMMAND"  # set in the environment while a command runs, for its workers too
TITLES = {  # of data sets
    "digits": "scikit-learn’s digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
}


def advice(command: str, python: str) -> str:
    """The way out that works for the caller: of a command of ``python -m resnet_lib``, or of a function."""
    return command if os.environ.get(COMMAND) else python


def printable(text: str, encoding: str | None) -> str:
    """``text`` with question marks for what an encoding cannot hold."""
    return text.encode(encoding or "utf-8", "replace").decode(encoding or "utf-8")


def number(field, value, digits=1):
    """Errors (fractions) in per cent with up to `digits` decimals, at least one; whole numbers grouped;
    others to three digits."""
    if is_error(field):
        while digits > 1 and f"{100 * value:.{digits}f}".endswith("0"):
            digits -= 1
        return percent(value, digits)
    if float(value).is_integer():
        return sign(f"{int(value):,}")
    if abs(value) >= 100:
        return sign(f"{value:,.0f}")
    if abs(value) >= 1e-3:
        return sign(f"{value:.3g}")
    return power(value, 1)


def power(value: float, digits: int = 0) -> str:
    """A number with a power of ten, unless that is 1, its factor with so many decimals: 3e-15 -> "3·10⁻¹⁵"."""
    factor, _, exponent = f"{value:.{digits}e}".partition("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return sign(factor) + (f"·10{raised}" if int(exponent) else "")


def is_error(field):
    """Whether a field is a fraction that people read in per cent: test_error, train_error_eval, …"""
    return field.endswith(("_error", "_error_eval", "_error_mirrored"))


def spread(field, value):
    """A standard deviation: in points for errors, else as the number itself."""
    return f"±{NBSP}{100 * value:.1f}" if is_error(field) else f"±{NBSP}{number(field, value)}"


def percent(value: float, digits: int = 1) -> str:
    """A fraction in per cent with so many decimals: 0.529 -> "52.9 %"."""
    return sign(f"{100 * value:.{digits}f}{NBSP}%")


def points(gap: float, digits: int = 1) -> str:
    """A difference of fractions in points, with its sign: 0.031 -> "+3.1 points"."""
    return sign(f"{100 * gap:+.{digits}f} points")


def above_or_below(gap: float, digits: int = 1, words: tuple[str, str] = ("above", "below")) -> str:
    """A difference of fractions without its sign, which a word tells: -0.031 -> "3.1 points below"."""
    return f"{100 * abs(gap):.{digits}f} points {words[0] if gap > 0 else words[1]}"


def mean_spread(values: Sequence[float], digits: int = 1) -> str:
    """Mean ± standard deviation of fractions in per cent: "52.9 ± 1.2 %"; of a single one "52.9 %".

    ValueError without any."""
    if not values:
        raise ValueError("a mean needs at least one value, got none")
    scatter = f" ±{NBSP}{100 * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return sign(f"{100 * fmean(values):.{digits}f}{scatter}{NBSP}%")


def mean_range(values: Sequence[float], digits: int = 1) -> str:
    """Mean of fractions in per cent, with the lowest and the highest: "52.9 % (51.8 to 54.2)".

    ValueError without any."""
    if not values:
        raise ValueError("a mean needs at least one value, got none")
    low, high = (sign(f"{100 * end:.{digits}f}") for end in (min(values), max(values)))
    return f"{percent(fmean(values), digits)} ({low} to {high})"


def duration(seconds):
    """Seconds as '54 s', '2 min 54 s', from ten minutes on as '12 min' or '1 h 20 min'."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}{NBSP}s"
    if seconds < 600:
        rest = f" {seconds % 60}{NBSP}s" if seconds % 60 else ""
        return f"{seconds // 60}{NBSP}min{rest}"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    rest = f" {minutes % 60}{NBSP}min" if minutes % 60 else ""
    return f"{minutes // 60}{NBSP}h{rest}"


def sign(text):
    """A number's text with a true minus sign."""
    return text.replace("-", "−")


# --- tables -----------------------------------------------------------------------------------------------

RULES = {"l": ":--", "c": ":-:", "r": "--:"}  # what stands under a column's title


class Text(str):
    """Markdown that a notebook shows as such; added to other text it stays so."""

    def _repr_markdown_(self) -> str:
        return str(self)

    def __add__(self, other: str) -> "Text":
        return Text(str(self) + other)

    def __radd__(self, other: str) -> "Text":
        return Text(other + str(self))


def table(head: Sequence[object], rows: Iterable[Sequence[object]], align: str = "lr", note: str = "") -> Text:
    """A Markdown table, to end a cell with; below it, as a paragraph of its own, the ``note``.

    Cells are text, which may hold Markdown, or numbers; whole numbers are grouped. ``align`` has one of l, c, r for
    each column, and its last letter holds for all columns that follow: "lr" is names at the left, numbers at the
    right. ValueError for a column without a title, for another letter, and for a row that is longer or shorter than
    the head.
    """
    rows = [list(row) for row in rows]
    if not head or not all(str(title).strip() for title in head):
        raise ValueError("a table needs a head: a title for each column, which is read out with its cells")
    if not align or set(align) - set(RULES):
        raise ValueError(f"align must be letters out of {', '.join(RULES)}, got {align!r}")
    for number, row in enumerate(rows, 1):
        if len(row) != len(head):
            raise ValueError(f"row {number} of the table has {len(row)} cells and its head {len(head)}: {row}")
    rules = [RULES[align[min(k, len(align) - 1)]] for k in range(len(head))]
    lines = [_line(head), f"|{'|'.join(rules)}|", *map(_line, rows)]
    return Text("\n".join(lines) + (f"\n\n{note}" if note else ""))


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(content: object) -> str:
    if type(content) is int:  # True is no number to group
        return sign(f"{content:,}")
    text = re.sub(r"(?<!\\)\|", r"\|", str(content)).replace("\n", " ")  # a bare pipe would begin a new cell
    return text if "`" in text else re.sub(r"(?<![\w-])-(?=\d)", "−", text)  # of numbers, not of dates and names
