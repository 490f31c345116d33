"""The checks of the chapter on CIFAR-10: right answers pass, and each usual mistake gets its own hint."""

from statistics import NormalDist
import json
import math

import numpy as np
import pytest

from resnet_lib.exercises import cifar10
from resnet_lib.records import recorded_root

from . import right_answers, usual_mistakes

HOURS = 1.36  # 12 runs: 6 operations a MAC, 8.192 million pictures, 166 million MACs for a pair of depths, by 10^13


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def last(runs, field="train_error_eval"):
    return mean(run[-1][field] for run in runs)


def best(runs, field="test_error"):
    return mean(min(row[field] for row in run) for run in runs)


def needed(bar=2, means=2, sign=1, least=3, whole=math.ceil):
    """Runs at which a true difference exceeds ``bar`` standard errors of a difference of two means, with a slip."""
    def runs(s, delta, often):
        z = sign * NormalDist().inv_cdf(often)
        return max(least, whole(means * ((bar + z) * s / delta) ** 2))
    return runs


RIGHT = {
    "cifar10-1": HOURS,
    "cifar10-2": needed(),
    "cifar10-3": lambda shallow, deep: last(deep) - last(shallow),
    "cifar10-4": 2.2,
    "cifar10-6": 0.42,
}
WRONG = [
    ("cifar10-1", HOURS / 3, "forward and backward, or the seeds"),
    ("cifar10-1", HOURS / 2, "counted as one operation"),
    ("cifar10-1", HOURS / 6, "A factor of six"),
    ("cifar10-1", HOURS * 3600, "in seconds"),
    ("cifar10-1", HOURS * 125 / 166, "56 layers alone"),
    ("cifar10-1", HOURS / 128, "batch of 128"),
    ("cifar10-1", 17.0, "Then count the runs"),
    ("cifar10-2", needed(least=1), "Fewer than three"),
    ("cifar10-2", needed(whole=math.floor), "Rounded down"),
    ("cifar10-2", lambda s, d, p: max(3, math.ceil(8 * (s / d) ** 2)), "does not enter"),
    ("cifar10-2", lambda s, d, p: max(3, math.floor(8 * (s / d) ** 2) + 1), "does not enter"),
    ("cifar10-2", needed(bar=0), "not merely zero"),
    ("cifar10-2", needed(sign=-1), "sign of z"),
    ("cifar10-2", needed(means=1), "Both means"),
    ("cifar10-2", needed(means=4), "together"),
    ("cifar10-2", lambda s, d, p: needed()(s, d, (1 + p) / 2), "on one side only"),
    ("cifar10-2", needed(bar=1), "not twice"),
    ("cifar10-2", lambda s, d, p: max(3, math.ceil(math.sqrt(2) * (2 + NormalDist().inv_cdf(p)) * s / d)), "a square"),
    ("cifar10-2", needed(whole=float), "whole"),
    ("cifar10-2", lambda s, d, p: 3, "How often does it"),
    ("cifar10-3", lambda a, b: last(a) - last(b), "turned round"),
    ("cifar10-3", lambda a, b: last(b, "test_error") - last(a, "test_error"), "overfitting"),
    ("cifar10-3", lambda a, b: best(b, "train_error_eval") - best(a, "train_error_eval"), "ended with"),
    ("cifar10-3", lambda a, b: best(b) - best(a), "Two of the three"),
    ("cifar10-3", lambda a, b: last(b[:1]) - last(a[:1]), "several seeds"),
    ("cifar10-3", lambda a, b: last(b[:1], "test_error") - last(a[:1], "test_error"), "one seed of several"),
    ("cifar10-3", lambda a, b: best(b[:1]) - best(a[:1]), "as it was given"),
    ("cifar10-3", lambda a, b: mean(y[-1]["train_error_eval"] - x[-1]["train_error_eval"]
                                    for x, y in zip(a, b, strict=False)), "One was dropped"),
    ("cifar10-3", lambda a, b: 0.5, "Which error"),
    ("cifar10-4", 122.3 / 500 * 64_000 / 86_400, "last segment only"),
    ("cifar10-4", 307 / 500 * 64_000 / 86_400, "first segment only"),
    ("cifar10-4", 307 / 135 * 64_000 / 86_400, "pace of the first"),
    ("cifar10-4", 52.95, "in hours"),
    ("cifar10-4", 190_630, "in seconds"),
    ("cifar10-4", 1489.3 / 86_400, "how long it has run"),
    ("cifar10-4", 9.0, "divided by the steps"),
    ("cifar10-6", 30.0, "single picture"),
    ("cifar10-6", 0.0018, "variance"),
    ("cifar10-6", 0.447, "1 − p"),
    ("cifar10-6", 0.004243, "asks for points"),
    ("cifar10-6", 1.0, "has the variance"),
]


test_the_right_answer_passes = right_answers(RIGHT)
test_each_mistake_gets_its_own_hint = usual_mistakes(WRONG)


def test_the_quoted_record_is_the_recorded_one():
    """As long as it is there: a finished run takes its place."""
    path = recorded_root() / "degradation/paper/plain-56-s0.unfinished.json"
    if not path.exists():
        pytest.skip("the run has been finished")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert [round(s["seconds"], 1) for s in record["segments"]] == list(cifar10.SECONDS)
    assert [s["from_step"] for s in record["segments"]] == [0, 135, 283, 463]
    assert record["rows"][-1]["step"] == cifar10.STEP and record["recipe"]["steps"] == cifar10.STEPS


@pytest.mark.parametrize("s, delta, often", [
    (0.16, 0.2, 0.9), (0.3, 0.3, 0.8), pytest.param(1.0, 0.5, 0.95, marks=pytest.mark.slow)])
def test_the_right_number_of_runs_is_the_smallest_that_imagined_runs_confirm(s, delta, often):
    n = RIGHT["cifar10-2"](s, delta, often)

    def seen(n, trials=40_000):
        a, b = np.random.default_rng(n).normal(0, s, (2, trials, n))
        return ((b + delta).mean(1) - a.mean(1) > 2 * s * math.sqrt(2 / n)).mean()

    assert seen(n) > often - 0.006 and seen(n - 1) < often + 0.006, "four standard errors of the simulation"
    assert seen(n // 2) < often - 0.1 < seen(2 * n) - 0.05
