"""Run somebody else's code: with a time limit, without a flood of output, and leave no trace in torch's state.

How the limit works. What counts is the processor's time of the thread, so that a slow or busy machine changes nothing;
by the wall clock code may take `PATIENCE` times as long, for it may wait. In the main thread, where the system has
SIGALRM (Linux, macOS), a signal interrupts even a sleep. Elsewhere (Windows, a thread) a watchdog thread raises an
exception in this one, which arrives at the next bytecode. `OutOfTime` is no ``Exception``, so that
``except Exception`` does not stop it; a bare ``except`` does, and therefore it is raised again, at odd moments, until
it hits a place outside of the ``try``. What cannot be stopped: a single long call into C (one huge matrix product),
and without SIGALRM a sleep inside a bare ``except``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
import ctypes
import io
import math
import random
import signal
import sys
import threading
import time

import numpy as np
import torch

from ..surroundings import standard
from ..wording import printable

PATIENCE = 15  # how many times the limit code may last that hardly computes
MOST_OUTPUT = 2_000  # characters of a student's prints that are shown
AGAIN = 0.05  # seconds; a signal just before a sleep does not wake it, the next one does
_dice = random.Random()  # not the global one, whose state belongs to the reader


class OutOfTime(BaseException):
    """Raised inside code that ran too long."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its value, or the exception; ``late`` if it had to be stopped.

    ``seconds``: the processor's time of this thread.
    """

    value: object = None
    error: BaseException | None = None
    late: bool = False
    seconds: float = 0.0


def outcome(work: Callable[[], object], seconds: float) -> Outcome:
    """Call ``work()`` for at most ``seconds`` of the processor's time; its exceptions come back as values, but for a
    KeyboardInterrupt.

    Random numbers are drawn from seed 0 inside, torch and numpy are as a process finds them at its start, and
    afterwards all is as it was. Prints beyond MOST_OUTPUT characters are left out.
    """
    limited = _alarmed if can_alarm() else _watched
    with untouched(), _no_notes(), _Sieve(sys.stdout) as out, _Sieve(sys.stderr) as err, redirect_stdout(out), \
            redirect_stderr(err):
        return limited(work, _Clock(seconds))


@contextmanager
def untouched() -> Iterator[None]:
    """Seed 0 and `surroundings.standard` inside; afterwards all is as it was, random states too."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with standard(), torch.random.fork_rng(devices):
            torch.default_generator.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


class _Clock:
    """How long this thread has computed, and how long it may go on; other threads may ask too."""

    def __init__(self, seconds: float):
        self.seconds = seconds
        if hasattr(time, "pthread_getcpuclockid"):
            clock = time.pthread_getcpuclockid(threading.get_ident())
            self.used = lambda: time.clock_gettime(clock)
        else:  # of this thread only where it asks itself, and else of the whole process
            self.used = time.thread_time if can_alarm() else time.process_time
        self.begin, self.start = self.used(), time.monotonic()

    def computed(self) -> float:
        """Seconds of the processor since the beginning."""
        return self.used() - self.begin

    def left(self) -> float:
        """Seconds until it is worth asking again; 0 or less: the time is up."""
        return min(self.seconds - self.computed(), PATIENCE * self.seconds - (time.monotonic() - self.start))


def can_alarm() -> bool:
    """Whether the limit can be a signal: the system has SIGALRM, and this is the main thread."""
    return hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()


