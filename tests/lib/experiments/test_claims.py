"""The dossier's verdicts on made-up records, against criteria computed by hand."""

from types import SimpleNamespace

import pytest

from resnet_lib import experiments, plots
from resnet_lib.experiments import claims
from resnet_lib.experiments.claims import (AGAINST, AGREES, CLAIMS, DIFFERS, FOR, UNDECIDED, UNTESTED, Above, Claim,
                                           Evidence, Near, Order, Undeclared)
from resnet_lib.experiments.reference import SYSTEMS

PUBLISHED = {"table": {"values": {"a": {"test_error": 0.08}, "b": {"test_error": 0.07}}}}


def found(**errors):
    """A find for runs of which only the last row matters."""
    runs = {v: [SimpleNamespace(final={"test_error": e, "train_error_eval": e}) for e in es]
            for v, es in errors.items()}
    return lambda variant: runs.get(variant, [])


def verdict(criterion, scatter=None, **errors):
    return Claim("said", "place", criterion).judge(Evidence(found(**errors), found(**scatter or {})), PUBLISHED)


# the spread 0.09, 0.10, 0.11 has a standard deviation of 0.01 and a standard error of 0.01 / √3 = 0.0058
LOW = (0.09, 0.10, 0.11)


@pytest.mark.parametrize(("high", "margin", "said"), [
    ((0.12, 0.13, 0.14), 0.0, AGREES),      # 0.03 apart; twice the standard error of the difference is 0.0163
    ((0.12, 0.13, 0.14), 0.02, UNDECIDED),  # 0.01 beyond the margin, which is within the noise
    ((0.14, 0.15, 0.16), 0.02, AGREES),
    ((0.10, 0.11, 0.12), 0.0, UNDECIDED),
    ((0.10, 0.10, 0.10), 0.03, DIFFERS),    # 0.03 short of the margin; noise 0.0115
    ((0.06, 0.07, 0.08), 0.0, DIFFERS),     # the other way round
])
def test_an_order_needs_more_than_the_noise(high, margin, said):
    assert verdict(Order("a", "b", "test_error", margin), a=LOW, b=high).verdict == said


def test_the_words_of_an_order():
    assert verdict(Order("a", "b", "test_error"), a=LOW, b=(0.12, 0.13, 0.14)).words == "+3.0 ± 1.6 points"


@pytest.mark.parametrize(("a", "b", "said"), [
    ((0.080, 0.081, 0.082), (0.070, 0.071, 0.069), AGREES),
    ((0.090, 0.091, 0.092), (0.070, 0.071, 0.069), DIFFERS),    # 1.1 points off, noise 0.12
    ((0.080, 0.087, 0.094), (0.070, 0.071, 0.069), UNDECIDED),  # 0.7 off, noise 0.81
    ((0.071, 0.070, 0.072), (0.070, 0.071, 0.069), DIFFERS),    # too good is no agreement either
])
def test_near_is_near_at_every_depth(a, b, said):
    assert verdict(Near(("a", "b"), "table", 0.006), a=a, b=b).verdict == said


@pytest.mark.parametrize(("values", "said"), [((0.7, 0.8, 0.9), AGREES), ((0.5, 0.6, 0.75), UNDECIDED),
                                              ((0.2, 0.21, 0.22), DIFFERS)])
def test_above_a_level(values, said):
    assert verdict(Above("a", "test_error", 0.6), a=values).verdict == said


def test_two_seeds_decide_nothing():
    finding = verdict(Order("a", "b", "test_error"), a=LOW, b=(0.5, 0.5))
    assert finding.verdict == UNTESTED and finding.words == "not recorded: b (2 of 3 seeds)"


# single runs that scatter by 0.01 each: the difference of two by 0.01 √2, and twice that is 0.0283
SCATTER = {"a": (0.3, 0.31, 0.32), "b": (0.5, 0.51, 0.52)}


@pytest.mark.parametrize(("b", "said", "words"), [
    (0.13, FOR, "+3.0 ± 2.8 points, 1 seed"), (0.125, UNDECIDED, "+2.5 ± 2.8 points, 1 seed"),
    (0.06, AGAINST, "-4.0 ± 2.8 points, 1 seed")])
