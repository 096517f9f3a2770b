"""Slips that people make when they write a network, each as an operation that makes it, to be planted on purpose.

They are recorded and explained like the right operations, so a learner can see the wrong arithmetic.
"""

from dataclasses import dataclass
from typing import Callable, NamedTuple

import numpy as np

from .ledger import Line, Recipe
from .ops import BiasGradient, KernelGradient, Operation, ReLU, ReLUGradient, Same, TransposedCorrelate, cell
from .ops.base import add


@dataclass(frozen=True)
class FirstPositionOnly(BiasGradient):
    """d_bias[c] = d_out[c,0,0]

    Forgets that the bias was added at every position.
    """

    def compute(self, d_output, bias):
        first = d_output[..., 0, 0] if d_output.ndim > 1 else d_output
        return first.reshape(-1, *bias.shape)[0]

    def expand(self, index, d_output, bias):
        corner = (0, 0) if d_output.ndim > 1 else ()
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


class Mistake(NamedTuple):
    """A slip by name: the operation it replaces, and what stands there instead."""

    label: str
    instead_of: type
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


def planted(recipe, name) -> Recipe:
    """The recipe with one mistake in the place of every right operation of its kind."""
    _, instead_of, plant = MISTAKES[name]
    return Recipe(*(Line(line.name, plant(line.operation)) if type(line.operation) is instead_of else line
                    for line in recipe))
