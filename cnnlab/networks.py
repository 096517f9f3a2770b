"""The networks that are trained on digits: a forward recipe, the shape of each parameter, and how it starts."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .ledger import Line, Recipe, refuse_misspelt
from .ops import (AddBias, Connect, Correlate, Flatten, FullyConnected, MaxPool, Negate, ReLU, Scale, ScaledTanh,
                  Sigmoid, SoftmaxCrossEntropy, SquaredDistance, SumPool, Tanh, batches)


@dataclass(frozen=True, eq=False)
class Network:
    """A forward recipe that reads `image` (N, C, H, W) and `label` (N,) and makes `logits` and `loss`."""

    title: str
    forward: Recipe
    shapes: dict  # of every parameter: kernels (O, C, KH, KW), fully connected weights (O, K), biases (O,)
    picture: tuple[int, int, int]  # C, H, W of one image
    fixed: dict = field(default_factory=dict)  # numbers that the recipe reads and nothing trains
    starts: dict = field(default_factory=dict)  # parameters that start at one number, and at which

    def __post_init__(self):
        """Raises LineError for a number that the recipe does not read, or a start of what is no parameter."""
        refuse_misspelt(self.title, [*self.shapes, *self.fixed], self.forward.given, ())
        refuse_misspelt(f"{self.title}, starts", self.starts, self.shapes, ())

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(self.shapes)

    @property
    def weights(self) -> tuple[str, ...]:
        """The parameters that are no biases."""
        biases = {operation.bias for _, operation in self.forward if isinstance(operation, AddBias)}
        return tuple(name for name in self.shapes if name not in biases)

    @cached_property
    def size(self) -> int:
        """How many numbers are trained."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values())

    def start(self, seed=0, scale="Kaiming") -> dict:
        """The numbers before the first step, float32: normal weights, biases of 0, and what is fixed.

        `scale` "Kaiming" draws with the standard deviation sqrt(2 / inputs of an output), "standard" with 1,
        and "zero" sets every weight to 0. Source: He et al. 2015, section 2.2. Parameters in `starts` start
        at the number there.
        """
        rng = np.random.default_rng(seed)
        made = {name: self.started(rng, name, scale) for name in self.shapes}
        return {name: batches.as_read(value) if value.ndim == 4 else value for name, value in made.items()} | self.fixed

    def started(self, rng, name, scale):
        shape = self.shapes[name]
        if name in self.starts:
            return np.full(shape, self.starts[name], np.float32)
        return drawn(rng, shape, scale, self.inputs(name)) if name in self.weights else np.zeros(shape, np.float32)

    def inputs(self, name):
        """How many inputs are added up in an output that a weight leads to; for a connection table, slice by slice."""
        cells = np.prod(self.shapes[name][1:], dtype=int)
        tables = [each for _, each in self.forward if isinstance(each, Connect) and each.kernel == name]
        return cells * tables[0].inputs_of_slices() if tables else cells


SCALES = {"Kaiming": lambda inputs: np.sqrt(2 / inputs), "standard": lambda inputs: 1, "zero": lambda inputs: 0}


def drawn(rng, shape, scale, inputs):
    if scale not in SCALES:
        raise ValueError(f"scale {scale!r}: there are {', '.join(SCALES)}")
    return (SCALES[scale](inputs) * rng.standard_normal(shape)).astype(np.float32)


