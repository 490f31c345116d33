"""Published systems, transcribed once more from their code: the same forward pass, and the same first steps."""

from dataclasses import replace

import numpy as np
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


# --- Keras' example


def test_keras_adam_adds_epsilon_before_the_root_is_corrected():
    """Three steps by Keras' own formula: α = lr √(1 - β₂ᵗ) / (1 - β₁ᵗ), w -= α m / (√v + ε)."""
    images = toy_images(200)
    run = declared("cifar_keras_v1", "adam-20", images)
    theirs = [p.detach().clone() for p in run.net.parameters()]
    means, squares = ([torch.zeros_like(p) for p in theirs] for _ in range(2))
    lr, b1, b2, eps = 1e-3, 0.9, 0.999, 1e-7
    for t in (1, 2, 3):
        run.step()
        alpha = lr * (1 - b2**t) ** 0.5 / (1 - b1**t)
        for w, m, v, p in zip(theirs, means, squares, run.net.parameters(), strict=True):
            m.mul_(b1).add_(p.grad, alpha=1 - b1)
            v.mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            w.sub_(alpha * m / (v.sqrt() + eps))
    for w, p in zip(theirs, run.net.parameters(), strict=True):
        torch.testing.assert_close(p.detach(), w, rtol=0, atol=2e-6)


@pytest.mark.slow
def test_keras_he_normal_is_cut_off_at_two_and_has_the_variance_of_he():
    import scipy.stats  # a second to import, for this test alone

    layer = nn.Conv2d(64, 256, 3)
    nets.init_weights(layer, "he_truncated", torch.Generator().manual_seed(0))
    std = (2 / (64 * 9)) ** 0.5
    weight = layer.weight.detach() / std
    assert weight.std().item() == pytest.approx(1, rel=0.01)
    assert weight.abs().max().item() == pytest.approx(2 / 0.8796, rel=0.01) and not layer.bias.detach().any()
    assert scipy.stats.kstest(weight.flatten()[:20_000].numpy() * 0.87962566, scipy.stats.truncnorm(-2, 2).cdf
                              ).pvalue > 1e-3


def test_keras_example_as_declared():
    run = declared("cifar_keras_v1", "adam-20", toy_images(200))
    assert run.net.spec["padding"] == "keras" and run.batches.n == 180 and run.recipe.init == "he_truncated"
    with pytest.raises(ValueError, match="adam_late_eps is for optimizer 'adam'"):
        replace(run.recipe, optimizer="sgd")


# --- ResNet-18 on CIFAR-10, and d2l's


def test_cifar_resnet18_begins_with_fan_out_and_torchs_last_layer():
    net = declared("cifar_resnet18", "pool", toy_images(150, size=32)).net
    assert net.conv1.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.1)
    assert net.layer4[1].conv2.weight.std().item() == pytest.approx((2 / (9 * 512)) ** 0.5, rel=0.01)
    bound = 512**-0.5
    assert net.fc.weight.abs().max() <= bound and net.fc.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert 0 < net.fc.bias.abs().max() <= bound


def test_d2l_begins_with_xavier_weights_and_torchs_biases():
    images = toy_images(300, size=28, channels=1).resize(96)
    net = declared("fashion_d2l", "d2l-resnet-18", images).net
    conv = net.layer2[0].conv1
    bound = (6 / (9 * (64 + 128))) ** 0.5
    assert conv.weight.abs().max().item() == pytest.approx(bound, rel=1e-3) and conv.weight.abs().max() <= bound
    assert 0 < conv.bias.abs().max() <= (9 * 64) ** -0.5


def test_enlarged_pictures_are_within_a_level_of_pils():
    PIL = pytest.importorskip("PIL.Image")
    images = toy_images(6, size=28, channels=1)
    smooth = images.train_x.float().mul(0.5).add(60).to(torch.uint8)
    ours = replace(images, train_x=smooth).resize(96).train_x
    for picture, got in zip(smooth, ours, strict=True):
        theirs = np.asarray(PIL.fromarray(picture[0].numpy()).resize((96, 96), PIL.Resampling.BILINEAR))
        assert np.abs(theirs.astype(int) - got[0].numpy().astype(int)).max() <= 1


def test_mnist_simple_begins_as_torchs_layers_do():
    run = declared("mnist_simple", "published", toy_images(100, size=28, channels=1))
    for m in run.net.modules():
        if isinstance(m, nn.Conv2d | nn.Linear):
            bound = m.weight[0].numel() ** -0.5
            weight = m.weight.detach()
            assert weight.abs().max() <= bound and m.bias.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
