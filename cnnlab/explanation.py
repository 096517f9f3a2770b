"""The hand arithmetic behind recorded cells, as a person would write it."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from . import arithmetic
from .arithmetic import BOARD, LATEX, PYTHON, board, number

MOST_CELLS = 16  # more are cut, so that a whole feature map does not flood the page
MOST_TERMS = 8   # a 3x3 kernel's sum is cut, a 2x2 kernel's over two channels is not


def label(name, index, shape) -> str:
    """A cell as a learner names it: `conv_sum[0,1]`, without the axes of length 1 before the last two.

    One number is called by its name alone.
    """
    if np.prod(shape, dtype=int) == 1:
        return name
    kept = [at for axis, at in enumerate(index) if shape[axis] > 1 or axis >= len(shape) - 2]
    return f"{name}[{','.join(map(str, kept))}]"


@dataclass(frozen=True)
class Explanation:
    """Cells of one line, each with its arithmetic. Prints as text; see `Ledger.explain`."""

    ledger: object
    name: str
    cells: tuple
    digits: int | None = 6
    whole: bool = False

    def __str__(self):
        return self.text

    __repr__ = __str__

    def _repr_latex_(self):
        return None if len(self.cells) > MOST_CELLS else f"$${self.latex}$$"

    @property
    def text(self) -> str:
        """`conv_sum = 0.2×0.5 + 0.8×(−0.3) + 0.6×0.2 + 0.1×0.4 = 0.02`, a line a cell."""
        return "\n".join([*(self.one(cell) for cell in self.shown), *self.rest])

    @property
    def symbols(self) -> str:
        """The same with names for numbers: `conv_sum = image[0,0]×kernel[0,0] + …`."""
        return "\n".join([*(f"{self.label(cell)} = {self.in_symbols(cell)}" for cell in self.shown), *self.rest])

    @property
    def latex(self) -> str:
        """The same in LaTeX, without dollar signs."""
        lines = [self.one(cell, LATEX, arithmetic.latex_number) for cell in self.shown]
        lines += [rf"\text{{… and {self.hidden} more cells}}"] * bool(self.hidden)
        joined = r"\\ ".join(line.replace("=", "&=", 1) if "=" in line else line for line in lines)
        return lines[0] if len(lines) == 1 else rf"\begin{{aligned}}{joined}\end{{aligned}}"

    @property
    def exact(self) -> str:
        """The same in exact fractions of the decimals that were given: `… = 1/50`."""
        return "\n".join([*(self.one_exact(cell) for cell in self.shown), *self.rest])

    @property
    def python(self) -> str:
        """The arithmetic as text that Python evaluates to the recorded value, every digit of every cell written out."""
        return "\n".join(self.numbers(cell, PYTHON, None, None, str) for cell in self.cells)

    @property
    def shown(self):
        return self.cells if self.whole else self.cells[:MOST_CELLS]

    @property
    def hidden(self) -> int:
        return len(self.cells) - len(self.shown)

    @property
    def rest(self):
        return [f"… and {self.hidden} more cells; explain(name, index) shows one, whole=True all"] * bool(self.hidden)

    @property
    def most(self):
        return None if self.whole else MOST_TERMS

    def label(self, cell, name=None) -> str:
        name = name or self.name
        return label(name, cell, np.shape(self.ledger[name]))

    def value(self, cell, name=None) -> float:
        return float(self.ledger[name or self.name][cell])

    def in_symbols(self, cell) -> str:
        return arithmetic.write(BOARD, self.ledger.expand(self.name, cell),
                                lambda name, index: self.label(index, name), self.most)

    def numbers(self, cell, style, digits, most, constant) -> str:
        """The right-hand side with the recorded numbers in place of the cells."""
        return arithmetic.write(style, self.ledger.expand(self.name, cell),
                                lambda name, index: constant(number(self.value(index, name), digits)), most)

    def one(self, cell, style=BOARD, constant=board) -> str:
        left = self.label(cell)
        if style is LATEX:
            left = rf"\mathtt{{{left.replace('_', chr(92) + '_')}}}"
        result = constant(number(self.value(cell), self.digits))
        if self.ledger.line(self.name) is None:
            return f"{left} = {result}" + (" (given)" if style is BOARD else "")
        right = self.numbers(cell, style, self.digits, self.most, constant)
        if right == result:
            return f"{left} = {result}"
        equals = {True: "=", False: r"\approx" if style is LATEX else "≈"}[self.is_exact(cell)]
        return f"{left} = {right} {equals} {result}"

    def is_exact(self, cell) -> bool:
        """Whether the numbers as printed give the result as printed, digit for digit."""
        return arithmetic.gives(self.ledger.expand(self.name, cell),
                                lambda name, index: number(self.value(index, name), self.digits),
                                number(self.value(cell), self.digits))

    def one_exact(self, cell) -> str:
        left = self.label(cell)
        try:
            result = self.ledger.fraction(self.name, cell)
        except arithmetic.Irrational as function:
            return f"{left} has no exact fraction: it takes {function} ({self.one(cell)})"
        if self.ledger.line(self.name) is None:
            return f"{left} = {board(str(result))} (given)"
        right, result = self.in_fractions(cell), board(str(result))
        return f"{left} = {right} = {result}" if right != result else f"{left} = {result}"

    def in_fractions(self, cell) -> str:
        """The right-hand side with exact fractions in place of the cells; one that is only passed on has no brackets."""
        right = arithmetic.write(BOARD, self.ledger.expand(self.name, cell), self.exact_leaf, self.most)
        alone = board(str(self.ledger.fraction(self.name, cell)))
        return alone if right == f"({alone})" else right

    def exact_leaf(self, name, index) -> str:
        value = self.ledger.fraction(name, index)
        return board(str(value)) if value.denominator == 1 else f"({board(str(value))})"
