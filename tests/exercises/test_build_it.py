"""The exercises of the chapter that builds a residual network: right answers, and the wrong ones that people give."""

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib.exercises import build_it
from . import right_answers, usual_mistakes


class Right(nn.Module):
    """Written another way than the chapter's: other names, layers in a list, zeros by torch.cat."""

    def __init__(self, a, b, stride=1, residual=True):
        super().__init__()
        self.add, self.step, self.more = residual, stride, b - a
        self.layers = nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(),
                                    nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))

    def side(self, x):
        x = x[:, :, ::self.step, ::self.step]
        return torch.cat([x, x.new_zeros(len(x), self.more, *x.shape[2:])], 1)

    def forward(self, x):
        return F.relu(self.layers(x) + self.side(x)) if self.add else F.relu(self.layers(x))


def other(residual=None, plain=None, after=None, side=None):
    """`Right` with another forward pass of its residual or its plain form, or changed once it is made."""
    class Changed(Right):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            if after:
                after(self, *arguments)

        def forward(self, x):
            mine = residual if self.add else plain
            return mine(self, x) if mine else super().forward(x)

    if side:
        Changed.side = side
    return Changed


def no_inner_relu(block, *_):
    block.layers[2] = nn.Identity()


def biased(block, a, b, stride=1, residual=True):
    block.layers[0] = nn.Conv2d(a, b, 3, stride, 1)


def late_stride(block, a, b, stride=1, residual=True):
    block.layers[0] = nn.Conv2d(a, b, 3, 1, 1, bias=False)
    block.layers[3] = nn.Conv2d(b, b, 3, stride, 1, bias=False)


def no_second_norm(block, *_):
    block.layers[4] = nn.Identity()


def shared_norm(block, *_):
    block.layers[4] = block.layers[1]


def no_padding(block, a, b, stride=1, residual=True):
    block.layers[0] = nn.Conv2d(a, b, 3, stride, 0, bias=False)


def projected(block, a, b, stride=1, residual=True):
    block.project = nn.Conv2d(a, b, 1, stride, bias=False)


def one_conv(block, *_):
    block.layers = block.layers[:2]


def wide(block, a, b, stride=1, residual=True):
    block.layers = nn.Sequential(nn.Conv2d(a, 2 * b, 3, stride, 1, bias=False), nn.BatchNorm2d(2 * b), nn.ReLU(),
                                 nn.Conv2d(2 * b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b))


def zeros_in_front(self, x):
    return F.pad(x[:, :, ::self.step, ::self.step], (0, 0, 0, 0, self.more, 0))


def averaged(self, x):
    return F.pad(F.avg_pool2d(x, self.step, ceil_mode=True), (0, 0, 0, 0, 0, self.more))


def good_loop(net, x, y, epochs, batch=64, lr=0.05):
    return build_it.loop(net, x, y, epochs, batch, lr)


def faulty(*faults):
    return lambda net, x, y, epochs, batch=64, lr=0.05: build_it.loop(net, x, y, epochs, batch, lr, faults)


def with_decay(net, x, y, epochs, batch=64, lr=0.05):
    for p in net.parameters():
        p.data *= 0.9
    return good_loop(net, x, y, epochs, batch, lr)


test_right_answers_pass = right_answers({
    "build-it-1": Right, "build-it-2": build_it.shapes_of, "build-it-3": build_it.ARCH_34, "build-it-4": good_loop})

