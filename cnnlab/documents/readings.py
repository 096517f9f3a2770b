"""What slip comes nearest to the printed rise of the loss? Each is tried with the recorded operations."""

from dataclasses import dataclass, field
from itertools import product
from math import hypot, log

from ..examples import example_2
from ..gradients import held
from ..ledger import Ledger, Recipe, run
from ..ops import Descend, Name, Operation, cell
from . import table
from .figures import printed
from .lost import IS_1, NOT_1, logit_gaps, lost_values, printed_d_conv

RIGHT = ""


@dataclass(frozen=True)
class Ascend(Operation):
    """new = old + learning_rate * gradient

    The slip of a flipped sign: the update climbs.
    """

    old: Name
    d_old: Name
    learning_rate: Name
    updates = "old"

    def compute(self, old, d_old, learning_rate):
        return old + d_old * float(learning_rate)

    def expand(self, index, old, d_old, learning_rate):
        return f"{cell(self.old, *index)} + {self.learning_rate}*{cell(self.d_old, *index)}"


def layer_update(step=Descend, rate=1, weight=True, bias=True):
    """A way to update the fully connected layer: how, at how many times the rate, and which of its two parameters."""
    def updated(ledger) -> dict:
        names = ["fc_weight"] * weight + ["fc_bias"] * bias
        recipe = Recipe(**{f"new_{name}": step(name, f"d_{name}", "rate") for name in names})
        given = {name: ledger[name] for name in recipe.given if name != "rate"}
        after = run(recipe, **given, rate=rate * ledger["learning_rate"])
        return {name: after[f"new_{name}"] for name in names}
    return updated


LABELS = {RIGHT: IS_1, "label [1, 0] taken as printed": NOT_1}
EVERY_SIGN = "every update added instead of subtracted"
UPDATES = {
    RIGHT: layer_update(),
    EVERY_SIGN: layer_update(Ascend),
    "fully connected update added instead of subtracted": layer_update(Ascend),
    "fully connected layer not updated": layer_update(weight=False, bias=False),
    "fully connected bias not updated": layer_update(bias=False),
    "fully connected weights not updated": layer_update(weight=False),
    "fully connected rate ten times larger": layer_update(rate=10),
    "fully connected rate ten times smaller": layer_update(rate=0.1),
}
CONVOLUTIONS = {
    RIGHT: lambda before: {},
    "convolution's sum cut after its first term": lambda before: {"conv": first_term(before)},
    "convolution's sum without its bias": lambda before: {"kernel_bias": 0},
    "convolution's bias not updated": lambda before: {"kernel_bias": before["kernel_bias"]},
    "convolution not updated": lambda before: {each: before[each] for each in ("kernel", "kernel_bias")},
}
CLASSES = {RIGHT: IS_1, 'read off the class "not 1"': NOT_1}


@dataclass(frozen=True)
class Reading:
    """One way to read the example, with what it comes to after the step.

    `p` and `loss` are those of the class that is read, before the step in `p_before` and `loss_before`;
    `trained` is the loss that the step trained, before and after. `distance` is the straight-line
    distance of (p, loss) from the printed pair.
    """

    slips: tuple[str, ...]
    p: float
    loss: float
    distance: float
    p_before: float
    loss_before: float
    trained: tuple[float, float]
    before: Ledger = field(repr=False, compare=False)
    after: Ledger = field(repr=False, compare=False)

    @property
    def description(self) -> str:
        """The slips in words."""
        return ", ".join(self.slips) or "no slip: every step done right"


@dataclass(frozen=True)
class Readings:
    """Readings, the nearest to the printed rise first. Shows as a table."""

    rows: tuple[Reading, ...]
    caption: str
    most: int

    HEAD = "Reading", "Softmax read", "Loss read", "Loss trained", "Distance"

    @property
    def cells(self):
        return [(each.description, change(each.p_before, each.p), change(each.loss_before, each.loss),
                 change(*each.trained), f"{each.distance:.3f}") for each in self.rows[:self.most]]

    @property
    def text(self) -> str:
        """The table as plain text, at most 100 columns wide."""
        return table.text(self.caption, self.HEAD, self.cells, widths=(42, 13, 13, 13, 8))

    @property
    def html(self) -> str:
        """The table as HTML that needs no other file."""
        rows = [(name, *map(table.in_lines, rest)) for name, *rest in self.cells]
        return table.html(self.caption, self.HEAD, rows)

    __repr__ = __str__ = lambda self: self.text

    def _repr_html_(self):
        return self.html


def change(before, after) -> str:
    return f"{before:.3f} → {after:.3f}"


def nearest_readings(slips=1, most=8) -> Readings:
    """Every reading with at most `slips` slips, sorted by how near it comes to the printed 0.581 and 0.542.

    The distance is that of the pair (softmax, loss), as a straight line. A slip is a label, an update,
    a convolution or a class read otherwise than the printed arithmetic needs. The lost values
    are fitted to each label anew, so that the printed softmax, the printed kernel and its bias after the
    step come out under every reading. Shows the nearest `most`; `rows` has all.
    """
    every = [read for choice in product(LABELS, UPDATES, CONVOLUTIONS, CLASSES)
             if sum(map(bool, choice)) <= slips for read in [reading(*choice)]]
    every.sort(key=lambda each: (round(each.distance, 9), len(each.slips), each.slips))
    target = f"softmax {target_p()} and loss {target_loss()}"
    number = f"at most {slips} slips" if slips != 1 else "at most one slip"
    return Readings(tuple(every), f"Which slip comes nearest to the printed {target}? "
                    f"The nearest of {len(every)} readings with {number}", most)


def reading(label, update, convolution, read) -> Reading:
    """Take the step, slip as told, and read the result."""
    d_conv = -printed_d_conv() if update == EVERY_SIGN else printed_d_conv()
    before = example_2.run(**lost_values(label=LABELS[label], gaps=logit_gaps(LABELS[label], d_conv)))
    conv = {each: printed(f"{each}_after{'_2' * (each == 'kernel')}") for each in ("kernel", "kernel_bias")}
    values = {name: before[name] for name in example_2.given} | conv | UPDATES[update](before)
    values = {name: values[name] for name in example_2.given} | CONVOLUTIONS[convolution](before)
    after = run(held(example_2.forward, "conv") if "conv" in values else example_2.forward, **values)
    p_before, p = (float(ledger["p"][CLASSES[read]]) for ledger in (before, after))
    return Reading(tuple(filter(None, (label, update, convolution, read))), p, -log(p),
                   hypot(p - target_p(), -log(p) - target_loss()), p_before, -log(p_before),
                   (float(before["loss"]), float(after["loss"])), before, after)


def first_term(before):
    """The convolution after the step as it is printed: 0.2×0.4933 and no more."""
    return [[before["image"][0, 0] * printed("kernel_after_2")[0][0]]]


def target_p() -> float:
    return printed("softmax_after")


def target_loss() -> float:
    return printed("loss_after_2")
