"""How each figure is worked out again: the runs whose values it reads, and the checks of claims in words.

A run is a mapping from names to values: a ledger, or numbers counted from one.
"""

from functools import cache
from math import inf

import numpy as np

from ..arithmetic import board, number, references
from ..examples import example_1, example_2, twin
from ..gradients import slope
from ..ledger import LineError, Recipe, run
from ..ops import (Add, AddBias, AveragePool, Correlate, Flatten, FullyConnected, MaxPool, Sigmoid,
                   TransposedCorrelate)
from .figures import printed
from .lost import NOT_1, lost_values, printed_d_conv

RUNS, CHECKS = {}, {}
CLOSE = 1e-7  # two ways to one number agree when they differ by less: a slope by trying is good to about 1e-9


def recorded(function):
    """A run, worked out once, under the function's name."""
    RUNS[function.__name__] = cache(function)
    return RUNS[function.__name__]


def check(function):
    """A check under the function's name: printed claim -> (the answer in words, the numbers behind it)."""
    CHECKS[function.__name__] = function
    return function


# ---- D2: the two examples --------------------------------------------------------------------


@recorded
def example_1_step():
    return example_1.run()


@recorded
def example_1_after():
    return run(example_1.forward, **example_1_step().after())


@recorded
def example_2_step():
    return example_2.run()


@recorded
def example_2_after():
    return run(example_2.forward, **example_2_step().after())


@recorded
def printed_numbers():
    """Printed figures alone, for what follows from them without any value of ours."""
    return {"p_true": printed("softmax_is_1"), "conv": printed("conv"), "learning_rate": printed("learning_rate_2"),
            "kernel_bias": printed("kernel_bias"), "new_kernel_bias": printed("kernel_bias_after"),
            "d_conv": printed_d_conv()}


@recorded
def convolution_with_printed_update():
    """The convolution once more, with the updated kernel and bias as they are printed."""
    return run(Recipe(*example_2.forward[:3]), image=printed("image_2"), kernel=printed("kernel_after_2"),
               kernel_bias=printed("kernel_bias_after"))


@recorded
def any_lost_values_after():
    """After the step, with fully connected values that have nothing but the printed gaps."""
    return run(example_2.forward, **example_2.run(**lost_values()).after())


@recorded
def label_as_printed():
    """The step with "not 1" as the true class, and lost values that fit the printed figures so."""
    return example_2.run(**lost_values(label=NOT_1))


@recorded
def label_as_printed_after():
    return run(example_2.forward, **label_as_printed().after())


@check
def label(claim):
    """Which label has the printed loss: the classes stand as the document has them, "not 1" first."""
    losses = {"[1, 0]": label_as_printed()["loss"], "[0, 1]": example_2_step()["loss"]}
    answer = min(losses, key=lambda each: abs(losses[each] - printed("loss_2")))
    return answer, "; ".join(f"y = {each}: loss {loss:.3f}" for each, loss in losses.items())


@check
def loss_after_the_step(claim):
    before, after = float(example_2_step()["loss"]), float(example_2_after()["loss"])
    return "rises" if after > before else "falls", f"loss {before:.6f} → {after:.6f}"


@check
def learning_rate_as_the_reason(claim):
    """Whether any learning rate raises the loss, from 0.0001 to 1000."""
    before = float(example_2_step()["loss"])
    rates = [10.0 ** power for power in range(-4, 4)]
    highest = max(float(after_at(rate)["loss"]) for rate in rates)
    answer = "too large" if highest > before else "not too large"
    return answer, f"largest loss after one step, rates 0.0001 to 1000: {highest:.6f}, before it {before:.6f}"


def after_at(rate):
    return run(example_2.forward, **example_2.run(learning_rate=rate).after())


# ---- D0, D1, D3: counts ----------------------------------------------------------------------


def layer(image, kernel) -> dict:
    """Sizes of a convolution layer, counted from a run of it. image (C, H, W), kernel (O, C, KH, KW)."""
    recipe = Recipe(conv_sum=Correlate("image", "kernel"), maps=AddBias("conv_sum", "bias"))
    ledger = run(recipe, image=np.zeros((1, *image)), kernel=np.zeros(kernel), bias=np.zeros(kernel[0]))
    read = [name for name, _ in references(ledger.expand("conv_sum", (0, 0, 0, 0)))]
    kernels, (_, maps, height, width) = ledger["kernel"], ledger["maps"].shape
    return {"kernels": len(kernels), "channels": kernels.shape[1], "kernel_height": kernel[2], "kernel_width": kernel[3],
            "weights_read": read.count("kernel"), "weights": kernels.size, "biases": ledger["bias"].size,
            "maps": maps, "map_height": height, "map_width": width}


