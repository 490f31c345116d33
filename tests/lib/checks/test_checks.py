"""The engine of the checks: right answers, and everything a student may hand in instead of one."""

import math
import os
import random
import signal
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from conftest import ROOT
from resnet_lib import exercises
from resnet_lib.checks import Class, Function, Module, Number, Tensor, check, difference
from resnet_lib.checks import limit as guard

ALARM = hasattr(signal, "SIGALRM")


def wrong(verdict, fragment, secret=None):
    """The verdict is ✗ with these words, and does not contain the answer."""
    assert not verdict and str(verdict).startswith("✗ "), verdict
    assert fragment in str(verdict), verdict
    if secret is not None:
        assert str(secret) not in str(verdict) and f"{secret:,}" not in str(verdict), verdict


# --- verdicts and labels


def test_a_verdict_says_yes_no_or_nothing_yet_in_text_and_in_a_notebook(ask):
    right, no, empty = (ask(Number(7), a) for a in (7, 8, ...))
    assert bool(right) is True and repr(right) == str(right) == "✓ Right."
    assert str(check("fast-5", 7, solution=True)) == "✓ Right. This is the solution, no answer of yours."
    assert bool(no) is False and repr(no).startswith("✗ Not yet. ")
    assert bool(empty) is False and repr(empty) == "· Nothing here yet."
    assert ask(Number(7), None).state == "empty"
    for verdict, sign in ((right, "✓"), (no, "✗"), (empty, "·")):
        html = verdict._repr_html_()
        assert sign in html and f"rn-{verdict.state}" in html
        assert "color:" not in html.replace("border-left", "")  # words keep the theme's own color


def test_what_a_student_wrote_cannot_become_markup(ask):
    class Fancy(Exception):
        pass

    def f(x):
        raise Fancy("<script>")

    assert "<script>" not in ask(Function(lambda f: f(1)), f)._repr_html_()


def test_a_chapter_is_imported_on_demand_and_a_label_that_is_none_is_an_error(monkeypatch, tmp_path):
    text = "from resnet_lib.checks import Number\nCHECKS = {'two-words-3': Number(3)}\n"
    (tmp_path / "two_words.py").write_text(text)
    monkeypatch.setattr(exercises, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "resnet_lib.exercises.two_words", raising=False)
    assert check("two-words-3", 3)
    with pytest.raises(ValueError, match="'two-words-4'.*two-words-3"):
        check("two-words-4", 3)
    for label in ("nowhere-1", "two-words", "two-words-", "two_words-3-x", "", 5):
        with pytest.raises(ValueError, match="chapters with checks are two-words"):
            check(label, 3)
    sys.modules.pop("resnet_lib.exercises.two_words", None)


# --- numbers


@pytest.mark.parametrize("answer", [853018, 853018.0, np.int64(853018), np.float32(853018), torch.tensor(853018),
                                    torch.tensor([[853018.0]], requires_grad=True), np.array([853018]), 853018 * 1.009])
def test_numbers_of_any_kind_are_right(ask, answer):
    assert ask(Number(853018), answer)
    assert ask(Number(lambda: 853018), answer)


@pytest.mark.parametrize("answer, fragment", [
    ("853018", "Expected a number, got a value of type str"),
    ([853018], "got a value of type list"), (1j, "type complex"), (True, "True or False"), (object(), "type object"),
    (len, "got a function"), (nn.ReLU(), "type ReLU"), (nn.ReLU, "the class ReLU"),
    (torch.ones(2, 3), "tensor of shape (2, 3)"), (np.ones(4), "tensor of shape (4,)"),
    (torch.empty(1, device="meta"), "meta"),
    (math.nan, "not a finite number"), (math.inf, "not a finite number"), (torch.tensor(float("nan")), "not a finite"),
    (10 ** 400, "not a finite"), (-853018, "sign"), (853.018, "factor of 1,000"), (0.853018, "a million"),
    (853018 * 1.03, "Close, but"), (12, "not the expected answer"),
    (269722, "twenty layers"), (270000, "twenty layers"),
])
def test_numbers_that_are_none_or_wrong_get_a_word(ask, answer, fragment):
    question = Number(853018, wrong=((lambda: 269722, "This net has twenty layers."),))
    wrong(ask(question, answer), fragment, 853018)


