"""All runs of an experiment in one chart that can be asked: which variants, which seeds, which numbers where."""

from collections.abc import Mapping, Sequence
from html import escape
import json
import math
import os

import numpy as np

from .. import plots
from ..files import inline_json
from ..plots import Shown, credit, svg
from ..records import Record
from .player import table, within_limit

MODES = ("auto", "frames", "static")
MOST_SHOWN = 6
TEXT = {"table": "Data table", "last": "The last row of each variant: mean ± one standard deviation over seeds",
        "head": ["variant", "step", "runs"], "lost": "{lost} of {n} not finite"}


def curves(records: Sequence[Record], y: Sequence[str] = ("train_error", "test_error"), alt: str = "",
           caption: str = "", shown: Sequence[str] | None = None, drawn: Sequence[str] | None = None,
           colors: Mapping[str, str] | None = None, marks: Mapping[int, str] | None = None, published: str = "",
           try_this: str = "", name: str = "", mode: str = "auto") -> Shown:
    """A ``<curve-explorer>`` of the records: columns ``y`` against steps, each variant switched on and off.

    In the built book the element, with the figure of the first column as its fall-back; elsewhere that figure and the
    table of the last rows (a kernel is not asked to redraw: `plots.curves` does that in a cell). ``shown``: the
    variants it begins with, else the first six; ``drawn``: the columns it begins with, else all; ``colors``: variant ->
    one of plots.COLORS, where it shall not be its kind's; ``marks``: step -> words beside a vertical line;
    ``published``: a key of published.json, whose values become open circles; ``try_this``: what to look for; ``name``:
    the element's id and its key in the address.

    ValueError: an unknown mode, variant or column, no alt, rows of a variant at different steps, runs of one variant
    from more than one tier or data set, and more than 300 kB.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if not alt:
        raise ValueError("a figure needs alt=…: one sentence that says what it shows")
    data = exploration(records, y, shown, colors, marks, published, drawn) | ({"tryThis": try_this} if try_this else {})
    tones = {v["name"]: v["color"] for v in data["variants"]}
    first = [r for r in records if r.variant in {v["variant"] for v in data["variants"] if v["name"] in data["shown"]}]
    figure = svg(plots.curves(first, y[0], colors=tones).figure, alt)
    source = f"{plots.published()[published]['source']}" if published else ""
    words = f"{caption} {credit(records, source)}"
    numbers = f'<details class="rn-data"><summary>{TEXT["table"]}</summary>{last_rows(data)}</details>'
    if mode == "static" or mode == "auto" and not os.environ.get("RESNET_LIB_BOOK"):
        return Shown(f'<figure class="rn-figure">{figure}<figcaption>{words}</figcaption></figure>{numbers}')
    html = (f'<curve-explorer{f" id={json.dumps(escape(name))}" if name else ""}>'
            f'<script type="application/json">{inline_json(data)}</script>'
            f'<figure class="rn-frame rn-curves-still">{figure}</figure>{numbers}'
            f'<p class="rn-caption">{words}</p></curve-explorer>')
    return within_limit(html, "the element weighs", "use fewer variants, fewer columns, or records with fewer rows")


def exploration(records: Sequence[Record], y: Sequence[str], shown: Sequence[str] | None = None,
                colors: Mapping[str, str] | None = None, marks: Mapping[int, str] | None = None,
                published: str = "", drawn: Sequence[str] | None = None) -> dict:
    """What the element reads. Errors are fractions; null stands for a number that was not finite.

    A stopped run is an entry of its own, as in `plots.curves`. ``at`` of a series is a place in ``steps``.
    """
    steps: list[list[int]] = []
    groups = _groups(records)
    tones = _tones([variant for variant, _ in groups]) | dict(colors or {})
    variants = [_entry(group, y, steps, tones[variant]) for (variant, _), group in groups.items()]
    names = [v["name"] for v in variants]
    wanted = list(shown) if shown is not None else names[:MOST_SHOWN]
    if not wanted:
        raise ValueError("shown: name at least one variant, so that something is seen before any touch")
    if unknown := [n for n in wanted if n not in names]:
        raise ValueError(f"shown: no run is called {', '.join(unknown)}; there are {', '.join(names)}")
    if unknown := [f for f in drawn or () if f not in y]:
        raise ValueError(f"drawn: {', '.join(unknown)} is not among the columns {', '.join(y)}")
    fields = [{"field": f, "name": plots.AXIS.get(f, f), "train": f.startswith("train"), "percent": "error" in f}
              for f in y]
    return {"fields": fields, "steps": steps, "variants": variants, "shown": wanted, "drawn": list(drawn or y),
            "end": max([r.steps for r in records] + [s[-1] for s in steps]),
            "marks": [{"step": step, "name": words} for step, words in (marks or {}).items()],
            "published": _published(published, y, names)}


def _tones(variants: Sequence[str]) -> dict[str, str]:
    """A color of plots.COLORS for each: plain and residual their own, the others green and purple in turn by stem."""
    stems = dict.fromkeys(v.split("-")[0] for v in variants)
    others = [stem for stem in stems if plots.kind(stem) == "green"]
    tone = {stem: plots.kind(stem) for stem in stems} | {s: ("green", "purple")[k % 2] for k, s in enumerate(others)}
    return {v: tone[v.split("-")[0]] for v in variants}


def _groups(records: Sequence[Record]) -> dict[tuple, list[Record]]:
    """Finished runs by variant; stopped ones each alone."""
    groups: dict[tuple, list[Record]] = {}
    for r in records:
        groups.setdefault((r.variant, None if r.finished else r.seed), []).append(r)
    for (variant, _), group in groups.items():
        if len({(r.experiment, r.tier, r.data["sha256"]) for r in group}) > 1:
            raise ValueError(f"{variant}: runs of more than one experiment, tier or data set have no common mean")
        if len({r.seed for r in group}) < len(group):
            raise ValueError(f"{variant}: a seed comes twice")
    if not groups:
        raise ValueError("there are no records to show")
    return groups


def _entry(group: list[Record], y: Sequence[str], steps: list[list[int]], color: str) -> dict:
    variant, first = group[0].variant, group[0]
    entry = {"name": variant if first.finished else f"{variant}-s{first.seed}", "variant": variant,
             "color": color, "weight": plots.weight(variant),
             "seeds": [r.seed for r in group], "stopped": "" if first.finished else first.progress,
             "lost": [_lost_from(r) for r in group], "series": {}}
    for field in y:
        at = [row["step"] for row in first.rows if field in row]
        if any([row["step"] for row in r.rows if field in row] != at for r in group):
            raise ValueError(f"{variant}: {field} stands at different steps in different runs, so there is no mean")
        if at:
            if at not in steps:
                steps.append(at)
            entry["series"][field] = {"at": steps.index(at), **_statistics([r.column(field) for r in group])}
    if not entry["series"]:
        raise ValueError(f"{variant}: no row has {' or '.join(y)}; the rows have {', '.join(first.final)}")
    return entry


def _statistics(columns: list[list]) -> dict:
    """Runs, and over them mean and standard deviation; null where a run is not finite: the rest is no mean."""
    runs = np.array(columns, dtype=float)
    runs[~np.isfinite(runs)] = np.nan
    std = runs.std(0, ddof=1) if len(runs) > 1 else np.full(runs.shape[1], np.nan)
    return {"runs": [_plain(run) for run in runs], "mean": _plain(runs.mean(0)), "std": _plain(std, 4)}


def _plain(values: np.ndarray, digits: int = 5) -> list[float | None]:
    """Numbers for JSON, to so many digits."""
    return [None if math.isnan(v) else float(f"{v:.{digits}g}") for v in values]


def _lost_from(record: Record) -> int | None:
    """The first step at which a number of the row was not finite: the run has diverged, whatever its error says."""
    return next((row["step"] for row in record.rows
                 if any(v is None or isinstance(v, float) and not math.isfinite(v) for v in row.values())), None)


def _published(key: str, y: Sequence[str], names: list[str]) -> list[dict]:
    if not key:
        return []
    entry = plots.published()[key]
    return [{"name": name, "field": f, "value": values[f], "uncertainty": values.get("std", entry.get("uncertainty"))}
            for name, values in entry["values"].items() if name in names for f in y if f in values]


def last_rows(data: dict) -> str:
    """The HTML table of the last row of each variant."""
    rows = []
    for v in data["variants"]:
        end = max(data["steps"][s["at"]][-1] for s in v["series"].values())
        rows.append([v["name"], f"{end:,}", str(len(v["seeds"])),
                     *(_cell(v["series"].get(f["field"]), f["percent"]) for f in data["fields"])])
    return table(TEXT["last"], TEXT["head"] + [f["name"] for f in data["fields"]], rows)


def _cell(series: dict | None, percent: bool) -> str:
    if series is None:
        return "–"
    lost = sum(run[-1] is None for run in series["runs"])
    if lost:
        return TEXT["lost"].format(lost=lost, n=len(series["runs"]))
    mean, std = series["mean"][-1], series["std"][-1]
    say = (lambda v: f"{100 * v:.2f}") if percent else (lambda v: f"{v:.4g}")
    return say(mean) + (f" ± {say(std)}" if std is not None else "") + (" %" if percent else "")
