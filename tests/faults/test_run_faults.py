"""What happens to runs when processes are killed, disks are full and files are wrong."""

from pathlib import Path
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from conftest import ROOT, cli
from resnet_lib import experiments
from resnet_lib.__main__ import main

WORDS = ("run", "degradation", "--seeds", "0", "--variants")


def start(home: Path, *words: str) -> subprocess.Popen:
    env = {**os.environ, "RESNET_LIB_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "resnet_lib", *words], env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def store(home: Path) -> Path:
    return home / "_build" / "runs" / "degradation" / "quick"


def the_record(home: Path) -> dict:
    path, = store(home).glob("plain-*-s0.*.json")
    return json.loads(path.read_text())


def wait_for(pattern: str, home: Path, process: subprocess.Popen) -> Path:
    """The first file that matches in the store; the process must still be alive until it is there."""
    for _ in range(6000):
        found = list(store(home).glob(pattern))
        if found:
            return found[0]
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    pytest.fail(f"no {pattern} in two minutes")


@pytest.fixture
def whole(digits_home, monkeypatch):
    """The record of plain-20, trained without an interruption."""
    with monkeypatch.context() as patch:
        patch.setenv("RESNET_LIB_HOME", str(digits_home))
        record, = experiments.run("degradation", "quick", (0,), ["plain-20"])
    assert len(record.segments) == 1
    return record


@pytest.mark.slow
def test_kills_and_resumes_give_the_uninterrupted_rows(tmp_path, whole):
    random.seed(0)
    kills = 0
    while kills < 3:
        process = start(tmp_path, *WORDS, "plain-20", "--resume", "--checkpoint-every", "0.3")  # most are in mid-row
        before = {p: p.stat().st_mtime_ns for p in store(tmp_path).glob("*.ckpt")} if store(tmp_path).exists() else {}
        # the second falls anywhere, even before the first step; the others after this process has made progress
        if kills == 1:
            try:
                process.wait(timeout=random.uniform(0.2, 5))
            except subprocess.TimeoutExpired:
                pass
        else:
            while process.poll() is None and before == {p: p.stat().st_mtime_ns
                                                         for p in store(tmp_path).glob("*.ckpt")}:
                time.sleep(0.01)
        if process.poll() is not None:  # finished before they were used up: begin again, the kills go on counting
            assert process.returncode == 0, process.stderr.read()
            assert the_record(tmp_path)["rows"] == whole.rows
            for path in store(tmp_path).iterdir():
                path.unlink()
            continue
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert cli(*WORDS, "plain-20", "--resume", home=tmp_path).returncode == 0
    ours = the_record(tmp_path)
    assert ours["rows"] == whole.rows and ours["probes"] == whole.probes
    assert len(ours["segments"]) > 1
    assert {p.suffix for p in store(tmp_path).iterdir()} == {".json", ".lock", ".pt"}  # weights are kept; no checkpoint


@pytest.mark.slow
def test_two_runs_of_the_same_id_train_once(tmp_path):
    words = (*WORDS, "plain-20")
    first = start(tmp_path, *words)
    wait_for("*.ckpt", tmp_path, first)
    first.send_signal(signal.SIGSTOP)  # it holds the run until the second one has come
    second = start(tmp_path, *words)
    assert "is being trained by another process" in second.stderr.readline()
    first.send_signal(signal.SIGCONT)
    (out, err), (again, more) = first.communicate(timeout=300), second.communicate(timeout=300)
    assert first.returncode == 0 and second.returncode == 0, (err, more)
    assert again == out
    assert len(the_record(tmp_path)["segments"]) == 1


@pytest.mark.slow
def test_a_killed_worker_gets_one_line_and_the_other_runs_stay(tmp_path):
    words = ("run", "degradation", "--variants", "plain-20", "--seeds", "0,1", "--workers", "2")
    process = start(tmp_path, *words)
    wait_for("plain-20*.ckpt", tmp_path, process)
    workers = children(process.pid, "spawn_main")
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.strip().splitlines()[-1].startswith("error: a worker process was killed") and "--resume" in err
    assert "Traceback" not in err
    again = cli(*words, "--resume", home=tmp_path)
    assert again.returncode == 0 and len(again.stdout.splitlines()) == 2


@pytest.mark.slow
def test_workers_die_with_their_parent(tmp_path):
    process = start(tmp_path, "run", "degradation", "--variants", "plain-20,plain-56", "--seeds", "0", "--workers", "2")
    wait_for("plain-56*.ckpt", tmp_path, process)
    workers = children(process.pid, "spawn_main")
    process.send_signal(signal.SIGKILL)
    process.wait()
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]
                   for pid in workers):
            return
        time.sleep(0.1)
    pytest.fail("workers outlived their parent by 20 s")


