"""The bet on a curve: what the element is given, and the same with sliders in a live kernel."""

import json
import re

import numpy as np
import pytest

from resnet_lib import experiments, plots
from resnet_lib.widgets import predict


@pytest.fixture
def runs(tiny):
    found = experiments.run("degradation", "quick", (0, 1), ["plain-8", "residual-8"])
    return plots.by_variant(found)


def test_handles_stand_at_even_steps_back_from_the_last_and_at_the_first():
    assert predict.handle_places(8) == [0, 1, 3, 5, 7]
    assert predict.handle_places(128) == [0, 31, 63, 95, 127]
    assert predict.handle_places(3) == [0, 1, 2] and predict.handle_places(1) == [0]


def test_the_element_holds_the_records_numbers_and_keeps_the_outcome_folded(runs, monkeypatch):
    monkeypatch.setenv("RESNET_LIB_BOOK", "1")
    plain, residual = runs["plain-8"], runs["residual-8"]
    html = predict.curve(plain, residual, alt="Two curves.", caption="A bet.", chance=0.9).html
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html)[1])
    values = np.array([r.column("train_error") for r in residual])
    assert data["hidden"]["name"] == "residual-8" and data["steps"] == [2, 4, 6] and data["chance"] == 0.9
    assert np.allclose(data["hidden"]["mean"], values.mean(0), atol=1e-5)
    assert np.allclose(data["hidden"]["runs"], values, atol=1e-5)
    high = np.minimum(values.mean(0) + values.std(0, ddof=1), 1)
    assert np.allclose(data["hidden"]["high"], high, atol=1e-5)
    before, folded = html.split("<details", 1)
    assert "<svg" not in before and "<svg" in folded and "<table" in folded
    assert f"{100 * values.mean(0)[-1]:.1f} %" in folded and "A bet." in html and "rn-badge" in html


def test_the_distance_of_a_bet_is_that_of_a_plain_loop(runs):
    data = predict.prediction(runs["plain-8"], runs["residual-8"], "train_error") | {"steps": [1, 2, 4, 8]}
    data["handles"], data["hidden"] = [0, 3], data["hidden"] | {"mean": [0.9, 0.9, 0.5, 0.1]}
    line = [0.8 + (s - 1) / 7 * (0.1 - 0.8) for s in (1, 2, 4, 8)]
    off = [100 * (a - b) for a, b in zip(line, (0.9, 0.9, 0.5, 0.1), strict=True)]
    points, signed = predict.miss(data, (0.8, 0.1))
    assert points == pytest.approx(sum(map(abs, off)) / 4) and signed == pytest.approx(sum(off) / 4)


def test_what_cannot_be_bet_on_is_refused(runs):
    plain, residual = runs["plain-8"], runs["residual-8"]
    with pytest.raises(ValueError, match="mode must be one of"):
        predict.curve(plain, residual, mode="paper")
    with pytest.raises(ValueError, match="one variant at a time, got plain-8, residual-8"):
        predict.curve(plain + residual, residual)
    with pytest.raises(ValueError, match="one variant at a time, got none"):
        predict.curve([], residual)
    with pytest.raises(ValueError, match="alt="):
        predict.curve(plain, residual, mode="frames")


@pytest.mark.slow
def test_with_a_kernel_there_are_sliders_that_reveal_and_go_back(runs, monkeypatch):
    monkeypatch.delenv("RESNET_LIB_BOOK", raising=False)
    said = []
    monkeypatch.setattr("IPython.display.display", lambda html: said.append(html.data))
    box = predict.curve(runs["plain-8"], runs["residual-8"], caption="A bet.")
    *sliders, buttons, _view = box.children
    reveal, again = buttons.children
    assert "A bet." in said[0] and "rn-badge" in said[0]
    assert '<div class="rn-still">' in said[1] and said[1].count("stroke-dasharray") == 2  # what an export shows
    start = [s.value for s in sliders]
    assert [s.description for s in sliders] == ["step 2", "step 4", "step 6"]
    sliders[0].value = 0.25
    assert "points off" not in said[-1] and said[-1].count("stroke-dasharray") == 1
    reveal.click()
    data = predict.prediction(runs["plain-8"], runs["residual-8"], "train_error")
    points, _ = predict.miss(data, [0.25, *start[1:]])
    assert f"{points:.1f} points off on average" in said[-1] and said[-1].count("stroke-dasharray") == 2
    again.click()
    assert [s.value for s in sliders] == start and said[-1].count("stroke-dasharray") == 1
