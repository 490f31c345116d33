"""Check an answer to an exercise: ``check("residual-block-3", answer)``.

The answers live in ``resnet_lib/exercises/<chapter>.py``, one dict ``CHECKS`` in each, label -> question. The types
of questions are `Number`, `Tensor`, `Function`, `Module` and `Class`. All take ``seconds``, the limit for the
student's code. A hint names a mistake, never the answer. `check` does not raise for anything a student did.
"""

from collections.abc import Callable
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
from torch import nn

from .. import exercises
from ..surroundings import SurroundingsError, usual
from ..wording import printable
from . import limit
from .answers import TEXT, Trouble, as_number, difference, kind_of, watched_forward, watched_function, wrong_object

SIGNS = {"right": "✓", "wrong": "✗", "empty": "·", "open": "?"}
PLAIN = {"right": "+", "wrong": "-", "empty": ".", "open": "?"}  # where the console has no such letters


@dataclass(frozen=True)
class Verdict:
    """What `check` says: true if the answer is right. ``state`` is "right", "wrong", "empty" or "open" (not judged)."""

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


# --- the types of questions -----------------------------------------------------------------------------

Wrong = tuple[tuple[object, str], ...]  # ((a wrong answer people give, the hint for it), …)


@dataclass(frozen=True)
class Number:
    """A number, right within ``rel`` of ``value`` (or within ``atol``, which matters where it is zero).

    ``value`` and the wrong values are numbers or functions without arguments, called when an answer is checked.
    """

    value: float | Callable[[], float]
    rel: float = 0.01
    wrong: Wrong = ()
    hint: str = ""
    atol: float = 1e-9
    seconds: float = 8

    def judge(self, answer: object) -> str | None:
        got = as_number(answer)
        if self._near(got, self.value):
            return None
        for value, hint in self.wrong:
            if self._near(got, value):
                return hint
        return self._slip(got) or self.hint or TEXT["no_hint"]

    def _near(self, got: float, value: float) -> bool:
        return abs(got - value) <= max(self.rel * abs(value), self.atol)

    def _slip(self, got: float) -> str | None:
        """The slips that can happen with any number."""
        value = self.value
        if 0 < abs(value) <= 1 and self._near(got / 100, value):
            return TEXT["per_cent"]
        if 1 < abs(value) <= 100 and self._near(got * 100, value):
            return TEXT["fraction"]
        if value and self._near(-got, value):
            return TEXT["sign"]
        if any(self._near(got * k, value) for k in (1e3, 1e6, 1e-3, 1e-6)):
            return TEXT["unit"]
        if value and abs(got - value) <= 5 * self.rel * abs(value):
            return TEXT["close"].format(rel=f"{100 * self.rel:g} %")
        return None


@dataclass(frozen=True)
class Tensor:
    """A tensor (or array, or list of numbers) with the shape, kind of dtype and values of ``value``."""

    value: torch.Tensor | Callable[[], torch.Tensor]
    wrong: Wrong = ()
    hint: str = ""
    rtol: float = 1e-4
    atol: float = 1e-6
    seconds: float = 8

    def judge(self, answer: object) -> str | None:
        problem = difference(answer, self.value, self.rtol, self.atol)
        if problem is None:
            return None
        for value, hint in self.wrong:
            if difference(answer, value, self.rtol, self.atol) is None:
                return hint
        return f"{problem} {self.hint}".strip()


@dataclass(frozen=True)
class Function:
    """A function. ``test(f)`` calls it and returns None if it is right, else a hint that names the mistake.

    A call that returns None or changes a tensor, array or list it was given ends the check with a hint of its own,
    unless ``mutates``. ``hint`` is said where ``test`` returns "".
    """

    test: Callable[[Callable], str | None]
    hint: str = ""
    mutates: bool = False
    seconds: float = 8

    def judge(self, answer: object) -> str | None:
        if not callable(answer):
            return TEXT["not_callable"].format(got=kind_of(answer))
        problem = self.test(watched_function(answer, self.mutates))
        return None if problem is None else problem or self.hint or TEXT["no_hint"]


@dataclass(frozen=True)
class Module:
    """A net or layer: ``test`` gets what the student gave, a class or an instance; ``want`` may insist on one.

    A forward that returns None or changes its input in place ends the check with a hint of its own.
    """

    test: Callable[[object], str | None]
    hint: str = ""
    want: str = "either"  # or "class" or "instance"
    seconds: float = 8

    def judge(self, answer: object) -> str | None:
        problem = wrong_object(answer, nn.Module, self.want)
        if problem:
            return problem
        if isinstance(answer, nn.Module):
            answer = usual(answer)
        with watched_forward(answer if isinstance(answer, type) else type(answer)):
            problem = self.test(answer)
        return None if problem is None else problem or self.hint or TEXT["no_hint"]


@dataclass(frozen=True)
class Class:
    """A subclass of ``base`` that is no module."""

    test: Callable[[type], str | None]
    base: type = object
    hint: str = ""
    seconds: float = 8

    def judge(self, answer: object) -> str | None:
        problem = wrong_object(answer, self.base, "class")
        if problem:
            return problem
        problem = self.test(answer)
        return None if problem is None else problem or self.hint or TEXT["no_hint"]


Question = Number | Tensor | Function | Module | Class


# --- check ----------------------------------------------------------------------------------------------


def check(label: str, answer: object = None) -> Verdict:
    """Whether ``answer`` answers the exercise ``label``. ValueError, with the valid labels, for an unknown one.

    An answer of ``...`` or None, and a function whose body is ``...``, is "nothing here yet".
    """
    question = find(label)
    if answer is ... or answer is None or _unwritten(answer):
        return Verdict("empty", TEXT["empty"])
    try:
        with limit.untouched():
            question = _resolved(question)
        result = limit.outcome(lambda: question.judge(answer), question.seconds)
    except SurroundingsError as problem:
        return _open(str(problem))
    except Exception as error:  # records that are not here, say
        return _open(TEXT["no_value"].format(type=type(error).__name__, text=_text(error)))
    if result.late:
        return _open(TEXT["late" if result.seconds >= question.seconds else "slow"].format(
            seconds=question.seconds, wait=limit.PATIENCE * question.seconds))
    problem = _in_words(result.error) if result.error else result.value
    return Verdict("right", TEXT["right"]) if problem is None else Verdict("wrong", f"{TEXT['wrong']} {problem}")


def _open(why: str) -> Verdict:
    return Verdict("open", f"{TEXT['open']} {why}")


def find(label: str) -> Question:
    """The question behind a label such as "degradation-2"; ValueError names the valid ones."""
    known = sorted(m.name for m in pkgutil.iter_modules(exercises.__path__))
    chapter, _, number = str(label).rpartition("-")
    slug = chapter.replace("-", "_")
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
