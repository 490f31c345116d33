"""Answers to the exercises of the chapter on degradation."""

from dataclasses import replace

import torch

from .. import nets, train
from ..checks import Class, Function, as_number
from ..data import ImageSet
from ..recipe import Execution, Recipe


# what the seeds of two nets show: (training error, test error) of the shallower and of the deeper one
FINDINGS = (
    ("degradation", [(0.18, 0.25), (0.19, 0.26)], [(0.62, 0.60), (0.61, 0.59)]),
    ("overfitting", [(0.020, 0.070), (0.022, 0.072)], [(0.001, 0.080), (0.002, 0.079)]),
    ("not shown", [(0.02, 0.07), (0.03, 0.08)], [(0.01, 0.07), (0.02, 0.06)]),  # deeper and better
    ("degradation", [(0.10, 0.30), (0.12, 0.31)], [(0.15, 0.20), (0.16, 0.21)]),  # whatever the test error
    ("not shown", [(0.10, 0.20), (0.14, 0.21)], [(0.13, 0.25), (0.18, 0.26)]),  # the seeds overlap
    ("not shown", [(0.010, 0.070), (0.012, 0.090)], [(0.001, 0.080), (0.002, 0.100)]),  # test errors overlap
    ("not shown", [(0.05, 0.09), (0.04, 0.08)], [(0.05, 0.09), (0.04, 0.08)]),
    ("overfitting", [(0.02, 0.05)], [(0.001, 0.08)]),
)


def _rule(shallow, deep, of="all"):
    """The rule, or one of its usual mistakes."""
    def above(a, b, k):
        a, b = [x[k] for x in a], [x[k] for x in b]
        return sum(a) / len(a) > sum(b) / len(b) if of == "mean" else min(a) > max(b)

    if of == "test":
        return "degradation" if above(deep, shallow, 1) else "not shown"
    if above(deep, shallow, 0) and not (of == "both" and not above(deep, shallow, 1)):
        return "degradation"
    lower = of == "any" or above(shallow, deep, 0)
    return "overfitting" if lower and above(deep, shallow, 1) else "not shown"


DIAGNOSIS_SLIPS = (
    ("test", "This calls a higher test error degradation. The training error decides."),
    ("both", "Degradation is a higher training error, whatever the test error does."),
    ("mean", "The seeds overlap in one of the cases. Two means differ even where nothing does: let all seeds agree."),
    ("any", "Overfitting needs both: a lower training error and a higher test error."),
)


def diagnosis(f) -> str | None:
    """The rule of the text, on eight pairs of nets."""
    got = []
    for _, shallow, deep in FINDINGS:
        got.append(f(list(shallow), list(deep)))
        if got[-1] not in ("degradation", "overfitting", "not shown"):
            return f'It returned {got[-1]!r}. The answers are "degradation", "overfitting" and "not shown".'
    if got == [want for want, *_ in FINDINGS]:
        return None
    for of, words in DIAGNOSIS_SLIPS:
        if got == [_rule(shallow, deep, of) for _, shallow, deep in FINDINGS]:
            return words
    want, shallow, deep = next(case for case, g in zip(FINDINGS, got, strict=True) if g != case[0])
    return (f"With (training, test error) {shallow} of the shallower and {deep} of the deeper net the answer is "
            f'"{want}".')


NORM_SLIPS = (
    (lambda n, g, lr: n + lr * g,
     "This adds the lengths, as if step and weights pointed the same way. By (b) they do not."),
    (lambda n, g, lr: n - lr * g,
     "This subtracts the lengths, as if the step pointed back along the weights. By (b) it does not."),
    (lambda n, g, lr: n * n + (lr * g) ** 2, "This is the square of the norm."),
    (lambda n, g, lr: abs(n * n - (lr * g) ** 2) ** 0.5,
     "The step is orthogonal to the weights, so that the squares add up, whether it goes up or down the gradient."),
    (lambda n, g, lr: (n * n + lr * g * g) ** 0.5,
     "The length of the step is lr times the gradient's; in its square, lr is squared too."),
    (lambda n, g, lr: (n * n + g * g) ** 0.5, "The step is not the gradient but lr times the gradient."),
    (lambda n, g, lr: n, "This leaves the norm as it was. Orthogonal is not the same as without effect: Pythagoras."),
    (lambda n, g, lr: (n * n + (lr * g) ** 2) ** 0.5 - n, "This is by how much the norm grows, not the norm."),
)


def norm_after(f) -> str | None:
    cases = [(3.0, 8.0, 0.5), (3.0, 700.0, 0.05), (2.5, 0.0, 0.1), (10.0, 4.0, 2.0)]
    found = [as_number(f(*case)) for case in cases]

    def gives(formula):
        return all(abs(a - formula(*case)) <= 1e-4 * max(1, abs(a)) for a, case in zip(found, cases, strict=True))

    if gives(lambda n, g, lr: (n * n + (lr * g) ** 2) ** 0.5):
        return None
    return next((hint for formula, hint in NORM_SLIPS if gives(formula)), "")


def control(f) -> str | None:
    """The repaired comparison: what it trains, then what it compares."""
    for shorter in (Recipe(steps=192, lr=0.05, batch=64, drops=()), Recipe(steps=90, lr=0.2, batch=50, drops=())):
        problem = _one_control(f, shorter)
        if problem is not None:
            return problem
    return None


