"""Full-size runs trained where the page is made: one switch, the same in a notebook's first cell and in the build.

The switch is the environment variable RESNET_LIB_TIER. It is off ("quick") unless somebody sets it to "short"; then,
where there is a GPU, the short tier of an experiment is trained live and drawn beside the recorded runs. Without a GPU
the page shows the record and says what the runs would take.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
import os

from IPython.display import Markdown
import torch

from .. import data, experiments, plots
from ..experiments import estimates
from ..lab.intervals import one_more
from ..recipe import Execution
from ..records import Record
from ..wording import duration, number

SWITCH = "RESNET_LIB_TIER"
TIER = "short"
SEED = 10  # no recorded run has it: a run of one's own is one more sample, not the same one again


def wanted() -> bool:
    """Whether the switch is on; ValueError names its valid values."""
    value = os.environ.get(SWITCH) or "quick"
    if value not in ("quick", TIER):
        raise ValueError(f'{SWITCH} (TIER in the first cell of a notebook, TIER=… of make book) must be "quick" or '
                         f'"{TIER}", got {value!r}')
    return value == TIER


def beside(name: str, variants: Sequence[str], y: str = "train_error"):
    """What the switch asks for, of the short tier of an experiment: a figure or words, as a notebook displays them.

    With a GPU each variant is trained once (`SEED`; data are fetched first where they are missing), with a bar that
    shows rate and time left; interrupted, the same call goes on from the checkpoint. `data.DataError` where data
    cannot be fetched.
    """
    if not wanted():
        return Markdown(f'*Live: on a machine with a GPU, `TIER = "{TIER}"` in the first cell of this notebook, or '
                        f"`make book TIER={TIER}`, trains these full-size runs here too.*")
    if not _gpu():
        return Markdown(f"*Live: the switch is on, and torch finds no GPU here. {_cost(name, variants)} "
                        f"`python -m resnet_lib run {name} --tier {TIER} --seeds {SEED} --variants "
                        f"{','.join(variants)} --fast --resume` does it; the page shows the recorded runs.*")
    source = experiments.EXPERIMENTS[name].data
    if not data.available(source):
        data.download_all([source])
    here = experiments.run(name, TIER, (SEED,), list(variants), Execution.fastest())
    recorded = [r for v in variants for r in experiments.find(name, TIER, v)]
    figure, panels = plots.axes((5.6, 3.4))
    mine = [replace(r, variant=f"{r.variant}, here") for r in here]
    plots.curves(recorded + mine, y, panels[0], colors={r.variant: "green" for r in mine})
    words = " ".join(_compared(run, [r for r in recorded if r.variant == run.variant], y) for run in here)
    return plots.show(figure, recorded + here, caption=f"Trained here, beside the recorded runs. {words}",
                      alt=f"{plots.AXIS[y]} against steps, of runs trained here and of recorded ones. {words}")


def _gpu() -> bool:
    return torch.cuda.is_available()


def _cost(name: str, variants: Sequence[str]) -> str:
    """How long the runs would take on this processor, from steps that are timed now."""
    jobs = [experiments.job(name, TIER, variant, SEED) for variant in variants]
    how = Execution(device="cpu", threads=1)
    seconds = sum(estimates.seconds_left(job, 0, how) for job in jobs)
    return f"On one core of this processor they take about {duration(seconds)}, in plain float32."


def _compared(run: Record, recorded: Sequence[Record], y: str) -> str:
    """How one run differs from the recorded ones, and whether one more seed may."""
    ours = run.final[y]
    words = f"{run.variant} ends at {number(y, ours)} here"
    theirs = [r.final[y] for r in recorded]
    if not theirs:
        return f"{words}; none is recorded."
    words += f", recorded: {', '.join(number(y, value) for value in theirs)}"
    if len(theirs) < 2:
        return f"{words}."
    reach = one_more(theirs)
    inside = abs(ours - mean(theirs)) <= reach
    return (f"{words}; one more seed may lie {100 * reach:.1f} points from their mean (95 %), and this one is "
            f"{'inside' if inside else 'outside'}.")
