"""Predict, then reveal: the reader draws a guess of a curve before the measured one is shown."""

from collections.abc import Sequence
from html import escape
import os

import numpy as np

from .. import plots
from ..files import inline_json
from ..plots import Shown, credit, svg
from ..records import Record
from .player import MODES, still, table, within_limit

HANDLES = 5
TEXT = {
    "still": "Draw your guess on paper before you open the measured curves. (With JavaScript, you draw it here.)",
    "measured": "The measured curves and their numbers",
    "alt": "The curve of {shown}, and the bet on that of {hidden}, a line through the values of the sliders.",
    "reveal": "Reveal", "again": "Try again",
    "off": "Your bet was {points:.1f} points off on average, {side}.",
    "sides": {-1: "mostly too low", 0: "too low at some steps and too high at others", 1: "mostly too high"},
}


def curve(shown: Sequence[Record], hidden: Sequence[Record], y: str = "train_error", alt: str = "",
          caption: str = "", chance: float | None = None, mode: str = "auto"):
    """A chart with the mean of ``shown`` and handles for a guess of ``hidden``; both lists hold one variant's seeds.

    In the built book a ``<predict-curve>``, whose fall-back is the measured figure in a fold; elsewhere sliders of
    ipywidgets. ``alt`` says what the measured figure shows, ``chance`` is the error of guessing (a line).
    ValueError for an unknown mode, for lists of more than one variant, and for rows at different steps.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode == "auto":
        mode = "frames" if os.environ.get("RESNET_LIB_BOOK") else "ipywidgets"
    data = prediction(shown, hidden, y, chance)
    if mode == "ipywidgets":
        return _sliders(data, shown, hidden, y, caption)
    return _element(data, [*shown, *hidden], y, alt, caption)


def prediction(shown: Sequence[Record], hidden: Sequence[Record], y: str, chance: float | None = None) -> dict:
    """What the element reads: steps, places of the handles, and both curves; errors are fractions."""
    steps = [row["step"] for row in shown[0].rows if y in row] if shown else []
    for group in (shown, hidden):
        variants = list(plots.by_variant(group))
        if len(variants) != 1:
            raise ValueError(f"one variant at a time, got {', '.join(variants) or 'none'}")
        if any([row["step"] for row in r.rows if y in row] != steps for r in group):
            raise ValueError(f"{group[0].variant} has rows at other steps than {shown[0].variant}")
    return {"y": plots.AXIS.get(y, y), "steps": steps, "handles": handle_places(len(steps)), "chance": chance,
            "shown": _curve(shown, y), "hidden": _curve(hidden, y)}


def handle_places(n: int) -> list[int]:
    """About HANDLES of ``n`` points: even steps back from the last one, and the first."""
    stride = max(1, -(-(n - 1) // (HANDLES - 1)))
    return sorted({0, *range(n - 1, -1, -stride)})


def miss(data: dict, guess: Sequence[float]) -> tuple[float, float]:
    """Mean absolute and mean signed difference of guess and measured mean, in points; ``guess`` at the handles."""
    steps = np.array(data["steps"], dtype=float)
    line = np.interp(steps, steps[data["handles"]], guess)
    off = 100 * (line - np.array(data["hidden"]["mean"]))
    return float(np.abs(off).mean()), float(off.mean())


def sentence(points: float, signed: float) -> str:
    """What `miss` found, in words."""
    side = TEXT["sides"][0 if abs(signed) < points / 2 else (1 if signed > 0 else -1)]
    return TEXT["off"].format(points=points, side=side)


def _curve(records: Sequence[Record], y: str) -> dict:
    runs = np.array([r.column(y) for r in records], dtype=float)
    mean, std = runs.mean(0), runs.std(0, ddof=1) if len(runs) > 1 else np.zeros(runs.shape[1])
    parts = {"mean": mean, "low": np.clip(mean - std, 0, 1), "high": np.clip(mean + std, 0, 1)}
    return {"name": records[0].variant, "runs": runs.round(5).tolist(),
            **{name: values.round(5).tolist() for name, values in parts.items()}}


def _element(data: dict, records: Sequence[Record], y: str, alt: str, caption: str) -> Shown:
    if not alt:
        raise ValueError("a figure needs alt=…: one sentence that says what it shows")
    names = [data[part]["name"] for part in ("shown", "hidden")]
    rows = [[f"{step:,}", *(f"{100 * data[part]['mean'][i]:.1f} %" for part in ("shown", "hidden"))]
            for i, step in enumerate(data["steps"])]
    figure = f'<figure class="rn-frame">{svg(plots.curves(records, y).figure, alt)}</figure>'
    numbers = table(f"{data['y']}, mean over {len(data['hidden']['runs'])} seeds", ["step", *names], rows)
    html = (f'<predict-curve><script type="application/json">{inline_json(data)}</script>'
            f'<p class="rn-predict-still">{escape(TEXT["still"])}</p>'
            f'<details class="rn-data"><summary>{escape(TEXT["measured"])}</summary>{figure}{numbers}</details>'
            f'<p class="rn-caption">{caption} {credit(records)}</p></predict-curve>')
    return within_limit(html, "the element weighs", "use records with fewer rows")


def _sliders(data: dict, shown: Sequence[Record], hidden: Sequence[Record], y: str, caption: str):
    """The same for a live kernel: a slider for each handle, a button, and the figure."""
    import ipywidgets
    from IPython.display import HTML, display

    start = [round(data["shown"]["mean"][place], 2) for place in data["handles"]]
    sliders = [ipywidgets.FloatSlider(value, min=0, max=1, step=0.01, description=f"step {data['steps'][place]}",
                                      readout_format=".0%", continuous_update=False)
               for place, value in zip(data["handles"], start, strict=True)]
    reveal = ipywidgets.Button(description=TEXT["reveal"])
    again = ipywidgets.Button(description=TEXT["again"])
    view, revealed = ipywidgets.Output(), [False]

    def redraw(_change=None):
        guess = [slider.value for slider in sliders]
        ax = plots.curves([*shown, *hidden] if revealed[0] else shown, y)
        ax.plot([data["steps"][place] for place in data["handles"]], guess, "o-", color=plots.INK, mfc="white")
        ax.set_ylim(0, 1)
        with view:
            view.clear_output(wait=True)
            said = sentence(*miss(data, guess)) if revealed[0] else ""
            picture = svg(ax.figure, TEXT["alt"].format(**{part: data[part]["name"] for part in ("shown", "hidden")}))
            display(HTML(f'<figure class="rn-figure">{picture}<figcaption>{caption} {credit([*shown, *hidden])}'
                         f"</figcaption></figure><p>{escape(said)}</p>"))

    def turn(to: bool):
        revealed[0] = to
        if not to:
            for slider, value in zip(sliders, start, strict=True):
                slider.value = value
        redraw()

    reveal.on_click(lambda _: turn(True))
    again.on_click(lambda _: turn(False))
    for slider in sliders:
        slider.observe(redraw, "value")
    redraw()
    names = {part: data[part]["name"] for part in ("shown", "hidden")}
    still(f'<figure class="rn-figure">{svg(plots.curves([*shown, *hidden], y).figure, TEXT["alt"].format(**names))}'
          f"<figcaption>{caption} {credit([*shown, *hidden])}</figcaption></figure>")
    return ipywidgets.VBox([*sliders, ipywidgets.HBox([reveal, again]), view])
