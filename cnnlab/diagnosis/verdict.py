"""The diagnosis: its fields, and how it is written down."""

from dataclasses import dataclass
from functools import cached_property
from html import escape

import numpy as np

from ..arithmetic import board, number
from ..ledger import Ledger
from .case import Case
from .causes import GRADIENT, Cause, causes_of, shown
from .evidence import lines, product_sum, work

MOST_SHOWN = 5   # terms of a sum that are written out
MOST_KINKS = 8   # kinks that are listed
MOST_DEAD = 3    # units that are named where many die at once
BEYOND = f"beyond the largest number, {board(number(np.finfo(float).max))},"
LONGEST = 140    # letters of a worked loss; of a longer one the result alone is shown


def through(name, says) -> property:
    """A property that asks the case, so that what nobody looks at is not worked out."""
    return property(lambda self: getattr(self.case, name), doc=says)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """Why one step raised the loss, or how close it came. Prints as text, shows as HTML.

    `before`, `after` and `change` are those of the loss that was read; `trained_…` those of the loss that was
    trained, whose change is slope + curvature + rest. `arithmetic` is the ledger of that split. `case` holds all
    that was worked out; `step` and `reading` are the step seen by the two losses, and their `losses(rates)` draw L(η).
    """

    case: Case
    causes: tuple[Cause, ...]

    verdict = cached_property(lambda self: verdict(self.case, self.causes))
    advice = cached_property(lambda self: advice(self.case, self.causes))
    arithmetic = cached_property(lambda self: worked(self.case))
    evidence = cached_property(lambda self: evidence(self.case, self.causes, self.arithmetic))

    learning_rate = through("learning_rate", "The learning rate of the step.")
    before = through("before", "The loss that was read before the step.")
    after = through("after", "The loss that was read, or noted, after the step.")
    slope = through("slope", "Gradient times step: the change if the loss were straight; −η‖g‖² for gradient descent.")
    curvature = through("curvature", "½ step · H · step: what the bend at the start adds.")
    rest = through("rest", "What slope and curvature leave of the change of the loss that was trained.")
    model_threshold = through("model_threshold", "Where slope + curvature = 0: 2/λ along the gradient. None where they never are.")
    sweep = through("sweep", "L(η) of the loss that was trained, and every crossing.")
    kinks = through("kinks", "The ReLU and max-pool switches inside the step.")
    parts = through("parts", "What each sample or other class asks for; None where there is one, or the optimizer is another.")
    check = through("check", "The gradient check, where gradients were given.")
    step = through("step", "The step, seen by the loss that was trained.")
    reading = through("reading", "The step, seen by the loss that was read.")

    @property
    def trained_before(self) -> float:
        return self.step.before

    @property
    def trained_after(self) -> float:
        return self.step.after

    @property
    def change(self) -> float:
        return self.after - self.before

    @property
    def trained_change(self) -> float:
        return self.trained_after - self.trained_before

    @property
    def cause(self) -> str | None:
        """The kind of the first cause; None where the loss does not rise."""
        return self.causes[0].kind if self.causes else None

    @property
    def threshold(self) -> float | None:
        """The first learning rate at which the step no longer lowers the loss that was trained; None where none was found."""
        return self.sweep.crossings[0] if self.sweep.crossings else None

    @property
    def read_is_trained(self) -> bool:
        """Whether the loss that was read is the one that was trained, before the step and after it."""
        return (self.before, self.after) == (self.trained_before, self.trained_after)

    @property
    def text(self) -> str:
        return "\n".join([self.verdict, *(f"  {line}" for line in self.ranked), f"What to change: {self.advice}",
                          "The numbers:", *(f"  {line}" for line in self.evidence)])

    __repr__ = __str__ = lambda self: self.text

    @property
    def ranked(self) -> list[str]:
        """The causes, one a line, with how much of the rise each explains."""
        return [f"{at}. {cause.kind} ({shown(round(100 * cause.share, 1))} % of the rise): {cause.reason}"
                for at, cause in enumerate(self.causes, 1)]

    @property
    def html(self) -> str:
        items = "".join(f"<li><b>{escape(cause.kind)}</b>, {shown(round(100 * cause.share, 1))} % of the rise: {escape(cause.reason)}.</li>"
                        for cause in self.causes)
        numbers = "".join(f"<li><code>{escape(line)}</code></li>" for line in self.evidence)
        return (f'<div class="diagnosis"><p class="verdict"><strong>{escape(self.verdict)}</strong></p>'
                f"{f'<ol>{items}</ol>' if items else ''}<p><b>What to change:</b> {escape(self.advice)}</p><ul>{numbers}</ul></div>")

    def _repr_html_(self):
        return self.html


