"""Running a student's code under observation: what it returns, and whether it changes what it was given."""

from collections.abc import Callable
import inspect

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from .answers import TEXT, Trouble, kind_of


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
