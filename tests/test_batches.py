"""The fast way of a batch: cell by cell what the definition says and what the readable way does picture by picture.

Numbers are whole and small, so every sum is exact in float32 too, and "equal" means equal. They lie in memory in
every order that a caller may bring.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import integers

from cnnlab.data import digits_8x8
from cnnlab.gradients import backward
from cnnlab.ledger import replay, run
from cnnlab.networks import lenet_5, small_cnn
from cnnlab.ops import (AddBias, AveragePool, AveragePoolGradient, BiasGradient, Correlate, Flatten, KernelGradient,
                        MaxPool, MaxPoolGradient, TransposedCorrelate, Unflatten, batches)
from cnnlab.training import Settings, Training

few = settings(max_examples=300, deadline=None, derandomize=True)
dtypes, seeds = st.sampled_from(["float32", "float64"]), integers(0, 2**32)


def pairs(least, most):
    return st.tuples(integers(least, most), integers(least, most))


def spaced(values):
    """Every second cell of a larger array."""
    larger = np.full([2 * side for side in values.shape], np.nan, values.dtype)
    larger[(slice(None, None, 2),) * values.ndim] = values
    return larger[(slice(None, None, 2),) * values.ndim]


LAYOUTS = {
    "reading order": np.ascontiguousarray,
    "images innermost": lambda values: np.ascontiguousarray(values.transpose(2, 1, 3, 0)).transpose(3, 1, 0, 2),
    "first axis innermost": np.asfortranarray,
    "channels innermost": lambda values: np.ascontiguousarray(values.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "backwards": lambda values: np.ascontiguousarray(values[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
    "spaced": spaced}
layouts = st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 3)


def whole(seed, shape, dtype, layout="reading order", most=9):
    """Whole numbers, read-only, in some order in memory."""
    values = LAYOUTS[layout](np.random.default_rng([seed, *shape]).integers(-most, most + 1, shape).astype(dtype))
    values.setflags(write=False)
    return values


def worked_out(operation, *values):
    """The result, once it is sure that it has the inputs' dtype, left them alone and cannot be used to change them."""
    before = [value.copy() for value in values]
    result = operation.compute(*values)
    assert result.dtype == values[0].dtype
    for value, old in zip(values, before):
        assert np.array_equal(value, old) and not (result.flags.writeable and np.shares_memory(result, value))
    return result


def equal(got, expected, what):
    """Every cell is the same; a failure says which is not."""
    assert got.shape == expected.shape, f"{what}: got shape {got.shape}, expected {expected.shape}"
    np.testing.assert_array_equal(got, expected, err_msg=what)


# Convolution

@st.composite
def convolutions(draw, side=4):
    """(image, kernel, y, settings): y has the shape of the result, strides may pass the kernel, so may padding."""
    (n, c), o, (high, wide) = draw(pairs(1, 3)), draw(integers(1, 2)), draw(pairs(1, 3))
    stride, (top, left) = draw(st.just((1, 1)) | pairs(1, 4)), draw(pairs(0, 4))
    h, w = draw(integers(max(1, high - 2 * top), side)), draw(integers(max(1, wide - 2 * left), side))
    rows, columns = (h + 2 * top - high) // stride[0] + 1, (w + 2 * left - wide) // stride[1] + 1
    seed, dtype, laid = draw(seeds), draw(dtypes), draw(layouts)
    shapes = (n, c, h, w), (o, c, high, wide), (n, o, rows, columns)
    numbers = [whole(seed, shape, dtype, layout) for shape, layout in zip(shapes, laid)]
    return *numbers, {"stride": stride, "padding": (top, left)}


small = st.sampled_from([20, 100, batches.SMALL])  # the multiplications of a part: of one column, of several, of all


@contextmanager
def parts(most, of_result=batches.SMALL_RESULT):
    """Products are worked out in parts of so many multiplications; layouts, which know their parts, are made anew."""
    with patch.object(batches, "SMALL", most), patch.object(batches, "SMALL_RESULT", of_result), \
            patch.object(batches, "FEWEST", 1), patch.object(batches, "kept", batches.Kept()):
        yield


