"""Find a run in the stores, or train it: one after another, or several at once in processes."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from time import perf_counter, time
import os
import signal
import sys

from filelock import FileLock, Timeout
from tqdm.auto import tqdm
import torch

from . import data, nets, records
from .recipe import Execution, Recipe, environment
from .train import Run


class RunError(RuntimeError):
    """Training stopped for a reason outside the recipe; what was reached is kept."""


@dataclass(frozen=True)
class Pictures:
    """Which pictures a run sees: a set's name, its subset, the side they are resized to."""

    name: str
    n_train: int | None
    n_test: int | None
    size: int

    def originals(self) -> data.ImageSet:
        """The pictures before resizing: what lies in data/ now, else the digits. Kept while data/ does not change."""
        return _originals(self.name, self.n_train, self.n_test, data.home(), data.state(self.name))

    def load(self) -> data.ImageSet:
        """The pictures as the net sees them."""
        return _resized(self.originals(), self.size)


@lru_cache(maxsize=4)
def _originals(name: str, n_train: int | None, n_test: int | None, _home: Path, _state: tuple) -> data.ImageSet:
    return data.load_or_digits(name).subset(n_train, n_test)


@lru_cache(maxsize=2)
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

    @property
    def name(self) -> str:
        """The run's name in its tier, such as "plain-56-s0"."""
        return f"{self.variant}-s{self.seed}"

    def recorded(self) -> Path:
        """Where the committed record lies, if there is one."""
        return records.recorded_root() / self.experiment / self.tier / f"{self.name}.json"

    def live(self, suffix: str = "json") -> Path:
        """Where this machine keeps the run: "json" the record, "ckpt" its checkpoint, "lock" its lock."""
        return records.live_root() / self.experiment / self.tier / f"{self.name}.{self.recipe_id[:8]}.{suffix}"


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
            if record.recipe_id == job.recipe_id:
                return record
    return None


def _record(job: Job, rows: list, probes: list, segments: list) -> records.Record:
    commit, dirty = records.commit()
    return records.Record(job.experiment, job.tier, job.variant, job.seed, job.recipe_id,
                          job.recipe and job.recipe.to_json(), job.net, job.identity, segments, rows, probes,
                          commit, dirty, live=True)


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
    records.commit()  # of the code as it is now, not when the run ends
    try:
        job.live().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"runs cannot be kept in {records.live_root()} ({error.strerror}); set RESNET_LIB_HOME to a "
                       f"folder that can be written") from error
    lock = FileLock(job.live("lock"))
    if not _acquire(lock, job, lambda: stopped() or deadline is not None and time() > deadline):
        return None
    try:
        for part in job.live().parent.glob(f"{job.live('').name}*.part"):  # what a killed process left
            part.unlink()
        record = find_record(job)
        if record is None:
            record = _count(job) if job.recipe is None else _train(job, execution, resume, deadline, progress, stopped)
            if record is None:
                return None
            records.write(record, job.live())
        job.live("ckpt").unlink(missing_ok=True)
        return record
    finally:
        lock.release()


def _acquire(lock: FileLock, job: Job, give_up: Callable[[], bool]) -> bool:
    """Take the run's lock, waiting with one word where another process has it; False where ``give_up`` came first."""
    told = bool(os.environ.get("RESNET_LIB_BOOK"))  # a page shows no waiting
    while True:
        try:
            lock.acquire(timeout=0.5 if told else 0)
            return True
        except Timeout:
            if not told:
                print(f"{job.experiment}/{job.tier}/{job.name} is being trained by another process; waiting for its "
                      f"record", file=sys.stderr, flush=True)
                told = True
            if give_up():
                return False


def _train(job, execution, resume, deadline, progress, stopped) -> records.Record | None:
    checkpoint = job.live("ckpt")
    if not resume and checkpoint.exists():
        raise RunError(f"{job.name} has a checkpoint, {checkpoint}; add --resume to go on from it, or delete it to "
                       f"begin anew")
    run = Run(nets.build(job.net), job.pictures.load(), job.recipe, execution)
    if run.recipe_id != job.recipe_id:
        raise RunError(f"{job.name}: data/ has changed since the run was asked for; run the same command again")
    source = resume if isinstance(resume, Path) else checkpoint
    if resume and (source.exists() or source != checkpoint):
        run.load(source)
        progress(run.at * job.recipe.batch)
    saved = time()
    while not run.done:
        row = run.advance()
        progress(job.recipe.batch)
        late = deadline is not None and time() > deadline
        if row or late or stopped() or time() - saved > execution.checkpoint_every:
            _save(run, checkpoint, job)
            saved = time()
        if not run.done and (late or stopped()):
            return None
    return _record(job, run.rows, run.probes, run.segments)


