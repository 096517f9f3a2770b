"""The gradient check: does a gradient agree with the slope, and if not, what does it look like?

A mistake is named from the numbers alone: each known slip is made on purpose, and the gradient that comes
out is compared with the one that was used, in every parameter.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .. import stacks
from ..arithmetic import board, number
from ..explanation import label
from ..gradients import backward, needed
from ..ledger import Line, LineError, Recipe, as_given, as_numbers, check_given, record, replay
from ..mistakes import ALL, images, places, planted
from ..ops import BiasGradient, ReLUGradient
from .kinks import in_rows, kinked, states

AGREES, KINK, WRONG = "agrees", "kink", "wrong"
CLOSE, CLOSE_SINGLE = 1e-6, 1e-3  # a difference up to this share of a cell is rounding, in double and single precision
REST, REST_SINGLE = 1e-9, 1e-5    # and up to this share of the largest cell: terms of its size may have cancelled
NUDGE = 1e-5                      # of a value; of one beyond 1 it is a share
MOST_CELLS = 64     # cells of a parameter whose slope is tried


@dataclass(frozen=True)
class Row:
    """One parameter: its verdict, and the cell that shows it best, with the slope found by trying.

    `left` and `right` are the slopes on the two sides of the cell's value; they differ on a kink.
    """

    parameter: str
    verdict: str
    cell: str
    used: float
    slope: float
    left: float
    right: float
    looks_like: tuple[str, ...] = ()

    def __str__(self):
        used, slope, left, right = (board(number(value)) for value in (self.used, self.slope, self.left, self.right))
        if self.verdict == KINK:
            return f"d_{self.cell} = {used} on a kink: the slope is {left} on its left and {right} on its right"
        named = f": {' or '.join(self.looks_like)}" * bool(self.looks_like)
        if self.used != self.used and self.slope != self.slope:  # of another shape: no cell stands for it
            return f"d_{self.cell} is wrong{named}"
        equal = "agrees with the slope" if self.verdict == AGREES else "is wrong, the slope is"
        return f"d_{self.cell} = {used} {equal} {slope}{named}"


@dataclass(frozen=True)
class Slip:
    """A known mistake: its key, what it is in words, the line that it was planted in, and the parameters it explains."""

    kind: str
    words: str
    line: str | None = None

    def __str__(self):
        return self.words + (f", in line {self.line}" if self.line else "")


@dataclass(frozen=True, eq=False)
class GradientCheck:
    """The verdict on every parameter. `slips` are the known mistakes that give exactly these numbers.

    More than one slip means that these numbers do not tell them apart.
    """

    rows: tuple[Row, ...]
    slips: tuple[Slip, ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """The parameters whose gradient is wrong."""
        return tuple(row.parameter for row in self.rows if row.verdict == WRONG)

    @property
    def kinks(self) -> tuple[str, ...]:
        """The parameters with a cell on a kink, where the slopes of both sides differ and the gradient lies between."""
        return tuple(row.parameter for row in self.rows if row.verdict == KINK)

    @property
    def agrees(self) -> bool:
        return not self.wrong

    @property
    def named(self) -> str:
        """What the wrong gradient looks like, in words; that it looks like nothing known is an answer."""
        if self.agrees:
            return "the gradient agrees with the slope"
        if not self.slips:
            each = [f"{row.parameter}: {' or '.join(row.looks_like)}" for row in self.rows if row.looks_like]
            return "; ".join(each) or "it looks like none of the known mistakes"
        if len({slip.kind for slip in self.slips}) == 1:
            return str(self.slips[0])
        return " or ".join(dict.fromkeys(map(str, self.slips))) + " (these numbers do not tell them apart)"

    @property
    def text(self) -> str:
        return "\n".join([*map(str, self.rows), f"Gradient check: {self.named}."])

    __repr__ = __str__ = lambda self: self.text


def check_gradient(forward, given, used, loss="loss") -> GradientCheck:
    """Compare gradients, {parameter: array}, with the slope of the loss, and name what a wrong one looks like.

    A cell where a nudge switches a ReLU or a winner is a kink: any number from the one side's slope to the
    other's agrees there.
    """
    check = Check(needed(Recipe(*forward), loss), {name: as_given(name, value) for name, value in given.items()}, used, loss)
    rows = tuple(map(check.row, used))
    return GradientCheck(rows, check.slips if any(row.verdict == WRONG for row in rows) else ())


class Check:
    """One gradient under check: the right one by the chain rule, the slopes by trying, the known slips."""

    def __init__(self, forward, values, used, loss):
        self.forward, self.values, self.loss = forward, values, loss
        check_given(forward, {name: value for name, value in values.items() if name not in forward.names})
        for name in used:
            if name not in forward.given:
                raise LineError(f"gradient check: the loss reads no given number named {name!r}")
        self.used = {name: as_numbers(f"d_{name}", value) for name, value in used.items()}
        self.lines = needed(backward(forward, loss, to=list(used)), *(f"d_{name}" for name in used))
        for name in used:
            if f"d_{name}" not in self.lines.names:
                raise LineError(f"gradient check: the chain rule sends no gradient to {name!r}: it counts as a constant")
        self.made = record(self.lines, values)
        self.used = {name: fitted(value, self.right[name]) for name, value in self.used.items()}

    def run(self, lines) -> dict:
        with np.errstate(all="ignore"):
            return replay(lines, self.values)

    @cached_property
    def right(self) -> dict:
        return {name: np.asarray(self.made[f"d_{name}"]) for name in self.used}

    def close(self, name, expected) -> bool:
        """Whether the gradient that was used is `expected` in every cell, but for rounding."""
        used, expected = self.used[name], np.asarray(expected)
        return used.shape == expected.shape and bool((np.abs(used - expected) <= self.slack(name, expected)).all())

    def slack(self, name, expected):
        """For each cell how far off rounding may take it."""
        single = np.float32 in (self.used[name].dtype, self.values[name].dtype)
        share, rest = (CLOSE_SINGLE, REST_SINGLE) if single else (CLOSE, REST)
        return share * np.abs(expected) + rest * np.abs(expected).max() + self.dust

    @cached_property
    def dust(self) -> float:
        """What is left where 0.1 + 0.2 − 0.3 should have been 0."""
        return 4 * np.finfo(float).eps * max(float(np.abs(self.made[name]).max()) for name in self.forward.given)

    # Slopes by trying

    def row(self, name) -> Row:
        used, right = self.used[name], self.right[name]
        if used.shape != right.shape:
            words = self.looks_like(name) or (f"its shape is {used.shape}, and that of {name} is {right.shape}",)
            return Row(name, WRONG, name, np.nan, np.nan, np.nan, np.nan, words)
        off = np.where(np.isfinite(used), np.abs(used - right), np.inf)
        wrong = np.asarray(off > self.slack(name, right))
        cells = self.cells_to_try(off)
        left, ahead, crossed = self.slopes(name, cells)
        low, high = np.minimum(left, ahead), np.maximum(left, ahead)
        room = 1e-4 * max(1e-12, float(np.abs(np.concatenate([left, ahead])).max()))
        values = np.array([used[at] for at in cells])
        excused = crossed & (low - room <= values) & (values <= high + room)
        for at, fine in zip(cells, excused):
            wrong[at] &= not fine
        show = self.shown(cells, off, wrong, crossed & (high - low > 100 * room))
        at = cells[show]
        verdict = WRONG if wrong.any() else KINK if crossed[show] and high[show] - low[show] > 100 * room else AGREES
        return Row(name, verdict, label(name, at, used.shape), float(used[at]), float(left[show] + ahead[show]) / 2,
                   float(left[show]), float(ahead[show]), self.looks_like(name) if verdict == WRONG else ())

    @staticmethod
    def cells_to_try(off) -> list[tuple[int, ...]]:
        """All cells of a small parameter; of a large one the worst half, and others evenly spaced."""
        worst = np.argsort(-off, axis=None, kind="stable")[:MOST_CELLS // 2]
        spread = np.linspace(0, off.size - 1, min(off.size, MOST_CELLS)).astype(int)
        flat = range(off.size) if off.size <= MOST_CELLS else np.unique(np.concatenate([worst, spread]))
        return [tuple(map(int, np.unravel_index(at, off.shape))) for at in flat]

    @staticmethod
    def shown(cells, off, wrong, kinked_cells) -> int:
        """Which of the cells tried shows the verdict: the worst wrong one, a kink, or the one farthest off."""
        if wrong.any():
            return max(range(len(cells)), key=lambda at: (bool(wrong[cells[at]]), off[cells[at]]))
        return int(np.argmax(kinked_cells)) if kinked_cells.any() else max(range(len(cells)), key=lambda at: off[cells[at]])

    def slopes(self, name, cells):
        """(slopes to the left, slopes to the right, whether a kink lies between) for cells of one parameter."""
        size = stacks.cells(self.forward, self.values, {name: self.values[name][None]})
        turn = max(1, stacks.MOST_CELLS // (2 * size))
        parts = [self.some_slopes(name, cells[start:start + turn]) for start in range(0, len(cells), turn)]
        return tuple(map(np.concatenate, zip(*parts)))

    def some_slopes(self, name, cells):
        value = np.asarray(self.values[name], float)
        moved = np.repeat(value[None], 2 * len(cells) + 1, axis=0)
        nudge = np.array([NUDGE * max(1.0, abs(value[cell])) for cell in cells])
        for at, cell in enumerate(cells):
            moved[(2 * at + 1, *cell)] += nudge[at]
            moved[(2 * at + 2, *cell)] -= nudge[at]
        with np.errstate(all="ignore"):
            made = stacks.trials(self.forward, self.values, {name: moved})
        losses = np.reshape(made[self.loss], -1)
        crossed = np.zeros(len(cells), bool)
        for _, operation in kinked(self.forward):
            if operation.inputs[0] in made:
                state = states(operation, made[operation.inputs[0]]).reshape(len(moved), -1)
                crossed |= (state[1::2] != state[2::2]).any(axis=1)
        return (losses[0] - losses[2::2]) / nudge, (losses[1::2] - losses[0]) / nudge, crossed

    # Names for what is wrong

    @cached_property
    def slips(self) -> tuple[Slip, ...]:
        """The known slips that give the gradient that was used in every parameter."""
        if all(self.close(name, self.right[name]) for name in self.used):
            return ()
        found = [slip for slip, predicted in [*self.transformed(), *self.spoilt()]
                 if all(self.close(name, predicted.get(name, self.right[name])) for name in self.used)]
        return tuple({slip.kind: slip for slip in reversed(best_named(found))}.values())[::-1]

    def looks_like(self, name) -> tuple[str, ...]:
        """The known slips that give the gradient that was used in this parameter alone."""
        if not np.isfinite(self.used[name]).all():
            return ("it is no finite number",)
        found = [slip for slip, predicted in [*self.transformed(), *self.spoilt()]
                 if name in predicted and self.close(name, predicted[name]) and not self.close(name, self.right[name])]
        return tuple({slip.kind: slip.words for slip in reversed(best_named(found))}.values())[::-1]

    def transformed(self):
        """(slip, what it predicts for the parameters that are wrong): slips in how a finished gradient is used."""
        wrong = [name for name in self.used if not self.close(name, self.right[name])]
        yield Slip("sign", "the sign is turned around"), {name: -self.right[name] for name in wrong}
        yield Slip("transposed", "rows and columns are exchanged"), {name: exchanged(self.right[name]) for name in wrong}
        yield Slip("turned", "the gradient is turned around by 180 degrees"), {name: turned(self.right[name]) for name in wrong}
        biases = [name for name in wrong if self.is_bias(name)]
        kind, words = ("no bias", "the bias gradient is missing") if biases == wrong else ("missing", "the gradient is missing")
        yield Slip(kind, words), {name: 0 * self.right[name] for name in wrong}
        for factor, words in self.factors(wrong):
            kind = "twice" if factor == 2 else "images" if "images" in words else "factor"
            yield Slip(kind, words), {name: factor * self.right[name] for name in wrong}

    def is_bias(self, name) -> bool:
        return isinstance(self.lines.names[f"d_{name}"].operation, BiasGradient)

    def factors(self, wrong):
        """(factor, words): those known by name, and the one that the wrong parameters have in common."""
        yield 2, "it is twice as large"
        count = self.image_count
        if count > 1:
            yield 1 / count, f"it is divided by the number of images, {count}"
            yield count, f"it is multiplied by the number of images, {count}"
        used, right = (np.concatenate([np.ravel(side[name]) for name in wrong]) for side in (self.used, self.right))
        if np.count_nonzero(right) > 1 and used.shape == right.shape and np.isfinite(used).all():
            factor = float(used @ right / (right @ right))
            yield factor, f"it is {board(number(factor))} times as large"

    @cached_property
    def image_count(self) -> int:
        """How many images the loss is of."""
        operation = self.forward.names[self.loss].operation
        output = np.asarray(self.made[operation.inputs[0]])
        return images(output) if output.ndim == 4 or in_rows(self.forward, operation.inputs[0]) else 1

    def spoilt(self):
        """(slip, what it predicts for every parameter): slips on the way back, each planted in a line."""
        return self.predictions

    @cached_property
    def predictions(self) -> list:
        return [(slip, predicted) for slip, lines in [*self.plantings(), *self.gatings()] if (predicted := self.predict(lines))]

    def plantings(self):
        for kind, mistake in ALL.items():
            if kind == "images" and self.image_count == 1:
                continue  # the rows of one picture are no images
            at = places(self.lines, kind)
            for only in [None, *at] if len(at) > 1 else at:
                yield Slip(kind, mistake.label, only), lambda kind=kind, only=only: planted(self.lines, kind, only)

    def gatings(self):
        """ReLU's gradient gated on any other value of its shape."""
        for line in self.lines:
            if type(line.operation) is ReLUGradient:
                shape = np.shape(self.made[line.operation.values])
                for name in self.forward.names:
                    if np.shape(self.made[name]) == shape and name != line.operation.values:
                        instead = Line(line.name, ReLUGradient(line.operation.d_output, name))
                        yield (Slip("wrong gate", f"ReLU’s gradient is gated on {name} instead of {line.operation.values}", line.name),
                               lambda line=line, instead=instead: Recipe(*(instead if each is line else each for each in self.lines)))

    def predict(self, lines) -> dict | None:
        """Every gradient with a slip planted; None where it cannot be made on these shapes or changes nothing."""
        try:
            made = self.run(lines())
        except ValueError:
            return None
        found = {name: np.asarray(made[f"d_{name}"]) for name in self.used}
        same = all(found[name].shape == self.right[name].shape and np.array_equal(found[name], self.right[name]) for name in found)
        return None if same else found


def fitted(value, right):
    """The gradient in its parameter's shape, from numbers in a row or without axes of length 1 before them; else as it is."""
    alike = value.ndim <= 1 or without_ones(value.shape) == without_ones(right.shape)
    return value.reshape(right.shape) if value.size == right.size and alike else value


def without_ones(shape) -> tuple[int, ...]:
    """The shape without the axes of length 1 that come first."""
    return shape[next((axis for axis, size in enumerate(shape) if size > 1), len(shape)):]


def best_named(slips) -> list[Slip]:
    """The slips without a mere factor, where another says where the factor comes from."""
    return [slip for slip in slips if slip.kind != "factor"] or slips


def exchanged(gradient):
    return gradient.swapaxes(-1, -2) if gradient.ndim > 1 else gradient


def turned(gradient):
    return gradient[..., ::-1, ::-1] if gradient.ndim > 1 else gradient