def test_one_seed_points_where_it_lies_farther_off_than_single_runs_scatter(b, said, words):
    finding = verdict(Order("a", "b", "test_error"), SCATTER, a=(0.10,), b=(b,))
    assert (finding.verdict, finding.words) == (said, words)


def test_seeds_of_its_own_count_where_there_are_three():
    finding = verdict(Order("a", "b", "test_error"), SCATTER, a=(0.1, 0.1, 0.1), b=(0.121,))
    assert (finding.verdict, finding.words) == (FOR, "+2.1 ± 2.0 points, 1 seed")  # only b's scatter is borrowed
    assert verdict(Order("a", "b", "test_error"), SCATTER, a=(0.1,)).words == "not recorded: b (0 of 3 seeds)"


def test_what_is_not_declared_is_untested():
    assert verdict(Undeclared("needs x")).verdict == UNTESTED


def test_every_claim_names_declared_runs_and_published_values():
    declared = experiments.EXPERIMENTS["degradation"].tiers["paper"].variants
    for claim in CLAIMS:
        assert set(claim.criterion.variants) <= set(declared)
        assert claim.criterion.words and claim.said.endswith(".") and claim.place
        if isinstance(claim.criterion, Near):
            assert set(claim.criterion.variants) <= set(plots.published()[claim.criterion.key]["values"])
        for v in claim.criterion.variants:
            assert len(experiments.seeds_of("degradation", "paper", v)) >= claims.SEEDS


def test_records_like_the_published_numbers_agree_with_every_claim_that_can_be_decided():
    """And with the roles of plain and residual nets exchanged, the claims about order do not."""
    he = {**plots.published()["he15-table6"]["values"], **plots.published()["he15-figure6"]["values"],
          "plain-110": {"test_error": 0.7}}
    train = {"residual-20": 0.01, "residual-56": 0.001}

    def find(variant, exchanged=False):
        if exchanged:
            kind, depth = variant.split("-")
            variant = f"{'plain' if kind == 'residual' else 'residual'}-{depth}"
        of = he.get(variant, {})
        error = of.get("train_error", train.get(variant, 0.0))
        return [SimpleNamespace(final={"test_error": of.get("test_error", 0) + d, "train_error_eval": error + d / 10})
                for d in (-0.001, 0, 0.001)]

    verdicts = [c.judge(Evidence(find), plots.published()).verdict for c in CLAIMS]
    decided = [v for c, v in zip(CLAIMS, verdicts, strict=True) if not isinstance(c.criterion, Undeclared)]
    assert set(decided) == {AGREES}
    turned = [c.judge(Evidence(lambda v: find(v, True)), plots.published()).verdict for c in CLAIMS[:6]]
    assert AGREES not in turned[:2] + turned[3:]


def test_a_line_of_the_table_of_systems_is_made_from_records():
    runs = [SimpleNamespace(final={"test_error": e, "test_loss": 10 * e}) for e in (0.08, 0.10, 0.12)]
    published = {"k": {"values": {"n": {"test_error": 0.0982, "test_loss": 0.5, "macs": 1.8e9}}}}

    def line(field, found=(), key="k"):
        return claims.system_row(claims.Row("e", "v", key, "n" if key else "", field), lambda *_: found, published,
                                  lambda *_: {"name": "resnet", "depth": 18})

    assert line("test_error", runs) == ("e", "v", "test error", "9.82 %", "10.00 ± 2.00 %, 3 seeds")
    assert line("test_loss", runs[:1]) == ("e", "v", "test loss", "0.5000", "0.8000, 1 seed")
    assert line("test_error") == ("e", "v", "test error", "9.82 %", "not recorded")
    assert line("test_error", runs, "")[3] == "none"
    assert line("macs")[3:] == ("1.8 GMAC", "1.81 GMAC")  # torchvision's own figure: 1.814


def test_every_reference_system_has_a_line_and_every_line_a_system():
    named = {r.experiment for r in claims.ROWS}
    assert {e.name for e in SYSTEMS} <= named
    for r in claims.ROWS:
        assert r.variant in experiments.EXPERIMENTS[r.experiment].tiers["paper"].variants
        assert not r.key or r.field in plots.published()[r.key]["values"][r.name]
