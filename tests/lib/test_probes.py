"""Probes against derivatives by hand and by finite differences, and that they leave a net as it was."""

import copy

import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib import nets, probes


def batch(n=16, channels=3, size=8):
    g = torch.Generator().manual_seed(0)
    return torch.randn(n, channels, size, size, generator=g), torch.randint(0, 10, (n,), generator=g)


def test_norms_of_two_linear_layers_by_hand():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 4)).double()
    x, y = torch.randn(5, 3, 2, 2).double(), torch.tensor([0, 1, 2, 3, 0])
    found = probes.layer_norms(net, x, y)
    w1, b1, w2, b2 = (p.detach() for p in net.parameters())
    a1 = x.flatten(1) @ w1.T + b1
    h = a1.clamp(min=0)
    a2 = h @ w2.T + b2
    d2 = (a2.softmax(1) - F.one_hot(y, 4)) / 5  # ∂L/∂logits of the mean cross-entropy
    d1 = (d2 @ w2) * (a1 > 0)
    assert found["layer"] == ["1", "3"]
    assert found["output_grad_norm"] == pytest.approx([d1.norm().item(), d2.norm().item()], rel=1e-5)
    assert found["weight_grad_norm"] == pytest.approx([(d1.T @ x.flatten(1)).norm().item(), (d2.T @ h).norm().item()],
                                                      rel=1e-5)
    assert found["weight_norm"] == pytest.approx([w1.norm().item(), w2.norm().item()], rel=1e-5)
    assert found["output_std"] == pytest.approx([a1.std().item(), a2.std().item()], rel=1e-5)


def test_a_net_is_left_as_it_was():
    net = nets.cifar_resnet(8, width=4)
    net.eval()
    net.fc.weight.grad = torch.ones_like(net.fc.weight)
    before = copy.deepcopy(net.state_dict())
    probes.layer_norms(net, *batch())
    assert not net.training
    assert torch.equal(net.fc.weight.grad, torch.ones_like(net.fc.weight)) and net.conv1.weight.grad is None
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert not any(m._forward_hooks for m in net.modules())


def test_layers_are_those_that_count_for_depth():
    assert len(probes.weight_layers(nets.cifar_resnet(20, shortcut="B"))) == 20
    assert len(probes.weight_layers(nets.resnet(50))) == 50


def test_scale_free_gradient_does_not_change_when_weights_are_rescaled():
    """The identity that the chapter derives: under batch norm ‖∇W‖·‖W‖ is the same for W and cW."""
    x, y = batch()
    net = nets.cifar_resnet(8, residual=False, width=4).double()
    x = x.double()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.eps = 1e-30  # ε is what breaks the invariance, a little
    before = probes.layer_norms(net, x, y)
    with torch.no_grad():
        net.layer2[0].conv1.weight *= 7
    after = probes.layer_norms(net, x, y)
    k = before["layer"].index("layer2.0.conv1")
    assert after["weight_grad_norm"][k] == pytest.approx(before["weight_grad_norm"][k] / 7, rel=1e-5)
    for j in range(len(before["layer"]) - 1):
        products = [r["weight_grad_norm"][j] * r["weight_norm"][j] for r in (before, after)]
        assert products[1] == pytest.approx(products[0], rel=1e-4)


def test_block_changes_are_those_of_a_forward_pass_by_hand_and_change_nothing():
    net = nets.cifar_resnet(14, width=4)
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.eval()
    rows = probes.block_changes(net, x)
    assert not net.training and all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    # the first block of the second and third stage changes the shape and is left out
    assert [r["block"] for r in rows] == ["layer1.0", "layer1.1", "layer2.1", "layer3.1"]
    net.train()
    h = torch.relu(net.bn1(net.conv1(x)))
    block = net.layer1[0]
    branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(h)))))
    out = torch.relu(branch + h)
    assert rows[0]["branch"] == pytest.approx((branch.norm() / h.norm()).item(), rel=1e-5)
    assert rows[0]["change"] == pytest.approx(((out - h).norm() / h.norm()).item(), rel=1e-5)
    assert rows[0]["branch_std"] == pytest.approx(branch.std().item(), rel=1e-5)
