"""Laws that hold for any shape and any numbers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnnlab import (AveragePool, AveragePoolGradient, Correlate, CrossEntropy, KernelGradient, MaxPool, MaxPoolGradient,
                    Products, Recipe, Softmax, SoftmaxCrossEntropy, TransposedCorrelate, backward, run, update)
from cnnlab.arithmetic import FUNCTIONS
from cnnlab.examples import LAYERS, example_2
from cnnlab.gradients import needed
from tests.networks import NETWORKS

EPSILON = np.finfo(float).eps
few = settings(max_examples=150, deadline=None, derandomize=True)


@st.composite
def convolutions(draw):
    """(image, kernel, settings): every form, and strides that do not fit."""
    n, c, o = (draw(st.integers(1, 3)) for _ in range(3))
    tall, wide = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    top, left = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    h, w = (draw(st.integers(max(1, size - 2 * pad), 6)) for size, pad in ((tall, top), (wide, left)))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images, kernels = rng.normal(size=(n, c, h, w)), rng.normal(size=(o, c, tall, wide))
    image, kernel = draw(st.sampled_from([(images, kernels), (images[0], kernels), (images[0], kernels[0])]
                                         + [(images[0, 0], kernels), (images[0, 0], kernels[0, 0])] * (c == 1)))
    return image, kernel, {"stride": stride, "padding": (top, left)}


@st.composite
def poolings(draw):
    """(values, settings): windows that overlap, that fit, and that leave gaps; ties."""
    tall, wide = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    lead = draw(st.sampled_from([(), (2,), (2, 3)]))
    shape = (*lead, draw(st.integers(tall, 6)), draw(st.integers(wide, 6)))
    stride = draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(-9, 9, size=shape) / 2, {"size": (tall, wide), "stride": stride}


def out(operation, **numbers):
    return np.asarray(run(Recipe(out=operation), **numbers)["out"])


def convolve(image, kernel, common):
    return out(Correlate("image", "kernel", **common), image=image, kernel=kernel)


def close(got, expected, what=""):
    got, expected = np.broadcast_arrays(got, expected)
    for at in np.ndindex(expected.shape):
        assert math.isclose(got[at], expected[at], rel_tol=1e-10, abs_tol=1e-12), \
            f"{what}{list(at)}: got {got[at]!r}, expected {expected[at]!r}"


def noise(array, seed=1):
    return np.random.default_rng(seed).normal(size=np.shape(array))


def by_definition(image, kernel, stride, padding):
    """out[n,o,i,j] = the sum over c, u, v, a cell at a time, where the image has that cell."""
    x, k = image.reshape((1,) * (4 - image.ndim) + image.shape), kernel.reshape((1,) * (4 - kernel.ndim) + kernel.shape)
    starts = [range(-pad, side + pad - size + 1, step) for pad, side, size, step
              in zip(padding, x.shape[2:], k.shape[2:], stride)]
    sums = np.zeros((len(x), len(k), *map(len, starts)))
    for n, o, i, j in np.ndindex(sums.shape):
        for c, u, v in np.ndindex(k.shape[1:]):
            row, column = starts[0][i] + u, starts[1][j] + v
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                sums[n, o, i, j] += x[n, c, row, column] * k[o, c, u, v]
    return sums


# Convolution

@few
@given(convolutions())
def test_a_convolution_is_its_definition(case):
    image, kernel, common = case
    got, expected = convolve(*case), by_definition(image, kernel, **common)
    lead = expected.shape[:1] * (image.ndim == 4) + expected.shape[1:2] * (kernel.ndim == 4)
    assert got.shape == lead + expected.shape[2:]
    close(got.reshape(expected.shape), expected, "out")


@few
@given(convolutions())
def test_the_size_of_a_map_is_floor_of_h_plus_2p_minus_k_over_s_plus_1(case):
    image, kernel, common = case
    assert convolve(*case).shape[-2:] == tuple(
        math.floor((side + 2 * pad - size) / step) + 1 for side, pad, size, step
        in zip(image.shape[-2:], common["padding"], kernel.shape[-2:], common["stride"]))


@few
@given(convolutions(), st.floats(-9, 9))
def test_a_convolution_is_linear_in_the_image_and_in_the_kernel(case, factor):
    image, kernel, common = case
    close(convolve(image + factor * noise(image), kernel, common),
          convolve(*case) + factor * convolve(noise(image), kernel, common), "image")
    close(convolve(image, kernel + factor * noise(kernel), common),
          convolve(*case) + factor * convolve(image, noise(kernel), common), "kernel")


@few
@given(convolutions())
def test_both_gradients_are_adjoints_of_the_convolution(case):
    """<conv(x, k), y> = <x, transposed(y)> = <k, kernel gradient(y)>."""
    image, kernel, common = case
    y = noise(maps := convolve(*case))
    numbers = {"image": image, "kernel": kernel, "y": y}
    d_image = out(TransposedCorrelate("y", "kernel", "image", **common), **numbers)
    d_kernel = out(KernelGradient("image", "y", "kernel", **common), **numbers)
    assert d_image.shape == image.shape and d_kernel.shape == kernel.shape
    close([(image * d_image).sum(), (kernel * d_kernel).sum()], (maps * y).sum(), "inner product")


@few
@given(convolutions())
def test_products_add_up_to_the_convolution(case):
    image, kernel, common = case
    products = out(Products("image", "kernel", **common), image=image, kernel=kernel)
    assert products.shape == convolve(*case).shape + kernel.shape[-3:]
    close(products.sum(axis=tuple(range(-min(kernel.ndim, 3), 0))), convolve(*case), "sum")


@few
@given(convolutions())
def test_a_batch_is_a_stack_of_single_images(case):
    image, kernel, common = case
    if image.ndim == kernel.ndim == 4:
        close(convolve(*case), np.stack([convolve(each, kernel, common) for each in image]), "out")


@few
@given(convolutions())
def test_a_short_form_is_the_long_form_without_its_axes_of_length_1(case):
    image, kernel, common = case
    full = convolve(image.reshape((1,) * (4 - image.ndim) + image.shape),
                    kernel.reshape((1,) * (4 - kernel.ndim) + kernel.shape), common)
    assert full.ravel().tolist() == pytest.approx(convolve(*case).ravel().tolist(), rel=1e-14, abs=1e-14)


@few
@given(st.integers(0, 2**32), st.tuples(st.integers(1, 2), st.integers(1, 2)))
def test_powers_of_ten_show_which_cells_were_read(seed, stride):
    """A digit a pixel, a power of ten a weight: the decimal digits of a sum are the window's pixels, last first."""
    image = np.random.default_rng(seed).integers(0, 10, size=(4, 5))
    sums = convolve(image, 10 ** np.arange(6).reshape(2, 3), {"stride": stride, "padding": 0})
    for i, j in np.ndindex(sums.shape):
        row, column = i * stride[0], j * stride[1]
        window = image[row:row + 2, column:column + 3].ravel()
        assert f"{sums[i, j]:06.0f}" == "".join(map(str, window[::-1])), f"window at {row}, {column}"


