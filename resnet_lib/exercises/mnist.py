"""Checks of the chapter "Digits: MNIST"."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .. import experiments
from ..checks import Function, Number, difference


def merged_by_loop(w1: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    """The definition: (h, c, k1, k1) first, (o, h, k2, k2) second -> (o, c, k1 + k2 - 1, k1 + k2 - 1)."""
    k1, k2 = w1.shape[-1], w2.shape[-1]
    K = torch.zeros(w2.shape[0], w1.shape[1], k1 + k2 - 1, k1 + k2 - 1, dtype=w1.dtype)
    for a in range(k2):
        for b in range(k2):
            for i in range(k1):
                for j in range(k1):
                    K[:, :, a + i, b + j] += w2[:, :, a, b] @ w1[:, :, i, j]
    return K


def _merge(f):
    g = torch.Generator().manual_seed(0)
    for h, c, o, k1, k2 in ((4, 2, 3, 5, 3), (3, 3, 2, 3, 3), (2, 3, 4, 1, 5), (3, 2, 2, 3, 5)):
        w1, w2 = torch.randn(h, c, k1, k1, generator=g), torch.randn(o, h, k2, k2, generator=g)
        want, got = merged_by_loop(w1, w2), f(w1.clone(), w2.clone())
        problem = difference(got, want, 1e-3, 1e-5)
        if problem is not None:
            return _what_else(got, w1, w2, want) or problem
    return None


def _what_else(got, w1, w2, want):
    """The mistakes that people make here, each recognized by what it gives."""
    if not isinstance(got, torch.Tensor):
        return None
    swapped = want.transpose(0, 1)
    if got.shape == swapped.shape != want.shape and difference(got, swapped, 1e-3, 1e-5) is None:
        return "The numbers are right, but the axes of input and output channels have changed places."
    if got.shape != want.shape:
        side = w1.shape[-1] + w2.shape[-1] - 1
        if got.dim() == 4 and got.shape[-1] == max(w1.shape[-1], w2.shape[-1]):
            return f"Your kernel is as wide as the larger of the two. How many positions can q + r take? Here {side}."
        return None
    turned = merged_by_loop(w1, w2.flip(2, 3))
    if difference(got, turned, 1e-3, 1e-5) is None:
        return ("One of the kernels stands on its head: F.conv2d does not turn its kernel over, a sum over shifts that "
                "add up has to.")
    if difference(got, merged_by_loop(w1.flip(2, 3), w2), 1e-3, 1e-5) is None:
        return "One of the kernels stands on its head. In which direction does each of the two shift?"
    if difference(got.flip(2, 3), want, 1e-3, 1e-5) is None:
        return "The merged kernel is turned over as a whole."
    return None


class _Watched(nn.Module):
    """A tiny net with batch norm that knows in which mode it was called, and with whom."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3))
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return self.body(x)


def _evaluate(f):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _Watched()
        net(torch.randn(64, 1, 6, 6) * 2 + 1)  # statistics that are not the default
        x, y = torch.randn(23, 1, 6, 6), torch.randint(0, 3, (23,))
    net.eval()
    with torch.no_grad():
        z = net(x)
    error, loss = (z.argmax(1) != y).double().mean().item(), F.cross_entropy(z, y).item()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    for batch in (5, 1, 23):
        for mode in (True, False):
            net.train(mode)
            net.modes.clear()
            got = f(net, x, y, batch)
            if not isinstance(got, tuple | list) or len(got) != 2:
                return "It returns two numbers, the error and the mean loss, in this order."
            if any(net.modes) or any(not torch.equal(v, before[k]) for k, v in net.state_dict().items()):
                return "The net was called in training mode: what it says about a picture then depends on the others."
            problem = _numbers(got, error, loss, batch, len(y), z, y)
            if problem:
                return problem
            if net.training != mode:
                return ("Afterwards the net is in training mode, though it was not before." if net.training else
                        "Afterwards the net is in evaluation mode: a caller in the middle of training goes on in it.")
    return None


def _numbers(got, error, loss, batch, n, z, y):
    got_error, got_loss = (float(v) for v in got)
    means = [F.cross_entropy(a, b).item() for a, b in zip(z.split(batch), y.split(batch), strict=True)]

    def near(value):
        return math.isclose(got_loss, value, rel_tol=1e-4)

    if not math.isclose(got_error, error, abs_tol=1e-6):
        if math.isclose(got_error, 1 - error, abs_tol=1e-6):
            return "This is the accuracy; the error counts the wrong ones."
        return "The error is not the fraction of wrong pictures."
    if near(loss):
        return None
    if near(sum(means) / n):
        return "A sum of means is divided by the number of pictures: the loss is too small by the batch size."
    if near(sum(means) / len(means)):
        return "The mean of the batches' means: pictures of the last, smaller batch count for more than the others."
    if near(loss * n):
        return "This is the sum over the pictures, not yet their mean."
    return "The error is right, the loss is not the mean over all pictures."


def _steps(rises: bool = True, strict: bool = False, both: bool = False, seed: int = 0) -> int:
    """Steps between epochs of a recorded run in which test loss and test error part."""
    rows = experiments.find("mnist_simple", "paper", "published")[seed].rows
    count = 0
    for a, b in zip(rows, rows[1:], strict=False):
        up, worse = b["test_loss"] > a["test_loss"], b["test_error"] > a["test_error"]
        if both:
            count += up
        elif strict:
            count += up and b["test_error"] < a["test_error"]
        else:
            count += (up and not worse) if rises else (worse and not up)
    return count


CHECKS = {
    "mnist-1": Number(44_440, rel=1e-6, wrong=(
        (42_790, "That is the number without the padding. What does the linear layer get to read now?"),
        (42_790 + 165, "The linear layer has ten outputs: each of them reads the additional numbers."),
        (39_030 + (15 * 7 * 7 + 1) * 10, "The 3×3 convolution has no padding: it loses a pixel on each side."),
        (39_030 + 5_400, "Has the linear layer lost its biases?"),
        (15 * 6 * 6, "That is what the linear layer reads. How many parameters has the net?")),
        hint="Follow height and width from layer to layer. Which of the five parts of the sum depends on them?"),
    "mnist-2": Number(math.exp(-0.0464 / 0.0098), rel=0.01, atol=0, wrong=(
        (0.0464 / 0.0098, "That is the mean loss of a wrong picture. Which probability has this loss?"),
        (math.exp(-0.0464), "That is the geometric mean over all pictures. All of the loss comes from the wrong ones."),
        (1 - math.exp(-0.0464 / 0.0098), "That is what is left for the other classes together."),
        (math.exp(-0.0464 * 0.0098), "The loss of a wrong one is larger than the mean, not smaller."),
        (10 ** (-0.0464 / 0.0098), "The logarithm in the loss is the natural one.")),
        hint="How much of the loss falls on one wrong picture? Which probability costs that much?"),
    "mnist-3": Function(_evaluate),
    "mnist-4": Function(_merge),
    "mnist-5": Number(_steps, rel=1e-6, wrong=(
        (lambda: _steps(rises=False), "These part the other way: the error rises and the loss does not."),
        (lambda: _steps(both=True), "These are all steps in which the loss rises."),
        (lambda: _steps(strict=True), "The error may also stay exactly as it was."),
        (lambda: _steps(seed=1), "This is seed 1.")),
        hint="Walk through pairs of neighboring rows and compare test_loss and test_error in each."),
}
