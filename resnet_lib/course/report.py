"""What leaves a course: a page of feedback for each student, tables of points for Canvas, Moodle and spreadsheets."""

from html import escape
import csv
import io
import re

from .folder import Course
from .grade import Assignment, Grade
from .pool import PREFIX
from .submission import SubmissionError, answering

WORDS = {"right": "right", "wrong": "not yet", "empty": "empty", "missing": "missing", "open": "could not be judged",
         "hand": "read by a person"}
STYLE = ("body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#111;"
         "background:#fff}table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.4rem;"
         "border-bottom:1px solid #ccc;"
         "vertical-align:top}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}summary{cursor:pointer}@media(prefers-color-scheme:dark){body{color:#eee;background:#111}}")
FORMATS = ("canvas", "moodle", "csv")


def feedback(course: Course, assignment: Assignment, grade: Grade) -> str:
    """A page that needs nothing else: what was asked and handed in, points and hints, never an answer."""
    points = grade.points(assignment)
    waiting = grade.waiting(assignment)
    rows, tasks, answers = "", _tasks(course, assignment, grade), _answers(course, assignment, grade)
    for label, most in assignment.points.items():
        decision = grade.decision(label)
        state, hint = WORDS[decision["state"]], "" if decision["state"] == "right" else decision["text"]
        if label in grade.by_hand:
            state, hint = "given by your teacher", grade.comments.get(label, "")
        got = "–" if label in waiting else f"{points[label]:g}"
        rows += (f"<tr><td>{escape(label)}</td><td>{state}</td><td>{got} of {most:g}</td>"
                 f"<td>{escape(hint)}{_folded('the exercise', tasks[label])}"
                 f"{_folded('your cell', answers[label])}</td></tr>")
    notes = "".join(f"<li>{escape(note)}</li>" for note in grade.notes)
    title = f"{escape(course.title)}: {escape(assignment.name)}"
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{title}</title><style>{STYLE}</style><h1>{title}</h1><p>{escape(grade.name)}"
            f"{', handed in late' if grade.late else ''}. <strong>{sum(points.values()):g} of {assignment.most:g} "
            f"points</strong>{f', {len(waiting)} still to be read' if waiting else ''}.</p>"
            f"<table><tr><th>exercise</th><th>state</th><th>points</th><th>hint, exercise, your cell</th></tr>"
            f"{rows}</table>"
            f"{f'<ul>{notes}</ul>' if notes else ''}</html>\n")


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre>{escape(text)}</pre></details>" if text else ""


def _tasks(course: Course, assignment: Assignment, grade: Grade) -> dict[str, str]:
    """What each exercise asks, with this student's numbers; "" where they are not known."""
    chapter, who, found = course.chapter(assignment.chapter), course.enrolled(assignment, grade), {}
    for label in assignment.points:
        if not label.startswith(PREFIX):
            found[label] = re.sub(r"<a id=.*?></a>\n*|^#+ ", "", chapter.task(label), flags=re.MULTILINE)
        elif who is None:
            found[label] = ""
        else:
            item = course.item(label)
            found[label] = item.text(item.numbers(course.key, who))
    return found


def _answers(course: Course, assignment: Assignment, grade: Grade) -> dict[str, str]:
    try:
        notebook = course.notebook(grade)
    except SubmissionError:
        notebook = []
    return {label: answering(notebook, label) for label in assignment.points}


def table(course: Course, assignment: Assignment, grades: list[Grade], form: str) -> str:
    """The points of all as CSV, in the columns that ``form`` imports. Where something waits to be read there is no
    total yet."""
    rows: list[list[object]]

    def total(grade: Grade) -> str:
        return "" if grade.waiting(assignment) else f"{sum(grade.points(assignment).values()):g}"

    if form == "canvas":
        rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", assignment.name],
                ["    Points Possible", "", "", "", "", f"{assignment.most:g}"]]
        rows += [[g.name, g.number, "", "", "", total(g)] for g in grades]
    elif form == "moodle":
        rows = [["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"]]
        rows += [[f"Participant {g.number}", g.name, total(g), f"{assignment.most:g}",
                  "; ".join(f"{label}: {'given by your teacher' if label in g.by_hand else WORDS[d['state']]}"
                            for label, d in g.decisions.items())] for g in grades]
    elif form == "csv":
        labels = list(assignment.points)
        rows = [["student", "number", *labels, "points", "of", "late", "to be read"]]
        for g in grades:
            points = g.points(assignment)
            rows.append([g.name, g.number, *(f"{points[label]:g}" for label in labels), total(g),
                         f"{assignment.most:g}", "late" if g.late else "", " ".join(g.waiting(assignment))])
    else:
        raise ValueError(f"the format must be one of {', '.join(FORMATS)}, got {form!r}")
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([[_harmless(str(cell)) for cell in row] for row in rows])
    return out.getvalue()


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: names come from students."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
