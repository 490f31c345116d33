"""The checks of the chapter "The ResNet family": right answers pass, and each usual mistake gets its own hint."""

import pytest
import torch
import torch.nn as nn

from resnet_lib import blocks, nets
from resnet_lib.exercises import family

from . import right_answers, usual_mistakes


def stages(strides=(1, 2, 2, 2), second=(1, 1, 1, 1), block=blocks.BasicBlock, shortcut="B"):
    def make():
        made, c_in = [], 64
        for width, s, t in zip((64, 128, 256, 512), strides, second, strict=True):
            made.append(nn.Sequential(block(c_in, width, s, shortcut=shortcut), block(width, width, t)))
            c_in = width
        return nn.Sequential(*made)

    return make


def scaled(scale, bias=lambda bn, s: bn.bias - s * bn.running_mean, axis=0):
    def fold(conv, bn):
        s = bn.weight / (bn.running_var + bn.eps).sqrt()
        by = scale(bn)
        return conv.weight * (by[:, None, None, None] if axis == 0 else by[None, :, None, None]), bias(bn, s)

    return fold


def in_place(conv, bn):
    weight, bias = family.folded(conv, bn)
    conv.weight.data.copy_(weight)
    return conv.weight, bias


def exact(bn):
    return bn.weight / (bn.running_var + bn.eps).sqrt()


def counted(**left_out):
    return lambda *n: family._count(n, **left_out)


class NoAddition(blocks.BasicBlock):
    def forward(self, x):
        return torch.relu(self.residual(x))


RIGHT = {
    "family-1": 20,
    "family-2": 3.494e9,
    "family-3": family.basic_family,
    "family-4": stages(),
    "family-5": family.folded,
    "family-6": 2.555,
}
WRONG = [
    ("family-1", 19, "more than one convolution"),
    ("family-1", 18, "the same depth"),
    ("family-1", 21, "bottleneck"),
    ("family-1", 24, "not counted"),
    ("family-1", 9, "number of blocks"),
    ("family-1", 30, "4,720,640"),
    ("family-2", 218.4e6, "one block"),
    ("family-2", 5.241e9, "ResNet-152 has some"),
    ("family-2", 3.699e9, "basic block"),
    ("family-2", 13.975e9, "smaller"),
    ("family-2", 873.5e6, "larger"),
    ("family-2", 4.456e6, "the weights"),
    ("family-2", 6.988e9, "two operations"),
    ("family-2", 3.494, "second stage"),
    ("family-3", counted(half=False), "half as many inputs"),
    ("family-3", counted(projection=False), "shortcut needs weights"),
    ("family-3", counted(norm=False, shortcut_norm=False, stem_norm=False), "two for each channel"),
    ("family-3", counted(shortcut_norm=False), "projections"),
    ("family-3", counted(stem_norm=False), "of the stem"),
    ("family-3", counted(norm=False), "inside the blocks"),
    ("family-3", counted(bias=False), "has a bias"),
    ("family-3", lambda *n: family.basic_family(*n) + 9_408, "same for every net"),
    ("family-3", lambda *n: 11_689_512, "ResNet-18 only"),
    ("family-3", lambda *n: sum(n), "part by part"),
    ("family-4", stages((1, 1, 1, 1)), "Still no stage"),
    ("family-4", stages((2, 1, 1, 1)), "very first block"),
    ("family-4", stages((2, 2, 2, 2)), "first stage shrinks"),
    ("family-4", stages(second=(1, 2, 2, 2)), "shrinks twice"),
    ("family-4", stages((1, 2, 1, 2)), "16, 8, 8, 4"),
    ("family-4", stages(shortcut="A"), "strides only"),
    ("family-4", stages(block=NoAddition), "something else"),
    ("family-4", lambda: list(stages()()), "return a module"),
    ("family-4", lambda: stages()()[:3], "four stages"),
    ("family-5", in_place, "changes the layers"),
    ("family-5", lambda conv, bn: conv.weight * 2, "two things"),
    ("family-5", scaled(lambda bn: bn.weight / bn.running_var.sqrt()), "ε is missing"),
    ("family-5", scaled(lambda bn: bn.weight / (bn.running_var + bn.eps)), "not by the variance"),
    ("family-5", scaled(lambda bn: bn.weight / (bn.running_var.sqrt() + bn.eps)), "before the root"),
    ("family-5", scaled(lambda bn: bn.weight), "division"),
    ("family-5", scaled(exact, axis=1), "input channels"),
    ("family-5", scaled(lambda bn: torch.ones(5)), "unchanged"),
    ("family-5", scaled(exact, lambda bn, s: bn.bias), "where did it go"),
    ("family-5", scaled(exact, lambda bn, s: bn.bias - bn.running_mean), "before the scale"),
    ("family-5", scaled(exact, lambda bn, s: bn.bias + s * bn.running_mean), "sign"),
    ("family-5", scaled(exact, lambda bn, s: -s * bn.running_mean), "β is missing"),
    ("family-6", 2.39, "as fast the net is"),
    ("family-6", 6.107, "fewer the MACs are"),
    ("family-6", 0.3914, "other way round"),
    ("family-6", 14.597, "divided by the other"),
    ("family-6", 37.39, "ResNet-34 alone"),
    ("family-6", 3.7, "MACs a second"),
]


test_the_right_answer_passes = right_answers(RIGHT)
test_each_mistake_gets_its_own_hint = usual_mistakes(WRONG)


def test_the_answers_agree_with_the_nets():
    for depth, n in ((18, (2, 2, 2, 2)), (34, (3, 4, 6, 3))):
        assert family.basic_family(*n) == nets.IMAGENET_COST[depth][0]
    assert family.basic_family(2, 2, 2, 3) == 16_410_152  # the log of exercise 1
    gmac = nets.IMAGENET_COST[101][1] - nets.IMAGENET_COST[50][1]
    assert 1e9 * gmac == pytest.approx(17 * 17 * 256**2 * 14**2, rel=1e-3)
