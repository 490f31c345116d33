"""What the chapter on life without batch norm says of its runs, on the data that lie here and on the digits."""

import pytest
import torch

from resnet_lib import experiments


@pytest.mark.slow
def test_without_a_remedy_the_net_diverges_and_with_one_it_does_not(both_homes):
    """The page's pair; all remedies are in the recorded runs, below."""
    without, scaled = experiments.run("no_batch_norm", "quick", (0,), ["none-lr0.05", "sqrt-lr0.05"])
    assert without.final["train_loss"] is None
    assert abs(without.final["train_error"] - 0.9) < 0.05  # one in ten is right: it answers class 0
    assert scaled.final["train_loss"] is not None


def test_a_net_of_nan_answers_class_0():
    assert not torch.full((4, 10), float("nan")).argmax(1).any()


def test_the_recorded_runs_say_what_the_chapter_says():
    """At the larger rate three remedies learn in every seed, *zero* in one, and no net without a remedy; dead channels
    cost training error in each seed at the smaller rate."""
    def found(head, rate="0.05"):
        return experiments.find("no_batch_norm", "short", f"{head}-lr{rate}")

    def errors(head, rate="0.05"):
        return [r.final["train_error"] for r in found(head, rate)]

    without = found("none")
    assert len(without) == 3 and all(r.final["train_error"] > 0.88 for r in without)
    assert any(r.final["train_loss"] is None for r in without)
    learned = [error < 0.75 for remedy in ("skipinit", "sqrt", "fixup") for error in errors(remedy)]
    assert len(learned) == 9 and all(learned)
    assert [sum(error > 0.88 for error in errors(head)) for head in ("zero-live", "zero")] == [2, 1]
    live, dead = errors("zero-live", "0.005"), errors("zero", "0.005")
    assert len(live) == len(dead) == 3 and max(live) < min(dead)
