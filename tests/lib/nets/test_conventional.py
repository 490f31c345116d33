"""VGG against torchvision and the paper's tables; the small net against a plain forward pass."""

import pytest
import torch
import torch.nn.functional as F
import torchvision

from resnet_lib import nets


def meta(build, *arguments, **named):
    with torch.device("meta"):  # counting needs no numbers
        return build(*arguments, **named)


@pytest.mark.parametrize("depth", nets.VGG)
def test_cost(depth):
    parameters, gmac = nets.VGG_COST[depth]
    ours = nets.cost(meta(nets.vgg, depth), (3, 224, 224))
    theirs = meta(getattr(torchvision.models, f"vgg{depth}"), weights=None)
    assert ours.parameters == parameters == sum(p.numel() for p in theirs.parameters())
    # torchvision's documentation: 7.61, 11.31, 15.47 and 19.63 GFLOPS, by which it means multiply-adds
    assert round(ours.macs / 1e9, 3) == gmac
    assert round(gmac, 2) == {11: 7.61, 13: 11.31, 16: 15.47, 19: 19.63}[depth]
    # Simonyan & Zisserman 2014, Table 2: 133, 133, 138 and 144 million
    assert round(parameters / 1e6) == {11: 133, 13: 133, 16: 138, 19: 144}[depth]


@pytest.mark.parametrize("depth", nets.VGG)
def test_depth_counts_the_layers_with_weights(depth):
    net = meta(nets.vgg, depth)
    kinds = [type(m).__name__ for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    assert kinds == ["Conv2d"] * (depth - 3) + ["Linear"] * 3


@pytest.mark.parametrize("depth", [pytest.param(d, marks=pytest.mark.slow) for d in (11, 16, 19)])
def test_equal_to_torchvision_bit_for_bit(depth):
    theirs = getattr(torchvision.models, f"vgg{depth}")(weights=None, num_classes=5).eval()
    with torch.device("meta"):
        ours = nets.vgg(depth, num_classes=5).eval()
    ours.load_state_dict(theirs.state_dict(), strict=True, assign=True)
    x, y = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3])
    outputs = []
    for net in (ours, theirs):
        net.zero_grad()
        out = net(x)
        gradients = torch.autograd.grad(F.cross_entropy(out, y), [net.features[0].weight, net.classifier[0].bias])
        outputs.append((out, *gradients))
    assert all(torch.equal(a, b) for a, b in zip(*outputs, strict=True))


def test_nine_tenths_of_vgg_16_lie_in_three_layers():
    dense = sum(p.numel() for p in meta(nets.vgg, 16).classifier.parameters())
    assert dense == 123_642_856 and round(dense / nets.VGG_COST[16][0], 2) == 0.89


@pytest.mark.parametrize("size", [12, 13, 28])
def test_the_small_net_by_hand(size):
    net = nets.small_cnn(size, width=4, hidden=6, in_channels=1, num_classes=3)
    x = torch.randn(2, 1, size, size)
    a, b, c, d = net.features[0], net.features[3], net.classifier[0], net.classifier[2]
    h = F.max_pool2d(F.relu(a(x)), 2)
    h = F.max_pool2d(F.relu(b(h)), 2).flatten(1)
    assert h.shape == (2, 8 * (size // 4) ** 2)
    assert torch.equal(net(x), d(F.relu(c(h))))
    assert nets.build(net.spec).spec == net.spec


@pytest.mark.parametrize("build, words", [
    (lambda: nets.vgg(18), "depth must be one of 11, 13, 16, 19, got 18"),
    (lambda: nets.small_cnn(3), "size must be at least 4, got 3"),
    (lambda: nets.small_cnn(8, width=0), "width must be at least 1, got 0"),
])
def test_what_cannot_be_built_is_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()
