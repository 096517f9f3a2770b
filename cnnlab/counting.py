"""How many numbers a network has and how many connections: counted by running its recipe on ones.

Where every cell, weight and bias is 1, each product is 1, and what comes out of a layer is how many products
and biases were added up in each cell. So the counts are of what the operations do, not of what a formula says;
the formulas are printed beside them, and a test works them out.

A *connection* is one cell of a layer's input, or one bias, that enters one cell of its output (LeCun et al. 1998).
A weight that is used at many positions makes many connections. A cell of the padding counts as a cell.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np

from .gradients import needed, path
from .ledger import Recipe
from .ops import (Add, AddBias, AveragePool, Connect, Correlate, CrossEntropy, Flatten, FullyConnected,
                  HalfSquaredError, MaxPool, Negate, ReLU, Same, Scale, ScaledTanh, Sigmoid, Softmax,
                  SoftmaxCrossEntropy, SquaredDistance, SumPool, Tanh)
from .ops.base import pair

LOSSES = (CrossEntropy, HalfSquaredError, SoftmaxCrossEntropy)


# ---- what an operation adds up where every number is 1 ------------------------------------------------


def under_the_kernel(operation, image, kernel):
    """How many kernel cells meet a cell, one of the padding included."""
    pads = pair(operation.padding, "padding", 0)
    sides = (side + 2 * pad for side, pad in zip(image.shape[-2:], pads))
    return replace(operation, padding=0).compute(np.ones((*image.shape[:-2], *sides)), kernel)


def in_the_window(operation, values):
    return SumPool("values", operation.size, operation.stride).compute(values)


def computed(operation, *ones):
    return operation.compute(*ones)


def from_nothing(operation, values, *others):
    """A bias alone; the squared distances of 0 from ones."""
    return operation.compute(np.zeros_like(values), *others)


READS = {Correlate: under_the_kernel, FullyConnected: computed, SumPool: in_the_window, MaxPool: in_the_window,
         AveragePool: in_the_window, SquaredDistance: from_nothing, Add: computed}  # each begins a layer
BIASES = {AddBias: from_nothing}                                                    # this goes on in it
CELLWISE = (Flatten, Negate, ReLU, Same, Scale, ScaledTanh, Sigmoid, Softmax, Tanh)  # and these add no connection


# ---- what is counted ----------------------------------------------------------------------------------


@dataclass(eq=False)
class Layer:
    """The lines from one sum over cells to the next, and what was counted in them."""

    name: str
    before: tuple[int, ...]  # the shape of what the layer reads
    shape: tuple[int, ...]   # of what it makes: maps, height, width, or units in a row
    terms: str               # how many terms one sum has; with a connection table, all sums at one position
    window: tuple[int, ...]  # how many cells down and across of one map a sum reads; () where it reads no map
    lines: list = field(default_factory=list)
    weights: dict = field(default_factory=dict)  # the shapes of its trained numbers
    fixed: dict = field(default_factory=dict)    # the shapes of its other given numbers
    connections: int = 0
    over_padding: int = 0    # how many of them lead to a cell of the padding

    @property
    def parameters(self) -> int:
        """How many numbers are trained. What an earlier layer trains already is not counted again."""
        return sum(map(prod, self.weights.values()))

    @property
    def constants(self) -> int:
        """How many given numbers are not trained."""
        return sum(map(prod, self.fixed.values()))

    @property
    def operations(self) -> tuple[str, ...]:
        """What is done, in order: `("Correlate", "AddBias", "ReLU")`."""
        return tuple(type(line.operation).__name__ for line in self.lines)

    def having(self, *kinds) -> list:
        """The operations of these kinds in this layer."""
        return [line.operation for line in self.lines if isinstance(line.operation, kinds)]

    # The arithmetic, written from shapes alone: nothing below reads what was counted, but for a shorter word for it.

    @property
    def maps(self) -> int:
        """How many maps, or single units, it makes."""
        return self.shape[0] if len(self.shape) in (1, 3) else 1

    @property
    def positions(self) -> tuple[int, ...]:
        return self.shape[-2:] if len(self.shape) > 1 else ()

    @property
    def parameters_text(self) -> str:
        """The arithmetic behind `parameters`: `(5×5×1 + 1)×6`."""
        shapes = self.weights.values()
        short = [shape for shape in shapes if len(shape) < 2]  # biases and coefficients
        if self.having(Connect) or any(prod(shape) != self.maps for shape in short):
            return added(map(times, shapes))
        return self.each_map([self.terms] * (len(shapes) > len(short)) + ["1"] * len(short))

    @property
    def connections_text(self) -> str:
        """The arithmetic behind `connections`: `156×28×28`."""
        biases = len(self.having(AddBias))
        one = added([self.terms] + [str(self.maps)] * biases) if self.having(Connect) else \
            self.each_map([self.terms] + ["1"] * biases)
        if not self.positions:
            return one
        if one == self.parameters_text:
            one = f"{self.parameters:,}"  # every parameter makes one connection at every position
        bare = " + " in one and not one.startswith("(")
        return "×".join([f"({one})" if bare else one, *map(str, self.positions)])

    def each_map(self, terms) -> str:
        """The sum of the terms, once for each map."""
        if not terms:
            return "0"
        if self.maps == 1:
            return " + ".join(terms)
        return f"({' + '.join(terms)})×{self.maps}" if len(terms) > 1 else f"{terms[0]}×{self.maps}"

    @property
    def constants_text(self) -> str:
        return added(times(shape) for shape in self.fixed.values())


@dataclass(frozen=True)
class Count:
    """The layers of a network, and their sums. Prints as a table."""

    title: str
    picture: tuple[int, ...]
    layers: tuple[Layer, ...]

    def __getitem__(self, name) -> Layer:
        """The layer of this name: `count(lenet_5)["C1"]`."""
        found = {layer.name: layer for layer in self.layers}
        if name not in found:
            raise ValueError(f"no layer is named {name!r}; there are {', '.join(found)}")
        return found[name]

    @cached_property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @cached_property
    def constants(self) -> int:
        return sum(layer.constants for layer in self.layers)

    @cached_property
    def connections(self) -> int:
        return sum(layer.connections for layer in self.layers)

    @cached_property
    def fixed_connections(self) -> int:
        """The connections of layers that have given numbers and train none of them: those of the RBF units."""
        return sum(layer.connections for layer in self.layers if layer.constants and not layer.parameters)

    @property
    def parameters_text(self) -> str:
        return added(f"{layer.parameters:,}" for layer in self.layers if layer.parameters)

    @property
    def connections_text(self) -> str:
        return added(f"{layer.connections:,}" for layer in self.layers)

    def table(self) -> list[tuple[str, str, str, str]]:
        """(layer, shape, parameters, connections), each count with its arithmetic; the sums come last."""
        rows = [*map(row, self.layers), ("sum", "", f"{self.parameters:,}", f"{self.connections:,}")]
        if self.fixed_connections:
            trained = self.connections - self.fixed_connections
            rows.append(("", "", "", f"{self.connections:,} − {self.fixed_connections:,} fixed = {trained:,}"))
        return rows

    @property
    def notes(self) -> list[str]:
        """What the table leaves unsaid: connections over the padding."""
        return [f"{layer.over_padding:,} of {layer.name}'s connections lead to the padding, whose cells are 0."
                for layer in self.layers if layer.over_padding]

    def __str__(self):
        rows = [("layer", "shape", "parameters", "connections"), *self.table()]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(map(str.ljust, each, widths)).rstrip() for each in rows]
        return "\n".join([self.title, *lines, *self.notes])

    __repr__ = __str__


def row(layer) -> tuple[str, str, str, str]:
    """A layer as it stands in a table."""
    parameters = [equation(layer.parameters_text, layer.parameters)] if layer.parameters or not layer.constants else []
    fixed = [f"{equation(layer.constants_text, layer.constants)} fixed"] if layer.constants else []
    return (layer.name, times(layer.shape), ", ".join(parameters + fixed),
            equation(layer.connections_text, layer.connections))


def equation(text, number) -> str:
    """`(5×5×1 + 1)×6 = 156`; the number alone where the text says no more than that."""
    return text if text == f"{number:,}" else f"{text} = {number:,}"


def times(shape) -> str:
    """`6×28×28`; one number is `1`."""
    return "×".join(map(str, shape)) or "1"


def added(terms) -> str:
    return " + ".join(terms) or "0"


# ---- counting -----------------------------------------------------------------------------------------


def count(network) -> Count:
    """The layers of a network of `cnnlab.networks`, or of one of your own, with all that was counted."""
    fixed = {name: np.shape(value) for name, value in network.fixed.items()}
    shapes = {"image": network.picture, **network.shapes, **fixed}
    return count_recipe(network.forward, shapes, trained=tuple(network.shapes), title=network.title)


def count_recipe(recipe, shapes, trained=None, image="image", loss="loss", title="") -> Count:
    """The same for a recipe and the shapes of what it is given.

    `image` names the picture, whose shape is that of one, without an image axis. Where `trained` is not given,
    every other number is. Raises ValueError for what cannot be counted.
    """
    recipe = Recipe(*recipe)
    if image not in shapes:
        raise ValueError(f"the shape of {image!r} is missing; there are {', '.join(shapes)}")
    counter = Counter(shapes, image, shapes if trained is None else trained)
    for line in counted_lines(recipe, loss):
        counter.read(line)
    return Count(title, tuple(shapes[image]), tuple(counter.layers))


def counted_lines(recipe, loss) -> list:
    """The lines that the loss needs, without the loss itself and what is added to it."""
    losses = path(recipe, [name for name, operation in recipe if isinstance(operation, LOSSES)])
    return [line for line in (needed(recipe, loss) if loss in recipe.names else recipe) if line.name not in losses]


class Counter:
    """Reads line after line. `ones` holds a 1 for every number, and a 0 where a connection table has none."""

    def __init__(self, shapes, image, trained):
        self.shapes, self.trained = shapes, trained
        self.ones = {name: np.ones(shape) for name, shape in shapes.items()}
        self.layers: list[Layer] = []
        self.layer_of = {image: None}  # by name, for all that depends on the picture
        self.tables: dict = {}         # the lines that lay out a kernel, by name
        self.seen = {image}            # each given number counts once

    def read(self, line):
        """Count what one line adds. Raises ValueError where that is not known."""
        name, operation = line
        for each in operation.inputs:
            if each not in self.ones:
                raise ValueError(f"line {line}: the shape of {each!r} is missing; there are {', '.join(self.shapes)}")
        values = [self.ones[each] for each in operation.inputs]
        value = operation.compute(*values)
        if isinstance(operation, Connect):
            self.ones[name], self.tables[name] = value, line
            return
        self.ones[name] = np.ones(np.shape(value))
        self.layer_of[name] = layer = self.begun(line, values) if type(operation) in READS else self.gone_on(line)
        if layer is not None:
            self.enter(layer, line)
            layer.connections += reads(operation, values)
            if isinstance(operation, Correlate):
                layer.over_padding = layer.connections - round(float(value.sum()))

    def begun(self, line, values) -> Layer:
        """A new layer, and the line that lays out its kernel."""
        tables = [self.tables[each] for each in line.operation.inputs if each in self.tables]
        terms = times(self.ones[tables[0].operation.kernel].shape) if tables else terms_text(line.operation, values)
        layer = Layer(line.name.removesuffix("_sum").upper(), values[0].shape, self.ones[line.name].shape, terms,
                      window(line.operation, values))
        for table in tables:
            self.enter(layer, table)
        self.layers.append(layer)
        return layer

    def gone_on(self, line) -> Layer | None:
        """The layer that made what the line reads; None for a picture that no layer has read yet."""
        if not isinstance(line.operation, (*BIASES, *CELLWISE)):
            raise ValueError(f"line {line}: what {type(line.operation).__name__} connects is not known")
        first = line.operation.inputs[0]
        layer = self.layer_of.get(first)
        if layer is None and (first not in self.layer_of or isinstance(line.operation, (AddBias, Scale))):
            raise ValueError(f"line {line} stands before the first layer")
        return layer

    def enter(self, layer, line):
        """Put the line and its given numbers into the layer."""
        layer.lines.append(line)
        for name in line.operation.inputs:
            if name in self.shapes and name not in self.seen:
                (layer.weights if name in self.trained else layer.fixed)[name] = tuple(self.shapes[name])
                self.seen.add(name)


def reads(operation, ones) -> int:
    """How many connections an operation makes: what it adds up where every number is 1."""
    tally = (READS | BIASES).get(type(operation))
    return round(float(tally(operation, *ones).sum())) if tally else 0


def terms_text(operation, values) -> str:
    """The arithmetic behind how many terms one sum has, from shapes alone: `5×5×1`."""
    match operation:
        case Correlate():
            return times((*window(operation, values), *values[1].shape[-3:-2]))
        case FullyConnected() | SquaredDistance():
            return str(values[1].shape[1])
        case Add():
            return "2"
    return times(window(operation, values))


def window(operation, values) -> tuple[int, ...]:
    """The part of a map that one sum reads: a kernel's size, or a pool's."""
    if isinstance(operation, Correlate):
        return values[1].shape[-2:]
    return pair(operation.size, "size", 1) if hasattr(operation, "size") else ()


# ---- what is printed, to compare with -------------------------------------------------------------------


class Printed(NamedTuple):
    """A count as a text prints it; `layer` is "" for the whole network."""

    source: str
    layer: str
    quantity: str
    number: int


class Comparison(NamedTuple):
    """What is printed, what was counted, and whether they are equal."""

    printed: Printed
    counted: int
    holds: bool


LECUN = "LeCun et al. 1998"
PRINTED = (
    Printed(LECUN, "C1", "parameters", 156), Printed(LECUN, "C1", "connections", 122_304),
    Printed(LECUN, "S2", "parameters", 12), Printed(LECUN, "S2", "connections", 5_880),
    Printed(LECUN, "C3", "parameters", 1_516), Printed(LECUN, "C3", "connections", 151_600),
    Printed(LECUN, "S4", "parameters", 32), Printed(LECUN, "S4", "connections", 2_000),
    Printed(LECUN, "C5", "connections", 48_120), Printed(LECUN, "F6", "parameters", 10_164),
    Printed(LECUN, "", "parameters", 60_000), Printed(LECUN, "", "connections", 340_908),
    Printed("D3", "C1", "parameters", 156), Printed("D3", "C1", "connections", 122_304))


def compare(counted: Count, printed=PRINTED) -> list[Comparison]:
    """Each printed count beside the same count of ours."""
    found = [getattr(counted[each.layer] if each.layer else counted, each.quantity) for each in printed]
    return [Comparison(each, number, each.number == number) for each, number in zip(printed, found)]
