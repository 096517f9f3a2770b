"""Example 2's lost fully connected values: what the printed figures fix about them, and what they leave free.

A softmax over two classes sees its two logits only through their gap. So the printed figures can fix
no more than two differences, that of the weights and that of the biases, and nothing else matters.
"""

from dataclasses import dataclass
from math import exp, log

from ..examples import example_2
from ..ledger import run
from .figures import figures, interval, printed

IS_1, NOT_1 = 0, 1  # our order of the classes, the true one of the printed arithmetic first


@dataclass(frozen=True)
class Allowed:
    """The lowest and the highest value of each quantity that the printed digits leave room for."""

    p_true: tuple[float, float]
    d_conv: tuple[float, float]
    weight_gap: tuple[float, float]
    bias_gap: tuple[float, float]
    loss_after: tuple[float, float]


def logit_gaps(label=IS_1, d_conv=None) -> tuple[float, float]:
    """(w_true - w_other, b_true - b_other) that give the printed softmax and the printed update.

    `label` is the true class, 0 for "is 1" as the printed loss needs it, 1 for "not 1" as the label is
    printed. `d_conv` is dL/d conv; without it, the one that the printed step of the kernel's bias shows.
    """
    p_true = printed("softmax_is_1" if label == IS_1 else "softmax_not_1")
    return gaps(p_true, printed_d_conv() if d_conv is None else d_conv)


def gaps(p_true, d_conv) -> tuple[float, float]:
    """Solve dL/d conv = -(1 - p_true) * weight_gap and ln(p_true / (1 - p_true)) = weight_gap * conv + bias_gap."""
    weight_gap = -d_conv / (1 - p_true)
    return weight_gap, log(p_true / (1 - p_true)) - weight_gap * printed("conv")


def printed_d_conv() -> float:
    """dL/d conv = (old bias - new bias) / learning_rate, from the printed digits."""
    return (printed("kernel_bias") - printed("kernel_bias_after")) / printed("learning_rate_2")


def lost_values(w_true=0.0, b_true=0.0, label=IS_1, gaps=None) -> dict:
    """What to give `example_2.run(**...)` so that it fits the printed figures, whatever the true class's values are.

    `w_true` and `b_true` are free; the other class's follow from the gaps (those of `logit_gaps`
    unless others are given). Returns fc_weight, fc_bias and label.
    """
    weight_gap, bias_gap = gaps or logit_gaps(label)
    weights, biases = [w_true, w_true - weight_gap], [b_true, b_true - bias_gap]
    order = slice(None) if label == IS_1 else slice(None, None, -1)
    return {"fc_weight": [[weight] for weight in weights[order]], "fc_bias": biases[order], "label": label}


def allowed_gaps(label=IS_1) -> Allowed:
    """Within which limits the printed digits hold the gaps, and the loss after the step with them.

    Every corner of (p_true, dL/d conv) is worked out: the gaps and the loss rise or fall with either
    alone, so their extremes lie at corners.
    """
    p_true, d_conv = allowed_p_true(label), allowed_d_conv()
    corners = [gaps(p, d) for p in p_true for d in d_conv]
    losses = [loss_after(label, corner) for corner in corners]
    return Allowed(p_true, d_conv, *map(extremes, [*zip(*corners), losses]))


def allowed_p_true(label) -> tuple[float, float]:
    """From the two printed probabilities and from the printed loss, which is -ln of that of "is 1"."""
    low_loss, high_loss = interval(text("loss_2"))
    low_other, high_other = interval(text("softmax_not_1"))
    low, high = overlap([interval(text("softmax_is_1")), (1 - high_other, 1 - low_other),
                         (exp(-high_loss), exp(-low_loss))])
    return (low, high) if label == IS_1 else (1 - high, 1 - low)


def allowed_d_conv() -> tuple[float, float]:
    """From the printed steps of the kernel's bias and of its four cells: (old - new) / (learning_rate * image)."""
    rate = printed("learning_rate_2")
    steps = [(printed("kernel_bias"), text("kernel_bias_after"), rate)]
    cells = zip(printed("kernel_2"), text("kernel_after_2"), printed("image_2"))
    steps += [(old, new, rate * x) for row in cells for old, new, x in zip(*row)]
    return overlap([(low, high) for old, new, factor in steps
                    for low, high in [sorted((old - end) / factor for end in interval(new))]])


def loss_after(label, fitting_gaps) -> float:
    """The loss after one step of example 2 with these gaps, by running it."""
    before = example_2.run(**lost_values(label=label, gaps=fitting_gaps))
    return float(run(example_2.forward, **before.after())["loss"])


def text(name):
    return next(figure for figure in figures() if figure.id == name).printed


def extremes(values) -> tuple[float, float]:
    return min(values), max(values)


def overlap(intervals) -> tuple[float, float]:
    lows, highs = zip(*intervals)
    return max(lows), min(highs)
