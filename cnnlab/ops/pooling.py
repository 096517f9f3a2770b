"""Max- and average-pooling: a window slides over each map, and one number stands for it."""

from dataclasses import dataclass

import numpy as np

from .base import Name, Operation, add, cell, pair


class Pooling(Operation):
    """Windows over the last two axes: what both kinds of pooling and their gradients share.

    `stride=None` means as far as the window is wide, so that windows do not overlap.
    """

    def windows(self, values):
        """(starts of the rows, starts of the columns, window). Raises ValueError where none fits."""
        size = pair(self.size, "size", 1)
        step = size if self.stride is None else pair(self.stride, "stride", 1)
        if values.ndim < 2 or size[0] > values.shape[-2] or size[1] > values.shape[-1]:
            raise ValueError(f"window {size} does not fit inside {self.values} {values.shape}")
        rows, columns = (range(0, side - wide + 1, jump)
                         for side, wide, jump in zip(values.shape[-2:], size, step))
        return rows, columns, size

    def shifts(self, values):
        """Pairs ((u, v), a view of the cells at window position (u, v)), one for each cell of a window."""
        rows, columns, size = self.windows(values)
        for u, v in np.ndindex(*size):
            yield (u, v), values[..., u:u + rows[-1] + 1:rows.step, v:v + columns[-1] + 1:columns.step]

    def members(self, index, values):
        """The indices of the cells in the window that makes the output cell at `index`, in reading order."""
        rows, columns, size = self.windows(values)
        return [(*index[:-2], rows[index[-2]] + u, columns[index[-1]] + v) for u, v in np.ndindex(*size)]

    def covering(self, index, values):
        """The output cells whose windows hold the input cell at `index`."""
        rows, columns, size = self.windows(values)
        for i, j in np.ndindex(len(rows), len(columns)):
            if 0 <= index[-2] - rows[i] < size[0] and 0 <= index[-1] - columns[j] < size[1]:
                yield (*index[:-2], i, j)

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
        return np.maximum.reduce([seen for _, seen in self.shifts(values)])

    def expand(self, index, values):
        return f"max({', '.join(cell(self.values, *at) for at in self.members(index, values))})"

    def gradient(self, output, d_output):
        yield self.values, MaxPoolGradient(d_output, self.values, **self.settings())


@dataclass(frozen=True)
class MaxPoolGradient(Pooling):
    """d_values[y,x] = sum over the windows that (y, x) wins of d_out[i,j]

    d_out, values -> the shape of values. The first cell in reading order wins a tie. Windows may overlap.
    """

    d_output: Name
    values: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, d_output, values):
        d_values, largest = np.zeros_like(values), np.maximum.reduce([seen for _, seen in self.shifts(values)])
        taken = np.zeros(largest.shape, bool)
        for (_, seen), (_, d_seen) in zip(self.shifts(values), self.shifts(d_values)):
            wins = (seen == largest) & ~taken
            d_seen += d_output * wins
            taken |= wins
        return d_values

    def expand(self, index, d_output, values):
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
        seen = [seen for _, seen in self.shifts(values)]
        return sum(seen) / len(seen)

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
        d_values, cells = np.zeros_like(values), np.prod(pair(self.size, "size", 1))
        for _, d_seen in self.shifts(d_values):
            d_seen += d_output / cells
        return d_values

    def expand(self, index, d_output, values):
        cells = np.prod(pair(self.size, "size", 1))
        return f"({add(cell(self.d_output, *at) for at in self.covering(index, values))})/{cells}"
