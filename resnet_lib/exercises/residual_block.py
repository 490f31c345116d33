"""Checks of the chapter "The residual block"."""

import math

import torch
import torch.nn.functional as F

from .. import experiments
from ..checks import Function, Module, Number, difference


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
        return None
    if difference(got, F.relu(x) + branch) is None:
        return "The shortcut still carries relu(x): the branch may use it, the addition may not."
    if difference(got, F.relu(x + branch)) is None:
        return "There is a ReLU after the addition now. It was not there before."
    if difference(got, branch) is None:
        return "The addition is gone."
    if difference(got, x + block.conv2(F.relu(block.conv1(x)))) is None:
        return "The first ReLU is gone. Keep it, but without writing over x."
    return "The block computes something else now: x + conv2(relu(conv1(relu(x)))) is what it was meant to be."


def first_lower_step() -> float:
    """The step asked for in residual-block-3, from the records of this machine (trained if they are missing)."""
    gentle, half = experiments.run("shortcut_kinds", "quick", (0,), ["gated-6", "gated-0"])
    goal = half.rows[-1]["train_error"]
    return next((row["step"] for row in gentle.rows if row["train_error"] < goal), math.nan)


def _last_step() -> float:
    return experiments.run("shortcut_kinds", "quick", (0,), ["gated-6"])[0].rows[-1]["step"]


CHECKS = {
    "residual-block-1": Module(_repaired, want="class"),
    "residual-block-2": Function(_backward, hint="Follow g backward: through the addition, W2, ReLU and W1."),
    "residual-block-3": Number(
        first_lower_step, rel=1e-6, wrong=(
            (_last_step, "That is the last step. Go through the rows from the beginning."),),
        hint="Compare each row of gated-6 with one number, the training error in the last row of gated-0; take the "
             "step of the first row that is lower."),
}
