"""The queue of the paper tier: its order, its estimates, and what is left behind however it ends."""

from dataclasses import replace
import shlex
import shutil

import pytest
import torch

from resnet_lib import data, experiments, nets, records
from resnet_lib.__main__ import FAILED, FINISHED, UNFINISHED, main
from resnet_lib.experiments import estimates, lookup, queue, weights
from resnet_lib.experiments.declare import Tier, Variant
from resnet_lib.experiments.reference import DEGRADATION
from resnet_lib.identity import run_id
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run, read_checkpoint
from resnet_lib.wording import duration
from conftest import toy_images

ONE = Execution(device="cpu", threads=1)
RECIPE = Recipe(steps=6, batch=32, lr=0.05, drops=(), augment="none", eval_every=2, probe_steps=(0, 3))
PICTURES = replace(toy_images(100, channels=1), name="digits")  # a set that is always there


@pytest.fixture
def small(home, monkeypatch):
    """Two experiments with a paper tier of a second, on random pictures."""
    monkeypatch.setattr(data, "load_or_digits", lambda name: PICTURES)
    net = {"name": "cifar_resnet", "depth": 8, "width": 4, "in_channels": 1}
    nets_ = {"plain-20": Variant({**net, "residual": False}, keep=(0,)),
             "residual-20": Variant({**net, "residual": True})}
    tier = Tier(nets_, RECIPE, size=8, seeds=(0, 1), execution=ONE)
    other = replace(tier, variants={"published": nets_["residual-20"]}, recipe=replace(RECIPE, lr=0.1), seeds=(0,))
    declared = {
        "mnist_simple": experiments.Experiment("mnist_simple", "?", "digits", {"paper": other}),
        "degradation": experiments.Experiment("degradation", "?", "digits", {"paper": tier})}
    for module in (experiments, lookup):  # the package's face, and where it comes from
        monkeypatch.setattr(module, "EXPERIMENTS", declared)
    return home


RUNS = ["degradation/paper/plain-20-s0", "degradation/paper/residual-20-s0", "mnist_simple/paper/published-s0",
        "degradation/paper/plain-20-s1", "degradation/paper/residual-20-s1"]


def by_hand(variant="plain-20", seed=0):
    """The rows of an uninterrupted run, and the run."""
    job = experiments.job("degradation", "paper", variant, seed)
    run = Run(nets.build(job.net), job.pictures.load(), job.recipe, ONE)
    return list(run), run


def recorded(name="degradation", variant="plain-20", seed=0, suffix=".json"):
    return records.recorded_root() / name / "paper" / f"{variant}-s{seed}{suffix}"


# --- the order


def test_every_declared_run_of_the_recorded_tiers_stands_in_the_queue_once():
    items = [item for group in queue.order() for item in group]
    declared = {(name, tier, variant, seed) for name, experiment in experiments.EXPERIMENTS.items()
                for tier in ("short", "paper") if tier in experiment.tiers
                for variant, v in experiment.tiers[tier].variants.items()
                for seed in ((0,) if experiment.data is None else v.seeds or experiment.tiers[tier].seeds)}
    declared = {d for d in declared if d[:2] != ("imagenet_family", "short")}  # counts nothing that paper does not
    assert {(i.experiment, i.tier, i.variant, i.seed) for i in items} == declared
    assert len(items) == len(declared) > 200


def test_the_order_is_that_of_their_worth():
    items = [str(item) for group in queue.order() for item in group]
    four = [f"{kind}-{depth}" for kind in ("plain", "residual") for depth in (20, 56)]
    assert set(items[:12]) == {f"degradation/short/{name}-s{seed}" for name in four for seed in (0, 1, 2)}
    cheap = items[12:12 + 36 + 12]  # minutes each, and their pages have nothing without them
    assert {item.rsplit("/", 1)[0] for item in cheap} == {"initialization/short", "bottlenecks/short"}
    assert items[60:62] == ["degradation/short/plain-20-float32-s3", "degradation/short/plain-56-float32-s3"]
    place = {item: k for k, item in enumerate(items)}

    def at(tier, *names):
        return [place[f"{tier}/{name}"] for name in names]

    small = at("degradation/paper", "plain-20-s0", "residual-20-s0")
    deep = at("degradation/paper", "plain-56-s0", "residual-56-s0")
    systems = [k for item, k in place.items() if item.startswith("mnist_simple/paper")]
    systems += at("cifar_keras_v1/paper", "adam-20-s0", "sgd-20-s0") + at("fashion_d2l/paper", "d2l-resnet-18-s0")
    later = at("degradation/paper", "plain-20-s1", "residual-20-s2", "plain-56-s1")
    deepest = at("degradation/paper", "residual-110-s0", "plain-110-s1")
    rest = at("degradation/paper", "plain-56-3x-s0", "residual-56-decay-weights-s0")
    for before, after in ((small, deep), (deep, systems), (systems, later), (later, deepest), (deepest, rest)):
        assert max(before) < min(after)
    assert min(small) == 60 + 2 + 4  # after 32 and 44 layers


