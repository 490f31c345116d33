"""Several runs at once: in processes on a CPU, in turn on one device."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from time import sleep, time
import os
import signal

from tqdm.auto import tqdm

from .. import records
from ..files import home
from ..machine import cores
from ..recipe import Execution
from ..wording import advice
from .failures import RunError
from .runner import WAITING, Job, train, training

_shared: dict = {}  # a worker's queue and stop flag, set by _enter
_kept: dict[tuple, "_Pool"] = {}  # at most one, for the next call: importing torch takes a worker seconds


class _Pool:
    """Worker processes with what they share with this one."""

    def __init__(self, workers: int):
        context = get_context("spawn")  # a forked torch with threads can hang
        self.queue, self.stop, self.alive = context.Queue(), context.Event(), context.Event()
        self.executor = ProcessPoolExecutor(workers, context, initializer=_enter,
                                            initargs=(self.queue, self.stop, self.alive))
        self.calls = 0

    def end(self) -> None:
        """Let running jobs save themselves at their next step, and end the processes."""
        self.stop.set()
        self.executor.shutdown(cancel_futures=True)


def _pool(workers: int) -> _Pool:
    key = (workers, home())  # a worker keeps the surroundings that it was started in
    if key not in _kept:
        for other in list(_kept):
            _kept.pop(other).end()
        _kept[key] = _Pool(workers)
    _kept[key].calls += 1
    return _kept[key]


def _enter(queue, stop, alive) -> None:
    """A worker's start: keep what it shares with the parent, leave Ctrl-C to it, and die with it."""
    _shared.update(queue=queue, stop=stop, call=0)
    alive.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's stop flag lets the run save itself
    sentinel = parent_process().sentinel

    def die_with_parent():
        connection.wait([sentinel])
        os._exit(1)

    Thread(target=die_with_parent, daemon=True).start()


def _wait_while(paused: Path | None, stopped: Callable[[], bool]) -> bool:
    """Wait as long as the file ``paused`` is there; whether the run is to stop."""
    while paused is not None and paused.exists() and not stopped():
        sleep(0.2)
    return stopped()


def _work(job: Job, execution: Execution, resume, deadline, paused, call: int) -> records.Record | None:
    if _shared["stop"].is_set():
        return None  # the executor had handed it out before it was ended
    if _shared["call"] == call and deadline is not None and time() > deadline:
        return None  # a worker's first run of a call makes some progress in any case
    _shared["call"] = call
    return train(job, execution, resume, deadline, lambda images: _shared["queue"].put((job.recipe_id, images)),
                 lambda: _wait_while(paused, _shared["stop"].is_set))


def _weight(job: Job) -> int:
    """A guess at a run's length, to start the longest first."""
    r = job.recipe
    return 0 if r is None else r.steps * r.batch * max(job.net.get("depth", 18), r.deepen_to)


@dataclass(frozen=True)
class Follow:
    """What a caller hears while runs are trained, and how it holds them; by default nothing, and an error ends all."""

    progress: Callable[[str, int], None] = lambda recipe_id, images: None
    ended: Callable[[Job], None] = lambda job: None  # finished, or stopped by the budget
    failed: Callable[[Job, Exception], None] | None = None  # None: the error is raised; else the other runs go on
    paused: Path | None = None  # while this file is there the runs wait, between two steps


def train_missing(jobs: Sequence[Job], execution: Execution, resume: bool | Path = True,
                  budget: float | None = None) -> dict[str, records.Record | None]:
    """Train the jobs and return their records by id; None for one that the budget (seconds) stopped.

    With more than one worker (``execution.workers``, 0 for one per CPU core) and no GPU, each run has a
    process. RunError where a worker was killed; finished runs are in the store by then.
    """
    in_order = sorted(jobs, key=_weight, reverse=True) if _beside_each_other(execution) else jobs
    return train_all([(job, execution) for job in in_order], resume, budget)


