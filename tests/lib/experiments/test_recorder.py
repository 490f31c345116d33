"""The queue in the background: alone, at the lowest priority, held and let go, killed and begun again."""

from pathlib import Path
from random import Random
from time import sleep
import json
import os
import signal

import pytest

from resnet_lib import experiments, nets, records
from resnet_lib.__main__ import FAILED, FINISHED, main
from resnet_lib.experiments import queue, recorder
from resnet_lib.experiments.declare import Experiment, Tier, Variant
from resnet_lib.experiments.failures import RunError
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run
from conftest import ROOT

EXECUTION = Execution(device="cpu", threads=1, workers=2, checkpoint_every=0.3)
RECIPE = Recipe(steps=400, batch=16, lr=0.05, drops=(), augment="none", eval_every=100)
NET = {"name": "cifar_resnet", "depth": 8, "width": 4, "in_channels": 1}
SMALL = {"degradation": Experiment("degradation", "?", "digits", {"paper": Tier(
    {"plain-20": Variant({**NET, "residual": False}), "residual-20": Variant(NET)}, RECIPE, size=8, n_train=100,
    n_test=50, execution=EXECUTION)})}


@pytest.fixture
def small(home, monkeypatch):
    """A home whose queue has two runs of some seconds, in this process and in those that it starts."""
    before = dict(experiments.EXPERIMENTS)
    put(SMALL)
    folder = home / "patched"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        f"sys.path[:0] = {[str(ROOT), str(ROOT / 'tests'), str(Path(__file__).parent)]!r}\n"
        "if 'queue' in sys.argv or 'queue' in getattr(sys, 'orig_argv', []):\n"
        "    import test_recorder\n"
        "    test_recorder.put(test_recorder.SMALL)\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.chdir(ROOT)
    yield home
    put(before)
    if recorder.running():
        recorder.stop()


def put(declared):
    """Change the one dictionary, which several modules hold."""
    experiments.EXPERIMENTS.clear()
    experiments.EXPERIMENTS.update(declared)


def wait(until):
    """Wait as long as the recorder itself would: its processes have the lowest priority."""
    recorder._wait(until, "what the test waits for has not come")


def pid() -> int:
    return json.loads(recorder._file("json").read_text())["pid"]


def seen() -> int:
    """A number that changes with every checkpoint."""
    return sum(path.stat().st_mtime_ns for path in records.live_root().rglob("*.ckpt"))


def recorded(variant: str) -> Path:
    return records.recorded_root() / "degradation" / "paper" / f"{variant}-s0.json"


def test_two_are_never_at_work_at_once_and_the_second_says_how_far_the_first_is(small, capsys):
    assert main(["queue", "--state"]) == FINISHED
    assert capsys.readouterr().out == "no queue has been worked off here\n"
    with recorder.alone([]):
        assert recorder.running()
        for words in (["queue"], ["queue", "--background"]):
            assert main(words) == FAILED
            told = capsys.readouterr().err
            assert "worked off here already" in told and f"process {os.getpid()}" in told and told.count("\n") == 1
        assert recorder.pause().startswith("paused (process") and recorder.go_on().startswith("running (process")
    assert not recorder.running() and recorder.state().startswith("not running; at ")


def test_the_state_says_step_rate_and_time_left(small, monkeypatch):
    clock = [1_000.0]
    monkeypatch.setattr(recorder, "time", lambda: clock[0])
    lefts = [left for group in queue.missing(queue.order(), print) for left in group]
    progress = recorder.Progress(lefts)
    first, second = (left.job.recipe_id for left in lefts)
    progress.progress(first, 50 * 16)  # it goes on from step 50
    for _ in range(10):
        clock[0] += 30
        progress.progress(first, 30 * 16)  # a step a second
    text = recorder.state()
    assert "degradation/paper/plain-20-s0 step 350 of 400, 1.00 steps/s, 50\u00a0s left" in text
    assert "0 finished, 1 waiting" in text and "residual-20" not in text
    progress.progress(second, 16)
    progress.ended(lefts[1].job)
    assert "0 finished, 0 waiting" in recorder.state() and "residual-20" not in recorder.state()


