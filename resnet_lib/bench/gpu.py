"""Does everything work on this GPU? ``python -m resnet_lib gpu``: about four minutes, one line a check.

On a machine without a GPU it goes through the same checks on the processor, with nets of a second, which shows that the
checks themselves run. A check that hangs ends the command after `PATIENCE` seconds, with the place.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
import faulthandler
import math
import sys
import traceback

import torch

from .. import nets
from ..data import ImageSet
from ..machine import environment
from ..recipe import Execution, Recipe
from ..timing import repeat, seconds_of, stretch
from ..train import Run

PATIENCE = 100  # seconds for one check
ALIKE = 0.02  # of how far the weights went: rounding may take two ways this far apart, another rule takes them further


class Machine:
    """The device, the fastest way on it, and runs of a size that it gets through in seconds."""

    def __init__(self):
        self.cuda = torch.cuda.is_available()
        self.fast = Execution.fastest() if self.cuda else Execution(device="cpu", threads=1)
        self.one = replace(self.fast, interleave=1)
        g = torch.Generator().manual_seed(0)
        n = 1_100 if self.cuda else 140  # batches of 128, and a smaller last one
        pictures = torch.randint(0, 256, (n, 3, 32, 32), generator=g, dtype=torch.uint8)
        labels = torch.randint(0, 10, (n,), generator=g)
        self.images = ImageSet("cifar10", pictures, labels, pictures[:500], labels[:500], tuple("0123456789"))
        steps = 120 if self.cuda else 6
        self.recipe = Recipe(steps=steps, drops=(3 * steps // 8, 3 * steps // 4), eval_every=steps // 3,
                             probe_steps=(0, steps // 4))

    def run(self, how: Execution, depth: int = 20, **changes) -> Run:
        """A new run; on a processor its net is small."""
        net = nets.cifar_resnet(depth if self.cuda else 8, width=16 if self.cuda else 4)
        return Run(net, self.images, replace(self.recipe, **changes), how)


def _weights(run: Run) -> torch.Tensor:
    return torch.cat([p.detach().cpu().flatten() for p in run.net.parameters()])


def _apart(one: Run, other: Run, begun: torch.Tensor) -> float:
    """How far two runs are from each other, as a part of how far the first one went."""
    return ((_weights(one) - _weights(other)).norm() / (_weights(one) - begun).norm()).item()


def _alike(one: Run, other: Run, begun: torch.Tensor) -> str:
    apart = _apart(one, other, begun)
    if not apart <= ALIKE:
        raise AssertionError(f"the two ways end {apart:.3f} of their way apart, more than {ALIKE}")
    return f"{apart:.1e} of their way apart"


def graphs_are_eager(m: Machine) -> str:
    """Replayed graphs do the steps of the eager run: rates, smaller batches, probes and rows between them."""
    eager, graphed = (m.run(replace(m.one, precision="float32", graphs=graphs and m.cuda), lr=1e-3)
                      for graphs in (False, True))
    begun = _weights(eager)
    list(eager), list(graphed)
    return _alike(eager, graphed, begun)


def bf16_learns(m: Machine) -> str:
    """Where the device has bf16, its loss ends near float32's."""
    losses = [list(m.run(replace(m.one, precision=p), lr=1e-2))[-1]["train_loss"] for p in
              ("float32", m.fast.precision)]
    if not abs(losses[1] - losses[0]) <= 0.05 * losses[0]:
        raise AssertionError(f"the losses end at {losses[0]:.3f} and {losses[1]:.3f}")
    return f"{m.fast.precision}: losses {losses[0]:.3f} and {losses[1]:.3f}"


