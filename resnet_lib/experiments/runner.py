"""Find a run in the stores, or train it."""

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from time import perf_counter, sleep, time
import os
import sys

from filelock import FileLock, Timeout
import torch

from .. import data, nets, records
from ..files import home, recorded
from ..machine import environment
from ..recipe import Execution, Recipe
from ..surroundings import standard
from ..wording import advice
from ..train import Run
from . import weights
from .failures import RunError, own, plainly, save


TRAINED, WAITING = "trained", "waiting"
ROW_PAUSE = 5  # seconds without a checkpoint although there was a row, on a GPU


@dataclass(frozen=True)
class Pictures:
    """Which pictures a run sees: a set's name, its subset, the side they are resized to."""

    name: str
    n_train: int | None
    n_test: int | None
    size: int

    def originals(self) -> data.ImageSet:
        """The pictures before resizing: what lies in data/ now, else the digits. Kept while data/ does not change."""
        return _originals(self.name, self.n_train, self.n_test, home(), data.state(self.name))

    def load(self) -> data.ImageSet:
        """The pictures as the net sees them."""
        return _resized(self.originals(), self.size)


@lru_cache(maxsize=4)
@standard()
def _originals(name: str, n_train: int | None, n_test: int | None, _home: Path, _state: tuple) -> data.ImageSet:
    return data.load_or_digits(name).subset(n_train, n_test)


@lru_cache(maxsize=2)
@standard()
def _resized(originals: data.ImageSet, size: int) -> data.ImageSet:
    return originals.resize(size)


@dataclass(frozen=True, eq=False)
class Job:
    """One run to be found or trained, with its id; recipe and pictures are None where a net is only counted."""

    experiment: str
    tier: str
    variant: str
    seed: int
    net: dict
    recipe: Recipe | None
    pictures: Pictures | None
    identity: dict
    recipe_id: str
    keep: bool = False  # whether the trained weights are kept beside the record, suffix "pt"
    how: dict = field(default_factory=dict)  # what `Variant.how` asks for

    def carried_out(self, execution: Execution) -> Execution:
        """``execution``, but for what the run needs to be otherwise."""
        return replace(execution, **self.how)

    @property
    def name(self) -> str:
        """The run's name in its tier, such as "plain-56-s0"."""
        return f"{self.variant}-s{self.seed}"

    def recorded(self) -> Path:
        """Where the committed record lies, if there is one."""
        return recorded("runs", self.experiment, self.tier, f"{self.name}.json")

    def live(self, suffix: str = "json") -> Path:
        """Where this machine keeps the run: "json" the record, "ckpt" its checkpoint, "lock" its lock."""
        return records.live_root() / self.experiment / self.tier / f"{self.name}.{self.recipe_id[:8]}.{suffix}"

    def handed_over(self) -> Path:
        """Where a checkpoint is committed that another machine goes on from; its name holds the id, as the live one."""
        return records.recorded_root() / self.experiment / self.tier / self.live("ckpt").name

    def checkpoint(self) -> Path:
        """The checkpoint to go on from: this machine's, else one handed over; it need not be there."""
        here, handed = self.live("ckpt"), self.handed_over()
        return handed if handed.exists() and not here.exists() else here


def find_record(job: Job) -> records.Record | None:
    """The record with the job's id, from this machine's runs or the committed ones; None if there is none.

    A record of older mathematics or of another recipe does not count; a damaged one raises RecordError.
    """
    for path, live in ((job.live(), True), (job.recorded(), False)):
        if path.exists():
            try:
                record = records.read(path, live)
            except records.StaleRecord:
                continue
            if record.recipe_id == job.recipe_id and record.finished:
                return record
    return None


def _record(job: Job, rows: list, probes: list, segments: list) -> records.Record:
    commit, dirty = records.commit()
    return records.Record(job.experiment, job.tier, job.variant, job.seed, job.recipe_id,
                          job.recipe and job.recipe.to_json(), job.net, job.identity, segments, rows, probes,
                          commit, dirty, live=True)


def _run(job: Job, execution: Execution) -> Run:
    with standard(), torch.random.fork_rng(devices=[]):  # a builder draws weights, which the run draws anew
        return Run(nets.build(job.net), job.pictures.load(), job.recipe, job.carried_out(execution))


@standard()
def _count(job: Job, side: int = 224) -> records.Record:
    """The record of a net that is not trained: parameters, MACs, shapes."""
    start = perf_counter()
    cost = nets.cost(nets.build(job.net), (3, side, side))
    row = {"step": 0, "parameters": cost.parameters, "macs": cost.macs,
           "stages": [[name, list(shape)] for name, shape in cost.stages]}
    execution = Execution(device="cpu")
    segment = {"from_step": 0, "seconds": round(perf_counter() - start, 3),
               "date": datetime.now(UTC).strftime("%Y-%m-%d"), "execution": asdict(execution),
               **environment(execution.resolve())}
    return _record(job, [row], [], [segment])


