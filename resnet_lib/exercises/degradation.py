"""Answers to the exercises of the chapter on degradation."""

from dataclasses import replace

import torch

from .. import nets, train
from ..checks import Class, Function, Number, as_number
from ..data import ImageSet
from ..recipe import Execution, Recipe


def parameters(depth: int, width: int = 16) -> int:
    return sum(p.numel() for p in nets.cifar_resnet(depth, residual=False, width=width).parameters())


def added(convolutions: int, *channels: int) -> int:
    """Weights of so many 3×3 convolutions more in each of the stages with these channels."""
    return sum(convolutions * 9 * c * c for c in channels)


TWO = Number(
    lambda: parameters(56), rel=0.02,
    wrong=(
        (lambda: parameters(20) * 56 / 20,
         "This scales plain-20 by its layers, 56/20. But the stem and the linear layer do not repeat. Count what each "
         "stage gains."),
        (lambda: 3 * parameters(20),
         "Three times the blocks are not three times the parameters: stem, linear layer and the first convolution of a "
         "stage, with fewer channels in, are there once."),
        (lambda: parameters(20) + added(12, 64), "This adds the third stage alone. What do the other two gain?"),
        (lambda: added(12, 16, 32, 64), "This is what is added. The parameters of plain-20 are still missing."),
        (lambda: parameters(20) + added(6, 16, 32, 64), "A block has two convolutions."),
        (lambda: parameters(56, 8), "This is plain-56 at width 8, as in the runs. The question is about width 16."),
        (lambda: parameters(20), "This is plain-20."),
    ),
    hint="How many convolutions does each stage gain from n = 3 to n = 9, and how many weights has one of them?")


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
    for shorter in (Recipe(steps=192, lr=0.05, batch=64, drops=()), Recipe(steps=90, lr=0.2, batch=50, drops=(40,))):
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
    for _ in range(4):
        fixed.step()
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
        return "Some convolutions keep their norm, others do not."
    if torch.allclose(now, now[0].expand_as(now), rtol=1e-3):
        return "All convolutions have the same norm now, but that is not the norm each had at initialization."
    return "The norms of the convolutions still change. Are they measured before the step, and put back after it?"


CHECKS = {
    "degradation-2": TWO,
    "degradation-3": Function(norm_after, hint="Draw the weights, the step, and the weights after it. Which angle do "
                                               "the first two make?"),
    "degradation-4": Function(control),
    "degradation-5": Class(fixed_norm, base=train.Run),
}