def test_without_data_sets_nothing_is_estimated_and_the_digits_do_not_stand_in(home, capsys):
    assert main(["list", "--missing"]) == FINISHED
    text, told = capsys.readouterr()
    assert "needs CIFAR-10: make data" in text and "needs MNIST: make data" in text and "counted, not trained" in text
    assert "about" not in text and told == ""
    assert ("python -m resnet_lib run degradation --tier short --variants plain-20,plain-56,residual-20,residual-56 "
            "--seeds 0,1,2 --resume --record") in text
    assert "--tier paper --variants plain-20,residual-20 --seeds 0 --resume --record" in text
    assert main(["queue", "--only", "degradation"]) == UNFINISHED
    assert "needs CIFAR-10" in capsys.readouterr().out and not list(home.rglob("*.ckpt"))


def test_a_record_of_the_digits_in_place_of_the_real_set_does_not_count(small, capsys):
    made, = experiments.run("degradation", "paper", (0,), ["plain-20"])
    identity = made.data | {"fallback": "cifar10"}
    path = records.store(replace(made, data=identity, recipe_id=run_id(made.net, made.recipe, identity)))
    told = []
    left, = queue.missing([[queue.Item("degradation", "paper", "plain-20", 0)]], told.append)
    assert left[0].at == 6 and told == [f"{path}: its data are scikit-learn’s digits, which only stand in for CIFAR-10"]


def test_a_pattern_chooses_and_a_wrong_one_says_what_names_look_like(small, capsys):
    def names(pattern):
        return [str(item) for group in queue.select(queue.order(), pattern) for item in group]

    assert names(None) == RUNS
    assert names("residual-20-s1") == [RUNS[4]] and names("degradation/*-s0") == RUNS[:2]
    assert main(["queue", "--only", "resnet-20"]) == FAILED
    assert RUNS[0] in capsys.readouterr().err


# --- the estimates


@pytest.mark.parametrize("at", [0, 1, 4, 6])
@pytest.mark.parametrize("changes", [{}, {"steps": 7, "validation": 0.1, "eval_every": 3}])
def test_the_estimate_counts_what_a_run_does(small, monkeypatch, at, changes):
    """The naive count: walk through the run and add up the pictures that each row evaluates, a third of a step each."""
    job = experiments.job("degradation", "paper", "plain-20", 0)
    job = replace(job, recipe=replace(job.recipe, **changes))
    r, expected = job.recipe, 0.0
    for step in range(at + 1, r.steps + 1):
        expected += 1
        if step % r.eval_every == 0 or step == r.steps:
            expected += (50 + 100 * r.validation) / r.batch / 3
        if step == r.steps:
            expected += 100 * (1 - r.validation) / r.batch / 3
    monkeypatch.setattr(estimates, "_measure", lambda *_: 1.0)
    assert estimates.seconds_left(job, at, ONE) == pytest.approx(expected)


def test_a_step_is_timed_once_for_all_that_matters(small, monkeypatch):
    job = experiments.job("degradation", "paper", "plain-20", 0)
    monkeypatch.setattr(estimates, "SECONDS", 0.05)
    seconds = estimates.seconds_per_step(job, ONE)
    assert seconds > 0 and estimates.known(job, ONE)
    monkeypatch.setattr(estimates, "_measure", lambda *_: 123.0)
    same = [(experiments.job("degradation", "paper", "plain-20", 1), ONE), (job, replace(ONE, workers=2)),
            (job, replace(ONE, compile=True)),  # a minute for each net, only to tell how long it takes
            (job, replace(ONE, interleave=4, checkpoint_every=1.0))]
    other = [(experiments.job("degradation", "paper", "residual-20", 0), ONE), (job, replace(ONE, channels_last=False)),
             (replace(job, recipe=replace(job.recipe, batch=16)), ONE),
             (replace(job, identity=job.identity | {"shape": [1, 9, 9]}), ONE)]
    assert [estimates.seconds_per_step(*words) for words in same] == [seconds] * 4
    assert [estimates.seconds_per_step(*words) for words in other] == [123.0] * 4
    estimates.cache().write_text("half a fi")
    assert estimates.seconds_per_step(job, ONE) == 123.0  # measured again, not an error


