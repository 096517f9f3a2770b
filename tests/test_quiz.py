"""What a learner's answer is told."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from cnnlab.lessons import example_1 as lesson_1
from cnnlab.lessons import example_2 as lesson_2
from cnnlab.quiz import Feedback, check


@pytest.mark.parametrize("answer, verdict", [
    (..., "missing"), (None, "missing"), ("7.5", "keep working"), (True, "keep working"), (float("nan"), "keep working"),
    (-7.5, "correct"), (7.5, "slip"), (-2.5, "slip"), (-15, "slip"), (-7.45, "almost"), (3, "keep working"),
])
def test_the_gradient_question(answer, verdict):
    assert lesson_1.check_gradient(answer, target=7).verdict == verdict


@pytest.mark.parametrize("answer, verdict", [(0.4, "correct"), (2 / 5, "correct"), (0.5, "slip"), (0.2, "slip"), (5, "slip"), (0.41, "keep working")])
def test_the_threshold_question(answer, verdict):
    assert lesson_1.check_threshold(answer, image=[[1, 1], [1, 1]]).verdict == verdict


@pytest.mark.parametrize("answer, verdict", [(0.0513, "correct"), (0.05133, "correct"), (0.0987, "slip"), (-0.0152, "slip"), (0.12, "slip")])
def test_the_convolution_question(answer, verdict):
    feedback = lesson_2.check_conv_after(answer)
    assert feedback.verdict == verdict, feedback


def test_an_answer_may_be_rounded_to_three_digits_or_more_but_not_to_two():
    assert check(0.123, 0.12345).verdict == "correct"
    assert check(0.1235, 0.12345).verdict == "correct"
    assert check(0.12, 0.12345).verdict != "correct"
    assert check(0.124, 0.12345).verdict == "almost"
    assert check(0, 0).verdict == "correct"
    assert check(np.float32(0.1235), 0.12345).verdict == check(np.array(0.1235), 0.12345).verdict == "correct"
    assert check(np.array([1.0, 2.0]), 1).verdict == "keep working"


@pytest.mark.parametrize("answer, expected, verdict", [
    (48120, 48120, "correct"), (48140, 48120, "almost"), (48100, 48120, "almost"), (100.4, 100, "almost"), (61706.0, 61706, "correct"),
    (0.33349, 1 / 3, "almost"), (0.333, 1 / 3, "correct"), (0.3333, 1 / 3, "correct"), (0.3334, 1 / 3, "almost"), (0.335, 1 / 3, "almost"),
    (1.13, 1.125, "correct"), (1.12, 1.125, "correct"), (1.14, 1.125, "almost"), (10.0, 9.995, "correct"), (9.99, 9.995, "correct"),
    (2.51, 2.505, "correct"), (2.5, 2.505, "correct"), (2.5, 2.507, "almost"), (-1.13, -1.125, "correct"), (0.1 + 0.2, 0.3, "correct"), (0.3, 0.1 + 0.2, "correct"),
    (Decimal("0.5"), 0.5, "correct"), (np.float32(0.1), 0.1, "correct"), (1.23e-7, 1.2345e-7, "correct"), (1.2e-7, 1.2345e-7, "keep working"),
    (1e-17, 0.0, "keep working"), (0, 0.0, "correct"), (1.5e300, 1.5e300, "correct")])
def test_which_roundings_are_right(answer, expected, verdict):
    assert check(answer, expected).verdict == verdict, check(answer, expected)


def test_what_is_close_is_told_what_keeps_it_from_being_right():
    assert check(0.33, 1 / 3).text == "Almost: 0.33 is close, but give three digits or more."
    assert check(0.335, 1 / 3).text == "Almost: 0.335 is close, but not all of its digits are right."
    assert check(60000, 60074).text == "Almost: 60000 is close, but this number can be counted: give it exactly."


def test_a_fraction_is_a_number_and_a_huge_number_is_none_to_work_with():
    assert check(Fraction(2, 31), 2 / 31).verdict == check(2 / 31, Fraction(2, 31)).verdict == "correct"
    assert check(Fraction(-2, 31), 2 / 31, {"the sign is turned around": -2 / 31}).verdict == "slip"
    assert check(10**5000, 1) == check(-10**400, 1, hint="") == Feedback("keep working", "Keep working: that is far too large.")
