"""How long a run will take on this machine: a few of its own steps are timed once and remembered.

Compiled runs are faster than this says: what is timed is not compiled.
"""

from dataclasses import asdict, replace
from pathlib import Path
import json
import math


from .. import nets
from ..files import home, write_atomically
from ..machine import environment
from ..recipe import Execution
from ..timing import repeat, stretch
from ..train import Run
from .runner import Job

BATCHES = 8  # of real pictures, over and over
SECONDS = 1.5  # of steps that are timed, at least one


def cache() -> Path:
    """Where the times are kept; delete the file to measure again."""
    return home() / "_build" / "estimates.json"


def _key(job: Job, execution: Execution) -> str:
    """All that decides the time of a step. One run at a time: how many go at once is left out."""
    how = {k: v for k, v in asdict(execution).items() if k not in ("workers", "interleave", "checkpoint_every")}
    what = {"net": job.net, "batch": job.recipe.batch, "shape": job.identity["shape"],
            "optimizer": job.recipe.optimizer, "augment": job.recipe.augment}
    return json.dumps({**environment(execution.resolve()), "execution": how, **what}, sort_keys=True)


def _known() -> dict[str, float]:
    try:
        return dict(json.loads(cache().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # none yet, or not ours: measure again
        return {}


def _timed(job: Job, execution: Execution) -> Execution:
    """What is timed: the run's own way, but not compiled, which takes a minute for each net before its first step."""
    return replace(job.carried_out(execution), compile=False)


def known(job: Job, execution: Execution) -> bool:
    """Whether the time of the job's step has been measured here."""
    return _key(job, _timed(job, execution)) in _known()


def seconds_per_step(job: Job, execution: Execution) -> float:
    """Seconds of one step of the job's net, batch and pictures in this execution; measured where it is not known."""
    execution = _timed(job, execution)
    key, known = _key(job, execution), _known()
    if key not in known:
        known[key] = _measure(job, replace(execution, workers=1, interleave=1))
        text = json.dumps(known, indent=1, sort_keys=True)
        write_atomically(cache(), lambda file: file.write(text.encode()))
    return known[key]


def _measure(job: Job, execution: Execution) -> float:
    pictures = math.ceil(BATCHES * job.recipe.batch / (1 - job.recipe.validation))
    images = job.pictures.originals().subset(pictures, 1).resize(job.pictures.size)
    run = Run(nets.build(job.net), images, job.recipe, execution)
    run.net.train()
    # the first steps choose algorithms or record graphs
    repeat(run.step, 5 if run.device.type == "cuda" else 1)
    once = stretch(run.step, 1, run.device)
    return stretch(run.step, min(200, max(1, int(SECONDS / once))), run.device)


def steps_left(job: Job, at: int = 0) -> float:
    """The steps from ``at`` to the end of a run, with its evaluations: a forward pass is a third of a step."""
    r, n_train, n_test = job.recipe, job.identity["n_train"], job.identity["n_test"]
    rows = math.ceil(r.steps / r.eval_every) - at // r.eval_every
    seen = rows * (n_test + r.validation * n_train) + (1 - r.validation) * n_train  # the last row is of all pictures
    return r.steps - at + seen / r.batch / 3


def seconds_left(job: Job, at: int, execution: Execution) -> float:
    """Estimated seconds from ``at`` to the end of a run; 0 where nothing is trained or nothing is left."""
    if job.recipe is None or at >= job.recipe.steps:
        return 0.0
    return steps_left(job, at) * seconds_per_step(job, execution)
