"""The functions of the chapter "Using a ResNet" against closed forms and loops, and what it says of its nets."""

import ast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from conftest import the_book
from parser import CodeCell
from resnet_lib.exercises import using

KEPT = ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef
CONSTANTS = {"digits", "LABELS", "SEEDS", "x28"}


@pytest.fixture(scope="module")
def page():
    """What the page's visible cells define: functions and a few constants, without what they print or run."""
    names: dict = {}
    for cell in the_book().pages["chapters/using"].walk(CodeCell):
        if not cell.hidden:
            kept = [node for node in ast.parse(cell.code).body if isinstance(node, KEPT)
                    or isinstance(node, ast.Assign) and ast.unparse(node.targets[0]).strip("()") in
                    CONSTANTS | {"LABELS, SEEDS", "X, X_test", "near, _"}]
            exec(compile(ast.Module(kept, []), "using", "exec"), names)  # noqa: S102
    return names


# --- what the page writes itself


def test_the_probe_is_least_squares_with_rows_for_the_penalty(page):
    """λ‖W‖² is the squared error of rows √λ · I that want to be zero."""
    g = torch.Generator().manual_seed(0)
    z, y = torch.randn(30, 5, generator=g), torch.arange(30) % 10
    Z = np.hstack([((z - z.mean(0)) / z.std(0)).numpy(), np.ones((30, 1))])
    T = np.eye(10)[y]
    rows, zeros = np.sqrt(0.1 * 30) * np.eye(6), np.zeros((6, 10))
    W = np.linalg.lstsq(np.vstack([Z, rows]), np.vstack([T, zeros]), rcond=None)[0]
    assert np.allclose(page["probe"](z, y)(z).numpy(), Z @ W, atol=1e-4)


def test_a_feature_that_never_changes_does_no_harm(page):
    z = torch.randn(20, 3)
    z[:, 1] = 0.0
    answer = page["probe"](z, torch.arange(20) % 10)
    assert torch.isfinite(answer(torch.randn(5, 3))).all()


def test_features_and_head_are_the_net(page):
    net, _ = page["start"]("untrained", 0)
    x = torch.rand(4, 1, 20, 20)
    z = page["features"](net, x)
    assert z.shape == (4, 32) and torch.equal(net.fc(z), net.eval()(x)) and isinstance(net.fc, nn.Linear)


def test_labels_are_balanced_and_more_begin_with_fewer(page):
    y = page["digits"].train_y
    many = page["few"](25, 1)
    assert y[many].bincount().tolist() == [25] * 10 and len(set(many.tolist())) == 250
    chosen = many[torch.arange(250).view(10, 25)[:, :8].flatten()]
    assert torch.equal(chosen, page["few"](8, 1)) and not torch.equal(many, page["few"](25, 2))


def test_the_criterion(page):
    """By hand: d = −1, −2, −3 has mean −2 and standard error 1/√3; d = −4, 0, 1 has mean −1 and 2.6/√3."""
    assert page["beats"]([0, 0, 0], [1, 2, 3]) and not page["beats"]([1, 2, 3], [0, 0, 0])
    assert not page["beats"]([0, 0, 0], [4, 0, -1])


def test_the_loop_gives_the_same_net_twice_and_leaves_pictures_alone(page):
    x, y, states = torch.rand(30, 1, 8, 8), torch.arange(30) % 10, []
    before = x.clone()
    for _ in range(2):
        net, _ = page["start"]("untrained", 3)
        states.append(page["tuned"](net, x, y, 0.05, seed=1, steps=3).state_dict())
        assert not net.training
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0]) and torch.equal(x, before)


def test_statistics_of_the_target_are_those_of_its_pictures(page):
    net = nn.Sequential(nn.BatchNorm2d(1))
    x = 3 + 2 * torch.randn(50, 1, 4, 4)
    page["settled"](net, x)
    assert torch.allclose(net[0].running_mean, x.mean()) and torch.allclose(net[0].running_var, x.var())


# --- a picture of one's own


@pytest.mark.parametrize("dark", [False, True])
def test_a_file_is_read_as_the_picture_it_came_from(page, tmp_path, dark):
    x = page["digits"].test_x[:1]
    ink = nn.functional.interpolate(x.float(), size=64)[0, 0].byte().numpy()
    Image.fromarray(255 - ink if dark else ink).save(tmp_path / "x.png")
    got = page["read"](tmp_path / "x.png")
    assert got.shape == (1, 1, 28, 28) and got.min() == 0 and got.max() <= 1
    assert page["near"](got).argmax() == page["near"](page["framed"](x, 20, 4)).argmax()


@pytest.mark.parametrize("size", [(200, 20), (4, 4)])
def test_other_shapes_are_refused_in_words(page, tmp_path, size):
    Image.new("RGB", size).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match="about square"):
        page["read"](tmp_path / "x.png")


# --- what the page says of its nets


def probes(page, way, frame, seed):
    """Test errors of the probe at the numbers of labels."""
    many = page["few"](25, seed)
    x = page["framed"](torch.cat([page["digits"].train_x[many], page["digits"].test_x]), *frame)
    z = page["seen"](way, seed, x)
    found = []
    for n in page["LABELS"]:
        i = torch.arange(250).view(10, 25)[:, :n].flatten()
        head = page["probe"](z[i], page["digits"].train_y[many[i]])
        found.append(page["error"](head(z[250:])))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("frame", [(16, 2), (20, 4)])
def test_a_near_source_helps_and_a_far_one_loses_to_pixels(page, frame):
    found = {way: list(zip(*(probes(page, way, frame, seed) for seed in page["SEEDS"]), strict=True))
             for way in ("pixels", "untrained", "clothes", "digits")}
    for k in range(len(page["LABELS"])):
        assert all(page["beats"](found["digits"][k], found[c][k]) for c in ("pixels", "untrained"))
        assert page["beats"](found["pixels"][k], found["clothes"][k])


@pytest.mark.slow
def test_the_mistakes_do_what_the_page_says(page):
    near, x, y = page["near"], page["x28"], page["digits"].test_y
    right = page["answers"](near, x)
    errors = (right != y).float().mean()
    assert errors < 0.1 and torch.equal(page["answers"](near, x, 7), right)
    for wrong in (255 * x, 1 - x, page["framed"](page["digits"].test_x, 28, 0)):
        assert (page["answers"](near, wrong) != y).float().mean() > errors + 0.3
    order = y.argsort()
    assert (page["answers"](page["busy"](), x[order], 32) != y[order]).float().mean() > errors + 0.3
    fitted = page["settled"](page["busy"](), page["framed"](page["digits"].train_x[:200], 20, 4))
    assert (page["answers"](fitted, x) != y).float().mean() < errors
    assert not near.training


@pytest.mark.slow
def test_an_exported_net_is_the_net(page):
    program = torch.export.export(page["near"], (page["x28"][:2],), strict=False,
                                  dynamic_shapes={"x": {0: torch.export.Dim("n")}})
    with torch.no_grad():
        for n in (1, 5):
            assert torch.equal(program.module()(page["x28"][:n]), page["near"](page["x28"][:n]))
        with pytest.raises(Exception, match="28"):
            program.module()(page["x28"][:2, :, 4:24, 4:24])


def test_the_numbers_of_the_reading_exercise_are_those_in_the_text():
    shown = [[f"{v:.3g}" for v in mean] for mean, _ in using.statistics()]
    assert shown[1] == ["-2.12", "-2.04", "-1.8"] and shown[3] == ["-0.345", "0", "0.351"]
    assert [round(v) for v in using.statistics()[4][0]] == [124, 116, 104]
