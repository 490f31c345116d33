"""The checks of the chapter on signals and gradients: right answers, and the wrong ones that people give."""

import pytest
import torch
from torch import nn

from resnet_lib.checks import check
from resnet_lib.exercises import signals as answers
from resnet_lib.lab.signals import border_factor


def wrong(verdict, fragment):
    assert not verdict and fragment in str(verdict), verdict


@pytest.mark.parametrize("label, answer", [
    ("signals-1", 2**-24.5), ("signals-1", 4.2e-8), ("signals-2", lambda a: 2 / (1 + a**2)),
    ("signals-4", lambda c: c * c), ("signals-6", 2 / border_factor(4)), ("signals-6", 2.62), ("signals-7", 0.414),
])
def test_right_answers(label, answer):
    assert check(label, answer), check(label, answer)


@pytest.mark.parametrize("label, answer, fragment", [
    ("signals-1", 2**-49, "variance"), ("signals-1", 2**-50, "one ReLU too many"),
    ("signals-1", 2**-25, "How many ReLUs"), ("signals-1", 2**24.5, "It falls"),
    ("signals-1", 0.5, "What does one ReLU"),
    ("signals-2", lambda a: nn.init.calculate_gain("leaky_relu", a), "standard deviation"),
    ("signals-2", lambda a: 2 / (1 + a), "The slope multiplies"), ("signals-2", lambda a: (1 + a**2) / 2, "undo"),
    ("signals-2", lambda a: 2, "does not depend"), ("signals-2", lambda a: a, "Which share"),
    ("signals-2", lambda a: 2 / (1 - a**2 + 1e-12), "minus"),
    ("signals-4", lambda c: c, "How long"), ("signals-4", lambda c: 1, "unchanged rate"),
    ("signals-4", lambda c: 1 / c, "make up for"), ("signals-4", lambda c: c**-2, "direction"),
    ("signals-4", lambda c: c**3, "Start from"),
    ("signals-6", 2, "every tap"), ("signals-6", 2.88, "evenly"), ("signals-6", border_factor(4), "kept at gain 2"),
    ("signals-6", 1 / border_factor(4), "halves"), ("signals-6", 5.0, "Iterate"),
    ("signals-7", 0.651, "tenth step"), ("signals-7", 1, "very many"), ("signals-7", 4.14, "plain steps"),
    ("signals-7", sum(1 - 0.9**t for t in range(10)) / 10, "runs from 1"), ("signals-7", 0.2, "Sum the velocities"),
])
def test_wrong_answers(label, answer, fragment):
    wrong(check(label, answer), fragment)


def test_the_growth_in_the_record(monkeypatch):
    class Fake:
        probes = [{"output_grad_norm": [200.0, 64.0, *[1.0] * 17]}]

    monkeypatch.setattr(answers.experiments, "run", lambda *_: [Fake])
    right = 64 ** (2 / 17)
    assert check("signals-5", right)
    for answer, fragment in ((64 ** (1 / 17), "norm"), (64**2, "all the layers"), (1 / right, "forward"),
                             (64 ** (2 / 18), "seventeen"), (200 ** (2 / 18), "very first")):
        wrong(check("signals-5", answer), fragment)


class BatchNorm(nn.BatchNorm2d):
    """Right; the variants below each have one fault."""

    correction, remembered, share, frozen, own, cut, still, drags = 0, 1, 0.1, *5 * [False]

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training or self.own:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=self.correction)
        if (self.training and not self.frozen) or self.still:
            with torch.set_grad_enabled(self.drags):
                self.running_mean.lerp_(x.mean((0, 2, 3)), self.share)
                self.running_var.lerp_(x.var((0, 2, 3), correction=self.remembered), self.share)
        if self.cut:
            mean, var = mean.detach(), var.detach()
        scale = self.weight / (var + self.eps).sqrt()
        return x * scale.view(1, -1, 1, 1) + (self.bias - mean * scale).view(1, -1, 1, 1)


def test_a_right_batch_norm():
    assert check("signals-3", BatchNorm), check("signals-3", BatchNorm)
    assert check("signals-3", nn.BatchNorm2d)


@pytest.mark.parametrize("fault, fragment", [
    ({"correction": 1}, "Which variance normalizes"), ({"remembered": 0}, "remembers the biased"),
    ({"share": 0.9}, "0.9 of the new"), ({"frozen": True}, "never changes"),
    ({"own": True}, "In evaluation mode the outputs"),
    ({"cut": True}, "gradient"), ({"correction": 1, "own": True}, "Which variance normalizes"),
    ({"still": True}, "evaluation mode"), ({"drags": True}, "drag the graph"),
])
def test_faulty_batch_norms(fault, fragment):
    wrong(check("signals-3", type("Faulty", (BatchNorm,), fault)), fragment)


def test_the_starter_of_the_exercise_is_wrong():
    class Starter(nn.Module):
        def __init__(self, channels, eps=1e-5, momentum=0.1):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))
            self.register_buffer("running_mean", torch.zeros(channels))
            self.register_buffer("running_var", torch.ones(channels))
            self.eps, self.momentum = eps, momentum

        def forward(self, x):
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            if self.training:
                self.running_mean.lerp_(mean.detach(), self.momentum)
                self.running_var.lerp_(var.detach(), self.momentum)
            scale = self.weight / (var + self.eps).sqrt()
            shift = self.bias - mean * scale
            return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)

    wrong(check("signals-3", Starter), "Which variance")


@pytest.mark.parametrize("answer", [float("nan"), "2", None, 7, lambda: 3])
def test_nonsense_gets_a_word(answer):
    for label in answers.CHECKS:
        if label != "signals-5":
            assert not check(label, answer)