test_usual_mistakes_are_named = usual_mistakes([
    ("build-it-1", Right(8, 8), "Expected a class"),
    ("build-it-1", nn.ReLU, "could not work with"),
    ("build-it-1", other(lambda self, x: F.relu(self.layers(x))), "nothing is added"),
    ("build-it-1", other(lambda self, x: self.layers(x) + self.side(x)), "last ReLU is missing"),
    ("build-it-1", other(lambda self, x: F.relu(F.relu(self.layers(x)) + self.side(x))), "can only add"),
    ("build-it-1", other(lambda self, x: F.relu(self.layers(x)) + self.side(x)), "none behind the addition"),
    ("build-it-1", other(lambda self, x: F.relu(self.layers(x) + F.relu(self.side(x)))), "goes through a ReLU"),
    ("build-it-1", other(lambda self, x: F.relu(self.layers(x) * self.side(x))), "layers are right"),
    ("build-it-1", other(plain=lambda self, x: self.layers(x)), "a ReLU at its end"),
    ("build-it-1", other(plain=lambda self, x: F.relu(self.layers(x) + self.side(x))), "adds nothing"),
    ("build-it-1", other(side=zeros_in_front), "Append them"),
    ("build-it-1", other(side=averaged), "mean over pixels"),
    ("build-it-1", other(side=lambda self, x: Right.side(self, x.detach())), "cut off"),
    ("build-it-1", other(after=no_inner_relu), "between the two convolutions"),
    ("build-it-1", other(after=biased), "bias=False"),
    ("build-it-1", other(after=late_stride), "stride belongs to the first"),
    ("build-it-1", other(after=no_second_norm), "followed by a batch normalization"),
    ("build-it-1", other(after=shared_norm), "used twice"),
    ("build-it-1", other(after=no_padding), "raised"),
    ("build-it-1", other(lambda self, x: F.relu(self.layers(x) + self.project(x)), after=projected), "no weights"),
    ("build-it-1", other(after=one_conv), "F has two"),
    ("build-it-1", other(after=wide), "weights of shape"),
    ("build-it-2", lambda arch, n, h, w: build_it.shapes_of(arch, n, h, w, lambda s: s // 2), "rounded up"),
    ("build-it-2", lambda arch, n, h, w: build_it.shapes_of(arch, n, h, w, first=True), "first stage does not"),
    ("build-it-2", lambda arch, n, h, w: build_it.shapes_of(arch, n, h, w, lambda s: s), "halves height and width"),
    ("build-it-2", lambda arch, n, h, w: [s[1:] for s in build_it.shapes_of(arch, n, h, w)], "four numbers"),
    ("build-it-2", lambda arch, n, h, w: build_it.shapes_of(arch, n, h, w)[:1], "not for each block"),
    ("build-it-2", lambda arch, n, h, w: 3, "Return a list"),
    ("build-it-2", lambda arch, n, h, w: [(n, 7, h, w)] * len(arch), "Which stages begin"),
    *(("build-it-3", wrong, hint) for wrong, hint in build_it.WRONG_ARCH),
    ("build-it-3", ((1, 64), (4, 128), (6, 256), (3, 512)), "numbers of blocks"),
    ("build-it-4", faulty("eval", "softmax", "zero_grad"), "All three faults"),
    ("build-it-4", faulty("eval"), "evaluation mode"),
    ("build-it-4", faulty("softmax"), "applies the softmax"),
    ("build-it-4", faulty("zero_grad"), "still added"),
    ("build-it-4", faulty("eval", "zero_grad"), "still added"),
    ("build-it-4", lambda *a: len(good_loop(*a)), "as a list"),
    ("build-it-4", lambda *a: [2 * e for e in good_loop(*a)], "not the errors"),
    ("build-it-4", with_decay, "line by line"),
])


def test_the_shapes_are_those_of_the_library():
    from resnet_lib import nets
    net = nets.cifar_resnet(20, width=6, in_channels=1)
    want = [(3, *shape) for name, shape in nets.cost(net, (1, 13, 10)).stages if name.startswith("layer")]
    assert build_it.shapes_of(((3, 6), (3, 12), (3, 24)), 3, 13, 10) == want


def test_resnet_34_has_torchvisions_blocks():
    torchvision = pytest.importorskip("torchvision")
    net = torchvision.models.resnet34(weights=None)
    stages = [getattr(net, f"layer{k}") for k in (1, 2, 3, 4)]
    assert tuple((len(s), s[-1].conv2.out_channels) for s in stages) == build_it.ARCH_34


@pytest.mark.parametrize("left", [(), ("eval",), ("softmax",), ("zero_grad",), ("eval", "softmax", "zero_grad")])
def test_the_faults_of_the_loop_give_different_weights(left):
    if left:
        assert not torch.allclose(build_it._trained(build_it.loop, left)[0], build_it._trained(build_it.loop)[0])
