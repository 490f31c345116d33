"""The switch for full-size runs: off, on without a GPU, on with one (rehearsed on the CPU, with a short recipe)."""

from dataclasses import replace

import pytest

from resnet_lib import data, experiments, records
from resnet_lib.recipe import Execution
from resnet_lib.widgets import live

ONE = Execution(device="cpu", threads=1)


@pytest.fixture
def short(tiny, monkeypatch):
    """The tiny experiment's tier as its short one; a GPU is said to be there."""
    declared = experiments.EXPERIMENTS["degradation"]
    tiers = declared.tiers | {"short": declared.tiers["quick"]}
    monkeypatch.setitem(experiments.EXPERIMENTS, "degradation", replace(declared, tiers=tiers))
    monkeypatch.setattr(live, "_gpu", lambda: True)
    monkeypatch.setattr(Execution, "fastest", classmethod(lambda cls, device="auto": ONE))
    monkeypatch.setattr(data, "available", lambda name: True)
    monkeypatch.setenv(live.SWITCH, "short")
    return tiny


def test_off_it_says_how_to_switch_it_on(home, monkeypatch):
    for value in (None, "", "quick"):
        monkeypatch.delenv(live.SWITCH, raising=False)
        if value is not None:
            monkeypatch.setenv(live.SWITCH, value)
        assert "make book TIER=short" in live.beside("degradation", ["plain-20"]).data
    assert not list(home.rglob("*.ckpt"))


def test_a_wrong_value_gets_the_valid_ones(monkeypatch):
    monkeypatch.setenv(live.SWITCH, "paper")
    with pytest.raises(ValueError, match='"quick" or "short", got \'paper\''):
        live.beside("degradation", ["plain-20"])


def test_without_a_gpu_it_says_what_it_would_take(short, monkeypatch):
    monkeypatch.setattr(live, "_gpu", lambda: False)
    monkeypatch.setattr(live.estimates, "_measure", lambda *_: 60.0)  # seconds a step
    text = live.beside("degradation", ["plain-8"]).data
    assert "no GPU" in text and "about 8\u00a0min 36\u00a0s" in text  # 6 steps, 250 pictures evaluated
    command = text.split("`")[1]
    assert command.startswith("python -m resnet_lib run degradation --tier short --seeds 10 --variants plain-8 ")


def test_with_a_gpu_runs_are_trained_and_drawn_as_live_beside_the_recorded_ones(short, monkeypatch):
    for made in experiments.run("degradation", "short", (0, 1), ["plain-8"]):
        records.store(made)
        experiments.job("degradation", "short", "plain-8", made.seed).live().unlink()
    html = live.beside("degradation", ["plain-8"]).html
    here, = experiments.run("degradation", "short", (live.SEED,), ["plain-8"])
    assert 'rn-live">live' in html and 'rn-recorded">recorded' in html and "plain-8, here" in html
    assert f"plain-8 ends at {100 * here.final['train_error']:.1f}" in html.replace("\u00a0", " ")
    assert ("inside" in html) != ("outside" in html)
    monkeypatch.setattr(experiments.lookup, "train_missing", None)  # what is there is not trained again
    assert live.beside("degradation", ["plain-8"]).html


def test_missing_data_are_fetched_first(short, monkeypatch):
    asked = []
    monkeypatch.setattr(data, "available", lambda name: False)
    monkeypatch.setattr(data, "download_all", asked.append)
    live.beside("degradation", ["residual-8"])
    assert asked == [["cifar10"]]
