"""What the chapter on going deep says: equal budgets, and what its runs show, on what lies here and on the digits."""

from statistics import fmean

import pytest

from resnet_lib import experiments, nets, plots

NAMES = ["cnn-4", "plain-8", "plain-14", "plain-20"]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_budgets_are_equal_to_a_few_per_cent(channels):
    tier = experiments.EXPERIMENTS["depth_helps"].tiers["quick"]
    costs = [nets.cost(nets.build(tier.variants[name].net | {"in_channels": channels}), (channels, 12, 12))
             for name in NAMES]
    for values in ([c.macs for c in costs], [c.parameters for c in costs]):
        assert max(values) < 1.15 * min(values)


@pytest.mark.slow
def test_depth_does_not_pay_here(both_homes):
    runs = experiments.run("depth_helps", "quick", (0, 1, 2), NAMES)
    finals = plots.finals(runs)
    mean = {name: fmean(errors) for name, errors in finals.items()}
    assert mean["plain-20"] > mean["plain-8"] + (0 if runs[0].data["fallback"] else 0.1)
    assert mean["plain-20"] > mean["plain-14"] and mean["plain-20"] > mean["cnn-4"]
