"""Checks of the chapter "The residual block"."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import Function, Module, as_number, difference


def small_block(x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """x + relu(x W1ᵀ) W2ᵀ, the block of residual-block-2: (N, C) -> (N, C)."""
    return x + F.relu(x @ w1.T) @ w2.T


def _backward(f):
    generator = torch.Generator().manual_seed(0)
    for n, c, d in ((5, 4, 7), (3, 6, 2), (4, 5, 5)):
        x, w1, w2, g = (torch.randn(shape, generator=generator, dtype=torch.float64)
                        for shape in ((n, c), (d, c), (c, d), (n, c)))
        inputs = x.clone().requires_grad_()
        want, = torch.autograd.grad(small_block(inputs, w1, w2), inputs, g)
        got = f(x, w1, w2, g)
        if difference(got, want, 1e-8, 1e-10) is None:
            continue
        mask = x @ w1.T > 0
        slips = (
            ((g @ w2 * mask) @ w1, "This is the branch's part alone. What comes along the shortcut?"),
            (g + g @ w2 @ w1, "Where ReLU gave zero, nothing flows back through it."),
            (1 + (g @ w2 * mask) @ w1, "The shortcut's Jacobian is the identity, so it hands on g, not 1."),
            (g * (1 + (g @ w2 * mask) @ w1), "The two parts are added: g, and what comes back through the branch."),
            (g + (g @ w2 * F.relu(x @ w1.T)) @ w1, "ReLU's derivative is 0 or 1, not its output."),
            (x + (g @ w2 * mask) @ w1, "The shortcut hands on the gradient g, not the input x."))
        return next((hint for value, hint in slips if difference(got, value, 1e-8, 1e-10) is None),
                    difference(got, want, 1e-8, 1e-10))
    return None


def _repaired(cls):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 6, 6, generator=g)
    block = cls(4)
    if not all(hasattr(block, name) for name in ("conv1", "conv2")):
        return "Keep the two convolutions and their names, conv1 and conv2."
    got = block(x.clone())
    inner = F.relu(block.conv1(F.relu(x)))
    branch = block.conv2(inner)
    if difference(got, x + branch) is None:
        return _sent_back(block, x)
    if difference(got, F.relu(x) + branch) is None:
        return "The shortcut still carries relu(x): the branch may use it, the addition may not."
    if difference(got, F.relu(x + branch)) is None:
        return "There is a ReLU after the addition now. It was not there before."
    if difference(got, branch) is None:
        return "The addition is gone."
    if difference(got, x + block.conv2(F.relu(block.conv1(x)))) is None:
        return "The first ReLU is gone. Keep it, but without writing over x."
    return "The block computes something else now: x + conv2(relu(conv1(relu(x)))) is what it was meant to be."


def _sent_back(block: nn.Module, x: Tensor) -> str | None:
    """What comes back to x, from the block and from what it should compute."""
    x = x.clone().requires_grad_()
    want, = torch.autograd.grad((x + block.conv2(F.relu(block.conv1(F.relu(x))))).square().sum(), x)
    try:
        got, = torch.autograd.grad(block(1 * x).square().sum(), x)  # not x itself: of a leaf nothing can be overwritten
    except RuntimeError as error:
        return f"Forward it is right now, and backward it fails: {str(error).splitlines()[0][:120]}"
    if difference(got, want, 1e-4, 1e-5) is not None:
        return "Forward it is right now, but the gradient of x is another. Something is cut off from it."
    return None


def _bias(f):
    lengths = (1, 9, 54)
    found = [as_number(f(n)) for n in lengths]

    def gives(formula):
        return all(math.isclose(got, formula(n), rel_tol=1e-3, abs_tol=1e-6)
                   for got, n in zip(found, lengths, strict=True))

    if gives(lambda n: math.log(2 ** (1 / n) - 1)):
        return None
    slips = ((lambda n: -math.log(2 ** (1 / n) - 1), "The sign: the gate passes 1 − σ(b), which is near 1 for b far "
                                                     "below zero."),
             (lambda n: 2 ** (1 / n) - 1, "This is e to the power b."),
             (lambda n: math.log(math.log(2) / n), "That is the limit for large L; at L = 1 it is wrong."),
             (lambda n: 0.0, "That halves the signal in each block."),
             (lambda n: 0.5 ** (1 / n), "This is what each gate has to pass. Which b does that?"))
    return next((words for formula, words in slips if gives(formula)), "")


CHECKS = {
    "residual-block-1": Module(_repaired, want="class"),
    "residual-block-2": Function(_backward, hint="Follow g backward: through the addition, W2, ReLU and W1."),
    "residual-block-3": Function(_bias, hint="All L gates together pass (1 − σ(b))^L. Set this to a half, and solve "
                                             "for b."),
}
