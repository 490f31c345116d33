"""Checks of the chapter "The paper in your notebook: CIFAR-10"."""

from statistics import NormalDist
import math

from ..checks import Function, Number, as_number

NORMAL = NormalDist()
SUM = 6 * 64_000 * 128 * (41e6 + 125e6) / 1e13 / 3600  # hours, one seed of one kind at both depths


def _runs(f):
    cases = ((0.16, 0.54, 0.9), (0.16, 0.2, 0.9), (1.0, 0.2, 0.8), (1.0, 0.5, 0.95), (0.2, 0.1, 0.99))
    got = [as_number(f(*case)) for case in cases]

    def gives(factor, least=3, whole=math.ceil, power=2):
        """Whether the answers are max(least, factor(z, often) · (s/δ)^power), made whole."""
        return all(abs(g - max(least, whole(factor(NORMAL.inv_cdf(p), p) * (s / d) ** power))) < 1e-9
                   for g, (s, d, p) in zip(got, cases, strict=True))

    def right(z, p):
        return 2 * (2 + z) ** 2

    if gives(right):
        return None
    if any(g != int(g) for g in got):
        return "A number of runs is whole."
    slips = (
        (gives(right, least=1), "Fewer than three runs decide nothing, whatever the formula says."),
        (gives(right, whole=math.floor), "Rounded down, the probability is a little too small."),
        (any(gives(lambda z, p: 8, whole=w) for w in (math.ceil, lambda n: math.floor(n) + 1)),
         "At this number a true difference is seen half of the time: `often` does not enter."),
        (gives(lambda z, p: 2 * z ** 2), "It has to exceed twice its standard error, not merely zero."),
        (gives(lambda z, p: 2 * (2 - z) ** 2), "Seeing it more often should take more runs. Look at the sign of z."),
        (gives(lambda z, p: (2 + z) ** 2), "Both means scatter, not one of them."),
        (gives(lambda z, p: 4 * (2 + z) ** 2), "That is the number of runs of both nets together."),
        (gives(lambda z, p: 2 * (2 + NORMAL.inv_cdf((1 + p) / 2)) ** 2),
         "A true difference is missed on one side only: where the observed one is too small."),
        (gives(lambda z, p: 2 * (1 + z) ** 2), "This asks for once the standard error, not twice."),
        (gives(lambda z, p: math.sqrt(2) * (2 + z), power=1),
         "The scatter of a mean falls with the root of n. Solve for n: there is a square."),
    )
    return next((hint for slipped, hint in slips if slipped), "")


def _run(*errors):
    return [{"train_error_eval": a, "test_error": b} for a, b in errors]


SHALLOW = [_run((0.5, 0.4), (0.20, 0.15), (0.10, 0.30)), _run((0.6, 0.7), (0.05, 0.22), (0.14, 0.28))]
DEEP = [_run((0.8, 0.5), (0.35, 0.20), (0.45, 0.40)), _run((0.7, 0.9), (0.25, 0.60), (0.35, 0.44)),
        _run((0.9, 0.8), (0.55, 0.35), (0.30, 0.36))]


def _mean(runs, take):
    return sum(take(run) for run in runs) / len(runs)


def _degradation(f):
    def last(field):
        return lambda run: run[-1][field]

    def best(field):
        return lambda run: min(row[field] for row in run)

    def gap(take, shallow=SHALLOW, deep=DEEP):
        return _mean(deep, take) - _mean(shallow, take)

    got = as_number(f([list(r) for r in SHALLOW], [list(r) for r in DEEP]))
    right = gap(last("train_error_eval"))
    if abs(got - right) < 1e-9:
        return None
    slips = (
        (-right, "The deeper net's error minus the shallower one's: the sign is turned round."),
        (gap(last("test_error")), "A higher test error alone may be overfitting. Degradation is about another error."),
        (gap(best("train_error_eval")), "A run's result is what it ended with, not its best row."),
        (gap(best("test_error")), "Two of the three faults are still there: which error, and which row?"),
        (gap(last("train_error_eval"), SHALLOW[:1], DEEP[:1]), "There are several seeds. This looks at the first."),
        (gap(last("test_error"), SHALLOW[:1], DEEP[:1]), "The wrong error, and one seed of several."),
        (gap(best("test_error"), SHALLOW[:1], DEEP[:1]), "This is still the function as it was given."),
        (gap(last("train_error_eval"), SHALLOW, DEEP[:2]),
         "There need not be equally many seeds of both nets. One was dropped."),
    )
    return next((hint for value, hint in slips if abs(got - value) < 1e-9), "")


SECONDS, STEP, STEPS = (307.0, 367.2, 692.8, 122.3), 500, 64_000  # of the record that the exercise quotes
DAYS = sum(SECONDS) / STEP * STEPS / 86_400


CHECKS = {
    "cifar10-1": Number(
        6 * SUM, rel=0.05,
        wrong=((2 * SUM, "A factor of three is missing: forward and backward, or the seeds?"),
               (3 * SUM, "Either a MAC is counted as one operation here, or one of the two kinds of nets, plain and "
                         "residual, is missing."),
               (SUM, "A factor of six is missing: the runs (kinds of nets, and seeds), or what a MAC "
                    "costs forward and backward."),
               (2 * SUM * 3 * 3600, "This is in seconds."),
               (36 * SUM, "The factor six stands in it twice."),
               (6 * SUM * 125 / 166, "These are the nets of 56 layers alone."),
               (6 * SUM / 128, "A step is a batch of 128 pictures.")),
        hint="Operations a picture: two a MAC, three times for forward and backward. Pictures: 64,000 batches. Then "
             "count the runs: kinds, depths, seeds."),
    "cifar10-2": Function(
        _runs, hint="The observed difference scatters around delta with s √(2/n), and has to exceed twice that. How "
                    "often does it, for a given n?"),
    "cifar10-3": Function(_degradation,
                          hint="Which error, which row, which runs? Average over each list, then subtract."),
    "cifar10-4": Number(
        DAYS, rel=0.02,
        wrong=((SECONDS[-1] / STEP * STEPS / 86_400, "This counts the seconds of the last segment only."),
               (SECONDS[0] / STEP * STEPS / 86_400, "This counts the seconds of the first segment only."),
               (SECONDS[0] / 135 * STEPS / 86_400, "This is the pace of the first segment. The others were slower."),
               (24 * DAYS, "This is in hours."), (86_400 * DAYS, "This is in seconds."),
               (sum(SECONDS) / 86_400, "This is how long it has run, not how long the whole run takes.")),
        hint="Seconds of all segments, divided by the steps they brought, times the steps of the recipe."),
    "cifar10-6": Number(
        100 * math.sqrt(0.09 / 5000), rel=0.03,
        wrong=((100 * 0.3, "This is the scatter of a single picture. What does the mean of 5,000 do?"),
               (100 * 0.09 / 5000, "This is a variance."), (0.1 * 0.9 / 5000, "This is a variance."),
               (math.sqrt(0.09 / 5000), "This is a fraction. The question asks for points."),
               (100 * math.sqrt(0.1 / 5000), "A picture is right or wrong: its variance is p (1 − p).")),
        hint="The share of wrong pictures among m independent ones has the variance p (1 − p) / m."),
}
