"""What raised the loss: each possible cause tested by what the loss would have done without it.

The rise is taken apart one repair at a time: the slip in checking, the loss that was read, the wrong gradient,
the optimizer; what then still rises is a correct step of gradient descent, and is split into the switches it
crosses, the weights that its samples share, and the smooth bend of the loss.
"""

from dataclasses import dataclass

import numpy as np

from ..arithmetic import board, number
from ..explanation import label
from .case import Case
from .kinks import kinks
from .parts import SAMPLES
from .slips import AGAIN
from .step import dot

LEAST_SHARE = 0.01
SLIP, READING, BATCH, GRADIENT, MOMENTUM, ADAM, OPTIMIZER = "slip", "reading", "batch", "gradient", "momentum", "Adam", "optimizer"
KINK, SHARING, CLASSES, OVERSHOOT, UNEXPLAINED = "kink", "samples", "classes", "overshoot", "not explained"
ORDER = (SLIP, READING, BATCH, GRADIENT, MOMENTUM, ADAM, OPTIMIZER, KINK, SHARING, CLASSES, OVERSHOOT, UNEXPLAINED)


@dataclass(frozen=True)
class Cause:
    """One cause: its kind, how much of the rise it explains (as a number and as a share), why, and what to change."""

    kind: str
    amount: float
    share: float
    reason: str
    advice: str
    evidence: tuple[str, ...] = ()


def causes_of(case: Case) -> tuple[Cause, ...]:
    """Every cause that the numbers force, the one that explains most first; none where the loss does not rise."""
    if case.overflow is not None:
        return (too_far(case),)
    if not case.rise > case.noise:
        return ()
    found = [cause for cause in Search(case).all() if cause.share >= LEAST_SHARE]
    found.sort(key=lambda cause: (-round(cause.share, 6), -cause.amount, ORDER.index(cause.kind)))
    return tuple(found) or (unexplained(case),)


def shown(value) -> str:
    return board(number(value))