def diagnosis_of(case: Case) -> Diagnosis:
    case.ledger_before  # what cannot be worked out even before the step stops here, with the line and its values
    return Diagnosis(case, causes_of(case))


# The sentence

def verdict(case, causes) -> str:
    before, after = shown(case.before), shown(case.after) if case.overflow is None else BEYOND
    if causes:
        also = f"; beside that: {', '.join(cause.kind for cause in causes[1:])}" if causes[1:] else ""
        wrong = warning(case) if all(cause.kind != GRADIENT for cause in causes) else ""
        return f"The loss rises from {before} {'to ' * (case.overflow is None)}{after} because {causes[0].reason}{also}{wrong}."
    if case.rise >= -case.noise:
        return f"The loss stays at {before}: {standstill(case)}{warning(case)}."
    return f"The loss falls from {before} to {after}: {how_close(case)}{warning(case)}."


def standstill(case) -> str:
    if not case.learning_rate:
        return "the learning rate is 0"
    if not any(map(np.any, case.right.values())):
        return "the gradient is 0 in every parameter, so there is nothing to follow"
    return "the step is too small to be seen, or ends as high as it began"


def how_close(case) -> str:
    crossings, rate = case.sweep.crossings, case.learning_rate
    if case.slope >= 0:
        return "yet the first part of the step climbs"
    if not crossings:
        return f"no learning rate up to {farthest(case.sweep)} was found that raises it"
    if rate > crossings[0]:
        return f"the learning rate {shown(rate)} lies beyond {shown(crossings[0])}, where the loss rises first, and where it has come down again"
    return (f"the learning rate {shown(rate)} is {board(number(rate / crossings[0], 3))} times {shown(crossings[0])}, "
            "where a step in this direction stops paying")


def warning(case) -> str:
    """What is wrong although the loss does not rise."""
    if case.check is not None and not case.check.agrees:
        return f"; but the gradient is wrong ({case.check.named})"
    if case.read is not None and case.step.change > case.noise >= case.rise:
        return f"; but the loss that was trained rises from {shown(case.step.before)} to {shown(case.step.after)}"
    dead = case.kinks.dead if case.overflow is None else ()
    return f"; {counted(dead)} {'dies' if len(dead) == 1 else 'die'} in it, off everywhere after the step" if dead else ""


def counted(names) -> str:
    """All names where they are few; else the first ones `and 85 more`."""
    if len(names) <= MOST_DEAD + 1:  # "and 1 more" would be as long as its name
        return ", ".join(names)
    return f"{', '.join(names[:MOST_DEAD])} and {len(names) - MOST_DEAD} more"


def advice(case, causes) -> str:
    if causes:
        return causes[0].advice
    if case.check is not None and not case.check.agrees:
        return "Repair the gradient: that the loss falls does not make it right."
    if case.rise < -case.noise:
        return "Nothing has to change."
    if not any(map(np.any, case.right.values())):
        return "Look for what stops the gradient."
    crossings = case.sweep.crossings
    return f"Take a {'smaller' if crossings and 2 * case.learning_rate > crossings[0] else 'larger'} learning rate."


# The numbers

