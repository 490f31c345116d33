"""Run somebody else's code: with a time limit, without a flood of output, and leave no trace in torch's state.

How the limit works. In the main thread, where the system has SIGALRM (Linux, macOS), a signal interrupts even
a sleep. Elsewhere (Windows, a thread) a watchdog thread raises an exception in this one, which arrives at the
next bytecode. `OutOfTime` is no ``Exception``, so that ``except Exception`` does not stop it; a bare ``except``
does, and therefore it is raised again, at odd moments, until it hits a place outside of the ``try``. What cannot be
stopped: a single long call into C (one huge matrix product), and without SIGALRM a sleep inside a bare ``except``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from time import monotonic
import ctypes
import io
import random
import signal
import sys
import threading

import numpy as np
import torch

MOST_OUTPUT = 2_000  # characters of a student's prints that are shown
AGAIN = 0.05  # seconds; a signal just before a sleep does not wake it, the next one does
_dice = random.Random()  # not the global one, whose state belongs to the reader


class OutOfTime(BaseException):
    """Raised inside code that ran too long."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its value, or the exception; ``late`` if it had to be stopped."""

    value: object = None
    error: BaseException | None = None
    late: bool = False


def outcome(work: Callable[[], object], seconds: float) -> Outcome:
    """Call ``work()`` for at most ``seconds``; its exceptions come back as values, but for a KeyboardInterrupt.

    Random numbers are drawn from seed 0 inside, gradients are on, and afterwards all is as it was. Prints
    beyond MOST_OUTPUT characters are left out.
    """
    limited = _alarmed if can_alarm() else _watched
    with untouched(), _no_notes(), redirect_stdout(_Sieve(sys.stdout)), redirect_stderr(_Sieve(sys.stderr)):
        return limited(work, seconds)


@contextmanager
def untouched() -> Iterator[None]:
    """Seed 0 and gradients inside; afterwards the random states, grad mode, default dtype and threads of before."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
            torch.default_generator.manual_seed(0)
            np.random.seed(0)
            random.seed(0)
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def can_alarm() -> bool:
    """Whether the limit can be a signal: the system has SIGALRM, and this is the main thread."""
    return hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()


def _alarmed(work: Callable[[], object], seconds: float) -> Outcome:
    running, rung = [True], []

    def ring(_number, frame):
        if running[0] and frame.f_code.co_name != _no_notes.HOOK:
            rung.append(True)
            signal.setitimer(signal.ITIMER_REAL, _soon(), AGAIN)
            raise OutOfTime

    value = error = None
    handler, start = signal.signal(signal.SIGALRM, ring), monotonic()
    timer = signal.getitimer(signal.ITIMER_REAL)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)  # in here: on a busy machine it may ring at once
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
            signal.setitimer(signal.ITIMER_REAL, max(timer[0] - (monotonic() - start), 1e-3), timer[1])
    return Outcome(value, error, bool(rung))


def _watched(work: Callable[[], object], seconds: float) -> Outcome:
    running, rung, here = [True], [], threading.get_ident()
    done = threading.Lock()  # held until the work is done; an Event could be left half set by an exception
    done.acquire()

    def watch():
        wait = seconds
        while not done.acquire(timeout=wait) and running[0]:
            rung.append(True)
            _raise_in(here, OutOfTime)
            wait = _soon()

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
    return Outcome(value, error, bool(rung))


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
    """Passes the first MOST_OUTPUT characters on."""

    def __init__(self, out):
        self.out, self.left = out, MOST_OUTPUT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.left > 0:
            self.out.write(text[:self.left] + ("" if len(text) < self.left else " …\n"))
            self.left -= len(text)
        return len(text)

    def flush(self) -> None:
        self.out.flush()
