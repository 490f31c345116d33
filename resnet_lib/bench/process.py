"""The process that a contender of the benchmark lives in.

Each is set up in a child of its own, one after the other, and is frozen (SIGSTOP, with its loader's
processes) while another one is set up or measured: nothing runs beside what is being measured.
"""

from multiprocessing import active_children, connection, get_context
from pathlib import Path
import os
import re
import signal
import sys
import tempfile
import warnings

import torch

from ..machine import is_out_of_memory, peak_memory
from .cases import Case, Contender

LIMIT = 1800.0  # seconds; a child that has not answered by then has failed
PATIENCE = 10.0  # seconds for a child to end its loader's processes


def memory(device: torch.device) -> dict:
    """Peak memory: that of this process, and what its loader's processes hold for themselves; bytes.

    Linux keeps the peak of the process proper in VmHWM; what getrusage reports may be that of its parent.
    """
    peak = peak_memory(device)
    try:
        peak["host"] = 1024 * _kilobytes("/proc/self/status", "VmHWM") or peak["host"]
        for worker in active_children():
            peak["host"] += 1024 * _kilobytes(f"/proc/{worker.pid}/smaps_rollup", "Private_(?:Clean|Dirty)")
    except OSError:  # not Linux
        pass
    return peak


def _kilobytes(path: str, name: str) -> int:
    return sum(int(n) for n in re.findall(rf"^{name}:\s+(\d+) kB", Path(path).read_text(), re.M))


def reason(error: BaseException) -> str:
    """Why a contender failed, in one line."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed"
    if is_out_of_memory(error):
        return "out of memory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.rstrip().endswith("raised:")]
    name = type(error).__name__
    if not lines:
        return name
    return (lines[0] if isinstance(error, ValueError) else f"{name}: {lines[0]}")[:200]  # ours are sentences


class Failure(RuntimeError):
    """A contender that could not go on; the message is the reason."""


def _live(pipe: connection.Connection, case: Case, key: str, device: str, threads: int, warmup: int) -> None:
    """The child: build, say so, then measure whenever asked, until asked for 0 steps: peak memory."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # frozen and ended together with the processes it starts
    with open(os.devnull, "w") as nowhere:  # compilers and loaders are talkative; the reason is sent
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    warnings.simplefilter("ignore")
    contender = None
    try:
        contender = Contender(case, key, device, threads, warmup)
        pipe.send(contender.facts)
        while steps := pipe.recv():
            pipe.send(contender.measure(steps))
        pipe.send(memory(torch.device(device)))
        pipe.recv()  # until the parent hangs up
    except EOFError:  # it has, or is gone
        pass
    except BaseException as error:
        pipe.send(Failure(reason(error)))
    if contender:
        contender.close()


class Child:
    """A contender in its own process, seen from outside. It runs only while it is asked something."""

    def __init__(self, case: Case, key: str, device: str, threads: int, warmup: int):
        context = get_context("spawn")  # nothing is shared, and CUDA cannot be forked
        self.pipe, theirs = context.Pipe()
        self.cache = tempfile.TemporaryDirectory(prefix="bench-")  # so that each one compiles for itself
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = self.cache.name
        try:
            self.process = context.Process(target=_live, args=(theirs, case, key, device, threads, warmup))
            self.process.start()
        finally:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        theirs.close()

    def answer(self) -> object:
        """What the child says next; Failure where it failed, died or kept silent. It is frozen afterwards."""
        if not connection.wait([self.pipe, self.process.sentinel], LIMIT):
            raise Failure(f"no answer within {LIMIT / 60:.0f} minutes")
        try:
            said = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            raise Failure(f"its process was killed (exit status {self.process.exitcode}; out of memory?)") from None
        if isinstance(said, Failure):
            raise said
        self._freeze()
        return said

    def _freeze(self) -> None:
        self._signal("SIGSTOP")
        if hasattr(os, "waitid"):  # until it stands still; WNOWAIT leaves its exit status to multiprocessing
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def ask(self, steps: int) -> object:
        """Seconds a step over so many steps; for 0, the last thing asked, its peak memory."""
        self._signal("SIGCONT")
        try:
            self.pipe.send(steps)
        except OSError:  # it is gone; what it said last, or its exit status, is the answer
            pass
        return self.answer()

    def end(self) -> None:
        """End it and all that it started: it is left a moment to do so itself, then killed."""
        self.pipe.close()
        self._signal("SIGCONT")
        self.process.join(PATIENCE)
        self._signal("SIGKILL")
        self.process.kill()
        self.process.join()
        self.cache.cleanup()

    def _signal(self, name: str) -> None:
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, getattr(signal, name))
        except ProcessLookupError:  # it is gone; its pipe says so
            pass
