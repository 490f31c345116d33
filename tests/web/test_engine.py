"""The playground's engine in Node, against PyTorch."""

import json
import shutil
import subprocess

import pytest
import torch

import engine_oracle

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed; Chromium runs the same cases")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def node(script, *values):
    """The JSON value of a JavaScript expression in which `values` is an array."""
    done = subprocess.run(
        [NODE, "-e", f"{engine_oracle.SCRIPT}\nconst values = JSON.parse(require('fs').readFileSync(0, 'utf8'));"
                     f"process.stdout.write(JSON.stringify({script}));"],
        input=json.dumps(values), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("kind", engine_oracle.TOLERANCE)
def test_passes_gradients_and_updates_are_those_of_pytorch(kind):
    specs = engine_oracle.cases()
    answers = node(f"values[0].map((spec) => ({engine_oracle.COMPUTE})(spec, values[1]))", specs, kind)
    by_spec = dict(zip(map(json.dumps, specs), answers, strict=True))
    worst = engine_oracle.disagreements(lambda spec, _: by_spec[json.dumps(spec)], kind)
    assert not worst, [len(worst), *worst[:10]]