def _beside_each_other(execution: Execution) -> bool:
    return (execution.workers or cores()) > 1 and execution.resolve().type == "cpu"


def train_all(work: Sequence[tuple[Job, Execution]], resume: bool | Path = True, budget: float | None = None,
              follow: Follow | None = None) -> dict[str, records.Record | None]:
    """What `train_missing` does, in the order given and each job in its own way.

    How many go at once is what the first job's execution says.
    """
    first, follow = work[0][1], follow or Follow()
    workers = min(first.workers or cores(), len(work))
    single = [(job, replace(execution, workers=1)) for job, execution in work]
    deadline = None if budget is None else time() + budget
    total = sum(j.recipe.steps * j.recipe.batch for j, _ in work if j.recipe)
    quiet = True if os.environ.get("RESNET_LIB_BOOK") else None  # None: only on a terminal or in a notebook
    with tqdm(total=total, unit=" images", unit_scale=True, disable=quiet, desc=work[0][0].experiment) as bar:
        def progress(recipe_id: str, images: int) -> None:
            bar.update(images)
            follow.progress(recipe_id, images)

        heard = replace(follow, progress=progress)
        if workers == 1 or not _beside_each_other(first):
            return _in_turn(single, resume, deadline, heard, first.interleave)
        return _in_processes(single, resume, deadline, heard, workers)


def _in_turn(work, resume, deadline, follow: Follow, interleave: int) -> dict:
    """In this process, ``interleave`` runs at a time, each a step in its turn."""
    waiting, active, found = deque(work), deque(), {job.recipe_id: None for job, _ in work}
    begun = False
    try:
        while waiting or active:
            while waiting and len(active) < interleave:
                job, execution = waiting.popleft()
                if begun and deadline is not None and time() > deadline:
                    continue  # the first run makes some progress in any case
                begun = True
                active.append((job, training(job, execution, resume, deadline, partial(follow.progress,
                                                                                       job.recipe_id))))
            idle = True
            for _ in range(len(active)):
                _wait_while(follow.paused, lambda: False)
                job, steps = active.popleft()
                try:
                    idle &= next(steps) is WAITING
                    active.append((job, steps))
                except StopIteration as end:
                    found[job.recipe_id], idle = end.value, False
                    follow.ended(job)
                except (RunError, ValueError) as error:
                    if follow.failed is None:
                        raise
                    idle = False
                    follow.failed(job, error)
            if idle and active:
                sleep(0.5)  # all of them are being trained by other processes
        return found
    finally:
        with ExitStack() as last:  # closes all of them, whatever one of them raises
            for _, steps in active:
                last.callback(steps.close)  # after an error or Ctrl-C: the others save themselves


def _in_processes(work, resume, deadline, follow: Follow, workers: int) -> dict:
    pool = _pool(workers)
    found = {job.recipe_id: None for job, _ in work}
    try:
        futures = {pool.executor.submit(_work, job, execution, resume, deadline, follow.paused, pool.calls): job
                   for job, execution in work}
        waiting = set(futures)
        while waiting:
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            while not pool.queue.empty():
                follow.progress(*pool.queue.get())
            for future in finished:
                job = futures[future]
                try:
                    found[job.recipe_id] = future.result()  # an error in a worker is raised here, at once
                    follow.ended(job)
                except (RunError, ValueError) as error:
                    if follow.failed is None:
                        raise
                    follow.failed(job, error)
    except BaseException as error:  # Ctrl-C too
        _kept.clear()
        pool.end()
        if not isinstance(error, BrokenProcessPool):
            raise
        if not pool.alive.is_set():
            raise RunError("no worker process could start. In a script, put what runs experiments under "
                           "if __name__ == '__main__':, or pass execution=Execution(workers=1)") from error
        raise RunError("a worker process was killed (out of memory?); finished runs and checkpoints are kept. "
                       + advice("Run again with --resume, or with fewer --workers",
                                "Call the same again, or with a smaller number of workers: "
                                "execution=Execution(workers=1)")) from error
    return found
