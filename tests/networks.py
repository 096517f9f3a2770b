"""What the tests share: networks with every operation, the operations written again, a reader of printed arithmetic."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import autograd.numpy as anp
import numpy as np

from cnnlab import (Add, AddBias, AveragePool, Connect, Correlate, CrossEntropy, Dropout, Exponential, Flatten,
                    FullyConnected, HalfSquaredError, MaxPool, Negate, Products, Recipe, ReLU, Same, Scale, ScaledTanh, Sigmoid,
                    Softmax, SoftmaxCrossEntropy, SquaredDistance, SumPool, Tanh, Total, WeightPenalty, backward, run, update)
from cnnlab.examples import example_1, example_2, example_2_step_by_step, twin


@dataclass(frozen=True, eq=False)
class Network:
    """A forward recipe with numbers, and what is trained."""

    forward: Recipe
    parameters: tuple[str, ...]
    given: dict

    @cached_property
    def recipe(self) -> Recipe:
        """One whole step: forward, every gradient, every update."""
        return update(backward(self.forward), *self.parameters)

    @cached_property
    def step(self):
        """The ledger of one whole step."""
        return run(self.recipe, **self.given)

    @cached_property
    def smooth(self) -> tuple[str, ...]:
        """The given numbers that get a gradient: all but what the output is compared with, and settings of a run."""
        return tuple(name for name in self.forward.given if name not in ("label", "target", "kept", "keep", "strength"))


def network(seed, shapes, parameters, **lines):
    """A network whose numbers are drawn; labels, lists and fractions are given as they are."""
    rng = np.random.default_rng(seed)
    given = {name: shape for name, shape in shapes.items() if name == "label" or isinstance(shape, list | float)}
    given |= {name: rng.normal(size=shape) / 2 for name, shape in shapes.items() if name not in given}
    return Network(Recipe(**lines), tuple(parameters), given | {"learning_rate": 0.1})


NETWORKS = {
    **{name: Network(example.forward, example.parameters, example.given) for name, example in
       {"example 1": example_1, "example 2": example_2, "example 2, step by step": example_2_step_by_step,
        "twin": twin}.items()},
    # two colour images, four kernels, both settings different in height and width, windows that overlap
    "colour batch": network(
        1, {"image": (2, 3, 6, 5), "kernel": (4, 3, 3, 2), "kernel_bias": 4, "fc_weight": (3, 24), "fc_bias": 3,
            "label": [2, 0]}, ["kernel", "kernel_bias", "fc_weight", "fc_bias"],
        products=Products("image", "kernel", stride=(2, 1), padding=(1, 0)),
        conv_sum=Correlate("image", "kernel", stride=(2, 1), padding=(1, 0)),
        conv=AddBias("conv_sum", "kernel_bias"),
        bent=Tanh("conv"),
        pooled=MaxPool("bent", size=2, stride=1),
        flat=Flatten("pooled"),
        fc_sum=FullyConnected("flat", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        exponentials=Exponential("logits"),
        total=Total("exponentials"),
        loss=SoftmaxCrossEntropy("logits", "label")),
    # a grey picture through two convolutions; the softmax class by class
    "two layers": network(
        4, {"image": (6, 6), "kernel": (2, 1, 3, 3), "kernel_bias": 2, "kernel_2": (3, 2, 2, 2), "kernel_2_bias": 3,
            "fc_weight": (3, 12), "fc_bias": 3, "label": 1}, ["kernel", "kernel_2", "fc_weight"],
        conv_sum=Correlate("image", "kernel", padding=1),
        conv=AddBias("conv_sum", "kernel_bias"),
        relu=ReLU("conv"),
        pooled=AveragePool("relu", size=(3, 2), stride=(1, 2)),
        conv_2_sum=Correlate("pooled", "kernel_2", stride=(2, 1)),
        conv_2=AddBias("conv_2_sum", "kernel_2_bias"),
        sigmoid=Sigmoid("conv_2"),
        flat=Flatten("sigmoid"),
        fc_sum=FullyConnected("flat", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        p=Softmax("logits"),
        loss=CrossEntropy("p", "label")),
    # one kernel with three slices, one bias, a target for every cell
    "three slices": network(
        5, {"image": (3, 5, 4), "kernel": (3, 2, 3), "kernel_bias": (), "target": (2, 2)}, ["kernel", "kernel_bias"],
        products=Products("image", "kernel", padding=(0, 1)),
        conv_sum=Correlate("image", "kernel", padding=(0, 1)),
        conv=AddBias("conv_sum", "kernel_bias"),
        pooled=MaxPool("conv", size=(2, 2), stride=(2, 2)),
        loss=HalfSquaredError("pooled", "target")),
    # pixels that stride never reaches, a batch of grey images, cross-entropy of a batch
    "grey batch": network(
        14, {"image": (3, 1, 5, 6), "kernel": (2, 1, 2, 2), "kernel_bias": 2, "fc_weight": (2, 4), "fc_bias": 2,
            "label": [0, 1, 1]}, ["kernel", "kernel_bias", "fc_weight", "fc_bias"],
        conv_sum=Correlate("image", "kernel", stride=(2, 3), padding=1),
        conv=AddBias("conv_sum", "kernel_bias"),
        relu=ReLU("conv"),
        pooled=AveragePool("relu", size=(1, 2)),
        squeezed=MaxPool("pooled", size=(2, 1), stride=(1, 1)),
        flat=Flatten("squeezed"),
        fc_sum=FullyConnected("flat", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        p=Softmax("logits"),
        loss=CrossEntropy("p", "label")),
    # h is read by three lines, by one of them twice; the weight by two
    "used twice": network(
        7, {"values": (2, 3), "weight": (3, 3), "target": (2, 3)}, ["weight"],
        h=FullyConnected("values", "weight"),
        doubled=Add("h", "h"),
        bent=Tanh("h"),
        copy=Same("h"),
        again=FullyConnected("bent", "weight"),
        first=Add("doubled", "again"),
        output=Add("first", "copy"),
        loss=HalfSquaredError("output", "target")),
    # what stands there in training only: cells that are dropped, and a price on large weights
    "regularized": network(
        2, {"values": (3, 4), "weight": (5, 4), "bias": 5, "kept": [[1, 0, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 0, 1, 1]],
            "keep": 0.8, "fc_weight": (3, 5), "fc_bias": 3, "strength": 0.3, "label": [0, 2, 1]},
        ["weight", "bias", "fc_weight", "fc_bias"],
        hidden_sum=FullyConnected("values", "weight"),
        hidden=AddBias("hidden_sum", "bias"),
        relu=ReLU("hidden"),
        dropped=Dropout("relu", "kept", "keep"),
        fc_sum=FullyConnected("dropped", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        cost=SoftmaxCrossEntropy("logits", "label"),
        weight_penalty=WeightPenalty("weight", "strength"),
        fc_weight_penalty=WeightPenalty("fc_weight", "strength"),
        cost_and_1=Add("cost", "weight_penalty"),
        loss=Add("cost_and_1", "fc_weight_penalty")),
    # LeNet-5 of 1998 in small: windows that overlap and that do not, a map that one connection alone leads to
    "1998": network(
        11, {"image": (2, 1, 5, 6), "c1_kernel": (3, 1, 2, 2), "c1_bias": 3, "s2_coefficient": 3, "s2_bias": 3,
             "c3_kernel": (5, 2, 1), "c3_bias": 3, "s4_coefficient": 3, "s4_bias": 3, "prototypes": (4, 6),
             "label": [3, 0]},
        ["c1_kernel", "c1_bias", "s2_coefficient", "s2_bias", "c3_kernel", "c3_bias", "s4_coefficient", "s4_bias"],
        c1_sum=Correlate("image", "c1_kernel"),
        c1=AddBias("c1_sum", "c1_bias"),
        c1_tanh=ScaledTanh("c1"),
        s2_sum=SumPool("c1_tanh", size=2, stride=(1, 2)),
        s2_scaled=Scale("s2_sum", "s2_coefficient"),
        s2=AddBias("s2_scaled", "s2_bias"),
        c3_connected=Connect("c3_kernel", ((2, 0), (1,), (0, 1))),
        c3_sum=Correlate("s2", "c3_connected"),
        c3=AddBias("c3_sum", "c3_bias"),
        s4_sum=SumPool("c3", size=(1, 2)),
        s4_scaled=Scale("s4_sum", "s4_coefficient"),
        s4=AddBias("s4_scaled", "s4_bias"),
        s4_tanh=ScaledTanh("s4"),
        flat=Flatten("s4_tanh"),
        output=SquaredDistance("flat", "prototypes"),
        logits=Negate("output"),
        loss=SoftmaxCrossEntropy("logits", "label")),
    # one map, one coefficient, one row of values between two prototypes
    "1998, one map": network(
        12, {"image": (4, 5), "coefficient": (), "bias": (), "prototypes": (2, 4), "label": 1}, ["coefficient", "bias"],
        summed=SumPool("image"),
        scaled=Scale("summed", "coefficient"),
        biased=AddBias("scaled", "bias"),
        bent=ScaledTanh("biased"),
        flat=Flatten("bent"),
        output=SquaredDistance("flat", "prototypes"),
        logits=Negate("output"),
        loss=SoftmaxCrossEntropy("logits", "label")),
}


# The operations again, for autograd and for the property tests: by windows and by definition.

def four(array):
    return array.reshape((1,) * (4 - array.ndim) + array.shape)


def both(setting):
    return setting if isinstance(setting, tuple) else (setting, setting)


def correlate(image, kernel, stride=1, padding=0):
    """Window by window; a window that hangs over the edge is cut off there."""
    x, w, (down, right), (top, left) = four(image), four(kernel), both(stride), both(padding)
    (height, width), (tall, wide) = x.shape[2:], w.shape[2:]
    rows, columns = (height + 2 * top - tall) // down + 1, (width + 2 * left - wide) // right + 1

    def at(n, o, i, j):
        y, z = i * down - top, j * right - left
        inside = slice(max(y, 0), min(y + tall, height)), slice(max(z, 0), min(z + wide, width))
        under = slice(inside[0].start - y, inside[0].stop - y), slice(inside[1].start - z, inside[1].stop - z)
        return anp.sum(x[(n, slice(None), *inside)] * w[(o, slice(None), *under)])
    cells = [at(n, o, i, j) for n in range(len(x)) for o in range(len(w)) for i in range(rows) for j in range(columns)]
    lead = (len(x),) * (image.ndim == 4) + (len(w),) * (kernel.ndim == 4)
    return anp.array(cells).reshape(lead + (rows, columns))


def pool(values, size=2, stride=None, take=anp.max):
    (tall, wide), (down, right) = both(size), both(size if stride is None else stride)
    rows, columns = (values.shape[-2] - tall) // down + 1, (values.shape[-1] - wide) // right + 1
    maps = values.reshape((-1, *values.shape[-2:]))
    cells = [take(each[i * down:i * down + tall, j * right:j * right + wide])
             for each in maps for i in range(rows) for j in range(columns)]
    return anp.array(cells).reshape(values.shape[:-2] + (rows, columns))


def add_bias(values, bias):
    return values + (bias.reshape((-1, 1, 1)) if values.ndim > 2 and bias.ndim else bias)


def scale(values, coefficient):
    return values * (coefficient.reshape((-1, 1, 1)) if values.ndim > 2 and coefficient.ndim else coefficient)


def connect(kernel, table):
    """Slice after slice in the order of the table; zeros where the table names no input map."""
    slices = iter(kernel)
    found = [{c: next(slices) for c in row} for row in table]
    channels = 1 + max(map(max, table))
    return anp.array([[row.get(c, anp.zeros(kernel.shape[1:])) for c in range(channels)] for row in found])


def softmax(logits):
    exponentials = anp.exp(logits)
    return exponentials / anp.sum(exponentials, axis=-1, keepdims=True)


def cross_entropy(p, label):
    rows, labels = p.reshape((-1, p.shape[-1])), np.ravel(label).astype(int)
    return -sum(anp.log(row[k]) for row, k in zip(rows, labels)) / len(labels)


INDEPENDENT = {
    Correlate: correlate,
    AddBias: add_bias,
    ReLU: lambda values: anp.maximum(values, 0.0),
    Sigmoid: lambda values: 1 / (1 + anp.exp(-values)),
    Tanh: anp.tanh,
    MaxPool: pool,
    AveragePool: lambda values, **settings: pool(values, take=anp.mean, **settings),
    Flatten: lambda values: values.reshape((len(values), -1) if values.ndim == 4 else (-1,)),
    FullyConnected: lambda values, weight: anp.dot(values, anp.transpose(weight)),
    Add: lambda first, second: first + second,
    Same: lambda values: values,
    SumPool: lambda values, **settings: pool(values, take=anp.sum, **settings),
    Scale: scale,
    Connect: connect,
    ScaledTanh: lambda values: 1.7159 * anp.tanh(2 * values / 3),
    SquaredDistance: lambda values, prototypes: anp.sum((values[..., None, :] - prototypes) ** 2, axis=-1),
    Negate: lambda values: -values,
    Dropout: lambda values, kept, keep: values * kept / keep,
    WeightPenalty: lambda weight, strength: strength * anp.sum(weight ** 2) / 2,
    Softmax: softmax,
    CrossEntropy: cross_entropy,
    SoftmaxCrossEntropy: lambda logits, label: cross_entropy(softmax(logits), label),
    HalfSquaredError: lambda output, target: anp.sum((output - target) ** 2) / 2,
}


def settings(operation) -> dict:
    """What an operation has beside the names it reads: stride, padding, size."""
    return {name: value for name, value in vars(operation).items() if name in ("stride", "padding", "size", "table")}


def independent_loss(forward, given):
    """The loss of a forward recipe, from the operations above alone."""
    values = {name: value if name == "label" else anp.array(value) * 1.0 for name, value in given.items()}
    for name, operation in forward:
        if type(operation) in INDEPENDENT:
            read = [values[each] for each in operation.inputs]
            values[name] = INDEPENDENT[type(operation)](*read, **settings(operation))
    return anp.sum(values["loss"])


# Printed arithmetic, read as a person reads it, with nothing of cnnlab.arithmetic.

SIGNS = str.maketrans({"×": "*", "−": "-"})
RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"
LOWERED = str.maketrans(RAISED, "0123456789-")
RISING = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "sqrt": math.sqrt}
NUMERAL = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")


def as_python(printed) -> str:
    """Printed arithmetic as Python: × to *, − to -, ln to log, √ to sqrt, a superscript to a power."""
    powers = re.sub(f"[{RAISED}]+", lambda found: f"**({found[0].translate(LOWERED)})", printed)
    return powers.translate(SIGNS).replace("ln(", "log(").replace("√(", "sqrt(")


def in_fractions(printed):
    """The value of printed arithmetic: an exact fraction, or a float where exp, log or tanh take part."""
    text = NUMERAL.sub(lambda found: f"Fraction('{found[0]}')", as_python(printed))
    return eval(text, {"Fraction": Fraction, "max": max, **RISING})


class Interval:
    """Every value that rounded numbers leave possible."""

    def __init__(self, low, high=None):
        self.low, self.high = low, low if high is None else high

    @classmethod
    def of(cls, thing):
        return thing if isinstance(thing, Interval) else cls(thing)

    @classmethod
    def around(cls, numeral, digits):
        value = float(numeral)
        return cls(value * (1 - 0.51 * 10.0 ** (1 - digits)), value * (1 + 0.51 * 10.0 ** (1 - digits)))

    def over(self, other, operate):
        other = Interval.of(other)
        ends = [operate(mine, theirs) for mine in (self.low, self.high) for theirs in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def __add__(self, other):
        return self.over(other, lambda mine, theirs: mine + theirs)

    def __sub__(self, other):
        return self.over(other, lambda mine, theirs: mine - theirs)

    def __mul__(self, other):
        return self.over(other, lambda mine, theirs: mine * theirs)

    def __truediv__(self, other):
        return self.over(other, lambda mine, theirs: mine / theirs)

    def __neg__(self):
        return Interval(-self.high, -self.low)

    def __pow__(self, exponent):
        # the printed arithmetic raises to 2, and 10 to a whole number
        whole = round(Interval.of(exponent).high)
        ends = self.over(whole, lambda mine, theirs: mine ** theirs)
        return Interval(0, ends.high) if self.low < 0 < self.high else ends

    def __gt__(self, other):
        return self.low > Interval.of(other).high

    def bent(self, function):
        """Through a function that only rises."""
        return Interval(function(self.low), function(self.high))


def greatest(*values):
    each = list(map(Interval.of, values))
    return Interval(max(one.low for one in each), max(one.high for one in each))


def in_intervals(printed, digits) -> Interval:
    """Every value that printed arithmetic can stand for, if each of its numbers was rounded to so many digits."""
    text = NUMERAL.sub(lambda found: f"around('{found[0]}')", as_python(printed))
    functions = {name: lambda value, bend=bend: Interval.of(value).bent(bend) for name, bend in RISING.items()}
    return Interval.of(eval(text, {"around": lambda numeral: Interval.around(numeral, digits), "max": greatest,
                                   **functions}))