small_cnn = Network(
    "Small CNN for 8×8 digits",
    Recipe(
        c1_sum=Correlate("image", "c1_kernel", padding=1),
        c1=AddBias("c1_sum", "c1_bias"),
        c1_relu=ReLU("c1"),
        s2=MaxPool("c1_relu"),
        c3_sum=Correlate("s2", "c3_kernel", padding=1),
        c3=AddBias("c3_sum", "c3_bias"),
        c3_relu=ReLU("c3"),
        s4=MaxPool("c3_relu"),
        flat=Flatten("s4"),
        fc_sum=FullyConnected("flat", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        loss=SoftmaxCrossEntropy("logits", "label")),
    {"c1_kernel": (8, 1, 3, 3), "c1_bias": (8,), "c3_kernel": (16, 8, 3, 3), "c3_bias": (16,),
     "fc_weight": (10, 64), "fc_bias": (10,)},
    (1, 8, 8))

lenet_5 = Network(
    "LeNet-5 as it is built today: ReLU, max-pooling, every map of C3 connected to every map of S2",
    Recipe(
        c1_sum=Correlate("image", "c1_kernel", padding=2),
        c1=AddBias("c1_sum", "c1_bias"),
        c1_relu=ReLU("c1"),
        s2=MaxPool("c1_relu"),
        c3_sum=Correlate("s2", "c3_kernel"),
        c3=AddBias("c3_sum", "c3_bias"),
        c3_relu=ReLU("c3"),
        s4=MaxPool("c3_relu"),
        flat=Flatten("s4"),
        c5_sum=FullyConnected("flat", "c5_weight"),
        c5=AddBias("c5_sum", "c5_bias"),
        c5_relu=ReLU("c5"),
        f6_sum=FullyConnected("c5_relu", "f6_weight"),
        f6=AddBias("f6_sum", "f6_bias"),
        f6_relu=ReLU("f6"),
        fc_sum=FullyConnected("f6_relu", "fc_weight"),
        logits=AddBias("fc_sum", "fc_bias"),
        loss=SoftmaxCrossEntropy("logits", "label")),
    {"c1_kernel": (6, 1, 5, 5), "c1_bias": (6,), "c3_kernel": (16, 6, 5, 5), "c3_bias": (16,),
     "c5_weight": (120, 400), "c5_bias": (120,), "f6_weight": (84, 120), "f6_bias": (84,),
     "fc_weight": (10, 84), "fc_bias": (10,)},
    (1, 28, 28))

# ---- LeNet-5 as it was published: LeCun et al. 1998, section II-B ------------------------------------

# Table I: the maps of S2 that each map of C3 reads. 3 in a row, 4 in a row, 4 of which two are apart, all 6.
CONNECTIONS = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5))

# What F6 should look like for each class: 7×12 pictures of the digits. The drawings are ours, not those of the
# paper's figure 3, which shows the whole of ASCII; the idea is the paper's: digits that look alike have codes alike.
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  .#####.  .#####.  ....##.  #######  ..####.  #######  .#####.  .#####.
.##.##.  ..##...  ##...##  ##...##  ...###.  ##.....  .##....  ##...##  ##...##  ##...##
##...##  .###...  .....##  .....##  ..####.  ##.....  ##.....  .....##  ##...##  ##...##
##...##  ...##..  .....##  .....##  .##.##.  ##.....  ##.....  ....##.  ##...##  ##...##
##...##  ...##..  ....##.  ..####.  ##..##.  ######.  ######.  ....##.  .#####.  .######
##...##  ...##..  ...##..  .....##  ##..##.  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  ..##...  .....##  #######  .....##  ##...##  ...##..  ##...##  .....##
##...##  ...##..  .##....  .....##  ....##.  .....##  ##...##  ..##...  ##...##  .....##
.##.##.  ...##..  ##.....  ##...##  ....##.  ##...##  ##...##  ..##...  ##...##  ....##.
..###..  .######  #######  .#####.  ....##.  .#####.  .#####.  ..##...  .#####.  .####..
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def prototypes() -> np.ndarray:
    """(10, 84): each digit's 7×12 picture as one row of numbers, ink 1 and paper -1."""
    rows = [line.split() for line in DIGITS.split("\n") if line]
    codes = [[1 if sign == "#" else -1 for row in rows for sign in row[digit]] for digit in range(10)]
    return np.array(codes, np.float32)


