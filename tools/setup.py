"""Make .venv if it is missing or out of date, then do one job in it; `HELP` says which."""

from __future__ import annotations  # so that an older Python gets as far as its one clear line

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "_build"
SILENCE = 20  # seconds after which a long step says that it goes on
OLDEST, NEWEST = (3, 11), (3, 13)  # constraints.txt is known to install on these
CORES = os.cpu_count() or 1
COMMANDS = ("setup", "book", "test", "fast", "notebooks", "serve", "data", "clean", "help")
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish a new connection|Network is unreachable"
    r"|ConnectTimeoutError|ProxyError|ReadTimeoutError|getaddrinfo failed|failure in name resolution",
    re.IGNORECASE,
)


HELP = """\
Make .venv if it is missing or out of date, then do one job in it.

    make COMMAND [ARGS="..."]                                        where there is make, or
    python tools/setup.py [--no-constraints] COMMAND [ARGUMENTS]     everywhere

    setup           make or complete .venv and stop
    book            build the site into _build/html (warnings are errors) and check it; with TIER=short (without make:
                    RESNET_LIB_TIER=short in the environment) full-size runs are trained live, where there is a GPU;
                    with EDITION=student it is built without solutions and answers, in _build/student
    test            all tests, several at once (-n 0: one by one); arguments go to pytest
    fast            the tests that need neither a browser nor long runs
    notebooks       make chapters/*.ipynb from the chapters; --check says which are out of date
    serve [PORT]    show the built site on http://127.0.0.1:8000
    data            download the real data sets into data/ (the book never does)
    clean [--all]   remove _build but keep _build/runs; --all removes those and .venv too
    help            this text

Needs Python 3.11, 3.12 or 3.13 and nothing else. An interrupted set-up goes on where it stopped.
--no-constraints (make: SETUP=--no-constraints) installs the newest versions that requirements.txt allows
instead of the frozen ones in constraints.txt.
"""


class SetupError(Exception):
    """A problem that the reader can mend; its text is one line that says how."""


def refusal(version: tuple[int, ...]) -> str | None:
    """Why the Python of this version cannot make the environment, or None when it can."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    found = f"{version[0]}.{version[1]}"
    return (f"Python 3.11, 3.12 or 3.13 is needed, this is {found}: try python3.12 tools/setup.py (on Windows py -3.12 "
            "tools\\setup.py); where none is, python.org has them")


def missing_venv_hint(version: tuple[int, ...], os_release: str) -> str:
    """The line for a Python that cannot make environments; os_release is the text of /etc/os-release."""
    name = f"python{version[0]}.{version[1]}"
    family = " ".join(re.findall(r'^ID(?:_LIKE)?="?([^"\n]*)', os_release, re.MULTILINE)).split()
    if {"debian", "ubuntu"} & set(family):
        return f"{name} has no venv module; install it, as root: apt-get install {name}-venv"
    return f"{name} has no venv or ensurepip module; install it from your system's packages or python.org"


def explain(output: str) -> str:
    """One line about a failed pip run, from what pip printed."""
    # The end counts: earlier warnings may be about retries that worked.
    output = "\n".join(output.splitlines()[-30:])
    if NO_NETWORK.search(output):
        return "no network: pip could not reach its package index; the same command goes on from here later"
    if "No space left on device" in output:
        return "the disk is full: the environment takes about 6 GB; the same command goes on from here"
    return "pip could not install the requirements"


def wanted_stamp(root: Path, version: str, constraints: bool) -> dict:
    """What a finished environment must have been made from; any difference means installing again."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        content = (root / name).read_bytes().replace(b"\r\n", b"\n")
        digest.update(b"%d:" % len(content) + content)
    # The root counts because the editable install points to it.
    return {"files": digest.hexdigest(), "python": version, "root": str(root), "constraints": constraints}


