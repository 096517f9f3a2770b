"""What keeps a network from learning its examples by heart: dropout, and a price on large weights."""

from dataclasses import dataclass

import numpy as np

from .base import Name, Operation, cell, check_alike, one_number


@dataclass(frozen=True)
class Dropout(Operation):
    """out = values * kept / keep

    values and kept (1 where a cell stays, 0 where it is dropped) of one shape, keep one number in (0, 1], the
    share that stays on average -> the shape of values. Dividing by it keeps the mean, so that a network that is
    only used leaves the line out. The gradient is dropped likewise. Source: Srivastava et al. 2014.
    """

    values: Name
    kept: Name
    keep: Name

    def compute(self, values, kept, keep):
        check_alike(self.kept, kept, self.values, values)
        if keep.ndim or not 0 < keep <= 1:
            raise ValueError(f"{self.keep} {keep} must be one number above 0 and at most 1")
        return values * kept / keep.item()

    def expand(self, index, values, kept, keep):
        return f"{cell(self.values, *index)}*{cell(self.kept, *index)}/{self.keep}"

    def gradient(self, output, d_output):
        yield self.values, Dropout(d_output, self.kept, self.keep)


@dataclass(frozen=True)
class WeightPenalty(Operation):
    """L = strength/2 * sum of weight**2

    weight of any shape, strength one number -> one number that is added to the loss: L2 regularization, which
    pulls each weight towards 0 by strength * weight. Biases are left out. Source: Goodfellow, Bengio &
    Courville 2016, section 7.1.1.
    """

    weight: Name
    strength: Name

    def compute(self, weight, strength):
        one_number(self.strength, strength)
        cells = weight.ravel()
        return strength.astype(weight.dtype) / 2 * np.dot(cells, cells)  # vdot would conjugate a complex weight

    def expand(self, index, weight, strength):
        squares = " + ".join(f"{cell(self.weight, *at)}**2" for at in np.ndindex(weight.shape))
        return f"{self.strength}/2*({squares})"

    def gradient(self, output, d_output):
        yield self.weight, WeightPenaltyGradient(self.weight, self.strength, d_output)


@dataclass(frozen=True)
class WeightPenaltyGradient(Operation):
    """d_weight = d_out * strength * weight

    weight, strength and dL/dL (= 1) one number each -> the shape of weight.
    """

    weight: Name
    strength: Name
    d_output: Name

    def compute(self, weight, strength, d_output):
        return weight * (d_output * strength).astype(weight.dtype)

    def expand(self, index, weight, strength, d_output):
        return f"{self.d_output}*{self.strength}*{cell(self.weight, *index)}"