# Ours: the pictures are 28×28 and zeros are laid around them, where the paper's lie in a field of 32×32 with paper
# at -0.1 and ink at 1.175; S2 and S4 start as average-pooling; and the optimizer. As in the paper, all but the
# prototypes is trained, and the loss is its equation 9 without the constant e^-j (that is, as j grows):
# y_label + ln(sum over k of exp(-y_k)), which is `SoftmaxCrossEntropy` of the logits -y.
lenet_5_1998 = Network(
    "LeNet-5 of 1998: scaled tanh, trainable subsampling, C3 partly connected, distances to fixed prototypes",
    Recipe(
        c1_sum=Correlate("image", "c1_kernel", padding=2),
        c1=AddBias("c1_sum", "c1_bias"),
        c1_tanh=ScaledTanh("c1"),
        s2_sum=SumPool("c1_tanh"),
        s2_scaled=Scale("s2_sum", "s2_coefficient"),
        s2=AddBias("s2_scaled", "s2_bias"),
        s2_tanh=ScaledTanh("s2"),
        c3_connected=Connect("c3_kernel", CONNECTIONS),
        c3_sum=Correlate("s2_tanh", "c3_connected"),
        c3=AddBias("c3_sum", "c3_bias"),
        c3_tanh=ScaledTanh("c3"),
        s4_sum=SumPool("c3_tanh"),
        s4_scaled=Scale("s4_sum", "s4_coefficient"),
        s4=AddBias("s4_scaled", "s4_bias"),
        s4_tanh=ScaledTanh("s4"),
        c5_sum=Correlate("s4_tanh", "c5_kernel"),
        c5=AddBias("c5_sum", "c5_bias"),
        c5_tanh=ScaledTanh("c5"),
        flat=Flatten("c5_tanh"),
        f6_sum=FullyConnected("flat", "f6_weight"),
        f6=AddBias("f6_sum", "f6_bias"),
        f6_tanh=ScaledTanh("f6"),
        output=SquaredDistance("f6_tanh", "prototypes"),
        logits=Negate("output"),
        loss=SoftmaxCrossEntropy("logits", "label")),
    {"c1_kernel": (6, 1, 5, 5), "c1_bias": (6,), "s2_coefficient": (6,), "s2_bias": (6,),
     "c3_kernel": (60, 5, 5), "c3_bias": (16,), "s4_coefficient": (16,), "s4_bias": (16,),
     "c5_kernel": (120, 16, 5, 5), "c5_bias": (120,), "f6_weight": (84, 120), "f6_bias": (84,)},
    (1, 28, 28),
    fixed={"prototypes": prototypes()},
    starts={"s2_coefficient": 1 / 4, "s4_coefficient": 1 / 4})

# ---- the small CNN with three times as many maps: what the 8×8 digits of other writers ask for -------------

wide_cnn = replace(small_cnn, title="Wide CNN for 8×8 digits", shapes={
    "c1_kernel": (24, 1, 3, 3), "c1_bias": (24,), "c3_kernel": (48, 24, 3, 3), "c3_bias": (48,),
    "fc_weight": (10, 192), "fc_bias": (10,)})

# ---- networks with a part left out, to see what it is good for -----------------------------------------


def without_bias(network) -> Network:
    """The network in which nothing is added to the sums: no bias, and none to train."""
    return without(network, AddBias, "without biases")


def without_activation(network) -> Network:
    """The network in which sums are passed on as they are. Max-pooling, which is not linear either, stays."""
    return without(network, (ReLU, ScaledTanh, Sigmoid, Tanh), "without activations")


def without(network, kinds, words) -> Network:
    """The network without the lines of some kinds: who read such a line reads what it read.

    Only `logits` keeps its name, which then belongs to what the line read.
    """
    lines, passed = [], {}
    for name, operation in network.forward:
        operation = operation.reading(passed)
        if isinstance(operation, kinds):
            passed[name] = operation.inputs[0]
        else:
            lines.append(Line(name, operation))
    recipe = renamed(lines, passed["logits"], "logits") if "logits" in passed else Recipe(*lines)
    left = {group: {name: value for name, value in getattr(network, group).items() if name in recipe.given}
            for group in ("shapes", "fixed", "starts")}
    return replace(network, title=f"{network.title}; {words}", forward=recipe, **left)


def renamed(lines, old, new) -> Recipe:
    """The recipe in which a value has another name."""
    names = {old: new}
    return Recipe(*(Line(names.get(name, name), operation.reading(names)) for name, operation in lines))
