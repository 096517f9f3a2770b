"""What does not learn in a step: parameters that no gradient reaches, units that are off for every picture."""

import numpy as np

from ..diagnosis.kinks import in_rows, units
from ..ops import ReLU


def stuck(ledger, parameters) -> tuple[str, ...]:
    """The parameters that no gradient reaches in this step: each of its cells is exactly 0.

    What an optimizer carries on from earlier steps may move them all the same.
    """
    return tuple(name for name in parameters if not np.any(ledger[f"d_{name}"]))


def silent(ledger) -> dict[str, tuple[int, ...]]:
    """For each ReLU line, the units (its maps, or its cells of a row) that are off for every picture of this step.

    No gradient passes them in this step. All of a line: then nothing before it learns.
    """
    found = {}
    for name, operation in ledger.recipe:
        if isinstance(operation, ReLU):
            on = units(ledger[operation.values][None] > 0, in_rows(ledger.recipe, operation.values))[0]
            found[name] = tuple(np.flatnonzero(~on.any(axis=1)).tolist())
    return found
