"""python -m resnet_lib course: assignments, hand-ins, grades. Needs wheel, notebooks and a room (sandbox.py)."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from .. import records
from ..files import write_atomically
from . import handout, incoming, people, report, runs, sandbox, selftest
from .folder import Course, CourseError
from .grade import Assignment, Grade
from .pool import PREFIX, label_of
from .several import Work, judged
from .submission import SubmissionError

FINISHED, FAILED = 0, 2


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
    assign.add_argument("--exercises", help="numbers, as 1,2,5, or none (default: all that have a check)")
    assign.add_argument("--pool", default="", metavar="ITEMS", help="and of the pool, as receptive-field,shortcut")
    assign.add_argument("--points", default="2", help="of each, or one for each, as 2,2,4 (default: 2)")
    assign.add_argument("--runs", metavar="RUNS", help="what each student trains with a seed of the course's, for "
                                                       "plot: as degradation/quick/plain-56,residual-56")
    assign.add_argument("--due", help="local time, as 2026-12-01T23:59, or a day, at whose end it is")
    assign.add_argument("--replace", action="store_true", help="change an assignment that there is")
    hand = job("handout", "the chapter without solutions, and with each student's own numbers", _handout)
    hand.add_argument("name")
    hand.add_argument("roster", nargs="?", type=Path, help="a table number,name (default: the last one; none: the same "
                                                           "numbers for all)")
    collect = job("collect", "take hand-ins: files, folders, or the zips of Canvas and Moodle", _collect)
    collect.add_argument("name")
    collect.add_argument("sources", nargs="+", type=Path)
    grade = job("grade", "run and judge what is new", _grade)
    grade.add_argument("name")
    grade.add_argument("--jobs", type=int, default=2, help="at the same time (default: 2)")
    grade.add_argument("--patience", type=float, default=1.0, help="times the usual limits, on a slow or busy machine")
    grade.add_argument("--again", action="store_true", help="what is graded already, too")
    grade.add_argument("--why", metavar="STUDENT", help="explain the decisions about one student, and do nothing")
    grade.add_argument("--set", nargs=3, metavar=("STUDENT", "LABEL", "POINTS"),
                       help="points that you give by hand; - takes them back")
    grade.add_argument("--say", default="", metavar="TEXT", help="with --set: your words to the student")
    read = job("read", "what waits for your eyes: the code, and what the check said beside it", _read)
    read.add_argument("name")
    accept = job("accept", "count what the check said of code that you have read, and give its hints", _accept)
    accept.add_argument("name")
    accept.add_argument("--except", dest="but", nargs="+", default=[], metavar="STUDENT", help="not of these")
    back = job("feedback", "a page for each student: points and hints, no answers", _feedback)
    back.add_argument("name")
    export = job("export", "a table of points, to be imported", _export)
    export.add_argument("name")
    export.add_argument("--lms", choices=report.FORMATS, default="csv")
    plot = job("plot", "the runs of all students as one figure, with its interval", _plot)
    plot.add_argument("name")
    plot.add_argument("--field", choices=runs.FIELDS, default="train_error")
    plot.add_argument("--format", choices=("svg", "png"), default="svg")
    job("pool", "whether each item of the pool works, and how many students have numbers of their own", _pool)
    test = job("selftest", "whether every solution is right here, and no starter", _selftest)
    test.add_argument("chapters", nargs="*", help="such as residual_block (default: all)")
    test.add_argument("--jobs", type=int, default=2)
    test.add_argument("--patience", type=float, default=4.0, help="times the usual limits (default: 4)")


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
    if args.exercises == "none":
        labels = []
    elif args.exercises:
        prefix = known[0].rpartition("-")[0]
        labels = [f"{prefix}-{number.strip()}" for number in args.exercises.split(",")]
    else:
        labels = list(known)
    items = [name.strip().replace("_", "-") for name in args.pool.split(",") if name.strip()]
    labels += [f"{PREFIX}{name.removeprefix(PREFIX)}" for name in items]
    if not labels and not args.runs:
        raise CourseError("nothing is asked for: name exercises, items of the --pool, or --runs")
    try:
        points = [float(text) for text in args.points.split(",")]
    except ValueError as error:
        raise CourseError(f"points are numbers, as 2 or 2,2,4; got {args.points!r}") from error
    points = points * len(labels) if len(points) == 1 else points
    if len(points) != len(labels) or min(points, default=0) < 0:
        raise CourseError(f"{len(labels)} exercises need one number of points, or {len(labels)}; got {args.points!r}")
    if args.runs:
        runs.parts(args.runs)  # ValueError where there are no such runs
    assignment = Assignment(args.name, args.chapter, dict(zip(labels, points, strict=True)), args.due, args.runs)
    course.assign(assignment, args.replace)
    print(f"{args.name}: {', '.join(f'{label} ({most:g})' for label, most in assignment.points.items())}"
          f"{f', due {args.due}' if args.due else ''}{f'; to be trained: {args.runs}' if args.runs else ''}")
    return FINISHED


def _handout(args) -> int:
    course = Course(args.folder)
    course.assignment(args.name)  # an unknown one changes nothing
    if args.roster:
        course.enroll(people.read_roster(args.roster))
    assignment = course.hand_out(args.name)
    students = course.roster if assignment.personal else {"": "everybody"}
    folder = course.root / "handouts" / args.name
    for number, name in students.items():
        made, key = handout.notebook(course, assignment, number), people.key_of(name or "student", number)
        write_atomically(folder / f"{key}.ipynb", lambda file, made=made: file.write(made))
    print(f"{len(students)} notebook{'s' * (len(students) != 1)} in {folder}")
    if course.roster and not assignment.personal:
        print(f"{args.name} was handed out with the same numbers for all, and stays so; for numbers of their own "
              f"assign it under another name")
    return FINISHED


def _pool(args) -> int:
    course = Course(args.folder)
    students = list(course.roster) or [str(k) for k in range(40)]
    well = True
    for path in course.pool():
        item = course.item(label_of(path))
        problems = item.problems(course.key, students[:10])
        well &= not problems
        print(f"{item.label}: {item.distinct(course.key, students)} different sets of numbers for {len(students)} "
              f"students; {'; '.join(problems) or 'the solution is right, the starter empty'}")
    return FINISHED if well else FAILED


def _collect(args) -> int:
    course = Course(args.folder)
    new = course.collect(args.name, args.sources)
    print(f"{len(new)} new versions of {len(set(new))} students; {len(course.students(args.name))} have handed in")
    if left := incoming.ignored(args.sources):
        _tell(f"no notebook, and left where they are: {', '.join(left)}")
    if course.roster and (absent := course.absent(args.name)):
        _tell(f"nothing from {', '.join(absent)}")
    return FINISHED


def _grade(args) -> int:
    course = Course(args.folder)
    assignment = course.assignment(args.name)
    if args.why:
        return _explain(course, assignment, args.why)
    if args.set:
        return _by_hand(course, assignment, *args.set, args.say)
    todo = course.open_grades(assignment, args.again)
    chapter = course.root / "chapters" / f"{assignment.chapter}.ipynb"
    items = [course.item(label) for label in assignment.points if label.startswith(PREFIX)]
    work = []
    for grade in todo:
        who = course.enrolled(assignment, grade)
        numbers = {item.label: None if who is None else item.numbers(course.key, who) for item in items}
        work.append(Work(grade, course.root / grade.file, numbers))
    files = [path for path in course.pool() if label_of(path) in assignment.points]
    for grade in judged(chapter, list(assignment.points), work, args.jobs, files, args.patience):
        course.keep(assignment, grade)
        points, waiting = grade.points(assignment), grade.waiting(assignment)
        more = f", to be read: {', '.join(waiting)}" if waiting else ""
        _tell(f"{grade.student:40} {sum(points.values()):g} of {assignment.most:g}{', late' * grade.late}{more}")
    without = [s for s in course.students(args.name) if course.counted(assignment, s)[0] is None]
    before = len(course.students(args.name)) - len(without) - len(todo)
    print(f"{len(todo)} graded, {before} were graded before"
          + (f", {len(without)} handed in no notebook: {', '.join(without)}" if without else ""))
    return FINISHED


def _the_grade(course: Course, assignment: Assignment, student: str) -> Grade:
    """The grade of a student, named by the key, the number, or the beginning of the key if that fits one alone."""
    graded = {s: g for s in course.students(assignment.name) if (g := course.grade(assignment, s))}
    fits = [s for s, g in graded.items() if student == g.number or s.casefold().startswith(student.casefold())]
    if student not in graded and len(fits) != 1:
        raise CourseError(f"{'several students fit' if fits else 'nothing is decided about'} {student!r}; graded are "
                          f"{', '.join(graded) or 'none'}")
    return graded[student if student in graded else fits[0]]


def _explain(course: Course, assignment: Assignment, student: str) -> int:
    grade = _the_grade(course, assignment, student)
    _tell(f"{grade.name}: {grade.file}{', late' if grade.late else ''}")
    points = grade.points(assignment)
    for label, most in assignment.points.items():
        decision = grade.decision(label)
        given = (" (given by hand)" if label in grade.by_hand else
                 f" (by hand, for the version before: {grade.fallen[label]:g})" if label in grade.fallen else "")
        _tell(f"\n{label}: {points[label]:g} of {most:g}{given}, {report.WORDS[decision['state']]}. {decision['text']}")
        if decision["answer"]:
            _tell(f"{_proposed(decision)}\n{_code(decision)}")
    for note in grade.notes:
        _tell(f"\nnote: {note}")
    return FINISHED


def _by_hand(course: Course, assignment: Assignment, student: str, label: str, points: str, comment: str) -> int:
    grade = _the_grade(course, assignment, student)
    if label not in assignment.points:
        raise CourseError(f"{assignment.name} has no {label}; it has {', '.join(assignment.points)}")
    most = assignment.points[label]
    if points == "-":
        grade.by_hand.pop(label, None)
        grade.comments.pop(label, None)
    else:
        try:
            given = float(points)
        except ValueError as error:
            raise CourseError(f"points are a number, or - to take them back, got {points!r}") from error
        if not 0 <= given <= most:
            raise CourseError(f"{label} has 0 to {most:g} points, got {points}")
        grade.by_hand[label] = given
        grade.comments[label] = comment
    course.keep(assignment, grade)
    print(f"{grade.student}, {label}: {grade.points(assignment)[label]:g} of {most:g}")
    return FINISHED


def _tell(text: str) -> None:
    """Print what may come from students: on a terminal, other characters than letters can do things."""
    print("".join(c if c.isprintable() or c == "\n" else "�" for c in text), flush=True)


def _code(decision: dict) -> str:
    return "\n".join(f"    {line}" for line in decision["answer"].splitlines())


def _read(args) -> int:
    _, assignment, grades = _decided(args)
    if not any(grade.waiting(assignment) for grade in grades):
        print("nothing waits")
    for grade in grades:
        for label in grade.waiting(assignment):
            decision = grade.decisions[label]
            _tell(f"{grade.student}, {label}: {_proposed(decision) or decision['text']}\n{_code(decision)}\n")
    return FINISHED


def _proposed(decision: dict) -> str:
    """What the check said beside the student's code, in words; "" where it was not asked or could not answer."""
    said = decision.get("proposal")
    return f"the check says: {' '.join(said['text'].split())}" if said else ""