@few
@given(convolutions(), st.data())
def test_the_text_of_a_cell_gives_its_value(case, data):
    image, kernel, common = case
    y = noise(convolve(*case))
    for operation in (Correlate("x", "k", **common), Products("x", "k", **common),
                      KernelGradient("x", "y", "k", **common),
                      TransposedCorrelate("y", "k", "x", **common)):
        ledger = run(Recipe(out=operation), x=image, k=kernel, y=y)
        at = tuple(data.draw(st.integers(0, side - 1)) for side in ledger["out"].shape)
        text = ledger.explain("out", at, whole=True).python
        close(eval(text, dict(FUNCTIONS)), ledger["out"][at], f"{operation} {at}")


# Pooling

def pooled_by_definition(values, size, stride, take):
    size, stride = size, stride or size
    starts = [range(0, side - wide + 1, step) for side, wide, step in zip(values.shape[-2:], size, stride)]
    found = np.empty((*values.shape[:-2], *map(len, starts)))
    for *lead, i, j in np.ndindex(found.shape):
        window = [values[(*lead, starts[0][i] + u, starts[1][j] + v)] for u in range(size[0]) for v in range(size[1])]
        found[(*lead, i, j)] = take(window)
    return found


@few
@given(poolings())
def test_pooling_is_its_definition(case):
    values, common = case
    close(out(MaxPool("v", **common), v=values), pooled_by_definition(values, **common, take=max), "max")
    close(out(AveragePool("v", **common), v=values), pooled_by_definition(values, **common, take=np.mean), "average")


