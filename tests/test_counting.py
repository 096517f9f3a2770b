"""Counts of parameters and connections, against print, against their own arithmetic, against the cells' texts."""

import re
from math import prod

import numpy as np
import pytest

from cnnlab import (AddBias, Connect, Correlate, Exponential, Flatten, FullyConnected, MaxPool, Recipe, ReLU, Scale,
                    SoftmaxCrossEntropy, SumPool, run)
from cnnlab.counting import Printed, compare, count, count_recipe
from cnnlab.networks import CONNECTIONS, Network, lenet_5, lenet_5_1998, small_cnn
from tests.networks import NETWORKS, as_python

PUBLISHED = count(lenet_5_1998)


def shapes_of(network, picture):
    """The shapes of what a network of the tests is given, one picture at a time."""
    given = {name: np.shape(network.given[name]) for name in network.smooth}
    return given | {picture: given[picture][1:] if len(given[picture]) == 4 or picture == "values" else given[picture]}


def counted(name):
    picture = "values" if name == "used twice" else "image"
    return count_recipe(NETWORKS[name].forward, shapes_of(NETWORKS[name], picture), image=picture)


COUNTS = {"1998": PUBLISHED, "LeNet-5": count(lenet_5), "small CNN": count(small_cnn),
          **{f"tests: {name}": counted(name) for name in NETWORKS if name != "regularized"}}  # which is no network to use


# Against what is printed

@pytest.mark.parametrize("name, parameters, connections", [
    ("C1", 156, 122_304), ("S2", 12, 5_880), ("C3", 1_516, 151_600), ("S4", 32, 2_000), ("C5", 48_120, 48_120),
    ("F6", 10_164, 10_164), ("OUTPUT", 0, 840)])
def test_the_layers_of_1998_count_as_they_are_printed(name, parameters, connections):
    assert (PUBLISHED[name].parameters, PUBLISHED[name].connections) == (parameters, connections)


def test_the_sums_of_1998():
    assert PUBLISHED.parameters == 156 + 12 + 1_516 + 32 + 48_120 + 10_164 == 60_000
    assert PUBLISHED.connections == 122_304 + 5_880 + 151_600 + 2_000 + 48_120 + 10_164 + 840 == 340_908
    assert PUBLISHED.constants == PUBLISHED.fixed_connections == 10 * 84 == 840
    assert PUBLISHED.connections - PUBLISHED.fixed_connections == 340_068


def test_the_shapes_of_1998():
    shapes = {layer.name: layer.shape for layer in PUBLISHED.layers}
    assert shapes == {"C1": (6, 28, 28), "S2": (6, 14, 14), "C3": (16, 10, 10), "S4": (16, 5, 5), "C5": (120, 1, 1),
                      "F6": (84,), "OUTPUT": (10,)}


def test_every_printed_figure_is_compared_and_a_wrong_one_is_found():
    found = compare(PUBLISHED)
    assert len(found) == 14 and all(each.holds and each.counted == each.printed.number for each in found)
    assert {each.printed.source for each in found} == {"LeCun et al. 1998", "D3"}
    wrong, = compare(PUBLISHED, [Printed("nobody", "C3", "parameters", 2_416)])
    assert not wrong.holds and wrong.counted == 1_516


@pytest.mark.parametrize("network", [lenet_5_1998, lenet_5, small_cnn], ids=lambda each: each.title)
def test_what_is_counted_is_what_is_trained(network):
    started = network.start(1)
    assert count(network).parameters == network.size == sum(started[name].size for name in network.parameters)
    assert set(started) == {*network.parameters, *network.fixed}


# Against the arithmetic beside the counts

def worked_out(text):
    return eval(as_python(text.replace(",", "")), {})


@pytest.mark.parametrize("name", COUNTS)
def test_the_arithmetic_gives_the_count(name):
    for layer in COUNTS[name].layers:
        assert worked_out(layer.parameters_text) == layer.parameters, f"{layer.name}: {layer.parameters_text}"
        assert worked_out(layer.connections_text) == layer.connections, f"{layer.name}: {layer.connections_text}"
        assert worked_out(layer.constants_text) == layer.constants, f"{layer.name}: {layer.constants_text}"
    assert worked_out(COUNTS[name].parameters_text) == COUNTS[name].parameters
    assert worked_out(COUNTS[name].connections_text) == COUNTS[name].connections


