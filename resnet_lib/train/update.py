"""One update of the weights, in one of several ways that do the same mathematics.

`Update` does it eagerly, compiled or in bf16, as `Execution` says; `Graphs` records that work once on
a GPU and then replays it with a single launch.
"""

from collections.abc import Callable, Sequence
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from ..recipe import Execution

Batch = Callable[[Tensor], tuple[Tensor, Tensor]]  # a stretch of the epoch's plan -> pictures, labels

# Every shape and every rate is met eagerly this often before its work is captured: the kernels are chosen
# and the momentum exists by then. They are steps of the run, so no state has to be put back.
EAGER_FIRST = 3


class Counter:
    """Errors and loss since the last row, kept on the device so that no step waits for the host."""

    def __init__(self, device: torch.device):
        self.wrong = torch.zeros((), dtype=torch.int64, device=device)
        self.loss = torch.zeros((), dtype=torch.float64, device=device)
        self.seen = 0  # counted by the host, which knows the batch sizes

    def add(self, logits: Tensor, y: Tensor, mean_loss: Tensor) -> None:
        """Count one batch; ``seen`` is left to the caller."""
        self.wrong += (logits.detach().argmax(1) != y).sum()
        self.loss += mean_loss.detach().double() * len(y)

    def read(self) -> tuple[float, float | None]:
        """Error (fraction) and mean loss; this waits for the device. JSON has no NaN: a diverged loss is None."""
        loss = self.loss.item() / self.seen
        return self.wrong.item() / self.seen, loss if math.isfinite(loss) else None

    def reset(self) -> None:
        """Back to nothing, in place: a captured graph adds to these very tensors."""
        self.wrong.zero_()
        self.loss.zero_()
        self.seen = 0

    def state(self) -> dict:
        """What a checkpoint keeps; clones, since the tensors are counted on."""
        return {"wrong": self.wrong.clone(), "loss": self.loss.clone(), "seen": self.seen}

    def restore(self, state: dict) -> None:
        """Go on from what `state` gave."""
        self.wrong.copy_(state["wrong"])
        self.loss.copy_(state["loss"])
        self.seen = state["seen"]


class Update:
    """``update(plan, lr)``: the batch that ``plan`` stands for, its loss and gradients, one optimizer step.

    ``norms``: weights with the norm to which each is scaled after the step (`Recipe.fixed_norm`).
    """

    def __init__(self, net: nn.Module, optimizer: torch.optim.Optimizer, counter: Counter, batch: Batch,
                 execution: Execution, device: torch.device, norms: Sequence[tuple[Tensor, Tensor]] = ()):
        self.optimizer, self.counter, self.batch, self.device = optimizer, counter, batch, device
        self.norms = norms
        self.bf16 = execution.precision == "bf16"
        if execution.compile:  # each net and batch size is compiled anew, and torch would give up after eight
            torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
        # dynamic=False: the last batch of an epoch is smaller, and gets its own code instead of slower code for both
        self.net = torch.compile(net, dynamic=False) if execution.compile else net

    def __call__(self, plan: Tensor, lr: float) -> None:
        self.set_rate(lr)
        self.work(plan)

    def set_rate(self, lr: float) -> None:
        """The learning rate of what follows."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def work(self, plan: Tensor) -> None:
        """All that the device does in one update; nothing in it waits for the host."""
        x, y = self.batch(plan)
        # the cache of rounded weights would outlive a captured graph's memory
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            logits = self.net(x)
        loss = F.cross_entropy(logits.float(), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for weight, norm in self.norms:
                weight.mul_(norm / weight.norm())
        self.counter.add(logits, y, loss)


class Graphs:
    """An `Update` that is captured as a CUDA graph and replayed, for each batch size and learning rate.

    The rate is a number inside the graph, so each plateau of the schedule has its own; where the rate changes
    with every step nothing is captured. A graph reads its plan from one fixed tensor, into which each step's is
    copied.
    """

    def __init__(self, update: Update, capture: Callable[[Callable[[], None]], Callable[[], None]] | None = None):
        self.update, self.capture = update, capture or self._capture
        self.met: dict[tuple[int, float], int] = {}
        self.replays: dict[tuple[int, float], tuple[Tensor, Callable[[], None]]] = {}

    def __call__(self, plan: Tensor, lr: float) -> None:
        key = (plan.shape[1], lr)
        self.met[key] = self.met.get(key, 0) + 1
        if self.met[key] <= EAGER_FIRST:
            self.update(plan, lr)
            return
        if key not in self.replays:
            self._forget_other_rates(lr)
            fixed = plan.clone()
            self.update.set_rate(lr)
            self.replays[key] = fixed, self.capture(lambda: self.update.work(fixed))
        fixed, replay = self.replays[key]
        fixed.copy_(plan)
        replay()

    def _forget_other_rates(self, lr: float) -> None:
        # All of them go before the next capture: to destroy a graph may clear the stream's cuBLAS workspaces, which
        # a graph that stays would go on using (pytorch#193402).
        self.replays = {key: value for key, value in self.replays.items() if key[1] == lr}

    def _capture(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()  # on the run's own stream: torch's default one cannot be captured
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
            work()  # recorded, not executed
        return graph.replay