def test_per_cent_and_fractions_are_told_apart_and_an_exact_number_is_exact(ask):
    wrong(ask(Number(0.125), 12.5), "100 times too large")
    wrong(ask(Number(12.5), 0.125), "100 times too small")
    assert ask(Number(0.125), 0.125) and ask(Number(0), 0.0) and ask(Number(0, atol=0.1), 0.05)
    wrong(ask(Number(0), 0.05), "not the expected")
    assert ask(Number(20, rel=0), 20)
    wrong(ask(Number(20, rel=0, hint="Count the layers with weights."), 21), "Count the layers")


def test_a_hostile_number_gets_a_word(ask):
    class Hostile:
        def __float__(self):
            raise ZeroDivisionError("never")

        def __eq__(self, other):
            raise ValueError

        def __repr__(self):
            raise ValueError

    wrong(ask(Number(1), Hostile()), "ZeroDivisionError: never, in line")
    wrong(ask(Tensor(torch.ones(1)), Hostile()), "type Hostile")
    wrong(ask(Function(lambda f: None), Hostile()), "type Hostile")


def unjudged(verdict, fragment):
    """The verdict is neither right nor wrong, with these words."""
    assert not verdict and verdict.state == "open" and str(verdict).startswith("? Could not be judged here. "), verdict
    assert fragment in str(verdict), verdict


# --- tensors

WANT = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("answer", [WANT, WANT.double(), WANT.clone().requires_grad_(), WANT.numpy(), WANT.tolist(),
                                    WANT.to_sparse(), nn.Parameter(WANT), WANT.half(), WANT.T.contiguous().T])
def test_tensors_of_any_precision_and_kind_are_right(ask, answer):
    assert ask(Tensor(WANT), answer) and ask(Tensor(lambda: WANT), answer)


@pytest.mark.parametrize("answer, fragment", [
    (WANT.T, "shape (2, 3), got (3, 2): the axes are in another order"),
    (WANT[None], "Expected a tensor of shape (2, 3), got (1, 2, 3)"), (WANT.flatten(), "got (6,)"), (3.0, "got ()"),
    (WANT.long(), "Expected floating-point values, got integer ones"), (WANT > 1, "got boolean ones"),
    (WANT.to(torch.complex64), "got complex ones"), ("no", "Expected a tensor, got a value of type str"),
    ([[1, 2], [3]], "type list"), ({}, "type dict"), (nn.ReLU(), "type ReLU"),
    (torch.empty(2, 3, device="meta"), "meta"),
    (WANT / torch.tensor([1.0, 0, 1]), "2 of 6 values are NaN or infinite"),
    (WANT + torch.tensor([0, 0, 1.0]), "The shape is right, but 2 of 6 values are not. Look at the last column."),
    (WANT + 1, "counted from one"),
])
def test_tensors_that_are_none_or_wrong_get_a_word(ask, answer, fragment):
    question = Tensor(WANT, wrong=((lambda: WANT + 1, "You counted from one."),), hint="Look at the last column.")
    wrong(ask(question, answer), fragment)


def test_difference_compares_whole_numbers_and_booleans_too():
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 2])) is None
    assert "1 of 2" in difference(torch.tensor([1, 3]), torch.tensor([1, 2]))
    assert difference(torch.tensor([True]), torch.tensor([True])) is None
    assert difference(torch.tensor([math.inf]), torch.tensor([math.inf])) is None


# --- functions


def double(f):
    x = torch.randn(4)
    return None if difference(f(x), 2 * x) is None else "It does not double."


def test_a_right_function_a_wrong_one_and_one_not_yet_written(ask):
    assert ask(Function(double), lambda x: x + x)
    wrong(ask(Function(double), lambda x: x * x), "It does not double.")
    wrong(ask(Function(lambda f: "", hint="Think of two."), lambda x: x), "Think of two.")

    def empty(x): ...

    def described(x):
        """Doubles."""
        ...

    def five(x):
        return 5

    assert ask(Function(double), empty).state == ask(Function(double), described).state == "empty"
    wrong(ask(Function(double), five), "It does not double.")


