"""The bias add, the fully connected layer, and the plain sums that the chain rule needs."""

from dataclasses import dataclass

import numpy as np

from . import batches
from .base import Name, Operation, add, cell, check_alike


def channel_axis(values) -> int:
    """The axis that a bias runs along: the channels of a map, the outputs of a fully connected layer."""
    return -3 if values.ndim >= 3 else -1


def bias_shape(values, bias, names) -> tuple[int, ...]:
    """The shape that lets a bias be added to its channel. Raises ValueError where it does not fit."""
    if bias.ndim == 0:
        return ()
    axis = channel_axis(values)
    channels = values.shape[axis:][:1]
    if bias.ndim != 1 or bias.shape != channels:
        row = f", or {channels[0]} in a row, one for each channel" if channels else ""
        raise ValueError(f"{names[1]} {bias.shape} does not fit {names[0]} {values.shape}: give one number{row}")
    return bias.shape + (1,) * (-axis - 1)


def over_channels(values):
    """For each channel the sum of its cells, over all positions and images."""
    if values.ndim == 4:
        total = np.einsum("nchw->c", values)  # a third of the time of `sum`, but it raises no alarm
        rest = np.add.reduce(total - total)  # where it overflowed: infinity minus infinity does
        if rest != rest:  # NaN itself raises none, and that is what sums that overflowed both ways come to
            np.subtract(np.inf, np.inf)
        return total
    return values.sum(axis=tuple(axis for axis in range(values.ndim) if axis - values.ndim != channel_axis(values)))


@dataclass(frozen=True)
class AddBias(Operation):
    """out[c,i,j] = values[c,i,j] + bias[c]

    values (..., C, H, W) or (..., K), bias (C,) or (K,) -> the shape of values. A bias that is one
    number is added to every cell: a map (H, W) has one kernel and so one bias.
    """

    values: Name
    bias: Name

    def compute(self, values, bias):
        shape = bias_shape(values, bias, (self.values, self.bias))
        if values.ndim < 4 or not shape:
            return values + bias.reshape(shape)
        images, channels, _, width = values.shape
        row = bias.repeat(width * images).reshape(channels, 1, width, images)  # of all maps, ordered as in `batches`
        return values + row.transpose(3, 0, 1, 2)  # runs of a whole row, where the bias itself would give a channel's

    def expand(self, index, values, bias):
        channel = (index[channel_axis(values)],) if bias.ndim else ()
        return f"{cell(self.values, *index)} + {cell(self.bias, *channel)}"

    def gradient(self, output, d_output):
        yield self.bias, BiasGradient(d_output, self.bias)
        yield self.values, Same(d_output)


@dataclass(frozen=True)
class BiasGradient(Operation):
    """d_bias[c] = sum over n, i, j of d_out[n,c,i,j]

    d_out, bias (only its shape) -> the shape of bias: the bias was added at every position, so every
    position pulls on it.
    """

    d_output: Name
    bias: Name

    def compute(self, d_output, bias):
        return over_channels(d_output) if bias.ndim else d_output.sum()

    def expand(self, index, d_output, bias):
        return add(cell(self.d_output, *at) for at in np.ndindex(d_output.shape)
                   if bias.ndim == 0 or at[channel_axis(d_output)] == index[0])


@dataclass(frozen=True)
class Same(Operation):
    """out = values

    The gradient passes through an addition unchanged.
    """

    values: Name

    def compute(self, values):
        return values

    def expand(self, index, values):
        return cell(self.values, *index)

    def gradient(self, output, d_output):
        yield self.values, Same(d_output)


@dataclass(frozen=True)
class Add(Operation):
    """out = first + second

    Two arrays of one shape. The gradients of a value that is used twice are added like this.
    """

    first: Name
    second: Name

    def compute(self, first, second):
        check_alike(self.first, first, self.second, second)
        return first + second

    def expand(self, index, first, second):
        return f"{cell(self.first, *index)} + {cell(self.second, *index)}"

    def gradient(self, output, d_output):
        yield self.first, Same(d_output)
        yield self.second, Same(d_output)


