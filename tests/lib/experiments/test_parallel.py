"""Runs that take turns in one process, and worker processes that are kept between calls."""

from dataclasses import replace

from filelock import FileLock
import pytest

from resnet_lib import experiments, nets, records
from resnet_lib.experiments import parallel, runner
from resnet_lib.recipe import Execution
from resnet_lib.train import Run

ONE = Execution(device="cpu", threads=1)
TWO = replace(ONE, workers=2)


def test_interleaved_runs_give_the_rows_of_separate_ones(tiny, monkeypatch):
    jobs = experiments.jobs("degradation", "quick")
    order = []
    advance = Run.advance
    monkeypatch.setattr(Run, "advance", lambda self: order.append(self.recipe_id) or advance(self))
    found = parallel.train_missing(jobs, replace(ONE, interleave=3))
    assert order[:6] == [j.recipe_id for j in jobs[:3]] * 2  # three take turns
    assert order[-6:] == [jobs[3].recipe_id] * 6  # the fourth came in when the others had ended
    for job in jobs:
        alone = list(Run(nets.build(job.net), job.pictures.load(), job.recipe, ONE))
        assert found[job.recipe_id].rows == alone


@pytest.mark.slow
def test_a_run_that_another_process_has_does_not_hold_up_the_others(tiny):
    """Blocking here, two processes that interleave could wait for each other for ever."""
    jobs = experiments.jobs("degradation", "quick", seeds=(0,))
    jobs[0].live("lock").parent.mkdir(parents=True)
    with FileLock(jobs[0].live("lock")):
        found = parallel.train_missing(jobs, replace(ONE, interleave=2), budget=1)
    assert found[jobs[0].recipe_id] is None and found[jobs[1].recipe_id].finished


def test_an_error_in_one_of_the_interleaved_runs_saves_the_others(tiny, monkeypatch):
    jobs = experiments.jobs("degradation", "quick", seeds=(0,))
    advance = Run.advance

    def fails_once_at_step_3(self):
        if self.recipe_id == jobs[1].recipe_id and self.at == 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
        return advance(self)
    monkeypatch.setattr(Run, "advance", fails_once_at_step_3)
    with pytest.raises(runner.RunError, match=r"residual-8-s0: out of memory .*checkpoint .* is kept.*interleave=1"):
        parallel.train_missing(jobs, replace(ONE, interleave=2))
    monkeypatch.setattr(Run, "advance", advance)
    reached = [Run(nets.build(j.net), j.pictures.load(), j.recipe, ONE) for j in jobs]
    for run, job in zip(reached, jobs, strict=True):
        run.load(job.live("ckpt"))
    assert [run.at for run in reached] == [4, 2]  # the failed one at its last row, the other where it stood
    found = parallel.train_missing(jobs, ONE)
    assert [len(found[j.recipe_id].segments) for j in jobs] == [2, 2]


@pytest.mark.slow
def test_workers_are_kept_for_the_next_call_in_the_same_home(tiny, monkeypatch):
    jobs = experiments.jobs("degradation", "quick")
    parallel.train_missing(jobs[:2], TWO)
    pool, = parallel._kept.values()
    first = set(pool.executor._processes)
    assert list(parallel.train_missing(jobs[2:], TWO, budget=0).values())  # a late call makes progress too
    assert parallel._kept[2, tiny] is pool and set(pool.executor._processes) == first
    assert all(any(j.live(s).exists() for s in ("ckpt", "json")) for j in jobs[2:])
    monkeypatch.setenv("RESNET_LIB_HOME", str(tiny / "other"))
    parallel.train_missing(jobs[:2], TWO)
    assert {home for _, home in parallel._kept} == {tiny / "other"}  # never runs written into the first home
    assert len(list((tiny / "other" / "_build" / "runs").rglob("*.json"))) == 2


@pytest.mark.slow
def test_a_failing_worker_ends_the_pool(tiny):
    jobs = experiments.jobs("degradation", "quick", seeds=(0,))
    jobs[0].live("ckpt").parent.mkdir(parents=True)
    jobs[0].live("ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        parallel.train_missing(jobs, TWO)
    assert not parallel._kept
    jobs[0].live("ckpt").unlink()
    assert all(isinstance(r, records.Record) for r in parallel.train_missing(jobs, TWO).values())


@pytest.mark.slow
def test_after_an_interruption_no_further_run_begins(tiny, monkeypatch):
    """The executor hands out more jobs than there are workers; these did a step each when the recorder was stopped."""
    declared = experiments.EXPERIMENTS["degradation"]
    quick = declared.tiers["quick"]
    endless = replace(quick, recipe=replace(quick.recipe, steps=10**6))
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", replace(declared, tiers={"quick": endless}))
    jobs = experiments.jobs("degradation", "quick")

    def interrupt(recipe_id, images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parallel.train_all([(job, TWO) for job in jobs], follow=parallel.Follow(interrupt))
    begun = [job for job in jobs if job.live("ckpt").exists()]
    assert len(jobs) == 4 and 1 <= len(begun) <= 2