@recorded
def one_kernel_on_a_colour_image():
    return layer((3, 5, 5), (1, 3, 3, 3))


@recorded
def three_kernels():
    return layer((1, 5, 5), (3, 1, 3, 3))


@recorded
def lenet_c1():
    return layer((1, 32, 32), (6, 1, 5, 5))


@recorded
def lenet_s2():
    """2x2 subsampling behind C1. A coefficient and a bias for each map are LeCun's, no operation of ours."""
    c1 = lenet_c1()
    shape = (c1["maps"], c1["map_height"], c1["map_width"])
    maps, height, width = run(Recipe(pooled=AveragePool("maps")), maps=np.zeros(shape))["pooled"].shape
    return {"maps": maps, "map_height": height, "map_width": width, "coefficients_a_map": 1, "biases_a_map": 1}


@recorded
def pooling():
    """How many parameters max- and average-pooling read beside the values themselves."""
    return {"parameters": sum(len(kind("values").inputs) - 1 for kind in (MaxPool, AveragePool))}


@recorded
def lines_through_the_origin():
    """y = w*x at x = 0 for the three weights."""
    return run(Recipe(y=FullyConnected("x", "w")), x=[0], w=[[1], [2], [3]])


@recorded
def lines_with_a_bias():
    """y = w*x + b at x = 0, b = 1 being ours."""
    return run(Recipe(wx=FullyConnected("x", "w"), y=AddBias("wx", "b")), x=[0], w=[[1], [2], [3]], b=[1, 1, 1])


@recorded
def step_and_sigmoid():
    return run(Recipe(sigmoid=Sigmoid("x")), x=0.6)


@recorded
def three_four_two():
    """Shapes of the weights that turn 3 values into 4, and 4 into 2, each found by trying."""
    shapes = {"W1": weight_shape(3, 4), "W2": weight_shape(4, 2)}
    return shapes | {"b1": np.array([shapes["W1"][0], 1]), "b2": np.array([shapes["W2"][0], 1])}


def weight_shape(inputs, outputs):
    """The one of (inputs, outputs) and (outputs, inputs) that a fully connected layer takes."""
    for shape in ((inputs, outputs), (outputs, inputs)):
        try:
            run(Recipe(y=FullyConnected("x", "w")), x=np.zeros(inputs), w=np.zeros(shape))
        except LineError:
            continue
        return np.array(shape)


@check
def weights_of_kernels(claim):
    """The printed product, worked out for 1 to 4 channels and kernels and compared with real kernels."""
    return fits_counts(claim, "weights")


@check
def biases_of_kernels(claim):
    return fits_counts(claim, "biases")


def fits_counts(claim, what):
    sizes = [(c, n, layer((c, 5, 5), (n, c, 3, 3))[what]) for c in range(1, 5) for n in range(1, 5)]
    off = [(c, n, size) for c, n, size in sizes if product(claim, C=c, N=n) != size]
    c, n, size = off[0] if off else sizes[-2]
    return claim if not off else "another number", f"C = {c}, N = {n}: {size} {what} counted, {claim} = {product(claim, C=c, N=n)}"


def product(text, **letters) -> int:
    """`3·3·C·N` worked out."""
    return int(np.prod([letters[factor] if factor in letters else int(factor) for factor in text.split("·")]))


@check
def parameters_on_a_larger_image(claim):
    counts = [size["weights"] + size["biases"] for size in (layer((1, side, side), (6, 1, 5, 5)) for side in (32, 64))]
    return "the same number" if counts[0] == counts[1] else "more", f"32×32: {counts[0]}, 64×64: {counts[1]}"


@check
def pooling_and_the_layer_behind(claim):
    counts = [weights_behind(pooled) for pooled in (False, True)]
    return "fewer" if counts[1] < counts[0] else "as many", f"weights to 10 classes behind 8×8: {counts[0]}, pooled {counts[1]}"


def weights_behind(pooled) -> int:
    recipe = Recipe(maps=MaxPool("image") if pooled else MaxPool("image", 1), flat=Flatten("maps"))
    return 10 * run(recipe, image=np.zeros((8, 8)))["flat"].size


@check
def pooling_and_the_layer_before(claim):
    """The parameters of a convolution alone, and of a convolution with pooling behind it."""
    layer = Recipe(conv_sum=Correlate("image", "kernel"), maps=AddBias("conv_sum", "bias"))
    shapes = {"image": (1, 1, 32, 32), "kernel": (6, 1, 5, 5), "bias": (6,)}
    counts = [sum(int(np.prod(shapes[name])) for name in recipe.given if name != "image")
              for recipe in (layer, layer + Recipe(pooled=MaxPool("maps")))]
    return "fewer" if counts[1] < counts[0] else "as many", f"LeNet-5's C1: {counts[0]}, with pooling behind it {counts[1]}"


