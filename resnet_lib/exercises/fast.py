"""Answers to the exercises of the chapter on speed."""

from ..checks import Function, Number, as_number


def speedup(f) -> str | None:
    """Amdahl: 1 / Σ share / factor."""
    cases = [((0.5, 0.5), (2, 1)), ((0.2, 0.7, 0.1), (1, 1.5, 1)), ((0.1, 0.6, 0.3), (2, 4, 1)), ((1.0,), (3,))]
    found = [as_number(f(shares, factors)) for shares, factors in cases]

    def gives(formula):
        return all(abs(a - formula(*case)) <= 1e-4 * max(1, abs(a)) for a, case in zip(found, cases, strict=True))

    if gives(lambda p, s: 1 / _time(p, s)):
        return None
    if gives(_time):
        return "This is the new time as a share of the old one. How many times faster is that?"
    if gives(lambda p, s: sum(a * b for a, b in zip(p, s, strict=True))):
        return "This is the mean of the factors, weighted by the shares. Times add up, speeds do not."
    if gives(lambda p, s: 1 - _time(p, s)):
        return "This is the share of the time that is saved."
    return "Add up what is left of each part's time: its share, divided by its own factor."


def _time(shares, factors) -> float:
    return sum(p / s for p, s in zip(shares, factors, strict=True))


INTENSITY_SLIPS = (
    (lambda c, b: c / (2 * b), "A multiply-add is two operations."),
    (lambda c, b: 2 * c / b, "Each number is moved twice: read as input, written as output; both have C channels."),
    (lambda c, b: c, "How many bytes has a number?"),
    (lambda c, b: 9 * c / b, "That is a 3×3 convolution. A 1×1 reads one position."),
    (lambda c, b: b / c, "Operations by bytes, not bytes by operations."),
)


def intensity(f) -> str | None:
    """A 1×1 convolution from C to C channels: 2C² operations and 2C numbers a pixel."""
    cases = [(64, 4), (256, 4), (64, 2), (10, 8)]
    found = [as_number(f(*case)) for case in cases]

    def gives(formula):
        return all(abs(a - formula(*case)) <= 1e-4 * abs(formula(*case)) for a, case in zip(found, cases, strict=True))

    if gives(lambda c, b: c / b):
        return None
    return next((hint for formula, hint in INTENSITY_SLIPS if gives(formula)), "")


CHECKS = {
    "fast-1": Function(speedup),
    "fast-2": Function(intensity, hint="Count for one pixel: operations (C outputs, each a sum over C inputs), and "
                                       "numbers read and written."),
    "fast-5": Number(
        7, rel=0,
        wrong=((4, "With the normal distribution's 1.96 this would do. But a deviation estimated from so few pairs "
                   "needs Student's t with n − 1 degrees of freedom."),
               (3, "The exercise asks why three are not enough. How wide is the interval?"),
               (5, "That is enough for the 90 % interval (the test of equivalence at 5 %). 95 % is asked for."),
               (6, "Just too wide. For n pairs there are n − 1 degrees of freedom."),
               (8, "Enough, but one fewer is enough as well.")),
        hint="The half-width of the 95 % interval has to be below 0.3 points even where the mean difference is 0."),
    "fast-6": Number(
        lambda: 3 * 30 * 50_000 / (64_000 * 128), rel=0.02,
        wrong=((lambda: 64_000 * 128 / (30 * 50_000), "This is how many times fewer pictures it processes."),
               (lambda: 64_000 * 128 / (3 * 30 * 50_000), "This is the plain loop's speed by that of the new code. "
                                                          "Turn it over."),
               (3, "That is the speed of the whole training. Divide out that it processes fewer pictures."),
               (lambda: 3 * 64_000 * 128 / (30 * 50_000), "Fewer pictures in a third of the time: does that make it "
                                                          "faster or slower per picture?"),
               (lambda: 3 * 30 / 64, "A step is not an epoch: 64,000 steps of 128 pictures are how many passes over "
                                     "50,000?")),
        hint="Pictures processed by each, divided by the time each takes."),
}