def test_the_arithmetic_is_that_of_the_paper():
    texts = {layer.name: (layer.parameters_text, layer.connections_text) for layer in PUBLISHED.layers}
    assert texts["C1"] == ("(5×5×1 + 1)×6", "156×28×28")
    assert texts["S2"] == ("(1 + 1)×6", "(2×2 + 1)×6×14×14")
    assert texts["C3"] == ("60×5×5 + 16", "1,516×10×10")
    assert texts["F6"] == ("(120 + 1)×84",) * 2
    assert texts["OUTPUT"] == ("0", "84×10")


def test_every_equation_of_the_printed_table_holds():
    for name, each in COUNTS.items():
        sides = [re.sub(r" (fixed|\.)", "", equation).split(" = ") for line in each.table() for equation in line[2:]
                 if " = " in equation]
        assert all(worked_out(left) == worked_out(right) for left, right in sides) and sides, name
    assert "C3      16×10×10  60×5×5 + 16 = 1,516        1,516×10×10 = 151,600" in str(PUBLISHED)
    assert "340,908 − 840 fixed = 340,068" in str(PUBLISHED)


# Against the cells' own texts, and against slopes

REFERENCE = re.compile(r"(\w+)\[([\d,]+)\]")


def links(ledger, line) -> int:
    """Input cells and biases in the texts of a line's cells, without the products whose weight is a mere 0."""
    wanted = line.operation.bias if isinstance(line.operation, AddBias) else line.operation.inputs[0]
    zeros, found = left_out(ledger, line), 0
    for at in np.ndindex(np.shape(ledger[line.name])):
        for term in ledger.expand(line.name, at).split(" + "):
            cells = set(REFERENCE.findall(term))
            found += 0 if cells & zeros else sum(name == wanted for name, _ in cells)
    return found


def left_out(ledger, line) -> set:
    """The cells of the line's kernel that stand for no weight, as its text names them."""
    makers = {name: ledger.line(name) for name in line.operation.inputs}
    tables = [name for name, maker in makers.items() if maker and isinstance(maker.operation, Connect)]
    return {(name, ",".join(map(str, at))) for name in tables for at in np.ndindex(ledger[name].shape)
            if ledger.expand(name, at) == "0"}


def one_picture(network):
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=shape) for name, shape in network.shapes.items()}
    return run(network.forward, image=rng.normal(size=network.picture), label=1, **given, **network.fixed)


SUMMING = ("Correlate", "FullyConnected", "SumPool", "MaxPool", "AveragePool", "SquaredDistance", "AddBias")


@pytest.mark.parametrize("network", [lenet_5_1998, small_cnn], ids=lambda each: each.title)
def test_connections_are_the_cells_in_the_texts(network):
    ledger = one_picture(network)
    for layer in count(network).layers:
        in_texts = sum(links(ledger, line) for line in layer.lines if type(line.operation).__name__ in SUMMING)
        assert in_texts + layer.over_padding == layer.connections, layer.name


def test_connections_are_the_slopes_that_are_not_zero():
    """Each input cell of each layer is moved; the sums that move with it are connected to it."""
    ledger, found = one_picture(SMALL), {}
    for layer in count(SMALL).layers:
        line = next(line for line in layer.lines if type(line.operation).__name__ in SUMMING)
        values = [np.array(ledger[name]) for name in line.operation.inputs]
        before, moved = line.operation.compute(*values), 0
        for at in np.ndindex(values[0].shape):
            nudged = values[0].copy()
            nudged[at] += 1
            moved += np.count_nonzero(line.operation.compute(nudged, *values[1:]) != before)
        biases = sum(prod(layer.shape) for line in layer.lines if isinstance(line.operation, AddBias))
        found[layer.name] = moved + biases + layer.over_padding
    assert found == {layer.name: layer.connections for layer in count(SMALL).layers}


SMALL = Network("a user's own", Recipe(
    c1_sum=Correlate("image", "c1_kernel", stride=2, padding=1),
    c1=AddBias("c1_sum", "c1_bias"),
    s2_sum=SumPool("c1", size=2, stride=1),
    s2=Scale("s2_sum", "s2_coefficient"),
    c3_connected=Connect("c3_kernel", ((0, 2), (1,))),
    c3=Correlate("s2", "c3_connected"),
    flat=Flatten("c3"),
    fc_sum=FullyConnected("flat", "fc_weight"),
    logits=AddBias("fc_sum", "fc_bias"),
    loss=SoftmaxCrossEntropy("logits", "label")),
    {"c1_kernel": (3, 1, 3, 2), "c1_bias": (3,), "s2_coefficient": (3,), "c3_kernel": (3, 2, 1), "fc_weight": (4, 12),
     "fc_bias": (4,)}, (1, 7, 6))