def worked(case) -> Ledger:
    """The split of the change as recorded arithmetic; where the loss after the step is no number, what it starts from."""
    step = case.step
    if case.overflow is not None:
        return work({"loss_before": step.before, "learning_rate": case.learning_rate})
    given = {"loss_before": step.before, "loss_after": step.after, "learning_rate": case.learning_rate}
    texts = {"change": "loss_after - loss_before"}
    if case.is_plain and case.used is case.right:
        add_products(given, texts, "gradient_squared", case.right, case.right, "d_{}", "d_{}")
        texts["slope"] = "-learning_rate*gradient_squared"
        bent = {name: -each for name, each in case.bent.items()}
        add_products(given, texts, "gradient_bent", case.right, bent, "d_{}", "bent_{}")
        texts["curvature"] = "1/2*learning_rate**2*gradient_bent"
        if case.model_threshold:
            texts |= {"sharpness": "gradient_bent/gradient_squared", "model_threshold": "2/sharpness"}
    else:
        add_products(given, texts, "slope", case.right, step.move, "d_{}", "step_{}")
        given["curvature"] = case.curvature
        if case.model_threshold and case.learning_rate:
            texts["model_threshold"] = "-learning_rate*slope/curvature"
    texts["rest"] = "change - slope - curvature"
    return work(given, **texts)


def add_products(given, texts, name, first, second, left, right):
    """A line for the sum over all parameters of first * second; of large ones only the result is recorded."""
    parts = []
    for each in first:
        names, shape = (left.format(each), right.format(each)), np.shape(first[each])
        text = product_sum(*names, shape)  # a sum of squares where both are the same
        if text is None:
            given[f"{name}_{each}"] = float(np.vdot(first[each], second[each]))
            parts.append(f"{name}_{each}")
        else:
            given |= dict(zip(names, (first[each], second[each])))
            parts.append(text)
    texts[name] = " + ".join(parts)


def evidence(case, causes, ledger) -> tuple[str, ...]:
    if case.overflow is not None:
        return f"before: {loss_line(case.ledger_before, case.reading.loss)}", f"after: {case.overflow}", searched(case.sweep)
    found = [f"{when}: {loss_line(ledger, case.reading.loss)}" for when, ledger in zip(("before", "after"), case.ledgers)]
    found += [f"trained: {ledger.explain('change')}"] if case.reading is not case.step else lines(ledger, "change")
    found += [short(case, ledger, name) for name in ("gradient_squared", "slope", "gradient_bent", "curvature") if name in ledger]
    found.append(rest(case, ledger))
    found += lines(ledger, "sharpness", "model_threshold")
    found.append(searched(case.sweep))
    found += [kink.where for kink in case.kinks][:MOST_KINKS]
    found += [f"… and {len(case.kinks) - MOST_KINKS} more kinks"] if len(case.kinks) > MOST_KINKS else []
    if case.check is not None:
        found += [f"check: {row}" for row in case.check.rows]
    for cause in causes:
        found += [line for line in cause.evidence if line not in found and f"check: {line}" not in found]
    return tuple(found)


SUMS = {"gradient_squared": "the sum of the squares of all {} gradients",
        "gradient_bent": "gradient times Hessian times gradient, over all {} parameters",
        "slope": "gradient times step, added up over all {} parameters",
        "curvature": "½ of step times Hessian times step"}


def short(case, ledger, name) -> str:
    """The worked line; of a long sum, what it is and its result."""
    made, count = ledger.line(name), sum(map(np.size, case.right.values()))
    if made and made.operation.text.count(" + ") < MOST_SHOWN:
        return str(ledger.explain(name))
    return f"{name} = {shown(ledger[name])}: {SUMS[name].format(count)}"


def rest(case, ledger) -> str:
    size = max(abs(case.slope), abs(case.curvature), abs(case.step.before))
    if abs(case.rest) <= 1e-13 * size:
        return "rest = change − slope − curvature = 0, to rounding"
    return str(ledger.explain("rest"))


def searched(sweep) -> str:
    if not sweep.crossings:
        return f"search: at no learning rate up to {farthest(sweep)} does the loss that was trained pass {shown(sweep.before)}"
    rates = [shown(rate) for rate in sweep.crossings]
    return f"search: the loss that was trained passes {shown(sweep.before)} at the learning rate{'s' * (len(rates) > 1)} {' and '.join(rates)}"


def farthest(sweep) -> str:
    return board(number(sweep.rates[-1], 2))


def loss_line(ledger, name) -> str:
    line = str(ledger.explain(name))
    return line if len(line) <= LONGEST else f"{name} = {shown(ledger[name])}"
