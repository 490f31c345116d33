"""Published systems, transcribed once more from their code: the same forward pass, and the same first steps."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conftest import toy_images
from resnet_lib import experiments, nets
from resnet_lib.recipe import Execution
from resnet_lib.train import Run

ONE = Execution(device="cpu", threads=1, channels_last=False)


def declared(name: str, variant: str, images, steps: int = 3) -> Run:
    """The declared run of tier paper on other pictures, a few steps of it."""
    tier = experiments.EXPERIMENTS[name].tiers["paper"]
    v = tier.variants[variant]
    recipe = replace(tier.recipe, **v.changes, steps=steps, eval_every=steps, seed=5)
    return Run(nets.build(v.net), images, recipe, ONE)


class MnistSimple(nn.Module):
    """The published code, line by line: a ReLU after each pooling and after each addition, and none elsewhere."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, kernel_size=5), nn.Conv2d(20, 15, kernel_size=3)
        self.one = nn.ModuleList([nn.Conv2d(20, 30, kernel_size=5, padding=2), nn.Conv2d(30, 20, 3, padding=1)])
        self.two = nn.ModuleList([nn.Conv2d(15, 30, kernel_size=5, padding=2), nn.Conv2d(30, 15, 3, padding=1)])
        self.fc = nn.Linear(375, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(self.one[1](self.one[0](x)) + x)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))
        x = F.relu(self.two[1](self.two[0](x)) + x)
        return self.fc(x.view(x.size(0), -1))


def copied(ours: nn.Module, theirs: nn.Module) -> nn.Module:
    """``theirs`` with our weights, in the order of their making: parameters of equal shapes, one after the other."""
    with torch.no_grad():
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert a.shape == b.shape
            b.copy_(a)
    return theirs


class InOrder(MnistSimple):
    """The same with its parameters in the order of the forward pass, which is ours."""

    def __init__(self):
        super().__init__()
        parts = [self.conv1, *self.one, self.conv2, *self.two, self.fc]
        self.order = nn.ModuleList(parts)

    def parameters(self, recurse=True):
        return self.order.parameters(recurse)


def test_mnist_simple_is_the_published_forward_pass():
    ours = nets.mnist_simple()
    theirs = copied(ours, InOrder())
    x = torch.rand(8, 1, 28, 28)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)
    assert sum(p.numel() for p in theirs.parameters()) == 42_790


def test_mnist_simple_takes_the_published_steps():
    """Adam 1e-3 in batches of 64 in the order of the files, ToTensor and nothing else, no schedule."""
    images = toy_images(150, size=28, channels=1)
    run = declared("mnist_simple", "published", images)
    theirs = copied(run.net, InOrder())
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    for start in (0, 64, 128):
        x, y = images.train_x[start:start + 64].float() / 255, images.train_y[start:start + 64]
        optimizer.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        optimizer.step()
        run.step()
    for a, b in zip(run.net.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


def test_mnist_simple_begins_as_torchs_layers_do():
    run = declared("mnist_simple", "published", toy_images(100, size=28, channels=1))
    for m in run.net.modules():
        if isinstance(m, nn.Conv2d | nn.Linear):
            bound = m.weight[0].numel() ** -0.5
            weight = m.weight.detach()
            assert weight.abs().max() <= bound and m.bias.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