def children(parent: int, word: str) -> list[int]:
    """Process ids of the children whose command line holds ``word`` (Linux)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat, line = (entry / "stat").read_text(), (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(stat.rpartition(")")[2].split()[1]) == parent and word in line:
                found.append(int(entry.name))
    return found


def on_a_small_disk(home: Path, size: str, before: str, *words: str) -> subprocess.CompletedProcess:
    """The command line with ``home`` on a tmpfs of ``size``, in a mount namespace of its own."""
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(home)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mount namespaces are not allowed here")
    script = (f"mount -t tmpfs -o size={size} none {home} && {before} && "
              f"exec {sys.executable} -m resnet_lib {' '.join(words)}")
    env = {**os.environ, "RESNET_LIB_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_with_one_line_and_the_run_can_go_on(tmp_path):
    """3 MB hold one checkpoint of plain-56 but not two."""
    done = on_a_small_disk(tmp_path, "3m", "true", *WORDS, "plain-56")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: plain-56-s0: the checkpoint at step")
    assert "the checkpoint before it is kept" in done.stderr and "--resume" in done.stderr


@pytest.mark.slow
def test_a_disk_full_when_the_record_is_written(tmp_path):
    fill = f"head -c 4096 /dev/zero > {tmp_path}/full"
    done = on_a_small_disk(tmp_path, "4k", fill, "run", "imagenet_family", "--variants", "resnet-18")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "cannot be written (No space left on device)" in done.stderr
    assert "make room" in done.stderr


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A home with the checkpoint of an unfinished plain-20 run."""
    home = tmp_path_factory.mktemp("unfinished")
    done = cli("run", "degradation", "--variants", "plain-20", "--seeds", "0", "--budget", "0", home=home)
    assert done.returncode == 3 and "--resume" in done.stdout
    path, = store(home).glob("*.ckpt")
    return home, path


@pytest.mark.slow
def test_a_checkpoint_is_not_thrown_away(checkpoint):
    home, path = checkpoint
    before = path.read_bytes()
    done = cli("run", "degradation", "--variants", "plain-20", "--seeds", "0", home=home)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert str(path) in done.stderr and "add --resume" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_script_without_the_guard_is_told_about_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from resnet_lib import experiments\n"
                      "experiments.run('degradation', 'quick', (0, 1), ['plain-20'])\n")
    env = {**os.environ, "RESNET_LIB_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "__main__" in done.stderr.strip().splitlines()[-1]


@pytest.mark.slow
def test_resume_from_another_recipes_checkpoint(checkpoint):
    home, path = checkpoint
    before = path.read_bytes()
    done = cli("run", "degradation", "--variants", "plain-20", "--seeds", "1", "--resume", str(path), home=home)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "belongs to another run: seed 0 there, 1 here" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_run_moves_to_another_folder_as_one_file(checkpoint, whole, tmp_path):
    home, path = checkpoint
    moved = tmp_path / "run.ckpt"
    moved.write_bytes(path.read_bytes())
    assert cli(*WORDS, "plain-20", "--resume", str(moved), home=tmp_path).returncode == 0
    ours = the_record(tmp_path)
    assert ours["rows"] == whole.rows and len(ours["segments"]) == 2


@pytest.mark.parametrize("damage, word", [
    (lambda text: text[: len(text) // 2], "not JSON"),
    (lambda text: text.replace('"parameters"', '"parameter"'), "rows[0]"),
    (lambda text: text.replace('"seed": 0', '"seed": -1'), "seed"),
])
def test_a_damaged_record_in_the_store_is_named_and_left_alone(home, capsys, damage, word):
    words = ["run", "imagenet_family", "--variants", "resnet-18"]
    assert main(words) == 0
    path = next((home / "_build/runs/imagenet_family/quick").glob("*.json"))
    path.write_text(damage(path.read_text()))
    before = path.read_bytes()
    capsys.readouterr()
    assert main(words) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and str(path) in message and word in message
    assert "run the experiment again" in message
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_home_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    done = cli("run", "imagenet_family", "--variants", "resnet-18", home=tmp_path / "file" / "home")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "set RESNET_LIB_HOME" in done.stderr


@pytest.mark.slow
def test_cuda_where_there_is_none(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = cli("run", "degradation", "--device", "cuda", home=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--device cpu" in done.stderr


LITTLE_ROOM = """
import resource, sys
from resnet_lib import experiments, train
from resnet_lib.__main__ import main
from resnet_lib.experiments import parallel
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
before = resource.getrlimit(resource.RLIMIT_AS)
# the first step of ResNet-18 at 96 x 96 needs more
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20, before[1]))
status = main("run fashion_d2l --tier paper --variants resnet-18 --seeds 0 --device cpu --threads 1".split())
resource.setrlimit(resource.RLIMIT_AS, before)  # Python's own end is not under test, and reports its own want of room
sys.exit(status)
"""


@pytest.mark.slow
def test_out_of_memory_is_one_line(tmp_path):
    env = {**os.environ, "RESNET_LIB_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", LITTLE_ROOM], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: resnet-18-s0: out of memory")
    assert "--workers 1" in done.stderr


@pytest.mark.slow
def test_a_missing_compiler_is_one_line_and_loses_nothing(checkpoint, tmp_path):
    home, path = checkpoint
    words = ("run", "degradation", "--variants", "plain-20", "--seeds", "0", "--resume", str(path), "--workers", "1")
    env = {**os.environ, "RESNET_LIB_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": "", "CXX": "no-compiler",
           "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "compiled")}
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-m", "resnet_lib", *words, "--compile"], env=env, capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: plain-20-s0: torch.compile failed") and "without --compile" in done.stderr
    assert done.stderr.count("\n") == 1
    assert path.read_bytes() == before
    assert cli(*words, "--budget", "0", home=tmp_path).returncode == 3  # it goes on
