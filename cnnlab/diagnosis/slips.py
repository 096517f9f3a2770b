"""A slip in checking: a number noted by hand that its line does not give, and where it may come from."""

from dataclasses import dataclass

import numpy as np

from .. import arithmetic
from ..arithmetic import BOARD, board, number
from ..explanation import MOST_TERMS, label
from ..gradients import held
from ..ledger import run
from ..ops import AddBias, Correlate, FullyConnected

SUMS = (AddBias, Correlate, FullyConnected)
AGAIN = "Work out the lines of the check again, term by term."  # what to do about a slip


@dataclass(frozen=True)
class NotedSlip:
    """A cell that was noted wrongly: what was noted, what its line gives, the worked line, and where the slip may lie."""

    cell: str
    noted: float
    right: float
    worked: str
    guess: str

    def __str__(self):
        noted = board(number(self.noted))
        return f"{self.worked}, but {noted} was noted{f': {self.guess}' if self.guess else ''}"


def noted_slips(checked, noted):
    """The noted numbers that differ from what their lines give, worked out from the noted numbers before them.

    `checked` is the ledger of the check as it should be.
    """
    for name in [line.name for line in checked.recipe if line.name in noted]:
        rest, given = checked.recipe, dict(checked)
        for other in noted:
            if other != name:
                rest = held(rest, other)
                given[other] = np.reshape(noted[other], np.shape(checked[other]))
        ledger = run(rest, **{each: given[each] for each in rest.given})
        shape = np.shape(ledger[name])
        for index in np.ndindex(shape):
            value, right = float(np.reshape(noted[name], shape)[index]), float(ledger[name][index])
            if abs(value - right) > unit(value):
                yield NotedSlip(label(name, index, shape), value, right, worked(ledger, name, index), guess(ledger, name, index, value))


def unit(value) -> float:
    """Half a unit of the last digit that was noted, and a little for numbers rounded before."""
    text = repr(float(value)).split("e")
    digits = len(text[0].partition(".")[2]) - (int(text[1]) if len(text) > 1 else 0)
    return 0.6 * 10.0 ** -digits


def worked(ledger, name, index) -> str:
    """The worked line of a cell, the sums that it adds up written out."""
    def printed(each, where):
        return number(float(ledger[each][where]))
    text, result = summed(ledger, name, index), printed(name, index)
    sum_of = arithmetic.write(BOARD, text, lambda each, where: board(printed(each, where)), MOST_TERMS)
    sign = "=" if arithmetic.gives(text, printed, result) else "≈"
    return f"{label(name, index, np.shape(ledger[name]))} = {sum_of} {sign} {board(result)}"


def summed(ledger, name, index) -> str:
    """The text of a cell, with the text of each sum that it adds up in its place."""
    text = ledger.expand(name, index)
    if not isinstance(ledger.line(name).operation, SUMS):
        return text
    inner = [arithmetic.reference(term) for term in arithmetic.terms(arithmetic.parse(text))]
    return " + ".join(summed(ledger, *at) if at and is_sum(ledger, at[0]) else term for at, term in zip(inner, text.split(" + ")))


def is_sum(ledger, name) -> bool:
    line = ledger.line(name)
    return line is not None and isinstance(line.operation, SUMS)


def guess(ledger, name, index, noted) -> str:
    """Which slip in a sum gives the noted number; nothing where none does, or where it is no sum."""
    terms = addends(ledger, name, index)
    if len(terms) < 2:
        return ""
    total = sum(terms)
    tries = [("its first term alone", terms[0])]
    tries += [(f"its term {k + 1} alone", term) for k, term in enumerate(terms[1:], 1)]
    tries += [(f"its first {k} terms alone", sum(terms[:k])) for k in range(2, len(terms))]
    tries += [(f"its term {k + 1} is missing", total - term) for k, term in enumerate(terms)]
    tries += [(f"its term {k + 1} has the wrong sign", total - 2 * term) for k, term in enumerate(terms)]
    found = [words for words, value in tries if abs(value - noted) <= unit(noted)]
    return found[0] if found else ""


def addends(ledger, name, index) -> list[float]:
    """The terms of a sum, through the sums that it adds up."""
    if not is_sum(ledger, name):
        return [float(ledger[name][index])]
    values = []
    for term in arithmetic.terms(arithmetic.parse(ledger.expand(name, index))):
        at = arithmetic.reference(term)
        values += addends(ledger, *at) if at else [arithmetic.evaluate(term, lambda each, where: float(ledger[each][where]))]
    return values
