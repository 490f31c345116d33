"""What a block moves, against counting by hand; its time, taken apart."""

import pytest
import torch
import torch.nn as nn

from resnet_lib import blocks
from resnet_lib.lab import profiling


def by_hand(c_in, c_out, size, width=None, stride_in=None):
    """Reads and writes of one block, layer by layer; width: of a bottleneck; stride_in: where its stride 2 is."""
    half = size // 2 if stride_in else size
    first = half if stride_in == "1x1" else size
    if width is None:  # basic: the stride is on the first 3×3
        steps = [(c_in, size, c_out, half, True), (c_out, half, c_out, half, False)]
    else:
        steps = [(c_in, size, width, first, True), (width, first, width, half, True),
                 (width, half, c_out, half, False)]
    if stride_in:
        steps.append((c_in, size, c_out, half, False))  # the projection
    total = 5 * c_out * half**2  # + reads two and writes one, ReLU reads and writes
    for a, before, b, after, relu in steps:
        total += a * before**2 + b * after**2 + (4 if relu else 2) * b * after**2
    return total


@pytest.mark.parametrize("stride_in", [None, "3x3", "1x1"])
def test_numbers_moved_are_those_counted_by_hand(stride_in):
    stride, c_in = (2, 32) if stride_in else (1, 64)
    bottleneck = blocks.Bottleneck(c_in, 16, stride, stride_in=stride_in or "3x3")
    basic = blocks.BasicBlock(c_in, 64, stride)
    assert profiling.moved(bottleneck, (c_in, 8, 8)) == by_hand(c_in, 64, 8, 16, stride_in)
    assert profiling.moved(basic, (c_in, 8, 8)) == by_hand(c_in, 64, 8, None, stride_in)


class Takes(nn.Module):
    """Takes so many seconds of a clock that stands still otherwise."""

    def __init__(self, clock, seconds):
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def forward(self, x):
        self.clock[0] += self.seconds
        return x + 1


def test_parts_are_where_the_time_goes(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(profiling, "perf_counter", lambda: clock[0])
    net = nn.Sequential(Takes(clock, 0.25), nn.Sequential(Takes(clock, 2.0), nn.Identity()))
    net.register_forward_hook(lambda *_: clock.__setitem__(0, clock[0] + 0.5))  # in no layer
    handles = [len(m._forward_hooks) for m in net.modules()]
    parts = profiling.part_times({"net": (net, torch.zeros(1, 1, 2, 2))}, rounds=3, warmup=1)["net"]
    assert parts.seconds == {"0": 0.25, "1.0": 2.0, "1.1": 0.0}
    assert parts.whole == 2.75 and parts.rest == 0.5
    assert [len(m._forward_hooks) for m in net.modules()] == handles  # nothing stays behind


def test_memory_given_back_has_to_be_handed_out_again():
    net = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
    x = torch.randn(4, 8, 128, 128)  # 2 MB a feature map
    found = profiling.memory_regimes({"net": (net, x)}, turns=2, rounds=9)
    if found is None or profiling.pages_handed_out() is None:
        pytest.skip("this system counts no pages, or its allocator has no such switch")
    kept, fresh = ([parts["net"].pages for parts in found[name]] for name in ("kept", "given back"))
    assert len(kept) == len(fresh) == 2
    # A page is 4 KB, so a feature map has 512. Kept memory too may now and then be used for the first time, since the
    # allocator chooses among free pieces: in single passes, so the median of nine is not moved by it.
    assert min(fresh) > 400 and max(kept) < min(fresh) / 4


def test_without_the_switch_nothing_is_measured(monkeypatch):
    monkeypatch.setattr(profiling.sys, "platform", "darwin")
    assert profiling.keep_memory() is False and profiling.memory_regimes({}) is None
    profiling.give_back_memory()  # does nothing, and says nothing
