"""Declarations, ids, the stores, and the runner in one process and in several."""

from dataclasses import replace
import json
import re

import pytest

from resnet_lib import experiments, nets, records
from resnet_lib.experiments import runner
from resnet_lib.experiments.declare import TIERS, Variant
from resnet_lib.experiments.reference import DEGRADATION, SYSTEMS
from resnet_lib.identity import run_id
from resnet_lib.recipe import Execution
from resnet_lib.train import Run

ONE = Execution(device="cpu", threads=1)


def test_six_experiments_in_full():
    assert [e.name for e in SYSTEMS] == ["degradation", "mnist_simple", "fashion_d2l", "cifar_resnet18",
                                         "cifar_keras_v1", "imagenet_family"]
    assert all(tuple(e.tiers) == TIERS for e in SYSTEMS)
    for name, experiment in experiments.EXPERIMENTS.items():
        assert experiment.name == name and "quick" in experiment.tiers and set(experiment.tiers) <= set(TIERS)
        for tier in experiment.tiers.values():
            for variant in tier.variants.values():
                nets.complete(variant.net)
                if tier.recipe:
                    replace(tier.recipe, **variant.changes)  # every change is a field of the recipe, and valid


def test_the_paper_recipe_of_the_central_experiment():
    tier = DEGRADATION.tiers["paper"]
    r = tier.recipe
    assert (r.optimizer, r.lr, r.momentum, r.weight_decay, r.batch, r.steps, r.drops, r.drop_factor) == (
        "sgd", 0.1, 0.9, 1e-4, 128, 64_000, (32_000, 48_000), 0.1)
    assert (r.augment, r.normalize, r.init, r.warmup_steps) == ("crop_flip", "pixel_mean", "he", 0)
    assert (tier.n_train, tier.size) == (None, 32)
    assert tier.seeds == (0, 1, 2)
    assert tier.variants["residual-110"].changes == {"warmup_steps": 400, "warmup_lr": 0.01}
    for depth in (20, 32, 44, 56, 110):
        for kind, residual in (("plain", False), ("residual", True)):
            net = nets.complete(tier.variants[f"{kind}-{depth}"].net)
            assert (net["depth"], net["residual"], net["width"], net["shortcut"]) == (depth, residual, 16, "A")


def test_the_short_tier_is_the_paper_recipe_shortened():
    short, paper = DEGRADATION.tiers["short"], DEGRADATION.tiers["paper"]
    assert replace(short.recipe, steps=64_000, drops=(32_000, 48_000), eval_every=paper.recipe.eval_every,
                   probe_steps=paper.recipe.probe_steps) == paper.recipe
    assert [step / short.recipe.steps for step in short.recipe.drops] == [1 / 2, 3 / 4]
    assert (short.n_train, short.n_test, short.size) == (None, None, 32)  # nothing but the schedule is smaller
    for tier in (short, paper):
        longer = replace(tier.recipe, **tier.variants["plain-56-3x"].changes)
        assert longer.steps == 3 * tier.recipe.steps and longer.drops == tuple(3 * s for s in tier.recipe.drops)
    four = [f"{kind}-{depth}" for kind in ("plain", "residual") for depth in (20, 56)]
    for name in four:
        assert experiments.seeds_of("degradation", "short", name) == (0, 1, 2)
        assert short.variants[name].net == paper.variants[name].net


