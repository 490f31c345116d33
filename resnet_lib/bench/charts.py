"""A case of a bench record as a figure."""

from textwrap import shorten

from matplotlib.axes import Axes

from .. import plots


def ladder(ax: Axes, case: dict) -> Axes:
    """A case of a bench record: images a second of each contender, median dot on a line from lowest to highest round.

    From the plain loop down, each row of ours (filled) changes one thing more; peers are open. At the right of a row
    stands how many times the first row it is. Vertical lines: the convolutions alone, by precision.
    """
    order = sorted(case["contenders"].items(), key=lambda item: {"loop": 0, "d2l": 0, "strong": 2}.get(item[0], 1))
    base = next((c["images_per_second"] for _, c in order if not c["failed"]), None)
    for k, (key, c) in enumerate(order):
        if c["failed"]:
            ax.annotate(shorten(f"failed: {c['failed']}", 50, placeholder=" …"), (0, k), xytext=(4, 0), va="center",
                        textcoords="offset points", color=plots.MUTED, fontsize=9.5)
            continue
        color = plots.MUTED if key in ("loop", "strong", "d2l") else plots.COLORS["green"]
        ax.plot([c["low"], c["high"]], [k, k], color=color, linewidth=1.2)
        ax.plot(c["images_per_second"], k, "o", ms=7, color=color, mfc="none" if color == plots.MUTED else color)
        ax.annotate(f"{c['images_per_second'] / base:.3g}×", (1, k), xycoords=("axes fraction", "data"), xytext=(8, 0),
                    textcoords="offset points", va="center", color=color, fontsize=9.5)
    for k, (precision, line) in enumerate(case["roofline"].items()):
        x = case["batch"] / line["seconds"]
        ax.axvline(x, color=plots.MUTED, linewidth=0.8)
        ax.annotate(f"convolutions alone, {precision}", (x, -0.7), xytext=(0, 2 + 12 * k), textcoords="offset points",
                    ha="right", color=plots.MUTED, fontsize=9.5)
    ax.set_yticks(range(len(order)), [c["title"] for _, c in order])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(len(order) - 0.4, -0.7)
    ax.set_xlim(left=0)
    ax.set_xlabel("images a second")
    return ax
