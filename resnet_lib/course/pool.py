"""Exercises that stand in no book: files of the instructor's, with numbers that differ from student to student.

An item is one Python file in the course's folder ``pool``. It has TEXT, STARTER and SOLUTION, in which ``{name}``
stands for a number, ANSWER, the expression that is checked, and two functions: ``numbers(dice)`` draws the numbers,
``question(**numbers)`` makes the question (resnet_lib.checks). It is run here, where the answers are, and never reaches
the room or a student.
"""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import ModuleType
import hashlib
import hmac
import re

from .. import checks
from ..checks import Question

PREFIX = "pool-"
PARTS = ("TEXT", "STARTER", "SOLUTION", "ANSWER", "numbers", "question")


class PoolError(ValueError):
    """An item that cannot be used; the message says what is wrong with it."""


@dataclass(frozen=True)
class Item:
    """One exercise of a pool; ``label`` is "pool-" and the file's name."""

    label: str
    module: ModuleType

    @classmethod
    def load(cls, path: Path) -> "Item":
        """Run an item's file. PoolError where something of it is missing."""
        module = ModuleType(f"pool_{path.stem}")
        try:  # not by an import, whose cache takes a file that was changed within a second for the old one
            exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
        except Exception as error:
            raise PoolError(f"{path} cannot be run ({type(error).__name__}: {error})") from error
        if missing := [part for part in PARTS if not hasattr(module, part)]:
            raise PoolError(f"{path} lacks {', '.join(missing)}")
        return cls(label_of(path), module)

    def numbers(self, key: str, student: str) -> dict:
        """A student's numbers: the same whenever they are asked for, and not to be guessed without the course's key."""
        return self.module.numbers(Random(own_number(key, self.label, student)))

    def question(self, numbers: dict) -> Question:
        """What the answer is held against."""
        return self.module.question(**numbers)

    def text(self, numbers: dict) -> str:
        """The exercise in Markdown."""
        return _filled(self.module.TEXT, numbers)

    def starter(self, numbers: dict) -> str:
        """The cell that a student is given."""
        return self._checked(_filled(self.module.STARTER, numbers))

    def solution(self, numbers: dict) -> str:
        """The cell that answers it."""
        return self._checked(_filled(self.module.SOLUTION, numbers))

    def _checked(self, code: str) -> str:
        return f'from resnet_lib.checks import check\n\n{code}\n\ncheck("{self.label}", {self.module.ANSWER})'

    def problems(self, key: str, students: list[str]) -> list[str]:
        """What is wrong with the item: a solution that is not right, a starter that is not empty, or, for more than one
        student in five, another's solution that is right as well: then the answers are too few, or the numbers."""
        found, drawn, shared = [], [self.numbers(key, student) for student in students], 0
        try:
            found += self._text_problems(drawn[0])
        except Exception as error:
            return [f"{type(error).__name__}: {error}"]
        for k, mine in enumerate(drawn):
            tries = [("the solution", self.solution(mine), "right"), ("the starter", self.starter(mine), "empty")]
            try:
                question = self.question(mine)
                for what, code, expected in tries:
                    verdict = checks.hold(question, self._value(code))
                    if verdict.state != expected:
                        found.append(f"{what} for {students[k]} is {verdict.state}: {verdict.text}")
                other = drawn[(k + 1) % len(drawn)]
                shared += bool(checks.hold(question, self._value(self.solution(other))))
            except Exception as error:
                return [*found, f"its code for {students[k]} raised {type(error).__name__}: {error}"]
        if shared > max(1, len(students) / 5):
            found.append(f"a neighbor's solution is right for {shared} of {len(students)}")
        return found

    def _text_problems(self, numbers: dict) -> list[str]:
        """Names in braces that are none of the numbers; not LaTeX's, which stand behind a letter, _ or ^."""
        left = re.findall(r"(?<![\w\\^}])\{([a-z]\w+)\}", self.text(numbers))
        return [f"TEXT has {{{name}}}, and the numbers are {', '.join(numbers)}" for name in left]

    def _value(self, code: str) -> object:
        names = {"__name__": "__main__"}
        exec(compile(code.rpartition("\n\n")[0], self.label, "exec"), names)
        return eval(self.module.ANSWER, names)

    def distinct(self, key: str, students: list[str]) -> int:
        """How many students have numbers of their own or, at least, how many different ones there are."""
        return len({repr(self.numbers(key, student)) for student in students})


def own_number(key: str, what: str, student: str) -> int:
    """A large number that belongs to a student and a thing, the same each time: HMAC-SHA256 with the course's key."""
    return int.from_bytes(hmac.new(key.encode(), f"{what}\0{student}".encode(), hashlib.sha256).digest())


def _filled(text: str, numbers: dict) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(numbers[found[1]]) if found[1] in numbers else found[0], text)


def label_of(path: Path) -> str:
    """The label of an item: pool/receptive_field.py is "pool-receptive-field"."""
    return PREFIX + path.stem.replace("_", "-")


def samples() -> list[Path]:
    """The items that come with the library."""
    return [path for path in sorted((Path(__file__).parent / "samples").glob("*.py")) if path.stem != "__init__"]