def _alarmed(work: Callable[[], object], clock: _Clock) -> Outcome:
    running, rung = [True], []

    def ring(_number, frame):
        if not running[0]:
            return  # set again it would ring when this handler is gone, and end the process
        if not rung and clock.left() > 0:  # the machine was busy with others, or the code waits
            signal.setitimer(signal.ITIMER_REAL, max(clock.left(), _soon()), AGAIN)
        elif frame.f_code.co_name != _no_notes.HOOK:
            rung.append(True)
            signal.setitimer(signal.ITIMER_REAL, _soon(), AGAIN)
            raise OutOfTime

    value = error = None
    handler = signal.signal(signal.SIGALRM, ring)
    timer = signal.getitimer(signal.ITIMER_REAL)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, clock.seconds, AGAIN)  # in here: on a busy machine it may ring at once
            value = work()
        finally:
            # A signal is noticed at calls and jumps, and there is none between the end of work and this line,
            # so that from here on nothing is raised any more.
            running[0] = False
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        error = problem
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if timer[0]:  # somebody else's alarm goes on with what is left of its time
            signal.setitimer(signal.ITIMER_REAL, max(timer[0] - (time.monotonic() - clock.start), 1e-3), timer[1])
    return Outcome(value, error, bool(rung), clock.computed())


def _watched(work: Callable[[], object], clock: _Clock) -> Outcome:
    running, rung, here = [True], [], threading.get_ident()
    done = threading.Lock()  # held until the work is done; an Event could be left half set by an exception
    done.acquire()

    def watch():
        wait = clock.seconds
        while not done.acquire(timeout=wait) and running[0]:
            left = clock.left()
            if rung or left <= 0:
                rung.append(True)
                _raise_in(here, OutOfTime)
            wait = _soon() if rung else max(left, _soon())

    def settle():
        if done.locked():
            done.release()
        watchdog.join()
        _raise_in(here, None)  # takes back what has not arrived

    value = error = None
    watchdog = threading.Thread(target=watch, name="time limit", daemon=True)
    try:
        try:
            watchdog.start()
            value = work()
        finally:
            running[0] = False
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        error = problem
    finally:
        # Two more may arrive: one that was waiting, one that the watchdog was about to raise. No loop here, since
        # an exception may also arrive at a jump backwards, outside of the try.
        try:
            settle()
        except OutOfTime:
            try:
                settle()
            except OutOfTime:
                settle()
    return Outcome(value, error, bool(rung), clock.computed())


def _raise_in(thread: int, exception: type[BaseException] | None) -> None:
    target = None if exception is None else ctypes.py_object(exception)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), target)


def _soon() -> float:
    """3 µs to 1 ms. Raised at regular intervals, an exception could hit the same ``try`` for ever."""
    return 10 ** _dice.uniform(-5.5, -3)


class _no_notes:
    """No "Exception ignored in …" about an OutOfTime that hit a finalizer; it is raised again anyway."""

    HOOK = "_drop_out_of_time"

    def __enter__(self):
        before = self.before = sys.unraisablehook

        def _drop_out_of_time(args):
            if args.exc_type is not OutOfTime:
                before(args)

        sys.unraisablehook = _drop_out_of_time

    def __exit__(self, *_):
        sys.unraisablehook = self.before


class _Sieve(io.TextIOBase):
    """Passes the first MOST_OUTPUT characters on, until the check is over; in all else it is what it stands for."""

    def __init__(self, out):
        self.out, self.left = out, MOST_OUTPUT

    def __exit__(self, *_):
        self.left = math.inf  # who kept it, a logger say, goes on with it

    def __getattr__(self, name: str):  # buffer, reconfigure, …
        return getattr(self.out, name)

    encoding = property(lambda self: self.out.encoding)
    errors = property(lambda self: self.out.errors)
    newlines = property(lambda self: self.out.newlines)

    def fileno(self) -> int:
        return self.out.fileno()

    def isatty(self) -> bool:
        return self.out.isatty()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if len(text) < self.left:
            self._pass(text)
        elif self.left > 0:
            self._pass(text[:self.left] + " …\n")
        self.left -= len(text)
        return len(text)

    def _pass(self, text: str) -> None:
        try:
            self.out.write(text)
        except UnicodeEncodeError:  # a right answer is right on a console that lacks a letter
            self.out.write(printable(text, self.out.encoding))

    def flush(self) -> None:
        self.out.flush()
