"""The exercises of the chapter on using a ResNet: right answers, and the wrong ones that people give."""

from itertools import permutations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from resnet_lib.checks import check
from resnet_lib.exercises import using
from . import right_answers, usual_mistakes


def head_only(net):
    for p in net.parameters():
        p.requires_grad_(False)
    for p in net.fc.parameters():
        p.requires_grad_(True)


def frozen(net):
    head_only(net)
    net.eval()


def by_module(net):
    net.requires_grad_(False)
    net.fc.requires_grad_(True)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return net


def all_frozen(net):
    net.eval().requires_grad_(False)


def no_bias(net):
    frozen(net)
    net.fc.bias.requires_grad_(False)


def norms_learn(net):
    net.eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.requires_grad_(False)


def tune(mode, parameters=lambda net: net.parameters(), lr=0.1, more=0):
    """The loop of the exercise; ``mode(net)`` is what stands in the place of net.train()."""
    def loop(net, x, y, steps):
        optimizer = torch.optim.SGD(parameters(net), lr=lr)
        for _ in range(steps + more):
            mode(net)
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    return loop


def norms_kept_out(net):
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def no_momentum(net):
    head_only(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.0


def norms_off(net):
    net.train()
    norms_kept_out(net)


def norms_frozen(net):
    norms_off(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)


def d_by_d(Z, T, penalty):
    return torch.linalg.solve(Z.T @ Z + penalty * torch.eye(Z.shape[1], dtype=Z.dtype), Z.T @ T)


test_right_answers_pass = right_answers({
    "using-1": by_module, "using-2": using.tuned, "using-3": using.few, "using-4": list(using.ANSWER)})


def test_other_right_answers_pass():
    assert check("using-1", frozen) and check("using-2", tune(norms_off))
    assert check("using-4", torch.tensor(using.ANSWER))
    assert check("using-3", lambda Z, T, lam: Z.T @ (torch.inverse(Z @ Z.T + lam * torch.eye(len(Z)).to(Z)) @ T))


test_usual_mistakes_are_named = usual_mistakes([
    ("using-1", all_frozen, "No weight is left"),
    ("using-1", no_bias, "Both have to learn"),
    ("using-1", norms_learn, "γ and β"),
    ("using-1", lambda net: net.eval(), "γ and β"),
    ("using-1", lambda net: net.bn1.requires_grad_(False) and net.layer1[1].requires_grad_(False), "convolutions"),
    ("using-1", head_only, "requires_grad has no say"),
    ("using-2", tune(lambda net: net.train()), "net.train() puts every module"),
    ("using-2", tune(lambda net: net.eval()), "dropout in front of the head is off"),
    ("using-2", tune(norms_kept_out), "dropout in front of the head is off"),  # right for nets in training mode alone
    ("using-1", no_momentum, "counted on"),
    ("using-2", tune(norms_off, lambda net: net.fc.parameters()), "Only the head"),
    ("using-2", tune(norms_frozen), "γ and β were to learn"),
    ("using-2", tune(norms_off, more=1), "took 4"),
    ("using-2", tune(norms_off, lr=0.01), "steps are others"),
    ("using-2", lambda net, x, y, steps: int(steps), "not called"),
    ("using-3", lambda Z, T, lam: torch.linalg.solve(Z @ Z.T + lam * torch.eye(len(Z)).to(Z), T), "multiply by Zᵀ"),
    ("using-3", lambda Z, T, lam: using.few(Z, T, 0.0), "penalty is missing"),
    ("using-3", lambda Z, T, lam: using.few(Z, T, lam * len(Z)), "multiplied by n"),
    ("using-3", lambda Z, T, lam: Z.T @ T, "inverse is missing"),
    ("using-3", d_by_d, "as many equations as there are pictures"),
    ("using-3", lambda Z, T, lam: using.few(Z, T, lam).T, "axes are in another order"),
    ("using-4", [1, 2, 3, 4], "shape"),
    ("using-4", [1, 1, 1, 1, 1], "Each of the numbers"),
])


@pytest.mark.parametrize("wrong", [w for w in permutations(range(1, 6)) if w != using.ANSWER][::7])
def test_a_hint_for_another_order_does_not_give_it_away(wrong):
    verdict = check("using-4", list(wrong))
    assert not verdict and str(list(using.ANSWER)) not in str(verdict)


def test_the_statistics_are_those_of_pictures_prepared_so():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(4, 3, 50, 50, generator=g)
    x = (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)
    shape = (1, 3, 1, 1)
    x = x * using.STD.view(shape) + using.MEAN.view(shape)  # in [0, 1], but for the tails

    def normalize(x):
        return (x - using.MEAN.view(shape)) / using.STD.view(shape)

    made = {"right": normalize(x), "raw": 255 * x, "unit": x, "bgr": normalize(x.flip(1)),
            "twice": normalize(normalize(x))}
    for name, (mean, std) in zip(using.SHOWN, using.statistics(), strict=True):
        assert torch.allclose(made[name].mean((0, 2, 3)), torch.tensor(mean), atol=1e-3)
        assert torch.allclose(made[name].std((0, 2, 3)), torch.tensor(std), atol=1e-2)


def test_both_systems_give_the_same_probe():
    Z, T = torch.randn(7, 12, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    assert torch.allclose(using.few(Z, T, 0.3), d_by_d(Z, T, 0.3))
