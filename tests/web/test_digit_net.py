"""The digit net's forward pass in JavaScript, against PyTorch, and the weights it reads, against the recorded ones."""

import base64
import hashlib
import json
import shutil
import subprocess

import numpy as np
import pytest
import torch

from conftest import ROOT
from digit_oracle import FILE, cases, expected, from_file, held, pictures
from resnet_lib import records
from resnet_lib.experiments import weights
from resnet_lib.lab import quantize

NODE = """
require(process.argv[1]);
const { data, cases } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const net = DigitNet.load(data);
console.log(JSON.stringify(cases.map(([pixels, off]) =>
  DigitNet.logits(net, Float32Array.from(pixels), (k) => off.includes(k)))));
"""


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
@pytest.mark.slow
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
