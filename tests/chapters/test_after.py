"""The blocks and nets of the chapter "Before and after" against torchvision, PyTorch and the library; its runs."""

import ast
from statistics import fmean

import pytest
import torch
import torchvision
from torch import nn

from parser import CodeCell
from conftest import randomize_batch_norm, the_book
from resnet_lib import blocks, experiments, nets, plots
from resnet_lib.nets import relatives

NAME = "chapters/after"


@pytest.fixture(scope="module")
def page():
    """What the page's visible cells define: functions, classes and imports, without what they print or run."""
    names: dict = {}
    for cell in the_book().pages[NAME].walk(CodeCell):
        if not cell.hidden:
            kept = [node for node in ast.parse(cell.code).body
                    if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef)]
            exec(compile(ast.Module(kept, []), NAME, "exec"), names)  # noqa: S102
    return names


def agree(mine: nn.Module, theirs: nn.Module, x: torch.Tensor) -> bool:
    """The same weights, then the same outputs in both modes, to the last bit; gradients but for rounding."""
    randomize_batch_norm(mine, affine=True)
    names = dict.fromkeys(mine.state_dict())
    if names.keys() == theirs.state_dict().keys():
        names = {name: name for name in names}
    else:
        names = dict(zip(names, theirs.state_dict(), strict=True))
    theirs.load_state_dict({names[k]: v for k, v in mine.state_dict().items()})
    outputs, gradients = [], []
    for net in (mine, theirs):
        inputs = x.clone().requires_grad_()
        outputs.append([net.eval()(x), net.train()(inputs)])
        outputs[-1][1].square().sum().backward()
        gradients.append({"x": inputs.grad} | {k: p.grad for k, p in net.named_parameters()})
    return (all(map(torch.equal, *outputs)) and len(gradients[0]) == len(gradients[1])
            and all(torch.allclose(g, gradients[1][names.get(k, k)], 1e-3, 1e-4) for k, g in gradients[0].items()))


def pictures(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("c_in, c_out, stride", [(8, 8, 1), (8, 16, 2), (8, 16, 1)])
def test_small_blocks_are_the_library_s(page, c_in, c_out, stride):
    x, shape = pictures(3, c_in, 7, 6), (c_in, c_out, stride)
    assert agree(page["Residual"](*shape), blocks.BasicBlock(*shape, "A"), x)
    assert agree(page["PreActivation"](*shape), blocks.PreActBlock(*shape), x)
    assert agree(page["Highway"](*shape), relatives.HighwayBlock(*shape), x)
    excited = page["Residual"](*shape)
    excited.bn2 = nn.Sequential(excited.bn2, page["Excite"](c_out, 4))
    assert agree(excited, relatives.SEBlock(*shape, ratio=4), x)


def test_a_wide_block_is_a_pre_activation_block_with_option_b(page):
    x = pictures(3, 8, 7, 6)
    wide, ours = page["Wide"](8, 16, 2), blocks.PreActBlock(8, 16, 2, "B")
    state = {k.replace("project", "downsample"): v for k, v in wide.state_dict().items()}
    ours.load_state_dict(state)
    assert torch.equal(wide(x), ours(x))


def test_dense_layers_are_the_library_s_and_torchvision_s(page):
    x = pictures(2, 12, 5, 5)
    assert agree(page["Dense"](12, 4), relatives.DenseLayer(12, 4), x)
    mine = nn.Sequential(*[page["Dense"](64 + j * 32, 32) for j in range(6)])
    assert agree(mine, torchvision.models.densenet121().features.denseblock1, pictures(2, 64, 5, 5))


def test_the_grouped_bottleneck_is_torchvision_s(page):
    theirs = torchvision.models.resnext50_32x4d()
    assert agree(page["Grouped"](256, 128, 2), theirs.layer2[0], pictures(2, 256, 6, 6))


def test_the_block_of_convnext_is_torchvision_s(page):
    mine = page["Next"](16)
    nn.init.uniform_(mine.scale)
    assert agree(mine, torchvision.models.convnext.CNBlock(16, 1e-6, 0.0), pictures(2, 16, 9, 9))


@pytest.mark.parametrize("pre", [False, True])
def test_the_transformer_s_layer_is_pytorch_s(page, pre):
    theirs = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True, norm_first=pre)
    x = pictures(2, 5, 16)
    assert torch.allclose(page["layer"](theirs, x, pre), theirs(x), atol=1e-6)
    assert not torch.allclose(page["layer"](theirs, x, not pre), theirs(x), atol=1e-2)


