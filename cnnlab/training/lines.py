"""What stands behind a line in training only: dropout, and a price on large weights."""

from ..ledger import Line, LineError, Recipe, suggestion
from ..ops import Add, Dropout, WeightPenalty


def with_dropout(recipe, line) -> Recipe:
    """The recipe in which whoever read `line` reads `line_dropped`: dropout stands behind it.

    Raises LineError where the recipe has no such line.
    """
    if line not in recipe.names:
        raise LineError(f"dropout: no line is named {line!r}{suggestion(str(line), list(recipe.names))}")
    lines = []
    for each in recipe:
        lines.append(Line(each.name, each.operation.reading({line: f"{line}_dropped"})))
        if each.name == line:
            lines.append(Line(f"{line}_dropped", Dropout(line, f"kept_{line}", f"keep_{line}")))
    return Recipe(*lines)


def with_penalty(recipe, weights) -> Recipe:
    """The recipe with a penalty for each of the weights, and `total`, the loss and all penalties.

    Raises LineError where there are no weights, or where the recipe is not given one.
    """
    weights = [weights] if isinstance(weights, str) else list(weights)
    for name in weights or [None]:
        if name not in recipe.given:
            raise LineError(f"penalty: no given number is named {name!r}{suggestion(str(name), recipe.given)}")
    lines, total = [], "loss"
    for at, name in enumerate(weights, 1):
        lines.append(Line(f"{name}_penalty", WeightPenalty(name, "l2")))
        lines.append(Line("total" if at == len(weights) else f"loss_and_{at}", Add(total, f"{name}_penalty")))
        total = lines[-1].name
    return recipe + lines