def three(image, kernel, y, common):
    """(the convolution, the gradient of its kernel, that of its image)."""
    return (worked_out(Correlate("x", "k", **common), image, kernel),
            worked_out(KernelGradient("x", "y", "k", **common), image, y, kernel),
            worked_out(TransposedCorrelate("y", "k", "x", **common), y, kernel, image))


def three_by_definition(image, kernel, y, common):
    """Product by product, where the image has the cell."""
    maps, d_kernel, d_image = np.zeros(y.shape), np.zeros(kernel.shape), np.zeros(image.shape)
    for (n, o, i, j), (c, u, v) in ((out, at) for out in np.ndindex(y.shape) for at in np.ndindex(kernel.shape[1:])):
        row, column = (at * step + inner - pad for at, step, inner, pad
                       in zip((i, j), common["stride"], (u, v), common["padding"]))
        if 0 <= row < image.shape[2] and 0 <= column < image.shape[3]:
            maps[n, o, i, j] += image[n, c, row, column] * kernel[o, c, u, v]
            d_kernel[o, c, u, v] += image[n, c, row, column] * y[n, o, i, j]
            d_image[n, c, row, column] += kernel[o, c, u, v] * y[n, o, i, j]
    return maps, d_kernel, d_image


def three_by_picture(image, kernel, y, common):
    """One picture and one kernel at a time, in the readable form (C, H, W) with (C, KH, KW)."""
    cells = [[three(x, k, y[n, o], common) for o, k in enumerate(kernel)] for n, x in enumerate(image)]
    maps, d_kernels, d_images = (np.array([[each[at] for each in row] for row in cells]) for at in range(3))
    return maps, d_kernels.sum(axis=0), d_images.sum(axis=1)


NAMES = "out", "d_kernel", "d_image"


@few
@given(convolutions(), small)
def test_a_batch_is_convolved_by_the_definition(case, most):
    with parts(most, most):
        for name, got, expected in zip(NAMES, three(*case), three_by_definition(*case)):
            equal(got, expected, name)


@few
@given(convolutions(side=12), small)
def test_a_batch_is_convolved_as_its_pictures_are_one_by_one(case, most):
    with parts(most):
        for name, got, expected in zip(NAMES, three(*case), three_by_picture(*case)):
            equal(got, expected, name)


@few
@given(convolutions(side=12), integers(-9, 9))
def test_a_batch_is_linear_and_its_gradients_are_adjoints(case, factor):
    """<conv(x, k), y> = <k, d_kernel(x, y)> = <x, d_image(y, k)>, and f(a*x + z) = a*f(x) + f(z)."""
    image, kernel, y, common = case
    maps, d_kernel, d_image = three(*case)
    inner = [np.vdot(first.astype(float), second) for first, second in
             ((maps, y), (d_kernel, kernel), (d_image, image))]
    assert inner[0] == inner[1] == inner[2]
    z, t = whole(1, image.shape, image.dtype), whole(2, y.shape, y.dtype)
    moved, apart = three(factor * image + z, kernel, y, common), three(z, kernel, t, common)
    equal(moved[0], factor * maps + apart[0], "out")
    equal(moved[1], factor * d_kernel + three(z, kernel, y, common)[1], "d_kernel")
    equal(three(image, kernel, factor * y + t, common)[2], factor * d_image + apart[2], "d_image")


# The memory that is used again

SHAPES = {"image": (3, 2, 5, 5), "kernel": (4, 2, 3, 3), "y": (3, 4, 5, 5)}
SAME = {"stride": (1, 1), "padding": (1, 1)}


@pytest.fixture
def kept():
    """What this thread keeps, empty at first."""
    with patch.object(batches, "kept", batches.Kept()):
        yield batches.kept


