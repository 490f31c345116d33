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
import inspect
import linecache
import math
import pkgutil
import sysconfig
import traceback

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from . import exercises, guard

TEXT = {
    "right": "Right.", "wrong": "Not yet.", "empty": "Nothing here yet.",
    "no_hint": "This is not the expected answer.",
    "number_type": "Expected a number, got {got}.",
    "not_finite": "The answer is {got}, not a finite number.",
    "per_cent": "This is 100 times too large: give a fraction, not per cent.",
    "fraction": "This is 100 times too small: give per cent, not a fraction.",
    "sign": "The sign is wrong, the size is right.",
    "unit": "This is off by exactly a factor of 1,000 or a million: give the number itself, without a unit.",
    "close": "Close, but not within {rel} of the answer. Is something rounded on the way, or left out?",
    "tensor_type": "Expected a tensor, got {got}.",
    "meta": "The tensor lives on the device “meta”, where tensors have no values.",
    "shape": "Expected a tensor of shape {want}, got {got}.",
    "shape_turned": "Expected a tensor of shape {want}, got {got}: the axes are in another order.",
    "dtype": "Expected {want} values, got {got}.",
    "nan": "{n} of {total} values are NaN or infinite.",
    "values": "The shape is right, but {n} of {total} values are not.",
    "not_callable": "Expected a function, got {got}. Give the function itself, without calling it.",
    "signature": "Your function cannot be called as the exercise does it: {error}.",
    "returned_none": "{name} returned nothing (None). Is a `return` missing?",
    "in_place": "{name} changes its input in place. Whoever called it may still need that input: make a new tensor.",
    "class_wanted": "Expected a class, got {got}. Give the class itself, without parentheses behind it.",
    "class_of": "Expected a subclass of {base}, got {got}.",
    "instance_wanted": "Expected an instance of {base}, got the class itself: make one with parentheses.",
    "instance_of": "Expected an instance of {base}, got {got}.",
    "late": "Your code did not finish within {seconds:g} seconds and was stopped. Does a loop never end?",
    "recursion": "Your code calls itself without end{where}.",
    "exit": "Your code tried to end Python (sys.exit or the like){where}.",
    "memory": "Your code asked for more memory than there is{where}.",
    "error": "Your code raised {type}: {text}{where}.",
    "unusable": "The check could not work with what your code gives ({type}: {text}).",
    "where": ", in line {line}", "source": ": {source}",
    "a_class": "the class {name}", "a_function": "a function", "a_tensor": "a tensor of shape {shape}",
    "an_instance": "a value of type {name}", "a_bool": "True or False",
    "kinds": {"bool": "boolean", "int": "integer", "float": "floating-point", "complex": "complex"},
}
SIGNS = {"right": "✓", "wrong": "✗", "empty": "·"}


