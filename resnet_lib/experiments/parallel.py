"""Several runs at once: in processes on a CPU, in turn on one device."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from threading import Thread
from time import sleep, time
import os
import signal

from tqdm.auto import tqdm
import torch

from .. import records
from ..files import home
from ..machine import cores
from ..recipe import Execution
from .runner import WAITING, Job, RunError, train, training

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


def _work(job: Job, execution: Execution, resume, deadline, call: int) -> records.Record | None:
    if _shared["call"] == call and deadline is not None and time() > deadline:
        return None  # a worker's first run of a call makes some progress in any case
    _shared["call"] = call
    threads = torch.get_num_threads()
    try:
        return train(job, execution, resume, deadline, _shared["queue"].put, _shared["stop"].is_set)
    finally:
        torch.set_num_threads(threads)  # the next job may leave the choice to torch


def _weight(job: Job) -> int:
    """A guess at a run's length, to start the longest first."""
    r = job.recipe
    return 0 if r is None else r.steps * r.batch * max(job.net.get("depth", 18), r.deepen_to)


def train_missing(jobs: Sequence[Job], execution: Execution, resume: bool | Path = True,
                  budget: float | None = None) -> dict[str, records.Record | None]:
    """Train the jobs and return their records by id; None for one that the budget (seconds) stopped.

    With more than one worker (``execution.workers``, 0 for one per CPU core) and no GPU, each run has a
    process. RunError where a worker was killed; finished runs are in the store by then.
    """
    workers = min(execution.workers or cores(), len(jobs))
    single = replace(execution, workers=1)
    deadline = None if budget is None else time() + budget
    total = sum(j.recipe.steps * j.recipe.batch for j in jobs if j.recipe)
    quiet = True if os.environ.get("RESNET_LIB_BOOK") else None  # None: only on a terminal or in a notebook
    with tqdm(total=total, unit=" images", unit_scale=True, disable=quiet, desc=jobs[0].experiment) as bar:
        if workers == 1 or execution.resolve().type != "cpu":
            return _in_turn(jobs, single, resume, deadline, bar)
        return _in_processes(sorted(jobs, key=_weight, reverse=True), single, resume, deadline, bar, workers)


def _in_turn(jobs, execution, resume, deadline, bar) -> dict:
    """In this process, ``execution.interleave`` runs at a time, each a step in its turn."""
    threads = torch.get_num_threads()
    waiting, active, found = deque(jobs), deque(), {j.recipe_id: None for j in jobs}
    begun = False
    try:
        while waiting or active:
            while waiting and len(active) < execution.interleave:
                job = waiting.popleft()
                if begun and deadline is not None and time() > deadline:
                    continue  # the first run makes some progress in any case
                begun = True
                active.append((job, training(job, execution, resume, deadline, bar.update)))
            idle = True
            for _ in range(len(active)):
                job, steps = active.popleft()
                try:
                    idle &= next(steps) is WAITING
                    active.append((job, steps))
                except StopIteration as end:
                    found[job.recipe_id], idle = end.value, False
            if idle and active:
                sleep(0.5)  # all of them are being trained by other processes
        return found
    finally:
        with ExitStack() as last:  # closes all of them, whatever one of them raises
            last.callback(torch.set_num_threads, threads)
            for _, steps in active:
                last.callback(steps.close)  # after an error or Ctrl-C: the others save themselves


def _in_processes(jobs, execution, resume, deadline, bar, workers) -> dict:
    pool = _pool(workers)
    try:
        futures = {pool.executor.submit(_work, j, execution, resume, deadline, pool.calls): j for j in jobs}
        waiting = set(futures)
        while waiting:
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            while not pool.queue.empty():
                bar.update(pool.queue.get())
            for future in finished:
                future.result()  # an error in a worker is raised here, at once
    except BaseException as error:  # Ctrl-C too
        _kept.clear()
        pool.end()
        if not isinstance(error, BrokenProcessPool):
            raise
        if not pool.alive.is_set():
            raise RunError("no worker process could start. In a script, put what runs experiments under "
                           "if __name__ == '__main__':, or pass execution=Execution(workers=1)") from error
        raise RunError("a worker process was killed (out of memory?); finished runs and checkpoints are kept. "
                       "Run again with --resume, or with fewer --workers") from error
    return {j.recipe_id: f.result() for f, j in futures.items()}