def drawn(seed=0, **shapes):
    return [whole(seed + at, shape, "float32") for at, shape in enumerate((SHAPES | shapes).values())]


def test_pictures_that_change_are_laid_out_anew(kept):
    image, kernel, y = drawn()
    image = image.copy()
    before = three_by_definition(image, kernel, y, SAME)
    for got, expected in zip(three(image, kernel, y, SAME), before):
        equal(got, expected, "before")
    image += 1
    for got, expected in zip(three(image, kernel, y, SAME), three_by_definition(image, kernel, y, SAME)):
        equal(got, expected, "after")


def test_read_only_pictures_are_laid_out_once_and_let_go(kept):
    image, kernel, y = drawn()
    right = three_by_definition(image, kernel, y, SAME)
    Correlate("x", "k", **SAME).compute(image, kernel)
    layout, = kept.layouts.values()
    assert layout.held() is image
    layout.parts = [(None, None)]  # nothing can be copied now
    equal(KernelGradient("x", "y", "k", **SAME).compute(image, y, kernel), right[1], "d_kernel")
    del image
    assert layout.held() is None
    with pytest.raises(TypeError):
        Correlate("x", "k", **SAME).compute(drawn(9)[0], kernel)


def test_a_copy_that_was_broken_off_is_made_again(kept):
    (image, kernel, y), (other, *_) = drawn(), drawn(9)
    Correlate("x", "k", **SAME).compute(image, kernel)
    layout, = kept.layouts.values()
    parts, layout.parts = layout.parts, [layout.parts[0], (None, None)]
    with pytest.raises(TypeError):  # as an interrupt would: the first kernel column is the other picture's
        Correlate("x", "k", **SAME).compute(other, kernel)
    layout.parts = parts
    equal(Correlate("x", "k", **SAME).compute(image, kernel), three_by_definition(image, kernel, y, SAME)[0], "out")


def test_threads_do_not_share_the_memory():
    cases = [drawn(seed, image=(40, 4, 20, 20), kernel=(4, 4, 3, 3), y=(40, 4, 20, 20)) for seed in range(0, 40, 10)]
    expected = [three(*case, SAME) for case in cases]
    started = threading.Barrier(len(cases))

    def again_and_again(case):
        started.wait()
        return [three(*case, SAME) for _ in range(10)]
    with ThreadPoolExecutor(len(cases)) as pool:
        for found, right in zip(pool.map(again_and_again, cases), expected):
            assert all(np.array_equal(*pair) for each in found for pair in zip(each, right))


def test_what_is_kept_has_a_bound(kept):
    for count in range(1, 3 * batches.MOST_LAYOUTS):
        image, kernel, y = drawn(image=(count, 2, 5, 5), y=(count, 4, 5, 5))
        for got, expected in zip(three(image, kernel, y, SAME), three_by_definition(image, kernel, y, SAME)):
            equal(got, expected, f"{count} pictures")
        assert len(kept.layouts) <= batches.MOST_LAYOUTS
    kept.layouts.clear()
    with patch.object(batches, "LARGEST_LAYOUT", 1):
        three(image, kernel, y, SAME)
    assert not kept.layouts


def test_a_read_only_view_of_pictures_that_change_is_read_anew(kept):
    image, kernel = np.zeros((1, 1, 3, 3)), np.ones((1, 1, 2, 2))
    shown = image.view()
    shown.setflags(write=False)
    line = Correlate("x", "k")
    assert line.compute(shown, kernel).sum() == 0
    image += 7
    assert line.compute(shown, kernel).tolist() == [[[[28, 28], [28, 28]]]]


def test_the_pictures_of_a_training_step_are_laid_out_once(kept):
    training = Training(small_cnn, digits_8x8(), Settings(epochs=1))
    training.take_step()
    ledger = training.ledger
    held = [layout.held() for layout in kept.layouts.values()]
    assert any(each is ledger["image"] for each in held) and any(each is ledger["s2"] for each in held)


# The lines between convolutions

