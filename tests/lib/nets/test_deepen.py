"""Deeper nets with the same function, compared with torch.equal and with a naive forward pass."""

import copy

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import nets
from resnet_lib.nets import deepen
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run
from conftest import mostly_slow, toy_images

RECIPE = Recipe(steps=12, batch=32, lr=0.05, drops=(), augment="none", eval_every=3, deepen_to=20, deepen_at=6)
CPU = Execution(device="cpu", threads=1, channels_last=False)


def trained(residual: bool, steps: int = 8, shortcut: str = "A") -> torch.nn.Module:
    """A net of 14 layers that is no longer where it began."""
    net = nets.cifar_resnet(14, residual=residual, width=4, shortcut=shortcut)
    run = Run(net, toy_images(), Recipe(steps=steps, batch=32, lr=0.02, augment="none", drops=()), CPU)
    for _ in run:
        pass
    return run.net


def pictures(n: int = 40, seed: int = 5) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) - 0.5


def state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_residual_net_deepens_exactly_in_both_modes(shortcut):
    net = trained(True, shortcut=shortcut)
    deep = deepen.deepen(net, 32)
    for mode in (True, False):
        net.train(mode), deep.train(mode)
        assert torch.equal(net(pictures()), deep(pictures()))


@pytest.mark.parametrize("residual, shortcut", [(True, "A"), (True, "B"), (False, "A")])
def test_a_net_that_grew_has_the_names_and_shapes_of_one_built_so_deep(residual, shortcut):
    spec = {"name": "cifar_resnet", "depth": 8, "residual": residual, "width": 4, "shortcut": shortcut}
    grown, built = deepen.deepen(nets.build(spec), 20, pictures()), nets.build(spec | {"depth": 20})
    built.load_state_dict(grown.state_dict())  # which weights.load relies on
    assert built.spec == grown.spec and torch.equal(built.eval()(pictures()), grown.eval()(pictures()))


def test_old_layers_get_the_same_gradients_and_new_ones_can_learn():
    net = trained(True)
    deep = deepen.deepen(net, 20)
    for n in (net, deep):
        n.train()
        n.zero_grad(set_to_none=True)
        F.cross_entropy(n(pictures()), torch.arange(40) % 10).backward()
    assert torch.equal(net.conv1.weight.grad, deep.conv1.weight.grad)
    assert torch.equal(net.layer3[1].conv2.weight.grad, deep.layer3[2].conv2.weight.grad)
    new = deep.layer2[1]
    assert new.bn2.weight.grad.norm() > 0 and new.conv2.weight.grad.norm() == 0  # after one step γ ≠ 0, then it too


def naive_plain(net, x):
    """The plain net of evaluation mode, layer by layer, without any module's forward."""
    def norm(x, bn):
        shape = (1, -1, 1, 1)
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        return (x - bn.running_mean.view(shape)) * scale.view(shape) + bn.bias.view(shape)

    x = norm(F.conv2d(x, net.conv1.weight, padding=1), net.bn1).clamp(min=0)
    for stage in (net.layer1, net.layer2, net.layer3):
        for block in stage:
            x = norm(F.conv2d(x, block.conv1.weight, stride=block.conv1.stride, padding=1), block.bn1).clamp(min=0)
            x = norm(F.conv2d(x, block.conv2.weight, padding=1), block.bn2).clamp(min=0)
    return x.mean((2, 3)) @ net.fc.weight.T + net.fc.bias


def test_a_plain_net_deepens_up_to_rounding_in_evaluation_mode_only():
    net = trained(False)
    deep = deepen.deepen(net, 32, pictures())
    net.eval(), deep.eval()
    torch.testing.assert_close(deep(pictures(seed=9)), net(pictures(seed=9)), rtol=0, atol=2e-5)
    torch.testing.assert_close(naive_plain(deep, pictures(seed=9)), naive_plain(net, pictures(seed=9)), rtol=0,
                               atol=2e-5)
    torch.testing.assert_close(naive_plain(deep, pictures()), deep(pictures()), rtol=0, atol=2e-5)
    net.train(), deep.train()
    torch.testing.assert_close(deep(pictures()), net(pictures()), rtol=0, atol=1e-3)  # the batch it was set by
    assert (deep(pictures(8, seed=9)) - net(pictures(8, seed=9))).abs().max() > 1e-2  # any other


@pytest.mark.parametrize("residual", [True, False])
def test_the_deepened_net_has_the_layers_and_parameters_of_its_depth(residual):
    deep = deepen.deepen(trained(residual), 32, pictures())
    fresh = nets.cifar_resnet(32, residual=residual, width=4)
    assert {k: v.shape for k, v in deep.state_dict().items()} == {k: v.shape for k, v in fresh.state_dict().items()}
    assert deep.spec == fresh.spec
    fresh.load_state_dict(deep.state_dict())
    deep.eval(), fresh.eval()
    assert torch.equal(deep(pictures()), fresh(pictures()))


