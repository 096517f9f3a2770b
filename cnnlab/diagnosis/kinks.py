"""Kinks inside the step: which ReLU switched, which max-pool took another winner, and where along the way."""

from dataclasses import dataclass

import numpy as np

from ..arithmetic import board, number
from ..explanation import label
from ..ledger import Line, Recipe
from ..ops import AddBias, FullyConnected, MaxPool, Name, Operation, ReLU, ReLUGradient, Sigmoid, Softmax, Tanh, cell
from ..ops.pooling import Pooling
from .step import ROUGH, Step

MOST_PLACES = 64   # kinks whose place is worked out, the first ones; more are only counted
LOOKS = 33         # places along the step at which every unit is looked at
WORK = 1_000_000   # numbers that one look along the step may work out: a large network gets fewer places


@dataclass(frozen=True)
class Kink:
    """One switch: the line, its cell, and where along the step it happens, from 0 (before) to 1 (after)."""

    line: str
    index: tuple[int, ...]
    fraction: float
    name: str
    what: str

    def __str__(self):
        return f"{self.name} {self.what}"

    @property
    def where(self) -> str:
        """The switch and its place: `relu[0,1] switches off after 35 % of the step`."""
        return f"{self} after {board(number(100 * round(self.fraction, 4)))} % of the step"


@dataclass(frozen=True, eq=False)
class Kinks:
    """Every switch inside a step, in order of its place; `count` is more than are listed on a large network.

    `dead` names the ReLU units that were on somewhere before the step and are off everywhere after it: no
    gradient passes them any more, so nothing before them learns until something else moves.
    """

    found: tuple[Kink, ...]
    count: int
    dead: tuple[str, ...]

    def __len__(self):
        return self.count

    def __iter__(self):
        return iter(self.found)


@dataclass(frozen=True)
class PickWinners(Pooling):
    """out[i,j] = values at the cell that was the largest of the window before

    values, before of one shape (..., H, W) -> (..., H', W'): max-pooling whose winners are held.
    """

    values: Name
    before: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, values, before):
        won = winners(self, before)
        return np.take_along_axis(self.laid_out(values), won[None], axis=0)[0]

    def expand(self, index, values, before):
        return cell(self.values, *max(self.members(index, before), key=lambda at: before[at]))


def winners(operation, values) -> np.ndarray:
    """Which cell of its window each output takes, counted in reading order; the first of equal ones."""
    return np.argmax(operation.laid_out(values), axis=0)


def states(operation: Operation, values) -> np.ndarray:
    """What a kinked operation does with each cell: on or off, or which cell of the window wins."""
    return values > 0 if isinstance(operation, ReLU) else winners(operation, values)


def kinked(recipe) -> list[Line]:
    return [line for line in recipe if type(line.operation) in (ReLU, MaxPool)]


def held_kinks(step, ledger) -> Step:
    """The same step where no ReLU and no winner switches: the smooth network that the slope describes."""
    lines, more = [], {}
    for line in step.recipe:
        values = line.operation.inputs[0]
        if type(line.operation) is ReLU:
            more[f"before_{values}"] = ledger[values]
            line = Line(line.name, ReLUGradient(values, f"before_{values}"))
        elif type(line.operation) is MaxPool:
            more[f"before_{values}"] = ledger[values]
            line = Line(line.name, PickWinners(values, f"before_{values}", **line.operation.settings()))
        lines.append(line)
    return Step(Recipe(*lines), step.values | more, step.direction, step.learning_rate, step.loss)


