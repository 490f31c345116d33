"""Tampered shortcuts and remedies against closed forms, the papers' formulas, and nets that they must equal."""

from dataclasses import replace
import copy

import pytest
import torch

from conftest import toy_images
from resnet_lib import blocks, nets, train
from resnet_lib.nets import ablations
from resnet_lib.recipe import Execution, Recipe

SPECS = [{"name": "tampered_resnet", "depth": 8, "kind": k, "gate_bias": -6.0, "width": 4}
         for k in ablations.TAMPERINGS]
SPECS += [{"name": "unnormalized_resnet", "depth": 8, "remedy": r, "width": 4} for r in ablations.REMEDIES]
SPECS += [{"name": "relu_first_resnet", "depth": 8, "width": 4}]


def drawn(block, seed=0):
    return nets.init_weights(block, "he", torch.Generator().manual_seed(seed))


def pictures(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("c_in, c_out, stride", [(4, 4, 1), (4, 8, 2)])
@pytest.mark.parametrize("kind", ["scaled", "scaled-both", "exclusive", "gated", "dropout-0.5"])
def test_tampered_block_is_the_formula(kind, c_in, c_out, stride):
    block = drawn(ablations.TamperedBlock(c_in, c_out, stride, kind=kind, gate_bias=-1.5)).eval()
    twin = blocks.BasicBlock(c_in, c_out, stride, shortcut="A").eval()
    twin.load_state_dict({k: v for k, v in block.state_dict().items() if "gate" not in k})
    x = pictures(2, c_in, 6, 6)
    f = twin.residual(x)
    s = x if stride == 1 else torch.cat([x[:, :, ::2, ::2], torch.zeros(2, c_out - c_in, 3, 3)], 1)
    g = torch.zeros(f.shape)
    if block.gate is not None:  # a 1×1 convolution, as a sum over channels at each position
        g = 1 / (1 + torch.exp(1.5 - torch.einsum("oc,nchw->nohw", block.gate.weight[:, :, 0, 0], s)))
        assert 0 < g.min() and g.max() < 1
    a, b = {"scaled": (1, 0.5), "scaled-both": (0.5, 0.5), "exclusive": (g, 1 - g), "gated": (1, 1 - g),
            "dropout-0.5": (1, 1)}[kind]
    assert torch.allclose(block(x), (a * f + b * s).clamp(min=0), atol=1e-6)


def test_a_run_with_dropout_depends_on_its_seed_alone_and_can_be_resumed():
    def run():
        return train.Run(nets.tampered_resnet(8, "dropout-0.5", width=4), toy_images(), Recipe(
            steps=6, batch=32, drops=(), augment="none", eval_every=3, seed=4), Execution(device="cpu", threads=1))

    first = run()
    before = torch.get_rng_state()
    rows = list(first)
    assert torch.equal(torch.get_rng_state(), before)  # the reader's own dice are as they were
    torch.manual_seed(99)
    second = run()
    for _ in range(4):
        second.advance()
    third = run()
    torch.rand(5)
    third.load_state_dict(second.state_dict())
    list(third)
    assert third.rows == rows
    other = train.Run(nets.tampered_resnet(8, "dropout-0.5", width=4), toy_images(), replace(
        first.recipe, seed=5), Execution(device="cpu", threads=1))
    assert list(other) != rows


def test_dropout_drops_half_of_the_shortcut_in_training_only():
    block = ablations.TamperedBlock(4, 4, kind="dropout-0.5").train()
    torch.nn.init.zeros_(block.bn2.weight)  # F = 0
    y = block(torch.ones(8, 4, 16, 16))
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert (y == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_conv_is_option_c():
    ours = nets.build({"name": "tampered_resnet", "depth": 8, "kind": "conv", "width": 4})
    c = nets.cifar_resnet(8, shortcut="C", width=4)
    c.load_state_dict(ours.state_dict(), strict=True)
    x = pictures(2, 3, 8, 8)
    assert torch.equal(ours(x), c(x))


def test_a_gate_that_is_shut_leaves_the_identity_block():
    block = drawn(ablations.TamperedBlock(4, 4, kind="gated", gate_bias=-100.0)).eval()
    twin = blocks.BasicBlock(4, 4, shortcut="A").eval()
    twin.load_state_dict({k: v for k, v in block.state_dict().items() if "gate" not in k})
    x = pictures(2, 4, 5, 5)
    assert torch.equal(block(x), twin(x))


def after_a_runs_draw(spec):
    recipe = Recipe(steps=1, batch=32, lr=0.05, drops=(), augment="none", seed=5)
    return train.Run(nets.build(spec), toy_images(), recipe, Execution(device="cpu", threads=1)).net


def test_remedies_and_gate_biases_survive_the_draw_of_a_run():
    for spec in SPECS:
        net = after_a_runs_draw(spec)
        reference = nets.init_weights(nets.build(spec), "he", torch.Generator().manual_seed(5))
        assert all(torch.equal(p, q) for p, q in zip(net.parameters(), reference.parameters(), strict=True))
        for m in net.modules():
            if isinstance(m, ablations.TamperedBlock) and m.gate is not None:
                assert (m.gate.bias == -6).all() and m.gate.weight.std() > 0
            if isinstance(m, ablations.UnnormalizedBlock):
                silent = m.remedy in ("zero", "fixup") or m.remedy == "zero-live" and m.downsample is None
                assert (m.conv2.weight == 0).all() == silent
                if m.remedy == "skipinit":
                    assert m.scale.value.item() == 0
                if m.remedy == "fixup":
                    assert m.scale.value.item() == 1 and all(b.value.item() == 0 for b in m.before)
        if spec.get("remedy") == "fixup":
            assert (net.eval()(pictures(2, 3, 8, 8)) == 0).all()


def test_fixup_is_the_papers_formula():
    depth, m = 14, 2
    blocks_in_net = (depth - 2) // m
    plain, fixup = (drawn(ablations.unnormalized_resnet(depth, r, width=4), seed=3) for r in ("none", "fixup"))
    ours = [x for x in fixup.modules() if isinstance(x, ablations.UnnormalizedBlock)]
    theirs = [x for x in plain.modules() if isinstance(x, ablations.UnnormalizedBlock)]
    for a, b in zip(theirs, ours, strict=True):
        assert torch.allclose(b.conv1.weight, a.conv1.weight * blocks_in_net ** (-1 / (2 * m - 2)), rtol=1e-6, atol=0)
        scalars = [p for p in b.parameters() if p.dim() == 0]
        assert len(scalars) == 5 and b.conv1.bias is None and b.conv2.bias is None
    assert len(ours) == blocks_in_net and torch.equal(plain.conv1.weight, fixup.conv1.weight)


@pytest.mark.parametrize("remedy", ["zero", "skipinit", "fixup"])
def test_a_silent_branch_makes_the_block_the_identity_and_still_learns(remedy):
    block = drawn(ablations.UnnormalizedBlock(4, 4, remedy=remedy, length=9))
    x = pictures(2, 4, 6, 6)
    y = block(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    learns = block.scale.value if remedy == "skipinit" else block.conv2.weight
    assert learns.grad.abs().max() > 0


@pytest.mark.parametrize("remedy, live", [("zero", 4), ("zero-live", 16), ("sqrt", 16)])
def test_channels_that_are_zero_on_both_ways_never_learn(remedy, live):
    """With silent branches everywhere the net is left with the channels of its first stage, 4 of 16."""
    net = drawn(ablations.unnormalized_resnet(8, remedy, width=4))
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    x, y = pictures(16, 3, 8, 8), torch.arange(16) % 10
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    assert net.fc.weight.grad.any(0).sum().item() == live


@pytest.mark.parametrize("remedy, share", [("none", 1), ("sqrt", 1 / 4)])
def test_the_mean_square_grows_as_derived(remedy, share):
    """(1 + a²)^L in the mean over draws, without borders (circular padding), which the derivation leaves out too."""
    length, ratios = 4, []
    for seed in range(12):
        x = pictures(2, 64, 8, 8, seed=seed)
        chain = drawn(torch.nn.Sequential(*[ablations.UnnormalizedBlock(64, 64, remedy=remedy, length=length)
                                            for _ in range(length)]), seed)
        for m in chain.modules():
            if isinstance(m, torch.nn.Conv2d):
                m.padding_mode = "circular"
        with torch.no_grad():
            ratios.append(chain(x).square().mean() / x.square().mean())
    assert torch.stack(ratios).mean().item() == pytest.approx((1 + share) ** length, rel=0.08)


def test_an_in_place_relu_makes_relu_first_the_post_activation_net():
    sound, buggy = (nets.build({"name": "relu_first_resnet", "depth": 14, "inplace": i, "width": 4}) for i in (0, 1))
    sound.load_state_dict(buggy.state_dict())
    post = nets.cifar_resnet(14, width=4)
    names = {"conv1.0.": "conv1.", "conv1.1.": "bn1."}
    state = buggy.state_dict()
    for old, new in names.items():
        state = {(new + k[len(old):] if k.startswith(old) else k): v for k, v in state.items()}
    post.load_state_dict(state, strict=True)
    x, outputs = pictures(4, 3, 8, 8), []
    for net in (buggy, post, sound):
        outputs.append(net(x))
        outputs[-1].square().sum().backward()
    assert torch.equal(outputs[0], outputs[1]) and not torch.allclose(outputs[0], outputs[2], rtol=0.01)
    for p, q in zip(buggy.parameters(), post.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


@pytest.mark.parametrize("make", [lambda i: ablations.ReluFirstBlock(4, 4, inplace=i),
                                  lambda i: ablations.UnnormalizedBlock(4, 4, inplace=i)])
def test_the_one_line_test_catches_it(make):
    for inplace in (False, True):
        x = pictures(2, 4, 5, 5)
        before = x.clone()
        version = x._version
        make(inplace)(x)
        assert torch.equal(x, before) != inplace
        assert (x._version == version) != inplace


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: "-".join(map(str, s.values())))
def test_specs_build_the_net_again(spec):
    net = nets.build(spec)
    again = nets.build(copy.deepcopy(net.spec))
    assert again.spec == net.spec == nets.complete(spec)
    assert [(n, p.shape) for n, p in again.named_parameters()] == [(n, p.shape) for n, p in net.named_parameters()]
    assert net(pictures(2, 3, 8, 8)).shape == (2, 10)
    weighted = [m for name, m in net.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
                and "gate" not in name and "downsample" not in name]
    assert len(weighted) == 8


@pytest.mark.parametrize("call, word", [
    (lambda: ablations.tampered_resnet(8, "halved"), "scaled, scaled-both"),
    (lambda: ablations.unnormalized_resnet(8, "rezero"), "skipinit"),
    (lambda: ablations.relu_first_resnet(9), "6n + 2"),
])
def test_errors_name_the_valid_values(call, word):
    with pytest.raises(ValueError, match=word.replace("+", r"\+")):
        call()


def test_gradients_of_the_other_nets_are_unmoved():
    """after_draw is for those that have it: a net without it is drawn as before."""
    net = nets.init_weights(nets.cifar_resnet(8, width=4), "he", torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(0)
    for m in net.modules():
        if isinstance(m, torch.nn.Conv2d | torch.nn.Linear):
            weight = torch.empty_like(m.weight)
            torch.nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu", generator=g)
            assert torch.equal(weight, m.weight)
