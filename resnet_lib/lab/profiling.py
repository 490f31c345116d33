"""Where a block's time goes: its layers timed in place, the numbers it moves, and what fresh memory costs.

    parts = part_times({"basic": (block, x)}, rounds=9)["basic"]  # seconds of each layer, and of the whole
    moved(block, (256, 56, 56))                                # numbers read and written for one picture
    memory_regimes({"basic": (block, x)})                      # memory kept, and memory given back
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter
import copy
import ctypes
import sys

import torch
import torch.nn as nn
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# mallopt's parameters in glibc (malloc.h), and the largest value that the second accepts on 64 bits
TRIM_THRESHOLD, MMAP_THRESHOLD, MOST_MMAP = -1, -3, 32 * 2**20


@dataclass(frozen=True)
class Parts:
    """Medians over the rounds, in seconds: of the whole pass, and of each leaf module in it, by name.

    ``pages``: pages of memory that the system had to hand out during a pass, median; None where it does not say.
    """

    whole: float
    seconds: dict[str, float]
    pages: int | None

    @property
    def rest(self) -> float:
        """What is in no module: ReLU, the addition, and the calls themselves."""
        return max(0.0, self.whole - sum(self.seconds.values()))


def pages_handed_out() -> int | None:
    """Page faults of this process so far that needed no disk: memory that was touched for the first time."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def part_times(passes: Mapping[str, tuple[nn.Module, Tensor]], rounds: int = 9, warmup: int = 2,
               before: Callable[[], object] = lambda: None) -> dict[str, Parts]:
    """Forward passes ``{name: (module, x)}`` on the CPU, taken apart into leaf modules, interleaved.

    ``x``: (N, C, H, W), in the layout that is to be timed. Modules stay in the mode they are in, without gradients.
    ``before`` is called before every pass and not timed.
    """
    seen: dict[str, list[tuple[float, dict[str, float], int | None]]] = {name: [] for name in passes}
    with torch.no_grad():
        for k in range(warmup + rounds):
            for name, (net, x) in passes.items():
                before()
                measured = _one_pass(net, x)
                if k >= warmup:
                    seen[name].append(measured)
    return {name: _medians(rows) for name, rows in seen.items()}


def _medians(rows: list[tuple[float, dict[str, float], int | None]]) -> Parts:
    names = rows[0][1]
    pages = [p for _, _, p in rows if p is not None]
    return Parts(median(whole for whole, _, _ in rows), {n: median(s[n] for _, s, _ in rows) for n in names},
                 int(median(pages)) if pages else None)


def _one_pass(net: nn.Module, x: Tensor) -> tuple[float, dict[str, float], int | None]:
    seconds: dict[str, float] = {}
    begun: dict[str, float] = {}

    def begin(name: str) -> Callable:
        return lambda *_: begun.__setitem__(name, perf_counter())

    def end(name: str) -> Callable:
        return lambda *_: seconds.__setitem__(name, perf_counter() - begun[name])

    handles = []
    for name, module in net.named_modules():
        if name and not list(module.children()):
            handles += [module.register_forward_pre_hook(begin(name)), module.register_forward_hook(end(name))]
    try:
        before, start = pages_handed_out(), perf_counter()
        net(x)
        whole = perf_counter() - start
        pages = None if before is None else pages_handed_out() - before
    finally:
        for handle in handles:
            handle.remove()
    return whole, seconds, pages


class _Moved(TorchDispatchMode):
    """Counts the numbers in the feature maps (four axes) that each operation is given and gives back."""

    def __init__(self, weights: set[tuple[int, ...]]):
        super().__init__()
        self.weights, self.count = weights, 0

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        given = [*args, *(out if isinstance(out, tuple | list) else [out])]
        self.count += sum(t.numel() for t in given
                          if isinstance(t, Tensor) and t.dim() == 4 and tuple(t.shape) not in self.weights)
        return out


def moved(block: nn.Module, shape: tuple[int, int, int]) -> int:
    """Numbers that a forward pass of one picture (C, H, W) reads and writes, if every operation goes to memory.

    Feature maps only, and each once an operation: a convolution reads its input and writes its output, so do batch
    norm and ReLU; an addition reads two and writes one. Weights are not counted.
    """
    shadow = copy.deepcopy(block).to("meta").eval()
    weights = {tuple(p.shape) for p in shadow.parameters() if p.dim() == 4}
    x = torch.empty(1, *shape, device="meta")
    with torch.no_grad(), _Moved(weights) as counter:
        shadow(x)
    return counter.count


def _glibc() -> ctypes.CDLL | None:
    """The C library where it is glibc, whose allocator can be told things; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError):  # musl
        return None


def keep_memory(keep: bool = True) -> bool:
    """Tell glibc's allocator to keep freed memory for this process, or to give large pieces back when they are freed.

    Pieces of more than 32 MB go back all the same. False, and nothing changed, where there is no such switch.
    """
    library, large = _glibc(), 128 * 1024  # glibc's own first value of both; it raises them as a program runs
    if library is None:
        return False
    return bool(library.mallopt(MMAP_THRESHOLD, MOST_MMAP if keep else large)
                and library.mallopt(TRIM_THRESHOLD, 2**30 if keep else large))


def give_back_memory() -> None:
    """Hand all free memory of this process back to the system, from the middle of the heap too; glibc only."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def memory_regimes(passes: Mapping[str, tuple[nn.Module, Tensor]], turns: int = 3, rounds: int = 3
                   ) -> dict[str, list[dict[str, Parts]]] | None:
    """`part_times` under two regimes in turn: "kept", and "given back": all free memory, before every pass.

    None where the allocator cannot be told. Afterwards memory is kept.
    """
    if not keep_memory():
        return None
    found: dict[str, list[dict[str, Parts]]] = {"kept": [], "given back": []}
    for _ in range(turns):
        keep_memory()
        found["kept"].append(part_times(passes, rounds))
        keep_memory(False)
        found["given back"].append(part_times(passes, rounds, before=give_back_memory))
    keep_memory()
    return found