def _save(run: Run, checkpoint: Path, job: Job) -> None:
    try:
        run.save(checkpoint)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        kept = "the checkpoint before it is kept" if checkpoint.exists() else "no earlier one exists"
        raise RunError(f"{job.name}: the checkpoint at step {run.at:,} cannot be written to {checkpoint} "
                       f"({getattr(error, 'strerror', None) or str(error).splitlines()[0]}); {kept}. Make room, then "
                       f"run the same command with --resume") from error


# --- several at once ------------------------------------------------------------------------------------

_shared: dict = {}  # a worker's queue and stop flag, set by _enter


def _enter(queue, stop, alive) -> None:
    """A worker's start: keep what it shares with the parent, leave Ctrl-C to it, and die with it."""
    _shared.update(queue=queue, stop=stop, begun=False)
    alive.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's stop flag lets the run save itself
    sentinel = parent_process().sentinel

    def die_with_parent():
        connection.wait([sentinel])
        os._exit(1)

    Thread(target=die_with_parent, daemon=True).start()


def _work(job: Job, execution: Execution, resume, deadline) -> records.Record | None:
    if _shared["begun"] and deadline is not None and time() > deadline:
        return None  # a worker's first run makes some progress in any case
    _shared["begun"] = True
    return train(job, execution, resume, deadline, _shared["queue"].put, _shared["stop"].is_set)


def _cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _weight(job: Job) -> int:
    """A guess at a run's length, to start the longest first."""
    return 0 if job.recipe is None else job.recipe.steps * job.recipe.batch * job.net.get("depth", 18)


def train_missing(jobs: Sequence[Job], execution: Execution, resume: bool | Path = True,
                  budget: float | None = None) -> dict[str, records.Record | None]:
    """Train the jobs and return their records by id; None for one that the budget (seconds) stopped.

    With more than one worker (``execution.workers``, 0 for one per CPU core) and no GPU, each run has a
    process. RunError where a worker was killed; finished runs are in the store by then.
    """
    workers = min(execution.workers or _cores(), len(jobs))
    single = replace(execution, workers=1)
    deadline = None if budget is None else time() + budget
    total = sum(j.recipe.steps * j.recipe.batch for j in jobs if j.recipe)
    quiet = True if os.environ.get("RESNET_LIB_BOOK") else None  # None: only on a terminal or in a notebook
    with tqdm(total=total, unit=" images", unit_scale=True, disable=quiet, desc=jobs[0].experiment) as bar:
        if workers == 1 or execution.resolve().type != "cpu":
            return _one_by_one(jobs, single, resume, deadline, bar)
        return _in_processes(sorted(jobs, key=_weight, reverse=True), single, resume, deadline, bar, workers)


def _one_by_one(jobs, execution, resume, deadline, bar) -> dict:
    threads = torch.get_num_threads()
    try:
        found = {}
        for k, j in enumerate(jobs):
            late = k > 0 and deadline is not None and time() > deadline
            found[j.recipe_id] = None if late else train(j, execution, resume, deadline, bar.update)
        return found
    finally:
        torch.set_num_threads(threads)


def _in_processes(jobs, execution, resume, deadline, bar, workers) -> dict:
    context = get_context("spawn")  # a forked torch with threads can hang
    queue, stop, alive = context.Queue(), context.Event(), context.Event()
    with ProcessPoolExecutor(workers, context, initializer=_enter, initargs=(queue, stop, alive)) as pool:
        futures = {pool.submit(_work, j, execution, resume, deadline): j for j in jobs}
        waiting = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                while not queue.empty():
                    bar.update(queue.get())
                for future in finished:
                    future.result()  # an error in a worker is raised here, at once
        except BrokenProcessPool as error:
            if not alive.is_set():
                raise RunError("no worker process could start. In a script, put what runs experiments under "
                               "if __name__ == '__main__':, or pass execution=Execution(workers=1)") from error
            raise RunError("a worker process was killed (out of memory?); finished runs and checkpoints are kept. "
                           "Run again with --resume, or with fewer --workers") from error
        finally:
            stop.set()  # the others save and end at their next step
            pool.shutdown(cancel_futures=True)
    return {j.recipe_id: f.result() for f, j in futures.items()}