@few
@given(poolings())
def test_gradients_of_pooling_are_its_adjoints(case):
    """<pool(v), y> = <v, gradient(y)>: for the average of any v, for the maximum of the v that it was taken of."""
    values, common = case
    for pool, gradient in ((AveragePool, AveragePoolGradient), (MaxPool, MaxPoolGradient)):
        pooled = out(pool("v", **common), v=values)
        taken = {"p": pooled} if pool is MaxPool else {}
        d_values = out(gradient("y", "v", *taken, **common), y=noise(pooled), v=values, **taken)
        close((d_values * values).sum(), (pooled * noise(pooled)).sum(), pool.__name__)
        close(d_values.sum(), noise(pooled).sum(), "nothing is lost")


@few
@given(poolings())
def test_under_max_pooling_one_cell_of_a_window_gets_its_gradient(case):
    values, common = case
    pooled = out(MaxPool("v", **common), v=values)
    for at in np.ndindex(pooled.shape):
        y = np.zeros(pooled.shape)
        y[at] = 1
        d_values = out(MaxPoolGradient("y", "v", "p", **common), y=y, v=values, p=pooled)
        assert d_values.sum() == (d_values == 1).sum() == 1 and values[d_values == 1] == pooled[at]


# Softmax and the losses

scores = arrays(float, st.tuples(st.integers(1, 3), st.integers(1, 5)), elements=st.floats(-1000, 1000))


@few
@given(scores, st.floats(-1000, 1000))
def test_a_softmax_sums_to_1_and_only_differences_count(z, shift):
    p = out(Softmax("z"), z=z)
    close(p.sum(axis=1), 1, "sum")
    assert (p >= 0).all()
    assert np.abs(out(Softmax("z"), z=z + shift) - p).max() <= 1e-12  # rounding of z + shift: up to 2000 eps


@few
@given(scores, st.data())
def test_a_loss_of_any_scores_is_finite_and_both_ways_agree(z, data):
    label = [data.draw(st.integers(0, z.shape[1] - 1)) for _ in z]
    fused, by_steps = (run(backward(recipe), z=z, y=label) for recipe in (
        Recipe(loss=SoftmaxCrossEntropy("z", "y")), Recipe(p=Softmax("z"), loss=CrossEntropy("p", "y"))))
    assert all(np.isfinite(value).all() for ledger in (fused, by_steps) for value in ledger.values())
    assert 0 <= fused["loss"] <= 2000
    if (by_steps["p"] > 1e-300).all():
        close(by_steps["loss"], fused["loss"], "loss")
        close(by_steps["d_z"], fused["d_z"], "d_z")
    close(fused["d_z"].sum(axis=1), 0, "a gradient that moves no difference")


@few
@given(scores, st.data())
def test_the_loss_of_a_batch_is_the_mean_of_its_images(z, data):
    label = [data.draw(st.integers(0, z.shape[1] - 1)) for _ in z]
    whole = run(backward(Recipe(loss=SoftmaxCrossEntropy("z", "y"))), z=z, y=label)
    single = [run(backward(Recipe(loss=SoftmaxCrossEntropy("z", "y"))), z=row, y=k) for row, k in zip(z, label)]
    close(whole["loss"], np.mean([each["loss"] for each in single]), "loss")
    close(whole["d_z"], np.stack([each["d_z"] for each in single]) / len(z), "d_z")