class Search:
    """The causes of one rise, each with the change of the loss that is left when it is repaired."""

    def __init__(self, case):
        self.case, self.rise = case, case.rise

    def cause(self, kind, amount, reason, advice, evidence=()):
        share = min(1.0, amount / self.rise) if np.isfinite(self.rise) else 1.0
        return Cause(kind, float(amount), float(share), reason, advice, tuple(evidence))

    def all(self):
        yield from self.slip()
        yield from self.reading()
        yield from self.trained()

    # What was read

    def slip(self):
        case = self.case
        amount = case.noted_after - case.reading.after
        if case.noted and amount > case.noise:
            found = "".join(f", {slip.cell} = {shown(slip.noted)} is {slip.guess}" for slip in case.slips if slip.guess)
            if case.slips:
                yield self.cause(SLIP, amount, f"the check has a slip{found}: without it the loss after the step is {shown(case.reading.after)}",
                                 AGAIN, map(str, case.slips))

    def reading(self):
        case, step = self.case, self.case.step
        amount = case.reading.change - step.change
        if case.read is None or amount <= case.noise:
            return
        trained = f"{'rises' if step.change > 0 else 'falls'} from {shown(step.before)} to {shown(step.after)}"
        kind, what, advice = self.what_was_read()
        yield self.cause(kind, amount, f"{what}: the loss that was trained {trained}", advice)

    def what_was_read(self):
        case, names = self.case, list(self.case.read_numbers)
        if isinstance(case.read, str):
            return READING, f"{case.read!r} was read and {case.loss!r} was trained", f"Read {case.loss}, or train {case.read}."
        if is_batch_of(case):
            batch, whole = (len(source[names[0]]) for source in (case.base.values, case.reading.values))
            return (BATCH, f"the step was made for a mini-batch of {batch} and is judged on all {whole}",
                    "Take larger batches or a smaller learning rate, and judge by the mean over many steps.")
        changed = " and ".join(f"another {name}" for name in names)
        return READING, f"the loss was read with {changed} than it was trained with", "Read the loss with the numbers that the gradient was made with."

    # What was trained

    def trained(self):
        case = self.case
        step = case.step
        if case.check is not None and not case.check.agrees:
            amount, uphill = self.without(step, case.right_step)
            if amount > case.noise:
                climbs = ", so the step climbs from its start" * uphill
                yield self.cause(GRADIENT, amount, f"the gradient is wrong ({case.check.named}){climbs}: with the right one the loss would "
                                 f"{go(step.before, case.right_step.after)}", "Repair the gradient; a gradient check finds the parameter.",
                                 map(str, case.check.rows))
                if uphill:
                    return
                step = case.right_step
        left = step
        if not case.is_plain and step.change > case.noise:
            amount, uphill = self.without(step, case.plain_step)
            if amount > case.noise:
                yield self.optimizer(amount, uphill)
                if uphill:
                    return
                left = case.plain_step
        if step.change > case.noise:
            yield from self.kink(step)
        if left.change > case.noise:
            yield from self.bend(left)

    def without(self, step, other) -> tuple[float, bool]:
        """(how much of the rise is the step's, and not the other's; whether all is, as only the step climbs from its start).

        The other may go down at first and end higher still: that it is too long explains nothing of this step.
        """
        amount = step.change - other.change
        uphill = bool(amount <= self.case.noise < step.change and dot(self.case.right, step.direction) >= 0)
        return (step.change if uphill else amount), uphill

    def optimizer(self, amount, uphill):
        case, plain = self.case, self.case.plain_step
        compared = f"plain gradient descent with the same learning rate would let the loss {go(plain.before, plain.after)}"
        if "steps" in case.start and case.optimizer_kind == ADAM:
            first = "first " * (float(case.start["steps"]) == 0)
            sizes = [float(np.abs(each).max()) for each in case.right_step.direction.values()]
            return self.cause(ADAM, amount, f"Adam’s {first}step is up to {board(number(max(sizes), 3))} times the learning rate in every "
                              f"parameter, however small its gradient: {compared}", "Take a smaller learning rate with Adam; 0.001 is usual.",
                              map(self.stretched, case.parameters))
        if case.optimizer_kind == MOMENTUM:
            where = "uphill from its start" if uphill else "past"
            return self.cause(MOMENTUM, amount, f"the velocity that momentum carried on takes the step {where}: {compared}",
                              "Take a smaller learning rate or less momentum, or start again with no velocity.", self.carried())
        return self.cause(OPTIMIZER, amount, f"the optimizer’s direction is to blame: {compared}", "Compare with plain gradient descent.")

    def stretched(self, name) -> str:
        """The cell of a parameter whose step is largest for its gradient."""
        case = self.case
        gradient, move = case.right[name], case.right_step.move[name]
        at = np.unravel_index(np.argmin(np.where(move == 0, np.inf, np.abs(gradient))), np.shape(gradient))
        return f"{label(name, at, np.shape(gradient))}: gradient {shown(gradient[at])}, step {shown(move[at])}"

    def carried(self) -> list[str]:
        """What the gradient's own part of the step asks for, and what the carried part adds."""
        case = self.case
        own, whole = (dot(case.right, step.move) for step in (case.plain_step, case.right_step))
        return [f"slope of the gradient’s own part of the step: {shown(own)}", f"slope of the carried part: {shown(whole - own)}"]

    def kink(self, step):
        case, smooth = self.case, self.case.smooth(step)
        amount, found = step.after - smooth.after, case.kinks if step is case.step else kinks(step)
        if len(found) and amount > case.noise:
            first, more = next(iter(found)).where, f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            yield self.cause(KINK, amount, f"the step crosses a kink, {first}{more}: had nothing switched, the loss would "
                             f"{go(step.before, smooth.after)}", self.smaller())

    def bend(self, step):
        case, whole = self.case, step.change
        smooth = case.smooth(step).change
        parts = case.parts if step is case.plain_step else None
        if parts is not None and parts.disagree and whole - parts.own_change > case.noise and parts.own_change < whole:
            yield self.sharing(parts, whole)
            smooth = min(smooth, parts.own_change)
        if smooth > case.noise:
            yield self.overshoot(smooth, step)

    def sharing(self, parts, whole):
        helped = [part.name for part in parts if part.helped]
        hurt = [part.name for part in parts if part.hurt]
        kind = SHARING if parts.kind == SAMPLES else CLASSES
        own = "fall" if parts.own_change < 0 else "rise only"
        return self.cause(kind, whole - parts.own_change, f"they share their weights, and at this learning rate what helps "
                          f"{listed(helped)} hurts {listed(hurt)}: if each had its own copy of the weights, the loss would "
                          f"{own} by {shown(abs(parts.own_change))}", self.smaller(),
                          [f"{part.name}: {shown(part.before)} before, {shown(part.alone)} after its own pull alone, "
                           f"{shown(part.together)} after the whole step" for part in parts])

    def overshoot(self, amount, step):
        case = self.case
        threshold = next((rate for rate in case.sweep.crossings if rate <= case.learning_rate), None)
        if threshold is None or step is not case.step:
            return self.cause(OVERSHOOT, amount, "the step is too long: the loss bends up before it ends", self.smaller())
        return self.cause(OVERSHOOT, amount, f"the step is too long: the learning rate {shown(case.learning_rate)} is "
                          f"{shown(case.learning_rate / threshold)} times {shown(threshold)}, where a step in this direction stops paying",
                          self.smaller())

    def smaller(self) -> str:
        case = self.case
        threshold = next((rate for rate in case.sweep.crossings if rate <= case.learning_rate), None)
        rate, loss = case.sweep.best
        if threshold is None or case.slope >= 0:
            return "Take a smaller learning rate."
        return f"Take a learning rate below {shown(threshold)}; in this direction the loss is lowest near {board(number(rate, 2))}, at {board(number(loss, 3))}."


def go(before, after) -> str:
    """`fall to 3.2`, in plain words."""
    return f"{'fall' if after < before else 'rise' if after > before else 'stay'} {'at' if after == before else 'to'} {shown(after)}"


def listed(names) -> str:
    """`sample 2`, `samples 0, 1 and 3`, `9 samples`; `classes 0 and 2`."""
    word, numbers = names[0].split()[0], [name.split()[1] for name in names]
    if len(names) == 1:
        return names[0]
    words = {"class": "classes"}.get(word, f"{word}s")
    return f"{len(names)} {words}" if len(names) > 4 else f"{words} {', '.join(numbers[:-1])} and {numbers[-1]}"


def is_batch_of(case) -> bool:
    """Whether the rows that were trained are among the rows that were read, and fewer."""
    names = list(case.read_numbers)
    trained, read = case.base.values, case.reading.values
    data = [name for name in names if name in trained and np.ndim(trained[name]) and np.ndim(read[name])]
    if not names or data != names or any(len(trained[name]) >= len(read[name]) for name in names):
        return False
    return all(any(all(np.array_equal(trained[name][n], read[name][m]) for name in names) for m in range(len(read[names[0]])))
               for n in range(len(trained[names[0]])))


def too_far(case) -> Cause:
    """The loss after the step is no number: no part of it can be taken off."""
    with np.errstate(all="ignore"):
        return Cause(OVERSHOOT, np.inf, 1.0, f"the step is too long: after it, {case.overflow}", Search(case).smaller())


def unexplained(case) -> Cause:
    return Cause(UNEXPLAINED, case.rise, 1.0, "no cause that was looked for explains it", "Check how the numbers were written down and read.")
