"""Results that were typed into prose: python tools/notebooks/prose.py

A result is a number with a unit of outcome: per cent, points, times, seconds, pictures a second, ±, or an error or loss
followed by a decimal fraction. It has to come from {val} or from a cell, so that it changes when the run does. Not
results, and passed over:

- what is written as code or mathematics, and what an exercise states: its numbers are its own;
- numbers with no such unit: shapes, counts, years, sections, rates and steps of a recipe;
- the level of an interval ("95 % confidence interval");
- {given}`…`, which marks a number as quoted, assumed or given by definition. Its source stands beside it.
"""

import re
import sys

from book import Book
from inline import inlines
from parser import Directive, Exercise, Markdown, Page, blocks

AMOUNT = r"(?<![\w.,^/])[+−-]?\d[\d,]*(?:\.\d+)?"
SPACE = r"[ \u00a0\u202f\n]*"
UNIT = "|".join((
    r"%|‰|per ?cent\b|(?:percentage )?points?\b",
    r"-?times\b|-?fold\b|[×x](?![\w×])(?!" + SPACE + r"\d)",
    r"(?:[mµn]?s|min|h|seconds?|(?:milli|micro)seconds?|minutes?|hours?|days?)\b",
    r"(?:images|pictures|examples|samples|steps|tokens)" + SPACE + r"(?:/|per|a)" + SPACE + r"(?:s|sec|second)\b",
    r"[kMGTP]?(?:FLOPs?|OPs?|B|bytes?|bits?)/s\b",
))
SPREAD = r"±" + SPACE + r"\d[\d,.]*"
MEASURED = (r"\b(?:error|accuracy|loss|precision)(?:s|es)?\b[ \w]{0,24}?"
            r"\b(?:of|is|was|at|to|from|near|below|above|under|over)" + SPACE +
            r"(?:about |only |just |roughly )?(?:0?\.\d+)")
RESULT = re.compile(rf"{SPREAD}|{AMOUNT}{SPACE}(?:{UNIT})|{MEASURED}")
LEVEL = re.compile(r"\b(?:90|95|99)" + SPACE + r"%" + SPACE + r"(?:confidence )?(?:intervals?|bands?|level|limits?)\b")
SILENT = {"pages/glossary"}  # pages that state definitions only


def bare_numbers(page: Page) -> list[str]:
    """Each result that was typed into a page, as "line: number in its sentence"."""
    return [found for part in _prose(page.parts) for found in _of_text(part.source, part.line)]


def _prose(parts):
    for part in parts:
        if isinstance(part, Markdown):
            yield part
        elif isinstance(part, Directive) and not isinstance(part, Exercise):
            if part.argument and part.name not in ("code-cell", "code-block", "raw", "figure", "image", "interactive"):
                yield Markdown(part.line, part.argument)
            yield from _prose(part.parts)


def bare_in(text: str) -> list[str]:
    """The results in a piece of Markdown."""
    return [m[0] for _, shown in _shown(text) for m in RESULT.finditer(LEVEL.sub("\0", shown))]


def _of_text(text: str, line: int):
    for before, shown in _shown(text):
        for m in RESULT.finditer(LEVEL.sub(lambda level: "\0" * len(level[0]), shown)):
            around = " ".join(shown[max(0, m.start() - 40):m.end() + 25].replace("\0", "…").split())
            yield f"{line + before + shown[:m.start()].count(chr(10))}: {m[0]!r} in “{around}”"


def _shown(text: str):
    """Each block of Markdown with its first line's number, and only what is prose in it; lines keep their places."""
    done = 0
    for _, block in blocks(text):
        pieces = []
        for piece in inlines(block):
            if piece.kind == "text":
                pieces.append(re.sub(r"\]\([^)\n]*\)|<[^>\n]+>", "]", piece.source))
            else:
                pieces.append("\0" + "\n" * piece.source.count("\n"))
        yield done, "".join(pieces)
        done += block.count("\n")


def main() -> int:
    faults = [f"{name}.md:{fault}" for name, page in Book().pages.items() if name not in SILENT
              for fault in bare_numbers(page)]
    print("\n".join(faults) or "no bare result")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
