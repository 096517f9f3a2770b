"""What is kept of a run: chosen lines of its steps, within a bound, and what its epochs came to."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from .settings import plain, whole


@dataclass
class Recorder:
    """Keeps chosen lines of a step's ledger, and the norms of others, at most `most` times over the whole run.

    When it is full, every second entry goes and from then on only every second step is kept. So it never holds more
    than `most` copies of the lines (`most_bytes`), and always spans the run from its first step on.
    """

    lines: tuple[str, ...] = ()
    norms: tuple[str, ...] = ()
    every: int = 1
    most: int = 200
    entries: list = field(default_factory=list, repr=False)  # (step, {name: value})
    taken: bool = field(default=False, init=False, repr=False, compare=False)  # by a run: it keeps the steps of one

    def __post_init__(self):
        for name in ("lines", "norms"):
            given = getattr(self, name)
            names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (None,)
            if not all(isinstance(each, str) for each in names):
                raise ValueError(f"recorder: {name} {given!r}: give a tuple of names")
            setattr(self, name, tuple(dict.fromkeys(names)))  # each once, and of an iterator what it gave
        for name in ("every", "most"):
            setattr(self, name, plain(getattr(self, name)))
            if not whole(getattr(self, name), 1):
                raise ValueError(f"recorder: {name} {getattr(self, name)!r}: give a whole number, 1 or more")

    @property
    def steps(self) -> list[int]:
        """The numbers of the steps that were kept."""
        return [step for step, _ in self.entries]

    @property
    def kept(self) -> list[dict]:
        """What was kept of each of them."""
        return [values for _, values in self.entries]

    def see(self, step, ledger):
        """Keep what is wanted of this step, if it is one of those that are kept."""
        while step % self.every == 0 and len(self.entries) >= self.most:
            twice = 2 * self.every
            left = [entry for entry in self.entries if entry[0] % twice == 0]
            self.every, self.entries = twice, left  # no call stands between the two, so no interrupt does
        if step % self.every == 0:  # in reading order, or a norm's last bit would depend on where the cells lie
            norms = {f"norm of {name}": np.linalg.norm(np.asarray(ledger[name], float, order="C")) for name in self.norms}
            self.entries.append((step, {name: ledger[name].copy() for name in self.lines} | norms))

    def forget(self, step):
        """Drop what was kept of this step and of later ones."""
        while self.entries and self.entries[-1][0] >= step:
            self.entries.pop()

    def __getitem__(self, name) -> np.ndarray:
        """(kept steps, ...): one line, or "norm of <line>", over the run."""
        if len({np.shape(entry[name]) for entry in self.kept}) > 1:
            raise ValueError(f"recorder: {name} has not the same shape in every step, as the last batch of an epoch "
                             "is smaller: read it step by step, from `kept`")
        return np.array([entry[name] for entry in self.kept])

    @property
    def bytes(self) -> int:
        """What it holds."""
        return sum(value.nbytes for entry in self.kept for value in entry.values())

    @property
    def most_bytes(self) -> int:
        """What it can come to hold; known from the first entry on, which is of a whole batch."""
        return self.most * sum(value.nbytes for value in self.entries[0][1].values()) if self.entries else 0


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part came to. The test part is only looked at: nothing is chosen by it."""

    loss: float           # mean over its pictures, each as its batch was trained
    accuracy: float       # share of right answers, before each step
    test_accuracy: float
    validation_loss: float | None = None


@dataclass(frozen=True, eq=False)
class Best:
    """The epoch (counted from 0) with the lowest validation loss, and the parameters after it."""

    epoch: int
    loss: float
    parameters: dict
