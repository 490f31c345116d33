"""Answers to the exercises of the chapter "Signals and gradients"."""

import math

import torch
from torch import nn

from resnet_lib import experiments
from resnet_lib.checks import Function, Module, Number, difference
from resnet_lib.lab import signals


def _close(got: object, want: float) -> bool:
    return difference(got, torch.tensor(float(want), dtype=torch.float64), rtol=1e-3) is None


def _leaky_gain(f) -> str | None:
    """2 / (1 + a²), at slopes that tell the usual slips apart."""
    slips = ((lambda a: (2 / (1 + a * a)) ** 0.5, "This is the factor for the standard deviation of the weights. The "
              "gain is n · Var[w]."),
             (lambda a: 2 / (1 + a), "The slope multiplies y; what is averaged is the square of that."),
             (lambda a: (1 + a * a) / 2, "This is what leaky ReLU keeps. The gain has to undo it."),
             (lambda a: 2 / (1 - a * a), "Where does a minus come from? A negative y times a has a positive square."),
             (lambda a: 2.0, "This does not depend on a. At a = 1 the net is linear and loses nothing."))
    slopes = (0.3, 0.01, 1.0, 0.6)
    got = [float(f(a)) for a in slopes]
    if all(_close(g, 2 / (1 + a * a)) for g, a in zip(got, slopes, strict=True)):
        return None
    for slip, hint in slips:
        if all(a == 1 or _close(g, slip(a)) for g, a in zip(got, slopes, strict=True)):
            return hint
    return "Which share of the square comes from positive y, which from negative? What does the slope do to the second?"


def _rate_factor(f) -> str | None:
    scales = (10.0, 3.0, 0.5)
    got = [float(f(c)) for c in scales]
    for power, hint in ((2, None), (1, "The gradient is c times smaller. How long are the weights that it changes?"),
                        (0, "With an unchanged rate the steps differ: compare the two runs after one."),
                        (-1, "Larger weights have smaller gradients. Must the rate make up for that or add to it?"),
                        (-2, "The size is right, the direction is not: larger weights have smaller gradients.")):
        if all(_close(g, c**power) for g, c in zip(got, scales, strict=True)):
            return hint
    return "Start from L(cW) = L(W). What follows for the gradient, and then for the step relative to the weights?"


def _batch_norm(given) -> str | None:
    """A hand-written batch norm against PyTorch's, in the order in which people find the faults."""
    channels = 3
    ours = given(channels) if isinstance(given, type) else given
    theirs = nn.BatchNorm2d(channels)
    generator = torch.Generator().manual_seed(0)
    batches = [2 + 3 * torch.randn(2, channels, 3, 3, generator=generator) for _ in range(3)]
    for name in ("weight", "bias", "running_mean", "running_var"):
        if not isinstance(getattr(ours, name, None), torch.Tensor):
            return f"The module has no tensor called {name}; keep the names of the exercise."
    ours.train()
    for k, x in enumerate(batches):
        a, b = ours(x), theirs(x)
        unbiased = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
        if difference(a, b, 1e-4, 1e-5) is not None:
            if difference(a, unbiased, 1e-3, 1e-4) is None:
                return "In training mode the outputs are a little too small. Which variance normalizes?"
            return "In training mode the outputs differ from PyTorch's. Do they come from this batch alone?"
        if difference(ours.running_mean, theirs.running_mean) is not None:
            if difference(ours.running_mean, torch.zeros(channels)) is None:
                return "The running mean never changes in training mode."
            if k == 0 and difference(ours.running_mean, 0.9 * x.mean((0, 2, 3)), 1e-3) is None:
                return "The running mean takes in 0.9 of the new batch. Which share is PyTorch's momentum?"
            return "The running mean is not updated as in the text."
        if difference(ours.running_var, theirs.running_var) is not None:
            biased = 0.9 + 0.1 * x.var((0, 2, 3), correction=0)
            if k == 0 and difference(ours.running_var, biased, 1e-4) is None:
                return "The running variance remembers the biased variance; PyTorch remembers the unbiased one."
            return "The running variance is not updated as in the text."
    before = ours.running_mean.clone()
    ours.eval(), theirs.eval()
    if difference(ours(batches[0]), theirs(batches[0]), 1e-4, 1e-5) is not None:
        return "In evaluation mode the outputs differ: which statistics does the layer use there?"
    if not torch.equal(before, ours.running_mean):
        return "In evaluation mode the layer still changes its running statistics."
    return _same_gradient(ours, theirs, batches[1])


