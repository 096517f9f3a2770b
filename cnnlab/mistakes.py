"""Slips that people make when they write a network, each as an operation that makes it, to be planted on purpose.

They are recorded and explained like the right operations, so a learner can see the wrong arithmetic.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, NamedTuple

import numpy as np

from .ledger import Line, Recipe
from .ops import (BiasGradient, CrossEntropyGradient, HalfSquaredErrorGradient, KernelGradient, Operation, ReLU,
                  ReLUGradient, Same, SoftmaxCrossEntropyGradient, TransposedCorrelate, cell)
from .ops.base import add


@dataclass(frozen=True)
class FirstPositionOnly(BiasGradient):
    """d_bias[c] = d_out[c,0,0]

    Forgets that the bias was added at every position.
    """

    def compute(self, d_output, bias):
        first = d_output[..., 0, 0] if d_output.ndim - bias.ndim > 1 else d_output  # rows have no positions
        return first.reshape(-1, *bias.shape)[0]

    def expand(self, index, d_output, bias):
        corner = (0, 0) if d_output.ndim - bias.ndim > 1 else ()
        lead = d_output.ndim - len(corner) - len(index)
        return cell(self.d_output, *(0,) * lead, *index, *corner)


@dataclass(frozen=True)
class AverageOverPositions(KernelGradient):
    """d_kernel[c,u,v] = (sum over i, j of image[c,i+u,j+v] * d_out[i,j]) / number of positions

    Takes the mean where the chain rule takes the sum.
    """

    def compute(self, image, d_output, kernel):
        return super().compute(image, d_output, kernel) / np.prod(d_output.shape[-2:])

    def expand(self, index, image, d_output, kernel):
        return f"({super().expand(index, image, d_output, kernel)})/{np.prod(d_output.shape[-2:])}"


@dataclass(frozen=True)
class LastWindowWins(TransposedCorrelate):
    """d_image[y,x] = kernel[u,v] * d_out[i,j] for the last window alone that holds (y, x)

    Writes `=` where the chain rule adds up, `+=`.
    """

    def compute(self, d_output, kernel, image):
        geometry = self.geometry(image, kernel)
        if any(geometry.padding) or image.ndim != 2 or kernel.ndim != 2:
            raise ValueError(f"this slip is shown on one map without padding, not on {self.image} {image.shape}")
        (down, right), d_image = geometry.stride, np.zeros_like(image)
        for i, j in np.ndindex(geometry.map):
            d_image[i * down:i * down + len(kernel), j * right:j * right + kernel.shape[1]] = kernel * d_output[i, j]
        return d_image

    def expand(self, index, d_output, kernel, image):
        return super().expand(index, d_output, kernel, image).split(" + ")[-1]


@dataclass(frozen=True)
class UnflippedInputGradient(TransposedCorrelate):
    """d_image[y,x] = sum over i, j of kernel[KH-1-u, KW-1-v] * d_out[i,j]

    Slides the kernel over the gradient without turning it around by 180 degrees.
    """

    def compute(self, d_output, kernel, image):
        return super().compute(d_output, kernel[..., ::-1, ::-1], image)

    def expand(self, index, d_output, kernel, image):
        height, width = kernel.shape[-2:]
        turned = {cell(self.kernel, *at): cell(self.kernel, *at[:-2], height - 1 - at[-2], width - 1 - at[-1])
                  for at in np.ndindex(kernel.shape)}
        terms = super().expand(index, d_output, kernel, image).split(" + ")
        return add("*".join(turned.get(factor, factor) for factor in term.split("*")) for term in terms)


@dataclass(frozen=True)
class Spoilt(Operation):
    """A right operation whose result is then spoilt in one way."""

    right: Operation

    @cached_property
    def inputs(self):
        return self.right.inputs

    def __str__(self):
        return f"{type(self).__name__}({self.right})"


@dataclass(frozen=True)
class TurnedSign(Spoilt):
    """out = -(the right gradient)

    target - output for output - target, y - p for p - y.
    """

    def compute(self, *values):
        return -self.right.compute(*values)

    def expand(self, index, *values):
        return f"-({self.right.expand(index, *values)})"


@dataclass(frozen=True)
class Doubled(Spoilt):
    """out = 2 * (the right gradient)

    The half in front of the squared error forgotten.
    """

    def compute(self, *values):
        return 2 * self.right.compute(*values)

    def expand(self, index, *values):
        return f"2*({self.right.expand(index, *values)})"


@dataclass(frozen=True)
class AveragedOverImages(Spoilt):
    """out = (the right gradient) / number of images

    The mean where the loss is a sum, or the mean taken twice.
    """

    def compute(self, *values):
        return self.right.compute(*values) / images(values[0])

    def expand(self, index, *values):
        return f"({self.right.expand(index, *values)})/{images(values[0])}"


@dataclass(frozen=True)
class Missing(Spoilt):
    """out = 0

    The gradient is forgotten, so the parameter never moves.
    """

    def compute(self, *values):
        return 0 * self.right.compute(*values)

    def expand(self, index, *values):
        return f"0*({self.right.expand(index, *values)})"


@dataclass(frozen=True)
class Transposed(Spoilt):
    """out[u,v] = (the right gradient)[v,u]

    Rows and columns of a square kernel exchanged.
    """

    def compute(self, *values):
        right = self.right.compute(*values)
        if right.ndim < 2 or right.shape[-1] != right.shape[-2]:
            raise ValueError(f"this slip is shown on a square kernel, not on a gradient {right.shape}")
        return right.swapaxes(-1, -2)

    def expand(self, index, *values):
        return self.right.expand((*index[:-2], index[-1], index[-2]), *values)


def images(values) -> int:
    """How many images a value is of: the first axis of rows or of maps with channels."""
    return len(values) if values.ndim in (2, 4) else 1


class Mistake(NamedTuple):
    """A slip by name: the operation it replaces, and what stands there instead."""

    label: str
    instead_of: type | tuple[type, ...]
    plant: Callable[[Operation], Operation]


MISTAKES = {
    "relu": Mistake("ReLU forgotten", ReLU, lambda right: Same(right.values)),
    "gate": Mistake("ReLU’s gradient lets everything through", ReLUGradient, lambda right: Same(right.d_output)),
    "bias": Mistake("bias gradient taken from the first position only", BiasGradient,
                    lambda right: FirstPositionOnly(right.d_output, right.bias)),
    "mean": Mistake("kernel gradient averaged over positions, not summed", KernelGradient,
                    lambda right: AverageOverPositions(right.image, right.d_output, right.kernel, **right.common())),
    "overwrite": Mistake("input gradient written with = for +=", TransposedCorrelate,
                         lambda right: LastWindowWins(right.d_output, right.kernel, right.image, **right.common())),
    "unflipped": Mistake("input gradient with the kernel not turned around", TransposedCorrelate,
                         lambda right: UnflippedInputGradient(right.d_output, right.kernel, right.image, **right.common())),
}

LOSS_GRADIENTS = (HalfSquaredErrorGradient, SoftmaxCrossEntropyGradient, CrossEntropyGradient)
WRONG_GRADIENTS = {  # those that a gradient check tells apart from the numbers alone, beside "gate" and "unflipped"
    "sign": Mistake("every gradient with its sign turned around", LOSS_GRADIENTS, TurnedSign),
    "twice": Mistake("every gradient twice as large", LOSS_GRADIENTS, Doubled),
    "images": Mistake("every gradient divided by the number of images", LOSS_GRADIENTS, AveragedOverImages),
    "no bias": Mistake("bias gradient missing", BiasGradient, Missing),
    "transposed": Mistake("kernel gradient with rows and columns exchanged", KernelGradient, Transposed),
    "wrong gate": Mistake("ReLU’s gradient gated on the gradient that arrives", ReLUGradient,
                          lambda right: ReLUGradient(right.d_output, right.d_output)),
}
ALL = MISTAKES | WRONG_GRADIENTS


def planted(recipe, name, only=None) -> Recipe:
    """The recipe with one mistake in the place of every right operation of its kind, or only in one line."""
    _, instead_of, plant = ALL[name]
    kinds = instead_of if isinstance(instead_of, tuple) else (instead_of,)
    return Recipe(*(Line(line.name, plant(line.operation))
                    if type(line.operation) in kinds and only in (None, line.name) else line for line in recipe))


def places(recipe, name) -> list[str]:
    """The lines in which a mistake can be planted."""
    kinds = ALL[name].instead_of if isinstance(ALL[name].instead_of, tuple) else (ALL[name].instead_of,)
    return [line.name for line in recipe if type(line.operation) in kinds]
