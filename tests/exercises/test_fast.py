"""The checks of the chapter on speed: right answers, and the wrong ones that people give."""

import pytest

from resnet_lib.checks import check


def wrong(verdict, fragment):
    assert not verdict and fragment in str(verdict), verdict


def left(shares, factors):
    return sum(p / f for p, f in zip(shares, factors, strict=True))


@pytest.mark.parametrize("f, fragment", [
    (left, "share of the old one"), (lambda p, s: 1 - left(p, s), "that is saved"), (lambda p, s: max(s), "Add up"),
    (lambda p, s: sum(a * b for a, b in zip(p, s, strict=True)), "Times add up, speeds do not"),
    (lambda p, s: print(p), "returned nothing"), (lambda p: 1, "cannot be called"),
])
def test_amdahl(f, fragment):
    assert check("fast-1", lambda shares, factors: 1 / left(shares, factors))
    wrong(check("fast-1", f), fragment)


@pytest.mark.parametrize("f, fragment", [
    (lambda c, b: c / (2 * b), "two operations"), (lambda c, b: 2 * c / b, "moved twice"),
    (lambda c, b: c, "How many bytes"), (lambda c, b: 9 * c / b, "3×3"),
    (lambda c, b: b / c, "not bytes by operations"),
    (lambda c, b: c * c, "Count for one pixel"),
])
def test_intensity(f, fragment):
    assert check("fast-2", lambda c, b: 2 * c * c / (b * 2 * c))
    wrong(check("fast-2", f), fragment)


@pytest.mark.slow
def test_the_number_of_pairs_is_what_students_t_says():
    from scipy.stats import t as student  # a second to import, for this test alone

    enough = [n for n in range(2, 50) if student.ppf(0.975, n - 1) * 0.3 / n**0.5 < 0.3]
    assert check("fast-5", enough[0])


@pytest.mark.parametrize("answer, fragment", [
    (4, "1.96"), (3, "why three"), (5, "90 %"), (6, "n − 1 degrees"), (8, "one fewer"), (30, "half-width"),
])
def test_other_numbers_of_pairs(answer, fragment):
    wrong(check("fast-5", answer), fragment)


def test_the_speed_per_picture():
    assert check("fast-6", 3 / ((64_000 * 128 / 50_000) / 30)) and check("fast-6", 0.55)


@pytest.mark.parametrize("answer, fragment", [
    (5.46, "fewer pictures it processes"), (1.82, "Turn it over"), (3, "whole training"), (16.4, "faster or slower"),
    (1.406, "how many passes"), (55, "not per cent"), (0.2, "Pictures processed by each"),
])
def test_other_speeds(answer, fragment):
    wrong(check("fast-6", answer), fragment)