def train(job: Job, execution: Execution, resume: bool | Path = True, deadline: float | None = None,
          progress: Callable[[int], None] = lambda images: None,
          stopped: Callable[[], bool] = lambda: False) -> records.Record | None:
    """Train one job to its record, with checkpoints; None where ``deadline`` (time()) or ``stopped`` came first.

    One process at a time trains a run: another waits, then takes the record. ``resume`` may be a
    checkpoint file from elsewhere; with False a checkpoint that is there is an error, not thrown away.
    ``progress`` is told how many more pictures the run has seen.
    """
    steps = training(job, execution, resume, deadline, progress, stopped)
    while True:
        try:
            if next(steps) is WAITING:
                sleep(0.5)
        except StopIteration as end:
            return end.value


def train_again(job: Job, execution: Execution) -> None:
    """Train a job whose record is there but not its weights, and keep these; the record stays as it is."""
    run = _run(job, execution)
    for _ in run:
        pass
    weights.write(job.live("pt"), run.net, job.recipe_id)


def training(job: Job, execution: Execution, resume: bool | Path = True, deadline: float | None = None,
             progress: Callable[[int], None] = lambda images: None,
             stopped: Callable[[], bool] = lambda: False) -> Generator[str, None, records.Record | None]:
    """What `train` does, a step at a time, so that runs can take turns; closed early, it saves the run first.

    It yields TRAINED after a step, and WAITING while another process has the run.
    """
    records.commit()  # of the code as it is now, not when the run ends
    try:
        job.live().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"runs cannot be kept in {records.live_root()} ({error.strerror}); set RESNET_LIB_HOME to a "
                       f"folder that can be written") from error
    lock = FileLock(job.live("lock"), mode=0o666)  # whoever may write in the folder may take it, too
    with own(job):
        have = yield from _acquire(lock, job, lambda: stopped() or deadline is not None and time() > deadline)
    if not have:
        return None
    try:
        for part in job.live().parent.glob(f"{job.live('').name}*.part"):  # what a killed process left
            with own(job):
                part.unlink()
        record = find_record(job)
        if record is None:
            if job.recipe is None:
                record = _count(job)
            else:
                record = yield from _steps(job, execution, resume, deadline, progress, stopped)
            if record is None:
                return None
            records.write(record, job.live())
        job.live("ckpt").unlink(missing_ok=True)
        return record
    finally:
        lock.release()


def _acquire(lock: FileLock, job: Job, give_up: Callable[[], bool]) -> Generator[str, None, bool]:
    """Take the run's lock, waiting with one word where another process has it; False where ``give_up`` came first.

    It never blocks: runs that take turns with this one go on, and two processes cannot wait for each other.
    """
    told = bool(os.environ.get("RESNET_LIB_BOOK"))  # a page shows no waiting
    while True:
        try:
            lock.acquire(timeout=0)
            return True
        except Timeout:
            if not told:
                print(f"{job.experiment}/{job.tier}/{job.name} is being trained by another process; waiting for its "
                      f"record", file=sys.stderr, flush=True)
                told = True
            if give_up():
                return False
            yield WAITING


def _steps(job, execution, resume, deadline, progress, stopped) -> Generator[str, None, records.Record | None]:
    checkpoint = job.live("ckpt")
    if not resume and checkpoint.exists():
        way = advice("add --resume", "say resume=True")
        raise RunError(f"{job.name} has a checkpoint, {checkpoint}; {way} to go on from it, or delete it to begin anew")
    with plainly(job, checkpoint):
        run = _run(job, execution)
    if run.recipe_id != job.recipe_id:
        raise RunError(f"{job.name}: data/ has changed since the run was asked for; run the same command again")
    source = resume if isinstance(resume, Path) else job.checkpoint()
    if resume and (source.exists() or isinstance(resume, Path)):
        run.load(source)
        progress(run.at * job.recipe.batch)
    saved, begun = time(), run.at
    try:
        while not run.done:
            with plainly(job, checkpoint):
                row = run.advance()
            progress(job.recipe.batch)
            late = deadline is not None and time() > deadline
            # on a GPU rows may come every second, and writing takes a good part of it
            due = row and (run.device.type == "cpu" or time() - saved > ROW_PAUSE)
            if due or late or stopped() or time() - saved > execution.checkpoint_every:
                save(run, checkpoint, job)
                saved = time()
            if not run.done and (late or stopped()):
                return None
            yield TRAINED
    except GeneratorExit:  # another run of the same process failed
        if run.at > begun:
            save(run, checkpoint, job)
        raise
    if job.keep:
        weights.write(job.live("pt"), run.net, job.recipe_id)
    return _record(job, run.rows, run.probes, run.segments)