@dataclass(frozen=True)
class Flatten(Operation):
    """out[k] = values, cell after cell, row after row, channel after channel

    (N, C, H, W) -> (N, C*H*W); a single picture, (C, H, W) or (H, W), -> one row of all its cells.
    """

    values: Name

    def compute(self, values):
        return batches.flattened(values) if values.ndim == 4 else values.reshape(-1)

    def expand(self, index, values):
        rest = np.unravel_index(index[-1], values.shape[1:] if values.ndim == 4 else values.shape)
        return cell(self.values, *index[:-1], *map(int, rest))

    def gradient(self, output, d_output):
        yield self.values, Unflatten(d_output, self.values)


@dataclass(frozen=True)
class Unflatten(Operation):
    """d_values = d_out, laid out as values was before it was flattened

    d_out, values (only its shape) -> the shape of values.
    """

    d_output: Name
    values: Name

    def compute(self, d_output, values):
        d_values = d_output.reshape(values.shape)
        return batches.laid_like(values, d_values) if values.ndim == 4 else d_values

    def expand(self, index, d_output, values):
        flat = np.ravel_multi_index(index[1:], values.shape[1:]) if values.ndim == 4 else \
            np.ravel_multi_index(index, values.shape)
        return cell(self.d_output, *index[:1] * (values.ndim == 4), int(flat))


@dataclass(frozen=True)
class FullyConnected(Operation):
    """out[o] = sum over k of weight[o,k] * values[k]

    values (K,) or (N, K), weight (O, K) -> (O,) or (N, O): every input is connected to every output.
    The bias is a line of its own, `AddBias`.
    """

    values: Name
    weight: Name

    def compute(self, values, weight):
        self.check(values, weight)
        return (weight @ values.T).T  # images stay innermost in memory, see `batches`

    def check(self, values, weight):
        if weight.ndim != 2 or values.ndim not in (1, 2) or weight.shape[1] != values.shape[-1]:
            raise ValueError(f"{self.weight} {weight.shape} does not fit {self.values} {values.shape}: "
                             "give weights (outputs, inputs) and values (inputs,) or (images, inputs)")

    def expand(self, index, values, weight):
        return add(f"{cell(self.weight, index[-1], k)}*{cell(self.values, *index[:-1], k)}"
                   for k in range(weight.shape[1]))

    def gradient(self, output, d_output):
        yield self.weight, WeightGradient(d_output, self.values)
        yield self.values, FullyConnectedTransposed(d_output, self.weight)


@dataclass(frozen=True)
class WeightGradient(Operation):
    """d_weight[o,k] = sum over n of d_out[n,o] * values[n,k]

    d_out (O,) or (N, O), values (K,) or (N, K) -> (O, K).
    """

    d_output: Name
    values: Name

    def compute(self, d_output, values):
        return d_output.reshape(-1, d_output.shape[-1]).T @ values.reshape(-1, values.shape[-1])

    def expand(self, index, d_output, values):
        images = range(len(values)) if values.ndim == 2 else [None]
        return add(f"{cell(self.d_output, *self.at(n, index[0]))}*{cell(self.values, *self.at(n, index[1]))}"
                   for n in images)

    @staticmethod
    def at(image, position):
        return (position,) if image is None else (image, position)


@dataclass(frozen=True)
class FullyConnectedTransposed(Operation):
    """d_values[k] = sum over o of d_out[o] * weight[o,k]

    d_out (O,) or (N, O), weight (O, K) -> (K,) or (N, K).
    """

    d_output: Name
    weight: Name

    def compute(self, d_output, weight):
        return (weight.T @ d_output.T).T

    def expand(self, index, d_output, weight):
        return add(f"{cell(self.d_output, *index[:-1], o)}*{cell(self.weight, o, index[-1])}"
                   for o in range(len(weight)))
