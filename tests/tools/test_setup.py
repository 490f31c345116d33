"""tools/setup.py: choosing a Python, the stamp, the lock, the messages; one slow test makes a real .venv."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("house_setup", ROOT / "tools" / "setup.py")
setup = importlib.util.module_from_spec(spec)
spec.loader.exec_module(setup)

FROZEN = ("requirements.txt", "constraints.txt", "pyproject.toml")
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
MINT = 'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n'
FEDORA = 'NAME="Fedora Linux"\nID=fedora\n'
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


# ---- which Python


@pytest.mark.parametrize("version", [(3, 11), (3, 12, 1), (3, 13, 0, "final", 0)])
def test_supported_pythons_are_accepted(version):
    assert setup.refusal(version) is None


@pytest.mark.parametrize("version", [(2, 7), (3, 10, 13), (3, 14), (4, 11)])
def test_other_pythons_get_one_line(version):
    line = setup.refusal(version)
    assert f"this is {version[0]}.{version[1]}" in line and "3.11, 3.12 or 3.13" in line and "\n" not in line


def test_main_refuses_before_it_touches_anything(monkeypatch, tmp_path):
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup.sys, "version_info", (3, 10, 2, "final", 0))
    with pytest.raises(setup.SetupError, match="this is 3.10"):
        setup.main(["test"])
    assert list(tmp_path.iterdir()) == []


def fake_pythons(folder, **behavior):
    """Programs that stand for Pythons: "good", "no ensurepip", "too old", "shim" (nothing behind it)."""
    for name, kind in behavior.items():
        fails = {"good": "false", "no ensurepip": 'case "$2" in *ensurepip*) true;; *) false;; esac',
                 "too old": '[ "$1" = -c ]', "shim": "true"}[kind]
        program = folder / name.replace("_", ".")
        says = f'[ "$1" = -c ] || echo "{program.name} runs $*"'
        program.write_text(f"#!/bin/sh\nif {fails}; then exit 1; fi\n{says}\n")
        program.chmod(0o755)


@POSIX
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
@pytest.mark.parametrize(
    "behavior, chosen",
    [
        ({"python3_13": "good", "python3_12": "good"}, "python3.13"),
        ({"python3_13": "shim", "python3_12": "no ensurepip", "python3_11": "good"}, "python3.11"),
        ({"python3_13": "shim", "python3_12": "no ensurepip", "python3": "too old"}, "python3.12"),
        ({"python3": "good"}, "python3"),
        ({"python3": "too old"}, "python3"),
        ({"python3": "shim", "python": "good"}, "python"),
    ],
)
def test_makefile_takes_the_first_python_that_can_do_it(tmp_path, behavior, chosen):
    fake_pythons(tmp_path, **behavior)
    env = {"PATH": str(tmp_path)}
    command = [shutil.which("make"), "-C", str(ROOT), "--no-print-directory", "test", "ARGS=-k 'a b'"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{chosen} runs tools/setup.py test -k a b\n", done.stderr


@pytest.mark.parametrize(
    "release, expected",
    [(DEBIAN, "apt-get install python3.12-venv"), (MINT, "apt-get install python3.12-venv"),
     (FEDORA, "python.org"), ("", "python.org")],
)
def test_missing_venv_hint(release, expected):
    line = setup.missing_venv_hint((3, 12, 4), release)
    assert expected in line and "python3.12" in line and "\n" not in line


@pytest.mark.parametrize("missing", ["ensurepip", "venv"])
def test_missing_ensurepip_is_told_before_the_old_environment_goes(monkeypatch, tmp_path, missing):
    monkeypatch.setattr(setup, "VENV", tmp_path / ".venv")
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(setup.SetupError, match="install it"):
        setup.make_venv()
    assert (tmp_path / ".venv").is_dir()


def test_venv_python_on_both_systems(tmp_path):
    assert setup.venv_python(tmp_path, "nt") == tmp_path / "Scripts" / "python.exe"
    assert setup.venv_python(tmp_path, "posix") == tmp_path / "bin" / "python"


# ---- the stamp


@pytest.fixture
def house(tmp_path):
    for name in FROZEN:
        (tmp_path / name).write_bytes(b"torch==2.14.1\nnumpy\n")
    return tmp_path


@pytest.mark.parametrize("name", FROZEN)
def test_stamp_changes_with_each_file(house, name):
    before = setup.wanted_stamp(house, "3.11.7", True)
    assert setup.wanted_stamp(house, "3.11.7", True) == before
    (house / name).write_bytes(b"torch==2.14.1\nnumpy\n#\n")
    assert setup.wanted_stamp(house, "3.11.7", True) != before


def test_stamp_changes_with_python_place_and_constraints(house, tmp_path_factory):
    other = tmp_path_factory.mktemp("moved")
    shutil.copytree(house, other, dirs_exist_ok=True)
    usual = (house, "3.11.7", True)
    keys = [usual, (house, "3.11.8", True), (house, "3.11.7", False), (other, "3.11.7", True)]
    stamps = [setup.wanted_stamp(*key) for key in keys]
    assert all(a != b for i, a in enumerate(stamps) for b in stamps[i + 1:])


def test_stamp_ignores_line_ends_but_not_file_borders(house):
    before = setup.wanted_stamp(house, "3.11.7", True)
    (house / "requirements.txt").write_bytes(b"torch==2.14.1\r\nnumpy\r\n")
    assert setup.wanted_stamp(house, "3.11.7", True) == before
    (house / "requirements.txt").write_bytes(b"torch==2.14.1\n")
    (house / "constraints.txt").write_bytes(b"numpy\ntorch==2.14.1\nnumpy\n")  # the same bytes in a row
    assert setup.wanted_stamp(house, "3.11.7", True) != before


@pytest.mark.parametrize("content", [None, "", "{", "[1]", '"x"'])
def test_broken_stamp_counts_as_none(tmp_path, content):
    if content is not None:
        (tmp_path / "stamp.json").write_text(content)
    assert setup.read_stamp(tmp_path) == {}


def test_stamp_round_trip_leaves_no_part(tmp_path):
    setup.write_stamp(tmp_path, {"python": "3.11.7"})
    assert setup.read_stamp(tmp_path) == {"python": "3.11.7"}
    assert [path.name for path in tmp_path.iterdir()] == ["stamp.json"]


def test_complete_needs_stamp_files_and_a_python_that_runs(monkeypatch, house):
    monkeypatch.setattr(setup, "ROOT", house)
    monkeypatch.setattr(setup, "VENV", house / ".venv")
    (house / ".venv").mkdir()
    running = ["3.11.7"]
    monkeypatch.setattr(setup, "working_version", lambda venv: running[0])
    assert not setup.is_complete(True)
    setup.write_stamp(house / ".venv", setup.wanted_stamp(house, "3.11.7", True))
    assert setup.is_complete(True)
    assert not setup.is_complete(False)
    running[0] = None
    assert not setup.is_complete(True)
    running[0] = "3.11.7"
    (house / "constraints.txt").write_bytes(b"numpy==2.4.6\n")
    assert not setup.is_complete(True)


def test_made_here_notices_a_moved_environment(tmp_path):
    venv = tmp_path / "a b" / ".venv"
    venv.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\ncommand = /usr/bin/python3.11 -m venv {venv}\n")
    assert setup.made_here(venv)
    (tmp_path / "a b").rename(tmp_path / "a")
    assert not setup.made_here(tmp_path / "a" / ".venv")
    assert not setup.made_here(tmp_path / "nothing")


def test_half_installed_packages_are_dropped(tmp_path):
    for name in ("whole-1.0.dist-info", "torn-2.0.dist-info", "~umpy", "package"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "METADATA").write_text("Name: x\n")
    (tmp_path / "whole-1.0.dist-info" / "INSTALLER").write_text("pip\n")
    assert setup.drop_half_installed(tmp_path) == ["torn-2.0.dist-info", "~umpy"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["package", "whole-1.0.dist-info"]


# ---- messages and commands


@pytest.mark.parametrize(
    "output, expected",
    [
        ("WARNING: Retrying ... NewConnectionError('...')\nERROR: No matching distribution", "no network"),
        ("ERROR: Could not install packages: [Errno 28] No space left on device", "disk is full"),
        ("ERROR: ResolutionImpossible: for help visit ...", "could not install"),
        ("Retrying: ReadTimeoutError\n" + "Collecting x\n" * 40 + "No space left on device", "disk is full"),
    ],
)
def test_explain(output, expected):
    assert expected in setup.explain(output) and "\n" not in setup.explain(output)


def test_what_a_command_says_is_in_the_log_and_of_it_what_matters_on_the_console(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    code = "import sys; print('Collecting a'); print('ERROR: no', file=sys.stderr); sys.exit(3)"
    log = tmp_path / "new" / "x.log"
    status, output = setup.run_logged([sys.executable, "-c", code], log, setup.pip_progress())
    assert status == 3 and output == log.read_text() and sorted(output.splitlines()) == ["Collecting a", "ERROR: no"]
    assert capsys.readouterr().out == "ERROR: no\n"


def test_pip_is_quiet_but_never_silent_for_long():
    clock = [0.0]
    show = setup.pip_progress(lambda: clock[0])
    said = []
    for k in range(400):
        clock[0] += 0.5
        said.append(show(f"Collecting package{k}"))
    said.append(show("Installing collected packages: a, b, c"))
    said = [line for line in said if line]
    assert len(said) == 10 and said[0] == "  20 s: 41 packages found so far" and "unpacking 3 packages" in said[-1]


@pytest.mark.parametrize("line, shown", [
    ("/x/chapters/fast.md: Executing notebook using local CWD [mystnb]", "running fast"),
    ("\x1b[35m/x/chapters/fast.md\x1b[0m: Executed notebook in 39.99 seconds [mystnb]", "  fast took 40 s"),
    ("\x1b[91m/x/pages/intro.md:3: WARNING: unknown document: 'x'\x1b[0m", "/x/pages/intro.md:3: WARNING: unknown "
     "document: 'x'"),
    ("ValueError: no such tier", "ValueError: no such tier"), ("error: no valid record", "error: no valid record"),
    ("[IPKernelApp] WARNING | Kernel is running over TCP", None), ("reading sources... [  6%] chapters/fast", None)])
def test_a_build_shows_what_runs_and_what_went_wrong(line, shown):
    assert setup.book_progress(line) == shown


def test_unknown_command_names_the_known():
    with pytest.raises(setup.SetupError, match="unknown command bok; there are: setup, book, test"):
        setup.main(["bok"])


def test_help_lists_every_command(capsys):
    texts = []
    for arguments in (["--help"], ["help"], []):
        assert setup.main(arguments) == 0
        texts.append(capsys.readouterr().out)
    text = texts[0]
    assert texts == [text] * 3
    assert [name for name in setup.COMMANDS if f"\n    {name} " not in text] == []


@pytest.fixture
def built(monkeypatch, house):
    monkeypatch.setattr(setup, "ROOT", house)
    monkeypatch.setattr(setup, "VENV", house / ".venv")
    monkeypatch.setattr(setup, "BUILD", house / "_build")
    for name in ("_build/html/index.html", "_build/runs/degradation/a.json", "_build/log", ".venv/x"):
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text("x")
    return house


def test_clean_keeps_the_trained_runs(built):
    assert setup.main(["clean"]) == 0
    assert [path.name for path in (built / "_build").iterdir()] == ["runs"]
    assert (built / "_build/runs/degradation/a.json").read_text() == "x" and (built / ".venv").is_dir()
    assert setup.main(["clean"]) == 0  # twice is fine


def test_clean_all_removes_them_too(built):
    assert setup.main(["clean", "--all"]) == 0
    assert not (built / "_build").exists() and not (built / ".venv").exists()
    assert all((built / name).is_file() for name in FROZEN)


def test_clean_does_not_follow_links(built, tmp_path_factory):
    precious = tmp_path_factory.mktemp("precious")
    (precious / "file").write_text("x")
    (built / "_build" / "link").symlink_to(precious)
    setup.main(["clean"])
    assert (precious / "file").is_file() and not (built / "_build" / "link").exists()


@pytest.mark.parametrize("arguments", [["--al"], ["--all", "x"]])
def test_clean_refuses_other_arguments(built, arguments):
    with pytest.raises(setup.SetupError, match="--all or nothing"):
        setup.main(["clean", *arguments])
    assert (built / "_build/html/index.html").is_file()


def test_serve_without_a_site_says_how_to_build(built):
    (built / "_build/html/index.html").unlink()
    with pytest.raises(setup.SetupError, match="make book"):
        setup.main(["serve"])


@pytest.mark.parametrize("port", ["x", "0", "70000", "-1"])
def test_serve_refuses_bad_ports(built, port):
    with pytest.raises(setup.SetupError, match="from 1 to 65535"):
        setup.serve([port])


def test_serve_names_a_taken_port(built):
    with setup.socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(setup.SetupError, match="is taken"):
            setup.serve([str(other.getsockname()[1])])


@pytest.mark.parametrize("status", [0, 3])
def test_failed_book_forgets_the_pages_it_read(monkeypatch, built, capsys, status):
    """Else a second try would pass: Sphinx does not repeat the warnings of pages that did not change."""
    (built / "_build/.doctrees").mkdir()
    reports = built / "_build/html/reports"
    reports.mkdir()
    (reports / "old.err.log").write_text("NameError")

    def build(command, extra=None):
        if "build" in command and status:
            reports.mkdir()
            (reports / "a.err.log").write_text("NameError")
        return status if "build" in command else 0

    monkeypatch.setattr(setup, "run", build)
    monkeypatch.setattr(setup, "run_logged", lambda command, log, show, extra: (build(command), ""))
    assert setup.build_book(Path("python"), []) == status
    assert (built / "_build/.doctrees").exists() == (status == 0)
    said = capsys.readouterr().out
    assert ("a.err.log" in said) == (status != 0) and "old.err.log" not in said


def test_failed_site_check_fails_the_book(monkeypatch, built):
    monkeypatch.setattr(setup, "run", lambda command, extra: 5 if "--static" in command else 0)
    monkeypatch.setattr(setup, "run_logged", lambda *_: (0, ""))
    assert setup.build_book(Path("python"), []) == 5


# ---- the lock


HOLDER = "import sys, importlib.util as u; s = u.spec_from_file_location('s', sys.argv[1]); " \
    "m = u.module_from_spec(s); s.loader.exec_module(m)\n" \
    "from pathlib import Path\n" \
    "with m.locked(Path(sys.argv[2])): print('held', flush=True); sys.stdin.read()"


def test_lock_excludes_another_process_and_survives_its_death(tmp_path):
    path = tmp_path / ".venv.lock"
    command = [sys.executable, "-c", HOLDER, str(ROOT / "tools" / "setup.py"), str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with open(path, "a+b") as handle:
            assert not setup.try_lock(handle)
            holder.kill()
            holder.wait(timeout=30)
            assert setup.try_lock(handle)
    finally:
        holder.kill()
        holder.communicate()


# ---- the real thing, with a tiny project instead of torch

BACKEND = '''
"""A build backend that needs no network: an editable wheel that is one .pth file."""
import pathlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("tiny.pth", str(pathlib.Path.cwd()))
        wheel.writestr("tiny-1.0.dist-info/METADATA",
                       "Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\nProvides-Extra: test\\n")
        wheel.writestr("tiny-1.0.dist-info/WHEEL",
                       "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return name
'''
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "tiny"
version = "1.0"
"""


