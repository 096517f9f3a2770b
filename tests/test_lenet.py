"""What only LeNet-5 of 1998 does, by hand; its network: how it starts, how it is laid out, that it learns."""

import math
import re

import numpy as np
import pytest

from cnnlab import (Connect, LineError, Recipe, Scale, ScaledTanh, SoftmaxCrossEntropy, SquaredDistance, SumPool,
                    backward, run, update)
from cnnlab.networks import CONNECTIONS, DIGITS, lenet_5, lenet_5_1998, prototypes, small_cnn


def out(operation, **given):
    return np.asarray(run(Recipe(out=operation), **given)["out"])


# The operations by hand

def test_subsampling_adds_scales_and_shifts():
    maps = [[[1, 10, 2, 20], [100, 1000, 200, 2000]], [[3, 30, 4, 40], [300, 3000, 400, 4000]]]
    summed = out(SumPool("v"), v=maps)
    assert summed.tolist() == [[[1111, 2222]], [[3333, 4444]]]
    assert out(Scale("v", "k"), v=summed, k=[2, -1]).tolist() == [[[2222, 4444]], [[-3333, -4444]]]
    assert out(SumPool("v", size=(1, 2), stride=1), v=maps[0]).tolist() == [[11, 12, 22], [1100, 1200, 2200]]


def test_a_coefficient_belongs_to_a_channel():
    assert out(Scale("v", "k"), v=[[1, 2], [3, 4]], k=10).tolist() == [[10, 20], [30, 40]]
    with pytest.raises(LineError, match=re.escape("k (3,) does not fit v (2, 1, 1)")):
        out(Scale("v", "k"), v=np.ones((2, 1, 1)), k=[1, 2, 3])


def test_a_connection_table_lays_out_a_kernel():
    kernel = out(Connect("k", ((2, 0), (1,))), k=[[[1, 2]], [[3, 4]], [[5, 6]]])
    assert kernel.shape == (2, 3, 1, 2)
    assert kernel.tolist() == [[[[3, 4]], [[0, 0]], [[1, 2]]], [[[0, 0]], [[5, 6]], [[0, 0]]]]


@pytest.mark.parametrize("table, words", [
    (((0, 1), (0,)), "k (2, 1, 1) does not fit its table of 3 connections: give (3, height, width)"),
    (((0, 0),), "each stands once in its row"), (((0, -1),), "input maps count from 0"),
    (((0,), ()), "give a tuple of input maps for each output map"), ((), "give a tuple"), (3, "give a tuple"),
    ((0, 1), "give a tuple")])
def test_a_table_that_does_not_fit_is_refused(table, words):
    with pytest.raises(LineError, match=re.escape(words)):
        out(Connect("k", table), k=np.ones((2, 1, 1)))


def test_the_scaled_tanh_keeps_1_and_bends_most_there():
    at = out(ScaledTanh("v"), v=[1, -1, 0, math.log(2) * 3/2, 100])
    assert at == pytest.approx([1, -1, 0, 1.7159 * 3/5, 1.7159], abs=2e-5)
    slopes = np.linspace(0, 3, 3001)
    bend = -np.diff(out(ScaledTanh("v"), v=slopes), 2)
    assert slopes[1 + bend.argmax()] == pytest.approx(1, abs=0.02)


def test_a_squared_distance_by_hand():
    assert out(SquaredDistance("v", "p"), v=[1, 2], p=[[1, 2], [4, -2], [0, 0]]).tolist() == [0, 9 + 16, 1 + 4]
    assert out(SquaredDistance("v", "p"), v=[[1, 2], [0, 0]], p=[[4, -2]]).tolist() == [[25], [20]]
    with pytest.raises(LineError, match=re.escape("p (1, 3) does not fit v (2,)")):
        out(SquaredDistance("v", "p"), v=[1, 2], p=[[1, 2, 3]])


# The network

def test_the_loss_is_equation_9_without_its_constant():
    """y_label + ln(sum of exp(-y_k)): what equation 9 leaves as j grows and exp(-j) vanishes."""
    rng = np.random.default_rng(0)
    distances, label = rng.uniform(0, 9, size=(4, 10)), [3, 1, 4, 1]
    ours = out(SoftmaxCrossEntropy("z", "label"), z=-distances, label=label)
    for j, nearness in ((1, 1), (20, 1e-8), (200, 1e-12)):
        equation_9 = np.mean([y[k] + math.log(math.exp(-j) + np.exp(-y).sum()) for y, k in zip(distances, label)])
        assert 0 <= equation_9 - ours + 1e-12 < nearness + 1e-12


