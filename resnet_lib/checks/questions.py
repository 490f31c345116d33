"""Check an answer to an exercise: ``check("residual-block-3", answer)``.

The answers live in ``resnet_lib/exercises/<chapter>.py``, one dict ``CHECKS`` in each, label -> question (kinds.py).
`check` does not raise for anything a student did.
"""

from dataclasses import dataclass, replace
from html import escape
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from types import FunctionType, MethodType
import linecache
import pkgutil
import sys
import sysconfig
import traceback

import torch

from .. import exercises
from ..surroundings import SurroundingsError
from ..wording import printable
from . import limit
from .answers import TEXT, Trouble, kind_of
from .kinds import Number, Question, Tensor

SIGNS = {"right": "✓", "wrong": "✗", "empty": "·", "open": "?", "recorded": "→"}
PLAIN = {"right": "+", "wrong": "-", "empty": ".", "open": "?", "recorded": ">"}  # where the console lacks such letters


@dataclass(frozen=True)
class Verdict:
    """What `check` says: true if the answer is right. ``state`` is "right", "wrong", "empty", "open" (not judged), or,
    in an edition without answers, "recorded"."""

    state: str
    text: str

    def __bool__(self) -> bool:
        return self.state == "right"

    def __str__(self) -> str:
        encoding = getattr(sys.stdout, "encoding", None)
        sign = SIGNS[self.state]
        return printable(f"{sign if printable(sign, encoding) == sign else PLAIN[self.state]} {self.text}", encoding)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        color = {"right": "var(--rn-residual, #0072B2)", "wrong": "var(--rn-plain, #D55E00)"}.get(self.state, "#767677")
        head = TEXT[self.state]
        rest = self.text.removeprefix(head)
        return (f'<div class="rn-verdict rn-{self.state}" style="border-left: 3px solid {color}; padding: 0.1em 0.8em; '
                f'margin: 0.4em 0">{SIGNS[self.state]} <strong>{escape(head)}</strong>{escape(rest)}</div>')


def check(label: str, answer: object = None, solution: bool = False) -> Verdict:
    """Whether ``answer`` answers the exercise ``label``. ValueError, with the valid labels, for an unknown one.

    An answer of ``...`` or None, and a function whose body is ``...``, is "nothing here yet". ``solution``: it is the
    book's own, and the verdict says so.
    """
    if label in exercises.RECORDED or str(label).startswith("pool-"):  # the instructor has the answer
        return Verdict("empty", TEXT["empty"]) if is_empty(answer) else Verdict(
            "recorded", f"{TEXT['recorded']} {kind_of(answer)}.")
    return hold(find(label), answer, solution)


def is_empty(answer: object) -> bool:
    """Whether an answer is what a starter gives: ``...``, None, or a function with nothing in it."""
    return answer is ... or answer is None or _unwritten(answer)


def hold(question: Question, answer: object, solution: bool = False, patience: float = 1.0) -> Verdict:
    """Hold an answer against a question, as `check` does; ``patience``: a factor of the question's time."""
    if is_empty(answer):
        return Verdict("empty", TEXT["empty"])
    seconds = patience * question.seconds
    try:
        with limit.untouched():
            question = _resolved(question)
        result = limit.outcome(lambda: question.judge(answer), seconds)
    except SurroundingsError as problem:
        return _open(str(problem))
    except Exception as error:  # records that are not here, say
        return _open(TEXT["no_value"].format(type=type(error).__name__, text=_text(error)))
    if result.late:
        return _open(TEXT["late" if result.seconds >= seconds else "slow"].format(
            seconds=seconds, wait=limit.PATIENCE * seconds))
    problem = _in_words(result.error) if result.error else result.value
    if problem is None:
        return Verdict("right", TEXT["solution" if solution else "right"])
    return Verdict("wrong", f"{TEXT['wrong']} {problem}")


def _open(why: str) -> Verdict:
    return Verdict("open", f"{TEXT['open']} {why}")


def find(label: str) -> Question:
    """The question behind a label such as "degradation-2"; ValueError names the valid ones."""
    known = sorted(m.name for m in pkgutil.iter_modules(exercises.__path__))
    chapter, _, number = str(label).rpartition("-")
    slug = chapter.replace("-", "_")
    if exercises.RECORDED:
        raise ValueError(f"unknown exercise {label!r}; those with a check are {', '.join(exercises.RECORDED)}")
    if slug not in known or not number.isdigit():
        raise ValueError(f"unknown exercise {label!r}; a label is a chapter and a number, and the chapters with checks "
                         f"are {', '.join(name.replace('_', '-') for name in known)}")
    checks = import_module(f"{exercises.__name__}.{slug}").CHECKS
    if label not in checks:
        raise ValueError(f"unknown exercise {label!r}; those of this chapter with a check are {', '.join(checks)}")
    return checks[label]


def _resolved(question: Question) -> Question:
    """The question with its values computed, where they are given as functions."""
    if not isinstance(question, Number | Tensor):
        return question

    def compute(value):
        return value() if callable(value) and not isinstance(value, torch.Tensor) else value

    return replace(question, value=compute(question.value),
                   wrong=tuple((compute(value), hint) for value, hint in question.wrong))


def _unwritten(answer: object) -> bool:
    """A function with nothing in it but ``...``, ``pass`` or a docstring: it has the code of one of the two below."""
    code = answer.__code__ if type(answer) in (FunctionType, MethodType) else None
    if code is None or code.co_code not in (_blank.__code__.co_code, _blank_with_docstring.__code__.co_code):
        return False
    return code.co_consts[-1] is None  # else it is ``return 5``, whose code looks the same


def _blank(): ...


def _blank_with_docstring():
    """."""


# --- what went wrong, in words --------------------------------------------------------------------------

HERE = Path(__file__).resolve().parent.parent  # all of resnet_lib, the exercises with their tests too
NOT_THEIRS = tuple({str(HERE), str(Path(torch.__file__).resolve().parent),
                    *(sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib", "purelib", "platlib"))})


def _in_words(error: BaseException) -> str:
    """The hint for an exception."""
    if isinstance(error, Trouble):
        return str(error)
    where = _where(error)
    for kind, key in ((RecursionError, "recursion"), (SystemExit, "exit"), (MemoryError, "memory")):
        if isinstance(error, kind):
            return TEXT[key].format(where=where)
    words = {"type": type(error).__name__, "text": _text(error)}
    return TEXT["error"].format(**words, where=where) if where else TEXT["unusable"].format(**words)


def _text(error: BaseException) -> str:
    try:
        return shorten(str(error) or "no message", 300, placeholder=" …").rstrip(".")
    except Exception:
        return "no message"


def _where(error: BaseException) -> str:
    """", in line 3: return 1 / 0", the innermost line of the student's own; "" where there is none."""
    for frame in reversed(list(traceback.walk_tb(error.__traceback__))):
        file, line = frame[0].f_code.co_filename, frame[1]
        if not file.startswith(NOT_THEIRS) and not file.startswith("<frozen"):
            source = linecache.getline(file, line).strip()
            return TEXT["where"].format(line=line) + (TEXT["source"].format(source=source) if source else "")
    return ""
