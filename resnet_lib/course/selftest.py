"""Whether the book's own solutions get their points here, and its starters none."""

from collections.abc import Sequence
from pathlib import Path
import json
import tempfile

from ..files import write_atomically
from . import report
from .folder import Course
from .grade import Grade
from .several import Work, judged


def passes(course: Course, names: Sequence[str], jobs: int, patience: float = 1.0) -> bool:
    """Hand in every solution and every starter of the chapters (all, where none is named); prints what went wrong."""
    well, by_eye, counts = True, 0, dict.fromkeys(report.WORDS, 0)
    for name in names or course.chapters:
        chapter = course.chapter(name)
        sources = {"solution": map(chapter.solution, chapter.exercises),
                   "starter": map(chapter.starter, chapter.exercises)}
        with tempfile.TemporaryDirectory() as folder:
            work = []
            for kind, codes in sources.items():
                path = Path(folder) / f"{kind}.ipynb"
                write_atomically(path, lambda file, codes=codes: file.write(_notebook(codes)))
                work.append(Work(Grade(kind, kind, "", path.name, "", False), path))
            for grade in judged(course.root / "chapters" / f"{name}.ipynb", chapter.exercises, work, jobs,
                                patience=patience):
                solution = grade.student == "solution"
                for label, decision in grade.decisions.items():
                    said = decision["proposal"] or decision
                    good = (said["state"] == "right") == solution and said["state"] != "open"
                    well &= good
                    counts[said["state"]] += solution
                    by_eye += solution and decision["state"] == "hand"
                    if not good:
                        print(f"FAILED {label}, the {grade.student} is {report.WORDS[said['state']]}: {said['text']}")
        print(f"{name}: {len(chapter.exercises)} solutions and starters tried", flush=True)
    found = ", ".join(f"{n} {report.WORDS[state]}" for state, n in counts.items() if n)
    beside = f", {by_eye} of them beside their code" if by_eye else ""
    print(f"{found}{beside}: {'all is' if well else 'something is not'} well")
    return well


def _notebook(codes) -> bytes:
    cells = [{"cell_type": "code", "source": f"mine = True\n\n{code}", "metadata": {}, "outputs": [],
              "execution_count": None} for code in codes]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