def test_the_prototypes_are_drawings_of_ten_digits():
    codes = prototypes()
    assert codes.shape == (10, 7 * 12) and set(codes.ravel()) == {-1, 1}
    apart = ((codes[:, None] - codes) ** 2).sum(axis=-1)
    assert apart[~np.eye(10, dtype=bool)].min() >= 4 * 4  # no two are drawn alike: at least four cells differ
    zero = codes[0].reshape(12, 7)
    assert zero[3].tolist() == [1, 1, -1, -1, -1, 1, 1] and (zero[[0, -1]] == -1).all()
    assert {len(drawing) for line in DIGITS.split("\n") if line for drawing in line.split()} == {7}


def test_every_weight_starts_by_its_number_of_inputs():
    started = lenet_5_1998.start(3)
    slices = [started["c3_kernel"][[s for s, maps in enumerate(SLICES) if maps == number]] for number in (3, 4, 6)]
    for weights, inputs in [(started["c5_kernel"], 400), (started["f6_weight"], 120),
                            *zip(slices, (3 * 25, 4 * 25, 6 * 25))]:
        assert weights.std() == pytest.approx(math.sqrt(2 / inputs), rel=0.15)
    assert (started["s2_coefficient"] == 1/4).all() and (started["s4_coefficient"] == 1/4).all()
    assert all((started[name] == 0).all() for name in started if name.endswith("bias"))
    assert (started["prototypes"] == prototypes()).all()
    assert {each.dtype.name for each in started.values()} == {"float32"}


SLICES = [len(maps) for maps in CONNECTIONS for _ in maps]


def test_weights_are_the_parameters_that_are_no_biases():
    assert lenet_5_1998.weights == (
        "c1_kernel", "s2_coefficient", "c3_kernel", "s4_coefficient", "c5_kernel", "f6_weight")
    for network in (small_cnn, lenet_5):
        assert network.weights == tuple(name for name, shape in network.shapes.items() if len(shape) > 1)
        assert network.fixed == network.starts == {} and set(network.start()) == set(network.shapes)


def given(seed, count=5):
    rng = np.random.default_rng(seed)
    images = rng.uniform(size=(count, 1, 28, 28)).astype(np.float32)
    return {**lenet_5_1998.start(seed), "image": images, "label": rng.integers(0, 10, count).astype(np.float32)}


STEP = backward(lenet_5_1998.forward, to=lenet_5_1998.parameters)


def test_images_stay_innermost_in_memory_and_float32_stays():
    ledger = run(STEP, **given(1))
    assert {value.dtype.name for value in ledger.values()} == {"float32"}
    maps = {name: value for name, value in ledger.items() if value.ndim == 4 and len(value) == 5 and name != "image"}
    assert len(maps) > 30
    assert [name for name, value in maps.items() if not value.transpose(2, 1, 3, 0).flags.c_contiguous] == []
    rows = ("flat", "f6", "output", "logits", "d_f6_tanh", "d_f6", "d_flat")
    assert [name for name in rows if not ledger[name].T.flags.c_contiguous] == []


def test_a_batch_is_its_images_one_by_one():
    numbers = given(2, 3)
    whole = run(STEP, **numbers)
    single = [run(STEP, **numbers | {"image": numbers["image"][n], "label": numbers["label"][n]}) for n in range(3)]
    for name in ("c1_tanh", "s2_tanh", "c3_tanh", "s4", "c5", "f6", "logits"):
        np.testing.assert_allclose(whole[name], np.stack([each[name] for each in single]), rtol=2e-3, atol=2e-4)
    for name in lenet_5_1998.parameters:
        found = np.mean([each[f"d_{name}"] for each in single], axis=0)
        np.testing.assert_allclose(whole[f"d_{name}"], found, rtol=2e-3, atol=2e-3 * np.abs(found).max(), err_msg=name)


def test_it_learns():
    """Thirty steps of plain gradient descent on ten pictures: its own prototypes, in a field of 28×28."""
    pictures = np.zeros((10, 1, 28, 28), np.float32)
    pictures[:, 0, 2:26, 7:21] = (prototypes().reshape(10, 12, 7).repeat(2, axis=1).repeat(2, axis=2) > 0)
    numbers = {**lenet_5_1998.start(0), "image": pictures, "label": np.arange(10), "learning_rate": 0.001}
    recipe = update(STEP, *lenet_5_1998.parameters)
    losses = []
    for _ in range(30):
        ledger = run(recipe, **numbers)
        losses.append(float(ledger["loss"]))
        numbers = ledger.after()
    assert losses[-1] < 0.1 * losses[0]
    assert (ledger["logits"].argmax(axis=1) == range(10)).mean() >= 0.9
