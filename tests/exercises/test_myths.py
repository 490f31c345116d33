"""The exercises of the chapter on myths: right answers, and the wrong ones that people give."""

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib import nets
from resnet_lib.checks import check
from resnet_lib.exercises import myths
from . import right_answers, usual_mistakes


def other_kernel(change):
    def answer(w1, b1, w2, b2):
        kernel, bias = myths.one_layer(w1, b1, w2, b2)
        return change(kernel, w1, w2), bias
    return answer


def other_bias(change):
    return lambda w1, b1, w2, b2: (myths.one_layer(w1, b1, w2, b2)[0], change(b1, w2, b2))


def without_skip(kernel, w1, w2):
    return kernel - nn.init.dirac_(torch.empty_like(kernel))


def in_the_corner(kernel, w1, w2):
    kernel = without_skip(kernel, w1, w2)
    kernel[:, :, 0, 0] += torch.eye(len(kernel), dtype=kernel.dtype)
    return kernel


def turned(kernel, w1, w2):
    return F.conv2d(w1.transpose(0, 1), w2, padding=w2.shape[-1] - 1).transpose(0, 1)


test_right_answers_pass = right_answers({"myths-1": 2032, "myths-2": myths.one_layer, "myths-3": myths.mean_loss})

test_usual_mistakes_are_named = usual_mistakes([
    ("myths-1", 2016, "outside of the stages"), ("myths-1", 55, "its own bias"), ("myths-1", 2042, "linear layer"),
    ("myths-1", 10, "do have a gradient"), ("myths-1", 4064, "γ and β"), ("myths-1", 1024, "two convolutions"),
    ("myths-1", 896, "differ in their channels"), ("myths-1", 0, "subtract"), ("myths-1", 1234, "output channels"),
    ("myths-2", lambda w1, b1, w2, b2: w1, "two tensors"),
    ("myths-2", other_kernel(without_skip), "branch alone"),
    ("myths-2", other_kernel(in_the_corner), "corner"),
    ("myths-2", other_kernel(turned), "half a turn"),
    ("myths-2", other_kernel(lambda k, w1, w2: without_skip(k, w1, w2) + 1), "each channel with itself"),
    ("myths-2", other_kernel(lambda k, w1, w2: k[..., 1:, 1:]), "shape"),
    ("myths-2", other_kernel(lambda k, w1, w2: 2 * k), "values"),
    ("myths-2", other_bias(lambda b1, w2, b2: b2), "carried through"),
    ("myths-2", other_bias(lambda b1, w2, b2: b1.sum() + b2), "weighs"),
    ("myths-2", other_bias(lambda b1, w2, b2: w2.mean((2, 3)) @ b1 + b2), "do not average"),
    ("myths-2", other_bias(lambda b1, w2, b2: 0 * b2), "picture of zeros"),
    ("myths-3", lambda m, n, b: sum(m) / n, "batch size"),
    ("myths-3", lambda m, n, b: sum(m) / len(m), "counts for more"),
    ("myths-3", lambda m, n, b: b * sum(m) / n, "as if it were full"),
    ("myths-3", lambda m, n, b: sum(m[:-1]) / max(1, len(m) - 1), "left out"),
    ("myths-3", lambda m, n, b: (b * sum(m[:-1]) + n % b * m[-1]) / n, "divides n"),
    ("myths-3", lambda m, n, b: 7.0, "Weigh each mean"),
])


def test_the_biases_are_those_of_all_convolutions():
    """And their gradient is rounding, in a net of the library with biases put in."""
    net = nets.cifar_resnet(56)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert sum(m.out_channels for m in convolutions) == 2032
    net = nets.cifar_resnet(8, width=4).double()
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            m.bias = nn.Parameter(torch.randn(m.out_channels, dtype=torch.float64))
    F.cross_entropy(net.train()(torch.randn(8, 3, 8, 8).double()), torch.arange(8)).backward()
    biases = [m.bias.grad.abs().max() for m in net.modules() if isinstance(m, nn.Conv2d)]
    weights = [m.weight.grad.abs().max() for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert max(biases) < 1e-10 * min(weights)


def test_one_layer_computes_the_block_without_activation():
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 5).double(), nn.Conv2d(4, 3, 3).double()
    x = torch.randn(2, 3, 12, 12).double()
    kernel, bias = myths.one_layer(first.weight, first.bias, second.weight, second.bias)
    assert torch.allclose(F.conv2d(x, kernel, bias), x[:, :, 3:-3, 3:-3] + second(first(x)))


@pytest.mark.parametrize("n, size", [(10, 4), (8, 4), (3, 4), (9, 4)])
def test_the_mean_loss_is_that_of_the_pictures(n, size):
    losses = torch.rand(n, generator=torch.Generator().manual_seed(0)).double()
    means = [b.mean().item() for b in losses.split(size)]
    assert myths.mean_loss(means, n, size) == pytest.approx(losses.mean().item())


def test_a_kernel_summed_up_in_zeros_of_the_usual_type_will_do():
    def tap_by_tap(w1, b1, w2, b2):
        a, b = w1.shape[-1], w2.shape[-1]
        kernel = torch.zeros(len(w2), w1.shape[1], a + b - 1, a + b - 1)
        for i in range(b):
            for j in range(b):
                kernel[:, :, i:i + a, j:j + a] += torch.einsum("oh,hckl->ockl", w2[:, :, i, j], w1)
        center = (a + b - 1) // 2
        kernel[range(len(w2)), range(len(w2)), center, center] += 1
        return kernel, w2.sum((2, 3)) @ b1 + b2

    assert check("myths-2", tap_by_tap)