@few
@given(st.tuples(integers(1, 3), integers(1, 3), integers(1, 5), integers(1, 5)), seeds, dtypes, layouts)
def test_biases_and_flattening_are_their_definitions_in_every_order_of_memory(shape, seed, dtype, laid):
    values, pattern = (whole(seed + at, shape, dtype, layout) for at, layout in enumerate(laid[:2]))
    bias = whole(seed, shape[1:2], dtype)
    added, total, flat = np.empty(shape), np.zeros(shape[1]), np.empty((shape[0], values[0].size))
    for at, (n, c, i, j) in enumerate(np.ndindex(shape)):
        added[n, c, i, j] = values[n, c, i, j] + bias[c]
        total[c] += values[n, c, i, j]
        flat[n, at % flat.shape[1]] = values[n, c, i, j]
    equal(worked_out(AddBias("v", "b"), values, bias), added, "AddBias")
    equal(worked_out(BiasGradient("v", "b"), values, bias), total, "BiasGradient")
    equal(worked_out(Flatten("v"), values), flat, "Flatten")
    for order in "C", "F":
        equal(worked_out(Unflatten("d", "v"), flat.astype(dtype, order), pattern), values, f"Unflatten {order}")


@pytest.mark.parametrize("one, other", [("float32", "float64"), ("float64", "float32")])
def test_a_bias_of_another_precision_is_added_in_double(one, other):
    values, bias = np.full((2, 3, 4, 5), 0.1, one), np.array([0.1, 0.2, 0.3], other)
    added = AddBias("v", "b").compute(values, bias)
    assert added.dtype == float and np.array_equal(added, values + bias.reshape(3, 1, 1))


def test_a_bias_that_is_one_number_is_added_to_every_cell_of_a_batch():
    values = np.arange(120, dtype="float32").reshape(2, 3, 4, 5)
    assert np.array_equal(AddBias("v", "b").compute(values, np.array(0.5)), values + 0.5)


def pooled_by_definition(values, y, size, stride):
    """(maxima, averages, gradient of each): window by window; of equal cells the first in reading order wins."""
    largest, average = np.empty(y.shape), np.empty(y.shape)
    d_largest, d_average = np.zeros(values.shape), np.zeros(values.shape)
    for n, c, i, j in np.ndindex(y.shape):
        cells = [(n, c, i * stride[0] + u, j * stride[1] + v) for u, v in np.ndindex(*size)]
        winner = max(cells, key=lambda at: values[at])  # the first of equal ones
        largest[n, c, i, j], average[n, c, i, j] = values[winner], sum(values[at] for at in cells) / len(cells)
        d_largest[winner] += y[n, c, i, j]
        for at in cells:
            d_average[at] += y[n, c, i, j] / len(cells)
    return largest, average, d_largest, d_average


