"""The types of questions: what an exercise asks for, and what its answer is held against.

All take ``seconds``, the limit for the student's code. ``judge`` gives None for a right answer, else a hint, which
names a mistake, never the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from ..surroundings import usual
from .answers import TEXT, as_number, difference, kind_of, watched_forward, watched_function, wrong_object

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

    ``beside``: the check has to lie beside the code, since it looks into it while it runs, or since what goes in or out
    cannot cross from one process to another, a net say.
    """

    test: Callable[[Callable], str | None]
    hint: str = ""
    mutates: bool = False
    seconds: float = 8
    beside: bool = False

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
