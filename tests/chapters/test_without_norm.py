"""What the chapter on life without batch norm says of its runs, on the data that lie here and on the digits."""

import pytest
import torch

from resnet_lib import experiments

REMEDIES = ("zero", "skipinit", "sqrt", "fixup")


@pytest.mark.slow
def test_without_a_remedy_the_net_diverges_and_with_one_it_does_not(both_homes):
    """The page's pair; all four remedies are in the recorded runs, below."""
    without, scaled = experiments.run("no_batch_norm", "quick", (0,), ["none-lr0.05", "sqrt-lr0.05"])
    assert without.final["train_loss"] is None
    assert abs(without.final["train_error"] - 0.9) < 0.05  # one in ten is right: it answers class 0
    assert scaled.final["train_loss"] is not None


def test_a_net_of_nan_answers_class_0():
    assert not torch.full((4, 10), float("nan")).argmax(1).any()


def test_the_recorded_runs_say_what_the_chapter_says():
    """At the larger rate nearly all nets with a remedy learn, and none without one."""
    def found(head):
        return experiments.find("no_batch_norm", "short", f"{head}-lr0.05")

    without = found("none")
    assert len(without) == 3 and all(r.final["train_error"] > 0.88 for r in without)
    assert any(r.final["train_loss"] is None for r in without)
    learned = [r.final["train_error"] < 0.75 for remedy in REMEDIES for r in found(remedy)]
    assert len(learned) == 12 and sum(learned) >= 11
