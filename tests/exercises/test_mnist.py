"""The exercises of the chapter on MNIST: right answers, and the wrong ones that people give."""

import math

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import nets
from resnet_lib.checks import check
from resnet_lib.exercises import mnist


def says(label, answer, word):
    verdict = check(label, answer)
    assert bool(verdict) == (word is None) and (word or "Right") in verdict.text, verdict.text


@pytest.mark.parametrize("answer, word", [
    (44_440, None), (42_790, "without the padding"), (42_955, "ten outputs"), (39_030 + 7_360, "no padding"),
    (44_430, "lost its biases"), (540, "how many parameters has the net"), (50_000, "Which of the five"),
])
def test_the_parameters_with_padding(answer, word):
    says("mnist-1", answer, word.replace("how many", "How many") if word else None)


def test_the_number_is_that_of_such_a_net():
    net = nets.mnist_simple()
    net[0] = torch.nn.Conv2d(1, 20, 5, padding=2)
    net[9] = torch.nn.Linear(net[:9](torch.zeros(1, 1, 28, 28)).shape[1], 10)
    assert nets.cost(net, (1, 28, 28)).parameters == 44_440


@pytest.mark.parametrize("answer, word", [
    (math.exp(-0.0464 / 0.0098), None), (0.0088, None), (0.88, "100 times"), (4.73, "Which probability"),
    (math.exp(-0.0464), "over all pictures"), (0.9912, "other classes"), (10 ** (-0.0464 / 0.0098), "natural"),
    (0.3, "falls on one wrong picture"),
])
def test_the_probability_of_the_truth(answer, word):
    says("mnist-2", answer, word)


def right(net, x, y, batch=100):
    training = net.training
    net.eval()
    wrong = loss = 0.0
    with torch.no_grad():
        for a, b in zip(x.split(batch), y.split(batch), strict=True):
            z = net(a)
            wrong += (z.argmax(1) != b).sum().item()
            loss += F.cross_entropy(z, b).item() * len(b)
    net.train(training)
    return wrong / len(y), loss / len(y)


def one_pass(net, x, y, batch=100):
    training = net.training
    net.eval()
    z = net(x).detach()
    net.train(training)
    return (z.argmax(1) != y).float().mean(), F.cross_entropy(z, y)


def as_given(net, x, y, batch=100):
    wrong, loss = 0, 0.0
    with torch.no_grad():
        for a, b in zip(x.split(batch), y.split(batch), strict=True):
            z = net(a)
            wrong += (z.argmax(1) != b).sum().item()
            loss += F.cross_entropy(z, b).item()
    net.train()
    return wrong / len(y), loss / len(y)


def variant(divide="pictures", after="as before", accuracy=False, each="mean"):
    def f(net, x, y, batch=100):
        training = net.training
        net.eval()
        wrong, loss, k = 0, 0.0, 0
        with torch.no_grad():
            for a, b in zip(x.split(batch), y.split(batch), strict=True):
                z = net(a)
                wrong += ((z.argmax(1) == b) if accuracy else (z.argmax(1) != b)).sum().item()
                loss += F.cross_entropy(z, b, reduction=each).item()
                k += 1
        net.train({"as before": training, "training": True, "evaluation": False}[after])
        return wrong / len(y), loss / {"pictures": len(y), "batches": k, "nothing": 1}[divide]
    return f


@pytest.mark.parametrize("f, word", [
    (right, None), (one_pass, None), (variant(each="sum"), None), (as_given, "called in training mode"),
    (variant(), "too small by the batch size"), (variant("batches"), "last, smaller batch"),
    (variant(each="sum", after="training"), "in training mode, though"),
    (variant(each="sum", after="evaluation"), "goes on in it"), (variant(each="sum", accuracy=True), "accuracy"),
    (variant("nothing", each="sum"), "not yet their mean"), (lambda net, x, y, batch: 0.1, "two numbers"),
    (lambda net, x, y: (0, 0), "cannot be called"),
])
def test_the_repaired_evaluation(f, word):
    says("mnist-3", f, word)


def merge(w1, w2):
    pad = w2.shape[-1] - 1
    return F.conv2d(w1.transpose(0, 1), w2.flip(2, 3), padding=pad).transpose(0, 1)


def not_turned(w1, w2):
    return F.conv2d(w1.transpose(0, 1), w2, padding=w2.shape[-1] - 1).transpose(0, 1)


def not_transposed(w1, w2):
    return F.conv2d(w1.transpose(0, 1), w2.flip(2, 3), padding=w2.shape[-1] - 1)


def too_small(w1, w2):
    return F.conv2d(w1.transpose(0, 1), w2.flip(2, 3), padding=w2.shape[-1] // 2).transpose(0, 1)


@pytest.mark.parametrize("f, word", [
    (merge, None), (mnist.merged_by_loop, None), (not_turned, "on its head"), (not_transposed, "changed places"),
    (lambda w1, w2: merge(w1.flip(2, 3), w2), "on its head"), (lambda w1, w2: merge(w1, w2).flip(2, 3), "as a whole"),
    (too_small, "as wide as the larger"), (lambda w1, w2: merge(w1, w2) * 2, "values"),
    (lambda w1, w2: print("", end=""), "returned nothing"),
])
def test_the_merged_kernel(f, word):
    says("mnist-4", f, word)


def test_reading_the_record():
    counts = {"right": mnist._steps(), "other": mnist._steps(rises=False), "all": mnist._steps(both=True)}
    assert len(set(counts.values())) == 3, "the wrong answers must be told from the right one"
    says("mnist-5", counts["right"], None)
    says("mnist-5", counts["other"], "other way")
    says("mnist-5", counts["all"], "all steps")
    says("mnist-5", 25, "neighboring rows")
