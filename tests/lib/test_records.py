"""Records: schema, ids, atomic writes, provenance; jsonschema is the outside judge of the format."""

from dataclasses import replace
from pathlib import Path
import json
import os

import pytest

from resnet_lib import nets, records
from resnet_lib.recipe import Execution, Recipe
from resnet_lib.train import Run
from conftest import ROOT, toy_images


@pytest.fixture(scope="module")
def made():
    recipe = Recipe(steps=2, batch=32, eval_every=1, drops=(), probe_steps=(0,))
    run = Run(nets.cifar_resnet(8, width=4), toy_images(), recipe, Execution(device="cpu", threads=1))
    list(run)
    return records.Record("degradation", "quick", "plain-20", 0, run.recipe_id, recipe.to_json(), run.spec,
                          run.images.identity(), run.segments, run.rows, run.probes, "abc", False)


def test_written_and_read_again(made, tmp_path):
    records.write(made, tmp_path / "r.json")
    assert records.read(tmp_path / "r.json") == made
    assert list(tmp_path.iterdir()) == [tmp_path / "r.json"]  # no temporary file stays


@pytest.mark.slow
def test_what_is_written_keeps_to_the_schema(made, tmp_path):
    import jsonschema  # compiles grammars of formats that no schema here uses: seconds, for this test alone

    records.write(made, tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    jsonschema.Draft202012Validator(json.loads(records.SCHEMA_FILE.read_text())).validate(content)


def test_rows_hold_deterministic_values_only(made):
    assert set(made.rows[-1]) == {"step", "epoch", "lr", "train_error", "train_loss", "test_error", "test_loss",
                                  "train_error_eval", "train_loss_eval"}


def broken(made, change):
    content = json.loads(json.dumps(made.to_json()))
    change(content)
    return content


@pytest.mark.parametrize("change, field", [
    (lambda c: c.pop("seed"), "seed"),
    (lambda c: c.update(seed="zero"), "seed"),
    (lambda c: c.update(tier="huge"), "tier"),
    (lambda c: c.update(schema=2), "schema"),
    (lambda c: c.update(extra=1), "extra"),
    (lambda c: c["rows"][1].pop("test_error"), "rows[1]"),
    (lambda c: c["rows"][0].update(train_error=1.5), "rows[0].train_error"),
    (lambda c: c["rows"][0].update(seconds=1), "seconds"),
    (lambda c: c.update(rows=[]), "rows"),
    (lambda c: c["segments"][0].pop("device"), "segments[0]"),
    (lambda c: c["data"].pop("sha256"), "data"),
    (lambda c: c["probes"][0].update(weight_norm="big"), "weight_norm"),
    (lambda c: c["recipe"].update(optimiser="sgd"), "optimiser"),
    (lambda c: c["recipe"].update(optimizer="sdg"), "optimizer"),
])
def test_a_wrong_or_missing_field_gets_one_line_that_names_it(made, tmp_path, change, field):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(broken(made, change)))
    with pytest.raises(records.RecordError) as caught:
        records.read(path)
    message = str(caught.value)
    assert field in message and str(path) in message and "\n" not in message and "run the experiment again" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "NaN", pytest.param("[" * 100_000, id="deep")])
def test_a_file_that_is_no_record(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(records.RecordError, match="r.json"):
        records.read(tmp_path / "r.json")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e400", "1" + "0" * 400])
def test_numbers_have_to_be_finite(made, tmp_path, number):
    """A student's record could stop the plot of all others."""
    path = tmp_path / "r.json"
    text = json.dumps(broken(made, lambda c: c["segments"][0].update(seconds=7654321)))
    path.write_text(text.replace("7654321", number))
    with pytest.raises(records.RecordError, match=f"r.json.*{number[:9]}.* is no finite number"):
        records.read(path)


@pytest.mark.parametrize("change", [
    lambda c: c["recipe"].update(lr=0.2), lambda c: c["net"].update(depth=14), lambda c: c["data"].update(n_train=1),
    lambda c: c["recipe"].update(seed=1),
])
def test_a_record_edited_by_hand_is_stale(made, tmp_path, change):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(broken(made, change)))
    with pytest.raises(records.StaleRecord, match="stale"):
        records.read(path)


def test_raised_semantics_makes_records_stale(made, tmp_path, monkeypatch):
    records.write(made, tmp_path / "r.json")
    monkeypatch.setattr("resnet_lib.identity.SEMANTICS", 10_000)
    with pytest.raises(records.StaleRecord):
        records.read(tmp_path / "r.json")