def _same_gradient(ours: nn.Module, theirs: nn.Module, x: torch.Tensor) -> str | None:
    ours.train(), theirs.train()
    weights = torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape).sin()
    grads = []
    for layer in (ours, theirs):
        at = x.clone().requires_grad_()
        (layer(at) * weights).sum().backward()
        grads.append(at.grad)
    if ours.running_mean.requires_grad or ours.running_var.requires_grad:
        return ("The running statistics drag the graph of every batch along and grow with it. Update them outside "
                "of the graph, with detach() or under torch.no_grad().")
    if grads[0] is None or difference(grads[0], grads[1], 1e-3, 1e-4) is not None:
        return "The outputs are right, but the gradient is not: are mean or variance cut off from it (detach, no_grad)?"
    return None


def _growth(layers: float = 17, power: float = 2, first: int = 1) -> float:
    """What exercise 5 asks for, from the record of the data that lie here."""
    record = experiments.run("degradation", "quick", (0,), ["plain-56"])[0]
    norms = record.probes[0]["output_grad_norm"]
    return (norms[first] / norms[18]) ** (power / layers)


CHECKS = {
    "signals-1": Number(2**-24.5, rel=0.05, atol=0, wrong=(
        (2.0**-49, "This is what becomes of the variance. The standard deviation is its root."),
        (2.0**-50, "This is about the variance, and with one ReLU too many."),
        (2.0**-25, "How many ReLUs lie between the output of layer 1 and the output of layer 50?"),
        (2.0**24.5, "It falls: divide the later one by the earlier one.")),
        hint="What does one ReLU with gain 1 do to the variance, and how many are there on the way?"),
    "signals-2": Function(_leaky_gain),
    "signals-3": Module(_batch_norm, want="class"),
    "signals-4": Function(_rate_factor),
    "signals-5": Number(_growth, rel=0.005, wrong=(
        (lambda: _growth(power=1), "This is the growth of the norm. The mean square goes with its square."),
        (lambda: _growth(layers=1), "This is the growth over all the layers. Which root makes it one layer's?"),
        (lambda: _growth(layers=18, first=0), "The very first layer is in this, and its σ is that of the pictures."),
        (lambda: _growth(power=-2), "This is the factor forward. The question goes from the 19th layer back."),
        (lambda: _growth(layers=18), "Eighteen layers, the 2nd to the 19th, have seventeen steps between them."))),
    "signals-6": Number(lambda: 2 / signals.border_factor(4), rel=0.005, wrong=(
        (2.0, "This keeps the signal where every tap hits a pixel. Here some do not."),
        (2 / (10 / 12) ** 2, "This takes the energy to be spread evenly over the picture. Soon it is not."),
        (lambda: signals.border_factor(4), "This is the share that is kept at gain 2. Which gain makes up for it?"),
        (lambda: 1 / signals.border_factor(4), "Something halves the energy in every layer, border or not.")),
        hint="Iterate the map until the ratio of two layers stays the same."),
    "signals-7": Number(sum(1 - 0.9**t for t in range(1, 11)) / 10, rel=0.005, wrong=(
        (1 - 0.9**10, "This is the speed at the tenth step. The way is the sum over all ten."),
        (1.0, "This is after very many steps. The velocity begins at nothing."),
        (sum(1 - 0.9**t for t in range(10)) / 10, "The first step already moves by one gradient: t runs from 1."),
        (math.fsum((1 - 0.9**t) / 0.1 for t in range(1, 11)) / 10, "This is relative to plain steps; the "
         "effective rate is larger.")),
        hint="Sum the velocities of the ten steps, and divide by ten times their limit."),
}
