"""Records to matplotlib Axes, in one style.

Plain is vermilion, residual blue; deeper is heavier; training error is dashed, test error solid; seeds
are a mean line with a band of one standard deviation; a published value is an open circle.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
import json
import re

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..records import Record

STYLE = Path(__file__).with_name("book.mplstyle")
INK, MUTED = "#111112", "#767677"
COLORS = {"plain": "#D55E00", "residual": "#0072B2", "green": "#009E73", "purple": "#7A5195"}
AXIS = {"train_error": "training error", "test_error": "test error", "validation_error": "validation error",
        "test_error_mirrored": "test error with mirror images",
        "train_error_eval": "training error (evaluation mode)", "train_loss": "training loss", "test_loss": "test loss",
        "validation_loss": "validation loss", "train_loss_eval": "training loss (evaluation mode)"}


def kind(variant: str) -> str:
    """"plain" or "residual", by which a variant is colored; "green" for anything else."""
    head = variant.split("-")[0]
    return head if head in ("plain", "residual") else "green"


def depth(variant: str) -> int:
    """The depth in a variant's name ("plain-56-3x" -> 56); 20 where it has none."""
    numbers = re.findall(r"-(\d+)(?![\d.])", variant)
    return int(numbers[0]) if numbers else 20


def weight(variant: str) -> float:
    """Line weight in points: grows with depth."""
    return 1.1 if depth(variant) <= 20 else 1.6 if depth(variant) < 56 else 2.3


def by_variant(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each variant, in the order of first appearance."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.variant, []).append(record)
    return groups


def finals(records: Sequence[Record], field: str = "train_error") -> dict[str, list[float]]:
    """The last row's values of each variant, one a record: what `dots` draws. KeyError for an unknown field."""
    return {variant: [record.final[field] for record in group] for variant, group in by_variant(records).items()}


def axes(size: tuple[float, float] | None = None, columns: int = 1, share: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure in the book's style with ``columns`` panels, which ``share`` their vertical axis; size in inches."""
    with plt.style.context(STYLE, after_reset=True):  # not on top of a style of the reader's
        figure = Figure(figsize=size) if size else Figure()
        return figure, list(np.atleast_1d(figure.subplots(1, columns, sharey=share)))


def percent(axis) -> None:
    """Label an axis of fractions in per cent, with as many decimals as its ticks need."""
    axis.set_major_formatter(lambda value, _: f"{round(100 * value, 6):g}%".replace("-", "−"))


def bare(ax: Axes) -> None:
    """Take ticks and frame from a panel that holds a picture."""
    ax.set(xticks=[], yticks=[])
    for side in ax.spines.values():
        side.set_visible(False)


def curves(records: Sequence[Record], y: str = "train_error", ax: Axes | None = None,
           labels: bool = True, colors: dict[str, str] | None = None) -> Axes:
    """Error (or loss) against steps, one line a variant: mean over seeds, band ± one standard deviation.

    A run that was stopped is a line of its own, never part of a mean; it ends in an open square that
    says where, and the axis runs to the end of its recipe. Where one run of a variant is not finite there is no mean;
    the label says how many are not. ``colors``: variant -> one of COLORS, where it shall not be its kind's.
    """
    def color_of(variant: str) -> str:
        return COLORS[(colors or {}).get(variant, kind(variant))]

    if ax is None:
        ax = axes()[1][0]
    dashed = y.startswith("train")
    ends = []
    for variant, group in by_variant([r for r in records if r.finished]).items():
        color, width = color_of(variant), weight(variant)
        steps = [row["step"] for row in group[0].rows if y in row]
        values = np.array([r.column(y) for r in group], dtype=float)
        mean = values.mean(0)
        if 1 < len(group):
            ax.fill_between(steps, mean - values.std(0, ddof=1), mean + values.std(0, ddof=1), color=color, alpha=0.14,
                            linewidth=0)
        if 1 < len(group) < 5:
            ax.plot(steps, values.T, color=color, linewidth=0.5, alpha=0.55)
        ax.plot(steps, mean, color=color, linewidth=width, linestyle="--" if dashed else "-")
        lost = int((~np.isfinite(values[:, -1])).sum())
        known = values[np.isfinite(values)]
        label = f"{variant}: {lost} of {len(group)} not finite" if lost else variant
        ends.append((known[-1] if lost and known.size else mean[-1] if not lost else 0, label, color, steps[-1]))
    stopped = [r for r in records if not r.finished]
    for r in stopped:
        color, values = color_of(r.variant), r.column(y)
        steps = [row["step"] for row in r.rows if y in row]
        ax.plot(steps, values, color=color, linewidth=weight(r.variant), linestyle="--" if dashed else "-")
        ax.plot(steps[-1], values[-1], "s", ms=6, mfc="none", color=color)
        ends.append((values[-1], f" {r.variant}, {r.progress}", color, steps[-1]))
    ax.set_xlim(left=0, right=max(r.steps for r in stopped) if stopped else None)
    longest = max([end[3] for end in ends] + [r.steps for r in stopped])
    if longest >= 10_000:
        ax.xaxis.set_major_formatter(lambda x, _: f"{x / 1000:g}")
    ax.set_xlabel("steps, thousands" if longest >= 10_000 else "steps")
    ax.set_ylabel(AXIS.get(y, y))
    ax.set_ylim(bottom=0)
    if y.endswith("error") or "error_" in y:
        percent(ax.yaxis)
    if labels:
        label_ends(ax, ends)
    return ax


def label_ends(ax: Axes, ends: Sequence[tuple[float, str, str, float]]) -> None:
    """Names at the lines' right ends, ``(y, text, color, x)``, pushed apart as little as keeps them from overlapping.

    For axes whose limits and scale are set: heights are taken as fractions of the axis, so a logarithmic one will do.
    """
    from sklearn.isotonic import isotonic_regression  # takes a while

    to_fraction = ax.transData + ax.transAxes.inverted()
    heights, names = [], []
    for y, text, color, x in sorted(ends):
        heights.append(to_fraction.transform((x, y))[1])
        names.append(ax.annotate(text, (x, 0), xycoords=("data", "axes fraction"), xytext=(5, 0),
                                 textcoords="offset points", color=color, va="center", annotation_clip=False))
    inches = ax.figure.get_figheight() * ax.get_position().height
    line = 1.15 * names[0].get_fontsize() / 72 / inches  # of the axis
    # as near to the ends as distances of a line allow: least squares under an order, once the distances are taken off
    apart = line * np.arange(len(heights))
    heights = isotonic_regression(heights - apart, y_min=0.04, y_max=1 - apart[-1]) + apart
    for name, height in zip(names, heights, strict=True):
        name.xy = (name.xy[0], height)


def dots(groups: dict[str, Sequence[float]], colors: dict[str, str], xlabel: str, ax: Axes | None = None,
         reference: tuple[float, str] | None = None, percent_to: float | None = None) -> Axes:
    """One row a group: each value a small dot, the mean a large one. ``reference``: a vertical line, named.

    ``percent_to``: the values are fractions, on an axis in per cent from 0 to this one.
    """
    if ax is None:
        ax = axes((5.2, 0.32 * len(groups) + 0.9))[1][0]
    for k, (name, values) in enumerate(groups.items()):
        ax.plot(values, [k] * len(values), "o", ms=3.5, color=colors[name], alpha=0.6, mew=0, clip_on=False)
        ax.plot(np.mean(values), k, "o", ms=8, color=colors[name], mew=0, clip_on=False)
    ax.set_yticks(range(len(groups)), groups)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlabel(xlabel)
    if percent_to:
        ax.set_xlim(-0.02 * percent_to, percent_to)  # a dot at 0 does not touch its name
        percent(ax.xaxis)
    if reference:
        ax.axvline(reference[0], color=MUTED, linewidth=0.8)
        ax.annotate(reference[1], (reference[0], -0.6), xytext=(4, 2), textcoords="offset points", color=MUTED,
                    fontsize=9.5)
    return ax


def key(ax: Axes, variants: Sequence[str]) -> None:
    """Names in their colors in the upper right corner, for panels whose lines end in a bundle."""
    for k, variant in enumerate(variants):
        heavy = "bold" if weight(variant) > 2 else "normal"
        ax.annotate(variant, (1, 1), xytext=(0, -13 * k), xycoords="axes fraction", textcoords="offset points",
                    ha="right", va="top", color=COLORS[kind(variant)], fontweight=heavy, fontsize=9.5)


def layers(records: Sequence[Record], value: str, step: int, ax: Axes | None = None,
           limits: tuple[float, float] | None = None) -> Axes:
    """A probe's values at one step against the position of the layer, log scale; mean of the logarithms over seeds.

    ``value`` is one of probes.LAYER_FIELDS, or "relative_grad" for ‖∂L/∂W‖ · ‖W‖.
    """
    if ax is None:
        ax = axes()[1][0]
    for variant, group in by_variant(records).items():
        logs = np.log10([layer_values(record, value, step) for record in group])
        position = np.linspace(0, 1, logs.shape[1])
        ax.plot(position, 10 ** logs.mean(0), color=COLORS[kind(variant)], linewidth=weight(variant))
    ax.set_yscale("log")
    if limits:
        ax.set_ylim(*limits)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 1], ["first", "last"])
    for label, side in zip(ax.get_xticklabels(), ("left", "right"), strict=True):
        label.set_ha(side)  # panels stand close together
    ax.set_xlabel("layer", labelpad=-8)
    return ax


