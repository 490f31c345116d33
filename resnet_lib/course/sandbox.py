"""The room's walls: bubblewrap around a Python with the student's library, no network, no answers, and limits.

What the walls hold: other namespaces for processes, users, network, messages and host name; files of the system and
of Python read only; one folder in memory of a fixed size to write to; limits for memory, open files and file size.
The room and all its processes end when the judge closes it or ends itself.
"""

from pathlib import Path
from typing import BinaryIO
import json
import os
import shutil
import subprocess
import sys

from ..files import home, shipped

# of each process in the room; its folder is limited besides, and the judge limits the time
LIMITS = {"RLIMIT_DATA": 3 << 30, "RLIMIT_FSIZE": 16 << 20, "RLIMIT_NOFILE": 256, "RLIMIT_CORE": 0}
MOST_PROCESSES, MOST_MEMORY = 40, 4 << 30  # of all of them together; the judge looks several times a second
FOLDER = 64 << 20  # bytes that all files of the student may take together
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
WAYS_OUT = ("Install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap); on Windows "
            "and macOS grade in a Linux virtual machine or in WSL.")


class SandboxError(Exception):
    """There is no room on this machine; the message says how to get one."""


def bubblewrap() -> str:
    """The path of a bwrap that works here; SandboxError, with the ways out, where there is none."""
    found = shutil.which("bwrap") if sys.platform.startswith("linux") else None
    if not found:
        raise SandboxError(f"submissions are run in a room of their own, which takes bubblewrap. {WAYS_OUT}")
    tried = subprocess.run([found, *_walls(), "/bin/true"], capture_output=True, text=True, timeout=20)
    if tried.returncode:
        raise SandboxError(f"bubblewrap cannot make a room here ({tried.stderr.strip() or 'no reason given'}). In a "
                           f"container, allow it user namespaces; else: {WAYS_OUT}")
    return found


def student_library(folder: Path) -> Path:
    """A copy of resnet_lib without the answers, below ``folder``; what goes onto the student's path."""
    package = Path(__file__).resolve().parent.parent
    target = folder / "without_answers" / package.name
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__", "exercises", "recorded"))
    (target / "recorded").mkdir()  # filled in the room
    (target / "exercises").mkdir()
    (target / "exercises" / "__init__.py").write_text('"""The answers are not in here."""\n', encoding="utf-8")
    return target.parent


def library_with_answers(folder: Path) -> Path:
    """A copy of resnet_lib with the book's checks, below ``folder``, for what can only be judged beside its code."""
    package = Path(__file__).resolve().parent.parent
    target = folder / "with_answers" / package.name
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__", "recorded"))
    (target / "recorded").mkdir()  # filled in the room
    return target.parent


def _walls() -> list[str]:
    """The words for bwrap that every room has."""
    words = ["--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--disable-userns",
             "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL", "--hostname", "room"]
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), name]
        elif path.exists():
            words += ["--ro-bind", name, name]
    return [*words, "--proc", "/proc", "--dev", "/dev", "--size", str(FOLDER), "--tmpfs", "/dev/shm", "--remount-ro",
            "/dev", "--size", str(FOLDER), "--tmpfs", "/room", "--dir", "/tmp", "--chdir", "/room"]


def command(bwrap: str, library: Path) -> list[str]:
    """The words that start a room (room.py) with this library."""
    words = [bwrap, *_walls()]
    for place in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not place.startswith("/usr/"):
            words += ["--ro-bind", place, place]
    for place in further_packages():
        words += ["--ro-bind", place, place]
    for place in sys.path:  # the library with the answers, where it is installed
        if place.startswith((sys.prefix, sys.base_prefix, *further_packages())) and Path(place, "resnet_lib").is_dir():
            words += ["--tmpfs", str(Path(place, "resnet_lib"))]
    words += ["--ro-bind", str(library), "/library"]
    words += ["--size", str(FOLDER), "--tmpfs", "/home/_build"]  # estimates and the like
    for name in ("data", "_build/runs"):  # records and pictures: what the page shows, no answers
        if (home() / name).is_dir():
            words += ["--ro-bind", str(home() / name), f"/home/{name}"]
    if shipped().is_dir():
        words += ["--ro-bind", str(shipped()), "/library/resnet_lib/recorded"]
    environment = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"), "/room") | {
        "PATH": "/usr/bin:/bin", "RESNET_LIB_HOME": "/home", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg",
        "PYTHONDONTWRITEBYTECODE": "1"}
    for name, value in environment.items():
        words += ["--setenv", name, value]
    program = [sys.executable, "-I", "/library/resnet_lib/course/room.py", json.dumps(LIMITS), "/library",
               *further_packages()]
    return [*words, "--remount-ro", "/", *program]


def further_packages() -> list[str]:
    """Folders of packages that lie neither in this Python nor in its environment, as with ``pip --user``."""
    return [place for place in dict.fromkeys(sys.path) if Path(place).name in ("site-packages", "dist-packages")
            and Path(place).is_dir() and not place.startswith((sys.prefix, sys.base_prefix, "/usr/"))]


def start(bwrap: str, library: Path, errors: BinaryIO) -> subprocess.Popen:
    """A room, listening on its standard input. To ``errors`` it writes why it cannot begin, and nothing later."""
    return subprocess.Popen(command(bwrap, library), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)


def inhabitants(room: subprocess.Popen) -> tuple[int, int]:
    """How many processes the room has, and their memory in bytes: (0, 0) when it has ended."""
    spaces = _spaces(room.pid)
    processes = memory = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and spaces:
            try:
                if os.readlink(entry / "ns" / "pid") in spaces:
                    processes += 1
                    memory += int((entry / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError, ValueError):  # it has just ended, or is somebody else's
                continue
    return processes, memory


def _spaces(pid: int) -> set[str]:
    """The process namespaces of bwrap's children: that of the room."""
    try:
        own = os.readlink("/proc/self/ns/pid")
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {os.readlink(f"/proc/{child}/ns/pid") for child in children} - {own}
    except OSError:
        return set()
