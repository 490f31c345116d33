"""The nets of the court against torchvision and against counts by hand; and that each test catches what it should."""

import pytest
import torch
import torch.nn as nn
import torchvision

from resnet_lib import blocks, nets
from resnet_lib.lab import lookalikes

ALL = lookalikes.NETS | {"stride forgotten": lookalikes.forgotten_stride, "early relu": lookalikes.early_relu}


@pytest.fixture(scope="module")
def reference():
    return lookalikes.stir_batch_norm(lookalikes.torchvision_resnet18(10))


def meta(make, classes=1000, channels=3):
    with torch.device("meta"):
        return make(classes, channels)


def macs_by_hand(kernel, stem_side, sides, projections):
    """Stem, two basic blocks in each stage, linear layer; (stage, c_in) of each projection on a shortcut."""
    total, c_in = kernel**2 * 3 * 64 * stem_side**2 + 512 * 1000, 64
    for side, w in zip(sides, (64, 128, 256, 512), strict=True):
        total += (9 * c_in * w + 3 * 9 * w * w) * side**2
        c_in = w
    return total + sum(c * 64 * 2**k * sides[k] ** 2 for k, c in projections)


@pytest.mark.parametrize("name, parameters, kernel, stem_side, sides", [
    ("torchvision", 11_689_512, 7, 112, (56, 28, 14, 7)),
    ("d2l", 11_689_512 + 4_800 - 1_792, 7, 112, (56, 28, 14, 7)),
    ("never shrinking", 11_689_512 + 64 * 64 + 2 * 64, 7, 112, (56, 56, 56, 56)),
    ("small stem", 11_689_512 - 64 * 3 * (49 - 9), 3, 224, (224, 112, 56, 28)),
    ("stride forgotten", 11_689_512, 7, 112, (56, 56, 56, 56)),
    ("early relu", 11_689_512, 7, 112, (56, 28, 14, 7))])
def test_what_is_observed_of_each_net(name, parameters, kernel, stem_side, sides):
    seen = lookalikes.observe(meta(ALL[name]))
    assert seen.parameters == parameters == sum(seen.kinds.values())
    projections = [(1, 64), (2, 128), (3, 256)] + ([(0, 64)] if name == "never shrinking" else [])
    assert seen.macs == macs_by_hand(kernel, stem_side, sides, projections)
    assert [seen.stages[f"layer{k}"] for k in (1, 2, 3, 4)] == [
        (c, s, s) for c, s in zip((64, 128, 256, 512), sides, strict=True)]


def test_one_channel_and_ten_classes_as_d2l_has_them():
    seen = {name: lookalikes.observe(meta(make, 10, 1), (1, 96, 96)).parameters
            for name, make in lookalikes.NETS.items()}
    assert (seen["d2l"], seen["torchvision"]) == (11_178_378, 11_175_370)


