"""Controls that could refute a conclusion: each names runs that exist, and both verdicts can come out."""

from dataclasses import replace

import pytest

from conftest import ROOT, cli
from resnet_lib import experiments
from resnet_lib.experiments import controls
from resnet_lib.experiments.declare import Variant


@pytest.mark.parametrize("control", controls.CONTROLS, ids=lambda c: c.name)
def test_each_names_declared_runs_and_a_chapter(control):
    _, tier = experiments.get(control.experiment, control.tier)
    for experiment, variant in controls.parts(control):
        assert set(control.seeds) <= set(experiments.seeds_of(experiment, control.tier, variant))
    assert control.against not in control.tried
    assert (ROOT / "chapters" / f"{control.chapter}.md").exists()
    assert tier.recipe.steps and 0 < control.margin < 1


def test_the_page_has_a_place_for_each():
    text = (ROOT / "pages" / "controls.md").read_text(encoding="utf-8")
    assert all(f'page("{c.chapter}")' in text for c in controls.CONTROLS)


def test_names_are_unique():
    names = [c.name for c in controls.CONTROLS]
    assert len(set(names)) == len(names)
    with pytest.raises(ValueError, match="fixed-norms"):
        controls.get("fixed-norm")


@pytest.fixture
def small(tiny, monkeypatch):
    """A control on nets of a second."""
    control = controls.Control("small", "degradation", "It is so.", "It is not so.", "degradation", ("plain-8",),
                               "residual-8", 0.02, seeds=(0, 1))
    monkeypatch.setattr(controls, "CONTROLS", (control,))
    return control


def test_the_verdict_follows_the_means(small):
    assert controls.find(small) == []  # nothing is trained by looking
    records = controls.run(small)
    assert controls.find(small) == records and len(records) == 4

    def with_errors(plain, residual):
        ends = {"plain-8": plain, "residual-8": residual}
        return [replace(r, rows=[*r.rows[:-1], {**r.final, "train_error": ends[r.variant][r.seed]}]) for r in records]

    stands = controls.judge(small, with_errors((0.5, 0.7), (0.5, 0.5)))
    assert stands.stands and (stands.error, stands.reference) == (pytest.approx(0.6), pytest.approx(0.5))
    assert str(stands) == "plain-8 ends at 60.0 %, 10.0 points above the reference: the conclusion stands"
    falls = controls.judge(small, with_errors((0.5, 0.5), (0.49, 0.49)))
    assert not falls.stands and str(falls).endswith("1.0 points above the reference: the conclusion falls")


def test_the_best_of_several_decides(small, monkeypatch):
    experiment = experiments.EXPERIMENTS["degradation"]
    tier = experiment.tiers["quick"]
    more = {**tier.variants, "plain-14": Variant({**tier.variants["plain-8"].net, "depth": 14})}
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation",
                        replace(experiment, tiers={"quick": replace(tier, variants=more)}))
    control = replace(small, tried=("plain-14", "plain-8"), seeds=(0,))
    records = controls.run(control)
    errors = {"plain-14": 0.9, "plain-8": 0.51, "residual-8": 0.5}
    records = [replace(r, rows=[{**r.final, "train_error": errors[r.variant]}]) for r in records]
    outcome = controls.judge(control, records)
    assert outcome.best == "plain-8" and not outcome.stands


@pytest.mark.slow
def test_one_command_lists_them_and_one_refuses_an_unknown_name(tmp_path):
    listed = cli("control", home=tmp_path)
    assert listed.returncode == 0
    for control in controls.CONTROLS:
        assert control.command in listed.stdout
    refused = cli("control", "nothing", home=tmp_path)
    assert refused.returncode == 2 and "rates" in refused.stderr and refused.stderr.count("\n") == 1


@pytest.mark.slow
def test_one_command_runs_one_and_says_what_came_out(digits_home):
    done = cli("control", "batch-norm", home=digits_home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith(("the conclusion stands", "the conclusion falls"))
