"""Max- and average-pooling: a window slides over each map, and one number stands for it."""

from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce
from math import prod
from operator import setitem

import numpy as np

from .base import Name, Operation, add, cell, pair


@dataclass(frozen=True)
class Windows:
    """Where the windows lie on a map."""

    rows: range     # where the windows of each row of outputs start
    columns: range
    size: tuple[int, int]
    map: tuple[int, int]

    @cached_property
    def row_cuts(self) -> tuple:
        """For each row of the window: the index of the rows that lie there."""
        return tuple((..., slice(u, u + self.rows[-1] + 1, self.rows.step), slice(None)) for u in range(self.size[0]))

    @cached_property
    def column_cuts(self) -> tuple:
        """For each column of the window: the index of the columns that lie there."""
        return tuple((..., slice(v, v + self.columns[-1] + 1, self.columns.step)) for v in range(self.size[1]))

    @cached_property
    def cuts(self) -> tuple:
        """For each position in the window, in reading order: the index of the cells that lie there."""
        return tuple((..., rows, columns) for _, rows, _ in self.row_cuts for _, columns in self.column_cuts)

    @cached_property
    def apart(self) -> bool:
        """Whether no two windows share a cell."""
        return self.rows.step >= self.size[0] and self.columns.step >= self.size[1]

    @cached_property
    def cover(self) -> bool:
        """Whether each cell of the map lies in exactly one window."""
        return self.apart and self.map == (len(self.rows) * self.size[0], len(self.columns) * self.size[1])


@lru_cache(maxsize=512, typed=True)  # the same shapes come back at every step
def fit(name, shape, size, stride) -> Windows:
    """The windows on maps of a shape. Raises ValueError where none fits."""
    size = pair(size, "size", 1)
    step = size if stride is None else pair(stride, "stride", 1)
    if len(shape) < 2 or size[0] > shape[-2] or size[1] > shape[-1]:
        raise ValueError(f"window {size} does not fit inside {name} {shape}")
    return Windows(*(range(0, side - wide + 1, jump) for side, wide, jump in zip(shape[-2:], size, step)), size, shape[-2:])


def add_to(values, cut, more):
    """values[cut] += more: a cell that lies in several windows adds up what it gets."""
    values[cut] += more


class Pooling(Operation):
    """Windows over the last two axes: what both kinds of pooling and their gradients share.

    `stride=None` means as far as the window is wide, so that windows do not overlap.
    """

    def windows(self, values) -> Windows:
        """The windows on these maps. Raises ValueError where none fits."""
        return fit(self.values, values.shape, self.size, self.stride)

    def laid_out(self, values):
        """(positions in a window, ..., H', W'): every window's cells along a new first axis."""
        return np.stack([values[cut] for cut in self.windows(values).cuts])

    def members(self, index, values):
        """The indices of the cells in the window that makes the output cell at `index`, in reading order."""
        windows = self.windows(values)
        return [(*index[:-2], windows.rows[index[-2]] + u, windows.columns[index[-1]] + v)
                for u, v in np.ndindex(*windows.size)]

    def covering(self, index, values):
        """The output cells whose windows hold the input cell at `index`."""
        windows = self.windows(values)
        for i, j in np.ndindex(len(windows.rows), len(windows.columns)):
            if 0 <= index[-2] - windows.rows[i] < windows.size[0] and 0 <= index[-1] - windows.columns[j] < windows.size[1]:
                yield (*index[:-2], i, j)

    def added(self, values):
        """out[i,j], the sum of the window's cells."""
        return reduce(np.add, [values[cut] for cut in self.windows(values).cuts])

    def handed_back(self, d_sums, values):
        """d_values[y,x], the sum of d_sums over the windows that hold (y, x)."""
        d_values = np.zeros_like(values, d_sums.dtype)
        for cut in self.windows(values).cuts:
            d_values[cut] += d_sums
        return d_values

    def settings(self) -> dict:
        return {"size": self.size, "stride": self.stride}


@dataclass(frozen=True)
class MaxPool(Pooling):
    """out[i,j] = max over the window's cells of values[i*stride + u, j*stride + v]

    values (..., H, W) -> (..., H', W') with H' = floor((H - size) / stride) + 1. No parameters. Where
    two cells tie, the gradient goes to the first in reading order: a kink.
    """

    values: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, values):
        windows = self.windows(values)
        tall = reduce(np.maximum, [values[cut] for cut in windows.row_cuts])
        return reduce(np.maximum, [tall[cut] for cut in windows.column_cuts])

    def expand(self, index, values):
        members = [cell(self.values, *at) for at in self.members(index, values)]
        return f"max({', '.join(members)})" if len(members) > 1 else members[0]

    def gradient(self, output, d_output):
        yield self.values, MaxPoolGradient(d_output, self.values, output, **self.settings())


@dataclass(frozen=True)
class MaxPoolGradient(Pooling):
    """d_values[y,x] = sum over the windows that (y, x) wins of d_out[i,j]

    d_out, values, pooled (the window's maxima) -> the shape of values. The first cell in reading order wins a
    tie. Windows may overlap.
    """

    d_output: Name
    values: Name
    pooled: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, d_output, values, pooled):
        windows = self.windows(values)
        d_values = (np.empty_like if windows.cover else np.zeros_like)(values, d_output.dtype)
        give = setitem if windows.apart else add_to
        left = d_output  # where no cell has won yet
        for cut in windows.cuts[:-1]:
            won = left * (values[cut] == pooled)
            give(d_values, cut, won)
            left = left - won
        give(d_values, windows.cuts[-1], left)
        return d_values

    def expand(self, index, d_output, values, pooled):
        return add(f"{cell(self.d_output, *at)}*{int(self.winner(at, values) == tuple(index))}"
                   for at in self.covering(index, values))

    def winner(self, index, values):
        """The index of the cell whose value the output cell at `index` took."""
        return max(self.members(index, values), key=lambda at: values[at])


@dataclass(frozen=True)
class AveragePool(Pooling):
    """out[i,j] = (sum over the window's cells of values[i*stride + u, j*stride + v]) / cells in a window

    values (..., H, W) -> (..., H', W') with H' = floor((H - size) / stride) + 1. No parameters.
    """

    values: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, values):
        return self.added(values) / prod(self.windows(values).size)

    def expand(self, index, values):
        members = self.members(index, values)
        return f"({add(cell(self.values, *at) for at in members)})/{len(members)}"

    def gradient(self, output, d_output):
        yield self.values, AveragePoolGradient(d_output, self.values, **self.settings())


@dataclass(frozen=True)
class AveragePoolGradient(Pooling):
    """d_values[y,x] = (sum over the windows that hold (y, x) of d_out[i,j]) / cells in a window

    d_out, values (only its shape) -> the shape of values. Windows may overlap.
    """

    d_output: Name
    values: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, d_output, values):
        return self.handed_back(d_output / prod(self.windows(values).size), values)

    def expand(self, index, d_output, values):
        cells = prod(self.windows(values).size)
        return f"({add(cell(self.d_output, *at) for at in self.covering(index, values))})/{cells}"
