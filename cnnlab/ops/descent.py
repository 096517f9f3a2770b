"""How a parameter moves: plain gradient descent."""

from dataclasses import dataclass

from .base import Name, Operation, cell, check_alike


@dataclass(frozen=True)
class Descend(Operation):
    """new = old - learning_rate * gradient

    old and gradient of one shape, learning_rate one number >= 0 -> the shape of old. The old value stays
    as it was: the new one is a line of its own.
    """

    old: Name
    d_old: Name
    learning_rate: Name
    updates = "old"

    def compute(self, old, d_old, learning_rate):
        if learning_rate.ndim or (rate := learning_rate.item()) < 0:
            raise ValueError(f"{self.learning_rate} {learning_rate} must be one number, and not negative")
        check_alike(self.old, old, self.d_old, d_old)
        return old - d_old * rate

    def expand(self, index, old, d_old, learning_rate):
        return f"{cell(self.old, *index)} - {self.learning_rate}*{cell(self.d_old, *index)}"