@pytest.mark.slow
def test_the_list_of_what_is_missing_rests_on_steps_timed_here(small, monkeypatch, capsys):
    monkeypatch.setattr(estimates, "_measure", lambda *_: 100.0)
    main(["queue", "--budget", "0"])
    capsys.readouterr()
    assert main(["list", "--missing", "--threads", "1"]) == FINISHED
    text, told = capsys.readouterr()
    assert told.count("\n") == 1 and "timing" in told
    per_run = 100 * (6 + (3 * 50 + 100) / 32 / 3)
    assert f"1. degradation, paper: 2 runs, about {duration(2 * per_run - 100)}" in text  # one step is done
    assert "plain-20-s0: step 1 of 6" in text and "mnist_simple, paper: 1 run" in text
    assert f"About {duration(5 * per_run - 100)} in all" in text
    main(["list", "--missing", "--threads", "1"])
    assert capsys.readouterr().err == ""
    for command in [line.strip() for line in text.splitlines() if "-m resnet_lib run" in line]:
        assert main(shlex.split(command)[3:]) == FINISHED  # what it says to type does it
    capsys.readouterr()
    assert main(["list", "--missing"]) == FINISHED and "nothing is missing" in capsys.readouterr().out


# --- working it off


def test_a_budget_leaves_a_checkpoint_and_the_same_command_goes_on(small, capsys):
    expected = by_hand()[0]
    assert main(["queue", "--budget", "0"]) == UNFINISHED
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines[:5]] == (
        [[RUNS[0], "step 1 of 6"]] + [[name, "not begun"] for name in RUNS[1:]])
    assert [p.name[:11] for p in small.rglob("*.ckpt")] == ["plain-20-s0"] and not recorded().exists()
    assert main(["queue"]) == FINISHED
    assert [line.split() for line in capsys.readouterr().out.splitlines()[:5]] == [[name, "finished"] for name in RUNS]
    record = records.read(recorded())
    assert record.rows == expected and len(record.segments) == 2
    assert len(list(records.recorded_root().rglob("*.json"))) == 5 and not list(small.rglob("*.ckpt"))
    assert main(["queue"]) == FINISHED and "nothing is missing" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_that_take_turns_end_as_those_that_do_not(small):
    assert main(["queue", "--interleave", "2", "--only", "degradation/*-s0"]) == FINISHED
    for variant in ("plain-20", "residual-20"):
        assert records.read(recorded(variant=variant)).rows == by_hand(variant)[0]
    assert not recorded(seed=1).exists()


@pytest.mark.slow
def test_an_error_ends_its_run_and_not_the_queue(small, monkeypatch, capsys):
    advance = Run.advance

    def fails_once(self):
        if self.recipe_id == experiments.job("degradation", "paper", "plain-20", 0).recipe_id:
            raise RuntimeError("out of memory")
        return advance(self)

    monkeypatch.setattr(Run, "advance", fails_once)
    assert main(["queue"]) == FAILED
    text, told = capsys.readouterr()
    assert told.startswith("error: plain-20-s0: out of memory") and told.count("\n") == 1
    assert f"{RUNS[0]:44} not begun" in text and text.count("finished") == 4
    assert recorded(variant="residual-20").exists() and recorded("mnist_simple", "published").exists()


def test_after_ctrl_c_what_is_finished_is_recorded(small, monkeypatch, capsys):
    advance, at_work = Run.advance, []

    def interrupted(self):
        at_work.append(self.recipe_id)
        if len(set(at_work)) == 2:
            assert recorded().exists()  # at once, not at the end of the queue
            raise KeyboardInterrupt
        return advance(self)

    monkeypatch.setattr(Run, "advance", interrupted)
    assert main(["queue"]) == 130
    text, told = capsys.readouterr()
    assert f"{RUNS[0]:44} finished" in text and f"{RUNS[1]:44} not begun" in text
    assert told == "interrupted; go on with the same command\n"
    assert recorded().exists() and not recorded(variant="residual-20").exists()