@pytest.fixture
def tiny(tmp_path):
    """A tiny project in a folder with spaces, and a way to run its set-up where no package index answers."""
    root = tmp_path / "a folder with spaces"
    (root / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "setup.py", root / "tools")
    for name, text in {"requirements.txt": "", "constraints.txt": "", "pyproject.toml": PROJECT,
                       "backend.py": BACKEND, "tiny_module.py": "answer = 42\n"}.items():
        (root / name).write_text(textwrap.dedent(text))
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    env |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}

    def start(*arguments, root=root):
        command = [sys.executable, str(root / "tools" / "setup.py"), *arguments]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return root, start


def finish(process):
    output = process.communicate(timeout=300)[0]
    return process.returncode, output


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ensurepip") is None, reason="needs ensurepip")
def test_real_set_up(tiny):
    root, start = tiny
    python = setup.venv_python(root / ".venv")

    both = [finish(process) for process in [start("setup"), start("setup")]]
    assert [status for status, _ in both] == [0, 0], both
    assert sorted("environment ready" in output for _, output in both) == [False, True], both
    found = subprocess.run([python, "-c", "import tiny_module as t; print(t.answer)"], capture_output=True,
                           text=True, check=True, cwd=root.parent)
    assert found.stdout == "42\n"
    stamp = json.loads((root / ".venv" / "stamp.json").read_text())
    assert finish(start("setup")) == (0, "")  # nothing left to do, nothing said

    (root / "constraints.txt").write_text("# renewed\n")
    status, output = finish(start("setup"))
    assert status == 0 and "environment ready" in output and "making" not in output
    assert json.loads((root / ".venv" / "stamp.json").read_text()) != stamp

    (root / "requirements.txt").write_text("a-package-that-is-not-there\n")
    status, output = finish(start("setup"))
    assert status == 2 and "error: no network" in output and "Traceback" not in output
    assert not (root / ".venv" / "stamp.json").exists()

    (root / "requirements.txt").write_text("")
    moved = root.rename(root.with_name("elsewhere"))
    status, output = finish(start("setup", root=moved))
    assert status == 0 and f"making {moved / '.venv'}" in output
