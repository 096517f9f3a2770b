"""The evidence as recorded arithmetic: a ledger of worked lines over the numbers of a step."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import arithmetic
from ..ledger import Ledger, Line, Recipe, run
from ..ops import Operation, cell

MOST_TERMS = 64  # a longer sum of products is recorded as its result alone


@dataclass(frozen=True)
class Work(Operation):
    """out = the arithmetic in `text`, over the values that it names

    Cells and single numbers -> one number: "loss_after - loss_before".
    """

    text: str

    @cached_property
    def inputs(self):
        return tuple(dict.fromkeys(name for name, _ in arithmetic.references(self.text)))

    def compute(self, *values):
        known = dict(zip(self.inputs, values))
        return np.float64(arithmetic.evaluate(arithmetic.parse(self.text), lambda name, index: float(known[name][index])))

    def expand(self, index, *values):
        return self.text


def work(given: dict, **texts) -> Ledger:
    """The ledger of worked lines, each a text over the given numbers and the lines before it."""
    return run(Recipe(*(Line(name, Work(text)) for name, text in texts.items())), **given)


def product_sum(first: str, second: str, shape) -> str | None:
    """The text of the sum over all cells of first * second; None where it is long."""
    if np.prod(shape, dtype=int) > MOST_TERMS:
        return None
    cells = [(cell(first, *at), cell(second, *at)) for at in np.ndindex(*shape)]
    return " + ".join(f"{one}**2" if one == other else f"{one}*{other}" for one, other in cells)


def lines(ledger, *names, digits=6) -> tuple[str, ...]:
    """The worked lines of a ledger as text, in the order of the names."""
    return tuple(str(ledger.explain(name, digits=digits)) for name in names if name in ledger)

