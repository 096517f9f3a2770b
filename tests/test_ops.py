"""Each operation: its arithmetic by hand, its text equal to its value at every cell, its shapes, its kinks."""

import math

import numpy as np
import pytest

import cnnlab
from cnnlab import (AddBias, AveragePool, Correlate, CrossEntropy, CrossEntropyGradient, Flatten, FullyConnected,
                    HalfSquaredError, HalfSquaredErrorGradient, MaxPool, Operation, Products, Recipe, ReLU, Sigmoid,
                    Softmax, SoftmaxCrossEntropy, SoftmaxCrossEntropyGradient, Tanh, Total, TransposedCorrelate,
                    backward, run)
from cnnlab.arithmetic import FUNCTIONS
from tests.networks import INDEPENDENT, NETWORKS, settings

OPERATIONS = [thing for name in cnnlab.ops.__all__ if isinstance(thing := getattr(cnnlab, name), type)]
LINES = [(network, line.name) for network, each in NETWORKS.items() for line in each.recipe]


def out(operation, **given):
    """What one operation makes of numbers."""
    return np.asarray(run(Recipe(out=operation), **given)["out"])


def same(got, expected, what, tolerance=1e-12):
    """Cell by cell; a failure says which cell."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: got shape {got.shape}, expected {expected.shape}"
    for at in np.ndindex(expected.shape):
        assert math.isclose(got[at], expected[at], rel_tol=tolerance, abs_tol=tolerance), \
            f"{what}{list(at)}: got {got[at]!r}, expected {expected[at]!r}"


def test_the_networks_use_every_operation():
    used = {type(line.operation) for network in NETWORKS.values() for line in network.recipe}
    assert set(OPERATIONS) - {Operation} == used


@pytest.mark.parametrize("network, name", LINES)
def test_the_text_of_every_cell_gives_the_recorded_value(network, name):
    ledger = NETWORKS[network].step
    texts = ledger.explain(name, whole=True).python.split("\n")
    found = [eval(text, {"__builtins__": {}}, FUNCTIONS) for text in texts]
    same(np.reshape(found, np.shape(ledger[name])), ledger[name], f"{network}: {ledger.line(name)}: {name}")


@pytest.mark.parametrize("network", NETWORKS)
def test_forward_lines_equal_the_same_operations_written_again(network):
    ledger, checked = NETWORKS[network].step, 0
    for name, operation in NETWORKS[network].forward:
        if type(operation) in INDEPENDENT:
            again = INDEPENDENT[type(operation)](*[ledger[each] for each in operation.inputs], **settings(operation))
            same(ledger[name], again, f"{network}: {name}")
            checked += 1
    assert checked > 2


# Powers of ten: the digits of a result show which cells were read, and which weight each one met.

TENS = [[1, 10], [1000, 10_000]]
NINE = np.arange(1, 10).reshape(3, 3)


def test_a_kernel_is_not_flipped():
    assert out(Correlate("x", "k"), x=[[1, 2], [3, 4]], k=TENS) == 1*1 + 2*10 + 3*1000 + 4*10_000 == 43_021


def test_a_kernel_slides_to_the_right_first():
    same(out(Correlate("x", "k"), x=NINE, k=TENS), [[54_021, 65_032], [87_054, 98_065]], "out")


def test_padding_adds_zeros_all_around():
    padded = out(Correlate("x", "k", padding=1), x=NINE, k=TENS)
    same(padded[0], [10_000, 21_000, 32_000, 3000], "top row")
    same(padded[:, 0], [10_000, 40_010, 70_040, 70], "left column")
    same(padded[-1], [70, 87, 98, 9], "bottom row")


def test_padding_and_stride_are_vertical_then_horizontal():
    assert out(Correlate("x", "k", padding=(1, 0)), x=NINE, k=TENS).shape == (4, 2)
    same(out(Correlate("x", "k", stride=(1, 2)), x=NINE, k=[[1]]), [[1, 3], [4, 6], [7, 9]], "out")
    same(out(Correlate("x", "k", stride=(2, 1)), x=NINE, k=[[1]]), [[1, 2, 3], [7, 8, 9]], "out")


def test_a_stride_that_does_not_fit_leaves_the_last_cells_out():
    same(out(Correlate("x", "k", stride=2), x=NINE, k=TENS), [[54_021]], "out")


def test_channels_are_added_and_kernels_are_not():
    x = [[[1]], [[2]], [[3]]]
    assert out(Correlate("x", "k"), x=x, k=[[[1]], [[10]], [[100]]]) == 321
    same(out(Correlate("x", "k"), x=x, k=[[[[1]], [[10]], [[100]]], [[[100]], [[10]], [[1]]]]), [[[321]], [[123]]],
         "out")


def test_one_picture_in_every_form_gives_the_same_cells():
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(4, 5)), rng.normal(size=(2, 3))
    plain = out(Correlate("x", "k", stride=2, padding=1), x=x, k=k)
    forms = [((1,), x, k[None, None]), ((), x[None], k[None]), ((1,), x[None], k[None, None]),
             ((1, 1), x[None, None], k[None, None])]
    for lead, image, kernel in forms:
        same(out(Correlate("x", "k", stride=2, padding=1), x=image, k=kernel), plain.reshape(lead + plain.shape), lead)


def test_the_products_add_up_to_the_convolution_sum():
    ledger = NETWORKS["colour batch"].step
    assert ledger["products"].shape == (2, 4, 3, 4, 3, 3, 2)
    same(ledger["products"].sum(axis=(-3, -2, -1)), ledger["conv_sum"], "conv_sum")


def test_products_stand_where_their_factors_stand():
    same(out(Products("x", "k"), x=[[1, 2], [3, 4]], k=TENS), [[[[1, 20], [3000, 40_000]]]], "products")
    same(out(Products("x", "k", padding=1), x=[[5]], k=TENS)[0, 0], [[0, 0], [0, 50_000]], "products over the corner")


def test_the_transposed_correlation_adds_where_windows_overlap():
    # a 3×3 picture of ones under a 2×2 kernel: the middle cell is seen four times
    d_image = out(TransposedCorrelate("d", "k", "x"), d=np.ones((2, 2)), k=np.ones((2, 2)), x=np.zeros((3, 3)))
    same(d_image, [[1, 2, 1], [2, 4, 2], [1, 2, 1]], "d_image")
    same(out(TransposedCorrelate("d", "k", "x"), d=[[1]], k=TENS, x=np.zeros((2, 2))), TENS, "d_image")


def test_a_bias_belongs_to_a_channel():
    same(out(AddBias("v", "b"), v=np.zeros((2, 2, 2)), b=[1, 10]), [[[1, 1], [1, 1]], [[10, 10], [10, 10]]], "maps")
    same(out(AddBias("v", "b"), v=np.zeros((2, 3)), b=[1, 10, 100]), [[1, 10, 100], [1, 10, 100]], "rows of outputs")
    same(out(AddBias("v", "b"), v=np.zeros((2, 2)), b=5), [[5, 5], [5, 5]], "one map")


def test_flatten_keeps_reading_order_and_images_apart():
    x = np.arange(24).reshape(2, 3, 2, 2)
    same(out(Flatten("x"), x=x), [range(12), range(12, 24)], "batch")
    same(out(Flatten("x"), x=x[0]), range(12), "one picture of three channels")
    same(out(Flatten("x"), x=x[0, 0]), range(4), "one map")


def test_fully_connected_is_one_row_of_weights_an_output():
    same(out(FullyConnected("v", "w"), v=[1, 2], w=[[1, 10], [100, 1000]]), [21, 2100], "one image")
    same(out(FullyConnected("v", "w"), v=[[1, 2], [3, 4]], w=[[1, 10]]), [[21], [43]], "two images")


def test_activations_by_hand():
    same(out(ReLU("v"), v=[-2, 0, 3]), [0, 0, 3], "relu")
    same(out(Sigmoid("v"), v=[0, math.log(3), -math.log(3)]), [1/2, 3/4, 1/4], "sigmoid")
    same(out(Tanh("v"), v=[0, math.log(2)]), [0, 3/5], "tanh")
    same(out(Total("v"), v=[[1, 10], [100, 1000]]), [11, 1100], "total")


def test_a_sigmoid_far_out_neither_overflows_nor_leaves_its_range():
    same(out(Sigmoid("v"), v=[1000, -1000, -700]), [1, 0, math.exp(-700)], "sigmoid")


def test_pooling_by_hand():
    same(out(MaxPool("v"), v=[[1, 9, 3, 4], [5, 6, 7, 8]]), [[9, 8]], "max")
    same(out(AveragePool("v"), v=[[1, 9, 3, 4], [5, 7, 7, 10]]), [[22/4, 24/4]], "average")
    same(out(MaxPool("v", size=(1, 2), stride=1), v=[[1, 9, 3, 4]]), [[9, 9, 4]], "windows that overlap")
    same(out(MaxPool("v", size=2, stride=3), v=-np.arange(25).reshape(5, 5)), [[0, -3], [-15, -18]], "windows apart")


def test_losses_by_hand():
    same(out(Softmax("z"), z=[0, math.log(3)]), [1/4, 3/4], "p")
    same(out(CrossEntropy("p", "y"), p=[1/4, 3/4], y=0), math.log(4), "loss")
    same(out(CrossEntropy("p", "y"), p=[[1/4, 3/4], [1/2, 1/2]], y=[0, 1]), (math.log(4) + math.log(2))/2, "a mean")
    same(out(SoftmaxCrossEntropy("z", "y"), z=[0, math.log(3)], y=1), math.log(4/3), "in one go")
    same(out(SoftmaxCrossEntropy("z", "y"), z=[[0, math.log(3)], [0, 0]], y=[0, 1]), (math.log(4) + math.log(2))/2,
         "a mean")
    same(out(HalfSquaredError("o", "t"), o=[[1, 2], [3, 4]], t=[[0, 0], [0, 1]]), (1 + 4 + 9 + 9)/2, "a sum")


def test_a_vanished_probability_costs_much_but_not_infinity():
    assert out(CrossEntropy("p", "y"), p=[0, 1], y=0) == pytest.approx(708.396, abs=1e-3)
    assert out(SoftmaxCrossEntropy("z", "y"), z=[1000, -1000], y=1) == 2000
    assert out(SoftmaxCrossEntropy("z", "y"), z=[1000, -1000], y=0) == 0
    same(out(Softmax("z"), z=[1000, -1000]), [1, 0], "p")


EDGES = {
    "logits": (Recipe(p=Softmax("z"), loss=SoftmaxCrossEntropy("z", "y")),
               dict(z=[[1000, -1000, 999], [-2000, -2001, -2002]], y=[1, 0])),
    "vanished": (Recipe(p=Softmax("z"), loss=CrossEntropy("p", "y")), dict(z=[-900, 900], y=0)),
    "batch of vanished": (Recipe(loss=CrossEntropy("p", "y")), dict(p=[[0, 1], [.5, .5]], y=[0, 0])),
    "ties": (Recipe(m=MaxPool("v", size=2, stride=1), loss=HalfSquaredError("m", "t")),
             dict(v=np.ones((3, 3)), t=np.arange(4).reshape(2, 2))),
    "on the kink": (Recipe(m=ReLU("v"), loss=HalfSquaredError("m", "t")), dict(v=[-1, 0, 1], t=[3, 3, 3])),
    "one number": (Recipe(o=FullyConnected("x", "w"), loss=HalfSquaredError("o", "t")), dict(x=[3], w=[[2]], t=1)),
    "far out": (Recipe(s=Sigmoid("v"), loss=HalfSquaredError("s", "t")),
                dict(v=[-1000, -800, -1, 0, 1, 1000], t=np.zeros(6))),
}


@pytest.mark.parametrize("case", EDGES)
def test_the_text_gives_the_value_at_the_edges_too(case):
    recipe, numbers = EDGES[case]
    equals_its_text(run(backward(recipe), **numbers))


def test_the_text_of_a_loss_gradient_shows_what_arrives():
    ledger = run(Recipe(d_p=CrossEntropyGradient("p", "y", "d"), d_z=SoftmaxCrossEntropyGradient("p", "y", "d"),
                        d_o=HalfSquaredErrorGradient("o", "t", "d")), p=[.25, .75], y=1, o=[1, 2], t=[.25, .75], d=3)
    same(ledger["d_p"], [0, -3/.75], "d_p")
    same(ledger["d_z"], [3*.25, 3*(.75 - 1)], "d_z")
    equals_its_text(ledger)


def equals_its_text(ledger):
    """Every cell of every line is what its text gives."""
    for name in ledger.recipe.names:
        for at in np.ndindex(np.shape(ledger[name])):
            text = ledger.explain(name, at).python
            same(eval(text, {"__builtins__": {}}, FUNCTIONS), ledger[name][at], f"{name}{at} = {text}")


def test_float32_stays_float32():
    for network in ("colour batch", "two layers", "used twice"):
        given = {name: np.asarray(value, np.float32) for name, value in NETWORKS[network].given.items()}
        ledger = run(NETWORKS[network].recipe, **given)
        assert {name: value.dtype.name for name, value in ledger.items() if value.dtype != np.float32} == {}
        for name, value in NETWORKS[network].step.items():
            np.testing.assert_allclose(ledger[name], value, rtol=1e-3, atol=1e-4, err_msg=name)