@pytest.mark.parametrize("residual", [True, False])
def test_the_net_that_is_deepened_stays_as_it_was(residual):
    net = trained(residual)
    net.train()
    before = state(net)
    deepen.deepen(net, 20, pictures())
    assert net.training and net.spec["depth"] == 14 and len(net.layer1) == 2
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())  # running statistics too


def test_the_identity_needs_inputs_that_are_not_negative():
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    zeros, ones = torch.zeros(4), torch.ones(4)
    for block in (deepen.identity_residual(4), deepen.identity_plain(4, (zeros, ones))):
        block.eval()
        assert (block(x.abs()) - x.abs()).abs().max() < 1e-5
        assert (block(x) - x).abs().max() > 1


def test_undo_inverts_a_batch_norm_whatever_its_statistics():
    bn = torch.nn.BatchNorm2d(3)
    deepen.undo(bn, torch.tensor([0.0, 5.0, -2.0]), torch.tensor([0.0, 3.0, 1e-3]))
    x = torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(bn.eval()(x), x, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_deepened_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="needs pictures"):
        deepen.deepen(nets.cifar_resnet(8, residual=False, width=4), 14)
    with pytest.raises(ValueError, match="at least the net's own, 14, got 8"):
        deepen.deepen(nets.cifar_resnet(14, width=4), 8)
    with pytest.raises(ValueError, match="6n \\+ 2"):
        deepen.deepen(nets.cifar_resnet(14, width=4), 21)
    for net in (nets.cifar_resnet(8, width=4, block="pre"), nets.mnist_simple(), torch.nn.Linear(2, 2),
                nets.cifar_resnet(8, width=4, shortcut="C"), nets.cifar_resnet(8, width=4, norm=False)):
        with pytest.raises(ValueError, match="can be deepened"):
            deepen.deepen(net, 14)
    net = nets.cifar_resnet(14, width=4)
    assert state(deepen.deepen(net, 14)).keys() == state(net).keys()


# --- a run that deepens its net ---------------------------------------------------------------------


@pytest.mark.parametrize("residual", mostly_slow([True, False], False))
def test_a_run_deepens_its_net_and_can_be_resumed_anywhere(residual):
    def run():
        return Run(nets.cifar_resnet(8, residual=residual, width=4), toy_images(), RECIPE, CPU)

    whole = run()
    rows = list(whole)
    assert whole.net.spec["depth"] == 20 and len(whole.net.layer1) == 3
    for stop in (3, 6, 7, 11):  # before, at and after; toy_images has five batches an epoch
        first, second = run(), run()
        while first.at < stop:
            first.advance()
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        list(second)
        assert second.rows == rows
        assert all(torch.equal(a, b) for a, b in zip(whole.net.parameters(), second.net.parameters(), strict=True))


def test_until_then_it_is_the_run_of_the_shallow_net_and_its_momentum_is_kept():
    grows = Run(nets.cifar_resnet(8, width=4), toy_images(), RECIPE, CPU)
    plain = Run(nets.cifar_resnet(8, width=4), toy_images(), Recipe(**{**RECIPE.to_json(), "deepen_to": 0,
                                                                        "deepen_at": 0}), CPU)
    for run in (grows, plain):
        while run.at < 6:
            run.advance()
    assert grows.rows == plain.rows and grows.recipe_id != plain.recipe_id
    grows.advance(), plain.advance()
    # the new branches add nothing in that step, so the old layers move as they would have: weights and momentum
    assert torch.equal(grows.net.conv1.weight, plain.net.conv1.weight)
    old, same = (r.optimizer.state[r.net.conv1.weight]["momentum_buffer"] for r in (grows, plain))
    assert torch.equal(old, same)


def test_a_recipe_that_cannot_deepen_its_net_says_so_at_once():
    with pytest.raises(ValueError, match="can be deepened"):
        Run(nets.cifar_resnet(8, width=4, block="pre"), toy_images(), RECIPE, CPU)
    with pytest.raises(ValueError, match="deepen_at must be a whole number"):
        Recipe(deepen_at=-1)


def test_a_run_with_a_fused_optimizer_grows_too():
    """A fused step takes a momentum of every weight or of none; new weights begin with zero, as they do without it."""
    def run(**how):
        recipe = Recipe(steps=6, batch=32, lr=0.05, drops=(), augment="none", eval_every=2, deepen_to=14, deepen_at=3)
        return list(Run(nets.cifar_resnet(8, width=4), toy_images(), recipe, Execution(device="cpu", threads=1, **how)))

    for fused, usual in zip(run(fused=True), run(), strict=True):
        assert fused["train_loss"] == pytest.approx(usual["train_loss"], rel=1e-4)
