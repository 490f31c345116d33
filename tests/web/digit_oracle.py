"""The digit net of the page in PyTorch, and the cases on which the two are compared."""

from pathlib import Path
import base64
import json

import torch
import torch.nn as nn
import torch.nn.functional as F

from resnet_lib import data, nets
from resnet_lib.lab import lesions

FILE = Path(__file__).resolve().parents[2] / "data" / "lesions" / "digits.json"


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
