"""The exercises of the chapter on the residual block: right answers, and the wrong ones that people give."""

import math

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib.checks import check
from resnet_lib.exercises import residual_block


def right(x, w1, w2, g):
    return g + (g @ w2 * (x @ w1.T > 0)) @ w1


def by_autograd(x, w1, w2, g):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(residual_block.small_block(x, w1, w2), x, g)[0]


@pytest.mark.parametrize("f, word", [
    (right, None), (by_autograd, None),
    (lambda x, w1, w2, g: (g @ w2 * (x @ w1.T > 0)) @ w1, "along the shortcut"),
    (lambda x, w1, w2, g: g + g @ w2 @ w1, "nothing flows back"),
    (lambda x, w1, w2, g: 1 + (g @ w2 * (x @ w1.T > 0)) @ w1, "not 1"),
    (lambda x, w1, w2, g: g * (1 + (g @ w2 * (x @ w1.T > 0)) @ w1), "are added"),
    (lambda x, w1, w2, g: g + (g @ w2 * F.relu(x @ w1.T)) @ w1, "not its output"),
    (lambda x, w1, w2, g: x + (g @ w2 * (x @ w1.T > 0)) @ w1, "not the input"),
    (lambda x, w1, w2, g: 2 * right(x, w1, w2, g), "values are not"),
    (lambda x, w1, w2, g: right(x, w1, w2, g)[0], "shape"),
    (lambda x, w1, w2, g: g.add_((g @ w2 * (x @ w1.T > 0)) @ w1), "in place"),
    (lambda x, w1, w2: x, "cannot be called"),
])
def test_the_backward_pass_by_hand(f, word):
    verdict = check("residual-block-2", f)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text, verdict


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(F.relu_(self.conv1(F.relu(x))))


class Cloned(Block):
    def forward(self, x):
        f = self.conv2(F.relu(self.conv1(F.relu_(x.clone()))))
        f += x
        return f


class AsGiven(Block):
    def forward(self, x):
        f = self.conv2(F.relu_(self.conv1(F.relu_(x))))
        x += f
        return x


class HalfRepaired(Block):
    def forward(self, x):
        f = self.conv2(F.relu(self.conv1(F.relu(x))))
        x += f
        return x


class Rebound(Block):
    def forward(self, x):
        x = F.relu(x)
        return x + self.conv2(F.relu(self.conv1(x)))


class Post(Block):
    def forward(self, x):
        return F.relu(super().forward(x))


class NoAddition(Block):
    def forward(self, x):
        return self.conv2(F.relu(self.conv1(F.relu(x))))


class NoFirst(Block):
    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class NoSecond(Block):
    def forward(self, x):
        return x + self.conv2(self.conv1(F.relu(x)))


class CutOff(Block):
    def forward(self, x):
        return x.detach() + self.conv2(F.relu(self.conv1(F.relu(x))))


class PutBack(Block):
    def forward(self, x):
        y = x.clone()
        f = self.conv2(F.relu(self.conv1(F.relu_(y))))
        y.copy_(x)
        y += f
        return y


class Renamed(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.a(x)


@pytest.mark.parametrize("cls, word", [
    (Block, None), (Cloned, None), (AsGiven, "in place"), (HalfRepaired, "in place"), (Rebound, "still carries"),
    (Post, "after the addition"), (NoAddition, "addition is gone"), (NoFirst, "first ReLU"),
    (NoSecond, "something else"), (CutOff, "cut off"), (PutBack, "backward it fails"),
    (Renamed, "their names"), (Block(4), "class"),
])
def test_the_repaired_block(cls, word):
    verdict = check("residual-block-1", cls)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text


@pytest.mark.parametrize("f, word", [
    (lambda n: math.log(2 ** (1 / n) - 1), None), (lambda n: math.log(math.expm1(math.log(2) / n)), None),
    (lambda n: -math.log(2 ** (1 / n) - 1), "The sign"), (lambda n: 2 ** (1 / n) - 1, "e to the power"),
    (lambda n: math.log(math.log(2) / n), "limit for large L"), (lambda n: 0, "in each block"),
    (lambda n: 0.5 ** (1 / n), "each gate has to pass"), (lambda n: -6, "solve for b"), (-1.0, "Expected a function"),
])
def test_the_bias_that_passes_half(f, word):
    verdict = check("residual-block-3", f)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text


def test_the_bias_by_the_gate_itself():
    """Nine of the library's gates in a row, weights at zero, pass a half."""
    b = torch.tensor(math.log(2 ** (1 / 9) - 1))
    assert torch.isclose((1 - b.sigmoid()) ** 9, torch.tensor(0.5))
