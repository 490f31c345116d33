"""The queue while it is worked off: one process at a time, at the lowest priority if it is in the background, with a
state that another process can ask for, and a way to hold it or end it.

All of it stands in files beside the runs: `queue.lock` is held by the process that works, `queue.json` says how far
it is, `queue.pause` holds it as long as it is there, `queue.log` is what it prints in the background.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from time import sleep, time
import json
import os
import signal
import subprocess
import sys

from filelock import FileLock, Timeout

from .. import records
from ..files import write_atomically
from ..wording import duration
from .parallel import Follow
from .queue import Left
from .failures import RunError
from .runner import Job

WINDOW = 300.0  # seconds over which the rate is taken
EVERY = 5.0  # seconds between two states
PATIENCE = 600.0  # seconds in which a queue in the background must have begun or ended, on a busy machine too


def _file(suffix: str) -> Path:
    return records.live_root() / f"queue.{suffix}"


def running() -> bool:
    """Whether a process works off the queue here."""
    if not _file("lock").exists():
        return False
    lock = FileLock(_file("lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


class Progress:
    """What is known of the runs of a queue while they are trained; written to a file every few seconds."""

    def __init__(self, lefts: Sequence[Left]):
        self.names = {left.job.recipe_id: str(left.item) for left in lefts if left.job and left.job.recipe}
        self.recipes = {left.job.recipe_id: left.job.recipe for left in lefts if left.job and left.job.recipe}
        self.images: dict[str, int] = {}
        self.marks: dict[str, deque] = {}  # (time, step), the last minutes
        self.active: list[str] = []
        self.finished = self.failures = 0
        self.written = 0.0
        self.write()

    def follow(self) -> Follow:
        """This, as `train_all` wants it."""
        return Follow(self.progress, self.ended, self.failed, _file("pause"))

    def progress(self, recipe_id: str, images: int) -> None:
        """So many more pictures were trained on; the first call of a run that goes on counts all it had."""
        if recipe_id not in self.images:
            self.active.append(recipe_id)
        self.images[recipe_id] = self.images.get(recipe_id, 0) + images
        marks, now = self.marks.setdefault(recipe_id, deque()), time()
        marks.append((now, self.step(recipe_id)))
        while marks[0][0] < now - WINDOW:
            marks.popleft()
        if now - self.written > EVERY:
            self.write()

    def ended(self, job: Job) -> None:
        """A run is finished, or was stopped."""
        self.finished += job.recipe is None or self.step(job.recipe_id) >= job.recipe.steps
        self._over(job)

    def failed(self, job: Job, error: Exception) -> None:
        """A run ended with an error."""
        self.failures += 1
        if job.recipe_id in self.names:
            self.images.setdefault(job.recipe_id, 0)  # it does not wait, also where it never began
        self._over(job)

    def _over(self, job: Job) -> None:
        if job.recipe_id in self.active:
            self.active.remove(job.recipe_id)
        self.write()

    def step(self, recipe_id: str) -> int:
        """Finished steps, as far as this process heard of them."""
        return self.images.get(recipe_id, 0) // self.recipes[recipe_id].batch

    def rate(self, recipe_id: str) -> float | None:
        """Steps a second over the last minutes; None before there are any."""
        (then, before), (now, at) = self.marks[recipe_id][0], self.marks[recipe_id][-1]
        return (at - before) / (now - then) if at > before else None

    def write(self) -> None:
        """Leave the state for others to read."""
        commit, dirty = records.commit()
        runs = [{"name": self.names[i], "step": self.step(i), "steps": self.recipes[i].steps, "rate": self.rate(i)}
                for i in self.active]
        state = {"pid": os.getpid(), "time": time(), "commit": commit, "dirty": dirty, "runs": runs,
                 "waiting": len(self.names) - len(self.images), "finished": self.finished,
                 "failed": self.failures}
        write_atomically(_file("json"), lambda file: file.write(json.dumps(state, indent=1).encode()))
        self.written = time()


def _read() -> dict | None:
    try:
        return json.loads(_file("json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet
        return None


def state() -> str:
    """One line: which runs, at which step, how fast, how long still."""
    known, works = _read(), running()
    if known is None:
        return "the queue begins" if works else "no queue has been worked off here"
    runs = []
    for run in known["runs"]:
        words = f"{run['name']} step {run['step']:,} of {run['steps']:,}"
        if run["rate"]:
            left = duration((run["steps"] - run["step"]) / run["rate"])
            words += f", {run['rate']:.2f} steps/s, {left} left"
        runs.append(words)
    how = "paused" if works and _file("pause").exists() else "running" if works else "not running"
    when = datetime.fromtimestamp(known["time"]).strftime("%Y-%m-%d %H:%M")
    code = f"commit {known['commit'][:8]}{', with uncommitted changes' * known['dirty']}"
    head = f"{how} (process {known['pid']}, {code})" if works else f"{how}; at {when} it was ({code})"
    failed = f", {known['failed']} failed" if known.get("failed") else ""
    return f"{head}: " + "; ".join([*runs, f"{known['finished']} finished{failed}, {known['waiting']} waiting"])


@contextmanager
def alone(lefts: Sequence[Left]) -> Iterator[Progress]:
    """Work off a queue in here: RunError where another process does. A request to end comes as KeyboardInterrupt."""
    _file("lock").parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_file("lock"), mode=0o666)
    try:
        lock.acquire(timeout=0)
    except PermissionError:
        raise RunError(f"{_file('lock')} belongs to another user; set RESNET_LIB_HOME to a folder of your own"
                       ) from None
    except Timeout:
        raise RunError(f"a queue is worked off here already, and two would be in each other's way: {state()}. End "
                       f"it with: python -m resnet_lib queue --stop") from None

    def end(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        _file("json").unlink(missing_ok=True)  # of the queue before, whose process is another's by now
        _file("pause").unlink(missing_ok=True)
        progress = Progress(lefts)
        yield progress
        progress.write()
    finally:
        signal.signal(signal.SIGTERM, before)
        lock.release()


def pause() -> str:
    """Hold the runs between two steps, until `go_on`."""
    if running():
        _file("pause").touch()
    return state()


def go_on() -> str:
    """Let the runs go on."""
    _file("pause").unlink(missing_ok=True)
    return state()


def stop() -> str:
    """End the queue; its runs leave checkpoints. RunError where it does not end."""
    _wait(lambda: _read() or not running(), "the queue has not begun")  # before that its process is not known
    if running():
        os.kill(_read()["pid"], signal.SIGTERM)
        _wait(lambda: not running(), "the queue has not ended")
    return state()


def start(words: Sequence[str]) -> str:
    """Begin ``python -m resnet_lib queue`` with these words in the background, at the lowest priority; its state.

    RunError where it does not begin.
    """
    if running():
        raise RunError(f"a queue is worked off here already: {state()}")
    _file("log").parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "resnet_lib", "queue", *words]
    how = {"creationflags": subprocess.IDLE_PRIORITY_CLASS} if os.name == "nt" else {"start_new_session": True}
    with open(_file("log"), "ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **how)
    _wait(lambda: child.poll() is not None or ((_read() or {}).get("pid") == child.pid),
          f"the queue has not begun; {_file('log')} says why")
    if child.returncode:
        said = _file("log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise RunError(said[-1].removeprefix("error: ") if said else "the queue has ended at once")
    if child.returncode is None:
        _lower(child.pid)  # not before: at the lowest priority even its beginning could take for ever
    return state()


def _lower(pid: int) -> None:
    """Let everything else on the machine go before a process and its workers, which are of its group."""
    if os.name == "nt":  # where it was begun so
        return
    with suppress(OSError):  # it may have ended by now
        os.setpriority(os.PRIO_PGRP, pid, 19)
        # Linux may share out the cores by session, and then niceness counts inside a session only
        Path(f"/proc/{pid}/autogroup").write_text("19")


def _wait(until, problem: str) -> None:
    """Wait until something holds; RunError if it takes too long."""
    begin = time()
    while not until():
        if time() - begin > PATIENCE:
            raise RunError(problem)
        sleep(0.1)
