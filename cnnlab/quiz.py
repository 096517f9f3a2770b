"""A learner's answer -> what it shows, and what to try next."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Context, Decimal
from numbers import Real

import numpy as np

from .arithmetic import board, number

CLOSE = 0.02   # a relative error up to this is a rounding or reading slip, not a wrong idea
NOISE = 1e-11  # and up to this it is Python's own rounding
LEAST_DIGITS, MOST_DIGITS = 3, 12  # significant ones, of an answer and of what it is compared with


@dataclass(frozen=True)
class Feedback:
    """A verdict on an answer and the words for it. Prints as the words."""

    verdict: str
    text: str

    def __repr__(self):
        return self.text


def check(answer, expected, slips: Mapping[str, float] = {}, hint: str = "", reason: str = "") -> Feedback:
    """Compare a number with what the ledger says: missing, correct, almost, a known slip, or keep working.

    `slips` names what a wrong answer would come from: {"the sign is turned around": 5.5}. An answer is correct if it
    is the expected number, rounded to three significant digits or more; a count, a whole number of Python's, is not
    rounded.
    """
    if answer is None or answer is Ellipsis:
        return Feedback("missing", f"Still missing: put your number in place of the three dots.{spaced(hint)}")
    if isinstance(answer, (np.ndarray, np.generic)) and np.size(answer) == 1:
        answer = short(np.reshape(answer, (1,))[0])
    if isinstance(answer, bool) or not isinstance(answer, (Real, Decimal)) or answer != answer:
        return Feedback("keep working", f"Keep working: {answer!r} is not a number.{spaced(hint)}")
    try:
        answer = float(answer)
    except OverflowError:  # 10**400
        return Feedback("keep working", f"Keep working: that is far too large.{spaced(hint)}")
    if agrees(answer, expected):
        return Feedback("correct", f"Correct: {board(number(expected))}.{spaced(reason)}")
    for slip, value in slips.items():
        if agrees(answer, value):
            return Feedback("slip", f"Keep working: {board(number(answer))} comes out when {slip}.{spaced(hint)}")
    if abs(answer - expected) <= CLOSE * abs(expected):
        return Feedback("almost", f"Almost: {board(number(answer))} is close, but {missing(answer, expected)}.")
    return Feedback("keep working", f"Keep working: {board(number(answer))} is not it.{spaced(hint)}")


def short(value):
    """A number of NumPy's as one of Python's, with the digits that it shows: 0.1 in single precision is 0.1."""
    return float(str(value)) if isinstance(value, np.floating) else value.item()


def is_count(expected) -> bool:
    return isinstance(expected, (int, np.integer))


def missing(answer, expected) -> str:
    """What keeps a close answer from being right."""
    if is_count(expected):
        return "this number can be counted: give it exactly"
    digits = len(Decimal(repr(answer)).normalize().as_tuple().digits)
    return "give three digits or more" if digits < LEAST_DIGITS else "not all of its digits are right"


def agrees(answer, expected) -> bool:
    """Whether the answer is the expected number, or that number rounded; of a tie either way is right."""
    if is_count(expected):
        return answer == expected
    if abs(answer - expected) <= NOISE * abs(expected) or answer == expected:
        return True
    exact = Decimal(f"{float(expected):.{MOST_DIGITS}g}")
    return any(answer == float(Context(digits, rounding).create_decimal(exact))
               for digits in range(LEAST_DIGITS, MOST_DIGITS) for rounding in (ROUND_HALF_UP, ROUND_HALF_DOWN))


def spaced(sentence) -> str:
    return f" {sentence}" if sentence else ""
