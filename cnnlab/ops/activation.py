"""Functions that act on every cell alone: ReLU, sigmoid, tanh, exp."""

from dataclasses import dataclass

import numpy as np

from .base import Name, Operation, cell


@dataclass(frozen=True)
class ReLU(Operation):
    """out = max(0, values)

    Any shape. At values = 0 it has a kink; the gradient there is taken as 0.
    """

    values: Name

    def compute(self, values):
        return np.maximum(values, 0)

    def expand(self, index, values):
        return f"max(0, {cell(self.values, *index)})"

    def gradient(self, output, d_output):
        yield self.values, ReLUGradient(d_output, self.values)


@dataclass(frozen=True)
class ReLUGradient(Operation):
    """d_values = d_out * (1 if values > 0 else 0)

    Both of one shape. Gates on the value *before* ReLU; exactly 0 counts as off.
    """

    d_output: Name
    values: Name

    def compute(self, d_output, values):
        d_values = (values > 0).astype(d_output.dtype)
        d_values *= d_output  # in place: one array less that has to pass through the cache
        return d_values

    def expand(self, index, d_output, values):
        return f"{cell(self.d_output, *index)}*(1 if {cell(self.values, *index)} > 0 else 0)"


@dataclass(frozen=True)
class Sigmoid(Operation):
    """out = 1 / (1 + exp(-values))

    Any shape -> cells in (0, 1). For values below 0 it is computed as exp(values) / (1 + exp(values)),
    which is equal and cannot overflow.
    """

    values: Name

    def compute(self, values):
        small = np.exp(np.where(values >= 0, -values, values))  # not -abs(values): a complex step has to get through
        return np.where(values >= 0, 1, small) / (1 + small)

    def expand(self, index, values):
        value = cell(self.values, *index)
        return f"1/(1 + exp(-{value}))" if values[index] >= 0 else f"exp({value})/(1 + exp({value}))"

    def gradient(self, output, d_output):
        yield self.values, SigmoidGradient(d_output, output)


@dataclass(frozen=True)
class SigmoidGradient(Operation):
    """d_values = d_out * s * (1 - s)

    Both of one shape; s is the sigmoid's output.
    """

    d_output: Name
    sigmoid: Name

    def compute(self, d_output, sigmoid):
        return d_output * sigmoid * (1 - sigmoid)

    def expand(self, index, d_output, sigmoid):
        s = cell(self.sigmoid, *index)
        return f"{cell(self.d_output, *index)}*{s}*(1 - {s})"


@dataclass(frozen=True)
class Tanh(Operation):
    """out = tanh(values)

    Any shape -> cells in (-1, 1).
    """

    values: Name

    def compute(self, values):
        return np.tanh(values)

    def expand(self, index, values):
        return f"tanh({cell(self.values, *index)})"

    def gradient(self, output, d_output):
        yield self.values, TanhGradient(d_output, output)


@dataclass(frozen=True)
class TanhGradient(Operation):
    """d_values = d_out * (1 - t * t)

    Both of one shape; t is the output of tanh.
    """

    d_output: Name
    tanh: Name

    def compute(self, d_output, tanh):
        return d_output * (1 - tanh * tanh)

    def expand(self, index, d_output, tanh):
        t = cell(self.tanh, *index)
        return f"{cell(self.d_output, *index)}*(1 - {t}*{t})"


@dataclass(frozen=True)
class Exponential(Operation):
    """out = exp(values)

    Any shape. The numerators of a softmax, as they are worked out by hand; `Softmax` itself
    subtracts the largest value first, so that it cannot overflow.
    """

    values: Name

    def compute(self, values):
        return np.exp(values)

    def expand(self, index, values):
        return f"exp({cell(self.values, *index)})"


@dataclass(frozen=True)
class Total(Operation):
    """out[n] = sum over k of values[n,k]

    values (K,) or (N, K) -> one number for each image. The denominator of a softmax.
    """

    values: Name

    def compute(self, values):
        if values.ndim not in (1, 2):
            raise ValueError(f"{self.values} {values.shape}: give (terms,) or (images, terms)")
        return values.sum(axis=-1)

    def expand(self, index, values):
        return " + ".join(cell(self.values, *index, k) for k in range(values.shape[-1]))