def no_return(x):
    x + x


def in_place(x):
    x *= 2
    return x


def fails(x):
    y = x + 1
    return y @ torch.ones(7)  # this line


def deep(x):
    return deep(x)


def leaves(x):
    sys.exit(3)


def hungry(x):
    raise MemoryError


def speechless(x):
    class Speechless(Exception):
        def __str__(self):
            raise ValueError

    raise Speechless


def talks(x):
    raise ValueError("so much " * 10_000)


@pytest.mark.parametrize("f, fragment", [
    (no_return, "no_return returned nothing (None). Is a `return` missing?"),
    (in_place, "in_place changes its input in place"),
    (fails, "Your code raised RuntimeError: inconsistent tensor size"),
    (fails, f", in line {fails.__code__.co_firstlineno + 2}: return y @ torch.ones(7)  # this line"),
    (deep, "calls itself without end, in line"), (leaves, "tried to end Python"), (hungry, "more memory"),
    (speechless, "Speechless: no message"), (talks, "so much so …"),
    (lambda: 1, "cannot be called as the exercise does it: too many positional arguments"),
    (lambda x, y: 1, "missing a required argument: 'y'"),
    (lambda x: "x", "It does not double."),
    (torch.ones(4), "Expected a function, got a tensor of shape (4,). Give the function itself"), (3, "type int"),
])
def test_what_goes_wrong_in_a_students_function_gets_a_word(ask, f, fragment):
    wrong(ask(Function(double), f), fragment)


def test_what_a_function_gives_may_be_useless_to_the_check(ask):
    ours = {}  # a test that lies where those of the book lie
    exec(compile("def test(f):\n    return f(1).shape", exercises.__file__.replace("__init__", "sample"), "exec"), ours)
    wrong(ask(Function(ours["test"]), lambda x: "text"), "could not work with what your code gives (AttributeError")


def test_other_containers_are_watched_too_unless_changing_them_is_the_task(ask):
    def appends(rows):
        rows.append(1)
        return rows

    def fills(a):
        a[0] = 7
        return a

    for f, value in ((appends, [1]), (fills, np.zeros(3)), (fills, {0: 1}), (fills, torch.zeros(3))):
        question = Function(lambda f, value=value: None if f(value) is not None else "")
        wrong(ask(question, f), "in place")
    assert ask(Function(lambda f: None if f([1]) is None else "", mutates=True), lambda rows: rows.append(1))
    same = torch.tensor([math.nan, 1.0])
    assert ask(Function(lambda f: None if f(x=same) is not None else ""), lambda x: x + 1)


# --- modules and classes


class Double(nn.Module):
    def forward(self, x):
        return x + x


class InPlace(nn.Module):
    def forward(self, x):
        return nn.functional.relu(x, inplace=True) * 2


class NoReturn(nn.Module):
    def forward(self, x):
        x + x


class NoSuper(nn.Module):
    def __init__(self):
        self.inner = nn.Linear(4, 4)


def doubles(layer):
    return double(layer() if isinstance(layer, type) else layer)


def test_modules_as_classes_and_as_instances(ask):
    assert ask(Module(doubles), Double) and ask(Module(doubles), Double())
    assert ask(Module(doubles, want="class"), Double) and ask(Module(doubles, want="instance"), Double())
    wrong(ask(Module(doubles, want="class"), Double()), "without parentheses")
    wrong(ask(Module(doubles, want="instance"), Double), "make one with parentheses")
    wrong(ask(Module(doubles), dict), "subclass of Module, got dict")
    wrong(ask(Module(doubles), 3), "instance of Module, got a value of type int")
    for layer in (InPlace, InPlace()):
        wrong(ask(Module(doubles), layer), "InPlace.forward changes its input in place")
    for layer in (NoReturn, NoReturn()):
        wrong(ask(Module(doubles), layer), "NoReturn.forward returned nothing")
    wrong(ask(Module(doubles), NoSuper), "in line")
    wrong(ask(Module(doubles), nn.Identity()), "It does not double.")
    assert not torch.nn.modules.module._global_forward_hooks


