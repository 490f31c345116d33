"""A trained net made small enough for a page: batch norm folded into the convolutions, weights in int8.

Each output channel has a scale of its own, its largest weight by absolute value / 127; biases stay float32.
"""

import base64
import hashlib

import numpy as np
import torch
import torch.nn as nn

from .. import nets, probes

LEVELS = 127


def folded(net: nn.Module) -> nn.Module:
    """The same function without batch norm: γ/σ goes into each convolution's weights, β − μγ/σ into its bias.

    Equal in evaluation mode, up to rounding. For `nets.cifar_resnet` with option A, so that every convolution is
    followed by one batch norm.
    """
    bare = nets.build({**net.spec, "norm": False}).eval()
    theirs = dict(net.named_modules())
    with torch.no_grad():
        for name, layer in probes.weight_layers(bare):
            old, norm = theirs[name], theirs.get(name.replace("conv", "bn"))
            if name == "fc":
                factor, shift = torch.ones(len(old.weight)), old.bias
            else:
                factor = norm.weight / (norm.running_var + norm.eps).sqrt()
                shift = norm.bias - norm.running_mean * factor
            layer.weight.copy_(old.weight * factor.view(-1, *[1] * (old.weight.dim() - 1)))
            layer.bias.copy_(shift)
    return bare


def int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(int8 of the weight's shape, float32 scale per output channel); weight ≈ int8 × scale."""
    rows = weight.detach().flatten(1)
    scale = (rows.abs().amax(1) / LEVELS).clamp(min=torch.finfo(torch.float32).tiny)
    return (rows / scale[:, None]).round().to(torch.int8).view_as(weight), scale


def quantized(net: nn.Module) -> tuple[nn.Module, dict[str, str]]:
    """A folded net with the rounded weights, and what holds them: base64 of int8 weights, float32 scales and biases.

    Layers follow each other as `probes.weight_layers` gives them; numbers are little-endian. ``sha256`` runs over the
    bytes of the three.
    """
    small = folded(net)
    parts: dict[str, list[np.ndarray]] = {"weights": [], "scales": [], "biases": []}
    with torch.no_grad():
        for _, layer in probes.weight_layers(small):
            q, scale = int8(layer.weight)
            layer.weight.copy_(q * scale.view(-1, *[1] * (q.dim() - 1)))
            for name, values, kind in (("weights", q, "<i1"), ("scales", scale, "<f4"), ("biases", layer.bias, "<f4")):
                parts[name].append(values.numpy().astype(kind).ravel())
    raw = {name: np.concatenate(arrays).tobytes() for name, arrays in parts.items()}
    held = {name: base64.b64encode(data).decode() for name, data in raw.items()}
    return small, held | {"sha256": hashlib.sha256(b"".join(raw.values())).hexdigest()}
