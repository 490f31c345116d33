"""The room's walls: bubblewrap or podman around a Python with the student's library; no network, no answers; limits.

What the walls hold: other namespaces for processes, network, messages and host name; files of the system and of Python
read only; one folder in memory of a fixed size to write to; limits for memory, processes, open files and file size. The
room and all its processes end when the judge closes it or ends itself (with podman then at the latest after `LONGEST`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile

from ..files import home, shipped

# of each process in the room; its folder is limited besides, and the judge limits the time
LIMITS = {"RLIMIT_DATA": 3 << 30, "RLIMIT_FSIZE": 16 << 20, "RLIMIT_NOFILE": 256, "RLIMIT_CORE": 0}
MOST_PROCESSES, MOST_MEMORY = 40, 4 << 30  # of all of them together
FOLDER = 64 << 20  # bytes that all files of the student may take together
LONGEST = 3600  # seconds after which podman ends a room whose judge is gone
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
WAYS_OUT = ("Install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap) or podman; on "
            "Windows and macOS grade in a Linux virtual machine or in WSL.")


class SandboxError(Exception):
    """There is no room on this machine; the message says how to get one."""


def walls() -> "Bubblewrap | Podman":
    """What makes rooms here: bubblewrap, else podman. SandboxError, with the ways out, where neither does."""
    reasons = []
    for kind in (Bubblewrap, Podman):
        found = shutil.which(kind.name) if sys.platform.startswith("linux") else None
        if found:
            made = kind(found)
            problem = made.problem()
            if problem is None:
                return made
            reasons.append(f"{kind.name} cannot make a room here ({problem}).")
    if reasons:
        raise SandboxError(f"{' '.join(reasons)} In a container, allow it user namespaces; else: {WAYS_OUT}")
    raise SandboxError(f"submissions are run in a room of their own, which takes bubblewrap or podman. {WAYS_OUT}")


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


@dataclass(frozen=True)
class Place:
    """Something of this machine that a room sees, read only: a folder or file, a link, or an empty folder in memory."""

    at: str
    source: str | None = None
    link: str | None = None


def _system() -> Iterator[Place]:
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            yield Place(name, link=os.readlink(path))
        elif path.exists():
            yield Place(name, source=name)


def _python(library: Path) -> Iterator[Place]:
    """Python, its packages without the library that has the answers, the student's library, records and pictures."""
    for place in dict.fromkeys((sys.base_prefix, sys.prefix)):
        if not place.startswith("/usr/"):
            yield Place(place, source=place)
    for place in further_packages():
        yield Place(place, source=place)
    for place in sys.path:  # the library with the answers, where it is installed
        if place.startswith((sys.prefix, sys.base_prefix, *further_packages())) and Path(place, "resnet_lib").is_dir():
            yield Place(str(Path(place, "resnet_lib")))
    yield Place("/library", source=str(library))
    yield Place("/home/_build")  # what the student trains, estimates and the like
    for name, at in (("data", "/home/data"), ("_build/runs", "/runs")):  # pictures and runs: what the page shows
        if (home() / name).is_dir():
            yield Place(at, source=str(home() / name))
    if shipped().is_dir():
        yield Place("/library/resnet_lib/recorded", source=str(shipped()))


def _environment() -> dict[str, str]:
    return dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "TORCHINDUCTOR_CACHE_DIR"), "/room") | {
        "PATH": "/usr/bin:/bin", "RESNET_LIB_HOME": "/home", "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg",
        "PYTHONDONTWRITEBYTECODE": "1"}


def _program() -> list[str]:
    return [sys.executable, "-I", "/library/resnet_lib/course/room.py", json.dumps(LIMITS), "/library",
            *further_packages()]


def further_packages() -> list[str]:
    """Folders of packages that lie neither in this Python nor in its environment, as with ``pip --user``."""
    return [place for place in dict.fromkeys(sys.path) if Path(place).name in ("site-packages", "dist-packages")
            and Path(place).is_dir() and not place.startswith((sys.prefix, sys.base_prefix, "/usr/"))]