def test_classes_that_are_no_modules(ask):
    class Counter(dict):
        pass

    question = Class(lambda c: None if c(a=1)["a"] == 1 else "", base=dict)
    assert ask(question, Counter)
    wrong(ask(question, Counter()), "without parentheses")
    wrong(ask(question, list), "subclass of dict, got list")


# --- the guard


def forever(x):
    while True:
        x = x + 0


def forever_until(end):
    while time.thread_time() < end:
        pass


def swallows(x):
    while True:
        try:
            x = x + 0
        except Exception:
            pass


def swallows_everything(x):
    while True:
        try:
            len(str(x))
        except:  # noqa: E722
            pass


def sleeps_through(x):
    while True:
        try:
            time.sleep(60)
        except:  # noqa: E722
            pass


def catches_and_answers(x):
    try:
        time.sleep(60)
    except:  # noqa: E722
        return x + x


LOOPS = [forever, swallows, swallows_everything]


@pytest.mark.parametrize("f, words", [*((f, "computed for 0.1 seconds without an end") for f in LOOPS), *(
    pytest.param(f, "did not finish within 1.5 seconds, in which it hardly computed", marks=pytest.mark.slow)
    for f in [sleeps_through, catches_and_answers] * ALARM)])
def test_what_does_not_end_is_stopped_in_the_main_thread(ask, f, words):
    handler = signal.getsignal(signal.SIGALRM) if ALARM else None
    unjudged(ask(Function(double, seconds=0.1), f), words)
    if ALARM:
        assert signal.getsignal(signal.SIGALRM) is handler and signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)
def test_an_endless_loop_is_stopped_where_there_is_no_signal(ask, monkeypatch, f):
    monkeypatch.setattr(guard, "can_alarm", lambda: False)
    threads = threading.active_count()
    unjudged(ask(Function(double, seconds=0.2), f), "computed for 0.2 seconds without an end")
    assert threading.active_count() == threads


@pytest.mark.slow
@pytest.mark.parametrize("alarm", [True, False])
def test_only_the_processors_time_of_the_code_counts(ask, monkeypatch, alarm):
    """On a busy machine, where others compute most of the time, an answer is as right as on an idle one."""
    monkeypatch.setattr(guard, "can_alarm", lambda: alarm and ALARM)

    def slowed(x):
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            time.sleep(0.02)
            math.factorial(300)
            if time.monotonic() > start + 0.9:
                break
        return x + x

    start = time.monotonic()
    assert ask(Function(double, seconds=0.3), slowed)
    assert time.monotonic() > start + 0.6  # twice the limit


def test_an_endless_loop_is_stopped_in_another_thread(ask):
    found = []
    thread = threading.Thread(target=lambda: found.append(ask(Function(double, seconds=0.2), forever)))
    thread.start()
    thread.join(20)
    unjudged(found[0], "without an end")


@pytest.mark.parametrize("alarm, limit", [(True, 1e-3), pytest.param(False, 0.01, marks=pytest.mark.slow)])
def test_a_limit_that_rings_at_the_very_end_of_the_code_never_reaches_ours(monkeypatch, alarm, limit):
    """100 calls that end about when their time does: each gives a value or is late, and nothing is raised later."""
    monkeypatch.setattr(guard, "can_alarm", lambda: alarm and ALARM)
    dice, late = random.Random(0), 0
    for _ in range(100):
        seconds = dice.uniform(0, 3 * limit)

        def work(seconds=seconds):
            end = time.thread_time() + seconds
            while time.thread_time() < end:
                pass
            return 7

        result = guard.outcome(work, limit)
        assert result.late or result.value == 7
        late += result.late
    time.sleep(0.01)
    assert 0 < late < 100


