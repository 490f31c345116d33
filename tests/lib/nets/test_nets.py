"""Nets against torchvision, against published counts, and against drawings by hand."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import torchvision

from conftest import ROOT, mostly_slow, randomize_batch_norm
from resnet_lib import blocks, nets


def imagenet_cost(depth, stride_in="3x3"):
    with torch.device("meta"):  # counting needs no numbers
        return nets.cost(nets.resnet(depth, stride_in=stride_in), (3, 224, 224))


@pytest.mark.parametrize("depth", mostly_slow(nets.IMAGENET, 18))
def test_equal_to_torchvision_bit_for_bit(depth):
    theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None, num_classes=7)
    randomize_batch_norm(theirs)
    ours = nets.resnet(depth, num_classes=7)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    ours.eval(), theirs.eval()
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
    ours.train(), theirs.train()
    outputs = []
    for net in (ours, theirs):
        y = net(x)
        F.cross_entropy(y, torch.tensor([1, 3])).backward()
        outputs.append(y)
    assert torch.equal(*outputs)
    for (name, p), (other, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == other and torch.equal(p.grad, q.grad), name
    for (name, a), (other, b) in zip(ours.named_buffers(), theirs.named_buffers(), strict=True):
        assert name == other and torch.equal(a, b), name


@pytest.mark.parametrize("depth", mostly_slow(nets.IMAGENET, 18, 50))
def test_imagenet_cost(depth):
    parameters, gmac, gmac_paper = nets.IMAGENET_COST[depth]
    ours = imagenet_cost(depth)
    assert ours.parameters == parameters
    assert round(ours.macs / 1e9, 3) == gmac
    assert round(imagenet_cost(depth, "1x1").macs / 1e9, 3) == gmac_paper


@pytest.mark.parametrize("depth", mostly_slow(nets.IMAGENET, 18, 50))
@pytest.mark.parametrize("stride_in", blocks.STRIDE_IN)
def test_imagenet_shape_after_every_stage(depth, stride_in):
    e = 1 if depth < 50 else 4
    assert imagenet_cost(depth, stride_in).stages == (
        ("conv1", (64, 112, 112)), ("maxpool", (64, 56, 56)), ("layer1", (64 * e, 56, 56)),
        ("layer2", (128 * e, 28, 28)), ("layer3", (256 * e, 14, 14)), ("layer4", (512 * e, 7, 7)), ("fc", (1000,)))


@pytest.mark.parametrize("depth", mostly_slow(nets.CIFAR_COST, 20, 44))
def test_cifar_cost_and_shapes(depth):
    parameters, mmac = nets.CIFAR_COST[depth]
    for residual in (True, False):  # the plain control has exactly the parameters of option A
        cost = nets.cost(nets.cifar_resnet(depth, residual), (3, 32, 32))
        assert cost.parameters == parameters
        assert round(cost.macs / 1e6, 2) == mmac
        assert cost.stages == (("conv1", (16, 32, 32)), ("layer1", (16, 32, 32)),
                               ("layer2", (32, 16, 16)), ("layer3", (64, 8, 8)), ("fc", (10,)))
    weighted = [m for name, m in nets.cifar_resnet(depth).named_modules()
                if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(weighted) == depth


@pytest.mark.parametrize("depth, expansion", [(11, 4), (29, 4), (29, 1), (20, 2), (164, 4)])
def test_bottleneck_nets_against_the_formula(depth, expansion):
    n, w, e = (depth - 2) // 9, 16, expansion
    net = nets.cifar_bottleneck(depth, w, e)
    weighted = [m for m in net.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(weighted) == depth  # option A: no projection
    weights = 27 * w + 4 * w * e * 10 + 10
    for k in range(3):
        v, c_in = w * 2**k, w if k == 0 else w * 2**k * e // 2
        weights += c_in * v + (n - 1) * e * v * v + n * (9 * v * v + e * v * v)
    scales = sum(p.numel() for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters())
    assert scales == 2 * (w + n * sum((2 + e) * w * 2**k for k in range(3)))
    cost = nets.cost(net, (3, 32, 32))
    assert cost.parameters == weights + scales
    assert [s for _, s in cost.stages[1:4]] == [(w * e * 2**k, 32 // 2**k, 32 // 2**k) for k in range(3)]


def test_the_nets_of_the_bottleneck_study_cost_the_same():
    basic = nets.cost(nets.cifar_resnet(20, width=8), (3, 32, 32))
    for width, expansion in ((8, 4), (10, 1)):
        other = nets.cost(nets.cifar_bottleneck(29, width, expansion), (3, 32, 32))
        assert other.parameters == pytest.approx(basic.parameters, rel=0.04)
        assert other.macs == pytest.approx(basic.macs, rel=0.04)


def test_option_b_adds_two_projections():
    a, b = (sum(p.numel() for p in nets.cifar_resnet(20, shortcut=s).parameters()) for s in "AB")
    assert b - a == 2_752


def test_option_c_projects_in_every_block():
    counts = {o: sum(p.numel() for p in nets.cifar_resnet(20, shortcut=o).parameters()) for o in "AC"}
    widths = [(16, 16)] * 3 + [(16, 32)] + [(32, 32)] * 2 + [(32, 64)] + [(64, 64)] * 2
    assert counts["C"] - counts["A"] == sum(a * b + 2 * b for a, b in widths)


def test_the_first_block_of_a_pre_activation_net_splits_behind_its_activation():
    """He16, appendix: only there does the shortcut carry relu(bn(x)); in all others it carries x."""
    net = nets.cifar_resnet(14, block="pre", width=4).double().train()
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64)
    for block, splits_behind in ((net.layer1[0], True), (net.layer1[1], False)):
        a = F.relu(F.batch_norm(x, None, None, block.bn1.weight, block.bn1.bias, training=True))
        h = F.relu(F.batch_norm(block.conv1(a), None, None, block.bn2.weight, block.bn2.bias, training=True))
        torch.testing.assert_close(block(x), block.conv2(h) + (a if splits_behind else x))


@pytest.mark.parametrize("build, shape, parameters", [
    (nets.mnist_simple, (1, 28, 28), 42_790),
    (nets.d2l_resnet18, (1, 96, 96), 11_178_378),
    (nets.keras_v1, (3, 32, 32), 273_066),
    (lambda: nets.resnet(18, 10, in_channels=1), (1, 96, 96), 11_175_370),
])
def test_small_nets(build, shape, parameters):
    net = build()
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net(torch.zeros(2, *shape)).shape == (2, 10)


def test_cifar_resnet18_with_and_without_pooling():
    shapes = [dict(nets.cost(nets.cifar_resnet18(pool=pool), (3, 32, 32)).stages) for pool in (True, False)]
    assert [s["layer4"] for s in shapes] == [(512, 2, 2), (512, 4, 4)]


@pytest.mark.parametrize("w", [1, 20, 64])
def test_narrow_resnet18_has_the_parameters_of_the_closed_form(w):
    kernels = 9 * w + 4 * 9 * w**2  # gray pictures; stem and first stage
    channels = 5 * w
    for c in (2 * w, 4 * w, 8 * w):
        kernels += 9 * c * c // 2 + 3 * 9 * c**2 + c * c // 2  # halved input of the first 3×3 and of the shortcut
        channels += 5 * c
    parameters = kernels + 2 * channels + 8 * w * 10 + 10
    assert sum(p.numel() for p in nets.cifar_resnet18(in_channels=1, width=w).parameters()) == parameters
    for name in ("width", "blocks"):
        with pytest.raises(ValueError, match=f"{name} must be at least 1"):
            nets.cifar_resnet18(**{name: 0})


def test_one_block_a_stage_is_torchvisions_resnet10_but_for_the_stem():
    peer = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)
    theirs, ours = peer.state_dict(), nets.cifar_resnet18(blocks=1).state_dict()
    assert theirs.pop("conv1.weight").shape == (64, 3, 7, 7) and ours.pop("conv1.weight").shape == (64, 3, 3, 3)
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


def test_plain_block_is_the_residual_block_without_the_addition():
    x = torch.randn(2, 8, 6, 6)
    plain, residual = blocks.PlainBlock(8, 8), blocks.BasicBlock(8, 8, shortcut="A")
    residual.load_state_dict(plain.state_dict(), strict=True)
    assert torch.equal(plain(x), F.relu(residual.residual(x)))
    residual.load_state_dict(plain.state_dict())
    fx = copy.deepcopy(residual).residual(x)
    assert torch.equal(residual(x), F.relu(fx + x))


def test_option_a_against_a_loop():
    x = torch.randn(2, 3, 5, 5)
    y = blocks.PadShortcut(3, 7, 2)(x)
    assert y.shape == (2, 7, 3, 3)
    for c in range(7):
        for i in range(3):
            for j in range(3):
                assert torch.equal(y[:, c, i, j], x[:, c, 2 * i, 2 * j] if c < 3 else torch.zeros(2))


def test_pre_activation_passes_the_input_through_unchanged():
    block = blocks.PreActBlock(4, 4)
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(x), x)
    post = blocks.BasicBlock(4, 4)
    torch.nn.init.zeros_(post.bn2.weight)
    assert torch.equal(post(x), F.relu(x)) and not torch.equal(post(x), x)


def test_pre_activation_net():
    net = nets.cifar_resnet(20, block="pre")
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    # the batch norms move: none after the stem, one of 64 channels at the end, each block's first on its input
    post = sum(p.numel() for p in nets.cifar_resnet(20).parameters())
    assert sum(p.numel() for p in net.parameters()) == post - 32 + 128 - 2 * (16 + 32)


def test_batch_norm_is_that_of_the_field_and_keras_its_own():
    def settings(net):
        return {(m.eps, m.momentum) for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)}

    for net in (nets.cifar_resnet(20), nets.cifar_resnet(20, block="pre"), nets.resnet(50), nets.cifar_resnet18(),
                nets.mnist_simple(norm=True)):
        assert settings(net) == {(1e-5, 0.1)}
    assert settings(nets.keras_v1(20)) == {(1e-3, 0.01)}


def test_he_initialization_has_the_variance_of_the_paper():
    net = nets.init_weights(nets.resnet(18), "he", torch.Generator().manual_seed(0))
    for m in net.modules():
        if isinstance(m, torch.nn.Conv2d) and m.weight.numel() > 30_000:
            fan_in = m.weight[0].numel()
            assert m.weight.var().item() == pytest.approx(2 / fan_in, rel=0.05)


def test_weights_are_equal_for_plain_and_residual_of_one_seed():
    plain, residual = (nets.init_weights(nets.cifar_resnet(20, r), "he", torch.Generator().manual_seed(3))
                       for r in (False, True))
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), residual.parameters(), strict=True))


@pytest.mark.parametrize("net", [nets.cifar_resnet(20, width=4), nets.mnist_simple(norm=True), nets.resnet(50),
                                 nets.keras_v1(32), nets.cifar_bottleneck(20, 6, 2), nets.cifar_resnet18(),
                                 nets.d2l_resnet18()])
def test_build_makes_the_net_of_a_spec(net):
    again = nets.build(net.spec)
    assert again.spec == net.spec == nets.complete(net.spec)
    assert [(n, p.shape) for n, p in again.named_parameters()] == [(n, p.shape) for n, p in net.named_parameters()]


@pytest.mark.parametrize("call, word", [
    (lambda: nets.cifar_resnet(21), "6n + 2"),
    (lambda: nets.cifar_resnet(22), "6n + 2"),
    (lambda: nets.cifar_resnet(True), "6n + 2"),
    (lambda: nets.cifar_resnet(2), "6n + 2"),
    (lambda: nets.cifar_resnet("20"), "6n + 2"),
    (lambda: nets.resnet(20), "18, 34, 50, 101, 152"),
    (lambda: nets.resnet(50, stride_in="2x2"), "3x3, 1x1"),
    (lambda: nets.cifar_resnet(20, shortcut="D"), "A, B, C"),
    (lambda: nets.cifar_resnet(20, block="mid"), "post, pre"),
    (lambda: nets.cifar_resnet(20, residual=False, block="pre"), "block='post'"),
    (lambda: nets.cifar_resnet(20, width=0), "at least 1"),
    (lambda: nets.cifar_bottleneck(30), "9n + 2"),
    (lambda: nets.cifar_bottleneck(2), "9n + 2"),
    (lambda: nets.cifar_bottleneck(True), "9n + 2"),
    (lambda: nets.cifar_bottleneck(29, width=0), "width must be at least 1"),
    (lambda: nets.cifar_bottleneck(29, expansion=0), "expansion must be at least 1"),
    (lambda: nets.cifar_bottleneck(29, stride_in="2x2"), "3x3, 1x1"),
    (lambda: nets.build({"name": "alexnet"}), "cifar_resnet"),
    (lambda: nets.init_weights(nets.mnist_simple(), "zeros"), "he_truncated, xavier, xavier_weights, torch, keep"),
])
def test_errors_name_the_valid_values(call, word):
    with pytest.raises(ValueError) as caught:
        call()
    assert word in str(caught.value) and "\n" not in str(caught.value)


def test_without_batch_norm_only_convolutions_and_the_last_layer_are_left():
    for residual in (True, False):
        net = nets.cifar_resnet(20, residual=residual, width=4, norm=False)
        assert not [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert all(m.bias is not None for m in net.modules() if isinstance(m, torch.nn.Conv2d))
        with_norm = nets.cifar_resnet(20, residual=residual, width=4)
        scales = sum(m.weight.numel() for m in with_norm.modules() if isinstance(m, torch.nn.BatchNorm2d))
        # each batch norm had a scale and a shift; a bias takes the place of the shift
        assert sum(p.numel() for p in net.parameters()) == sum(p.numel() for p in with_norm.parameters()) - scales
        assert net(torch.randn(2, 3, 8, 8)).shape == (2, 10)
    with pytest.raises(ValueError, match="post"):
        nets.cifar_resnet(20, block="pre", norm=False)


@pytest.mark.slow
def test_a_narrow_strided_projection_survives_channels_last():
    """oneDNN issue 6035: in one operation this corrupts memory, so it runs in a process of its own; many times, since
    not every overrun hits something."""
    code = """
import torch
from resnet_lib import blocks
torch.manual_seed(0)
for c_in in (4, 5, 8, 12):
    ours = blocks.conv1x1(c_in, 8, stride=2).to(memory_format=torch.channels_last)
    exact = torch.nn.Conv2d(c_in, 8, 1, 2, bias=False).double()
    exact.load_state_dict(ours.state_dict())
    for _ in range(50):
        x = torch.randn(32, c_in, 8, 8).contiguous(memory_format=torch.channels_last)
        for net, pictures in ((ours, x), (exact, x.double())):
            net.zero_grad()
            net(pictures).square().sum().backward()
        assert torch.allclose(ours.weight.grad.double(), exact.weight.grad, rtol=1e-4, atol=1e-3)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-500:]
