"""The checks of the chapter on degradation: right answers, and the wrong ones that people give."""

from dataclasses import replace
from statistics import fmean

import pytest
import torch

from resnet_lib import train
from resnet_lib.checks import check
from resnet_lib.recipe import Recipe


def wrong(verdict, fragment):
    assert not verdict and fragment in str(verdict), verdict


def rule(of=min, against=max, test_decides=False, both=False, either=False):
    """A diagnosis, right or with one of its usual mistakes."""
    def above(a, b, k):
        return of(x[k] for x in a) > against(x[k] for x in b)

    def diagnose(shallow, deep):
        worse_test = above(deep, shallow, 1)
        if test_decides:
            return "degradation" if worse_test else "not shown"
        if above(deep, shallow, 0) and (worse_test or not both):
            return "degradation"
        return "overfitting" if worse_test and (either or above(shallow, deep, 0)) else "not shown"

    return diagnose


def test_the_diagnosis():
    assert check("degradation-2", rule())


@pytest.mark.parametrize("f, fragment", [
    (rule(test_decides=True), "training error decides"), (rule(both=True), "whatever the test error"),
    (rule(fmean, fmean), "seeds overlap"), (rule(next, next), "seeds overlap"),
    (rule(either=True), "needs both"), (lambda a, b: "not shown", 'the answer is "degradation"'),
    (lambda a, b: True, "The answers are"), (lambda a: "", "cannot be called"),
    ("degradation", "Expected a function"),
])
def test_other_diagnoses(f, fragment):
    wrong(check("degradation-2", f), fragment)


def test_the_norm_after_a_step():
    assert check("degradation-3", lambda norm, gradient, lr: (norm**2 + (lr * gradient)**2) ** 0.5)
    assert check("degradation-3", lambda n, g, lr: torch.hypot(torch.tensor(n), torch.tensor(lr * g)))


@pytest.mark.parametrize("f, fragment", [
    (lambda n, g, lr: n + lr * g, "pointed the same way"), (lambda n, g, lr: n - lr * g, "back along"),
    (lambda n, g, lr: n**2 + lr**2 * g**2, "square of the norm"),
    (lambda n, g, lr: abs(n**2 - lr**2 * g**2) ** 0.5, "the squares add up"),
    (lambda n, g, lr: (n**2 + lr * g**2) ** 0.5, "lr is squared too"), (lambda n, g, lr: n, "Pythagoras"),
    (lambda n, g, lr: (n**2 + g**2) ** 0.5, "lr times the gradient"),
    (lambda n, g, lr: (n**2 + (lr * g)**2) ** 0.5 - n, "by how much"), (lambda n, g, lr: 1.0, "Draw the weights"),
    (lambda n, g: n, "cannot be called"), (lambda n, g, lr: "5", "Expected a number"),
    (lambda n, g, lr: torch.ones(2), "Expected a number"), (5.0, "Expected a function"),
])
def test_other_norms(f, fragment):
    wrong(check("degradation-3", f), fragment)


def comparison(longer=lambda s: replace(s, steps=3 * s.steps), first=lambda rows: rows[-1]["train_error"],
               second=lambda rows: rows[-1]["train_error"]):
    def control(shorter, rows_of):
        rows_longer, rows_shorter = rows_of(longer(shorter)), rows_of(shorter)
        return first(rows_longer), second(rows_shorter)

    return control


def last_test(rows):
    return rows[-1]["test_error"]


def best(key):
    return lambda rows: min(r[key] for r in rows)


def test_the_repaired_control():
    assert check("degradation-4", comparison())

    def other_order(shorter, rows_of):
        b = rows_of(shorter)[-1]["train_error"]
        return [rows_of(replace(shorter, steps=3 * shorter.steps))[-1]["train_error"], b]

    assert check("degradation-4", other_order)