def test_a_run_trained_here_is_recorded_without_training(small, monkeypatch, capsys):
    made, = experiments.run("degradation", "paper", (0,), ["plain-20"])
    assert not recorded().exists()
    monkeypatch.setattr(queue, "train_all", None)
    main(["list", "--missing", "--only", "plain-20-s0"])
    assert "trained here, not recorded yet" in capsys.readouterr().out
    assert main(["queue", "--only", "plain-20-s0"]) == FINISHED
    assert records.read(recorded()) == made


# --- weights


def test_weights_are_those_that_the_last_row_was_measured_with(small, tmp_path):
    assert main(["queue", "--only", "degradation/*-s0"]) == FINISHED
    record = records.read(recorded())
    path = weights.recorded_path(record)
    assert path == small / "data/weights/degradation/paper/plain-20-s0.pt"
    assert list((small / "data/weights").rglob("*.pt")) == [path]  # only of those that are declared
    rows, run = by_hand()
    net = weights.load(record)
    assert not net.training
    for name, tensor in run.net.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor)
    job = experiments.job("degradation", "paper", "plain-20", 0)
    images = job.pictures.load()
    x = images.test_x / 255 - images.train_x.double().mean(0) / 255
    wrong = (net(x.float()).argmax(1) != images.test_y).double().mean().item()
    assert wrong == pytest.approx(rows[-1]["test_error"], abs=1e-6)


def test_weights_of_another_run_are_refused(small):
    assert main(["queue", "--only", "degradation/*/plain-20"]) == FINISHED
    mine, other = records.read(recorded()), records.read(recorded(seed=1))
    with pytest.raises(records.RecordError, match="there are no weights of plain-20-s1"):
        weights.load(other)
    path = weights.recorded_path(mine)
    path.rename(weights.recorded_path(other))
    with pytest.raises(records.RecordError, match=f"weights of run {mine.recipe_id[:8]}.*{other.recipe_id[:8]}"):
        weights.load(other)
    path.write_bytes(b"no zip")
    with pytest.raises(records.RecordError, match="not a file of weights"):
        weights.load(mine)


def test_weights_of_the_central_runs_stay_below_four_megabytes(tmp_path):
    kept = {(v, s) for v, declared in DEGRADATION.tiers["paper"].variants.items() for s in declared.keep}
    assert kept == {(f"{kind}-{depth}", 0) for kind in ("plain", "residual") for depth in (20, 56)}
    weights.write(tmp_path / "w.pt", nets.cifar_resnet(56), "0" * 64)
    assert (tmp_path / "w.pt").stat().st_size < 4e6


# --- unfinished runs, and records that do not count

PLAIN = ["run", "degradation", "--tier", "paper", "--variants", "plain-20", "--seeds", "0"]


def test_what_a_budget_reached_is_recorded_as_unfinished(small, capsys):
    words = [*PLAIN, "--budget", "0", "--resume", "--record-unfinished"]
    assert main(words) == UNFINISHED
    assert "nothing to record: its first row comes at step 2" in capsys.readouterr().out
    assert not list(records.recorded_root().rglob("*"))
    assert [main(words), main(words)] == [UNFINISHED] * 2
    path = recorded(suffix=".unfinished.json")
    assert "stopped at step 2 of 6, test error" in (text := capsys.readouterr().out) and str(path) in text
    part = records.read(path)
    expected = by_hand()[0]
    assert part.rows == expected[:1] and [s["from_step"] for s in part.segments] == [0, 1]
    assert [p["step"] for p in part.probes] == [0]  # the checkpoint is at step 3, beyond the last row
    assert experiments.find("degradation", "paper", "plain-20") == [] and not recorded().exists()
    assert main(["list"]) == FINISHED and "0 recorded, 1 unfinished" in capsys.readouterr().out
    assert queue.missing([[queue.Item("degradation", "paper", "plain-20", 0)]], print)[0][0].state == "step 3 of 6"
    assert main([*PLAIN, "--resume", "--record"]) == FINISHED
    assert not path.exists() and records.read(recorded()).rows == expected


@pytest.mark.parametrize("how", ["--record", "--record-unfinished", "--hand-over"])
def test_what_the_digits_stand_in_for_is_not_recorded(tiny, capsys, how):
    words = ["run", "degradation", "--tier", "paper", "--variants", "plain-8", "--seeds", "0", "--budget", "0"]
    path = records.recorded_root() / "degradation" / "paper" / "plain-8-s0.json"
    path.parent.mkdir(parents=True)
    path.write_text("the record")
    assert main([*words, how]) == FAILED
    assert "CIFAR-10 is not in data/" in (said := capsys.readouterr().err) and "make data" in said
    assert [p.name for p in path.parent.iterdir()] == [path.name] and path.read_text() == "the record"


