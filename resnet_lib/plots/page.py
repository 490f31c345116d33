"""Figures in a page: SVG that follows the page's theme, with caption, badge and provenance line."""

from collections.abc import Sequence
from datetime import date
from html import escape
import hashlib
import io
import re

import matplotlib.pyplot as plt
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from ..records import Record, provenance
from .drawing import COLORS, INK, MUTED, STYLE

# what a color of a figure becomes in the page; outside the book the variables' defaults hold
PAGE = {INK: "currentColor", MUTED: "var(--rn-muted, #767677)"} | {
    color: f"var(--rn-{name}, {color})" for name, color in COLORS.items()}
# two of these are too faint for words on white (3.8 and 3.3 to 1, where WCAG 2.1 asks for 4.5)
WORDS = COLORS | {"plain": "#A34700", "green": "#077656"}


def svg(figure: Figure, alt: str) -> str:
    """The figure as inline SVG: theme colors, the page's fonts, ids of its own, byte-stable."""
    buffer = io.StringIO()
    usual = (0, 0, 0), to_rgb(plt.rcParams["text.color"])
    for words in figure.findobj(Text):  # written outside the style: in a color that some page hides, perhaps for TeX
        if to_rgb(words.get_color()) in usual:
            words.set_color(INK)
        words.set_usetex(False)
    with plt.style.context(STYLE, after_reset=True):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>\s*|<!--.*?-->\s*|<style[^>]*>.*?</style>\s*", "", text, flags=re.S)
    for color, page in PAGE.items():
        text = re.sub(re.escape(color), page, text, flags=re.I)
    text = re.sub(r"<text\b[^>]*>", lambda tag: re.sub(r"var\(--rn-(\w+), #\w+\)", _word_color, tag[0]), text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = re.sub(r"<defs>\s*</defs>\s*", "", text)
    used = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", text))
    used = {a or b for a, b in used}
    prefix = "f" + hashlib.sha256((alt + text).encode()).hexdigest()[:8]
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    text = re.sub(r'(?:xlink:)?href="#', f'href="#{prefix}-', text)
    head, rest = text.split(">", 1)
    head = re.sub(r' (width|height|version|xmlns:xlink)="[^"]*"', "", head)
    label = f' role="img" aria-label="{escape(alt)}" stroke-linejoin="round" stroke-linecap="butt">'
    return head + label + rest.strip()


def _word_color(match: re.Match) -> str:
    """The color of a line as that of a word."""
    name = match[1]
    return f"var(--rn-{name}-word, {WORDS[name]})" if name in WORDS else match[0]


def here(threads: int = 1) -> str:
    """This processor, torch and today in words: the ``source`` of what a page measures itself."""
    import torch
    from ..machine import environment  # needs torch, which no drawing does

    machine = environment(torch.device("cpu"))
    return (f"{machine['device']}, {threads} thread{'s' * (threads != 1)} · torch {machine['versions']['torch']} · "
            f"{date.today()}")


class Shown:
    """A figure with its caption, badge and provenance, as a notebook displays it."""

    def __init__(self, html: str):
        self.html = html

    def _repr_html_(self) -> str:
        return self.html


KINDS = ("published", "live", "recorded")


def credit(records: Sequence[Record], source: str = "", kind: str = "published") -> str:
    """Badge and provenance line, as HTML, for records and/or another source.

    ``kind`` is what ``source`` is: "published", or for measurements that are no runs "live" or "recorded".
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    parts = []
    for word, look in (("live", "live"), ("recorded", "recorded"), ("unfinished", "recorded")):
        some = [r for r in records if word == ("unfinished" if not r.finished else "live" if r.live else "recorded")]
        if some:
            parts.append(f'<span class="rn-badge rn-{look}">{word}</span> '
                         f'<span class="rn-provenance">{escape(provenance(some))}</span>')
    if source:
        parts.append(f'<span class="rn-badge rn-{kind}">{kind}</span> '
                     f'<span class="rn-provenance">{escape(source)}</span>')
    if not parts:
        raise ValueError("a figure needs records=… or source=… to say where its data come from")
    return "<br>".join(parts)


def show(figure: Figure, records: Sequence[Record] = (), alt: str = "", caption: str = "", source: str = "",
         kind: str = "published") -> Shown:
    """A figure for a page. ``alt`` says in words what it shows; ValueError without it or without an origin.

    ``source`` and ``kind``: see `credit`.
    """
    if not alt:
        raise ValueError("a figure needs alt=…: one sentence that says what it shows")
    return Shown(f'<figure class="rn-figure">{svg(figure, alt)}<figcaption>{caption} {credit(records, source, kind)}'
                 "</figcaption></figure>")