def test_the_d2l_net_is_that_of_the_d2l_package():
    pytest.importorskip("d2l.torch")
    from resnet_lib.bench.baselines import d2l_classifier

    theirs = d2l_classifier(10, 0.1).eval()
    x = torch.rand(2, 1, 64, 64)
    theirs(x)  # its layers are lazy
    ours = lookalikes.NETS["d2l"](10, 1).eval()
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    pairs = [[m for m in net.modules() if isinstance(m, kinds)] for net in (theirs, ours)]
    # both lists are in the order of definition; in d2l's block the shortcut stands before the norms
    by_kind = [[[m for m in found if isinstance(m, kind)] for kind in kinds] for found in pairs]
    for a, b in zip(*by_kind, strict=True):
        for source, target in zip(a, b, strict=True):
            target.load_state_dict(source.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.allclose(theirs(x), ours(x), rtol=1e-4, atol=1e-5)


def test_equal_nets_have_no_differences(reference):
    net = nets.resnet(18, 10)
    assert lookalikes.differences(net, reference, (3, 64, 64)) == []
    assert lookalikes.transfer(reference, net) == [] and lookalikes.gap(net, reference, torch.randn(2, 3, 64, 64)) == 0


@pytest.mark.parametrize("name, words", [
    ("d2l", ["convolution biases: 4,800, not 0 (+4,800)", "batch norm: 7,808, not 9,600 (-1,792)", "tensors that"]),
    ("never shrinking", ["convolution weights", "after maxpool: no such part", "after layer2: 128×56×56, not 128×28×28",
                         "MACs: 19.4 times"]),
    ("small stem", ["conv1.weight: [64, 3, 3, 3], not [64, 3, 7, 7]", "after layer4: 512×28×28", "MACs: 15 times"]),
    ("stride forgotten", ["after layer2", "after layer4: 512×56×56", "MACs"])])
def test_the_differences_are_named(name, words):
    found = "\n".join(lookalikes.differences(meta(ALL[name]), meta(lookalikes.torchvision_resnet18)))
    assert all(w in found for w in words), found


def test_only_the_logits_convict_a_relu_before_the_addition(reference):
    net = lookalikes.early_relu(10)
    assert lookalikes.differences(net, reference, (3, 64, 64)) == []
    net.load_state_dict(reference.state_dict(), strict=True)
    assert lookalikes.gap(net, reference, torch.randn(2, 3, 64, 64)) > 0.1
    x = torch.rand(2, 64, 8, 8)
    with torch.no_grad():
        assert (net.eval().layer1[1](x) >= x).all() and (reference.eval().layer1[1](x) < x).float().mean() > 0.2


@pytest.mark.parametrize("setting, value, logits, statistics", [
    ("eps", 1e-3, False, False), ("momentum", 0.01, True, False), ("eps", 1e-5, True, True)])
def test_settings_of_batch_norm_that_no_state_dict_holds(reference, setting, value, logits, statistics):
    right, net = nets.resnet(18, 10), nets.resnet(18, 10)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            setattr(m, setting, value)
    for n in (right, net):
        n.load_state_dict(reference.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 64)
    assert (lookalikes.gap(net, right, x) == 0) == logits
    with torch.no_grad():
        assert torch.equal(net.train()(x), right.train()(x)) == logits
    assert all(map(torch.equal, net.buffers(), right.buffers())) == statistics


def test_forgotten_strides_load_weights_without_a_word(reference):
    net = lookalikes.forgotten_stride(10)
    assert net.load_state_dict(reference.state_dict(), strict=True).missing_keys == []
    assert lookalikes.gap(net, reference, torch.randn(2, 3, 64, 64)) > 0.1


@pytest.mark.slow
def test_biases_before_a_norm_have_no_gradient_and_those_on_shortcuts_repeat_another():
    torch.manual_seed(0)
    net = lookalikes.NETS["d2l"](10, 3).double()
    nn.functional.cross_entropy(net(torch.randn(4, 3, 64, 64).double()), torch.tensor([1, 3, 5, 7])).backward()
    for k in (1, 2, 3, 4):
        for block in getattr(net, f"layer{k}"):
            for conv in (block.conv1, block.conv2):
                assert conv.bias.grad.norm() < 1e-10 * conv.weight.grad.norm()
            if block.downsample is not None:
                assert torch.allclose(block.downsample.bias.grad, block.bn2.bias.grad)


def test_gap_leaves_modes_alone_and_stir_is_reproducible(reference):
    net = nets.resnet(18, 10).train()
    reference.eval()
    lookalikes.gap(net, reference, torch.randn(1, 3, 64, 64))
    assert net.training and not reference.training
    again = lookalikes.stir_batch_norm(torchvision.models.resnet18(num_classes=10))
    one, other = again.state_dict(), reference.state_dict()
    assert all(torch.equal(one[n], other[n]) for n in one if "bn" in n or "downsample.1" in n)


def test_a_module_that_no_resnet_has_is_named():
    with pytest.raises(TypeError, match="got Embedding"):
        lookalikes.observe(nn.Sequential(nn.Embedding(2, 2)))
    assert lookalikes.kind_of(blocks.conv3x3(1, 1, bias=True), "bias") == "convolution biases"
