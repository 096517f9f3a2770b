"""Other ways to step than plain gradient descent: momentum and Adam, as more recorded lines.

Like `update`, each adds lines to a recipe that `backward` made, and ends with `new_w = w - learning_rate *
direction`. What an optimizer carries from step to step is given and updated by name: `kernel_velocity` and
`new_kernel_velocity`. `started` gives what is missing before the first step; `Ledger.after()` carries it on.
"""

from dataclasses import dataclass, fields

import numpy as np

from .gradients import update
from .ledger import Line, Recipe
from .ops import Descend, Name, Operation, cell
from .ops.base import check_alike, one_number

USUAL = {"momentum": 0.9, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8}


def share(name, value) -> float:
    """How much of an average stays: one number from 0 to below 1, else ValueError."""
    if not 0 <= (found := one_number(name, value)) < 1:
        raise ValueError(f"{name} {found:g} must be from 0 to below 1")
    return found


@dataclass(frozen=True)
class Velocity(Operation):
    """new_velocity = momentum * velocity + gradient

    velocity and gradient of one shape, momentum one number -> the same shape. The learning rate is not part of
    it, so the step is proportional to the learning rate; some books put it inside.
    """

    velocity: Name
    d_old: Name
    momentum: Name
    updates = "velocity"

    def compute(self, velocity, d_old, momentum):
        check_alike(self.velocity, velocity, self.d_old, d_old)
        return one_number(self.momentum, momentum) * velocity + d_old

    def expand(self, index, velocity, d_old, momentum):
        return f"{self.momentum}*{cell(self.velocity, *index)} + {cell(self.d_old, *index)}"


@dataclass(frozen=True)
class MovingAverage(Operation):
    """new_average = beta * average + (1 - beta) * gradient

    average and gradient of one shape, beta one number -> the same shape.
    """

    average: Name
    d_old: Name
    beta: Name
    updates = "average"

    def compute(self, average, d_old, beta):
        check_alike(self.average, average, self.d_old, d_old)
        stays = share(self.beta, beta)
        return stays * average + (1 - stays) * d_old

    def expand(self, index, average, d_old, beta):
        return f"{self.beta}*{cell(self.average, *index)} + (1 - {self.beta})*{cell(self.d_old, *index)}"


class MovingSquare(MovingAverage):
    """new_average = beta * average + (1 - beta) * gradient**2

    average and gradient of one shape, beta one number -> the same shape.
    """

    def compute(self, average, d_old, beta):
        check_alike(self.average, average, self.d_old, d_old)
        stays = share(self.beta, beta)
        return stays * average + (1 - stays) * d_old * d_old

    def expand(self, index, average, d_old, beta):
        return f"{super().expand(index, average, d_old, beta)}**2"


@dataclass(frozen=True)
class OneMore(Operation):
    """new_steps = steps + 1

    One number -> one number: the first step is step 1.
    """

    steps: Name
    updates = "steps"

    def compute(self, steps):
        if steps.ndim or steps < 0 or steps % 1:
            raise ValueError(f"{self.steps} {steps} must be one whole number, and not negative")
        return steps + 1

    def expand(self, index, steps):
        return f"{self.steps} + 1"


@dataclass(frozen=True)
class Unbiased(Operation):
    """out = average / (1 - beta**steps)

    average of any shape, beta and steps one number each -> the shape of average. A moving average that starts at 0
    is too small at first; this makes up for it. Source: Kingma & Ba 2015, section 3.
    """

    average: Name
    beta: Name
    steps: Name

    def compute(self, average, beta, steps):
        return average / (1 - share(self.beta, beta) ** int(one_number(self.steps, steps)))

    def expand(self, index, average, beta, steps):
        return f"{cell(self.average, *index)}/(1 - {self.beta}**{int(steps)})"


@dataclass(frozen=True)
class OverRoot(Operation):
    """out = average / (sqrt(square) + epsilon)

    Two arrays of one shape, epsilon one number -> the same shape. In the first step it is the sign of every gradient
    that is far larger than epsilon.
    """

    average: Name
    square: Name
    epsilon: Name

    def compute(self, average, square, epsilon):
        check_alike(self.average, average, self.square, square)
        return average / (np.sqrt(square) + one_number(self.epsilon, epsilon))

    def expand(self, index, average, square, epsilon):
        return f"{cell(self.average, *index)}/(sqrt({cell(self.square, *index)}) + {self.epsilon})"


def update_with_momentum(recipe, *parameters, learning_rate="learning_rate", momentum="momentum") -> Recipe:
    """The recipe with two lines for each parameter: `new_w_velocity`, and `new_w = w - learning_rate * new_w_velocity`."""
    lines = []
    for name in parameters:
        lines += [Line(f"new_{name}_velocity", Velocity(f"{name}_velocity", f"d_{name}", momentum)),
                  Line(f"new_{name}", Descend(name, f"new_{name}_velocity", learning_rate))]
    return Recipe(*recipe) + lines


def update_with_adam(recipe, *parameters, learning_rate="learning_rate", beta_1="beta_1", beta_2="beta_2",
                     epsilon="epsilon") -> Recipe:
    """The recipe with Adam's lines: two moving averages, both unbiased, and `new_w = w - learning_rate * w_direction`.

    Source: Kingma & Ba 2015, algorithm 1.
    """
    lines = [Line("new_steps", OneMore("steps"))]
    for name in parameters:
        lines += [Line(f"new_{name}_mean", MovingAverage(f"{name}_mean", f"d_{name}", beta_1)),
                  Line(f"new_{name}_square", MovingSquare(f"{name}_square", f"d_{name}", beta_2)),
                  Line(f"{name}_mean_unbiased", Unbiased(f"new_{name}_mean", beta_1, "new_steps")),
                  Line(f"{name}_square_unbiased", Unbiased(f"new_{name}_square", beta_2, "new_steps")),
                  Line(f"{name}_direction", OverRoot(f"{name}_mean_unbiased", f"{name}_square_unbiased", epsilon)),
                  Line(f"new_{name}", Descend(name, f"{name}_direction", learning_rate))]
    return Recipe(*recipe) + lines


OPTIMIZERS = {"gradient descent": update, "momentum": update_with_momentum, "Adam": update_with_adam}


def started(recipe, given) -> dict:
    """The given numbers with what an optimizer needs before its first step: zeros, and its usual settings."""
    missing = set(recipe.given) - set(given)
    values = dict(given)
    for _, operation in recipe:
        for field in fields(operation):
            if (name := getattr(operation, field.name)) in missing:
                values |= start(operation, field.name, name, given)
    return values


def start(operation, field, name, given) -> dict:
    """{name: its number before the first step}, or nothing where it is no matter of the optimizer."""
    if name in USUAL:
        return {name: USUAL[name]}
    if field != operation.updates or isinstance(operation, Descend):
        return {}
    of = getattr(operation, "d_old", "").removeprefix("d_")
    return {name: np.zeros_like(given[of], float) if of in given else 0.0}