def _one_control(f, shorter: Recipe) -> str | None:
    trained = []

    def rows_of(recipe):
        """Rows of a run that never was: its best test error is not its last, and no two numbers are equal."""
        trained.append(recipe)
        k = len(trained)
        return [{"step": s, "train_error": a + k / 100, "test_error": b + k / 100}
                for s, a, b in ((1, 0.9, 0.81), (2, 0.5, 0.41), (3, 0.6, 0.71))]

    pair = f(shorter, rows_of)
    if any(not isinstance(recipe, Recipe) for recipe in trained):
        return "rows_of wants a Recipe."
    if shorter not in trained or len(trained) != 2:
        return "Two runs are compared: the shorter recipe as it is, and a longer one."
    longer = next((r for r in trained if r != shorter), shorter)
    a, b = shorter.to_json(), longer.to_json()
    changed = [name for name in a if a[name] != b[name]]
    if changed != ["steps"]:
        return f"The two recipes differ in {', '.join(changed) or 'nothing'}. A control changes one thing, on purpose."
    if longer.steps != 3 * shorter.steps:
        return "The longer run is meant to have three times the steps of the recipe that is given."
    return _compared(pair, trained.index(longer) + 1, trained.index(shorter) + 1)


def _compared(pair: object, longer: int, shorter: int) -> str | None:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return "Return two errors: that of the longer run, then that of the shorter one."
    got = [as_number(x) for x in pair]

    def gives(first, second):
        return all(abs(x - y) < 1e-9 for x, y in zip(got, (first + longer / 100, second + shorter / 100), strict=True))

    if gives(0.6, 0.6):
        return None
    if any(gives(x, y) for x in (0.41, 0.71) for y in (0.41, 0.71)):
        return "Whether more steps help to *train* the net is not a question about test errors."
    if any(gives(x, y) for x in (0.5, 0.6, 0.9) for y in (0.5, 0.6, 0.9)):
        return "These are not the errors of both runs at their last step. What is done to one run is done to the other."
    return "Return the errors of the longer and of the shorter run, in this order, as the rows hold them."


def _convolutions(net) -> list:
    return [m for m in net.modules() if isinstance(m, torch.nn.Conv2d)]


def _norms(net) -> torch.Tensor:
    return torch.stack([m.weight.detach().norm() for m in _convolutions(net)])


def fixed_norm(cls) -> str | None:
    """Trains a plain net of eight layers on noise, beside the usual run from the same seed."""
    pictures = torch.randint(0, 256, (96, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(96) % 10
    images = ImageSet("cifar10", pictures, labels, pictures[:20], labels[:20], tuple("0123456789"))
    recipe = Recipe(steps=6, batch=32, lr=0.2, drops=(), augment="none", weight_decay=0.0)
    usual, fixed = (kind(nets.cifar_resnet(8, residual=False, width=4), images, replace(recipe),
                         Execution(device="cpu", threads=1)) for kind in (train.Run, cls))
    start = [p.detach().clone() for p in fixed.net.parameters()]
    norms = _norms(usual.net)
    if not torch.allclose(_norms(fixed.net), norms, rtol=1e-3):
        return "The norms are changed before the first step. They should stay what they are at initialization."
    for run in (usual, fixed):
        run.step()
    problem = _after_one_step(usual, fixed, start)
    if problem is not None:
        return problem
    before = [m.weight.detach().clone() for m in _convolutions(fixed.net)]
    for _ in range(4):
        fixed.step()
    if any(torch.allclose(m.weight, w, 1e-4, 1e-6) for m, w in zip(_convolutions(fixed.net), before, strict=True)):
        return ("After the first step a convolution learns no more. The optimizer holds the tensors that it was made "
                "with: change their numbers in place, and make no new Parameter.")
    return _norm_problem(_norms(fixed.net), norms, usual)


def _after_one_step(usual: train.Run, fixed: train.Run, start: list) -> str | None:
    moved = [not torch.equal(p, q) for p, q in zip(fixed.net.parameters(), start, strict=True)]
    if fixed.at != 1 or not any(moved):
        return "After run.step() no step has been taken. Is super().step() missing?"
    convolutions = {id(m.weight) for m in _convolutions(fixed.net)}
    if not all(m for m, p in zip(moved, fixed.net.parameters(), strict=True) if id(p) in convolutions):
        return "A convolution has exactly the weights that it had before the step. Put back its norm, not its weights."
    x = fixed.batches.normalize(fixed.images.train_x[:32])
    for run in (usual, fixed):
        run.net.train()
    with torch.no_grad():
        a, b = usual.net(x), fixed.net(x)
    if not torch.allclose(a, b, rtol=0, atol=5e-3):  # of outputs about 1 in size
        return ("After one step the net does not compute what a net without the control computes. Scaling is free only "
                "for weights in front of a batch normalization, and only by a positive number.")
    return None


def _norm_problem(now: torch.Tensor, before: torch.Tensor, usual: train.Run) -> str | None:
    kept = torch.isclose(now, before, rtol=1e-3)
    if kept.all():
        return None
    if kept.any():
        return "Some convolutions keep their norm, others do not. The control fixes those of all."
    if torch.allclose(now, now[0].expand_as(now), rtol=1e-3):
        return "All convolutions have the same norm now, but that is not the norm each had at initialization."
    return "The norms of the convolutions still change. Are they measured before the step, and put back after it?"


CHECKS = {
    "degradation-2": Function(diagnosis),
    "degradation-3": Function(norm_after, hint="Draw the weights, the step, and the weights after it. Which angle do "
                                               "the first two make?"),
    "degradation-4": Function(control),
    "degradation-5": Class(fixed_norm, base=train.Run),
}