def kinks(step) -> Kinks:
    """Every switch between the two ends of the step, found at evenly spaced places and then narrowed."""
    lines = kinked(step.recipe)
    if not lines:
        return Kinks((), 0, ())
    size = sum(map(np.size, step.trials([0]).values()))
    places = np.linspace(0, 1, int(np.clip(WORK // size, 5, LOOKS)))
    trials = step.trials(places * step.learning_rate)
    most = int(np.clip(WORK // size, 8, MOST_PLACES))
    counts, first = zip(*(switched(line, trials, places, most) for line in lines))
    switches = sorted((switch for each in first for switch in each), key=lambda switch: switch.low)[:most]
    found = sorted(map(Switch.kink, switches, narrowed(step, switches)), key=lambda kink: kink.fraction)
    return Kinks(tuple(found), sum(counts), tuple(dead(step.recipe, trials)))


@dataclass(frozen=True)
class Switch:
    """A switch between two places: two cells, or a cell and 0, whose difference changes its sign there."""

    line: str
    index: tuple[int, ...]
    shape: tuple[int, ...]
    values: str
    inner: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...] | None
    low: float
    high: float
    on: bool = False

    def gap(self, trials, at) -> float:
        stack = trials[self.values][at]
        return float(stack[self.first] - (stack[self.second] if self.second is not None else 0))

    def kink(self, fraction) -> Kink:
        name = label(self.line, self.index, self.shape)
        short = [label(self.values, each, self.inner) for each in (self.first, self.second) if each is not None]
        what = f"switches {'on' if self.on else 'off'}" if self.second is None else f"takes {short[1]} instead of {short[0]}"
        return Kink(self.line, self.index, fraction, name, what)


def switched(line, trials, places, most) -> tuple[int, list[Switch]]:
    """How many switches one line makes between neighbouring places, and the first of them, `most` at most."""
    name, operation = line
    values, relu = operation.inputs[0], isinstance(operation, ReLU)
    stack = trials.get(values)
    if stack is None:
        return 0, []
    state = states(operation, stack)
    changes = np.argwhere(state[1:] != state[:-1])  # place after place: a large network has 100,000 of them
    found = []
    for at, *index in changes[:most].tolist():
        index, ends = tuple(index), (state[at][tuple(index)], state[at + 1][tuple(index)])
        cells = (index, None) if relu else tuple(operation.members(index, stack[0])[end] for end in ends)
        found.append(Switch(name, index, trials[name].shape[1:], values, stack.shape[1:], *cells,
                            places[at], places[at + 1], relu and bool(ends[1])))
    return len(changes), found


def narrowed(step, switches) -> list[float]:
    """Where along the step each gap passes 0: false position with halving, all switches at once."""
    if not switches:
        return []
    low, high = (np.array([getattr(switch, end) for switch in switches]) for end in ("low", "high"))
    below, above = (gaps(step, switches, ends) for ends in (low, high))
    size, middle, busy = np.maximum(np.abs(below), np.abs(above)), low.copy(), np.arange(len(switches))
    near = ROUGH if step.is_large else 1e-15
    for turn in range(60):
        f, g = below[busy], above[busy]
        share = np.where((turn % 3 == 2) | (f == 0) | (g == 0) | (f == g), 0.5, f / np.where(f == g, 1, f - g))
        middle[busy] = low[busy] + (high - low)[busy] * share
        gap = gaps(step, [switches[at] for at in busy], middle[busy])
        left = np.where(g == 0, gap != 0, gap * g <= 0)  # a gap that ends at 0 has passed where it first is 0
        low[busy], below[busy] = np.where(left, middle[busy], low[busy]), np.where(left, gap, f)
        high[busy], above[busy] = np.where(left, high[busy], middle[busy]), np.where(left, g, gap)
        busy = busy[~(((high - low)[busy] < near) | ((np.abs(gap) < near * size[busy]) & (below[busy] != 0) & (above[busy] != 0)))]
        if not len(busy):
            break
    return middle.tolist()


def gaps(step, switches, fractions) -> np.ndarray:
    trials = step.trials(np.asarray(fractions) * step.learning_rate)
    return np.array([switch.gap(trials, at) for at, switch in enumerate(switches)])


def dead(recipe, trials):
    """The names of the ReLU units, one a channel, that were on somewhere before the step and nowhere after it."""
    for name, operation in kinked(recipe):
        values = operation.inputs[0]
        if type(operation) is ReLU and values in trials:
            on = units(trials[values] > 0, in_rows(recipe, values))
            lost = on[0].any(axis=1) & ~on[-1].any(axis=1)
            yield from (f"{name}[{unit}]" if len(lost) > 1 else name for unit in np.flatnonzero(lost))


def in_rows(recipe, name) -> bool:
    """Whether a value comes from a fully connected layer, so that its last axis counts units."""
    operation = recipe.names[name].operation if name in recipe.names else None
    through = isinstance(operation, AddBias | ReLU | Sigmoid | Tanh | Softmax)
    return in_rows(recipe, operation.inputs[0]) if through else isinstance(operation, FullyConnected)


def units(on, in_rows) -> np.ndarray:
    """(trials, units, places): the channels of maps, the cells of rows; a plain map (H, W) is one unit."""
    axes = on.ndim - 1
    if axes >= 3:
        on = np.moveaxis(on, -3, 1)
        return on.reshape(*on.shape[:2], -1)
    if axes == 2 and not in_rows:
        return on.reshape(len(on), 1, -1)
    return np.moveaxis(on.reshape(len(on), -1, on.shape[-1] if axes else 1), 2, 1)
