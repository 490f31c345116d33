"""python -m resnet_lib course: assignments, hand-ins, grades. Needs the wheel, the notebooks and bubblewrap."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
import json
import tempfile

from .. import checks
from ..files import write_atomically
from . import report, sandbox
from .folder import Assignment, Course, CourseError, Grade
from .submission import Chapter, SubmissionError

FINISHED, FAILED = 0, 2
_kept: dict = {}  # a worker's judge


def main_arguments(parser: ArgumentParser) -> None:
    """Add the options of ``course`` to an argparse parser."""
    parser.add_argument("-C", dest="folder", type=Path, default=Path(), metavar="FOLDER",
                        help="the course (default: here)")
    jobs = parser.add_subparsers(dest="job", required=True)

    def job(name: str, words: str, work: Callable[[Namespace], int]) -> ArgumentParser:
        found = jobs.add_parser(name, help=words, description=words)
        found.set_defaults(work=work)
        return found

    new = job("new", "begin a course in a folder of its own; it holds the solutions, so keep it to yourself", _new)
    new.add_argument("target", type=Path, metavar="FOLDER")
    new.add_argument("--notebooks", type=Path, default=Path(), help="where the book's notebooks lie (default: here)")
    new.add_argument("--title", default="Residual networks")
    assign = job("assign", "choose exercises of a chapter, with points", _assign)
    assign.add_argument("name")
    assign.add_argument("chapter", help="such as residual_block")
    assign.add_argument("--exercises", help="numbers, as 1,2,5 (default: all that have a check)")
    assign.add_argument("--points", default="2", help="of each, or one for each, as 2,2,4 (default: 2)")
    assign.add_argument("--due", help="local time, as 2026-12-01T23:59")
    collect = job("collect", "take hand-ins: files, folders, or the zips of Canvas and Moodle", _collect)
    collect.add_argument("name")
    collect.add_argument("sources", nargs="+", type=Path)
    grade = job("grade", "run and judge what is new", _grade)
    grade.add_argument("name")
    grade.add_argument("--jobs", type=int, default=2, help="at the same time (default: 2)")
    grade.add_argument("--again", action="store_true", help="what is graded already, too")
    grade.add_argument("--why", metavar="STUDENT", help="explain the decisions about one student, and do nothing")
    grade.add_argument("--set", nargs=3, metavar=("STUDENT", "LABEL", "POINTS"), help="points that you give by hand")
    back = job("feedback", "a page for each student: points and hints, no answers", _feedback)
    back.add_argument("name")
    export = job("export", "a table of points, to be imported", _export)
    export.add_argument("name")
    export.add_argument("--lms", choices=report.FORMATS, default="csv")
    test = job("selftest", "whether every solution is right here, and no starter", _selftest)
    test.add_argument("chapters", nargs="*", help="such as residual_block (default: all)")
    test.add_argument("--jobs", type=int, default=2)


def main(args: Namespace) -> int:
    """Carry out ``course``; ValueError, with the way out, where it cannot be done."""
    try:
        return args.work(args)
    except (sandbox.SandboxError, SubmissionError) as error:
        raise ValueError(str(error)) from error


def _new(args) -> int:
    course = Course.begin(args.target, args.notebooks, args.title)
    print(f"{args.target} has {len(course.chapters)} chapters: {', '.join(course.chapters)}")
    return FINISHED


def _assign(args) -> int:
    course = Course(args.folder)
    known = course.chapter(args.chapter).exercises
    if args.exercises:
        prefix = known[0].rpartition("-")[0]
        labels = [f"{prefix}-{number.strip()}" for number in args.exercises.split(",")]
    else:
        labels = known
    try:
        points = [float(text) for text in args.points.split(",")]
    except ValueError as error:
        raise CourseError(f"points are numbers, as 2 or 2,2,4; got {args.points!r}") from error
    points = points * len(labels) if len(points) == 1 else points
    if len(points) != len(labels) or min(points) < 0:
        raise CourseError(f"{len(labels)} exercises need one number of points, or {len(labels)}; got {args.points!r}")
    assignment = Assignment(args.name, args.chapter, dict(zip(labels, points, strict=True)), args.due)
    course.assign(assignment)
    print(f"{args.name}: {', '.join(f'{label} ({most:g})' for label, most in assignment.points.items())}"
          f"{f', due {args.due}' if args.due else ''}")
    return FINISHED


def _collect(args) -> int:
    course = Course(args.folder)
    new = course.collect(args.name, args.sources)
    print(f"{len(new)} new versions of {len(set(new))} students; {len(course.students(args.name))} have handed in")
    return FINISHED


def _grade(args) -> int:
    course = Course(args.folder)
    assignment = course.assignment(args.name)
    if args.why:
        return _explain(course, assignment, args.why)
    if args.set:
        return _by_hand(course, assignment, *args.set)
    todo = course.open_grades(assignment, args.again)
    chapter = course.root / "chapters" / f"{assignment.chapter}.ipynb"
    work = [(grade, course.root / grade.file) for grade in todo]
    for grade in judged(chapter, list(assignment.points), work, args.jobs):
        course.keep(assignment, grade)
        points, waiting = grade.points(assignment), grade.waiting(assignment)
        more = f", to be read: {', '.join(waiting)}" if waiting else ""
        print(f"{grade.student:40} {sum(points.values()):g} of {assignment.most:g}{', late' * grade.late}{more}",
              flush=True)
    print(f"{len(todo)} graded, {len(course.students(args.name)) - len(todo)} were graded before")
    return FINISHED


def _the_grade(course: Course, assignment: Assignment, student: str) -> Grade:
    grade = course.grade(assignment, student)
    if grade is None:
        raise CourseError(f"nothing is decided about {student!r}; graded are "
                          f"{', '.join(s for s in course.students(assignment.name) if course.grade(assignment, s))}")
    return grade


def _explain(course: Course, assignment: Assignment, student: str) -> int:
    grade = _the_grade(course, assignment, student)
    print(f"{grade.name}: {grade.file}{', late' if grade.late else ''}")
    points = grade.points(assignment)
    for label, most in assignment.points.items():
        decision = grade.decisions.get(label, {"state": "missing", "text": "", "answer": ""})
        given = " (given by hand)" if label in grade.by_hand else ""
        print(f"\n{label}: {points[label]:g} of {most:g}{given}, {report.WORDS[decision['state']]}. {decision['text']}")
        if decision["answer"]:
            print("\n".join(f"    {line}" for line in decision["answer"].splitlines()))
    for note in grade.notes:
        print(f"\nnote: {note}")
    return FINISHED


def _by_hand(course: Course, assignment: Assignment, student: str, label: str, points: str) -> int:
    grade = _the_grade(course, assignment, student)
    if label not in assignment.points:
        raise CourseError(f"{assignment.name} has no {label}; it has {', '.join(assignment.points)}")
    try:
        grade.by_hand[label] = float(points)
    except ValueError as error:
        raise CourseError(f"points are a number, got {points!r}") from error
    course.keep(assignment, grade)
    print(f"{student}, {label}: {grade.by_hand[label]:g} of {assignment.points[label]:g}")
    return FINISHED


def _decided(args) -> tuple[Course, Assignment, list[Grade]]:
    """The course, an assignment of it, and the grades that there are."""
    course = Course(args.folder)
    assignment = course.assignment(args.name)
    return course, assignment, [g for s in course.students(args.name) if (g := course.grade(assignment, s))]


def _feedback(args) -> int:
    course, assignment, grades = _decided(args)
    folder = course.root / "feedback" / args.name
    folder.mkdir(parents=True, exist_ok=True)
    for grade in grades:
        page = report.feedback(course, assignment, grade).encode()
        write_atomically(folder / f"{grade.student}.html", lambda file, page=page: file.write(page))
    print(f"{len(grades)} pages in {folder}")
    return FINISHED


def _export(args) -> int:
    course, assignment, grades = _decided(args)
    path = course.root / f"{args.name}-{args.lms}.csv"
    text = report.table(course, assignment, grades, args.lms)
    write_atomically(path, lambda file: file.write(text.encode("utf-8-sig" if args.lms == "csv" else "utf-8")))
    waiting = sum(bool(g.waiting(assignment)) for g in grades)
    print(f"{path}: {len(grades)} students, of {waiting} of them something waits to be read")
    return FINISHED


def _selftest(args) -> int:
    """Hand in every solution, and every starter as it is."""
    course = Course(args.folder)
    well, counts = True, dict.fromkeys(report.WORDS, 0)
    for name in args.chapters or course.chapters:
        chapter = course.chapter(name)
        handed_in = {"solution": [_cell(f"mine = True\n\n{chapter.solution(label)}") for label in chapter.exercises],
                     "starter": [_cell(f"mine = True\n\n{chapter.starter(label)}") for label in chapter.exercises]}
        with tempfile.TemporaryDirectory() as folder:
            work = []
            for kind, cells in handed_in.items():
                path = Path(folder) / f"{kind}.ipynb"
                write_atomically(path, lambda file, cells=cells: file.write(_notebook(cells)))
                work.append((Grade(kind, kind, "", path.name, "", False), path))
            for grade in judged(course.root / "chapters" / f"{name}.ipynb", chapter.exercises, work, args.jobs):
                for label, decision in grade.decisions.items():
                    state = decision["state"]
                    good = state in ("right", "hand") if grade.student == "solution" else state not in ("right", "open")
                    well &= good
                    counts[state] += grade.student == "solution"
                    if not good:
                        print(f"FAILED {label}, the {grade.student} is {report.WORDS[state]}: {decision['text']}")
        print(f"{name}: {len(chapter.exercises)} solutions and starters tried", flush=True)
    print(", ".join(f"{n} {report.WORDS[state]}" for state, n in counts.items() if n)
          + (": all is well" if well else ": something is wrong"))
    return FINISHED if well else FAILED


def _cell(source: str) -> dict:
    return {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}


def _notebook(cells: list[dict]) -> bytes:
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


# --- several at once: a check uses what belongs to a whole process, so each judge has one ------------------


def judged(chapter: Path, labels: list[str], work: list[tuple[Grade, Path]], jobs: int):
    """The grades with their decisions, as they come."""
    for label in labels:
        checks.find(label)  # ValueError here where the answers are missing
    bwrap = sandbox.bubblewrap()
    if not work:
        return
    with tempfile.TemporaryDirectory() as folder:
        library = sandbox.student_library(Path(folder))
        with ProcessPoolExecutor(min(max(jobs, 1), len(work)), get_context("spawn"), initializer=_begin,
                                 initargs=(chapter, labels, library, bwrap)) as pool:
            yield from pool.map(_one, work)


def _begin(chapter: Path, labels: list[str], library: Path, bwrap: str) -> None:
    import torch

    from .grading import Judge

    torch.set_num_threads(1)
    _kept["judge"] = Judge(Chapter.load(chapter), labels, library, bwrap)


def _one(work: tuple[Grade, Path]) -> Grade:
    from .submission import read

    grade, path = work
    try:
        decisions, grade.notes = _kept["judge"].grade(read(path))
    except SubmissionError as error:
        decisions, grade.notes = {}, [str(error)]
    grade.decisions = {label: asdict(decision) for label, decision in decisions.items()}
    for label in _kept["judge"].labels:
        grade.decisions.setdefault(label, {"state": "missing", "text": "", "answer": ""})
    return grade