def test_epochs_of_the_reference_systems():
    steps = {name: e.tiers["paper"].recipe for name, e in ((e.name, e) for e in SYSTEMS) if e.tiers["paper"].recipe}
    assert steps["mnist_simple"].steps == 26 * -(-60_000 // 64)
    assert steps["fashion_d2l"].steps == 10 * -(-60_000 // 256)
    assert steps["cifar_resnet18"].steps == 50 * -(-50_000 // 128)
    assert steps["cifar_keras_v1"].steps == 20 * -(-45_000 // 128)


def test_a_run_is_found_again_and_not_trained_twice(tiny, monkeypatch):
    first = experiments.run("degradation", "quick", seeds=None)
    assert [f"{r.variant}-s{r.seed}" for r in first] == ["plain-8-s0", "plain-8-s1", "residual-8-s0", "residual-8-s1"]
    monkeypatch.setattr(runner, "Run", None)  # training again would now fail
    assert experiments.run("degradation", "quick", seeds=None) == first
    assert all(r.live for r in first)


def test_record_of_the_runner_equals_a_run_by_hand(tiny):
    record, = experiments.run("degradation", "quick", (1,), ["residual-8"])
    job = experiments.job("degradation", "quick", "residual-8", 1)
    by_hand = Run(nets.build(job.net), job.pictures.load(), job.recipe, ONE)
    assert list(by_hand) == record.rows and by_hand.recipe_id == record.recipe_id


def test_id_depends_on_seed_recipe_net_and_data(tiny, monkeypatch):
    ids = {experiments.job("degradation", "quick", v, s).recipe_id for v in ("plain-8", "residual-8") for s in (0, 1)}
    assert len(ids) == 4
    before = experiments.job("degradation", "quick", "plain-8", 0).recipe_id
    tier = experiments.EXPERIMENTS["degradation"].tiers["quick"]
    faster = replace(tier.recipe, lr=0.06)
    for changed in (replace(tier, n_train=99), replace(tier, size=9), replace(tier, recipe=faster)):
        declared = replace(DEGRADATION, tiers={"quick": changed})
        monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", declared)
        assert experiments.job("degradation", "quick", "plain-8", 0).recipe_id != before
    # how a run is carried out is not part of it
    declared = replace(DEGRADATION, tiers={"quick": replace(tier, execution=Execution(threads=2))})
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", declared)
    assert experiments.job("degradation", "quick", "plain-8", 0).recipe_id == before


def test_find_prefers_live_and_takes_committed(tiny):
    assert experiments.find("degradation", "quick", "plain-8") == []
    live = experiments.run("degradation", "quick", None, ["plain-8"])
    for r in live:
        records.write(r, records.recorded_root() / "degradation" / "quick" / f"plain-8-s{r.seed}.json")
    assert [r.live for r in experiments.find("degradation", "quick", "plain-8")] == [True, True]
    for path in (records.live_root() / "degradation" / "quick").glob("*.json"):
        path.unlink()
    found = experiments.find("degradation", "quick", "plain-8")
    assert found == live and [r.live for r in found] == [False, False]
    assert records.load("degradation", "quick") == found


def test_a_committed_record_of_an_older_declaration_is_refused_with_the_reason(tiny, monkeypatch):
    record, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    records.store(replace(record, tier="paper"))
    tier = experiments.EXPERIMENTS["degradation"].tiers["paper"]
    declared = replace(DEGRADATION, tiers={"paper": replace(tier, recipe=replace(tier.recipe, lr=0.07))})
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", declared)
    for unfinished in (False, True):
        with pytest.raises(records.StaleRecord, match="stale.*lr of the recipe was 0.05, is 0.07.*--record"):
            experiments.find("degradation", "paper", "plain-8", unfinished)


@pytest.mark.parametrize("change, reason", [
    ({"size": 9}, "size of the data was 8, is 9"),
    ({"variants": {"plain-8": Variant({"name": "cifar_resnet", "depth": 8, "residual": True, "width": 6})}},
     "residual of the net was False, is True; width of the net was 4, is 6"),
    ({"variants": {"plain-14": Variant({"name": "cifar_resnet", "depth": 14})}},
     "unknown variant 'plain-8'; degradation at tier quick has plain-14"),
])
def test_the_reason_names_what_changed(tiny, monkeypatch, change, reason):
    record, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    path = records.store(record)
    assert experiments.committed_record(path) == record
    tier = experiments.EXPERIMENTS["degradation"].tiers["quick"]
    declared = replace(DEGRADATION, tiers={"quick": replace(tier, **change)})
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", declared)
    with pytest.raises(records.StaleRecord, match=re.escape(reason)):
        experiments.committed_record(path)


def test_what_a_variant_needs_of_its_execution_wins_and_is_checked(tiny, monkeypatch):
    tier = experiments.EXPERIMENTS["degradation"].tiers["quick"]
    usual = tier.variants["plain-8"]
    declared = replace(DEGRADATION, tiers={"quick": replace(tier, seeds=(0,), variants={
        "plain-8": usual, "plain-8-float32": replace(usual, seeds=(1,), how={"precision": "float32"})})})
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", declared)
    rounded = replace(ONE, precision="bf16")
    plain, exact = experiments.run("degradation", "quick", seeds=None, execution=rounded)
    assert [r.segments[0]["execution"]["precision"] for r in (plain, exact)] == ["bf16", "float32"]
    by_hand = Run(nets.build(exact.net), experiments.job("degradation", "quick", "plain-8").pictures.load(),
                  experiments.job("degradation", "quick", "plain-8", 1).recipe, ONE)
    assert exact.rows == list(by_hand)  # ids do not tell how a run was carried out, so its rows do
    path = records.store(replace(exact, segments=plain.segments))
    with pytest.raises(records.StaleRecord, match="precision of the execution was 'bf16', is 'float32'"):
        experiments.committed_record(path)


def test_no_two_declared_runs_of_a_tier_are_the_same(home):
    for experiment in experiments.EXPERIMENTS.values():
        for tier in experiment.tiers:
            ids = [job.recipe_id for job in experiments.jobs(experiment.name, tier)]
            assert len(set(ids)) == len(ids), (experiment.name, tier)


def test_a_record_in_anothers_place_is_refused(tiny):
    record, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    path = records.store(record)
    wrong = path.with_name("residual-8-s0.json")
    path.rename(wrong)
    with pytest.raises(records.StaleRecord, match="plain-8-s0, which belongs in .*plain-8-s0.json"):
        experiments.find("degradation", "quick", "residual-8")


def test_an_unfinished_record_is_found_only_when_asked_for(tiny):
    record, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    part = replace(record, rows=record.rows[:-1], live=False)
    experiments.job("degradation", "quick", "plain-8", 0).live().unlink()
    records.store(part)
    assert experiments.find("degradation", "quick", "plain-8") == []
    assert experiments.find("degradation", "quick", "plain-8", unfinished=True) == [part]
    assert runner.find_record(experiments.job("degradation", "quick", "plain-8", 0)) is None
    again, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    assert again.finished and again.rows == record.rows
    assert experiments.find("degradation", "quick", "plain-8", unfinished=True) == [again]  # the result comes first


def test_budget_stops_and_resume_gives_the_same_rows(tiny):
    whole, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    job = experiments.job("degradation", "quick", "plain-8", 0)
    job.live().unlink()
    assert experiments.run("degradation", "quick", (0,), ["plain-8"], budget=0) == []
    assert job.live("ckpt").exists() and not job.live().exists()
    again, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    assert again.rows == whole.rows and len(again.segments) == 2 and not job.live("ckpt").exists()


def test_find_never_mixes_data_sets(tiny):
    """Seed 0 live on the digits, seeds 0 and 1 committed on other data: a mean over both would mean nothing."""
    made = experiments.run("degradation", "quick", None, ["plain-8"])
    for r in made:
        identity = {**r.data, "name": "cifar10", "fallback": None, "sha256": "1" * 64}
        recipe_id = run_id(r.net, r.recipe, identity)
        other = replace(r, data=identity, recipe_id=recipe_id)
        records.write(other, records.recorded_root() / "degradation" / "quick" / f"plain-8-s{r.seed}.json")
    assert [(r.seed, r.live) for r in experiments.find("degradation", "quick", "plain-8")] == [(0, True), (1, True)]
    experiments.job("degradation", "quick", "plain-8", 1).live().unlink()
    assert [(r.seed, r.live) for r in experiments.find("degradation", "quick", "plain-8")] == [(0, False), (1, False)]


def test_a_field_added_to_the_recipe_later_leaves_old_records_valid(tiny):
    record, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    job = experiments.job("degradation", "quick", "plain-8", 0)
    content = json.loads(job.live().read_text())
    del content["recipe"]["decay_all"], content["net"]["block"]  # as if these had not been there then
    job.live().write_text(json.dumps(content))
    again, = experiments.run("degradation", "quick", (0,), ["plain-8"])
    assert again.rows == record.rows and "decay_all" not in again.recipe


def test_data_that_change_between_asking_and_training_stop_the_run(tiny, monkeypatch):
    job = experiments.job("degradation", "quick", "plain-8", 0)
    other = runner.Pictures("digits", 90, 50, 8)
    with pytest.raises(runner.RunError, match="data/ has changed"):
        runner.train(replace(job, pictures=other), ONE)


def test_pictures_are_read_again_when_data_change(home):
    pictures = runner.Pictures("mnist", 10, 10, 8)
    assert pictures.load() is pictures.load() and pictures.load().fallback == "mnist"
    folder = home / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-labels-idx1-ubyte").write_bytes(b"half a set")
    with pytest.raises(ValueError, match="MNIST"):
        pictures.load()


def test_imagenet_family_is_counted(home):
    record, = experiments.run("imagenet_family", "quick", (0,), ["resnet-18"])
    assert record.final["parameters"] == nets.IMAGENET_COST[18][0]
    assert round(record.final["macs"] / 1e9, 3) == nets.IMAGENET_COST[18][1]
    assert experiments.run("imagenet_family", "quick", (0,), ["resnet-18"]) == [record]


@pytest.mark.parametrize("call, words", [
    (lambda: experiments.run("degradaton"), "degradation, mnist_simple"),
    (lambda: experiments.run("degradation", "fast"), "quick, short, paper"),
    (lambda: experiments.run("degradation", variants=["plain-57"]), "plain-20, plain-56"),
    (lambda: experiments.find("degradation", "quick", "plain-57"), "plain-20, plain-56"),
])
def test_unknown_names_get_the_valid_ones(home, call, words):
    with pytest.raises(ValueError) as caught:
        call()
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist_simple", "fashion_d2l", "cifar_resnet18", "cifar_keras_v1"])
def test_quick_tier_of_every_experiment_trains_on_the_digits(digits_home, monkeypatch, name):
    monkeypatch.setenv("RESNET_LIB_HOME", str(digits_home))
    found = experiments.run(name, "quick", (0,))
    assert [r.variant for r in found] == list(experiments.EXPERIMENTS[name].tiers["quick"].variants)
    for r in found:
        assert r.data["fallback"] == experiments.EXPERIMENTS[name].data
        assert r.final["step"] == r.recipe["steps"]
        losses = r.column("train_loss")
        assert losses[-1] < losses[0], f"{name} {r.variant} does not learn"


@pytest.mark.slow
def test_processes_give_the_same_rows_as_one_after_another(home):
    options = {"seeds": (0,), "variants": ["plain-14", "residual-14"]}
    alone = experiments.run("relatives", "quick", execution=ONE, **options)
    for path in records.live_root().rglob("*.json"):
        path.unlink()
    together = experiments.run("relatives", "quick", execution=replace(ONE, workers=2), **options)
    assert [r.rows for r in together] == [r.rows for r in alone]
    assert json.dumps(together[0].rows) == json.dumps(alone[0].rows)


def test_what_is_recorded_of_data_that_do_not_lie_here_is_not_trained_on_what_stands_in(digits_home, monkeypatch):
    """A page needs the net, not the hour: it had been trained anew wherever MNIST was missing."""
    monkeypatch.setenv("RESNET_LIB_HOME", str(digits_home))
    monkeypatch.setattr("resnet_lib.experiments.lookup.train_missing", None)
    monkeypatch.setattr("resnet_lib.experiments.lookup.train_again", None)
    net = experiments.trained("digit_net", "short", "residual-20")
    assert not net.training and net.spec["depth"] == 20