@check
def bias_on_the_pre_activation(claim):
    return changed("conv")


@check
def bias_on_the_picture(claim):
    return changed("image")


def changed(name):
    """Whether a value of example 2 is another one when the kernel's bias is 0.1 larger."""
    before, after = (float(example_2.run(kernel_bias=bias)[name].flat[0]) for bias in (0.1, 0.2))
    return "shifted" if before != after else "unmoved", f"bias 0.1 → 0.2: {name}[0,0] {before:g} → {after:g}"


@check
def pooled_after_a_shift_inside_a_window(claim):
    return pooled_after_shift(1)


@check
def pooled_after_a_shift_out_of_the_window(claim):
    return pooled_after_shift(2)


def pooled_after_shift(pixels):
    """A bright pixel at the left of a 2x2 window, moved to the right."""
    pictures = [np.eye(4)[[at]] for at in (0, pixels)]
    before, after = (run(Recipe(pooled=MaxPool("image")), image=np.repeat(each, 2, axis=0))["pooled"] for each in pictures)
    answer = "unchanged" if (before == after).all() else "changed"
    return answer, f"bright pixels moved by {pixels}, pooled map: {before[0].astype(int).tolist()} → {after[0].astype(int).tolist()}"


@check
def biases_of_one_neuron(claim):
    """Each per-input bias has the same gradient, and moving one up and another down changes nothing."""
    recipe = Recipe(s1=AddBias("x1", "b1"), s2=AddBias("x2", "b2"), both=Add("s1", "s2"), y=Sigmoid("both"))
    outputs = [float(run(recipe, x1=0.3, x2=-0.5, b1=b1, b2=b2)["y"]) for b1, b2 in ((0.2, 0.1), (1.2, -0.9), (0.3, 0))]
    same = max(outputs) - min(outputs) < CLOSE
    return "only their sum counts" if same else "each counts", f"b1, b2 = 0.2, 0.1; 1.2, −0.9; 0.3, 0: y = {outputs[0]:.6f} each time"


# ---- D4: gradients of a convolution ----------------------------------------------------------


@check
def gradient_of_the_kernel(claim):
    """Which operation gives dL/d kernel, judged by the slope found by trying."""
    return judged_by_slope("kernel")


@check
def gradient_of_the_image(claim):
    return judged_by_slope("image")


def judged_by_slope(name):
    ledger, tried = twin.run(), slope(twin.forward, twin.given, name)
    candidates = {"transposed convolution": TransposedCorrelate("d", "kernel", "image").compute(
                      ledger["d_conv_sum"], ledger["kernel"], ledger["image"]),
                  "valid cross-correlation": Correlate("image", "d").compute(ledger["image"], ledger["d_conv_sum"])}
    off = {each: distance(value, tried) for each, value in candidates.items()}
    return min(off, key=off.get), f"dL/d {name} {times(tried)}: " + ", ".join(
        f"{each} {times(value)} {verdict(off[each])}" for each, value in candidates.items())


def distance(value, tried) -> float:
    return float(np.abs(value - tried).max()) if value.shape == tried.shape else inf


def times(value) -> str:
    return "×".join(map(str, value.shape))


def verdict(off) -> str:
    return "has another shape" if off == inf else "agrees" if off < CLOSE else "differs"


@check
def transposed_convolution(claim):
    """Inverse or adjoint of the convolution, tried on the twin's numbers."""
    image, kernel = (twin.run()[name] for name in ("image", "kernel"))
    forth, back = Correlate("x", "k"), TransposedCorrelate("y", "k", "x")
    y = np.array([[1.0, 2.0], [-3.0, 0.5]])  # any map of the output's shape
    there = forth.compute(image, kernel)
    returned = back.compute(there, kernel, image)
    products = (there * y).sum(), (image * back.compute(y, kernel, image)).sum()
    inverse, adjoint = np.allclose(returned, image), abs(products[0] - products[1]) < CLOSE
    answer = "inverse" if inverse else "adjoint" if adjoint else "neither"
    return answer, (f"image[0,0] = {board(number(image[0, 0]))}, there and back {board(number(returned[0, 0]))}; "
                    f"⟨conv x, y⟩ = {board(number(products[0]))}, ⟨x, convᵀ y⟩ = {board(number(products[1]))}")
