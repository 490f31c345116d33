"""Measurements inside a net. None of them changes the net, its gradients or its statistics."""

from contextlib import contextmanager
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .surroundings import standard

LAYER_FIELDS = ("weight_norm", "weight_grad_norm", "output_std", "output_grad_norm")


@contextmanager
def undisturbed(net: nn.Module):
    """Put buffers (BN statistics), gradients and the train/eval mode back as they were."""
    buffers = {name: value.clone() for name, value in net.named_buffers()}
    grads = [(p, p.grad) for p in net.parameters()]
    modes = [(m, m.training) for m in net.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in net.named_buffers():
                value.copy_(buffers[name])
        for p, grad in grads:
            p.grad = grad
        for m, mode in modes:
            m.training = mode


def weight_layers(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """The layers that count for depth: convolutions and linear layers on the main path, first to last."""
    return [(name, m) for name, m in net.named_modules()
            if isinstance(m, (nn.Conv2d, nn.Linear)) and "downsample" not in name]


def run_watched(net: nn.Module, x: Tensor, kinds: type | tuple[type, ...]) -> tuple[object, list[nn.Module]]:
    """The net's output for ``x``, and its layers of these kinds in the order in which they ran."""
    ran: list[nn.Module] = []
    handles = [m.register_forward_hook(lambda m, _inputs, _out: ran.append(m)) for m in net.modules()
               if isinstance(m, kinds)]
    try:
        return net(x), ran
    finally:
        for handle in handles:
            handle.remove()


@standard()
def layer_norms(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, list]:
    """Norms per weight layer for one batch, in training mode (batch statistics).

    x: float ``(N, C, H, W)``, as the net wants it; y: int64 ``(N,)``. Returns lists of equal length:
    ``layer`` (name), ``weight_norm`` ‖W‖, ``weight_grad_norm`` ‖∂L/∂W‖, ``output_std`` (standard
    deviation of the layer's output before any batch norm) and ``output_grad_norm`` ‖∂L/∂output‖,
    all Euclidean, L the mean cross-entropy. He15 §4.1 speaks of the last; the scale-free reading
    under batch norm is ‖∂L/∂W‖ · ‖W‖ (see the chapter *degradation*).
    """
    layers = weight_layers(net)
    outputs: dict[str, Tensor] = {}

    def keep(name):
        def hook(_module, _inputs, out):
            out.retain_grad()
            outputs[name] = out
        return hook

    with undisturbed(net):
        handles = [m.register_forward_hook(keep(name)) for name, m in layers]
        try:
            net.train()
            net.zero_grad(set_to_none=True)
            F.cross_entropy(net(x), y).backward()
        finally:
            for handle in handles:
                handle.remove()
        rows = [torch.stack([m.weight.detach().norm(), m.weight.grad.norm(),
                             outputs[name].detach().std(), outputs[name].grad.norm()])
                for name, m in layers]
        table = torch.stack(rows).double().cpu().T
    result: dict[str, list] = {"layer": [name for name, _ in layers]}
    for field, values in zip(LAYER_FIELDS, table, strict=True):
        # six digits are more than any figure shows, and keep a record small
        result[field] = [float(f"{v:.6g}") if math.isfinite(v) else None for v in values.tolist()]
    return result


@standard()
@torch.no_grad()
def block_changes(net: nn.Module, x: Tensor) -> list[dict[str, float | str]]:
    """How much each block of unchanged shape changes its input, for one batch in training mode.

    x: float ``(N, C, H, W)``, as the net wants it. One dict a block, first to last: ``block`` (name),
    ``change`` ‖H(x) − x‖ / ‖x‖ for the block's output H(x), ``branch`` ‖F(x)‖ / ‖x‖ for what it computes
    before the addition (before the last ReLU in a plain block), and ``branch_std``, the standard deviation
    of F(x), the "layer response" of He15 §4.2. Norms are Euclidean, over all entries of the batch.
    """
    rows = []

    def keep(name):
        def hook(block, inputs, out):
            before = inputs[0]
            if out.shape == before.shape:
                with undisturbed(block):  # F is computed once more, and would move the running statistics again
                    branch = block.residual(before)
                rows.append({"block": name, "change": ((out - before).norm() / before.norm()).item(),
                             "branch": (branch.norm() / before.norm()).item(), "branch_std": branch.std().item()})
        return hook

    handles = [m.register_forward_hook(keep(name)) for name, m in net.named_modules() if hasattr(m, "residual")]
    try:
        with undisturbed(net):
            net.train()
            net(x)
    finally:
        for handle in handles:
            handle.remove()
    return rows
