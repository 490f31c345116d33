"""What a net costs: parameters and multiply–accumulates (MACs) for one picture."""

from dataclasses import dataclass
import copy

import torch
import torch.nn as nn


@dataclass(frozen=True)
class Cost:
    """What a net costs for one picture: parameters, MACs, and the output shape of each stage."""

    parameters: int
    macs: int
    stages: tuple[tuple[str, tuple[int, ...]], ...]


def cost(net: nn.Module, input_shape: tuple[int, int, int]) -> Cost:
    """Count parameters, multiply–accumulates (torch.utils.flop_counter counts two operations each)
    and the shape ``(C, H, W)`` after every top-level stage, for one picture of ``input_shape``."""
    from torch.utils.flop_counter import FlopCounterMode

    shadow = copy.deepcopy(net).to("meta", torch.float32).eval()  # shapes without arithmetic
    seen: list[tuple[str, tuple[int, ...]]] = []
    for name, child in shadow.named_children():
        if not isinstance(child, (nn.Identity, nn.BatchNorm2d)):  # those change no shape
            child.register_forward_hook(lambda _m, _i, out, name=name: seen.append((name, tuple(out.shape[1:]))))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(1, *input_shape, device="meta", dtype=torch.float32))
    parameters = sum(p.numel() for p in net.parameters())
    return Cost(parameters, counter.get_total_flops() // 2, tuple(seen))