WHOLE = {"resnext": (lambda p: p["imagenet"](p["Grouped"]), torchvision.models.resnext50_32x4d, 25_028_904),
         "densenet": (lambda p: p["densenet121"](), torchvision.models.densenet121, 7_978_856),
         "convnext": (lambda p: p["convnext"](), torchvision.models.convnext_tiny, 28_589_128)}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_net_is_torchvision_s(page, name):
    make, theirs, parameters = WHOLE[name]
    mine, theirs = make(page).eval(), theirs().eval()
    assert sum(p.numel() for p in mine.parameters()) == parameters
    mine.load_state_dict(dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True)))
    with torch.no_grad():
        x = pictures(1, 3, 64, 64)
        assert torch.allclose(mine(x), theirs(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make, side, key, parameters", [
    (lambda p: p["wrn"](), 32, "zagoruyko16-sizes", 36_479_194),
    pytest.param(lambda p: p["dense_bc_100"](), 32, "huang17-sizes", 769_162, marks=pytest.mark.slow),
    pytest.param(lambda p: p["imagenet"](p["excited"]), 224, "hu18-sizes", 28_088_024, marks=pytest.mark.slow)])
def test_what_torchvision_does_not_have_has_the_paper_s_size(page, make, side, key, parameters):
    (theirs,) = plots.published()[key]["values"].values()
    with torch.device("meta"):
        cost = nets.cost(make(page), (3, side, side))
    assert cost.parameters == parameters
    assert round(cost.parameters / 1e6, 1) * 1e6 == pytest.approx(theirs["parameters"])
    assert cost.macs == pytest.approx(theirs.get("macs", cost.macs), rel=0.005)


def test_the_library_s_dense_net_is_the_page_s(page):
    ours, mine = ([p.shape for p in net.parameters()] for net in (nets.dense_net(16, 12), page["dense_bc_100"]()))
    assert ours == mine


# --- the runs


def variants():
    return experiments.EXPERIMENTS["relatives"].tiers["quick"].variants


def test_the_nets_have_equal_arithmetic_within_a_tenth():
    macs = {name: nets.cost(nets.build(v.net), (3, 12, 12)).macs for name, v in variants().items()}
    assert all(abs(m / macs["residual-14"] - 1) < 0.1 for m in macs.values()), macs


def test_which_pairs_share_their_first_weights_and_their_order():
    """All of a run comes from one generator: what nets of the same shapes draw is the same, and then the order."""
    drawn = {}
    for name, v in variants().items():
        generator = torch.Generator().manual_seed(0)
        nets.init_weights(nets.build(v.net), "he", generator)
        drawn[name] = generator.get_state()
    same = {name for name, state in drawn.items() if torch.equal(state, drawn["residual-14"])}
    assert same == {"residual-14", "plain-14", "pre-14"}


@pytest.mark.slow
def test_the_plain_control_is_worse(both_homes):
    found = plots.finals(experiments.run("relatives", "quick", (0, 1, 2), ["residual-14", "plain-14"]), "train_error")
    assert fmean(found["plain-14"]) > fmean(found["residual-14"]) + 0.01


def test_the_criterion(page):
    """By hand: differences 1, 2, 3 have mean 2 and deviation 1, which is not more than twice; 3, 4, 5 are."""
    assert not page["differs"]([1, 2, 3], [0, 0, 0]) and page["differs"]([3, 4, 5], [0, 0, 0])
    assert page["differs"]([-3, -4, -5], [0, 0, 0]) and not page["differs"]([9, -9, 9], [0, 0, 0])


