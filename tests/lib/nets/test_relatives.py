"""The relatives of the residual net: formulas, sizes, gates at their ends.

Their blocks are held against others' in tests/chapters/test_after.py.
"""

import pytest
import torch

from conftest import toy_images
from resnet_lib import nets, train
from resnet_lib.nets import relatives
from resnet_lib.recipe import Execution, Recipe

SPECS = [{"name": "highway_net", "depth": 8, "width": 4}, {"name": "se_resnet", "depth": 8, "width": 4, "ratio": 2},
         {"name": "dense_net", "layers": 2, "growth": 3}]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["name"])
def test_a_net_is_made_from_its_spec_and_trains(spec):
    net = nets.build(spec)
    assert net.spec == nets.complete(spec)
    assert net(torch.randn(2, 3, 12, 12)).shape == (2, 10)
    rows = list(train.Run(net, toy_images(), Recipe(steps=4, batch=32, drops=(), augment="none", eval_every=4),
                          Execution(device="cpu", threads=1)))
    assert 0 < rows[-1]["train_loss"] < 10
    assert all(p.grad is not None for p in net.parameters())


def test_the_gate_s_bias_begins_where_it_was_told_to():
    net = nets.highway_net(8, gate_bias=-2.5, width=4)
    biases = [m.gate.bias for m in net.modules() if isinstance(m, relatives.HighwayBlock)]
    assert len(biases) == 3 and all((b == -2.5).all() for b in biases)


def test_an_open_gate_makes_a_plain_net_and_a_closed_one_a_shortcut():
    block = relatives.HighwayBlock(4, 8, 2)
    torch.nn.init.zeros_(block.gate.weight)
    x = torch.randn(2, 4, 6, 6)
    for bias, want in ((60.0, block.residual(x).relu()), (-60.0, block.shortcut(x))):
        torch.nn.init.constant_(block.gate.bias, bias)
        assert torch.allclose(block(x), want, atol=1e-6)


def test_factors_lie_between_zero_and_one_and_are_one_for_a_channel():
    layer, f = relatives.Excite(8, 4), torch.randn(3, 8, 5, 5)
    g = layer(f) / f
    assert 0 < g.min() and g.max() < 1
    assert torch.allclose(g, g[:, :, :1, :1].expand_as(g), atol=1e-5)


def test_a_dense_layer_passes_its_input_on():
    x = torch.randn(2, 5, 6, 6)
    out = relatives.DenseLayer(5, 3)(x)
    assert out.shape == (2, 8, 6, 6) and torch.equal(out[:, :5], x)


def test_sizes_by_hand():
    """DenseNet-BC: layers as in exercise 4 of the chapter, batch norms two numbers a channel."""
    c, k, count = 6, 3, 3 * 9 * 6
    for block in range(3):
        for _ in range(2):
            count += 4 * k * c + 36 * k * k + 2 * c + 8 * k
            c += k
        if block < 2:
            count += 2 * c + c * (c // 2)
            c //= 2
    count += 2 * c + 10 * c + 10
    assert sum(p.numel() for p in nets.dense_net(2, 3).parameters()) == count
    plain = sum(p.numel() for p in nets.cifar_resnet(8, width=4).parameters())
    gates = sum(w * w + w for w in (4, 8, 16))
    assert sum(p.numel() for p in nets.highway_net(8, width=4).parameters()) == plain + gates


@pytest.mark.parametrize("make, words", [
    (lambda: nets.dense_net(0, 3), "layers must be at least 1, got 0"),
    (lambda: nets.dense_net(2, 0), "growth must be at least 1, got 0"),
    (lambda: nets.highway_net(9), "depth must be 6n + 2")])
def test_errors_name_the_way_out(make, words):
    with pytest.raises(ValueError, match=words.replace("+", r"\+")):
        make()
