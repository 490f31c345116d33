"""A course on disk: its notebooks, assignments, hand-ins and grades, all plain files that people can read."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
import hashlib
import json
import re
import secrets

from ..files import write_atomically
from . import incoming
from .grade import Assignment, Grade
from .people import enrolled, key_of, student_of
from .pool import PREFIX, Item, label_of, samples
from .submission import Chapter, SubmissionError, read

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LATE = "-late"  # behind the name of a version that Canvas calls late
STAMP = "%Y-%m-%dT%H-%M-%S"


class CourseError(ValueError):
    """Something about a course that its instructor can mend; the message says how."""


class Course:
    """The folder of a course."""

    def __init__(self, root: Path):
        self.root = root
        if not (root / "course.json").is_file():
            raise CourseError(f"{root} is no course: begin one with  course new {root}")

    @classmethod
    def begin(cls, root: Path, notebooks: Path, title: str) -> "Course":
        """A new course with the book's notebooks, solutions included: keep the folder to yourself."""
        found = sorted(notebooks.glob("*.ipynb"))
        chapters = []
        for path in found:
            try:
                chapters.append((path, Chapter.load(path)))
            except SubmissionError:
                continue
        if not chapters:
            raise CourseError(f"there are no chapters of this book in {notebooks}; name the folder of the unpacked "
                              f"notebooks with --notebooks")
        if not any(chapter.solution(label) for _, chapter in chapters for label in chapter.exercises):
            raise CourseError(f"the notebooks in {notebooks} have no solutions: take the instructor's edition, without "
                              f"EDITION=student")
        if (root / "course.json").exists():
            raise CourseError(f"{root} is a course already, with a key that students' numbers depend on; take another "
                              f"folder to begin anew")
        (root / "chapters").mkdir(parents=True, exist_ok=True)
        for path, _ in chapters:
            (root / "chapters" / path.name).write_bytes(path.read_bytes())
        _write(root / "course.json", {"title": title, "key": secrets.token_hex(16)})
        write_atomically(root / ".gitignore", lambda file: file.write(b"*\n"))  # solutions, answers and names
        for path in samples():
            write_atomically(root / "pool" / path.name, lambda file, path=path: file.write(path.read_bytes()))
        return cls(root)

    @property
    def key(self) -> str:
        """What the numbers of the pool are drawn with; it stays in the course."""
        return json.loads((self.root / "course.json").read_text(encoding="utf-8"))["key"]

    @property
    def roster(self) -> dict[str, str]:
        """Number -> name of each student; empty where there is none, and all have the same numbers."""
        path = self.root / "roster.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}

    def enroll(self, roster: dict[str, str]) -> None:
        """Add to those who are in the course; who is in it stays, with the numbers of the pool that were given."""
        _write(self.root / "roster.json", self.roster | roster)

    def enrolled(self, assignment: Assignment, grade: Grade) -> str | None:
        """The number in the roster of the one who handed in, for the numbers of the pool; None where it cannot be told,
        "" where all have the same."""
        if not (bool(self.roster) if assignment.personal is None else assignment.personal):
            return ""
        known = enrolled(grade.name, grade.number, self.roster)
        return known[1] if known else None

    def pool(self) -> list[Path]:
        """The files of the pool's items."""
        return sorted((self.root / "pool").glob("*.py"))

    def item(self, label: str) -> Item:
        """An item of the pool by its label."""
        found = [path for path in self.pool() if label_of(path) == label]
        if not found:
            raise CourseError(f"the pool has no {label}; it has {', '.join(map(label_of, self.pool())) or 'no items'}")
        return Item.load(found[0])

    @property
    def title(self) -> str:
        """The name of the course."""
        return json.loads((self.root / "course.json").read_text(encoding="utf-8"))["title"]

    @property
    def chapters(self) -> list[str]:
        """The chapters that exercises can be taken from."""
        return [path.stem for path in sorted((self.root / "chapters").glob("*.ipynb"))]

    def chapter(self, name: str) -> Chapter:
        """A chapter by its file name without .ipynb."""
        if name not in self.chapters:
            raise CourseError(f"unknown chapter {name!r}; there are {', '.join(self.chapters)}")
        return Chapter.load(self.root / "chapters" / f"{name}.ipynb")

    # --- assignments

    def assign(self, assignment: Assignment, again: bool = False) -> None:
        """Write an assignment. CourseError for exercises that the chapter has not, and for a name that is taken; with
        ``again`` it takes the place of the one before, with the numbers that were handed out."""
        if not NAME.fullmatch(assignment.name):
            raise CourseError(f"the name of an assignment has letters, digits, . _ and -, got {assignment.name!r}")
        if (self.root / "assignments" / f"{assignment.name}.json").exists():
            if not again:
                raise CourseError(f"there is {assignment.name} already; say --replace to change what it asks for")
            assignment = replace(assignment, personal=self.assignment(assignment.name).personal)
        known = self.chapter(assignment.chapter).exercises
        from_pool = [self.item(label).label for label in assignment.points if label.startswith(PREFIX)]
        if unknown := [label for label in assignment.points if label not in [*known, *from_pool]]:
            raise CourseError(f"{assignment.chapter} has no {', '.join(unknown)}; with a check there are "
                              f"{', '.join(known)}")
        if assignment.due is not None:
            try:
                datetime.fromisoformat(assignment.due)
            except ValueError as error:
                raise CourseError(f"due must be a time such as 2026-12-01T23:59, got {assignment.due!r}") from error
        self._write_down(assignment)

    def _write_down(self, assignment: Assignment) -> None:
        _write(self.root / "assignments" / f"{assignment.name}.json", asdict(assignment))

    def hand_out(self, name: str) -> Assignment:
        """An assignment that is now given to students: whether their numbers are their own is decided by the roster of
        the first time, and stays."""
        assignment = self.assignment(name)
        if assignment.personal is None:
            assignment = replace(assignment, personal=bool(self.roster))
            self._write_down(assignment)
        return assignment

    def assignment(self, name: str) -> Assignment:
        """An assignment by name."""
        path = self.root / "assignments" / f"{name}.json"
        if not NAME.fullmatch(name) or not path.is_file():
            known = ", ".join(p.stem for p in sorted((self.root / "assignments").glob("*.json"))) or "none yet"
            raise CourseError(f"unknown assignment {name!r}; there are: {known}")
        return Assignment(**json.loads(path.read_text(encoding="utf-8")))

    # --- hand-ins

    def collect(self, assignment: str, sources: Iterable[Path]) -> list[str]:
        """Take hand-ins, notebooks and records of runs, from files, folders and zips, named as Canvas and Moodle name
        them or by the student; the students that got a new version. Every version is kept."""
        self.assignment(assignment)
        new = []
        for source in sources:
            if not source.exists():
                raise CourseError(f"there is no {source}")
        for file in incoming.files(sources):
            if not file.taken:
                continue
            content = file.read()
            name, number, late = student_of(file.name)
            name, number = enrolled(name, number, self.roster) or (name, number)
            key = self._known_as(number) or key_of(name, number)
            folder = self.root / "collected" / assignment / key
            target = folder / (f"{file.when.strftime(STAMP)}-{hashlib.sha256(content).hexdigest()[:8]}{LATE * late}"
                               f"{Path(file.name).suffix}")
            if target.exists():
                continue
            # who it is comes first: what lies there without a name would be nobody's, and is not collected again
            _write(folder / "student.json", {"name": name, "number": number})
            write_atomically(target, lambda file, content=content: file.write(content))
            new.append(key)
        return new

    def _known_as(self, number: str) -> str | None:
        """What the files of the student with this number are called already, in any assignment."""
        for path in sorted((self.root / "collected").glob("*/*/student.json")) if number else ():
            if _number(path) == number:
                return path.parent.name
        return None

    def students(self, assignment: str) -> list[str]:
        """Those who have handed something in."""
        return sorted(p.parent.name for p in (self.root / "collected" / assignment).glob("*/student.json"))

    def runs(self, assignment: str) -> list[tuple[str, Path]]:
        """The records of runs that were handed in, with their students, the oldest first."""
        found = (self.root / "collected" / assignment).glob("*/*.json")
        return [(p.parent.name, p) for p in sorted(found, key=lambda p: p.name) if p.name != "student.json"]

    def absent(self, assignment: str) -> list[str]:
        """Those in the roster from whom nothing came."""
        here = set(map(_number, (self.root / "collected" / assignment).glob("*/student.json")))
        return [name or number for number, name in self.roster.items() if number not in here]

    def counted(self, assignment: Assignment, student: str) -> tuple[Path | None, bool]:
        """The version that counts, the last that was on time, else the first; and whether it is late. None: there are
        only records of runs."""
        versions = sorted((self.root / "collected" / assignment.name / student).glob("*.ipynb"))
        if not versions:
            return None, False
        on_time = [path for path in versions if not assignment.late(_when(path)) and not path.stem.endswith(LATE)]
        return (on_time[-1], False) if on_time else (versions[0], True)

    # --- grades

    def _grade_file(self, assignment: str, student: str) -> Path:
        return self.root / "grades" / assignment / f"{student}.json"

    def grade(self, assignment: Assignment, student: str) -> Grade | None:
        """What has been decided about a student."""
        path = self._grade_file(assignment.name, student)
        return Grade(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def keep(self, assignment: Assignment, grade: Grade) -> None:
        """Write a grade."""
        _write(self._grade_file(assignment.name, grade.student), asdict(grade))

    def open_grades(self, assignment: Assignment, again: bool = False) -> list[Grade]:
        """The hand-ins that have to be graded: new ones, those of another version, and those that were interrupted. Of
        a graded one that has become late, or is late no more, only that is written down."""
        found = []
        for student in self.students(assignment.name):
            path, late = self.counted(assignment, student)
            if path is None:
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            before = self.grade(assignment, student)
            if before and not again and before.digest == digest and set(assignment.points) <= set(before.decisions) \
                    and not any(before.decision(label)["state"] == "open" for label in assignment.points):
                if before.late != late:
                    before.late = late
                    self.keep(assignment, before)
                continue
            about = json.loads((path.parent / "student.json").read_text(encoding="utf-8"))
            grade = Grade(student, about["name"], about["number"], str(path.relative_to(self.root)), digest, late)
            if before:
                grade.follow(before)
            found.append(grade)
        return found

    def notebook(self, grade: Grade) -> list[dict]:
        """The cells of the version that a grade is about."""
        return read(self.root / grade.file)


def _write(path: Path, content: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode(errors="replace")))  # a room may send half a character


def _number(student: Path) -> str:
    return json.loads(student.read_text(encoding="utf-8"))["number"]


def _when(path: Path) -> datetime:
    return datetime.strptime(path.stem.removesuffix(LATE).rsplit("-", 1)[0], STAMP)
