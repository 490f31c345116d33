"""The checks of the chapter "Bottlenecks": right answers pass, and each usual mistake gets its own hint."""

import math

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

from resnet_lib import nets

from . import right_answers, usual_mistakes


def block(widths=(12, 3, 3, 12), kernels=(1, 3, 1), norms=None, add=True, last=True, called=True):
    class Block(nn.Module):
        def __init__(self, c_in, width):
            super().__init__()
            pairs = list(zip(widths, widths[1:], kernels, strict=False))
            self.convs = nn.ModuleList(nn.Conv2d(a, b, k, padding=k // 2, bias=False) for a, b, k in pairs)
            self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in norms or widths[1:])

        def forward(self, x):
            y = x
            for k, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
                y = norm(conv(y)) if called else conv(y)
                y = F.relu(y) if k < len(self.convs) - 1 else y
            y = y + x if add else y
            return F.relu(y) if last else y

    return Block


RIGHT = {
    "bottlenecks-1": 68.2e6,
    "bottlenecks-2": lambda C, w: ((2 * C * w + 9 * w * w) / 18) ** 0.5,
    "bottlenecks-3": block(),
    "bottlenecks-4": 1.307,
    "bottlenecks-6": 231_211_008,
}
WRONG = [
    ("bottlenecks-1", 51.1e6, "both ends doubled"),
    ("bottlenecks-1", 102e6, "one end outside"),
    ("bottlenecks-1", 78.2e6, "do not grow"),
    ("bottlenecks-1", 63.3e6, "blocks alone"),
    ("bottlenecks-1", 46.3e6, "both ends doubled"),
    ("bottlenecks-1", 87.7e6, "one end outside"),
    ("bottlenecks-1", 68.2, "without a unit"),
    ("bottlenecks-1", 30e6, "compare with 17"),
    ("bottlenecks-2", lambda C, w: ((C * w + 9 * w * w) / 18) ** 0.5, "1×1 convolutions is missing"),
    ("bottlenecks-2", lambda C, w: ((2 * C * w + 9 * w * w) / 9) ** 0.5, "two 3×3"),
    ("bottlenecks-2", lambda C, w: ((2 * C * w + w * w) / 18) ** 0.5, "nine weights"),
    ("bottlenecks-2", lambda C, w: ((2 * C * w + 9 * w * w) / 2) ** 0.5, "nine weights for each pair, too"),
    ("bottlenecks-2", lambda C, w: (2 * C * w + 9 * w * w) / 18, "square"),
    ("bottlenecks-2", lambda C, w: round(math.sqrt((2 * C * w + 9 * w * w) / 18)), "rounded"),
    ("bottlenecks-2", lambda C, w: w, "solve for"),
    ("bottlenecks-3", block((12, 3, 12, 12)), "3×3 still widens"),
    ("bottlenecks-3", block((12, 12, 12, 12)), "reduce to"),
    ("bottlenecks-3", block((12, 3, 6, 12)), "`width` channels to as many"),
    ("bottlenecks-3", block(kernels=(3, 3, 1)), "were 1, 3, 1"),
    ("bottlenecks-3", block((12, 3, 12), kernels=(1, 3)), "takes three"),
    ("bottlenecks-3", block(norms=(3, 3, 3)), "Each has to fit"),
    ("bottlenecks-3", block(add=False), "addition is gone"),
    ("bottlenecks-3", block(last=False), "ReLU after the addition"),
    ("bottlenecks-3", block(called=False), "not called"),
    ("bottlenecks-4", 1.5, "slider has passed"),
    ("bottlenecks-4", 1.25, "still cheaper"),
    ("bottlenecks-4", 1, "11 C²"),
    ("bottlenecks-4", math.sqrt(2), "cost something"),
    ("bottlenecks-4", 0.765, "C/w"),
    ("bottlenecks-4", 3.0, "w = r C"),
    ("bottlenecks-6", 77_070_336, "over three stages"),
    ("bottlenecks-6", 308_281_344, "cost in all now"),
    ("bottlenecks-6", 115_605_504, "reads 2w channels"),
    ("bottlenecks-6", 462_422_016, "counts once"),
    ("bottlenecks-6", 1e6, "four times as many"),
]


test_the_right_answer_passes = right_answers(RIGHT)
test_each_mistake_gets_its_own_hint = usual_mistakes(WRONG)


@pytest.mark.slow
def test_the_answers_agree_with_the_nets():
    with torch.device("meta"):
        wide = torchvision.models.wide_resnet50_2()
    assert sum(p.numel() for p in wide.parameters()) == 68_883_240
    new, old = (nets.cost(nets.resnet(50, stride_in=where), (3, 224, 224)).macs for where in ("3x3", "1x1"))
    assert new - old == RIGHT["bottlenecks-6"]
    c = RIGHT["bottlenecks-2"](256, 64)
    assert 18 * c * c == pytest.approx(69_632) and c == pytest.approx(62.2, abs=0.1)
