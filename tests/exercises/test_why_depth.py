"""The exercises of the chapter on going deep: right answers, and the wrong ones that people give."""

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib import experiments, nets
from resnet_lib.checks import check
from resnet_lib.exercises import why_depth
from . import right_answers, usual_mistakes


class AnySize(nn.Module):
    def __init__(self, c_in, classes, first=16, cells=1):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, 32, 3, padding=1)
        self.cells = cells
        self.fc = nn.Linear(32 * cells**2, classes)

    def maps(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)
        return F.max_pool2d(self.conv2(x).relu(), 2)

    def forward(self, x):
        return self.fc(F.adaptive_avg_pool2d(self.maps(x), self.cells).flatten(1))


def changed(forward=None, **how):
    class Changed(AnySize):
        def __init__(self, c_in, classes):
            super().__init__(c_in, classes, **how)

    if forward:
        Changed.forward = forward
    return Changed


class Renamed(nn.Module):
    def __init__(self, c_in, classes):
        super().__init__()
        self.net = AnySize(c_in, classes)

    def forward(self, x):
        return self.net(x)


test_right_answers_pass = right_answers({
    "why-depth-1": 435, "why-depth-2": 15_227_688, "why-depth-3": AnySize})

test_usual_mistakes_are_named = usual_mistakes([
    ("why-depth-1", why_depth.receptive_field(why_depth.resnet_18(first=(3, 1))), "two to four"),
    ("why-depth-1", 434, "begin with 1"), ("why-depth-1", 41, "Strides count"), ("why-depth-1", 500, "all 18 layers"),
    ("why-depth-2", 14_714_688, "convolutions alone"), ("why-depth-2", 138_357_544, "as it is"),
    ("why-depth-2", 123_642_856, "three layers that go"), ("why-depth-2", 39_803_688, "not 49"),
    ("why-depth-2", 20_537_384, "VGG-19"), ("why-depth-2", 15_227_688e-6, "without a unit"),
    ("why-depth-3", AnySize(3, 10), "Expected a class"),
    ("why-depth-3", Renamed, "names, conv1"),
    ("why-depth-3", changed(first=8), "16 and 32"),
    ("why-depth-3", changed(cells=3), "more than once"),
    ("why-depth-3", changed(lambda self, x: self.fc(self.maps(x).flatten(1)), cells=3), "still fails"),
    ("why-depth-3", changed(lambda self, x: self.maps(x).mean((2, 3))), "should give"),
    ("why-depth-3", changed(lambda self, x: self.fc(self.maps(x)[:, :, 0, 0])), "not the mean"),
])


def test_a_maximum_over_the_pixels_is_right_too():
    assert check("why-depth-3", changed(lambda self, x: self.fc(self.maps(x).amax((2, 3)))))


@pytest.mark.slow
def test_the_seeds_are_counted_in_the_records(live_home):
    runs = experiments.run("depth_helps", "quick", (0, 1, 2), ["plain-8", "plain-20"])
    ends = {(r.variant, r.seed): r.final["test_error"] for r in runs}
    right = sum(ends["plain-20", s] < ends["plain-8", s] for s in range(3))
    assert check("why-depth-4", right) and not check("why-depth-4", right + 1)


def test_the_receptive_field_is_what_gradients_say():
    """ResNet-18 without its shortcuts and batch norms, all weights positive: a gradient reaches every pixel it can."""
    layers = why_depth.resnet_18()
    side = why_depth.receptive_field(layers) + 40
    x = torch.zeros(1, 1, 1, side, requires_grad=True, dtype=torch.float64)
    out = x
    for kernel, stride in layers:
        out = F.conv1d(out.flatten(0, 1), torch.full((1, 1, kernel), 1 / kernel, dtype=x.dtype), stride=stride,
                       padding=kernel // 2)[None]
    out[..., out.shape[-1] // 2].backward()
    assert (x.grad != 0).sum() == why_depth.receptive_field(layers) == 435


def test_the_parameters_are_counted_in_the_net():
    with torch.device("meta"):
        features = nets.vgg(16).features
    assert sum(p.numel() for p in features.parameters()) == why_depth.VGG_FEATURES
