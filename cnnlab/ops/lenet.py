"""What LeNet-5 of 1998 does and networks of today do not: trainable subsampling, partial connections, RBF units.

Source of all of it: LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
recognition", section II-B and appendix A.
"""

from dataclasses import dataclass

import numpy as np

from .base import Name, Operation, add, cell
from .linear import bias_shape, channel_axis, over_channels
from .pooling import Pooling


# ---- trainable subsampling: the cells of a window are added, scaled by a coefficient, then AddBias ----


@dataclass(frozen=True)
class SumPool(Pooling):
    """out[i,j] = sum over the window's cells of values[i*stride + u, j*stride + v]

    values (..., H, W) -> (..., H', W') with H' = floor((H - size) / stride) + 1. No parameters: those of
    LeNet-5's S2 and S4 stand in the lines behind it, `Scale` and `AddBias`.
    """

    values: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, values):
        return self.added(values)

    def expand(self, index, values):
        return add(cell(self.values, *at) for at in self.members(index, values))

    def gradient(self, output, d_output):
        yield self.values, SumPoolGradient(d_output, self.values, **self.settings())


@dataclass(frozen=True)
class SumPoolGradient(Pooling):
    """d_values[y,x] = sum over the windows that hold (y, x) of d_out[i,j]

    d_out, values (only its shape) -> the shape of values. Windows may overlap.
    """

    d_output: Name
    values: Name
    size: int | tuple[int, int] = 2
    stride: int | tuple[int, int] | None = None

    def compute(self, d_output, values):
        return self.handed_back(d_output, values)

    def expand(self, index, d_output, values):
        return add(cell(self.d_output, *at) for at in self.covering(index, values))


@dataclass(frozen=True)
class Scale(Operation):
    """out[c,i,j] = values[c,i,j] * coefficient[c]

    values (..., C, H, W) or (..., K), coefficient (C,) or (K,) -> the shape of values. A coefficient that
    is one number scales every cell.
    """

    values: Name
    coefficient: Name

    def compute(self, values, coefficient):
        return values * coefficient.reshape(bias_shape(values, coefficient, (self.values, self.coefficient)))

    def expand(self, index, values, coefficient):
        channel = (index[channel_axis(values)],) if coefficient.ndim else ()
        return f"{cell(self.values, *index)}*{cell(self.coefficient, *channel)}"

    def gradient(self, output, d_output):
        yield self.coefficient, CoefficientGradient(d_output, self.values, self.coefficient)
        yield self.values, Scale(d_output, self.coefficient)


@dataclass(frozen=True)
class CoefficientGradient(Operation):
    """d_coefficient[c] = sum over n, i, j of d_out[n,c,i,j] * values[n,c,i,j]

    d_out, values, coefficient (only its shape) -> the shape of coefficient.
    """

    d_output: Name
    values: Name
    coefficient: Name

    def compute(self, d_output, values, coefficient):
        products = d_output * values
        return over_channels(products) if coefficient.ndim else products.sum()

    def expand(self, index, d_output, values, coefficient):
        return add(f"{cell(self.d_output, *at)}*{cell(self.values, *at)}" for at in np.ndindex(values.shape)
                   if coefficient.ndim == 0 or at[channel_axis(values)] == index[0])


# ---- partial connections --------------------------------------------------------------------------


class Connections(Operation):
    """A connection table: for each output map, the input maps that it reads. Every pair has a slice of its own."""

    def pairs(self) -> list[tuple[int, int]]:
        """(output map o, input map c) of every slice, output map after output map. Raises ValueError for no table."""
        rows = self.table if isinstance(self.table, tuple) else ()
        if not rows or not all(isinstance(row, tuple) and row for row in rows):
            raise ValueError(f"table {self.table!r}: give a tuple of input maps for each output map")
        pairs = [(o, c) for o, row in enumerate(rows) for c in row]
        if not all(isinstance(c, int) and c >= 0 for _, c in pairs) or len(set(pairs)) < len(pairs):
            raise ValueError(f"table {self.table!r}: input maps count from 0, and each stands once in its row")
        return pairs

    def maps(self) -> tuple[int, int]:
        """(O, C): how many output maps there are, and input maps up to the highest that is read."""
        return len(self.table), 1 + max(c for _, c in self.pairs())


@dataclass(frozen=True)
class Connect(Connections):
    """out[o,c,u,v] = kernel[s,u,v] where slice s connects input map c to output map o, else 0

    kernel (S, KH, KW), one slice for each connection of the table -> (O, C, KH, KW), a kernel for `Correlate`.
    `table[o]` names the input maps of output map o. What is left out of the table has no weight at all, so
    what is counted, drawn and trained is what is connected. Source: LeCun et al. 1998, table I.
    """

    kernel: Name
    table: tuple[tuple[int, ...], ...] = ((0,),)

    def compute(self, kernel):
        pairs = self.pairs()
        if kernel.ndim != 3 or len(kernel) != len(pairs):
            raise ValueError(f"{self.kernel} {kernel.shape} does not fit its table of {len(pairs)} connections: "
                             f"give ({len(pairs)}, height, width)")
        connected = np.zeros(self.maps() + kernel.shape[1:], kernel.dtype)
        connected[tuple(np.transpose(pairs))] = kernel
        return connected

    def expand(self, index, kernel):
        pairs, pair = self.pairs(), tuple(index[:2])
        return cell(self.kernel, pairs.index(pair), *index[2:]) if pair in pairs else "0"

    def gradient(self, output, d_output):
        yield self.kernel, ConnectGradient(d_output, self.table)

    def inputs_of_slices(self) -> np.ndarray:
        """(S, 1, 1): how many slices are added up together with each slice, itself included."""
        return np.array([len(self.table[o]) for o, _ in self.pairs()]).reshape(-1, 1, 1)


