"""The chain rule and the update, as more lines; and the slope by trying, to check them."""

from dataclasses import fields, replace

import numpy as np

from . import stacks
from .ledger import Line, LineError, Recipe, run, suggestion
from .ops import Add, Descend, Operation, Seed


def backward(recipe, loss="loss", to=None) -> Recipe:
    """The recipe with the lines of the chain rule added: `d_x` is dL/dx, of the shape of x.

    From the loss back to every number that was given, or only to the names in `to`. A value that is
    read by several lines gets one gradient from each, `d_x_by_reader`, and their sum, `d_x`. A gradient
    that needs a value which no line makes yet gets a line for it. Raises LineError for unknown names.
    """
    recipe = Recipe(*recipe)
    known = [*recipe.given, *recipe.names]
    for name in [loss, *(to or [])]:
        if name not in known:
            raise LineError(f"backward: no value is named {name!r}{suggestion(name, known)}")
    chain = ChainRule(recipe, path(recipe, known if to is None else to))
    chain.write(loss, Seed(loss))
    for line in reversed(recipe):
        chain.through(line)
    return Recipe(*chain.lines)


def path(recipe, to) -> set[str]:
    """The names that depend on any of `to`."""
    names = set(to)
    for line in recipe:
        if names.intersection(line.operation.inputs):
            names.add(line.name)
    return names


class ChainRule:
    """The lines that are being added, and the gradients that still wait for their sum."""

    def __init__(self, recipe, wanted):
        self.lines = list(recipe)
        self.made = {line.operation: line.name for line in recipe}
        self.wanted = wanted
        self.makers = recipe.names
        self.first_reader = {}
        for line in recipe:
            for name in line.operation.inputs:
                self.first_reader.setdefault(name, line.name)
        self.parts: dict[str, list] = {}
        self.done: set[str] = set()

    def through(self, line):
        """Carry the gradient of one line's output back to its inputs; a line that the loss does not need has none."""
        if line.name in self.done:
            carried = list(line.operation.gradient(line.name, f"d_{line.name}"))
            self.refuse_gap(line, {name for name, _ in carried})
            for name, operation in carried:
                if name in self.wanted:
                    self.parts.setdefault(name, []).append((line.name, operation))
        for name in dict.fromkeys(line.operation.inputs):
            if self.first_reader[name] == line.name and name in self.parts:
                self.finish(name)

    def refuse_gap(self, line, reached):
        """A target or a label gets no gradient; where a line makes it, d_x would silently miss that way back."""
        for name in line.operation.inputs:
            if name in self.wanted and name in self.makers and name not in reached:
                raise LineError(f"line {line} sends no gradient to {name!r}, which line {self.makers[name]} makes: "
                                "give it as a number, or leave what it depends on out of `to`")

    def finish(self, name):
        """Every reader has answered: write `d_name`, the sum of what they say."""
        parts = self.parts.pop(name)
        if len(parts) == 1:
            return self.write(name, parts[0][1])
        answers = [self.line(f"d_{name}_by_{reader}{'_again' * self.earlier(parts, at)}", operation)
                   for at, (reader, operation) in enumerate(parts)]
        total = answers[0]
        for at, answer in enumerate(answers[1:-1]):
            total = self.line(f"d_{name}_sum_{at + 1}", Add(total, answer))
        self.write(name, Add(total, answers[-1]))

    @staticmethod
    def earlier(parts, at) -> int:
        """How many answers of the same reader came before: a line may read one value twice."""
        return sum(reader == parts[at][0] for reader, _ in parts[:at])

    def write(self, name, operation):
        self.line(f"d_{name}", operation)
        self.done.add(name)

    def line(self, name, operation) -> str:
        """Add a line; its own name, for who reads it."""
        self.lines.append(Line(name, self.lowered(operation)))
        return name

    def lowered(self, operation):
        """The operation with the operations inside it replaced by the names of lines that do them."""
        inner = {field.name: self.name_of(getattr(operation, field.name)) for field in fields(operation)
                 if isinstance(getattr(operation, field.name), Operation)}
        return replace(operation, **inner) if inner else operation

    def name_of(self, operation) -> str:
        if operation not in self.made:
            name = f"{type(operation).__name__.lower()}_of_{'_'.join(operation.inputs)}"
            self.made[operation] = self.line(name, operation)
        return self.made[operation]


def update(recipe, *parameters, learning_rate="learning_rate") -> Recipe:
    """The recipe with one line of gradient descent for each parameter: `new_w = w - learning_rate * d_w`."""
    return Recipe(*recipe) + [Line(f"new_{name}", Descend(name, f"d_{name}", learning_rate)) for name in parameters]


def slope(recipe, given, name, loss="loss", nudge=1e-6) -> np.ndarray:
    """dL/dx by trying: (L(x + nudge) - L(x - nudge)) / (2 * nudge) for every cell of x.

    Independent of the chain rule; the error is of the order nudge**2, and of rounding over nudge. `x` is
    a given number or any line's value, which is then held at the nudged value.
    """
    base = run(recipe, **given)
    rest = held(Recipe(*recipe), name)
    values = {each: base[each] for each in rest.given if each in base} | {name: base[name]}
    slopes = np.empty(np.shape(base[name]))
    for at in np.ndindex(slopes.shape):
        ends = [float(run(rest, **values | {name: nudged(base[name], at, step)})[loss]) for step in (nudge, -nudge)]
        slopes[at] = (ends[0] - ends[1]) / (2 * nudge)
    return slopes


def needed(recipe, *names) -> Recipe:
    """The recipe without the lines that none of the names (the loss, where none is given) depends on."""
    wanted, lines = set(names or ["loss"]), []
    for line in reversed(recipe):
        if line.name in wanted:
            wanted.update(line.operation.inputs)
            lines.append(line)
    return Recipe(*reversed(lines))


def losses_after(forward, ledger, parameters, rates, loss="loss") -> list[float]:
    """The loss after one step of gradient descent, for each learning rate: L(w - rate * dL/dw).

    `forward` makes the loss, `ledger` holds the numbers before the step and their gradients. A loss that leaves the
    range of numbers is infinite.
    """
    recipe = needed(forward, loss)
    values = {name: ledger[name] for name in recipe.given if name not in parameters}
    moved = {name: np.stack([ledger[name] - rate * ledger[f"d_{name}"] for rate in rates]) for name in parameters}
    return stacks.losses(recipe, values, moved, loss).tolist()


def held(recipe, name) -> Recipe:
    """The recipe without the line that makes `name`, which is given instead."""
    return Recipe(*(line for line in recipe if line.name != name))


def nudged(value, at, step) -> np.ndarray:
    value = np.array(value, float)
    value[at] += step
    return value
