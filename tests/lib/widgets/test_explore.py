"""The chart of all runs: its numbers are those that numpy finds in the records; what has no mean gets none."""

from dataclasses import replace
import json
import re

import numpy as np
import pytest

from resnet_lib import experiments, plots, records
from resnet_lib.widgets import explore

EVERY = [("function_classes", "short"), ("no_batch_norm", "short"), ("shortcut_kinds", "short"), ("in_place", "short"),
         ("mnist_simple", "paper")]
FIELDS = ("train_error", "test_error", "train_loss", "test_loss", "train_error_eval")


def inlined(shown):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', shown.html)[1])


@pytest.mark.parametrize("name, tier", EVERY)
def test_the_elements_numbers_are_numpys_on_the_records(name, tier):
    found = records.load(name, tier)
    if not found:
        pytest.skip(f"no records of {name}/{tier}")
    data = inlined(explore.curves(found, FIELDS, alt="Errors.", mode="frames"))
    groups = plots.by_variant(found)
    assert [v["name"] for v in data["variants"]] == list(groups)
    for entry in data["variants"]:
        runs = groups[entry["variant"]]
        assert entry["seeds"] == [r.seed for r in runs]
        for field in FIELDS:
            series = entry["series"][field]
            steps = [row["step"] for row in runs[0].rows if field in row]
            values = np.array([[row[field] for row in r.rows if field in row] for r in runs], dtype=float)
            assert data["steps"][series["at"]] == steps
            for name, theirs, rtol in (("runs", values, 6e-5), ("mean", values.mean(0), 6e-5),
                                       ("std", values.std(0, ddof=1), 6e-4)):
                ours = np.array(series[name], dtype=float)
                np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=1e-12, equal_nan=True)


def test_a_diverged_run_has_no_number_and_its_variant_no_mean():
    found = [r for r in records.load("no_batch_norm", "short") if r.variant == "none-lr0.05"]
    if not found:
        pytest.skip("no records of no_batch_norm/short")
    data = inlined(explore.curves(found, ("train_error", "train_loss"), alt="Errors.", mode="frames"))
    entry = data["variants"][0]
    loss, error = entry["series"]["train_loss"], entry["series"]["train_error"]
    assert entry["lost"] == [None, 100, 100]
    assert all(v is not None for v in loss["runs"][0]) and set(loss["runs"][1]) == {None}
    assert set(loss["mean"]) == set(loss["std"]) == {None}
    assert None not in error["mean"]  # an error is counted, whatever the net puts out; "lost" says what it is worth


def test_finite_until_it_diverges(tiny):
    runs = experiments.run("degradation", "quick", (0, 1), ["plain-8"])
    broken = replace(runs[1], rows=[runs[1].rows[0], *({**row, "train_loss": None} for row in runs[1].rows[1:])])
    entry = explore.exploration([runs[0], broken], ("train_loss",))["variants"][0]
    assert entry["lost"] == [None, 4] and entry["series"]["train_loss"]["mean"][1:] == [None, None]
    assert entry["series"]["train_loss"]["mean"][0] == pytest.approx(
        (runs[0].rows[0]["train_loss"] + runs[1].rows[0]["train_loss"]) / 2, rel=1e-4)


def test_a_stopped_run_is_never_part_of_a_mean(tiny):
    runs = experiments.run("degradation", "quick", (0, 1), ["plain-8"])
    stopped = replace(runs[1], rows=runs[1].rows[:2])
    data = explore.exploration([runs[0], stopped], ("train_error",))
    assert [(v["name"], v["stopped"]) for v in data["variants"]] == [
        ("plain-8", ""), ("plain-8-s1", "stopped at step 4 of 6")]
    assert data["variants"][0]["series"]["train_error"]["std"] == [None] * 3  # one run has no spread
    assert data["end"] == 6 and data["steps"] == [[2, 4, 6], [2, 4]]


