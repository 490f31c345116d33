"""What the chapter on the residual block says: exactly where it can be exact, and of its own runs on both data."""

import pytest
import torch
import torch.nn.functional as F

from resnet_lib import experiments, nets, plots


def rule_errors(block, last, scale=1.0, blocks=8):
    """Relative errors of x_L = x_l + ΣF and of its gradient, 64-bit; F is caught inside the blocks."""
    torch.manual_seed(0)
    net = nets.cifar_resnet(6 * (blocks + 1) + 2, width=4, block=block).double()
    caught = []
    for b in net.layer3[1:]:
        getattr(b, last).register_forward_hook(lambda _m, _i, out: caught.append(out))
    x = torch.randn(8, 16, 4, 4, dtype=torch.float64).relu().requires_grad_()
    h = x
    for b in net.layer3[1:]:
        h = b(h) + (scale - 1) * h
    loss = F.cross_entropy(net.fc(F.relu(net.tail(h)).mean((2, 3))), torch.arange(8))
    g, = torch.autograd.grad(loss, h, retain_graph=True)
    through, = torch.autograd.grad(sum(caught), x, g, retain_graph=True)
    true, = torch.autograd.grad(loss, x)
    return ((x + sum(caught) - h).norm() / h.norm()).item(), ((g + through - true).norm() / true.norm()).item()


def test_the_sum_and_its_gradient_hold_for_pre_activation_to_rounding():
    assert max(rule_errors("pre", "conv2")) < 1e-13


@pytest.mark.parametrize("case", [("post", "bn2"), ("pre", "conv2", 0.9)])
def test_they_fail_where_the_chapter_says_so(case):
    assert min(rule_errors(*case)) > 0.02


def test_torchvisions_zero_gamma_makes_blocks_the_identity_of_what_is_not_negative():
    import torchvision

    net = torchvision.models.resnet18(zero_init_residual=True).eval()
    for b in net.modules():
        if isinstance(b, torchvision.models.resnet.BasicBlock):
            z = torch.randn(2, b.conv1.in_channels, 8, 8)
            assert torch.equal(b(z), F.relu(z if b.downsample is None else b.downsample(z)))


def test_the_chapter_names_variants_that_exist():
    for name in ("shortcut_kinds", "in_place"):
        assert set(experiments.EXPERIMENTS[name].tiers) == {"quick", "short"}
    short = experiments.EXPERIMENTS["shortcut_kinds"].tiers["short"].variants
    assert set(short) == set(plots.published()["he16-table1"]["values"])


def test_at_quick_the_identity_is_residual_20_of_degradation():
    """The page draws the two in one figure: everything but the shortcut must be the same."""
    ours, base = (experiments.get(*names)[1] for names in (("shortcut_kinds", "quick"), ("degradation", "quick")))
    assert (ours.recipe, ours.size, ours.n_train, ours.n_test) == (base.recipe, base.size, base.n_train, base.n_test)
    width = base.variants["residual-20"].net["width"]
    assert {(v.net["depth"], v.net["width"]) for v in ours.variants.values()} == {(20, width)}


@pytest.fixture(scope="module")
def records(both_homes):
    found = experiments.run("shortcut_kinds", "quick", (0,), ["gated-6", "gated-0"])
    return {r.variant: r for r in found}


@pytest.mark.slow
def test_a_gate_that_begins_open_trains_better_than_one_that_begins_half_shut(records):
    open_, shut = (sum(r.column("train_error")) / len(r.rows) for r in (records["gated-6"], records["gated-0"]))
    assert open_ < shut - 0.02
