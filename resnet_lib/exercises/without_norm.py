"""Checks of the chapter "Life without batch norm"."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..checks import Function, Module, Number, as_number, difference
from ..probes import run_watched

KINDS = ("none", "sqrt", "silent", "norm")


def growth_of(kind: str, length: int) -> float:
    """v_L / v_0 for v_0 = 1: what without-norm-3 asks for."""
    return {"none": 2.0**length, "sqrt": (1 + 1 / length) ** length, "silent": 1.0, "norm": 1.0 + length}[kind]


def _growth(f):
    slips = {
        "none": ((lambda n: 1.0 + n, "Without a remedy each branch is as large as the stream it meets: it doubles."),
                 (lambda n: 2.0 * n, "It doubles at each block; L blocks make a power."),
                 (lambda n: math.sqrt(2.0**n), "The mean square was asked for, not its root.")),
        "sqrt": ((lambda n: 2.0, "Each block gets what those before have made larger."),
                 (lambda n: (1 + n**-0.5) ** n, "A factor of 1/√L makes 1/L of the mean square."),
                 (lambda n: math.e, "That is the limit for endlessly many blocks.")),
        "silent": ((lambda n: 0.0, "Branches of zero leave the stream as it is: the factor is not zero."),),
        "norm": ((lambda n: 2.0**n, "With batch normalization a branch puts out 1, however large the stream is."),
                 (lambda n: float(n), "v_0 is still there."), (lambda n: 2.0, "Each of the L blocks adds 1."))}
    for kind in KINDS:
        got = [as_number(f(kind, n)) for n in (1, 5, 27)]
        if all(math.isclose(g, growth_of(kind, n), rel_tol=1e-3) for g, n in zip(got, (1, 5, 27), strict=True)):
            continue
        words = next((hint for slip, hint in slips[kind]
                      if all(math.isclose(g, slip(n), rel_tol=1e-3) for g, n in zip(got, (1, 5, 27), strict=True))), "")
        return f'For "{kind}" it is another one. {words}'.rstrip()
    return None


def _skip_init(cls):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 6, 6, generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = cls(5)
    _, convs = run_watched(block, x, nn.Conv2d)
    if len(convs) != 2 or any(c.kernel_size != (3, 3) or c.bias is None for c in convs):
        return "F has two convolutions of 3×3 with biases (nn.Conv2d)."
    scalars = [p for p in block.parameters() if all(p is not q for c in convs for q in c.parameters())]
    if not scalars:
        return "Nothing but the convolutions is learned: a has to be an nn.Parameter."
    if len(scalars) > 1 or scalars[0].numel() != 1:
        return "a is one number for the whole block."
    out = block(x)
    if not torch.equal(out, x):
        return ("At the start the block has to be the identity, exactly: a begins at zero, and nothing follows the "
                "addition." if scalars[0].item() else "a is zero, but the output is not x. What follows the addition?")
    out.square().sum().backward()
    if scalars[0].grad is None or not scalars[0].grad.any():
        return "a gets no gradient, so it could never leave zero."
    with torch.no_grad():
        scalars[0].fill_(0.7)
        got, (first, second) = block(x), convs
        if difference(got, x + 0.7 * second(F.relu(first(F.relu(x)))), 1e-4, 1e-5) is None:
            return None
        slips = ((x + 0.7 * second(F.relu(first(x))), "The first ReLU is missing: F begins with it."),
                 (x + 0.7 * second(first(F.relu(x))), "The ReLU between the two convolutions is missing."),
                 (F.relu(x) + 0.7 * second(F.relu(first(F.relu(x)))), "The shortcut carries relu(x) instead of x."),
                 (0.7 * (x + second(F.relu(first(F.relu(x))))), "a is on the branch alone, not on the sum."))
        return next((hint for value, hint in slips if difference(got, value, 1e-4, 1e-5) is None), "")


CHECKS = {
    "without-norm-1": Number(
        (1 + 1 / 54) ** 54, rel=0.002, wrong=(
            (math.e, "That is the limit for endlessly many blocks. Here there are 54."),
            (2.0**54, "That is what happens without the factor. What mean square has a branch times 1/√L?"),
            ((1 + 54**-0.5) ** 54, "You added the factor itself. The mean square of a branch takes the square of it."),
            ((1 + 1 / 54) ** 27, "That is the growth of the root of the mean square. The mean square was asked for."),
            ((1 + 1 / 110) ** 110, "You counted layers. A branch has two of them, so how many blocks are there?"),
            (1 + 1 / 54, "That is one block, or the answer to (d). Asked for is (c)."),
            (2.0, "You added up L branches of v_0/L each, but each gets what those before have made larger.")),
        hint="Write the mean square behind one block as a multiple of the one before it, then repeat it L times."),
    "without-norm-2": Module(_skip_init, want="class",
                             hint="With a = 0.7 the output is not x + 0.7 · conv2(relu(conv1(relu(x))))."),
    "without-norm-3": Function(_growth),
    "without-norm-4": Number(
        0.5, rel=1e-6, wrong=(
            (0.25, "That is for branches of two layers, or for the branch as a whole. A bottleneck has three."),
            (16 ** (-1 / 6), "The exponent is 1/(2m − 2), not 1/(2m)."), (1 / 16, "That is 1/L."),
            (2.0, "The sign of the exponent: the weights become smaller."),
            (48 ** (-1 / 4), "L counts branches, not layers.")),
        hint="L is the number of branches, m the number of layers in one; put both into the formula of this page."),
}