@pytest.mark.parametrize("f, fragment", [
    (comparison(lambda s: Recipe(steps=576, lr=0.05, batch=64, drops=(96, 144)), best("test_error"), last_test),
     "differ in steps, drops"),
    (comparison(lambda s: Recipe(steps=576, lr=0.05, batch=64, drops=())), "differ in steps, batch, lr."),
    (comparison(lambda s: s), "differ in nothing"),
    (comparison(lambda s: replace(s, steps=576)), "three times the steps"),
    (comparison(lambda s: replace(s, steps=2 * s.steps)), "three times"),
    (comparison(first=best("test_error"), second=last_test), "test errors"),
    (comparison(first=last_test, second=last_test), "test errors"),
    (comparison(first=best("train_error")), "last step"),
    (comparison(first=best("train_error"), second=best("train_error")), "last step"),
    (lambda shorter, rows_of: 0.5, "Two runs are compared"),
    (lambda shorter, rows_of: rows_of("longer"), "rows_of wants a Recipe"),
    (lambda shorter, rows_of: (rows_of(shorter), rows_of(replace(shorter, steps=3 * shorter.steps))) and 1,
     "Return two errors"),
    (lambda shorter, rows_of: comparison()(shorter, rows_of)[::-1], "in this order"),
])
def test_other_controls(f, fragment):
    wrong(check("degradation-4", f), fragment)


def convolutions(run):
    return [m for m in run.net.modules() if isinstance(m, torch.nn.Conv2d)]


def filter_norms(m):
    return m.weight.detach().flatten(1).norm(dim=1)[:, None, None, None]


class FixedNorm(train.Run):
    layers = staticmethod(convolutions)

    def step(self):
        before = [m.weight.detach().norm() for m in self.layers(self)]
        super().step()
        for m, norm in zip(self.layers(self), before, strict=True):
            m.weight.data *= norm / m.weight.data.norm()


class Filters(train.Run):
    """Stricter than asked for: each filter keeps its norm."""

    def step(self):
        before = [filter_norms(m) for m in convolutions(self)]
        super().step()
        for m, norm in zip(convolutions(self), before, strict=True):
            m.weight.data *= norm / filter_norms(m)


def test_fixed_norms():
    assert check("degradation-5", FixedNorm)
    assert check("degradation-5", Filters)


class Lazy(train.Run):
    def step(self):
        pass


class Back(train.Run):
    def step(self):
        before = [m.weight.detach().clone() for m in convolutions(self)]
        super().step()
        for m, weight in zip(convolutions(self), before, strict=True):
            m.weight.data.copy_(weight)


class Everything(FixedNorm):
    @staticmethod
    def layers(run):
        return [m for m in run.net.modules() if getattr(m, "weight", None) is not None]


class First(FixedNorm):
    @staticmethod
    def layers(run):
        return convolutions(run)[:1]


class One(train.Run):
    def step(self):
        super().step()
        for m in convolutions(self):
            m.weight.data /= m.weight.data.norm()


class TooEarly(train.Run):
    def step(self):
        for m in convolutions(self):
            m.weight.data *= m.weight.data.norm() / m.weight.data.norm()
        super().step()


class Replaced(train.Run):
    """Its optimizer moves tensors that the net has no longer."""

    def step(self):
        before = [m.weight.detach().norm() for m in convolutions(self)]
        super().step()
        for m, norm in zip(convolutions(self), before, strict=True):
            m.weight = torch.nn.Parameter(m.weight.detach() * norm / m.weight.detach().norm())


class NoRun(torch.nn.Module):
    pass


class Forgets(train.Run):
    def step(self):
        super().step()
        for m in self.convolutions:
            m.weight.data /= 2


@pytest.mark.parametrize("cls, fragment", [
    (Replaced, "learns no more"), (Lazy, "super().step() missing"),
    (Back, "its norm, not its weights"), (Everything, "only by a positive number"),
    (First, "Some convolutions"), (One, "same norm now"), (TooEarly, "still change"), (train.Run, "still change"),
    (NoRun, "Expected a subclass of Run, got NoRun"), (Forgets, "no attribute 'convolutions', in line"),
    (3, "Expected a class"),
])
def test_other_runs(cls, fragment):
    wrong(check("degradation-5", cls), fragment)