@few
@given(st.data(), pairs(1, 3), st.none() | pairs(1, 3), pairs(1, 3), integers(0, 1), dtypes, layouts)
def test_pooling_is_its_definition_on_plateaus_too(data, size, stride, lead, most, dtype, laid):
    shape = (*lead, data.draw(integers(size[0], 7)), data.draw(integers(size[1], 7)))
    steps, seed = stride or size, data.draw(seeds)
    values = whole(seed, shape, dtype, laid[0], most)  # -1, 0 and 1, or all 0: nearly every window has a tie
    pools = [(side - wide) // step + 1 for side, wide, step in zip(shape[2:], size, steps)]
    y = whole(seed, (*lead, *pools), dtype, laid[1])
    largest, average, d_largest, d_average = pooled_by_definition(values, y, size, steps)
    common = {"size": size, "stride": stride}
    pooled = LAYOUTS[laid[2]](worked_out(MaxPool("v", **common), values))
    equal(pooled, largest, "MaxPool")
    equal(worked_out(MaxPoolGradient("y", "v", "p", **common), y, values, pooled), d_largest, "MaxPoolGradient")
    rounding = 100 * np.finfo(dtype).eps  # the only numbers here that are not whole
    got = worked_out(AveragePool("v", **common), values)
    np.testing.assert_allclose(got, average, rtol=0, atol=rounding, err_msg="AveragePool")
    got = worked_out(AveragePoolGradient("y", "v", **common), y, values)
    np.testing.assert_allclose(got, d_average, rtol=0, atol=rounding, err_msg="AveragePoolGradient")


# A whole network

LENET = backward(lenet_5.forward, to=list(lenet_5.parameters))


def start(dtype="float64", layout="reading order"):
    """Eight random pictures, and LeNet-5 with biases that are not 0, so that no unit sits on the kink of ReLU."""
    rng = np.random.default_rng(3)
    parameters = {name: value if value.ndim > 1 else rng.normal(size=value.shape).astype("float32") / 10
                  for name, value in lenet_5.start(3).items()}
    numbers = {"image": LAYOUTS[layout](rng.random((8, 1, 28, 28), "float32"))} | parameters
    return {"label": rng.integers(0, 10, 8)} | {name: value.astype(dtype) for name, value in numbers.items()}


def loss_of_autograd(parameters, image, label):
    """LeNet-5 in autograd's NumPy: one product for each kernel cell, pooling by the larger of neighbours."""
    maps = image
    for name, padding in (("c1", 2), ("c3", 0)):
        kernel, around = parameters[f"{name}_kernel"], (padding, padding)
        maps, side = anp.pad(maps, ((0, 0), (0, 0), around, around), "constant"), maps.shape[2] + 2 * padding - 4
        sums = sum(anp.einsum("nchw,oc->nohw", maps[:, :, u:u + side, v:v + side], kernel[:, :, u, v])
                   for u, v in np.ndindex(5, 5))
        rectified = anp.maximum(sums + parameters[f"{name}_bias"][:, None, None], 0)
        tall = anp.maximum(rectified[:, :, ::2], rectified[:, :, 1::2])
        maps = anp.maximum(tall[..., ::2], tall[..., 1::2])
    row = maps.reshape((8, 400))
    for name in ("c5", "f6"):
        row = anp.maximum(anp.dot(row, parameters[f"{name}_weight"].T) + parameters[f"{name}_bias"], 0)
    scores = anp.dot(row, parameters["fc_weight"].T) + parameters["fc_bias"]
    return anp.mean(anp.log(anp.sum(anp.exp(scores), axis=1)) - scores[np.arange(8), label])


@pytest.fixture(scope="module")
def references():
    """Every parameter's gradient by autograd, in float64."""
    values = start()
    image, label = values.pop("image"), values.pop("label")
    return grad(loss_of_autograd)(values, image, label)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_of_lenet_5_equal_those_of_autograd(layout, references):
    ledger = run(LENET, **start(layout=layout))
    for name, slope in references.items():
        np.testing.assert_allclose(ledger[f"d_{name}"], slope, rtol=1e-9, atol=1e-13, err_msg=name)


def test_gradients_of_lenet_5_are_right_to_a_hundred_thousandth_in_float32(references):
    ledger = run(LENET, **start("float32"))
    assert {value.dtype for name, value in ledger.items() if name != "label"} == {np.dtype("float32")}
    for name, slope in references.items():  # of the largest cell of each gradient
        np.testing.assert_allclose(ledger[f"d_{name}"], slope, rtol=0, atol=1e-5 * np.abs(slope).max(), err_msg=name)


def test_gradients_of_lenet_5_are_the_slope_in_a_direction():
    ledger, rng = run(LENET, **start()), np.random.default_rng(4)
    ways = {name: rng.normal(size=shape) for name, shape in lenet_5.shapes.items()}
    ends = [replay(lenet_5.forward, start() | {name: ledger[name] + nudge * way for name, way in ways.items()})["loss"]
            for nudge in (1e-6, -1e-6)]
    expected = sum(np.vdot(ledger[f"d_{name}"], way) for name, way in ways.items())
    assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=1e-6)
