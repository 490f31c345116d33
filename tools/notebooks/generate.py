"""Make the notebook beside each chapter: python tools/notebooks/generate.py [--check]

chapters/<slug>.md is the source, chapters/<slug>.ipynb is made from it: without outputs, the same bytes each time, and
with nothing in it that only the builder of the book understands. --check says which are out of date and writes nothing.
"""

import argparse
import json
import os
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

from book import ROOT, Book
from translator import Cells, identified
from first_cell import first_cell
from parser import Solution, SourceError
from words import TranslationError

from resnet_lib import values
from resnet_lib.course import cells as course_cells

NOTE = """> **This is a notebook of *{title}*.** Run its first cell first. A value that only a run can tell stands as
> **⟨its name⟩** in the text, and a cell below prints it. The experiments run on the digits that come with scikit-learn
> as long as the real pictures are not in `data/` beside this file; `%run -m resnet_lib data` fetches them. Figures say
> what they used.{folded}"""


class Fixed:
    """Values that are the same wherever a notebook is opened: published ones, recorded runs, what is declared."""

    def __init__(self, root: Path):
        self.root = root

    def __call__(self, expression: str) -> str | None:
        """The text of a value, or None where only a run of the reader's can tell."""
        from resnet_lib import experiments, plots

        before = os.environ.get("RESNET_LIB_HOME")
        os.environ["RESNET_LIB_HOME"] = str(self.root)  # records of this book, whatever else is on this machine
        try:
            shown = values.declared(expression, experiments, data=False)
            if not shown and not re.search(r"/quick\b", expression):
                shown = values.resolve(expression, _Committed(experiments), plots.published())
        finally:
            os.environ.pop("RESNET_LIB_HOME")
            if before is not None:
                os.environ["RESNET_LIB_HOME"] = before
        return shown and shown.text


class _Committed:
    """resnet_lib.experiments as it is on a machine that has trained nothing and has no data."""

    def __init__(self, experiments):
        self.EXPERIMENTS, self._experiments = experiments.EXPERIMENTS, experiments

    def find(self, name: str, tier: str, variant: str, unfinished: bool = False) -> list:
        """The committed records of a variant, by seed."""
        from resnet_lib.records import UNFINISHED, recorded_root

        found = []
        for seed in self._experiments.seeds_of(name, tier, variant):
            for ending in (".json", UNFINISHED) if unfinished else (".json",):
                path = recorded_root() / name / tier / f"{variant}-s{seed}{ending}"
                if path.exists():
                    found.append(self._experiments.committed_record(path))
                    break
        return found


@cache
def version(root: Path = ROOT) -> str:
    """The version of resnet_lib, which is that of the release."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def notebook(book: Book, name: str) -> dict:
    """The notebook of a chapter. SourceError, TranslationError or ValueProblem where it cannot be made."""
    page = book.pages[name]
    made = Cells(book, name, Fixed(book.root), NOTE.format(
        title=book.config["title"], folded=" Solutions are folded." if any(page.walk(Solution)) else ""))
    for part in page.parts:
        made.add(part)
    cells = made.finish()
    codes = [c["source"] for c in cells if c["cell_type"] == "code"]
    first = {"cell_type": "code", "execution_count": None, "outputs": [],
             "metadata": {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["setup"]},
             "source": first_cell(codes, version(), book.repository)}
    cells = identified([first, *cells], name)
    course_cells.complete(cells)
    folded = [c["id"] for c in cells if "heading_collapsed" in c["metadata"]]
    return {
        "cells": [{**c, "source": c["source"].splitlines(keepends=True)} for c in cells],
        "metadata": {
            "colab": {"collapsed_sections": folded, "provenance": [], "toc_visible": True},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def text_of(content: dict) -> str:
    """A notebook as the text of its file."""
    return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/notebooks/generate.py", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if any is out of date")
    options = parser.parse_args(argv)
    book, stale = Book(), 0
    for name in book.chapters:
        path = ROOT / f"{name}.ipynb"
        wanted = text_of(notebook(book, name)).encode()
        if path.is_file() and path.read_bytes() == wanted:
            continue
        stale += 1
        if options.check:
            print(f"{name}.ipynb is not what {name}.md makes: python tools/setup.py notebooks", file=sys.stderr)
        else:
            path.write_bytes(wanted)
            print(f"{name}.ipynb written")
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        if not path.with_suffix(".md").exists():
            stale += 1
            print(f"{path.name} has no chapter: delete it", file=sys.stderr)
    print(f"{len(book.chapters)} notebooks, {'all up to date' if not stale else f'{stale} changed'}")
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (SourceError, TranslationError, values.ValueProblem) as problem:
        sys.exit(f"error: {problem}")