@pytest.mark.parametrize("network", ["colour batch", "grey batch"])
def test_the_step_of_a_batch_is_the_mean_step_of_its_images(network):
    net = NETWORKS[network]
    singles = [run(net.recipe, **net.given | {name: np.array(net.given[name])[[n]] for name in ("image", "label")})
               for n in range(len(net.given["image"]))]
    for name in ("loss", *(f"d_{each}" for each in net.parameters), *(f"new_{each}" for each in net.parameters)):
        close(net.step[name], np.mean([each[name] for each in singles], axis=0), name)
    for name in ("conv", "logits"):
        close(net.step[name], np.concatenate([each[name] for each in singles]), name)


# An exact step of example 2's network never raises its loss: documents.md gives the proof.

STEP = update(backward(needed(example_2.forward)), *LAYERS)
weights = st.floats(-100, 100)


def rise(**numbers) -> tuple[float, float]:
    """(how much one step raised the loss, how much of a rise can be rounding)."""
    before = run(STEP, **example_2.given | numbers)
    after = run(STEP, **example_2.given | numbers | before.after())
    return after["loss"] - before["loss"], 64 * EPSILON * (1 + size(before) + size(after) + wobble(before))


def size(ledger):
    """Rounding of the logits: the loss moves by no more than they do, and they are wrong by eps times their terms."""
    values = [np.abs(ledger[name]).sum() for name in ("image", "kernel", "kernel_bias", "fc_weight", "fc_bias")]
    image, kernel, kernel_bias, fc_weight, fc_bias = values
    return (image * kernel + kernel_bias) * fc_weight + fc_bias


def wobble(ledger):
    """Rounding of p - y, by eps, multiplied through the step into the logits."""
    reach = np.square(ledger["image"]).sum() + 1
    return ledger["learning_rate"] * (np.abs(ledger["fc_weight"]).sum()**2 * reach + ledger["relu"].max()**2 + 1)


@settings(few, max_examples=400)
@given(arrays(float, (2, 2), elements=weights), arrays(float, (2, 2), elements=weights), weights,
       arrays(float, (2, 1), elements=weights),
       arrays(float, 2, elements=weights), st.sampled_from([0, 1]), st.floats(0, 1000, exclude_min=True))
def test_a_step_of_example_2_never_raises_its_loss(image, kernel, kernel_bias, fc_weight, fc_bias, label, rate):
    raised, rounding = rise(image=image, kernel=kernel, kernel_bias=kernel_bias, fc_weight=fc_weight, fc_bias=fc_bias,
                            label=label, learning_rate=rate)
    assert raised <= rounding


def test_a_step_of_example_2_never_raises_its_loss_at_usual_sizes():
    rng = np.random.default_rng(2)
    for _ in range(1000):
        numbers = {name: rng.normal(size=np.shape(example_2.given[name])) for name in ("image", *LAYERS)}
        raised, rounding = rise(**numbers, label=rng.integers(2), learning_rate=10 ** rng.uniform(-4, 3))
        assert raised <= min(rounding, 1e-9), numbers


def test_three_classes_can_rise():
    """The law is one of two classes: the same search finds a rise as soon as there are three."""
    rng, rises = np.random.default_rng(3), 0
    for _ in range(300):
        numbers = {"image": rng.normal(size=(2, 2)), "kernel": rng.normal(size=(2, 2)), "kernel_bias": rng.normal(),
                   "fc_weight": 3 * rng.normal(size=(3, 1)), "fc_bias": rng.normal(size=3)}
        rises += rise(**numbers, label=0, learning_rate=10 ** rng.uniform(-2, 1))[0] > 1e-3
    assert rises > 0
