"""Checks of the chapter "Myths, tested"."""

import math

import torch
import torch.nn.functional as F

from ..checks import Function, Number, as_number, difference

LOGS = (([1.0, 2.0, 6.0], 10, 4), ([1.0, 3.0], 8, 4), ([2.5], 3, 4), ([0.5, 0.7, 0.2, 3.0], 193, 64))


def mean_loss(means: list, n: int, batch: int) -> float:
    """What myths-3 asks for: the mean over pictures from means over batches, the last of which holds the rest."""
    last = n - batch * (len(means) - 1)
    return (batch * sum(means[:-1]) + last * means[-1]) / n


def one_layer(w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor) -> tuple:
    """What myths-2 asks for: kernel and bias of x + W2 * (W1 * x + b1) + b2."""
    kernel = F.conv2d(w1.transpose(0, 1), w2.flip(2, 3), padding=w2.shape[-1] - 1).transpose(0, 1)
    return kernel + _identity(kernel), w2.sum((2, 3)) @ b1 + b2


def _identity(kernel: torch.Tensor) -> torch.Tensor:
    return torch.nn.init.dirac_(torch.empty_like(kernel))


def _one_layer(f):
    g = torch.Generator().manual_seed(0)
    for k1, k2, c, h in ((5, 3, 3, 4), (3, 3, 2, 5), (1, 3, 4, 2)):
        w1, b1, w2, b2 = (torch.randn(*shape, generator=g)
                          for shape in ((h, c, k1, k1), (h,), (c, h, k2, k2), (c,)))
        got = f(w1, b1, w2, b2)
        if not isinstance(got, tuple | list) or len(got) != 2:
            return "Return two tensors: the kernel and the bias."
        kernel, bias = got
        want, constant = one_layer(w1, b1, w2, b2)
        problem = difference(kernel, want, 1e-4, 1e-5)
        if problem is not None:
            return _kernel_slip(kernel, want, w1, w2) or problem
        if difference(bias, constant, 1e-4, 1e-5) is not None:
            slips = ((b1.sum() + b2, "Each output channel weighs the inner channels differently."),
                     (b2, "The kernel is right. The first bias has not been carried through the second convolution."),
                     (w2.mean((2, 3)) @ b1 + b2, "The kernel is right. Every tap of the second kernel meets the first "
                                                 "bias: add them up, do not average."))
            return next((hint for slip, hint in slips if difference(bias, slip, 1e-4, 1e-5) is None),
                        "The kernel is right, the bias is not: send a picture of zeros through both convolutions.")
    return None


def _kernel_slip(kernel, want, w1, w2):
    same = lambda other: difference(kernel, other, 1e-4, 1e-5) is None  # noqa: E731
    branch, here = want - _identity(want), _identity(want)
    if same(branch):
        return "That is the branch alone. The skip has a kernel, too."
    turned = F.conv2d(w1.transpose(0, 1), w2, padding=w2.shape[-1] - 1).transpose(0, 1)
    if same(turned + here) or same(turned):
        return "One of the two kernels is turned by half a turn: nn.Conv2d does not flip its kernel."
    if same(branch + 1) or same(branch + here.sum((0, 1)) / len(here)):
        return "The identity connects each channel with itself only, and only at the center."
    corner = torch.zeros_like(want)
    corner[:, :, 0, 0] = torch.eye(len(want), dtype=want.dtype)
    if same(branch + corner):
        return "The one of the identity stands in a corner. Which tap meets the pixel itself?"
    return ""


def _mean_loss(f):
    slips = ((lambda m, n, b: sum(m) / n, "That is too small by about the batch size: means were added up as if each "
                                          "were one picture's loss."),
             (lambda m, n, b: sum(m) / len(m), "So each picture of a smaller last batch counts for more."),
             (lambda m, n, b: (b * sum(m)) / n, "The last batch was counted as if it were full."),
             (lambda m, n, b: sum(m[:-1]) / max(1, len(m) - 1), "The last batch is left out."),
             (lambda m, n, b: (b * sum(m[:-1]) + n % b * m[-1]) / n,
              "Where the batch size divides n, the last batch is full, and the remainder is 0."))
    got = [as_number(f(list(m), n, b)) for m, n, b in LOGS]

    def agrees(g):
        return all(math.isclose(a, g(list(m), n, b), rel_tol=1e-6) for a, (m, n, b) in zip(got, LOGS, strict=True))

    return None if agrees(mean_loss) else next((hint for slip, hint in slips if agrees(slip)), "")


CHECKS = {
    "myths-1": Number(
        2032, rel=1e-6, wrong=(
            (2016, "One convolution stands outside of the stages."), (16 + 54, "Each output channel has its own bias."),
            (55, "Each output channel has its own bias."), (2042, "No batch norm follows the linear layer."),
            (10, "Those of the linear layer do have a gradient."), (4064, "γ and β do have gradients."),
            (16 + 9 * 112, "A block has two convolutions."), (56 * 16, "The stages differ in their channels."),
            (0, "What does batch norm subtract, in training?")),
        hint="Add up the output channels of all convolutions: the stem, and 2 · 9 in each stage."),
    "myths-2": Function(_one_layer),
    "myths-3": Function(_mean_loss, hint="How many pictures are in the last batch? Weigh each mean by its pictures."),
}
