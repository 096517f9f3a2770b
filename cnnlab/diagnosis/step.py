"""The step itself: where it starts, which way it leads, and the loss anywhere along it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import stacks
from ..ledger import Recipe, replay

MOST_RATES = 1000  # learning rates of a sweep; fewer on networks that would take long
WORK = 10_000_000  # numbers that a sweep may work out
FEWEST_RATES = 40
ROUGH = 1e-9       # how closely a place is looked for on a large network; to the last digits on others


@dataclass(frozen=True, eq=False)
class Step:
    """From `values` to `values + learning_rate * direction`, seen by one loss."""

    recipe: Recipe
    values: dict
    direction: dict
    learning_rate: float
    loss: str = "loss"

    def at(self, rate) -> dict:
        """The numbers after a step of that learning rate."""
        return self.values | {name: self.values[name] + rate * way for name, way in self.direction.items()}

    def stacked(self, rates) -> dict:
        """What moves, with one entry for each learning rate."""
        rates = np.asarray(rates, float)
        return {name: self.values[name] + rates.reshape(-1, *(1,) * np.ndim(way)) * way
                for name, way in self.direction.items()}

    def losses(self, rates) -> np.ndarray:
        """The loss after the step, for every learning rate: L(w + rate * direction)."""
        return stacks.losses(self.recipe, self.values, self.stacked(rates), self.loss)

    def trials(self, rates) -> dict:
        """Every value on the way to the loss, with one entry for each learning rate."""
        with np.errstate(all="ignore"):
            return stacks.trials(self.recipe, self.values, self.stacked(rates))

    @cached_property
    def before(self) -> float:
        return self.loss_at(0)

    @cached_property
    def after(self) -> float:
        return self.loss_at(self.learning_rate)

    @property
    def change(self) -> float:
        """The loss after the step minus the loss before it."""
        return self.after - self.before

    def loss_at(self, rate) -> float:
        with np.errstate(all="ignore"):
            found = float(replay(self.recipe, self.at(rate))[self.loss])
        return np.inf if np.isnan(found) else found

    @cached_property
    def fair_rates(self) -> int:
        """How many learning rates a sweep of this network can afford."""
        size = stacks.cells(self.recipe, self.values, self.stacked([0]))
        return int(np.clip(WORK // size, FEWEST_RATES, MOST_RATES))

    @property
    def is_large(self) -> bool:
        """Whether every look at this network takes long: LeNet-5 on a batch."""
        return self.fair_rates == FEWEST_RATES

    def towards(self, direction) -> "Step":
        """The same start and learning rate in another direction."""
        return replace(self, direction=direction)

    @property
    def move(self) -> dict:
        """What the step adds to each parameter."""
        return {name: self.learning_rate * way for name, way in self.direction.items()}


def dot(first, second) -> float:
    """The sum over all cells of two sets of arrays of first * second."""
    return float(sum(np.vdot(first[name], second[name]) for name in second))
