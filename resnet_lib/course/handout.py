"""What students are given: the chapter without its solutions, and each one's own numbers in the items of the pool."""

import json
import re

from .folder import Course
from .grade import Assignment
from .pool import PREFIX, own_number
from .runs import parts
from .submission import role


def notebook(course: Course, assignment: Assignment, number: str) -> bytes:
    """The notebook of a student; ``number`` "" is everybody's."""
    content = json.loads((course.root / "chapters" / f"{assignment.chapter}.ipynb").read_text(encoding="utf-8"))
    cells = [c for c in content["cells"] if role(c) != "solution"]
    more: list[dict] = []
    if assignment.runs:
        more += _runs(course, assignment, number)
    items = [course.item(label) for label in assignment.points if label.startswith(PREFIX)]
    if items:
        more.append(_cell("markdown", f"## {assignment.name}: more exercises", f"{assignment.name}-more"))
    for k, item in enumerate(items, 1):
        numbers = item.numbers(course.key, number)
        text = f"### Exercise {assignment.name}-{k}\n\n{item.text(numbers)}"
        more.append(_cell("markdown", text, f"{item.label}-text"))
        more.append(_cell("code", item.starter(numbers), item.label))
    # after the last exercise, before the page's end; and first of all, what counts
    place = 1 + max(k for k, cell in enumerate(cells) if role(cell) in ("text", "starter"))
    cells = [_cell("markdown", _asked(course, assignment), assignment.name), *cells[:place], *more, *cells[place:]]
    return (json.dumps({**content, "cells": cells}, indent=1, ensure_ascii=False) + "\n").encode()


RUNS = """## {name}: one experiment of the whole class

Train these nets with the seed below, which nobody else has. It takes about a minute on two processor cores. Then hand
in the files that the cell names, together with this notebook. They hold the course of training and no weights."""

CODE = """from resnet_lib import experiments, records

seed = {seed}
found = experiments.run("{experiment}", "{tier}", seeds=[seed],
                        variants={variants})
for path in sorted((records.live_root() / "{experiment}" / "{tier}").glob(
        f"*-s{{seed}}.*.json")):
    print(path)"""


def _runs(course: Course, assignment: Assignment, number: str) -> list[dict]:
    experiment, tier, variants = parts(assignment.runs)
    mine = own_number(course.key, "seed", number) % 1_000_000
    seed = mine if number else "...   # a number of six digits that nobody else takes"
    code = CODE.format(experiment=experiment, tier=tier, variants=variants, seed=seed)
    return [_cell("markdown", RUNS.format(name=assignment.name), f"{assignment.name}-runs-text"),
            _cell("code", code, f"{assignment.name}-runs")]


def _asked(course: Course, assignment: Assignment) -> str:
    """What is to be handed in, for the top of the notebook."""
    due = f", due {assignment.due.replace('T', ' at ')}" if assignment.due else ""
    lines = [f"**{course.title}: {assignment.name}**{due}. Hand in this notebook. These exercises count:\n"]
    lines += [f"- {label}: {most:g} point{'s' * (most != 1)}" for label, most in assignment.points.items()]
    lines += ["- the class's experiment: the files that its cell names"] * bool(assignment.runs)
    return "\n".join(lines)


def _cell(kind: str, source: str, name: str) -> dict:
    code = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": re.sub(r"[^\w-]", "-", name)[:64], "metadata": {}, "source": source, **code}