def test_a_network_of_ones_own():
    # 7×6 with a border of 1 under 3×2 at stride 2: 4×4 places. Pooled 3×3. Under 2×1: 2×3, that is 12 cells
    assert [(layer.name, layer.parameters, layer.connections) for layer in count(SMALL).layers] == [
        ("C1", 3*(3*2 + 1), 3*(3*2 + 1)*4*4), ("S2", 3, 4*3*3*3), ("C3", 3*2, 3*2*2*3), ("FC", 4*(12 + 1), 4*(12 + 1))]


def test_connections_over_the_padding():
    # of 28 places in a row, the first two and the last two look 2, 1, 1 and 2 cells over the edge: 6 of 28×5
    assert PUBLISHED["C1"].over_padding == 6 * ((28 * 5)**2 - (28 * 5 - 6)**2) == 9_864
    assert "9,864 of C1's connections lead to the padding, whose cells are 0." in str(PUBLISHED)
    field_of_32 = count_recipe(Recipe(c1_sum=Correlate("image", "kernel"), c1=AddBias("c1_sum", "bias")),
                               {"image": (1, 32, 32), "kernel": (6, 1, 5, 5), "bias": (6,)})
    assert (field_of_32["C1"].connections, field_of_32["C1"].over_padding) == (122_304, 0)


# The connection table

def test_the_connection_table_is_table_1_of_the_paper():
    assert [len(maps) for maps in CONNECTIONS] == 6*[3] + 9*[4] + [6] and sum(map(len, CONNECTIONS)) == 60
    readers = [sum(c in maps for maps in CONNECTIONS) for c in range(6)]
    assert readers == 6*[10]  # every map of S2 is read by ten maps of C3
    in_a_row = [{(c + turn) % 6 for c in range(length)} for length in (3, 4) for turn in range(6)]
    assert list(map(set, CONNECTIONS[:12])) == in_a_row
    assert CONNECTIONS[12:] == ((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5))


def test_a_full_table_counts_as_a_full_convolution():
    full = tuple(tuple(range(6)) for _ in range(16))
    lines = dict(c3=AddBias("c3_sum", "bias"))
    shapes = {"image": (6, 14, 14), "bias": (16,)}
    partly = count_recipe(Recipe(kernels=Connect("kernel", full), c3_sum=Correlate("image", "kernels"), **lines),
                          shapes | {"kernel": (96, 5, 5)})
    plain = count_recipe(Recipe(c3_sum=Correlate("image", "kernel"), **lines), shapes | {"kernel": (16, 6, 5, 5)})
    assert (partly.parameters, partly.connections) == (plain.parameters, plain.connections) == (2_416, 241_600)


# What counts once, and what is refused

def test_a_weight_that_two_layers_share_is_one_number_and_many_connections():
    found = counted("used twice")
    assert found.parameters == 9 and found["H"].connections == found["AGAIN"].connections == 9


def test_a_picture_may_be_flattened_before_the_first_layer():
    recipe = Recipe(flat=Flatten("image"), fc=FullyConnected("flat", "w"))
    found = count_recipe(recipe, {"image": (1, 4, 5), "w": (3, 20)})
    assert found["FC"].connections == 60 and found["FC"].before == (20,)


@pytest.mark.parametrize("recipe, words", [
    (Recipe(c1=Correlate("image", "kernle")), "the shape of 'kernle' is missing; there are image, kernel"),
    (Recipe(c1=Correlate("image", "kernel"), e=Exponential("c1")), "what Exponential connects is not known"),
    (Recipe(shifted=AddBias("image", "bias")), "stands before the first layer"),
    (Recipe(bent=ReLU("kernel"), c1=Correlate("image", "bent")), "stands before the first layer"),
    (Recipe(c1=MaxPool("image", size=9)), "does not fit inside image")])
def test_what_cannot_be_counted_is_named(recipe, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        count_recipe(recipe, {"image": (1, 5, 5), "kernel": (1, 1, 2, 2), "bias": (1,)})


def test_unknown_layers_are_named():
    with pytest.raises(ValueError, match="no layer is named 'C2'; there are C1, S2, C3"):
        PUBLISHED["C2"]