@pytest.mark.skipif(not ALARM, reason="needs SIGALRM")
def test_a_limit_that_rings_while_it_is_taken_down_is_not_set_again(monkeypatch):
    """Set again it would ring when nobody hears it any more, and end the process."""
    set_timer = signal.setitimer

    def and_ring(which, seconds, interval=0.0):
        set_timer(which, seconds, interval)
        if not seconds:
            signal.raise_signal(signal.SIGALRM)

    monkeypatch.setattr(signal, "setitimer", and_ring)
    try:
        assert guard.outcome(lambda: 7, 60.0).value == 7
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        set_timer(signal.ITIMER_REAL, 0)


@pytest.mark.skipif(not ALARM, reason="needs SIGALRM")
def test_a_limit_that_hits_a_finalizer_is_not_talked_about(ask, capsys):
    class Slow:
        def __del__(self):
            forever_until(time.thread_time() + 0.3)

    def f(x):
        Slow()
        return x + x

    hook = sys.unraisablehook
    unjudged(ask(Function(double, seconds=0.1), f), "without an end")
    assert capsys.readouterr().err == "" and sys.unraisablehook is hook


@pytest.mark.slow
@pytest.mark.skipif(not ALARM, reason="needs SIGALRM")
def test_an_alarm_of_somebody_else_is_put_back(ask):
    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        assert ask(Number(1), 1)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.4
        unjudged(ask(Function(double, seconds=0.1), forever), "without an end")
        time.sleep(0.6)
        assert rang == [True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_the_readers_own_interrupt_is_not_swallowed(ask):
    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(Function(double), interrupted)
    if ALARM:
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_a_check_leaves_random_states_grad_mode_dtype_and_threads_alone(ask):
    def spoils(x):
        torch.manual_seed(5), np.random.seed(5), random.seed(5)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1 if torch.get_num_threads() > 1 else 2)
        return x + x

    def state():
        return (torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate(),
                torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
                torch.is_inference_mode_enabled())

    with torch.inference_mode():
        before = state()
        assert ask(Function(double), spoils)
        assert state() == before
    before = state()
    assert ask(Function(double), spoils) and state() == before


def test_inside_a_check_random_inputs_are_always_the_same_and_gradients_are_on(ask):
    seen = []

    def draws(f):
        seen.append((torch.randn(3), np.random.rand(), random.random(), torch.is_grad_enabled()))

    with torch.no_grad():
        ask(Function(draws), len)
    torch.randn(10)
    ask(Function(draws), len)
    assert torch.equal(seen[0][0], seen[1][0]) and seen[0][1:] == seen[1][1:] and seen[0][3]


def test_a_flood_of_output_is_cut(ask, capsys):
    def loud(x):
        print("mine")
        for _ in range(20_000):
            print("noise")
        print("more", file=sys.stderr)
        return x + x

    out = sys.stdout
    assert ask(Function(double), loud)
    printed = capsys.readouterr()
    assert printed.out.startswith("mine\nnoise") and len(printed.out) < 2_100 and printed.out.endswith(" …\n")
    assert printed.err == "more\n" and sys.stdout is out


@pytest.mark.slow
def test_a_check_works_in_a_jupyter_kernel(tmp_path):
    """In a real kernel: an endless loop written in a cell is stopped, and an error names the line of the cell."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = ["from resnet_lib import checks\nfrom resnet_lib.checks import questions\n"
             "questions.find = lambda label: checks.Function(lambda f: None if f(1) == 1 else 'no', seconds=0.3)",
             "def f(x):\n    while True:\n        pass\nchecks.check('a-1', f)",
             "def g(x):\n\n    return 1 / 0\nchecks.check('a-1', g)",
             "checks.check('a-1', lambda x: x)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    os.environ["PYTHONPATH"], before = str(ROOT), os.environ.get("PYTHONPATH")
    try:
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    said = [cell.outputs[0]["data"]["text/plain"] for cell in notebook.cells[1:]]
    assert "computed for 0.3 seconds without an end" in said[0]
    assert "ZeroDivisionError: division by zero, in line 3: return 1 / 0" in said[1]
    assert said[2] == "✓ Right."
