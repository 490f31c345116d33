"""Checks of the chapter "The residual block"."""

import math

import torch
import torch.nn.functional as F

from .. import experiments
from ..checks import Function, Module, Number, difference


def option_a_by_loop(x: torch.Tensor, c_out: int, stride: int) -> torch.Tensor:
    """The definition, pixel by pixel."""
    n, c, h, w = x.shape
    y = torch.zeros(n, c_out, -(-h // stride), -(-w // stride), dtype=x.dtype)
    for channel in range(c):
        for i in range(y.shape[2]):
            for j in range(y.shape[3]):
                y[:, channel, i, j] = x[:, channel, stride * i, stride * j]
    return y


def _option_a(f):
    g = torch.Generator().manual_seed(0)
    cases = (((2, 3, 6, 6), 6, 2), ((1, 4, 5, 7), 5, 2), ((2, 2, 7, 7), 4, 3), ((2, 3, 4, 4), 3, 1))
    for shape, c_out, stride in cases:
        x = torch.rand(shape, generator=g) + 1  # no zeros in it
        want, got = option_a_by_loop(x, c_out, stride), f(x, c_out, stride)
        if difference(got, want) is None:
            continue
        return _what_else(got, x, want, c_out, stride) or difference(got, want)
    half = torch.ones(1, 2, 4, 4, dtype=torch.bfloat16)
    if f(half, 4, 2).dtype != half.dtype:
        return "For numbers of 16 bits your result has another dtype than x: where do your zeros get theirs from?"
    return None


def _what_else(got, x, want, c_out, stride):
    """The mistakes that people make here, each recognized by what it gives."""
    c = x.shape[1]
    kept = want[:, :c]
    if not isinstance(got, torch.Tensor) or got.shape != want.shape:
        if isinstance(got, torch.Tensor) and got.shape == kept.shape and c_out > c:
            return "The pixels are right, but the new channels are missing."
        if isinstance(got, torch.Tensor) and got.dim() == 4 and got.shape[2:] == x.shape[2:] and stride > 1:
            return "Height and width are those of x: nothing was left out."
        return None
    if difference(got[:, c_out - c:], kept) is None and (got[:, :c_out - c] == 0).all():
        return "The zeros stand before the old channels; here they follow them."
    if c_out > c and difference(got[:, :c], kept) is None:
        return "The old channels are right. The new ones have to be zero."
    pooled = F.avg_pool2d(x, stride, ceil_mode=True)
    if difference(got[:, :c], pooled) is None:
        return "This is the mean of each square of pixels. Option A takes one pixel and leaves the others out."
    shifted = x[:, :, stride - 1::stride, stride - 1::stride]
    if shifted.shape == kept.shape and difference(got[:, :c], shifted) is None:
        return "You take the last pixel of each square; a strided convolution begins with the first."
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
    """The step asked for in residual-block-4, from the records of this machine (trained if they are missing)."""
    gentle, half = experiments.run("shortcut_kinds", "quick", (0,), ["gated-6", "gated-0"])
    goal = half.rows[-1]["train_error"]
    return next((row["step"] for row in gentle.rows if row["train_error"] < goal), math.nan)


def _last_step() -> float:
    return experiments.run("shortcut_kinds", "quick", (0,), ["gated-6"])[0].rows[-1]["step"]


CHECKS = {
    "residual-block-1": Number(
        (1 + 1 / 54) ** 54, rel=0.002, wrong=(
            (math.e, "That is the limit for endlessly many blocks. Here there are 54."),
            (2.0**54, "That is what happens without the factor. What mean square has a branch times 1/√L?"),
            ((1 + 54**-0.5) ** 54, "You added the factor itself. The mean square of a branch takes the square of it."),
            ((1 + 1 / 54) ** 27, "That is the growth of the root of the mean square. The mean square was asked for."),
            ((1 + 1 / 110) ** 110, "You counted layers. A branch has two of them, so how many blocks are there?"),
            (1 + 1 / 54, "That is one block."),
            (2.0, "You added up L branches of v_0/L each, but each gets what those before have made larger.")),
        hint="Write the mean square behind one block as a multiple of the one before it, then repeat it L times."),
    "residual-block-2": Function(_option_a),
    "residual-block-3": Module(_repaired, want="class"),
    "residual-block-4": Number(
        first_lower_step, rel=1e-6, wrong=(
            (_last_step, "That is the last step. Go through the rows from the beginning."),),
        hint="Compare each row of gated-6 with one number, the training error in the last row of gated-0; take the "
             "step of the first row that is lower."),
}
