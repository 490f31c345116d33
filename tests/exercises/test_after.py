"""The exercises of the chapter on what came before and after: right answers, and the wrong ones that people give."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision

from resnet_lib.blocks import PadShortcut, PreActBlock
from resnet_lib.exercises import after
from . import right_answers, usual_mistakes


class Pre(nn.Module):
    def __init__(self, c_in, c_out, stride=1, first=None, bias=False, at=0):
        super().__init__()
        strides = (stride, 1) if at == 0 else (1, stride)
        self.n1 = nn.BatchNorm2d(c_in if first is None else c_out)
        self.c1 = nn.Conv2d(c_in, c_out, 3, strides[0], 1, bias=bias)
        self.n2 = nn.BatchNorm2d(c_out)
        self.c2 = nn.Conv2d(c_out, c_out, 3, strides[1], 1, bias=bias)
        self.pad = PadShortcut(c_in, c_out, stride)

    def f(self, x):
        return self.c2(F.relu(self.n2(self.c1(F.relu(self.n1(x))))))

    def forward(self, x):
        return self.f(x) + self.pad(x)


def other(forward=None, **how):
    class Changed(Pre):
        def __init__(self, c_in, c_out, stride=1):
            super().__init__(c_in, c_out, stride, **how)

    if forward:
        Changed.forward = forward
    return Changed


class Post(Pre):
    def __init__(self, c_in, c_out, stride=1):
        super().__init__(c_in, c_out, stride, first="c_out")

    def forward(self, x):
        return F.relu(self.n2(self.c2(F.relu(self.n1(self.c1(x))))) + self.pad(x))


def excite(**how):
    return lambda f, w1, w2: after.excite(f, w1, w2, **how)


def over_the_batch(f):
    return f.mean((0, 2, 3)).expand(len(f), -1)


def dense(channels=lambda c, n, k: c + n * k, weights=lambda c, n, k: after.dense_block(c, n, k)[1]):
    return lambda c, n, k: (channels(c, n, k), weights(c, n, k))


def each(layer):
    return lambda c, n, k: sum(layer(c + j * k, k) for j in range(n))


test_right_answers_pass = right_answers({
    "after-1": Pre, "after-2": lambda C, D, g: 2 * C * D + 9 * D * D // g, "after-3": after.excite,
    "after-4": after.dense_block, "after-5": [False, True, True, False]})

test_usual_mistakes_are_named = usual_mistakes([
    ("after-1", Pre(4, 4), "Expected a class"),
    ("after-1", Post, "order of 2015"),
    ("after-1", other(first="c_out"), "as that one reads"),
    ("after-1", other(bias=True), "bias=False"),
    ("after-1", other(at=1), "stride belongs"),
    ("after-1", other(lambda self, x: self.f(x)), "nothing is added"),
    ("after-1", other(lambda self, x: F.relu(self.f(x) + self.pad(x))), "behind the addition"),
    ("after-1", other(lambda self, x: self.f(x) + self.pad(F.relu(self.n1(x)))), "used twice"),
    ("after-1", other(lambda self, x: self.f(x) + F.relu(self.pad(x))), "goes through a ReLU"),
    ("after-1", other(lambda self, x: F.relu(self.f(x)) + self.pad(x)), "end of the branch"),
    ("after-1", other(lambda self, x: self.c2(F.relu(self.n2(self.c1(self.n1(x))))) + self.pad(x)),
     "first convolution"),
    ("after-1", other(lambda self, x: self.c2(self.n2(self.c1(F.relu(self.n1(x))))) + self.pad(x)), "second"),
    ("after-1", other(lambda self, x: self.c2(self.n2(self.c1(self.n1(x)))) + self.pad(x)), "both ReLUs"),
    ("after-1", other(lambda self, x: self.f(x.relu_()) + self.pad(x)), "in place"),
    ("after-1", other(lambda self, x: 2 * self.f(x) + self.pad(x)), "layers are right"),
    ("after-2", lambda C, D, g: 2 * C * D + 9 * D * D, "do not show"),
    ("after-2", lambda C, D, g: 2 * C * D + 9 * (D / g) ** 2, "one group"),
    ("after-2", lambda C, D, g: (2 * C * D + 9 * D * D) / g, "see all channels"),
    ("after-2", lambda C, D, g: C * D + 9 * D * D / g, "two 1×1"),
    ("after-2", lambda C, D, g: 2 * C * D + D * D / g, "nine weights"),
    ("after-2", lambda C, D, g: 2 * C * D + 9 * D * D * g, "cheaper"),
    ("after-2", lambda C, D, g: 9 * D * D / g, "have weights, too"),
    ("after-2", lambda C, D, g: 2 * C * D + 9 * D * D / g + 4 * D + 2 * C, "without batch norm"),
    ("after-2", lambda C, D, g: 7, "for each convolution"),
    ("after-3", excite(gate=lambda h: h.softmax(1)), "compete"),
    ("after-3", excite(between=lambda h: h), "between the two layers"),
    ("after-3", excite(gate=lambda h: h), "sigmoid is missing"),
    ("after-3", excite(gate=lambda h: torch.sigmoid(F.relu(h))), "too many"),
    ("after-3", excite(squeeze=lambda f: f.amax((2, 3))), "largest"),
    ("after-3", excite(squeeze=lambda f: f.sum((2, 3))), "not the sum"),
    ("after-3", excite(squeeze=over_the_batch), "over the batch"),
    ("after-3", excite(join=torch.add), "not added"),
    ("after-3", excite(join=lambda f, g: f + f * g), "also adds f"),
    ("after-3", excite(join=lambda f, g: g[..., 0, 0]), "These are the factors"),
    ("after-3", excite(join=lambda f, g: 3 * f * g), "values are not"),
    ("after-4", lambda c, n, k: c + n * k, "two numbers"),
    ("after-4", dense(channels=lambda c, n, k: n * k), "came in are passed on"),
    ("after-4", dense(channels=lambda c, n, k: c + k), "one layer"),
    ("after-4", dense(channels=lambda c, n, k: c + (n - 1) * k), "last layer"),
    ("after-4", dense(channels=lambda c, n, k: c + 4 * n * k), "stay inside"),
    ("after-4", dense(channels=lambda c, n, k: 1), "appends k"),
    ("after-4", dense(weights=lambda c, n, k: n * (4 * k * c + 36 * k * k)), "k channels more"),
    ("after-4", dense(weights=lambda c, n, k: each(lambda i, k: 4 * k * i + 36 * k * k)(c + k, n, k)), "not c + k"),
    ("after-4", dense(weights=each(lambda i, k: 9 * k * i)), "is a 1×1 to 4k"),
    ("after-4", dense(weights=each(lambda i, k: 4 * k * i + 9 * k * k)), "4k inputs"),
    ("after-4", dense(weights=each(lambda i, k: 4 * k * i + 4 * k * k)), "nine positions"),
    ("after-4", dense(weights=each(lambda i, k: k * i + 9 * k * k)), "leads to 4k"),
    ("after-4", dense(weights=each(lambda i, k: 4 * k * i)), "1×1 convolutions alone"),
    ("after-4", dense(weights=lambda c, n, k: 1), "add up"),
    ("after-5", [True, True, True, False], "A:"), ("after-5", [False, False, True, False], "B:"),
    ("after-5", [False, True, False, False], "C:"), ("after-5", [False, True, True, True], "D:"),
    ("after-5", [0, 1, 1, 0], "boolean"), ("after-5", ["B", "C"], "Expected a tensor"),
])


def test_a_shortcut_from_the_normalized_input_is_named_where_the_layer_runs_once():
    class Shared(Pre):
        def forward(self, x):
            a = F.relu(self.n1(x))
            return self.c2(F.relu(self.n2(self.c1(a)))) + self.pad(a)

    assert "normalized input" in after.CHECKS["after-1"].judge(Shared)


def test_the_counts_are_those_of_other_people_s_blocks():
    """torchvision's, convolutions only."""
    def convolutions(net):
        return sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d))

    dense121 = torchvision.models.densenet121().features.denseblock2
    assert after.dense_block(128, 12, 32) == (128 + 12 * 32, convolutions(dense121))
    assert after.grouped(512, 256, 32) == convolutions(torchvision.models.resnext50_32x4d().layer2[1])


def test_squeeze_and_excitation_is_torchvision_s():
    theirs = torchvision.ops.SqueezeExcitation(8, 2)
    for conv in (theirs.fc1, theirs.fc2):
        nn.init.zeros_(conv.bias)
    f = torch.randn(3, 8, 5, 4)
    mine = after.excite(f, theirs.fc1.weight[..., 0, 0], theirs.fc2.weight[..., 0, 0])
    assert torch.allclose(mine, theirs(f), atol=1e-6)


def test_the_pre_activation_block_is_the_library_s():
    mine, ours = Pre(6, 10, 2), PreActBlock(6, 10, 2)
    names = {"bn1": mine.n1, "conv1": mine.c1, "bn2": mine.n2, "conv2": mine.c2}
    ours.load_state_dict({f"{name}.{k}": v for name, layer in names.items() for k, v in layer.state_dict().items()})
    x = torch.randn(2, 6, 7, 7)
    assert torch.equal(mine(x), ours(x))
