"""Weights of others in our nets: bit for bit both ways on weights made here, and the published figures where they are.

The forward passes of the others are written down once more here, as their code has them.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from conftest import ROOT, randomize_batch_norm, toy_images
from resnet_lib import data, nets, train

ORACLES = Path(os.environ.get("RESNET_LIB_ORACLES", ROOT.parent / "shared" / "oracles"))


def made(form: str, depth: int = 14):
    """One of our nets that the form can hold, with statistics and scales that are not those of the beginning."""
    net = {"pytorch_resnet_cifar10": lambda: nets.cifar_resnet(depth),
           "uvadlc": lambda: nets.cifar_resnet(depth, shortcut="B"),
           "keras": lambda: nets.keras_v1(depth, padding="keras")}[form]()
    randomize_batch_norm(net, affine=True)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, torch.nn.Conv2d | torch.nn.Linear) and m.bias is not None:
                m.bias.normal_(generator=g)
    return net.eval()


def norm(s, name, x, eps=1e-5):
    return F.batch_norm(x, s[f"{name}.running_mean"], s[f"{name}.running_var"], s[f"{name}.weight"], s[f"{name}.bias"],
                        eps=eps)


def idelbayev(s, x):
    """resnet.py of that repository: LambdaLayer(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes//4, planes//4)))."""
    s = {name.removeprefix("module."): value for name, value in s.items()}
    x = F.relu(norm(s, "bn1", F.conv2d(x, s["conv1.weight"], padding=1)))
    for stage in (1, 2, 3):
        i = 0
        while f"layer{stage}.{i}.conv1.weight" in s:
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            out = F.relu(norm(s, f"{at}.bn1", F.conv2d(x, s[f"{at}.conv1.weight"], stride=stride, padding=1)))
            out = norm(s, f"{at}.bn2", F.conv2d(out, s[f"{at}.conv2.weight"], padding=1))
            if stride == 2:
                planes = out.shape[1]
                x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, planes // 4, planes // 4), "constant", 0)
            x, i = F.relu(out + x), i + 1
    x = F.avg_pool2d(x, x.size()[3]).flatten(1)
    return F.linear(x, s["linear.weight"], s["linear.bias"])


def uvadlc(s, x):
    s = {name.removeprefix("model."): value for name, value in s.items()}
    x = F.relu(norm(s, "input_net.1", F.conv2d(x, s["input_net.0.weight"], padding=1)))
    i = 0
    while f"blocks.{i}.net.0.weight" in s:
        at, down = f"blocks.{i}", f"blocks.{i}.downsample.weight" in s
        z = F.relu(norm(s, f"{at}.net.1", F.conv2d(x, s[f"{at}.net.0.weight"], stride=2 if down else 1, padding=1)))
        z = norm(s, f"{at}.net.4", F.conv2d(z, s[f"{at}.net.3.weight"], padding=1))
        if down:
            x = F.conv2d(x, s[f"{at}.downsample.weight"], s[f"{at}.downsample.bias"], stride=2)
        x, i = F.relu(z + x), i + 1
    x = F.adaptive_avg_pool2d(x, 1).flatten(1)
    return F.linear(x, s["output_net.2.weight"], s["output_net.2.bias"])


def keras(s, x):
    """resnet_v1 of Keras' example: "same" padding pads (k - 1) // 2 before and the rest behind, of what is missing."""
    conv_at, norm_at = [0], [0]

    def conv(x, stride=1):
        name = f"conv2d_{conv_at[0]}" if conv_at[0] else "conv2d"
        conv_at[0] += 1
        kernel = s[f"{name}/kernel"].permute(3, 2, 0, 1)
        k, size = kernel.shape[-1], x.shape[-1]
        missing = max((-(-size // stride) - 1) * stride + k - size, 0)
        x = F.pad(x, (missing // 2, missing - missing // 2) * 2)
        return F.conv2d(x, kernel, s[f"{name}/bias"], stride=stride)

    def bn(x):
        name = f"batch_normalization_{norm_at[0]}" if norm_at[0] else "batch_normalization"
        norm_at[0] += 1
        part = {k: s[f"{name}/{k}"] for k in ("moving_mean", "moving_variance", "gamma", "beta")}
        return F.batch_norm(x, *part.values(), eps=1e-3)

    x = F.relu(bn(conv(x)))
    blocks = (sum(name.endswith("gamma") for name in s) - 1) // 6
    for stage in range(3):
        for i in range(blocks):
            stride = 2 if stage and i == 0 else 1
            y = F.relu(bn(conv(x, stride)))
            y = bn(conv(y))
            x = F.relu((conv(x, 2) if stride == 2 else x) + y)
    return x.mean((2, 3)) @ s["dense/kernel"] + s["dense/bias"]


THEIRS = {"pytorch_resnet_cifar10": idelbayev, "uvadlc": uvadlc, "keras": keras}


@pytest.mark.parametrize("form", nets.FORMS)
@pytest.mark.parametrize("depth", [8, 20])
def test_there_and_back_is_the_same_bit_for_bit(form, depth):
    theirs = nets.to_published(made(form, depth), form)
    net = nets.from_published(theirs)
    again = nets.to_published(net, form)
    assert theirs.keys() == again.keys() and all(torch.equal(theirs[k], again[k]) for k in theirs)
    assert net.spec["depth"] == depth and not net.training


def test_width_channels_and_classes_are_those_of_the_weights():
    for form in ("pytorch_resnet_cifar10", "uvadlc"):
        net = nets.cifar_resnet(8, width=4, in_channels=1, num_classes=7,
                                shortcut="A" if form == "pytorch_resnet_cifar10" else "B")
        spec = nets.from_published(nets.to_published(net, form)).spec
        assert spec == net.spec


@pytest.mark.parametrize("form", nets.FORMS)
def test_our_net_computes_what_their_code_computes(form):
    theirs = nets.to_published(made(form), form)
    x = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(nets.from_published(theirs)(x), THEIRS[form](theirs, x), rtol=1e-4, atol=1e-4)


def test_names_alone_load_and_are_wrong():
    """The trap: all keys match, all shapes match, and another function is computed."""
    theirs = nets.to_published(made("pytorch_resnet_cifar10"), "pytorch_resnet_cifar10")
    renamed = {name.removeprefix("module.").replace("linear.", "fc."): value for name, value in theirs.items()}
    net = nets.cifar_resnet(14)
    counts = {name: value for name, value in net.state_dict().items() if name.endswith("num_batches_tracked")}
    net.load_state_dict(renamed | counts, strict=True)
    x = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert not torch.allclose(net.eval()(x), idelbayev(theirs, x), atol=0.1)


@pytest.mark.parametrize("width, size", [("3x3", 8), ("3x3", 7)])
def test_keras_padding_shifts_the_grid_by_a_pixel(width, size):
    conv = nets.keras_v1(8, padding="keras").layer2[0].conv1
    x = torch.zeros(1, 16, size, size)
    x[..., 1, 1] = 1  # the middle of the first window with Keras' padding, and a corner of four with PyTorch's
    with torch.no_grad():
        seen = (conv(x) - conv(torch.zeros_like(x))).abs().sum(1)[0] > 0
    assert seen[0, 0] and seen.sum() == 1


@pytest.mark.parametrize("state, words", [
    ({}, "none at all"), ({"a": torch.ones(1)}, "none of the forms pytorch_resnet_cifar10, uvadlc, keras"),
    ({"linear.weight": torch.ones(10, 64)}, "depth|6n"),
    ({"dense/kernel": torch.ones(64, 10), "a/gamma": torch.ones(1)}, "depth|6n"),
])
def test_weights_of_something_else_are_refused_in_one_line(state, words):
    with pytest.raises(ValueError, match=words) as problem:
        nets.from_published(state)
    assert "\n" not in str(problem.value)


def test_missing_weights_are_named():
    for form in nets.FORMS:
        theirs = nets.to_published(made(form), form)
        name = [n for n in theirs if n.endswith(("conv2.weight", "net.3.weight", "conv2d_3/kernel"))][0]
        with pytest.raises(ValueError, match="lack|Missing") as problem:
            nets.from_published({k: v for k, v in theirs.items() if k != name})
        assert "\n" not in str(problem.value)
    with pytest.raises(ValueError, match="form must be one of"):
        nets.to_published(made("keras"), "tensorflow")


def test_files_are_read_without_running_anything(tmp_path):
    theirs = nets.to_published(made("keras", 8), "keras")
    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in theirs.items()})
    assert nets.from_published(tmp_path / "w.npz").spec["name"] == "keras_v1"
    np.savez(tmp_path / "evil.npz", **{"dense/kernel": np.array([print], dtype=object)})
    with pytest.raises(ValueError, match="allow_pickle"):
        nets.from_published(tmp_path / "evil.npz")


@pytest.mark.parametrize("normalize", ["raw", "channel", "imagenet"])
def test_pictures_are_normalized_as_torchvision_does(normalize):
    images = toy_images(60)
    run = train.Run(nets.cifar_resnet(8, width=4), images, train.Recipe(steps=1, normalize=normalize, drops=()),
                    train.Execution(device="cpu"))
    got = run.batches.normalize(images.test_x)
    x = images.test_x.float()
    if normalize == "raw":
        assert torch.equal(got, x)
        return
    from torchvision.transforms import Normalize

    z = images.train_x.numpy() / 255.0
    of = (z.mean((0, 2, 3)), z.std((0, 2, 3))) if normalize == "channel" else ((0.485, 0.456, 0.406),
                                                                            (0.229, 0.224, 0.225))
    torch.testing.assert_close(got, Normalize(*of)(x / 255), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name, error", [
    ("resnet20-12fca82f.th", 0.0827), ("resnet56-4bfd9763.th", 0.0661), ("uvadlc-resnet20.ckpt", 1 - 0.9106),
    ("mlperf-tiny-keras-resnet8.npz", 1 - 0.8719)])
def test_the_published_figures_to_the_digit(name, error):
    if not (ORACLES / name).exists() or not data.available("cifar10"):
        pytest.skip(f"needs CIFAR-10 in data/ and the weights in {ORACLES}, which are not ours to give away")
    net = nets.from_published(ORACLES / name)
    form = {"th": "pytorch_resnet_cifar10", "ckpt": "uvadlc", "npz": "keras"}[name.rpartition(".")[2]]
    found, _ = train.evaluate(net, data.load("cifar10"), nets.INPUTS[form])
    assert round(found, 4) == pytest.approx(error, abs=1e-9)
