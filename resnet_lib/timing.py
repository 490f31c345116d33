"""Measuring speed: interleaved rounds of contenders, and the convolutions of a net timed alone.

    t = compare({"loop": loop.step, "ours": run.step}, steps=5, rounds=5)
    ratio(t["ours"], t["loop"]).median          # how many times faster ours is
    roofline(net, batch=128, shape=(3, 32, 32)).seconds  # what no step of this net can beat here
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
import copy
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from .recipe import PRECISIONS
from .surroundings import standard

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True)
class Timing:
    """Seconds per step, one value a round; of `ratio`, how many times faster, one value a round."""

    rounds: tuple[float, ...]

    @property
    def n(self) -> int:
        """The number of rounds."""
        return len(self.rounds)

    @property
    def median(self) -> float:
        return median(self.rounds)

    @property
    def low(self) -> float:
        return min(self.rounds)

    @property
    def high(self) -> float:
        return max(self.rounds)


def wait_for(device: torch.device | str) -> None:
    """Return when the device has done all it was told: a GPU's work goes on after the call that asked for it."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def seconds_of(work: Callable[[], object], device: torch.device | str = "cpu") -> float:
    """Wall time of ``work()`` in seconds, with the device idle before and after."""
    wait_for(device)
    start = perf_counter()
    work()
    wait_for(device)
    return perf_counter() - start


def repeat(step: Callable[[], object], steps: int) -> None:
    """Call ``step`` so many times."""
    for _ in range(steps):
        step()


def stretch(step: Callable[[], object], steps: int, device: torch.device | str = "cpu") -> float:
    """Seconds per step of ``steps`` calls in a row."""
    return seconds_of(lambda: repeat(step, steps), device) / steps


def interleave(stretches: Mapping[str, Callable[[], float]], rounds: int,
               dropped: Callable[[str, Exception], None] | None = None) -> dict[str, Timing]:
    """Call every stretch once a round, A B C A B C …, so that a machine that slows down slows down for all.

    A stretch that raises ends the measurement; with ``dropped``, which is told its name and the error, only
    that contender is left out and the others go on.
    """
    values: dict[str, list[float]] = {name: [] for name in stretches}
    for _ in range(rounds):
        for name in list(values):
            try:
                values[name].append(stretches[name]())
            except Exception as error:
                if dropped is None:
                    raise
                del values[name]
                dropped(name, error)
    return {name: Timing(tuple(v)) for name, v in values.items()}


def compare(contenders: Mapping[str, Callable[[], object]], steps: int = 5, warmup: int = 2, rounds: int = 5,
            device: torch.device | str = "cpu") -> dict[str, Timing]:
    """Time contenders against each other in this process. Each is a function that takes one step.

    Torch is as a process finds it at its start (`surroundings.standard`), whatever the caller has switched on.
    Every one first takes ``warmup`` steps, uncounted; a round is ``steps`` calls of each, one after the other.
    """
    with standard(tf32=None):
        for step in contenders.values():
            repeat(step, warmup)
        return interleave({name: lambda step=step: stretch(step, steps, device) for name, step in contenders.items()},
                          rounds)


def ratio(fast: Timing, slow: Timing) -> Timing:
    """How many times faster ``fast`` is than ``slow``, round by round; ValueError unless they share their rounds."""
    if fast.n != slow.n:
        raise ValueError(f"a ratio needs timings of the same rounds, got {fast.n} and {slow.n}")
    return Timing(tuple(s / f for f, s in zip(fast.rounds, slow.rounds, strict=True)))