@dataclass(frozen=True)
class Bubblewrap:
    """Rooms made by bwrap: each is its child and ends with it. The judge counts processes and memory."""

    program: str
    name = "bwrap"

    def problem(self) -> str | None:
        """Why no room can be made, or None."""
        tried = subprocess.run([self.program, *self._outside(), "/bin/true"], capture_output=True, text=True,
                               timeout=20)
        return (tried.stderr.strip() or "no reason given") if tried.returncode else None

    def _outside(self) -> list[str]:
        words = ["--unshare-all", "--unshare-user", "--uid", "65534", "--gid", "65534", "--disable-userns",
                 "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL", "--hostname", "room",
                 *self._binds(_system())]
        return [*words, "--proc", "/proc", "--dev", "/dev", "--size", str(FOLDER), "--tmpfs", "/dev/shm",
                "--remount-ro", "/dev", "--size", str(FOLDER), "--tmpfs", "/room", "--dir", "/tmp", "--chdir", "/room"]

    def _binds(self, places: Iterator[Place]) -> Iterator[str]:
        for place in places:
            yield from (["--symlink", place.link, place.at] if place.link else
                        ["--ro-bind", place.source, place.at] if place.source else
                        ["--size", str(FOLDER), "--tmpfs", place.at])

    def start(self, library: Path, errors: BinaryIO) -> subprocess.Popen:
        """A room, listening on its standard input. To ``errors`` it writes why it cannot begin, and nothing later."""
        words = [self.program, *self._outside(), *self._binds(_python(library))]
        for name, value in _environment().items():
            words += ["--setenv", name, value]
        return subprocess.Popen([*words, "--remount-ro", "/", *_program()], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=errors)

    def end(self, room: subprocess.Popen) -> None:
        """End a room and everything in it."""
        room.kill()
        room.wait()

    def inhabitants(self, room: subprocess.Popen) -> tuple[int, int]:
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


@dataclass(frozen=True)
class Podman:
    """Rooms made by podman on this machine's own files, without an image. The kernel's control groups limit memory and
    processes of all of a room together."""

    program: str
    name = "podman"

    def problem(self) -> str | None:
        """Why no room can be made, or None."""
        with tempfile.TemporaryDirectory() as root:
            tried = subprocess.run([*self._outside(Path(root), "room-" + secrets.token_hex(8), _system()), "/bin/true"],
                                   capture_output=True, text=True, timeout=60)
        said = tried.stderr.strip().splitlines()
        return (said[-1] if said else "no reason given") if tried.returncode else None

    def _outside(self, root: Path, name: str, places: Iterator[Place]) -> list[str]:
        """``root``: an empty folder that becomes the room's "/"."""
        words = [self.program, "run", "--rm", "--interactive", "--name", name, "--network", "none", "--read-only",
                 "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges", "--user",
                 "65534:65534", "--hostname", "room", "--no-hosts", "--log-driver", "none", "--timeout", str(LONGEST),
                 "--pids-limit", str(MOST_PROCESSES), "--memory", str(MOST_MEMORY), "--memory-swap", str(MOST_MEMORY),
                 "--ulimit", "nproc=4096:4096", "--ulimit", "nofile=256:256", "--ulimit", "core=0:0",
                 "--shm-size", str(FOLDER), "--workdir", "/room"]
        root.chmod(0o755)  # the room's "/", where nobody has to find a way
        for place in (*places, Place("/room"), Place("/tmp")):
            at = root / place.at.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            if place.link:
                at.symlink_to(place.link)
            elif place.source:
                at.touch() if Path(place.source).is_file() else at.mkdir(parents=True, exist_ok=True)
                words += ["--volume", f"{place.source}:{place.at}:ro"]
            else:
                words += ["--tmpfs", f"{place.at}:size={FOLDER},mode=1777,nosuid,nodev"]
        for variable, value in _environment().items():
            words += ["--env", f"{variable}={value}"]
        return [*words, "--rootfs", str(root)]

    def start(self, library: Path, errors: BinaryIO) -> subprocess.Popen:
        """A room, listening on its standard input. To ``errors`` it writes why it cannot begin, and nothing later."""
        name, root = "room-" + secrets.token_hex(8), Path(tempfile.mkdtemp())
        room = subprocess.Popen([*self._outside(root, name, (*_system(), *_python(library))), *_program()],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        room.name, room.root = name, root
        return room

    def end(self, room: subprocess.Popen) -> None:
        """End a room and everything in it."""
        subprocess.run([self.program, "rm", "--force", "--time", "0", room.name], capture_output=True, timeout=60)
        room.kill()
        room.wait()
        shutil.rmtree(room.root, ignore_errors=True)

    def inhabitants(self, room: subprocess.Popen) -> tuple[int, int]:
        """(0, 0): the judge need not count what the control group limits."""
        return 0, 0
