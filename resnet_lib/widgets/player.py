"""One call for a figure that the reader can turn: sliders with a kernel, frames in the built page."""

from collections.abc import Callable, Sequence
from html import escape
import json
import os

from matplotlib.figure import Figure

from ..plots import Shown, credit, svg
from ..records import Record

MODES = ("auto", "frames", "ipywidgets")
MOST_FRAMES = 20
MOST_BYTES = 300_000
HIDE = "<style>body:has(.jupyter-widgets) .rn-still { display: none }</style>"  # where sliders live, no still picture


def frames(draw: Callable[[object], Figure], values: Sequence, label: str, alt: Callable[[object], str],
           records: Sequence[Record] = (), caption: str = "", source: str = "", kind: str = "published",
           table: str = "", start: int = 0, mode: str = "auto"):
    """``draw(value)`` for each of ``values``, chosen by a slider called ``label``.

    In the built book (environment variable RESNET_LIB_BOOK) every figure is drawn now and a
    ``<frame-player>`` steps through them without a kernel; elsewhere an ipywidgets slider redraws.
    ``alt(value)`` describes a frame in words, ``table`` is the HTML table behind the figure. ValueError
    for an unknown mode, and for more than 20 frames or 300 kB, which would make the page heavy.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode == "auto":
        mode = "frames" if os.environ.get("RESNET_LIB_BOOK") else "ipywidgets"
    if not 0 < len(values) <= MOST_FRAMES:
        raise ValueError(f"a figure needs 1 to {MOST_FRAMES} frames, got {len(values)}")
    if mode == "ipywidgets":
        return _slider(draw, values, label, alt, records, caption, source, kind, start)
    return _player(draw, values, label, alt, records, caption, source, kind, table, start)


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The HTML table behind a figure; the first cell of a row names it."""
    heads = "".join(f'<th scope="col">{escape(h)}</th>' for h in head)
    body = "".join(f'<tr><th scope="row">{escape(row[0])}</th>'
                   + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:]) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def within_limit(html: str, what: str, advice: str) -> Shown:
    """``html`` to show; ValueError, "``what`` N kB … ``advice``", where it would make the page heavy."""
    if len(html) > MOST_BYTES:
        raise ValueError(f"{what} {len(html) / 1000:.0f} kB, more than {MOST_BYTES / 1000:.0f}; {advice}")
    return Shown(html)


def _player(draw, values, label, alt, records, caption, source, kind, table, start) -> Shown:
    figures = "".join(f'<figure class="rn-frame"{"" if k == start else " hidden"}>{svg(draw(v), alt(v))}</figure>'
                      for k, v in enumerate(values))
    data = f'<details class="rn-data"><summary>Data table</summary>{table}</details>' if table else ""
    names = escape(json.dumps([str(v) for v in values]))
    html = (f'<frame-player label="{escape(label)}" values="{names}" start="{start}">{figures}'
            f'<p class="rn-caption">{caption} {credit(records, source, kind)}</p>{data}</frame-player>')
    return within_limit(html, "the frames weigh", "draw fewer frames or fewer points")


def _slider(draw, values, label, alt, records, caption, source, kind, start):
    import ipywidgets
    from IPython.display import HTML, display

    slider = ipywidgets.SelectionSlider(options=[(str(v), v) for v in values], index=start, description=label)
    view = ipywidgets.Output()

    def figure(value, words: str = "") -> str:
        return (f'<figure class="rn-figure">{svg(draw(value), alt(value))}'
                f"<figcaption>{words}{caption} {credit(records, source, kind)}</figcaption></figure>")

    def redraw(_change=None):
        with view:
            view.clear_output(wait=True)
            display(HTML(figure(slider.value)))

    slider.observe(redraw, "value")
    redraw()
    still(figure(values[start], f"{escape(label)} {escape(str(values[start]))}. "))
    return ipywidgets.VBox([slider, view])


def still(html: str) -> None:
    """Show what stands for widgets where none can live: in a notebook that is exported, or read without a kernel."""
    from IPython.display import HTML, display

    display(HTML(f'<div class="rn-still">{HIDE}{html}</div>'))
