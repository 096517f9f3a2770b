"""The loss after the step as a function of the learning rate, and where it crosses the loss before."""

from dataclasses import dataclass

import numpy as np

from .step import ROUGH

NARROW = 33    # points that a search lays between two learning rates at a time
FEW = 5        # the same where each point takes long
MOST_CROSSINGS = 16
LOOKS = 3      # how often a place where the loss nearly passes is looked at more closely
FAR = 1000     # how many times the range of the picture is searched for a late rise


@dataclass(frozen=True, eq=False)
class Sweep:
    """Losses along one step's direction. `crossings` are all learning rates found where the loss equals the one before.

    Where the loss comes near the one before and turns back, the sweep looks three times more closely, 16 times each;
    a crossing to and fro that is narrower still is missed.
    """

    rates: np.ndarray
    losses: np.ndarray
    before: float
    crossings: tuple[float, ...]
    up_to: float

    @property
    def best(self) -> tuple[float, float]:
        """(learning rate, loss) where the sweep is lowest before it first rises above the start."""
        before = self.losses[self.rates <= (self.crossings[0] if self.crossings else np.inf)]
        at = int(np.argmin(before))
        return float(self.rates[at]), float(before[at])

    @property
    def points(self) -> list[tuple[float, float]]:
        """(learning rate, loss) pairs up to `up_to`, to draw."""
        return [(rate, loss) for rate, loss in zip(self.rates.tolist(), self.losses.tolist()) if rate <= self.up_to]


def sweep(step, up_to, count=None, far=FAR, foreseen=None) -> Sweep:
    """The losses up to `up_to`, evenly spaced, and every crossing up to `far` times as much.

    Beyond `up_to` the learning rates grow by a constant factor, so a late crossing is found only coarsely, and
    then refined like the others. A crossing that a model has `foreseen` is looked for even below the first of them.
    """
    count = count or step.fair_rates
    even = np.linspace(0, up_to, max(2, count * 7 // 10))
    near = even[1] * np.geomspace(1e-6, 0.5, max(2, count // 10))
    late = up_to * np.geomspace(1, far, max(2, count // 5))[1:] if far > 1 else []
    early = foreseen * np.linspace(0, 1.5, len(even))[1:] if foreseen and foreseen < 2 * near[0] else []
    rates = np.unique(np.concatenate([even[:1], early, near, even[1:], late]))
    losses = step.losses(rates)
    for _ in range(LOOKS):
        rates, losses = closer(step, rates, losses)
    return Sweep(rates, losses, step.before, crossings(step, rates, losses), float(up_to))


def closer(step, rates, losses):
    """The same with more points around each place where the loss comes near the one before and turns back."""
    turns = turning(losses - losses[0])[:MOST_CROSSINGS]
    if not len(turns):
        return rates, losses
    more = np.concatenate([np.linspace(rates[at - 1], rates[at + 1], NARROW)[1:-1] for at in turns])
    rates, first = np.unique(np.concatenate([rates, more]), return_index=True)
    return rates, np.concatenate([losses, step.losses(more)])[first]


def turning(height) -> np.ndarray:
    """Where three heights in a row make a top below 0, or a bottom above 0, that lies nearer to 0 than it is high."""
    left, middle, right = (np.abs(height)[start:len(height) - 2 + start] for start in range(3))
    sides = np.sign(height)
    same = (sides[:-2] == sides[1:-1]) & (sides[1:-1] == sides[2:]) & (middle > 0)
    with np.errstate(invalid="ignore"):
        return 1 + np.flatnonzero(same & np.isfinite(left + right) & (np.minimum(left, right) >= middle) & (np.maximum(left, right) > 2 * middle))


def crossings(step, rates, losses) -> tuple[float, ...]:
    """Every learning rate above 0 where the loss passes the one before: bracketed on the sweep, then narrowed."""
    height = losses - losses[0]
    noise = 8 * np.finfo(float).eps * abs(losses[0])
    known = np.flatnonzero(np.abs(height) > noise)
    above = height[known] > 0
    passes = np.flatnonzero(above[1:] != above[:-1])[:MOST_CROSSINGS]
    return tuple(narrowed(step, rates[known[at]], rates[known[at + 1]]) for at in passes)


def narrowed(step, low, high) -> float:
    """The learning rate between two at which the loss passes the one before, to the last digits.

    Of a large network to 9 digits, with fewer looks.
    """
    near, count = (ROUGH, FEW) if step.is_large else (2 * np.finfo(float).eps, NARROW)
    while True:
        rates = np.linspace(low, high, count)
        above = step.losses(np.concatenate([[0], rates]))
        above = above[1:] > above[0]
        at = int(np.argmax(above != above[0]))
        if at == 0 or not rates[at - 1] < rates[at] or (rates[at - 1], rates[at]) == (low, high):
            return float((low + high) / 2)
        low, high = rates[at - 1], rates[at]
        if high - low <= near * high:
            return float((low + high) / 2)
