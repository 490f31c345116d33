"""What an answer is, in which words it is refused, and watching a student's code: does it change what it was given?"""

from collections.abc import Callable
import inspect
import math

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

TEXT = {
    "right": "Right.", "wrong": "Not yet.", "empty": "Nothing here yet.",
    "solution": "Right. This is the solution, no answer of yours.",
    "open": "Could not be judged here.", "recorded": "Recorded:",
    "no_hint": "This is not the expected answer.",
    "number_type": "Expected a number, got {got}.",
    "not_finite": "The answer is {got}, not a finite number.",
    "per_cent": "This is 100 times too large: give a fraction, not per cent.",
    "fraction": "This is 100 times too small: give per cent, not a fraction.",
    "sign": "The sign is wrong, the size is right.",
    "unit": "This is off by about a factor of 1,000 or a million: give the number itself, without a unit.",
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
    "late": "Your code computed for {seconds:g} seconds without an end and was stopped. Does a loop never end?",
    "slow": "Your code did not finish within {wait:g} seconds, in which it hardly computed, and was stopped. Does it "
            "wait for something, or is this machine busy?",
    "no_value": "The right answer could not be computed ({type}: {text}).",
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


class Trouble(Exception):
    """Something about the answer that ends its check, in words for the student."""


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


# --- a student's code under observation ----------------------------------------------------------------


def watched_function(f: Callable, mutates: bool) -> Callable:
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


class watched_forward:
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


def wrong_object(answer: object, base: type, want: str) -> str | None:
    """Why the answer is not the class, or instance, of ``base`` that is wanted; None if it is."""
    name = base.__name__
    if isinstance(answer, type):
        if not issubclass(answer, base):
            return TEXT["class_of"].format(base=name, got=answer.__name__)
        return TEXT["instance_wanted"].format(base=name) if want == "instance" else None
    if want == "class":
        return TEXT["class_wanted"].format(got=kind_of(answer))
    return None if isinstance(answer, base) else TEXT["instance_of"].format(base=name, got=kind_of(answer))