# --- the finish line -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Conv:
    """One convolution of a net: input (C, H, W), weight (O, I, kh, kw), how it slides."""

    input: tuple[int, int, int]
    weight: tuple[int, int, int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    output: tuple[int, int, int]
    needs_input_grad: bool  # not that of the pictures

    def flops(self, batch: int) -> int:
        """Operations (two a multiply–accumulate) of forward, weight gradient and, where needed, input gradient."""
        forward = 2 * batch * math.prod(self.output) * math.prod(self.weight[1:])
        return forward * (3 if self.needs_input_grad else 2)


def convolutions(net: nn.Module, shape: Sequence[int]) -> list[Conv]:
    """Every convolution that one forward pass over pictures of ``shape`` (C, H, W) calls, in its order."""
    shadow, found = copy.deepcopy(net).to("meta").train(), []  # shapes without arithmetic

    def note(m: nn.Conv2d, inputs, output) -> None:
        found.append(Conv(tuple(inputs[0].shape[1:]), tuple(m.weight.shape), m.stride, m.padding, m.dilation, m.groups,
                          tuple(output.shape[1:]), inputs[0].requires_grad))

    for module in shadow.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    shadow(torch.empty(2, *shape, device="meta"))
    return found


@dataclass
class Roofline:
    """The convolutions of a net, each timed alone: the time that a training step cannot beat on this device.

    Forward, weight gradient and input gradient (none for the pictures), without bias, each in its faster
    memory layout and as the best of some repeats; equal convolutions are timed once. On a GPU they are
    replayed as a graph, so that no launch is counted, and cuDNN chooses its fastest algorithm.
    """

    convs: list[Conv]
    batch: int
    precision: str
    device: torch.device
    repeats: int = 3
    layouts: dict[Conv, str] = field(default_factory=dict)
    seconds: float = math.nan  # per step

    @property
    def flops(self) -> int:
        """Operations of a step."""
        return sum(conv.flops(self.batch) for conv in self.convs)

    @property
    def flops_per_second(self) -> float:
        return self.flops / self.seconds

    @property
    def layout(self) -> str:
        """Which layout was faster, for how many convolutions: "channels_last 19, contiguous 2"."""
        chosen = [self.layouts[conv] for conv in self.convs]
        return ", ".join(f"{name} {chosen.count(name)}" for name in LAYOUTS if name in chosen)

    def measure(self) -> float:
        """Seconds a step, measured now. The first call also finds the layouts."""
        with standard(tf32=self.precision == "tf32", autotune=True):
            return self._measure()

    def _measure(self) -> float:
        total = 0.0
        for conv in dict.fromkeys(self.convs):
            known = self.layouts.get(conv)
            times = {name: self._time(conv, LAYOUTS[name]) for name in ([known] if known else LAYOUTS)}
            self.layouts[conv] = min(times, key=times.get)
            total += times[self.layouts[conv]] * self.convs.count(conv)
        self.seconds = total
        return total

    def _time(self, conv: Conv, layout: torch.memory_format) -> float:
        def tensor(*shape):
            dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
            return torch.randn(shape, device=self.device, dtype=dtype).contiguous(memory_format=layout)

        x, w, grad = (tensor(*s) for s in ((self.batch, *conv.input), conv.weight, (self.batch, *conv.output)))

        def work():
            F.conv2d(x, w, None, conv.stride, conv.padding, conv.dilation, conv.groups)
            torch.ops.aten.convolution_backward(grad, x, w, None, conv.stride, conv.padding, conv.dilation, False,
                                                [0, 0], conv.groups, [conv.needs_input_grad, True, False])

        if self.device.type != "cuda":
            work()
            return min(seconds_of(work) for _ in range(self.repeats))
        return self._time_graph(work)

    def _time_graph(self, work: Callable[[], None], calls: int = 10) -> float:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # cuDNN must have chosen before it is recorded
            repeat(work, 3)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            repeat(work, calls)
        graph.replay()
        # long enough for the launch and the waiting at the end not to count
        times = max(1, math.ceil(0.01 / seconds_of(graph.replay, self.device)))
        return min(stretch(graph.replay, times, self.device) for _ in range(self.repeats)) / calls


def roofline(net: nn.Module, batch: int, shape: Sequence[int], precision: str = "float32",
             device: torch.device | str = "cpu", repeats: int = 3) -> Roofline:
    """Measure the `Roofline` of a net for pictures of ``shape`` (C, H, W); ``.seconds`` is the finish line of a step.

    ``precision``: "float32", "tf32" or "bf16". ValueError for another.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    line = Roofline(convolutions(net, shape), batch, precision, torch.device(device), repeats)
    line.measure()
    return line