def layer_values(record: Record, value: str, step: int) -> np.ndarray:
    """A probe's values per layer at ``step``; ValueError names the steps that were probed."""
    probe = next((p for p in record.probes if p["step"] == step), None)
    if probe is None:
        raise ValueError(f"{record.variant} was not probed at step {step}; probed at "
                         f"{', '.join(str(p['step']) for p in record.probes)}")
    if value == "relative_grad":
        return np.array(probe["weight_grad_norm"], dtype=float) * np.array(probe["weight_norm"], dtype=float)
    return np.array(probe[value], dtype=float)


@lru_cache(maxsize=1)
def published() -> dict:
    """Published numbers with their sources (published.json); errors are fractions."""
    return json.loads((STYLE.parent.parent / "published.json").read_text(encoding="utf-8"))


def published_points(ax: Axes, key: str, field: str, deepest: int = 1202) -> None:
    """Open circles at (depth, value) for the published nets under ``key``, with their uncertainty."""
    table = published()[key]
    names = [n for n, v in table["values"].items() if field in v and depth(n) <= deepest]
    x, y = [depth(n) for n in names], [table["values"][n][field] for n in names]
    ax.errorbar(x, y, yerr=table.get("uncertainty"), fmt="o", mfc="none", color=COLORS[kind(names[0])], ms=7, capsize=0,
                elinewidth=1)
    ax.annotate(kind(names[0]), (x[-1], y[-1]), xytext=(9, 0), textcoords="offset points", va="center",
                color=COLORS[kind(names[0])])
