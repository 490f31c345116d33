"""A class's result: the runs that students hand in, each with a seed of its own, as one experiment.

A student trains the same few nets with a seed that the course gave; the course pools what comes in, a difference for
each student, and draws it with its interval. Records carry a digest of their rows, which finds damage and careless
edits; it is no seal, since whoever has the library can make one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
import math

from .. import experiments, records

MOST = 2 << 20  # bytes of a record
FIELDS = ("train_error", "test_error")


class RunsError(ValueError):
    """Why there is no class result; the message says what is missing."""


@dataclass(frozen=True)
class Result:
    """Pairs of final errors (first variant, second variant), one for each seed, and what was left out and why."""

    experiment: str
    tier: str
    variants: tuple[str, str]
    field: str
    pairs: dict[int, tuple[float, float]]
    found: list[records.Record]
    left_out: list[str]

    @property
    def differences(self) -> list[float]:
        """Second minus first, in points, by seed."""
        return [100 * (b - a) for _, (a, b) in sorted(self.pairs.items())]

    def interval(self, level: float = 0.95) -> tuple[float, float, float]:
        """Mean and both ends of Student's interval for the mean difference, in points; two pairs or more."""
        from scipy.stats import t  # takes a while

        values = self.differences
        half = float(t.ppf((1 + level) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
        return mean(values), mean(values) - half, mean(values) + half


def parts(text: str) -> tuple[str, str, list[str]]:
    """Experiment, tier and the two variants of "degradation/quick/plain-56,residual-56"; ValueError names what is
    valid."""
    experiment, _, rest = text.partition("/")
    tier, _, names = rest.partition("/")
    variants = [name.strip() for name in names.split(",")]
    if len(variants) != 2:
        raise RunsError(f"runs are named as degradation/quick/plain-56,residual-56: two variants, got {text!r}")
    for variant in variants:
        experiments.seeds_of(experiment, tier, variant)
    return experiment, tier, variants


def result(files: Sequence[tuple[str, Path]], experiment: str, tier: str, variants: Sequence[str], field: str,
           ) -> Result:
    """Pool the records (student, file). RunsError where fewer than two students' pairs count."""
    good, left_out = [], []
    for student, path in files:
        try:
            if path.stat().st_size > MOST:
                raise records.RecordError(f"more than {MOST >> 20} MB")
            record = records.read(path, live=True)
        except records.RecordError as error:
            left_out.append(f"{student}, {path.name}: {str(error).removeprefix(f'{path}: ')}")
            continue
        if (record.experiment, record.tier) != (experiment, tier) or record.variant not in variants:
            left_out.append(f"{student}, {path.name}: a run of {record.experiment}/{record.tier}/{record.variant}")
        elif not record.finished:
            left_out.append(f"{student}, {path.name}: {record.progress}")
        else:
            good.append((student, record))
    # the same recipe and pictures: what most have; a declaration that differs is another experiment
    of = {variant: Counter(_what(r) for _, r in good if r.variant == variant) for variant in variants}
    chosen, by_seed = {}, {}
    for student, record in good:
        if _what(record) != of[record.variant].most_common(1)[0][0]:
            left_out.append(f"{student}, {record.variant}: other pictures or another recipe than most")
        elif (record.variant, record.seed) in chosen:
            left_out.append(f"{student}, {record.variant}: seed {record.seed} is there already, from "
                            f"{by_seed[record.variant, record.seed]}")
        else:
            chosen[record.variant, record.seed], by_seed[record.variant, record.seed] = record, student
    seeds = [seed for variant, seed in chosen if variant == variants[0] and (variants[1], seed) in chosen]
    pairs = {seed: tuple(chosen[variant, seed].final[field] for variant in variants) for seed in seeds}
    if len(pairs) < 2:
        raise RunsError(f"{len(pairs)} students have handed in finished runs of both {' and '.join(variants)} with one "
                        f"seed, and an interval takes two{': ' if left_out else ''}{'; '.join(left_out[:5])}")
    return Result(experiment, tier, tuple(variants), field, pairs,
                  [chosen[variant, seed] for seed in seeds for variant in variants], left_out)


def _what(record: records.Record) -> str:
    recipe = {name: value for name, value in record.recipe.items() if name != "seed"}
    return repr((sorted(recipe.items()), sorted(record.net.items()), sorted(record.data.items(), key=str)))


def draw(found: Result, path: Path) -> None:
    """The class's pairs as one figure (SVG or PNG by the name): a line for each student, the mean and its interval."""
    from matplotlib import pyplot as plt

    from .. import plots

    middle, low, high = found.interval()
    figure, (left, right) = plots.axes((8, 3.6), 2, share=False)
    for pair in found.pairs.values():
        left.plot((0, 1), pair, color=plots.MUTED, linewidth=0.8, marker="o", markersize=3)
    left.set_xticks((0, 1), found.variants)
    left.set_xlim(-0.3, 1.3)
    plots.percent(left.yaxis)
    left.set_ylabel(plots.AXIS[found.field])
    left.set_title(f"{len(found.pairs)} students, a seed each", loc="left")
    values = sorted(found.differences)
    right.plot(range(1, len(values) + 1), values, "o", color=plots.INK, markersize=4)
    right.axhspan(low, high, color=plots.COLORS["residual"], alpha=0.25, linewidth=0)
    right.axhline(middle, color=plots.COLORS["residual"])
    right.axhline(0, color=plots.MUTED, linewidth=0.8)
    right.set_xticks([1, len(values)] if len(values) > 8 else range(1, len(values) + 1))
    right.set_xlabel("students, by size of the difference")
    right.set_ylabel(f"{found.variants[1]} − {found.variants[0]}, points")
    right.set_title(f"mean {middle:+.1f}, interval {low:+.1f} to {high:+.1f}", loc="left")
    figure.savefig(path, bbox_inches="tight", dpi=150)
    plt.close(figure)
