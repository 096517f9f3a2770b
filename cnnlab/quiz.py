"""A learner's answer -> what it shows, and what to try next."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np

from .arithmetic import board, number

CLOSE = 0.02  # a relative error up to this is a rounding or reading slip, not a wrong idea


@dataclass(frozen=True)
class Feedback:
    """A verdict on an answer and the words for it. Prints as the words."""

    verdict: str
    text: str

    def __repr__(self):
        return self.text


def check(answer, expected, slips: Mapping[str, float] = {}, hint: str = "", reason: str = "") -> Feedback:
    """Compare a number with what the ledger says: missing, correct, almost, a known slip, or keep working.

    `slips` names what a wrong answer would come from: {"the sign is turned around": 5.5}. An answer is
    correct if it is the expected number rounded to at least three significant digits.
    """
    if answer is None or answer is Ellipsis:
        return Feedback("missing", f"Still missing: put your number in place of the three dots.{spaced(hint)}")
    if isinstance(answer, (np.ndarray, np.generic)) and np.size(answer) == 1:
        answer = answer.item()
    if isinstance(answer, bool) or not isinstance(answer, Real) or answer != answer:
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
        return Feedback("almost", f"Almost: {board(number(answer))} is close, but give three digits or more.")
    return Feedback("keep working", f"Keep working: {board(number(answer))} is not it.{spaced(hint)}")


def agrees(answer, expected) -> bool:
    """Whether the answer is the expected number, rounded to three significant digits or more."""
    return any(float(number(expected, digits)) == float(number(answer, digits))
               and abs(answer - expected) <= 0.6 * 10.0 ** -(digits - 1) * abs(expected) for digits in (3, 4, 5, 6)
               ) or answer == expected


def spaced(sentence) -> str:
    return f" {sentence}" if sentence else ""
