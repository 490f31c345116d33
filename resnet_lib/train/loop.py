"""`Run`: the loop, which can stop and go on anywhere, and its checkpoints."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .. import data, identity, probes
from ..files import write_atomically
from ..machine import environment, peak_memory
from ..nets import deepen, init_weights
from ..recipe import Execution, Recipe
from ..surroundings import standard, usual
from .batches import Batches
from .checkpoint import read_checkpoint, refuse_others
from .optim import keep_momentum, load_optimizer, make_optimizer
from .update import Counter, Graphs, Update

EVAL_BATCH = 1000
NEW_KERNELS = 10_000  # added to a run's seed where its net grows, so that new kernels are not the first ones again


class Run:
    """One training run. Iterating yields a row (dict) every ``recipe.eval_every`` steps.

    ``net`` is initialized as the recipe says, moved to the device and trained in place. ``images`` is
    a `data.ImageSet`. All randomness comes from one CPU generator seeded with ``recipe.seed``, so the
    same seed draws the same weights, orders and crops on every device.

    ``train_error`` in a row is the mean over the (augmented) batches since the last row, in training
    mode; ``test_error`` is a pass in evaluation mode; the last row adds ``train_error_eval``, a pass
    over the training set in evaluation mode without augmentation. `Recipe.mirrored` adds ``test_error_mirrored``,
    `evaluate` with each picture's mirror image. All are fractions.
    """

    def __init__(self, net: nn.Module, images: data.ImageSet, recipe: Recipe, execution: Execution | None = None):
        self.images, self.recipe, self.execution = images, recipe, execution or Execution()
        self.device = self.execution.resolve()
        with self._standard():
            self._prepare(net)

    def _standard(self, exact: bool = False):
        """The process as this run declares it; ``exact``: float32 is float32, also where steps may round to TF32."""
        how = self.execution
        return standard(how.threads, tf32=how.precision == "tf32" and not exact, autotune=how.autotune)

    def _prepare(self, net: nn.Module) -> None:
        images, recipe = self.images, self.recipe
        net = usual(net).cpu()  # where the generator draws
        self.spec = identity.spec_of(net, with_weights=recipe.init == "keep")
        self.recipe_id = identity.run_id(self.spec, recipe.to_json(), images.identity())
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.format = torch.channels_last if self.execution.channels_last else torch.contiguous_format
        if recipe.deepen_to:
            deepen.new_blocks(net, recipe.deepen_to)  # an error now, not in the middle of the run
        init_weights(net, recipe.init, self.generator)
        self.net = net.to(self.device, memory_format=self.format)
        self._norms = []  # of the weights the net begins with, also where a checkpoint is loaded later
        if recipe.fixed_norm:
            kernels = [m.weight for m in self.net.modules() if isinstance(m, nn.Conv2d)]
            self._norms = [(w, w.detach().norm()) for w in kernels]
        self.optimizer = make_optimizer(self.net, recipe, self.execution)
        self.batches = Batches(images, recipe, self.device, self.format)
        self.at = 0  # finished steps
        self.rows: list[dict] = []
        self.probes: list[dict] = []
        self.segments: list[dict] = []
        self._open_segment: dict | None = None
        self._seconds = 0.0  # of the open segment, not rounded: a step may take less than a millisecond
        self._counter = Counter(self.device)
        self._update = self._make_update()
        self._stream = None
        if self.device.type == "cuda" and (self.execution.graphs or self.execution.interleave > 1):
            self._stream = torch.cuda.Stream()
            self._stream.wait_stream(torch.cuda.current_stream())  # for the weights and pictures

    def _make_update(self) -> Update | Graphs:
        update = Update(self.net, self.optimizer, self._counter, self.batches, self.execution, self.device, self._norms)
        # a graph holds ε as the number that it was when it was captured
        return Graphs(update) if self.execution.graphs and not self.recipe.adam_late_eps else update

    def _on_stream(self):
        return nullcontext() if self._stream is None else torch.cuda.stream(self._stream)

    def _draw_epoch(self) -> None:
        self._epoch_start = self.generator.get_state()
        self.batches.draw(self.generator)

    def step(self) -> None:
        """One update: batch, loss, gradients, optimizer. It waits for the device once an epoch, for its plan."""
        with self._standard(), self._on_stream():
            if self.at % self.batches.per_epoch == 0:
                self._draw_epoch()
            if self.recipe.deepen_to and self.at == self.recipe.deepen_at:
                self._grow()
            plan = self.batches.stretch(self.at)
            if self.recipe.adam_late_eps:
                self._set_late_eps()
            with self._dice():
                self._update(plan, self.recipe.lr_at(self.at))
        self._counter.seen += plan.shape[1]
        self.at += 1

    def _set_late_eps(self) -> None:
        """√v / c + ε' is (√v + ε) / c, with c = √(1 - β₂ᵗ), if ε' = ε / c."""
        for group in self.optimizer.param_groups:
            group["eps"] = self.recipe.adam_eps / math.sqrt(1 - group["betas"][1] ** (self.at + 1))

    @contextmanager
    def _dice(self):
        """What a net draws in a step (dropout) depends on seed and step alone, so that a resumed run draws the same."""
        gpu = [self.device.index or 0] if self.device.type == "cuda" else []
        with torch.random.fork_rng(gpu):
            seed = self.recipe.seed << 32 | self.at
            torch.default_generator.manual_seed(seed)
            for index in gpu:
                torch.cuda.default_generators[index].manual_seed(seed)
            yield

    def _grow(self) -> None:
        """Make the net deeper, its function and the momentum of its old layers kept (`deepen.grow`)."""
        x = self.batches.normalize(self.batches.train_x[: min(EVAL_BATCH, self.batches.n)])
        with self._standard(exact=True):
            # a generator of its own: the run's is drawn from once an epoch, and a resumed run draws that again
            generator = torch.Generator().manual_seed(NEW_KERNELS + self.recipe.seed)
            deepen.grow(self.net, self.recipe.deepen_to, x, generator)
        self.net.to(self.device, memory_format=self.format)
        grown = make_optimizer(self.net, self.recipe, self.execution)
        keep_momentum(self.optimizer, grown)
        self.optimizer = grown
        self._update = self._make_update()

    def evaluate(self, x: Tensor, y: Tensor, mirrored: bool = False) -> tuple[float, float | None]:
        """Error (fraction) and mean loss over uint8 pictures, in evaluation mode, no augmentation.

        ``mirrored``: the probabilities are the mean of those for a picture and for its mirror image.
        """
        self.net.eval()
        with self._standard(exact=True), torch.no_grad(), self._on_stream():
            counter = Counter(self.device)
            for start in range(0, len(y), EVAL_BATCH):
                here = slice(start, start + EVAL_BATCH)
                pictures = self.batches.normalize(x[here])
                logits = self.net(pictures)
                if mirrored:  # a sum of probabilities, in logarithms; the constant drops out in cross_entropy
                    both = logits, self.net(pictures.flip(-1))
                    logits = torch.logaddexp(*(F.log_softmax(z, dim=1) for z in both))
                counter.add(logits, y[here], F.cross_entropy(logits, y[here]))
            counter.seen = len(y)
            found = counter.read()
        self.net.train()
        return found

    def _row(self) -> dict:
        row: dict = {"step": self.at, "epoch": round(self.at / self.batches.per_epoch, 4),
                     "lr": self.recipe.lr_at(self.at - 1)}
        seen, n = self.batches, self.batches.n
        row["train_error"], row["train_loss"] = self._counter.read()
        row["test_error"], row["test_loss"] = self.evaluate(seen.test_x, seen.test_y)
        if self.recipe.mirrored:
            found = self.evaluate(seen.test_x, seen.test_y, mirrored=True)
            row["test_error_mirrored"], row["test_loss_mirrored"] = found
        if self.recipe.validation:
            row["validation_error"], row["validation_loss"] = self.evaluate(seen.train_x[n:], seen.train_y[n:])
        if self.done:
            row["train_error_eval"], row["train_loss_eval"] = self.evaluate(seen.train_x[:n], seen.train_y[:n])
        self._counter.reset()
        return row

    def _probe_if_due(self) -> None:
        if self.at in self.recipe.probe_steps and all(p["step"] != self.at for p in self.probes):
            here = slice(0, min(self.recipe.batch, self.batches.n))  # the same pictures every time
            x = self.batches.normalize(self.batches.train_x[here])
            with self._standard(exact=True):
                self.probes.append({"step": self.at, **probes.layer_norms(self.net, x, self.batches.train_y[here])})

    @property
    def done(self) -> bool:
        return self.at >= self.recipe.steps

    def _segment(self) -> dict:
        """The stretch of this run that this process has trained; opened by its first step."""
        if self._open_segment is None:
            self._open_segment = {"from_step": self.at, "seconds": 0.0,
                                  "date": datetime.now(UTC).strftime("%Y-%m-%d"),
                                  "execution": asdict(self.execution), **environment(self.device)}
            self.segments.append(self._open_segment)
            self._seconds = 0.0
            if self.device.type == "cuda" and self.execution.interleave == 1:
                torch.cuda.reset_peak_memory_stats()  # of several runs in turn, the peak is that of the process
        return self._open_segment

    def advance(self) -> dict | None:
        """One step with its probes and its row: the row where one is due, else None."""
        row, start = None, perf_counter()
        with self._standard(), self._on_stream():
            segment = self._segment()
            if self.at == 0:
                self.net.train()
                self._probe_if_due()
            self.step()
            self._probe_if_due()
            if self.at % self.recipe.eval_every == 0 or self.done:
                row = self._row()
                self.rows.append(row)
        self._seconds += perf_counter() - start
        segment["seconds"] = round(self._seconds, 3)
        if row is not None:
            segment["peak_memory"] = peak_memory(self.device)
        return row

    def __iter__(self) -> Iterator[dict]:
        while not self.done:
            row = self.advance()
            if row is not None:
                yield row

    def _belonging(self) -> dict:
        """What a checkpoint says of the run that it belongs to."""
        return {"spec": self.spec, "recipe": self.recipe.to_json(), "data": self.images.identity(),
                "semantics": identity.SEMANTICS}

    def state_dict(self) -> dict:
        """All that is needed to go on elsewhere: tensors and plain Python values only."""
        if self._stream is not None:
            self._stream.synchronize()
        mid_epoch = self.at % self.batches.per_epoch != 0
        return {"recipe_id": self.recipe_id, **self._belonging(), "at": self.at,
                "net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(),
                # mid-epoch the state before the epoch's draw, so that the same order is drawn again
                "generator": self._epoch_start if mid_epoch else self.generator.get_state(),
                "counter": self._counter.state(),
                "rows": list(self.rows), "probes": list(self.probes), "segments": [dict(s) for s in self.segments]}

    def load_state_dict(self, state: dict) -> None:
        """Go on from ``state``; ValueError names what differs if it belongs to another run."""
        refuse_others({"recipe_id": self.recipe_id, **self._belonging()}, state)
        with self._standard(), self._on_stream():
            if self.recipe.deepen_to and self.at <= self.recipe.deepen_at < state["at"]:
                self._grow()  # for its shape; the weights come from the state
            self.net.load_state_dict(state["net"])
            load_optimizer(self.optimizer, state["optimizer"])
            self.at = state["at"]
            self.generator.set_state(state["generator"].cpu())
            if self.at % self.batches.per_epoch:
                self._draw_epoch()
            self._counter.restore(state["counter"])
            self._update = self._make_update()  # captured graphs would go on with the old momentum
        self.rows, self.probes, self.segments = list(state["rows"]), list(state["probes"]), list(state["segments"])
        self._open_segment = None

    def save(self, path: str | Path) -> None:
        """Write the state to one file, atomically."""
        write_atomically(Path(path), lambda file: torch.save(self.state_dict(), file))

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote. ValueError for a file that is not a checkpoint of this run."""
        self.load_state_dict(read_checkpoint(path))


def evaluate(net: nn.Module, images: data.ImageSet, normalize: str = "pixel_mean") -> tuple[float, float | None]:
    """Error (fraction) and mean loss of a net on the test pictures, fed as `Recipe.normalize` says.

    The net is used as it is, in evaluation mode; afterwards it is in the mode it was in.
    """
    training, device = net.training, next(net.parameters()).device
    run = Run(net, images, Recipe(init="keep", augment="none", normalize=normalize), Execution(channels_last=False))
    try:
        return run.evaluate(run.batches.test_x, run.batches.test_y)
    finally:
        net.to(device).train(training)