@dataclass(frozen=True)
class ConnectGradient(Connections):
    """d_kernel[s,u,v] = d_out[o,c,u,v] where slice s connects input map c to output map o

    d_out (O, C, KH, KW) -> (S, KH, KW): what is not connected has no weight that a gradient could go to.
    """

    d_output: Name
    table: tuple[tuple[int, ...], ...] = ((0,),)

    def compute(self, d_output):
        return d_output[tuple(np.transpose(self.pairs()))]

    def expand(self, index, d_output):
        return cell(self.d_output, *self.pairs()[index[0]], *index[1:])


# ---- the squashing function -----------------------------------------------------------------------

AMPLITUDE, SLOPE = 1.7159, 2 / 3  # A and S of the paper


@dataclass(frozen=True)
class ScaledTanh(Operation):
    """out = 1.7159 * tanh(2/3 * values)

    Any shape -> cells in (-1.7159, 1.7159). With these two constants f(1) = 1 and f(-1) = -1, where the curve
    bends most: targets of 1 and -1 do not push a unit into the flat ends. Source: LeCun et al. 1998, appendix A.
    """

    values: Name

    def compute(self, values):
        return AMPLITUDE * np.tanh(SLOPE * values)

    def expand(self, index, values):
        return f"{AMPLITUDE}*tanh(2/3*{cell(self.values, *index)})"

    def gradient(self, output, d_output):
        yield self.values, ScaledTanhGradient(d_output, output)


@dataclass(frozen=True)
class ScaledTanhGradient(Operation):
    """d_values = d_out * 2/3 * (1.7159 - s * s / 1.7159)

    Both of one shape; s is the output of the scaled tanh.
    """

    d_output: Name
    scaled_tanh: Name

    def compute(self, d_output, scaled_tanh):
        return d_output * (SLOPE * (AMPLITUDE - scaled_tanh * scaled_tanh / AMPLITUDE))

    def expand(self, index, d_output, scaled_tanh):
        s = cell(self.scaled_tanh, *index)
        return f"{cell(self.d_output, *index)}*(2/3*({AMPLITUDE} - {s}*{s}/{AMPLITUDE}))"


# ---- the output layer -----------------------------------------------------------------------------


@dataclass(frozen=True)
class SquaredDistance(Operation):
    """out[k] = sum over j of (values[j] - prototypes[k,j])**2

    values (J,) or (N, J), prototypes (K, J) -> (K,) or (N, K): how far each image is from each class's
    prototype. Euclidean radial basis function units. Source: LeCun et al. 1998, equation 7.
    """

    values: Name
    prototypes: Name

    def compute(self, values, prototypes):
        if prototypes.ndim != 2 or values.ndim not in (1, 2) or prototypes.shape[1] != values.shape[-1]:
            raise ValueError(f"{self.prototypes} {prototypes.shape} does not fit {self.values} {values.shape}: "
                             "give prototypes (classes, inputs) and values (inputs,) or (images, inputs)")
        apart = values.T - (prototypes if values.ndim == 1 else prototypes[:, :, None])  # images stay innermost
        return (apart * apart).sum(axis=1).T

    def expand(self, index, values, prototypes):
        return add(f"({cell(self.values, *index[:-1], j)} - {cell(self.prototypes, index[-1], j)})**2"
                   for j in range(values.shape[-1]))

    def gradient(self, output, d_output):
        yield self.prototypes, PrototypeGradient(d_output, self.values, self.prototypes)
        yield self.values, SquaredDistanceGradient(d_output, self.values, self.prototypes)


@dataclass(frozen=True)
class SquaredDistanceGradient(Operation):
    """d_values[j] = sum over k of d_out[k] * 2 * (values[j] - prototypes[k,j])

    d_out (K,) or (N, K), values, prototypes (K, J) -> the shape of values.
    """

    d_output: Name
    values: Name
    prototypes: Name

    def compute(self, d_output, values, prototypes):
        pulled = (prototypes.T @ d_output.T).T  # images stay innermost in memory, see `batches`
        return 2 * (values * d_output.sum(axis=-1, keepdims=True) - pulled)

    def expand(self, index, d_output, values, prototypes):
        *image, j = index
        return add(f"{cell(self.d_output, *image, k)}*2*({cell(self.values, *index)} - {cell(self.prototypes, k, j)})"
                   for k in range(len(prototypes)))


@dataclass(frozen=True)
class PrototypeGradient(Operation):
    """d_prototypes[k,j] = sum over n of d_out[n,k] * 2 * (prototypes[k,j] - values[n,j])

    d_out (K,) or (N, K), values (J,) or (N, J), prototypes (K, J) -> the shape of prototypes. LeNet-5 keeps its
    prototypes fixed and does not use it.
    """

    d_output: Name
    values: Name
    prototypes: Name

    def compute(self, d_output, values, prototypes):
        arrived, rows = d_output.reshape(-1, len(prototypes)), values.reshape(-1, values.shape[-1])
        return 2 * (prototypes * arrived.sum(axis=0)[:, None] - arrived.T @ rows)

    def expand(self, index, d_output, values, prototypes):
        k, j = index
        images = [()] if values.ndim == 1 else [(n,) for n in range(len(values))]
        return add(f"{cell(self.d_output, *n, k)}*2*({cell(self.prototypes, *index)} - {cell(self.values, *n, j)})"
                   for n in images)


@dataclass(frozen=True)
class Negate(Operation):
    """out = -values

    Any shape. A small distance is a high score.
    """

    values: Name

    def compute(self, values):
        return -values

    def expand(self, index, values):
        return f"-{cell(self.values, *index)}"

    def gradient(self, output, d_output):
        yield self.values, Negate(d_output)