@pytest.mark.parametrize("now, change, reason", [
    (10_000, {}, "made under SEMANTICS 1, and .* now has 10000"),
    (1, {"seed": 7}, "though SEMANTICS is 1 as it was then: the file was edited"),
    (10_000, {"semantics": None}, "under the present mathematics .SEMANTICS 10000.* or the file was edited"),
])
def test_a_stale_record_says_why(made, tmp_path, monkeypatch, now, change, reason):
    records.write(made, tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    if "semantics" in change:
        del content["semantics"]  # a record from before the field
    content["recipe"] |= {k: v for k, v in change.items() if k != "semantics"}
    (tmp_path / "r.json").write_text(json.dumps(content))
    monkeypatch.setattr("resnet_lib.identity.SEMANTICS", now)
    with pytest.raises(records.StaleRecord, match=reason):
        records.read(tmp_path / "r.json")


def test_a_record_from_before_the_field_semantics_is_valid(made, tmp_path):
    content = made.to_json()
    del content["semantics"]
    (tmp_path / "r.json").write_text(json.dumps(content))
    assert records.read(tmp_path / "r.json") == made


def part_of(made):
    return replace(made, rows=made.rows[:1])


def test_an_unfinished_record_has_a_name_of_its_own_and_goes_when_the_run_is_finished(made, home):
    part = part_of(made)
    assert (made.finished, made.progress) == (True, "finished")
    assert (part.finished, part.step, part.steps, part.progress) == (False, 1, 2, "stopped at step 1 of 2")
    path = records.store(part)
    assert path == home / "data/runs/degradation/quick/plain-20-s0.unfinished.json"
    assert records.load("degradation", "quick") == []
    assert records.load("degradation", "quick", unfinished=True) == [part]
    finished = records.store(made)
    assert finished.name == "plain-20-s0.json" and not path.exists()
    assert records.load("degradation", "quick", unfinished=True) == [made]


def test_a_name_that_does_not_fit_is_refused(made, tmp_path):
    """Renaming a file does not finish a run."""
    for record, name, words in ((part_of(made), "r.json", "stopped at step 1 of 2.*must end in .unfinished.json"),
                                (made, "r.unfinished.json", "is finished.*must not end in")):
        records.write(record, tmp_path / name)
        with pytest.raises(records.RecordError, match=words):
            records.read(tmp_path / name)


def test_provenance_says_where_a_run_was_stopped(made):
    assert part_of(made).provenance().endswith("stopped at step 1 of 2")
    assert "plain-20, seed 0: stopped at step 1 of 2" in records.provenance([made, part_of(made)])
    assert "stopped" not in made.provenance()


def test_a_full_disk_leaves_the_old_record(made, tmp_path, monkeypatch):
    path = tmp_path / "r.json"
    records.write(made, path)
    before = path.read_bytes()

    def full(_fd):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(records.RecordError, match="No space left on device.*resume=True"):
        records.write(made, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_provenance_says_all_it_should(made):
    line = made.provenance()
    for word in ("CIFAR-10", "150 training pictures at 8×8", "seed 0", "CPU", "1 thread", "torch 2", "20"):
        assert word in line
    assert "\n" not in line
    with pytest.raises(records.RecordError):
        records.provenance([])


def test_provenance_says_how_it_was_rounded_and_what_changed_on_the_way(made):
    def segment(step, device, precision):
        execution = made.segments[0]["execution"] | {"precision": precision}
        return made.segments[0] | {"from_step": step, "device": device, "execution": execution}

    assert "float32" not in made.provenance()  # what everyone expects
    rounded = replace(made, segments=[segment(0, "CPU A", "bf16"), segment(1, "CPU A", "bf16")])
    assert " · in bf16 · " in rounded.provenance() and "from step" not in rounded.provenance()
    mixed = replace(made, segments=[segment(0, "CPU A", "bf16"), segment(1, "CPU B", "float32")])
    assert " · in bf16 and float32 · " in mixed.provenance()
    assert mixed.provenance().endswith("plain-20, seed 0: from step 1 on CPU B in float32")


def test_provenance_names_what_stood_in(made):
    made = records.Record(**{**made.to_json(), "data": {**made.data, "name": "digits", "fallback": "cifar10"}})
    assert "standing in for CIFAR-10" in made.provenance()


def test_a_column_that_is_not_there(made):
    assert len(made.column("test_error")) == 2
    with pytest.raises(KeyError, match="train_error_eval"):
        made.column("accuracy")


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "runs").rglob("*.json")) or [None], ids=str)
def test_committed_records_are_valid_and_lie_where_they_say(path):
    if path is None:
        pytest.skip("no recorded runs yet")
    record = records.read(path)
    name = f"{record.variant}-s{record.seed}{'' if record.finished else '.unfinished'}.json"
    assert Path(record.experiment, record.tier, name) == path.relative_to(ROOT / "data" / "runs")
