"""A step as one writes it on a board: every value, its gradient below it, its new value below that."""

from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import NamedTuple

import numpy as np

from .. import arithmetic
from ..arithmetic import BOARD, CLOSE, OPEN, board, number
from ..explanation import label
from .page import tag
from .words import says

GLYPHS = {"⊙": "times, cell by cell", "=": "gives", "Σ": "added up", "+": "plus", "→": "leads to", "−": "minus",
          "÷": "divided by", "eˣ": "exponential"}


class MicroStep(NamedTuple):
    """One cell of one line: the smallest thing a learner can step through."""

    name: str
    index: tuple[int, ...]


@lru_cache(maxsize=32)
def order_of(cells) -> dict[MicroStep, int]:
    return {MicroStep(*cell): at for at, cell in enumerate(cells, 1)}


def micro_steps(ledger) -> tuple[MicroStep, ...]:
    """Every cell of every line, in the order in which they are worked out."""
    return tuple(MicroStep(name, index) for name in ledger.recipe.names for index in np.ndindex(np.shape(ledger[name])))


@dataclass(frozen=True)
class Moment:
    """How far a step has been worked out: the first `position` micro-steps are done, the last of them is now."""

    ledger: object
    steps: tuple[MicroStep, ...]
    position: int

    @property
    def now(self) -> MicroStep | None:
        return self.steps[self.position - 1] if 0 < self.position <= len(self.steps) else None

    @property
    def finished(self) -> bool:
        """Whether every line is done, and the network has been run again with its new numbers."""
        return self.position > len(self.steps)

    def read(self) -> set:
        """The cells that the present micro-step reads."""
        return set(arithmetic.references(self.ledger.expand(*self.now))) if self.now else set()


def tint(value: float, scale: float) -> str:
    """A background for a number: orange above zero, blue below, paler the nearer to zero."""
    part = min(abs(value) / scale, 1) if scale else 0
    near, far = (255, 255, 255), (255, 190, 105) if value > 0 else (150, 196, 245)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(near, far))


def grid(array) -> np.ndarray:
    """An array as rows and columns: a vector lies as a column, further axes are put below each other."""
    array = np.asarray(array, float)
    if array.ndim < 2:
        return array.reshape(-1, 1)
    return array.reshape(-1, array.shape[-1])


class Board:
    """Draws the values of one moment as tables; `after` is the run with the new numbers, and `results` the values of it to show."""

    def __init__(self, moment: Moment, after, results):
        self.moment, self.after, self.results = moment, after, results
        self.order, self.read = order_of(moment.steps), moment.read()

    def flow(self, *items) -> str:
        """Cards and the glyphs between them, in one line that wraps; a tuple of lines is set as a column."""
        return tag("div", *map(self.item, items), class_="flow")

    def item(self, item) -> str:
        if isinstance(item, tuple):
            return tag("div", *(self.flow(*line) for line in item), class_="column")
        return self.glyph(item) if item in GLYPHS else self.card(item)

    @staticmethod
    def glyph(item) -> str:
        return tag("span", item, class_="glyph", role="img", aria_label=GLYPHS[item])

    def card(self, name) -> str:
        """A value, the loss's gradient by it where there is one, and its value after the step."""
        ledger = self.moment.ledger
        layers = [self.values(name, name, "")]
        if f"d_{name}" in ledger:
            layers.append(self.values(f"d_{name}", f"d_{name}", "gradient"))
        if f"new_{name}" in ledger:
            layers.append(self.values(f"new_{name}", "new", "after"))
        elif name in self.results:
            layers.append(self.again(name))
        return tag("div", *layers, class_="card")

    def values(self, name, title, kind) -> str:
        array = np.asarray(self.moment.ledger[name])
        scale = float(np.abs(array).max())
        cells = [self.cell(name, index, float(array[index]), scale) for index in np.ndindex(array.shape)]
        return self.table(title, kind, cells, grid(array).shape[1])

    def again(self, name) -> str:
        """A result of the network once it has run with its new numbers."""
        array = np.asarray(self.after[name])
        scale = float(np.abs(array).max())
        draw = self.shown if self.moment.finished else self.hidden
        cells = [draw(float(value), scale) for value in array.reshape(-1)]
        return self.table("after", "after", cells, grid(array).shape[1])

    @staticmethod
    def table(title, kind, cells, columns) -> str:
        rows = [tag("tr", *cells[at:at + columns]) for at in range(0, len(cells), columns)]
        return tag("table", tag("caption", escape(title)), tag("tbody", *rows), class_=f"values {kind}".strip(), style=f"--columns:{columns}")

    def cell(self, name, index, value, scale) -> str:
        """One number; its own micro-step is a click away."""
        at = self.order.get((name, index), 0)
        if at > self.moment.position:
            return self.hidden(value, scale, at)
        kind = "now" if (name, index) == self.moment.now else "read" if (name, index) in self.read else ""
        return self.shown(value, scale, kind, at)

    @staticmethod
    def shown(value, scale, kind="", at=0) -> str:
        text = tile(value)
        kinds = f"{kind} long".strip() if len(text) > 7 else kind
        return td(text, kinds, at, f' style="background:{tint(value, scale)}"')

    @staticmethod
    def hidden(value, scale, at=0) -> str:
        return td("·", "later", at, ' title="not worked out yet"')


def tile(value) -> str:
    """A number as it fits on its cell: five significant digits, or fewer where they take more than eight signs."""
    texts = [board(number(value, digits)) for digits in (5, 4, 3, 2, 1)]
    return next((text for text in texts if len(text) <= 8), texts[-1])


def td(text, kind, at, more="") -> str:
    """One cell of a table; `at` is the micro-step that a click leads to."""
    kind = f' class="{kind}"' if kind else ""
    jump = f' data-set="position={at}"' if at else ""
    return f"<td{kind}{jump}{more}>{text}</td>"


def marked(text: str) -> str:
    """The text as HTML, with what the arithmetic reads underlined."""
    return escape(text).replace(OPEN, '<span class="read">').replace(CLOSE, "</span>")


def worked(moment: Moment, digits=6) -> str:
    """The present micro-step as a frame: what happens, the formula with names, the formula with numbers."""
    name, index = moment.now
    ledger = moment.ledger
    explanation = ledger.explain(name, index, digits)
    symbols = arithmetic.write(BOARD, ledger.expand(name, index), lambda *at: OPEN + explanation.label(at[1], at[0]) + CLOSE, 8)
    numbers = explanation.numbers(index, BOARD, digits, 8, lambda text: OPEN + board(text) + CLOSE)
    left = tag("span", escape(label(name, index, np.shape(ledger[name]))), class_="now")
    result = board(number(explanation.value(index), digits))
    sign = "=" if explanation.is_exact(index) else "≈"
    plain = numbers.replace(OPEN, "").replace(CLOSE, "")
    ending = "" if plain == result else f" {sign} {result}"
    return frame(f"Micro-step {moment.position} of {len(moment.steps) + 1}", says(ledger.line(name)),
                 f"{left} = {marked(symbols)}", f"{left} = {marked(numbers)}{ending}")


def frame(where: str, what: str, symbols: str, numbers: str) -> str:
    """The frame that holds a worked line; `symbols` and `numbers` are HTML."""
    return tag("div", tag("p", tag("b", escape(where)), " — ", escape(what), class_="what"),
               tag("p", symbols, class_="symbols"), tag("p", numbers, class_="numbers"), class_="worked")
