"""What the chapter on myths says: its verdicts on recorded runs, its live nets, and the table that can be filtered."""

import re
from dataclasses import replace
from statistics import fmean

import pytest

from conftest import ROOT
from resnet_lib import data, experiments, nets, plots, train
from resnet_lib.experiments.reference import QUICK
from resnet_lib.lab import intervals

TEXT = (ROOT / "chapters" / "myths.md").read_text(encoding="utf-8")
VERDICTS = {"false": r"false", "half": r"half-true", "under": r"true under .+", "open": r"open"}


def ends(experiment, variant, field="train_error_eval"):
    return [r.final[field] for r in experiments.find(experiment, "short", variant)]


def rows():
    return [line.strip("| ").split(" | ") for line in TEXT.splitlines() if re.search(r"\{\.rn-\w+\} \|$", line)]


def test_each_row_of_the_table_has_one_verdict_that_a_button_chooses():
    choices = (ROOT / "web" / "static" / "verdicts.html").read_text(encoding="utf-8")
    found = set()
    for claim, truth, verdict in rows():
        words, kind = re.fullmatch(r"\[(.+)\]\{\.rn-(\w+)\}", verdict).groups()
        assert re.fullmatch(VERDICTS[kind], words), claim
        assert f'id="rn-v-{kind}"' in choices and len(truth) > 10
        found.add(kind)
    assert found == set(VERDICTS) and len(rows()) >= 35


def test_the_style_knows_every_button():
    style = (ROOT / "web" / "static" / "book.css").read_text(encoding="utf-8")
    for kind in VERDICTS:
        assert f":has(#rn-v-{kind}:checked) .rn-claims tbody tr:not(:has(.rn-{kind}))" in style


def test_gradients_explode_in_the_recorded_plain_net_and_do_not_die_there():
    for r in experiments.find("degradation", "short", "plain-56"):
        norms = {s: plots.layer_values(r, "relative_grad", s) for s in (0, 1, 30, 4000)}
        ratios = {s: n[0] / n[-2] for s, n in norms.items()}
        assert ratios[0] > 100 and min(ratios.values()) > 0.1


def test_the_deeper_plain_net_is_above_the_shallower_in_every_seed():
    for experiment in ("degradation", "function_classes"):
        assert min(ends(experiment, "plain-56")) > max(ends(experiment, "plain-20"))
    assert fmean(ends("function_classes", "plain-20-to-56")) > max(ends("function_classes", "plain-20"))


def test_the_loss_on_digits_rises_where_the_error_does_not():
    for r in experiments.find("mnist_simple", "paper", "published"):
        loss, error = r.column("test_loss"), r.column("test_error")
        low = loss.index(min(loss))
        assert fmean(loss[-5:]) > 1.2 * fmean(loss[low - 2:low + 3])
        assert fmean(error[-5:]) <= fmean(error[low - 2:low + 3])


def test_the_addition_gains_and_the_bottleneck_does_not():
    assert fmean(ends("degradation", "plain-56")) - fmean(ends("degradation", "residual-56")) > 0.2
    assert fmean(ends("bottlenecks", "basic-20")) < fmean(ends("bottlenecks", "bottleneck-29"))


def test_of_three_skips_one_helps():
    plain = ends("shortcut_kinds", "plain")
    helps = {}
    for kind in ("identity", "gated-0", "dropout"):
        other = ends("shortcut_kinds", kind)
        helps[kind] = fmean(plain) - fmean(other) > intervals.noise(plain, other)
    assert helps == {"identity": True, "gated-0": False, "dropout": False}


@pytest.mark.slow
def test_the_rate_decides_and_eight_layers_need_no_skip():
    digits = data.load("digits").resize(12)

    def test_error(kind, lr=0.05, seed=0):
        net = nets.cifar_resnet(8, residual=kind == "residual", width=8, in_channels=1)
        recipe = replace(QUICK, steps=60, eval_every=60, probe_steps=(), lr=lr, seed=seed)
        return list(train.Run(net, digits, recipe, train.Execution(device="cpu", threads=1)))[-1]["test_error"]

    swept = [test_error("residual", lr) for lr in (0.005, 0.05, 0.5)]
    assert swept[1] == min(swept) and swept[0] > swept[1] + 0.1
    plain, residual = ([test_error(kind, seed=s) for s in range(3)] for kind in ("plain", "residual"))
    assert abs(fmean(plain) - fmean(residual)) < 0.03  # at 20 layers it is ten points and more
