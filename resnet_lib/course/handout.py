"""What students are given: the chapter without its solutions, and each one's own numbers in the items of the pool."""

from pathlib import Path
import csv
import hashlib
import hmac
import json
import re

from .folder import Assignment, Course, CourseError
from .pool import PREFIX
from .submission import role


def read_roster(path: Path) -> dict[str, str]:
    """Number -> name of each student, from a table with the columns "number" and "name": the number by which Canvas or
    Moodle name the hand-ins, else any that the student puts in front of the file's name."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [{str(k).strip().lower(): (v or "").strip() for k, v in row.items()} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path} is no table that can be read ({type(error).__name__})") from error
    found = {row["number"]: row.get("name", "") for row in rows if row.get("number")}
    if not found:
        raise CourseError(f"{path} needs a first line  number,name  and a line for each student")
    if len(found) < sum(bool(row.get("number")) for row in rows):
        raise CourseError(f"{path} has a number twice")
    return found


def notebook(course: Course, assignment: Assignment, number: str) -> bytes:
    """The notebook of a student; ``number`` "" is everybody's."""
    content = json.loads((course.root / "chapters" / f"{assignment.chapter}.ipynb").read_text(encoding="utf-8"))
    cells = [c for c in content["cells"] if role(c) != "solution"]
    if assignment.runs:
        cells += _runs(course, assignment, number)
    items = [course.item(label) for label in assignment.points if label.startswith(PREFIX)]
    if items:
        cells.append(_cell("markdown", f"## {assignment.name}: more exercises", f"{assignment.name}-more"))
    for k, item in enumerate(items, 1):
        numbers = item.numbers(course.key, number)
        text = f"### Exercise {assignment.name}-{k}\n\n{item.text(numbers)}"
        cells.append(_cell("markdown", text, f"{item.label}-text"))
        cells.append(_cell("code", item.starter(numbers), item.label))
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
    experiment, tier, variants = assignment.runs.split("/")
    digest = hmac.new(course.key.encode(), f"seed\0{number}".encode(), hashlib.sha256).digest()
    seed = int.from_bytes(digest) % 1_000_000 if number else "...   # a number of six digits that nobody else takes"
    code = CODE.format(experiment=experiment, tier=tier, variants=variants.split(","), seed=seed)
    return [_cell("markdown", RUNS.format(name=assignment.name), f"{assignment.name}-runs-text"),
            _cell("code", code, f"{assignment.name}-runs")]


def _cell(kind: str, source: str, name: str) -> dict:
    code = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": re.sub(r"[^\w-]", "-", name)[:64], "metadata": {}, "source": source, **code}