def read_stamp(venv: Path) -> dict:
    """The stamp of a finished set-up, {} when there is none."""
    try:
        stamp = json.loads((venv / "stamp.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(venv: Path, stamp: dict) -> None:
    """Write the stamp in one step: it exists whole or not at all."""
    part = venv / "stamp.json.part"
    part.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    os.replace(part, venv / "stamp.json")


def venv_python(venv: Path, platform: str = os.name) -> Path:
    """The interpreter inside an environment; platform is os.name."""
    return venv / ("Scripts/python.exe" if platform == "nt" else "bin/python")


def working_version(venv: Path) -> str | None:
    """The version of the environment's Python, such as "3.11.7"; None when it or its pip does not run."""
    code = "import platform, pip; print(platform.python_version())"
    try:
        done = subprocess.run([venv_python(venv), "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def made_here(venv: Path) -> bool:
    """Whether the environment was made under its present path, which its scripts hold."""
    try:
        return f"-m venv {venv}\n" in (venv / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return False


def drop_half_installed(site_packages: Path) -> list[str]:
    """Remove the metadata of packages whose unpacking was cut short, so that pip installs them again.

    pip writes INSTALLER after the last file of a package; folders that start with "~" are leftovers too."""
    dropped = []
    for path in sorted(site_packages.glob("*.dist-info")) + sorted(site_packages.glob("~*")):
        if path.name.startswith("~") or not (path / "INSTALLER").is_file():
            remove(path)
            dropped.append(path.name)
    return dropped


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def try_lock(handle) -> bool:
    """Take the lock on an open file without waiting; False when another process holds it."""
    try:
        if os.name == "nt":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def locked(path: Path, pause: float = 0.5):
    """Hold the lock while the block runs; a second process says so and waits. A crash frees it."""
    with open(path, "a+b") as handle:
        if not try_lock(handle):
            say("another set-up of this folder is running; waiting for it")
            while not try_lock(handle):
                time.sleep(pause)
        yield


def say(text: str) -> None:
    """Print at once, so that our lines and a child's keep their order."""
    print(text, flush=True)


def environment() -> dict:
    """The environment of a command: .venv's programs first on the PATH."""
    path = os.pathsep.join([str(venv_python(VENV).parent), os.environ.get("PATH", "")])
    return dict(os.environ, VIRTUAL_ENV=str(VENV), PATH=path)


def side_by_side(processes: int) -> tuple[str, ...]:
    """How pytest shares the tests out; four are enough for them."""
    return ("-n", str(min(processes, 4)), "--dist", "worksteal")


def run(command: list, extra: dict[str, str] | None = None) -> int:
    """Run a command in the repository; its exit status."""
    return subprocess.run([str(part) for part in command], cwd=ROOT, env=environment() | (extra or {}),
                          check=False).returncode


def run_logged(command: list, log: Path, show, extra: dict | None = None) -> tuple[int, str]:
    """Run a command in the repository: (exit status, output). The output goes to ``log``, and of each line
    ``show(line)``, unless that is None, to the console."""
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    with open(log, "w", encoding="utf-8") as file, subprocess.Popen(
        [str(part) for part in command], cwd=ROOT, env=environment() | {"PYTHONUNBUFFERED": "1"} | (extra or {}),
        text=True, encoding="utf-8", errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as child:
        for line in child.stdout:
            file.write(line)
            file.flush()
            lines.append(line)
            text = show(line.rstrip("\n"))
            if text is not None:
                say(text)
    return child.returncode, "".join(lines)


def pip_progress(now=time.monotonic):
    """What to show of pip's output: its errors, and now and then that it still works."""
    begin = last = now()
    packages = 0

    def show(line: str) -> str | None:
        nonlocal last, packages
        packages += line.startswith("Collecting ")
        if line.startswith("ERROR"):
            return line[:300]
        if line.startswith("Installing collected packages"):
            last = now()
            return f"  {last - begin:.0f} s: unpacking {line.count(',') + 1} packages, which takes longest"
        if now() - last > SILENCE:
            last = now()
            return f"  {last - begin:.0f} s: {packages} packages found so far"
        return None

    return show


def pip_install(python: Path, constraints: bool) -> None:
    """Install everything with pip; SetupError with the reason where that fails."""
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "-r", "requirements.txt"]
    command += ["-c", "constraints.txt"] if constraints else ["--upgrade", "--upgrade-strategy", "eager"]
    command += ["-e", ".[test]"]
    log = BUILD / "setup.log"
    status, output = run_logged(command, log, pip_progress())
    if status:
        raise SetupError(f"{explain(output)}; all that pip said: {log}")


def make_venv() -> str:
    """Make an empty environment with the Python that runs this file; its version."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        release = Path("/etc/os-release")
        text = release.read_text(encoding="utf-8") if release.is_file() else ""
        raise SetupError(missing_venv_hint(sys.version_info, text))
    remove(VENV)
    # The base interpreter: this one may itself be the .venv that was just removed.
    base = getattr(sys, "_base_executable", None) or sys.executable
    say(f"making {VENV} with Python {sys.version_info[0]}.{sys.version_info[1]}")
    made = subprocess.run([base, "-m", "venv", str(VENV)], check=False)
    version = working_version(VENV)
    if made.returncode or version is None:
        raise SetupError(f"{base} -m venv failed; its reason stands above")
    return version


def ensure_venv(constraints: bool = True) -> Path:
    """The interpreter of a complete .venv, made or finished first where that is needed."""
    python = venv_python(VENV)
    if is_complete(constraints):
        return python
    with locked(ROOT / ".venv.lock"):
        if is_complete(constraints):  # by the process that we waited for
            return python
        start = time.time()
        remove(VENV / "stamp.json")
        version = working_version(VENV) if made_here(VENV) else None
        if version is None or refusal(tuple(map(int, version.split(".")[:2]))):
            version = make_venv()
        for site_packages in [*VENV.glob("lib/python*/site-packages"), *VENV.glob("Lib/site-packages")]:
            for name in drop_half_installed(site_packages):
                say(f"installing again what was cut short: {name}")
        say("installing the requirements: some minutes, and about 6 GB where PyTorch comes with CUDA (README)")
        pip_install(python, constraints)
        write_stamp(VENV, wanted_stamp(ROOT, version, constraints))
        say(f"environment ready in {time.time() - start:.0f} s")
    return python


def is_complete(constraints: bool) -> bool:
    """Whether .venv was finished from the present files, in this place, and its Python still runs."""
    stamp = read_stamp(VENV)
    if not stamp or stamp != wanted_stamp(ROOT, stamp.get("python", ""), constraints):
        return False
    return working_version(VENV) == stamp["python"]


def book_progress(line: str) -> str | None:
    """What to show of a build: each chapter that runs and how long it took, warnings and errors."""
    line = re.sub(r"\x1b\[[\d;]*m", "", line)
    page = re.search(r"([\w-]+)\.md: (Executing|Executed) notebook(?: in ([\d.]+) seconds)?", line)
    if page:
        return f"running {page[1]}" if page[2] == "Executing" else f"  {page[1]} took {float(page[3]):.0f} s"
    if line.startswith("[IPKernelApp]"):  # it warns of nothing that matters on one machine
        return None
    return line[:500] if re.search(r"\b(WARNING|ERROR|CRITICAL)\b|[Ee]rror: ", line) else None


def build_book(python: Path, arguments: list[str]) -> int:
    """Build and check the site, of the edition that $EDITION names; the first failing step's exit status."""
    edition = os.environ.get("EDITION", "")
    if edition not in ("", "student"):
        raise SetupError(f"EDITION must be student or be left out, got {edition!r}")
    if not edition:
        return build_site(python, arguments, ROOT, {})
    root = BUILD / "student"
    extra = {"PYTHONPATH": str(root), "RESNET_LIB_HOME": str(ROOT)}  # what is trained here serves both editions
    status = run([python, ROOT / "tools" / "edition.py", root])
    status = status or run([python, root / "tools" / "notebooks" / "generate.py"], extra)
    return status or build_site(python, arguments, root, extra)


def build_site(python: Path, arguments: list[str], root: Path, extra: dict[str, str]) -> int:
    """Build and check the site of the book in ``root``."""
    start, build = time.time(), root / "_build"
    remove(build / "html" / "reports")  # of cells that failed in an earlier build
    code = "from jupyter_book.cli.main import main; main()"
    log = build / "book.log"
    command = [python, "-c", code, "build", "-W", "-n", "--keep-going", *arguments, root]
    status, _ = run_logged(command, log, book_progress, extra)
    if status:
        # Sphinx would not repeat the warnings of pages it has read: without this, a second try passes.
        shutil.rmtree(build / ".doctrees", ignore_errors=True)
        reports = sorted((build / "html" / "reports").rglob("*.log"))
        say(f"error: the book was not built: its warnings and errors stand above, all that was said in {log}")
        for report in reports:
            say(f"a cell failed, see {report}")
        return status
    status = run([python, root / "tools" / "web" / "check_site.py", "--static"], extra)
    checks = "its checks failed, see above" if status else "checks passed"
    say(f"{build / 'html' / 'index.html'} built in {time.time() - start:.0f} s; {checks}")
    return status


def serve(arguments: list[str]) -> int:
    """Show the built site to this machine only."""
    site = BUILD / "html"
    if not (site / "index.html").is_file():
        raise SetupError("there is no site yet: run make book (or python tools/setup.py book) first")
    port = arguments[0] if arguments else "8000"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise SetupError(f"the port must be a number from 1 to 65535, got {port}")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(port))) == 0:
            raise SetupError(f"port {port} is taken; another one: make serve ARGS=8001")
    say(f"http://127.0.0.1:{port}/ shows {site}; Ctrl-C stops")
    with contextlib.suppress(KeyboardInterrupt):
        return run([sys.executable, "-m", "http.server", port, "--bind", "127.0.0.1", "--directory", site])
    return 0


def clean(arguments: list[str]) -> int:
    """Remove what was built; the trained runs in _build/runs only with --all."""
    if arguments not in ([], ["--all"]):
        raise SetupError(f"clean takes --all or nothing, got {' '.join(arguments)}")
    with locked(ROOT / ".venv.lock"):
        for path in BUILD.iterdir() if BUILD.is_dir() else []:
            if arguments or path.name != "runs":
                remove(path)
        if arguments:
            remove(VENV / "stamp.json")  # first: whoever looks now must not find a finished environment
            remove(BUILD)
            remove(VENV)
    return 0


def main(argv: list[str]) -> int:
    """Parse the command line and do its job; the exit status."""
    parser = argparse.ArgumentParser(prog="tools/setup.py", usage=HELP, add_help=False)
    parser.add_argument("--no-constraints", action="store_true")
    parser.add_argument("command", nargs="?", default="help")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(["help"] if argv[:1] in (["-h"], ["--help"]) else argv)
    command, arguments = options.command, options.arguments
    if command not in COMMANDS:
        raise SetupError(f"unknown command {command}; there are: {', '.join(COMMANDS)}")
    if command == "help":
        say(HELP.strip())
        return 0
    if refusal(sys.version_info):
        raise SetupError(refusal(sys.version_info))
    if command in ("serve", "clean"):
        return {"serve": serve, "clean": clean}[command](arguments)
    python = ensure_venv(constraints=not options.no_constraints)
    jobs = {
        "setup": lambda: 0,
        "book": lambda: build_book(python, arguments),
        # a third of the time of all tests goes by waiting for other processes, so one more than there are cores
        "test": lambda: run([python, "-m", "pytest", *side_by_side(CORES + 1), *arguments]),
        "fast": lambda: run([python, "-m", "pytest", *side_by_side(CORES), "-m", "not slow and not browser",
                             "--ignore", "tests/web/browser", *arguments]),
        "notebooks": lambda: run([python, ROOT / "tools" / "notebooks" / "generate.py", *arguments]),
        "data": lambda: run([python, "-m", "resnet_lib", "data", *arguments]),
    }
    return jobs[command]()


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # pip prints characters that some consoles lack
    try:
        sys.exit(main(sys.argv[1:]))
    except (SetupError, OSError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