def test_a_run_that_moves_as_one_file_ends_with_equal_rows(small, tmp_path, monkeypatch):
    expected = by_hand()[0]
    assert main([*PLAIN, "--budget", "0"]) == UNFINISHED
    checkpoint, = small.rglob("*.ckpt")
    assert checkpoint.stat().st_size < 16e6
    moved = tmp_path / "taken along.ckpt"
    checkpoint.rename(moved)
    monkeypatch.setenv("RESNET_LIB_HOME", str(tmp_path / "another machine"))
    assert main([*PLAIN, "--resume", str(moved), "--record"]) == FINISHED
    record = records.read(recorded())
    assert str(recorded()).startswith(str(tmp_path / "another machine"))
    assert record.rows == expected and [s["from_step"] for s in record.segments] == [0, 1]


def test_a_run_that_is_handed_over_is_gone_on_with_elsewhere(small, tmp_path, monkeypatch, capsys):
    expected = by_hand()[0]
    assert main([*PLAIN, "--budget", "0", "--hand-over"]) == UNFINISHED  # before the first row: nothing to show yet
    assert main([*PLAIN, "--budget", "0", "--hand-over", "--resume"]) == UNFINISHED
    job = experiments.job("degradation", "paper", "plain-20", 0)
    assert str(job.handed_over()) in capsys.readouterr().out and recorded(suffix=".unfinished.json").exists()
    other = tmp_path / "another machine"
    shutil.copytree(records.recorded_root(), other / "data" / "runs")
    monkeypatch.setenv("RESNET_LIB_HOME", str(other))
    assert not job.live("ckpt").exists() and job.handed_over().is_relative_to(other)
    assert queue.missing([[queue.Item("degradation", "paper", "plain-20", 0)]], print)[0][0].state == "step 2 of 6"
    assert main(["queue", "--only", "plain-20-s0", "--threads", "1"]) == FINISHED
    record = records.read(recorded())
    assert record.rows == expected and [s["from_step"] for s in record.segments] == [0, 1, 2]
    assert not job.handed_over().exists() and not recorded(suffix=".unfinished.json").exists()


def test_what_is_handed_over_belongs_to_a_declared_run_that_is_not_finished():
    for path in records.recorded_root().rglob("*.ckpt"):
        unfinished = path.with_name(path.name.split(".")[0] + records.UNFINISHED)
        record = lookup.committed_record(unfinished)  # StaleRecord, unless the declaration would make it
        state = read_checkpoint(path)
        assert state["recipe_id"] == record.recipe_id and path.name.split(".")[1] == record.recipe_id[:8]
        if data.available(record.data["name"]):  # else the run of that name is one on the digits
            job = experiments.job(record.experiment, record.tier, record.variant, record.seed)
            assert path == job.handed_over() and job.recipe_id == record.recipe_id
        assert state["rows"] == record.rows and state["at"] >= record.step and path.stat().st_size < 16e6


@pytest.mark.parametrize("words", [["list"], ["list", "--missing"], PLAIN, ["queue", "--only", "plain-20-s0"]])
def test_every_command_refuses_a_stale_record_with_the_reason(small, monkeypatch, capsys, words):
    monkeypatch.setattr(estimates, "_measure", lambda *_: 1.0)
    made, = experiments.run("degradation", "paper", (0,), ["plain-20"])
    records.store(made)
    experiment = experiments.EXPERIMENTS["degradation"]
    faster = replace(experiment.tiers["paper"], recipe=replace(RECIPE, lr=0.07))
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", replace(experiment, tiers={"paper": faster}))
    assert main(words) == FINISHED
    text, told = capsys.readouterr()
    assert "refused: " in told and "stale" in told and "lr of the recipe was 0.05, is 0.07" in told
    if words[0] == "list":
        assert ("0 recorded, 1 refused" if len(words) == 1 else "--variants plain-20,residual-20") in text
    if words[0] == "queue":  # and made anew
        assert records.read(recorded()).recipe["lr"] == 0.07


def test_a_damaged_checkpoint_is_named(small, capsys):
    job = experiments.job("degradation", "paper", "plain-20", 0)
    job.live("ckpt").parent.mkdir(parents=True)
    job.live("ckpt").write_bytes(b"half a checkpoint")
    assert main(["list", "--missing"]) == FAILED
    told = capsys.readouterr().err
    assert str(job.live("ckpt")) in told and "delete it" in told and told.count("\n") == 1