@dataclass(frozen=True)
class Verdict:
    """What `check` says: true if the answer is right. ``state`` is "right", "wrong" or "empty"."""

    state: str
    text: str

    def __bool__(self) -> bool:
        return self.state == "right"

    def __str__(self) -> str:
        return f"{SIGNS[self.state]} {self.text}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        color = {"right": "var(--rn-residual, #0072B2)", "wrong": "var(--rn-plain, #D55E00)"}.get(self.state, "#767677")
        head = TEXT[self.state]
        rest = self.text.removeprefix(head)
        return (f'<div class="rn-verdict rn-{self.state}" style="border-left: 3px solid {color}; padding: 0.1em 0.8em; '
                f'margin: 0.4em 0">{SIGNS[self.state]} <strong>{escape(head)}</strong>{escape(rest)}</div>')


class Trouble(Exception):
    """Something about the answer that ends its check, in words for the student."""


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
        problem = self.test(_watched_function(answer, self.mutates))
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
        problem = _wrong_object(answer, nn.Module, self.want)
        if problem:
            return problem
        with _watched_forward(answer if isinstance(answer, type) else type(answer)):
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
        problem = _wrong_object(answer, self.base, "class")
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
    with guard.untouched():
        question = _resolved(question)
    result = guard.outcome(lambda: question.judge(answer), question.seconds)
    problem = _in_words(result, question) if result.late or result.error else result.value
    return Verdict("right", TEXT["right"]) if problem is None else Verdict("wrong", f"{TEXT['wrong']} {problem}")


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
    code = getattr(answer, "__code__", None)
    if code is None or code.co_code not in (_blank.__code__.co_code, _blank_with_docstring.__code__.co_code):
        return False
    return code.co_consts[-1] is None  # else it is ``return 5``, whose code looks the same


def _blank(): ...


def _blank_with_docstring():
    """."""


# --- values ---------------------------------------------------------------------------------------------


def as_number(answer: object) -> float:
    """A float from a number of Python, numpy or torch (also with one element in a shape); else `Trouble`."""
    if isinstance(answer, torch.Tensor | np.ndarray) and math.prod(answer.shape) == 1:
        if isinstance(answer, torch.Tensor) and answer.is_meta:
            raise Trouble(TEXT["meta"])
        answer = answer.item()
    if isinstance(answer, bool | np.bool_):
        raise Trouble(TEXT["number_type"].format(got=TEXT["a_bool"]))
    if isinstance(answer, str | bytes) or isinstance(answer, type) or not hasattr(answer, "__float__") \
            or isinstance(answer, torch.Tensor | np.ndarray):
        raise Trouble(TEXT["number_type"].format(got=kind_of(answer)))
    try:
        number = float(answer)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Trouble(TEXT["not_finite"].format(got=number))
    return number


def difference(got: object, want: object, rtol: float = 1e-4, atol: float = 1e-6) -> str | None:
    """None if ``got`` is the tensor ``want``, else what differs first: type, shape, kind of dtype, NaN, values.

    Gradients, device, memory layout and precision do not count. For the tests of questions, too.
    """
    want = torch.as_tensor(want).detach()
    if not isinstance(got, torch.Tensor):
        if not isinstance(got, np.ndarray | np.generic | list | tuple | int | float):
            return TEXT["tensor_type"].format(got=kind_of(got))
        try:
            got = torch.as_tensor(got)
        except (TypeError, ValueError, RuntimeError):
            return TEXT["tensor_type"].format(got=kind_of(got))
    if got.is_meta:
        return TEXT["meta"]
    if got.shape != want.shape:
        turned = sorted(got.shape) == sorted(want.shape) and got.dim() > 1
        return TEXT["shape_turned" if turned else "shape"].format(want=tuple(want.shape), got=tuple(got.shape))
    if _kind(got) != _kind(want):
        return TEXT["dtype"].format(want=TEXT["kinds"][_kind(want)], got=f"{TEXT['kinds'][_kind(got)]} ones")
    if got.layout != torch.strided:
        got = got.to_dense()
    got, want = got.detach().cpu(), want.cpu()
    if got.is_floating_point():
        got, want = got.double(), want.double()
    strange = int((~torch.isfinite(got) & torch.isfinite(want)).sum())
    if strange:
        return TEXT["nan"].format(n=strange, total=got.numel())
    off = int((~torch.isclose(got, want, rtol, atol, equal_nan=True)).sum())
    return TEXT["values"].format(n=off, total=got.numel()) if off else None


def _kind(tensor: torch.Tensor) -> str:
    if tensor.dtype == torch.bool:
        return "bool"
    return "complex" if tensor.is_complex() else "float" if tensor.is_floating_point() else "int"


def kind_of(answer: object) -> str:
    """An answer's type in words: "a str", "a tensor of shape (2, 3)", "the class Block"."""
    if isinstance(answer, type):
        return TEXT["a_class"].format(name=answer.__name__)
    if isinstance(answer, torch.Tensor | np.ndarray):
        return TEXT["a_tensor"].format(shape=tuple(answer.shape))
    if inspect.isroutine(answer):
        return TEXT["a_function"]
    return TEXT["an_instance"].format(name=type(answer).__name__)


# --- the student's code ---------------------------------------------------------------------------------


def _watched_function(f: Callable, mutates: bool) -> Callable:
    """``f``, but a call that does not fit, returns None or changes its arguments raises `Trouble`."""
    name = getattr(f, "__name__", type(f).__name__)

    def call(*args, **named):
        try:
            inspect.signature(f).bind(*args, **named)
        except TypeError as error:
            raise Trouble(TEXT["signature"].format(error=error)) from None
        except ValueError:
            pass  # a built-in that does not tell its signature
        before = [_copy(a) for a in (*args, *named.values())]
        value = f(*args, **named)
        if not mutates:
            _same_or_trouble(name, before, (*args, *named.values()))
            if value is None:
                raise Trouble(TEXT["returned_none"].format(name=name))
        return value

    call.__wrapped__ = f
    return call


class _watched_forward:
    """While it lasts, a forward of ``cls`` that returns None or changes its input raises `Trouble`."""

    def __init__(self, cls: type):
        self.cls, self.stack = cls, []

    def __enter__(self):
        self.hooks = register_module_forward_pre_hook(self._before), register_module_forward_hook(self._after)

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()

    def _before(self, module, args):
        if isinstance(module, self.cls):
            self.stack.append((module, [_copy(a) for a in args]))

    def _after(self, module, args, value):
        if not isinstance(module, self.cls):
            return
        while self.stack:  # a forward that raised, and whose error was caught, has left its entry
            entry, before = self.stack.pop()
            if entry is module:
                break
        name = f"{self.cls.__name__}.forward"
        _same_or_trouble(name, before, args)
        if value is None:
            raise Trouble(TEXT["returned_none"].format(name=name))


def _copy(value: object) -> object:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray | list | dict):
        return value.copy()
    return None  # not compared


def _same_or_trouble(name: str, before: list, after: tuple) -> None:
    for old, new in zip(before, after, strict=True):
        if isinstance(old, torch.Tensor):
            same = old.shape == new.shape and torch.equal(old.nan_to_num(7), new.detach().nan_to_num(7))
        elif isinstance(old, np.ndarray):
            same = np.array_equal(old, new)
        else:
            same = old is None or _parts(old) == _parts(new)
        if not same:
            raise Trouble(TEXT["in_place"].format(name=name))


def _parts(container: list | dict) -> list[int]:
    """What a list or dict holds, by identity: comparing tensors by value would not give a truth value."""
    return [id(part) for part in (container if isinstance(container, list) else [*container, *container.values()])]


def _wrong_object(answer: object, base: type, want: str) -> str | None:
    name = base.__name__
    if isinstance(answer, type):
        if not issubclass(answer, base):
            return TEXT["class_of"].format(base=name, got=answer.__name__)
        return TEXT["instance_wanted"].format(base=name) if want == "instance" else None
    if want == "class":
        return TEXT["class_wanted"].format(got=kind_of(answer))
    return None if isinstance(answer, base) else TEXT["instance_of"].format(base=name, got=kind_of(answer))


# --- what went wrong, in words --------------------------------------------------------------------------

HERE = Path(__file__).resolve().parent
NOT_THEIRS = tuple({str(HERE), str(Path(torch.__file__).resolve().parent),
                    *(sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib", "purelib", "platlib"))})


def _in_words(result: guard.Outcome, question: Question) -> str:
    """The hint for an exception or a time-out."""
    if result.late:
        return TEXT["late"].format(seconds=question.seconds)
    error = result.error
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
