"""The machine a run is on: its name, versions and memory as a record keeps them."""

from importlib import metadata
from pathlib import Path
import os
import platform
import shutil
import sys

import torch


def cpu_name() -> str:
    """The processor's name, as it gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that does not say
        return platform.processor() or platform.machine()


def native_bf16() -> bool:
    """Whether this processor multiplies bf16 numbers itself, as it says (AVX512_BF16 or AMX; on Arm BF16)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = next((set(line.split()) for line in lines if line.startswith(("flags", "Features"))), set())
    return not flags.isdisjoint(("avx512_bf16", "amx_bf16", "bf16"))


def has_compiler() -> bool:
    """Whether torch.compile will find a C++ compiler for this machine's processor."""
    return any(shutil.which(name) for name in filter(None, (os.environ.get("CXX"), "g++", "clang++")))


def environment(device: torch.device) -> dict:
    """Versions and hardware as a record keeps them."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU {cpu_name()}"
    versions = {"python": platform.python_version(), "torch": str(torch.__version__)} | _version("torchvision")
    return {"device": name, "threads": torch.get_num_threads(), "versions": versions}


def _version(package: str) -> dict:
    """Its version by its name; nothing where it is not installed, since no net needs torchvision."""
    try:
        return {package: metadata.version(package)}
    except metadata.PackageNotFoundError:
        return {}


def peak_memory(device: torch.device) -> dict:
    """Most bytes held so far: ``host`` by this process, ``device`` by its tensors on the GPU; None where unknown."""
    try:
        import resource  # not on Windows
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        host = most if sys.platform == "darwin" else most * 1024
    except ImportError:
        host = None
    return {"host": host, "device": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None}


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, of the GPU or of the host: torch says so by type there, and in words here."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")
    while error is not None:  # while a graph is captured, the error that is raised only has this one behind it
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in str(error) for word in words):
            return True
        error = error.__cause__ or error.__context__
    return False
