"""Folding and rounding of nets, and the digit net's forward pass in JavaScript, against PyTorch."""

import base64
import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from conftest import ROOT, randomize_batch_norm
from resnet_lib import data, nets, records
from resnet_lib.experiments import weights
from resnet_lib.lab import lesions, quantize

FILE = ROOT / "data" / "lesions" / "digits.json"
NODE = """
require(process.argv[1]);
const { data, cases } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const net = DigitNet.load(data);
console.log(JSON.stringify(cases.map(([pixels, off]) =>
  DigitNet.logits(net, Float32Array.from(pixels), (k) => off.includes(k)))));
"""


def held() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8"))


def from_file() -> nn.Module:
    """The net of the page's data file, read by numbers alone."""
    content = held()
    net = nets.cifar_resnet(content["depth"], width=content["width"], in_channels=1, norm=False).eval()
    raw = {name: bytearray(base64.b64decode(content[name])) for name in ("weights", "scales", "biases")}
    q = torch.frombuffer(raw["weights"], dtype=torch.int8).float()
    scales, biases = (torch.frombuffer(raw[name], dtype=torch.float32) for name in ("scales", "biases"))
    at = channel = 0
    with torch.no_grad():
        for layer in (m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))):
            n, here = layer.weight.numel(), slice(channel, channel + len(layer.bias))
            shape = (-1, *[1] * (layer.weight.dim() - 1))
            layer.weight.copy_(q[at: at + n].view_as(layer.weight) * scales[here].view(shape))
            layer.bias.copy_(biases[here])
            at, channel = at + n, here.stop
    assert at == len(q) and channel == len(scales) == len(biases)
    return net


def pictures(n=100) -> torch.Tensor:
    """scikit-learn's digits as the net wants them: 20 × 20 pixels in the middle of 28 × 28."""
    return F.pad(data.load("digits").resize(20).test_x[:n], (4,) * 4).float() / 255


def cases() -> list[tuple[list[float], list[int]]]:
    """100 whole nets and 60 lesioned ones: pixels, and the places of the blocks that are off."""
    x = [row.flatten().tolist() for row in pictures()]
    some = [[k for k in range(9) if 37 * (i + 1) >> k & 1] for i in range(60)]
    return [(pixels, []) for pixels in x] + [(x[i], off) for i, off in enumerate(some)]


@torch.no_grad()
def expected() -> torch.Tensor:
    net, x = from_file(), pictures()
    found = list(net(x))
    for i, (_, off) in enumerate(cases()[100:]):
        kept = [(k not in off,) for k in range(9)]
        (_, out), = lesions.walk(lesions.blocks(net), lesions.stem(net, x[i:i + 1]), kept)
        found.append(lesions.head(net, out)[0])
    return torch.stack(found)


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_logits_in_node_are_those_of_pytorch():
    done = subprocess.run(["node", "-e", NODE, str(ROOT / "web" / "elements" / "digitnet.js")], text=True, timeout=300,
                          input=json.dumps({"data": held(), "cases": cases()}), capture_output=True)
    assert done.returncode == 0, done.stderr
    ours = torch.tensor(json.loads(done.stdout))
    assert ours.shape == (160, 10) and ours[:100].argmax(1).unique().numel() == 10
    assert (ours - expected()).abs().max() < 1e-3


def test_the_file_holds_the_recorded_weights():
    content = held()
    raw = b"".join(base64.b64decode(content[name]) for name in ("weights", "scales", "biases"))
    assert hashlib.sha256(raw).hexdigest() == content["sha256"]
    record = records.read(ROOT / content["origin"]["record"])
    assert record.recipe_id == content["origin"]["recipe_id"] and not content["origin"]["dirty"]
    small, again = quantize.quantized(weights.load(record, ROOT / content["origin"]["weights"]))
    for name, kind in (("weights", "i1"), ("scales", "<f4"), ("biases", "<f4")):
        ours, theirs = (np.frombuffer(base64.b64decode(file[name]), kind).astype(float) for file in (content, again))
        # folding rounds in the last digit as the processor does; a weight in the middle of two whole numbers follows
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1 if kind == "i1" else 1e-7, err_msg=name)
        assert (ours != theirs).mean() < 1e-3 or kind != "i1"
    assert torch.allclose(small(pictures(5)), from_file()(pictures(5)), atol=1e-3)
    assert FILE.stat().st_size < 300_000


@pytest.mark.parametrize("residual", [True, False])
def test_folding_keeps_the_function(residual):
    torch.manual_seed(0)
    net = nets.cifar_resnet(14, residual=residual, width=4, in_channels=1).double()
    randomize_batch_norm(net, affine=True)
    x = torch.randn(4, 1, 12, 12).double()
    bare = quantize.folded(net.eval()).double()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in bare.modules())
    assert torch.allclose(bare(x), net(x), rtol=1e-4, atol=1e-4)  # folded weights are float32


def test_rounding_is_to_the_nearest_of_255_levels():
    torch.manual_seed(0)
    w = torch.randn(5, 3, 3, 3) * torch.tensor([1e-3, 1, 50, 1, 0]).view(-1, 1, 1, 1)
    q, scale = quantize.int8(w)
    assert q.dtype == torch.int8 and q.abs().amax((1, 2, 3)).tolist() == [127] * 4 + [0]
    assert ((q * scale.view(-1, 1, 1, 1) - w).abs() <= scale.view(-1, 1, 1, 1) * 0.5001).all()
