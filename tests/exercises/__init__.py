"""The checks of the chapters. A package, so that a chapter's test may have the same file name as a module's."""

import pytest

from resnet_lib.checks import check


def right_answers(answers: dict):
    """A test for each label that its right answer passes."""
    @pytest.mark.parametrize("label", answers)
    def test(label):
        assert check(label, answers[label])

    return test


def usual_mistakes(cases: list):
    """A test for each ``(label, wrong answer, words)`` that the answer fails, with a hint that has these words."""
    @pytest.mark.parametrize("label, answer, words", cases)
    def test(label, answer, words):
        verdict = check(label, answer)
        assert not verdict and words in str(verdict), verdict

    return test