def grows(m: Machine) -> str:
    """A net grows in the middle of a run, with fused steps."""
    run = m.run(replace(m.one, fused=True), depth=8, deepen_to=14, deepen_at=m.recipe.steps // 2)
    return f"loss {_finite(list(run)[-1]['train_loss']):.3f}"


def to_the_processor_and_back(m: Machine) -> str:
    """A checkpoint goes on on the processor, and on the GPU again, as if it had stayed."""
    stayed = m.run(replace(m.one, precision="float32"), lr=1e-3)
    begun = _weights(stayed)
    while stayed.at < m.recipe.steps // 2:
        stayed.advance()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.ckpt"
        stayed.save(path)
        there = m.run(Execution(device="cpu"), lr=1e-3)
        there.load(path)
        there.step()
        there.save(path)
        back = m.run(replace(m.one, precision="float32"), lr=1e-3)
        back.load(path)
    for run, steps in ((back, 1), (stayed, 2)):
        repeat(run.step, steps)
    return _alike(stayed, back, begun)


def other_optimizers(m: Machine) -> str:
    """Adam and Muon train."""
    losses = {name: _finite(list(m.run(m.one, optimizer=name, lr=1e-3))[-1]["train_loss"]) for name in ("adam", "muon")}
    return ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())


def memory_levels_off(m: Machine) -> str:
    """New graphs for new rates take the place of the old ones."""
    if not m.cuda:
        return "no GPU memory here"
    run = m.run(m.one, steps=240, drops=tuple(range(40, 240, 40)), drop_factor=0.9, eval_every=40)
    held = [torch.cuda.memory_reserved() >> 20 for _ in run]
    if held[-1] > 1.25 * held[1]:
        raise AssertionError(f"it goes on growing: {held} MiB")
    return f"{held[1]} to {held[-1]} MiB"


def runs_in_turn(m: Machine) -> str:
    """How much faster four runs in turn are than one after the other."""
    steps = 200 if m.cuda else 2
    seconds = {}
    for n in (1, 4):
        runs = [m.run(replace(m.fast, interleave=n), depth=(20, 56)[k % 2]) for k in range(4)]
        for run in runs:
            repeat(run.step, 40 if m.cuda else 1)  # captured, both batch sizes

        def work(runs=runs, n=n):
            for first in range(0, 4, n):
                for _ in range(steps):
                    for run in runs[first:first + n]:
                        run.step()

        seconds[n] = seconds_of(work, runs[0].device) / steps
    one, four = (1e3 * seconds[n] for n in (1, 4))
    return f"a step of each of four runs: {one:.1f} ms one after the other, {four:.1f} ms in turn: {one / four:.2f} ×"


def ways(m: Machine) -> str:
    """Milliseconds a step of the 56-layer net in each way that the device has."""
    found = []
    for precision in ("float32", "tf32", "bf16") if m.cuda else ("float32",):
        for channels_last in (False, True):
            for graphs in (False, True) if m.cuda else (False,):
                how = replace(m.one, precision=precision, channels_last=channels_last, graphs=graphs)
                try:
                    run = m.run(how, depth=56)
                except ValueError:  # not on this device
                    continue
                repeat(run.step, 40 if m.cuda else 1)
                took = 1e3 * stretch(run.step, 60 if m.cuda else 1, run.device)
                found.append(f"{precision} {'NHWC' if channels_last else 'NCHW'}{' graph' * graphs} {took:.1f}")
    return ", ".join(found)


def _finite(loss: float | None) -> float:
    if loss is None or not math.isfinite(loss):
        raise AssertionError("the loss is not finite")
    return loss


CHECKS: tuple[Callable[[Machine], str], ...] = (graphs_are_eager, bf16_learns, grows, to_the_processor_and_back,
                                                 other_optimizers, memory_levels_off, runs_in_turn, ways)


def check(say: Callable[[str], None] = print) -> bool:
    """Go through `CHECKS`, none of which stops the others; whether all of them are well."""
    m = Machine()
    facts = environment(m.one.resolve())
    say(f"{facts['device']}, torch {facts['versions']['torch']}"
        + ("" if m.cuda else ": no CUDA GPU here, so the checks themselves are tried, with small nets"))
    well = True
    for each in CHECKS:
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=sys.__stderr__)  # a notebook's stderr is no file
        start = perf_counter()
        try:
            said = f"ok      {each(m)}"
        except Exception as error:
            well = False
            place = traceback.extract_tb(error.__traceback__)[-1]
            said = (f"FAILED  {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''} "
                    f"({Path(place.filename).name}:{place.lineno})")
        finally:
            faulthandler.cancel_dump_traceback_later()
        say(f"{each.__name__.replace('_', ' '):26} {perf_counter() - start:4.0f} s  {said}")
    say("all is well" if well else "something is not: please report these lines, with the torch that they name")
    return well