def _accept(args) -> int:
    course, assignment, grades = _decided(args)
    but = [_the_grade(course, assignment, student).student for student in args.but]
    counts = dict.fromkeys(report.WORDS, 0)
    for grade in grades:
        for label in grade.waiting(assignment):
            if grade.student not in but and grade.decisions[label].get("proposal"):
                counts[grade.accept(label)["state"]] += 1
                course.keep(assignment, grade)
    print(", ".join(f"{n} {report.WORDS[state]}" for state, n in counts.items() if n) or "nothing to accept")
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
    waiting = [g.student for g in grades if g.waiting(assignment)]
    print(f"{path}: {len(grades)} students"
          + (f"; no total yet for {', '.join(waiting)}, of whom something waits to be read" if waiting else ""))
    return FINISHED


def _plot(args) -> int:
    course = Course(args.folder)
    assignment = course.assignment(args.name)
    if not assignment.runs:
        raise CourseError(f"{args.name} asks for no runs; say so with  course assign … --runs")
    found = runs.result(course.runs(args.name), *runs.parts(assignment.runs), args.field)
    path = course.root / f"{args.name}-class.{args.format}"
    runs.draw(found, path)
    middle, low, high = found.interval()
    _tell(f"{found.variants[1]} minus {found.variants[0]}, {args.field}: mean {middle:+.2f} points, 95 % interval "
          f"{low:+.2f} to {high:+.2f}, {len(found.pairs)} students\n{records.provenance(found.found)}\n{path}")
    for line in found.left_out:
        _tell(f"left out: {line}")
    return FINISHED


def _selftest(args) -> int:
    """Hand in every solution, and every starter as it is."""
    return FINISHED if selftest.passes(Course(args.folder), args.chapters, args.jobs, args.patience) else FAILED
