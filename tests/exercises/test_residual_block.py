"""The exercises of the chapter on the residual block: right answers, and the wrong ones that people give."""

import math

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib.checks import check
from resnet_lib.exercises import residual_block


@pytest.mark.parametrize("answer, word", [
    ((1 + 1 / 54) ** 54, None), (2.694, None), (torch.tensor(2.6937), None),
    (math.e, "limit"), (2**54, "without the factor"), ((1 + 54**-0.5) ** 54, "square of it"),
    ((1 + 1 / 54) ** 27, "root"), ((1 + 1 / 110) ** 110, "counted layers"), (1 + 1 / 54, "one block"), (2, "added up"),
    (54, "repeat it L times"),
])
def test_the_growth(answer, word):
    verdict = check("residual-block-1", answer)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text


def right(x, c_out, stride):
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, c_out - x.shape[1]))


def loop(x, c_out, stride):
    return residual_block.option_a_by_loop(x, c_out, stride)


def in_front(x, c_out, stride):
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, c_out - x.shape[1], 0))


def no_channels(x, c_out, stride):
    return x[:, :, ::stride, ::stride].clone()


def no_stride(x, c_out, stride):
    return F.pad(x, (0, 0, 0, 0, 0, c_out - x.shape[1]))


def repeated(x, c_out, stride):
    y = x[:, :, ::stride, ::stride]
    return torch.cat([y, y], 1)[:, :c_out]


def pooled(x, c_out, stride):
    y = F.avg_pool2d(x, stride, ceil_mode=True)
    return F.pad(y, (0, 0, 0, 0, 0, c_out - x.shape[1]))


def last_pixel(x, c_out, stride):
    y = x[:, :, stride - 1::stride, stride - 1::stride]
    return F.pad(y, (0, 0, 0, 0, 0, c_out - x.shape[1]))


def own_zeros(x, c_out, stride):
    y = x[:, :, ::stride, ::stride]
    return torch.cat([y, torch.zeros(len(y), c_out - x.shape[1], *y.shape[2:])], 1)


def overwrites(x, c_out, stride):
    x += 1
    return right(x, c_out, stride)


def forgot(x, c_out, stride):
    right(x, c_out, stride)


@pytest.mark.parametrize("f, word", [
    (right, None), (loop, None), (in_front, "before the old channels"), (no_channels, "channels are missing"),
    (no_stride, "those of x"), (repeated, "have to be zero"), (pooled, "mean of each square"),
    (last_pixel, "last pixel"), (own_zeros, "another dtype"), (overwrites, "in place"),
    (lambda x, c_out: x, "cannot be called"), (forgot, "returned nothing"),
])
def test_option_a(f, word):
    verdict = check("residual-block-2", f)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text


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


class Renamed(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return x + self.a(x)


@pytest.mark.parametrize("cls, word", [
    (Block, None), (Cloned, None), (AsGiven, "in place"), (HalfRepaired, "in place"), (Rebound, "still carries"),
    (Post, "after the addition"), (NoAddition, "addition is gone"), (NoFirst, "first ReLU"),
    (NoSecond, "something else"), (Renamed, "their names"), (Block(4), "class"),
])
def test_the_repaired_block(cls, word):
    verdict = check("residual-block-3", cls)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text


@pytest.mark.slow
def test_reading_the_records():
    step = residual_block.first_lower_step()
    assert step > 0, "gated-6 never gets below gated-0: the exercise has no answer on these data"
    assert check("residual-block-4", step)
    assert "from the beginning" in check("residual-block-4", residual_block._last_step()).text
    assert "first row" in check("residual-block-4", 7).text