def test_a_run_that_failed_is_counted_and_is_at_work_no_more(small, monkeypatch):
    lefts = [left for group in queue.missing(queue.order(), print) for left in group]

    def train_all(work, resume, budget, follow):
        first, second = (job for job, _ in work)
        follow.progress(first.recipe_id, 16)
        follow.failed(first, RunError("out of memory"))
        follow.ended(second)

    def record(job):
        if job is lefts[1].job and trained:
            raise records.RecordError("damaged")

    trained = []
    monkeypatch.setattr(queue, "train_all", lambda *a, **b: (trained.append(1), train_all(*a, **b)))
    monkeypatch.setattr(queue, "record", record)
    with recorder.alone(lefts) as progress:
        assert not queue.work([lefts], queue.executions(lambda usual: usual), None, print, progress.follow())
        assert recorder.state().endswith(": 0 finished, 2 failed, 0 waiting")


def test_a_request_to_end_goes_to_the_process_that_is_at_work(small, monkeypatch):
    recorder._file("json").parent.mkdir(parents=True)
    recorder._file("json").write_text(json.dumps({"pid": 1}))  # of a queue that was killed
    asked, here = [], recorder.Progress
    monkeypatch.setattr(recorder.os, "kill", lambda *words: asked.append(words))
    monkeypatch.setattr(recorder, "PATIENCE", 0.1)

    def begin(lefts):
        with pytest.raises(RunError, match="has not begun"):  # the lock is held, and whose it is stands nowhere
            recorder.stop()
        return here(lefts)

    monkeypatch.setattr(recorder, "Progress", begin)
    with recorder.alone([]):
        assert asked == []
        with pytest.raises(RunError, match="has not ended"):
            recorder.stop()
        assert asked == [(os.getpid(), signal.SIGTERM)]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_to_the_same_numbers(small):
    alone = {left: list(Run(nets.build(job.net), job.pictures.load(), job.recipe, Execution(device="cpu", threads=1)))
             for left in ("plain-20", "residual-20")
             for job in [experiments.job("degradation", "paper", left, 0)]}
    said = recorder.start([])
    assert said.startswith("running (process") and pid() != os.getpid()
    if os.name == "posix":
        assert os.getpriority(os.PRIO_PROCESS, pid()) == 19
        assert os.getsid(pid()) == pid()  # its own session, or niceness would weigh against this one only
    wait(lambda: len(list(records.live_root().rglob("*.ckpt"))) == 2)
    sleep(Random(os.getpid()).random())
    os.kill(pid(), signal.SIGKILL)
    wait(lambda: not recorder.running())
    assert not recorded("plain-20").exists()
    recorder.start([])
    wait(recorded("plain-20").exists), wait(recorded("residual-20").exists)
    wait(lambda: not recorder.running())
    for variant, rows in alone.items():
        record = records.read(recorded(variant))
        assert record.rows == rows and len(record.segments) >= 2
    before = recorded("plain-20").read_bytes()
    assert main(["queue"]) == FINISHED  # with nothing left to do
    assert "0 waiting" in recorder.state() and recorded("plain-20").read_bytes() == before


@pytest.mark.slow
def test_it_is_held_and_goes_on_and_ends_with_checkpoints(small):
    recorder.start([])
    wait(lambda: len(list(records.live_root().rglob("*.ckpt"))) == 2)
    assert recorder.pause().startswith("paused (process")
    sleep(1)  # the step that it is in, and its checkpoint
    before = seen()
    sleep(1)
    assert seen() == before and recorder.running()
    recorder.go_on()
    wait(lambda: seen() != before)
    assert recorder.stop().startswith("not running; at ")
    assert list(records.live_root().rglob("*.ckpt"))  # of what was not finished