def test_colors_follow_the_book_and_can_be_set():
    found = records.load("shortcut_kinds", "short")
    if not found:
        pytest.skip("no records of shortcut_kinds/short")
    data = explore.exploration(found, ("test_error",), colors={"identity": "residual"})
    tones = {v["name"]: v["color"] for v in data["variants"]}
    assert tones["plain"] == "plain" and tones["identity"] == "residual"
    assert tones["gated-0"] == tones["gated-6"] != tones["exclusive-0"]


def test_published_values_stand_with_their_uncertainty(tiny):
    runs = [replace(r, variant="plain-20") for r in experiments.run("degradation", "quick", (0,), ["plain-8"])]
    shown = explore.curves(runs, alt="Errors.", published="he15-figure6", mode="frames")
    assert {(p["field"], p["value"], p["uncertainty"]) for p in inlined(shown)["published"]} == {
        ("test_error", 0.097, 0.001), ("train_error", 0.014, 0.001)}
    assert "rn-published" in shown.html and "Figure 6" in shown.html


@pytest.mark.slow
def test_in_a_notebook_the_figure_and_the_last_rows(tiny, monkeypatch):
    monkeypatch.delenv("RESNET_LIB_BOOK", raising=False)
    runs = experiments.run("degradation", "quick", (0, 1), ["plain-8", "residual-8"])
    html = explore.curves(runs, alt="Two nets.", caption="A caption.").html
    assert "<curve-explorer" not in html and "<svg" in html and "A caption." in html and "rn-badge" in html
    values = np.array([r.final["test_error"] for r in runs if r.variant == "residual-8"])
    assert f"{100 * values.mean():.2f} ± {100 * values.std(ddof=1):.2f} %" in html
    monkeypatch.setenv("RESNET_LIB_BOOK", "1")
    html = explore.curves(runs, alt="Two nets.", marks={4: "here"}, name="all-runs").html
    assert html.startswith('<curve-explorer id="all-runs">') and inlined(plots.Shown(html))["marks"] == [
        {"step": 4, "name": "here"}]


def test_what_cannot_be_shown_is_refused(tiny):
    runs = experiments.run("degradation", "quick", (0, 1), ["plain-8"])
    with pytest.raises(ValueError, match="mode must be one of auto, frames, static"):
        explore.curves(runs, alt="x", mode="paper")
    with pytest.raises(ValueError, match="alt="):
        explore.curves(runs)
    with pytest.raises(ValueError, match="no run is called plain-9; there are plain-8"):
        explore.curves(runs, alt="x", shown=["plain-9"])
    with pytest.raises(ValueError, match="test_loss is not among the columns train_error"):
        explore.curves(runs, ("train_error",), alt="a", drawn=("test_loss",))
    with pytest.raises(ValueError, match="at least one variant"):
        explore.curves(runs, alt="x", shown=[])
    with pytest.raises(ValueError, match="no records"):
        explore.curves([], alt="x")
    with pytest.raises(ValueError, match="no row has validation_error"):
        explore.curves(runs, ("validation_error",), alt="x")
    with pytest.raises(ValueError, match="more than one experiment, tier or data set"):
        explore.curves([runs[0], replace(runs[1], tier="paper")], alt="x")
    with pytest.raises(ValueError, match="a seed comes twice"):
        explore.curves([runs[0], runs[0]], alt="x")
    with pytest.raises(ValueError, match="at different steps in different runs"):
        explore.curves([runs[0], replace(runs[1], rows=runs[1].rows[1:])], alt="x")
    many = [replace(runs[0], variant=f"plain-8-{k}", rows=runs[0].rows[:2] * 400 + runs[0].rows[2:]) for k in range(40)]
    with pytest.raises(ValueError, match="kB, more than 300"):
        explore.curves(many, alt="x", shown=["plain-8-0"], mode="frames")


def test_the_static_figure_says_how_many_runs_are_not_finite(tiny):
    runs = experiments.run("degradation", "quick", (0, 1), ["plain-8"])
    broken = replace(runs[1], rows=[{**row, "train_loss": None} for row in runs[1].rows])
    texts = [t.get_text() for t in plots.curves([runs[0], broken], "train_loss").texts]
    assert texts == ["plain-8: 1 of 2 not finite"]
