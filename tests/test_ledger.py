"""Recipes and ledgers: what is recorded, what is refused and with which words, how cells are addressed."""

import copy
import pickle
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest

from cnnlab import (Add, AddBias, AveragePool, BiasGradient, Correlate, CrossEntropy, Descend, Exponential, Flatten,
                    FullyConnected, HalfSquaredError, Ledger, Line, LineError, MaxPool, Products, Recipe, ReLU, Seed,
                    Softmax, SoftmaxCrossEntropy, Tanh, Total, backward, run)
from cnnlab.examples import example_1, example_2
from cnnlab.ledger import replay
from cnnlab.ops import CoefficientGradient, Name, Operation, WeightPenaltyGradient
from tests.networks import NETWORKS

CONV = Recipe(conv_sum=Correlate("image", "kernel"))
THREE, TWO = np.ones((3, 3)), np.ones((2, 2))


def refused(work, *arguments, **numbers) -> LineError:
    with pytest.raises(LineError) as caught:
        work(*arguments, **numbers)
    return caught.value


def message(operation, **numbers):
    """What is said of one line, `out`, that cannot be worked out."""
    return str(refused(run, Recipe(out=operation), **numbers))


# What is recorded

@pytest.mark.parametrize("network", NETWORKS)
def test_every_value_is_read_only(network):
    for name, value in NETWORKS[network].step.items():
        with pytest.raises((ValueError, TypeError), match="read-only|item assignment"):
            value[...] = 0


def test_what_the_caller_gives_is_copied_and_left_alone():
    image, kernel = np.arange(9.0).reshape(3, 3), np.ones((2, 2))
    ledger = run(CONV, image=image, kernel=kernel)
    before = {name: value.tolist() for name, value in ledger.items()}
    assert image.flags.writeable and not np.shares_memory(image, ledger["image"])
    image[:], kernel[:] = 7, 7
    assert {name: value.tolist() for name, value in ledger.items()} == before


@pytest.mark.parametrize("order", ["C", "F"])
def test_however_an_array_lies_in_memory_it_is_read_row_by_row(order):
    image = np.array(np.arange(12.0).reshape(3, 4), order=order)
    for given in (image, image[::-1][::-1], np.repeat(image, 2, axis=1)[:, ::2], image.astype(np.int8), image.tolist()):
        ledger = run(Recipe(flat=Flatten("image"), conv_sum=Correlate("image", "kernel")), image=given, kernel=TWO)
        assert ledger["flat"].tolist() == list(range(12))
        assert ledger["conv_sum"].tolist() == [[10, 14, 18], [26, 30, 34]]


def test_a_step_keeps_the_old_values_beside_the_new():
    ledger = example_2.run()
    assert ledger["kernel"].tolist() == example_2.given["kernel"] != ledger["new_kernel"].tolist()


def test_the_same_numbers_make_the_same_ledger():
    first, second = example_2.run(), example_2.run()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert list(first) == list(second)


def test_a_ledger_holds_what_was_given_then_the_lines_in_order():
    ledger = example_1.run()
    assert list(ledger) == [*example_1.given, *ledger.recipe.names] and len(ledger) == len(list(ledger))
    assert ledger.line("kernel") is None and str(ledger.line("conv_sum")) == "conv_sum = Correlate(image, kernel)"
    assert isinstance(ledger, Ledger) and "conv_sum" in ledger and "conv" not in ledger
    assert repr(run(CONV, image=THREE, kernel=TWO)) == "image (3, 3)\nkernel (2, 2)\nconv_sum (2, 2)"


def test_a_replay_makes_the_same_numbers():
    ledger = example_2.run()
    again = replay(ledger.recipe, {name: ledger[name] for name in example_2.given})
    assert all(np.array_equal(again[name], ledger[name]) for name in ledger)


# A recipe is plain data

def test_recipes_are_values():
    assert Recipe(a=ReLU("x")) == Recipe(Line("a", ReLU("x"))) == (Line("a", ReLU("x")),)
    assert hash(example_2.recipe) == hash(Recipe(*example_2.recipe))
    assert Recipe(a=Correlate("x", "k")) != Recipe(a=Correlate("x", "k", stride=2))
    for twin in (pickle.loads(pickle.dumps(example_2.recipe)), copy.deepcopy(example_2.recipe),
                 copy.copy(example_2.recipe)):
        assert twin == example_2.recipe and type(twin) is Recipe and twin.given == example_2.recipe.given


def test_recipes_are_added():
    first, second = Recipe(a=ReLU("x")), Recipe(b=Tanh("a"))
    assert first + second == Recipe(a=ReLU("x"), b=Tanh("a")) and type(first + second) is Recipe
    assert (first + second).given == ("x",) and str(first + second) == "a = ReLU(x)\nb = Tanh(a)"


def test_a_line_prints_its_settings_where_they_are_not_the_usual():
    assert str(Correlate("x", "k", stride=(1, 2), padding=1)) == "Correlate(x, k, stride=(1, 2), padding=1)"
    assert str(MaxPool("x")) == "MaxPool(x)" and str(MaxPool("x", 3, stride=1)) == "MaxPool(x, size=3, stride=1)"


def test_a_plain_tuple_of_lines_will_do():
    assert run([Line("a", ReLU("x"))], x=-1)["a"] == 0


# What is refused: shapes

@pytest.mark.parametrize("operation, numbers, words", [
    (Correlate("x", "k"), dict(x=TWO, k=THREE), "out = Correlate(x, k): k (3, 3) does not fit inside x (2, 2)"),
    (Correlate("x", "k", padding=1), dict(x=[[1]], k=np.ones((4, 1))),
     "out = Correlate(x, k, padding=1): k (4, 1) does not fit inside x (1, 1) with padding 1"),
    (Correlate("x", "k"), dict(x=np.ones((3, 4, 4)), k=np.ones((5, 2, 2, 2))),
     "out = Correlate(x, k): k (5, 2, 2, 2) has 2 input channels, x (3, 4, 4) has 3"),
    (Products("x", "k"), dict(x=np.ones((3, 4, 4)), k=np.ones((2, 2, 2))),
     "k (2, 2, 2) has 2 input channels, x (3, 4, 4) has 3"),
    (Correlate("x", "k"), dict(x=[1, 2], k=[1]),
     "out = Correlate(x, k): k (1,) and x (2,): give an image (H, W) with a kernel (KH, KW)"),
    (Correlate("x", "k", stride=0), dict(x=THREE, k=TWO),
     "out = Correlate(x, k, stride=0): stride 0 must be a whole number of at least 1"),
    (Correlate("x", "k", padding=-1), dict(x=THREE, k=TWO),
     "out = Correlate(x, k, padding=-1): padding -1 must be a whole number of at least 0"),
    (Correlate("x", "k", stride=(1, 2, 3)), dict(x=THREE, k=TWO),
     "stride (1, 2, 3) must be a whole number of at least 1, or two of them"),
    (Correlate("x", "k", stride=1.0), dict(x=THREE, k=TWO), "stride 1.0 must be a whole number of at least 1"),
    (MaxPool("x", size=3), dict(x=TWO), "out = MaxPool(x, size=3): window (3, 3) does not fit inside x (2, 2)"),
    (AveragePool("x", size=0), dict(x=TWO),
     "out = AveragePool(x, size=0): size 0 must be a whole number of at least 1"),
    (MaxPool("x", stride=True), dict(x=TWO), "out = MaxPool(x, stride=True): stride True must be a whole number"),
    (MaxPool("x"), dict(x=[1, 2]), "out = MaxPool(x): window (2, 2) does not fit inside x (2,)"),
    (AddBias("x", "b"), dict(x=np.ones((3, 2, 2)), b=[1, 2]),
     "out = AddBias(x, b): b (2,) does not fit x (3, 2, 2): give one number, or 3 in a row"),
    (AddBias("x", "b"), dict(x=1, b=[1]), "out = AddBias(x, b): b (1,) does not fit x (): give one number"),
    (FullyConnected("x", "w"), dict(x=[1, 2], w=[[1, 2, 3]]),
     "out = FullyConnected(x, w): w (1, 3) does not fit x (2,)"),
    (FullyConnected("x", "w"), dict(x=TWO[None], w=TWO),
     "out = FullyConnected(x, w): w (2, 2) does not fit x (1, 2, 2)"),
    (Add("x", "y"), dict(x=[1, 2], y=[1]), "out = Add(x, y): x (2,) and y (1,) differ in shape"),
    (HalfSquaredError("x", "t"), dict(x=[1, 2], t=[1, 2, 3]),
     "out = HalfSquaredError(x, t): t (3,) does not fit x (2,)"),
    (Descend("w", "d", "r"), dict(w=[1, 2], d=1, r=1), "out = Descend(w, d, r): w (2,) and d () differ in shape"),
    (Softmax("z"), dict(z=1), "out = Softmax(z): z (): give scores (classes,) or (images, classes)"),
    (Total("z"), dict(z=1), "out = Total(z): z (): give (terms,) or (images, terms)"),
], ids=str)
def test_shapes_that_do_not_fit(operation, numbers, words):
    assert words in message(operation, **numbers)


@pytest.mark.parametrize("loss", [SoftmaxCrossEntropy, CrossEntropy])
@pytest.mark.parametrize("scores, label, words", [
    ([.5, .5], 2, "y 2 is no class: z (2,) has the classes 0 to 1"), ([.5, .5], -1, "y -1 is no class"),
    ([.5, .5], 0.5, "y 0.5 is no class"),
    ([[.5, .5]] * 3, [0, 1, 7], "y 7 is no class: z (3, 2) has the classes 0 to 1"),
    ([[.5, .5]] * 3, [0, 1], "y has 2 labels for z (3, 2)"), ([.5, .5], [0, 1], "y has 2 labels for z (2,)"),
    (1, 0, "y has 1 labels for z ()"), (TWO[None], [0], "y has 1 labels for z (1, 2, 2)")], ids=str)
def test_labels_that_name_no_class(loss, scores, label, words):
    assert f"line out = {loss.__name__}(z, y): {words}" in message(loss("z", "y"), z=scores, y=label)


def test_a_probability_below_zero():
    words = message(CrossEntropy("p", "y"), p=[-0.5, 1.5], y=0)
    assert words == "line out = CrossEntropy(p, y): p -0.5 is no probability"


@pytest.mark.parametrize("rate", [-0.1, [0.1, 0.2]], ids=str)
def test_learning_rates_that_are_none(rate):
    words = str(refused(example_2.run, learning_rate=rate))
    assert words == ("line new_kernel = Descend(kernel, d_kernel, learning_rate): "
                     f"learning_rate {np.array(rate)} must be one number, and not negative")


# What is refused: numbers

@pytest.mark.parametrize("value, words", [
    ([[1, np.nan], [1, 1]], "given image[0,1] = nan: every number must be finite"),
    (np.inf, "given image = inf: every number must be finite"), (-np.inf, "given image = -inf"),
    (1e400, "given image = inf"),
    ([], "given image: the array of shape (0,) is empty"),
    (np.ones((0, 2)), "given image: the array of shape (0, 2) is empty"),
    ("picture", "given image = 'picture': expected a number or a rectangular array of numbers"),
    (["1", "2"], "given image = ['1', '2']"),
    ([[1, 2], [3]], "given image = [[1, 2], [3]]: expected a number or a rectangular array"),
    (None, "given image = None"),
    (1j, "given image = 1j"), ({1, 2}, "given image = {1, 2}"), (10**400, "given image = 1000"),
    (np.ones(1, "O"), "given image = array([1]"),
], ids=str)
def test_what_is_no_finite_number(value, words):
    assert str(refused(run, CONV, image=value, kernel=TWO)).startswith(words)


@pytest.mark.parametrize("operation, numbers, words", [
    (Exponential("z"), dict(z=[0, 1000]), "line out = Exponential(z): overflow encountered in exp; z from 0 to 1000"),
    (Correlate("x", "k"), dict(x=[[1e200, 1]], k=[[1e200, 2]]),
     "line out = Correlate(x, k): overflow encountered in matmul; x from 1 to 1e+200; k from 2 to 1e+200"),
    (FullyConnected("x", "w"), dict(x=[1e200], w=[[-1e200]]), "line out = FullyConnected(x, w): overflow"),
    (Products("x", "k"), dict(x=[[1e200]], k=[[1e200]]), "line out = Products(x, k): overflow"),
    (HalfSquaredError("x", "t"), dict(x=1e200, t=0), "line out = HalfSquaredError(x, t): overflow"),
    (BiasGradient("d", "b"), dict(d=[1e308] * 9, b=0), "line out = BiasGradient(d, b): overflow"),
    (BiasGradient("d", "b"), dict(d=np.full((2, 1, 2, 2), 1e308), b=[0]), "line out = BiasGradient(d, b): invalid"),
    (WeightPenaltyGradient("w", "s", "d"), dict(w=[1], s=1e308, d=10), "line out = WeightPenaltyGradient(w, s, d): overflow"),
    (Add("x", "x"), dict(x=[1e308]), "line out = Add(x, x): overflow encountered in add; x from 1e+308 to 1e+308"),
    (AveragePool("x"), dict(x=np.full((2, 2), 1e308)), "line out = AveragePool(x): overflow"),
], ids=str)
def test_what_leaves_the_finite_numbers(operation, numbers, words):
    assert message(operation, **numbers).startswith(words)


@dataclass(frozen=True)
class Half(Operation):
    """out = values / 2, as a learner may write it at first: one of Python's own numbers."""

    values: Name

    def compute(self, values):
        return float(values) / 2


def test_an_operation_that_gives_no_value_of_numpy_is_named():
    assert message(Half("x"), x=3) == "line out = Half(x): its compute gave 1.5, which is no array or number of NumPy's"


@dataclass(frozen=True)
class Seven(Operation):
    """out = 7, which reads nothing."""

    def compute(self):
        return np.array(7.0)


@pytest.mark.parametrize("dtype, most", [(np.float32, 3e38), (float, 1.7e308)])
def test_sums_that_overflow_both_ways_are_refused(dtype, most):
    """Half of the cells add up to infinity and the other half to minus infinity: NaN, which raises no alarm of its own."""
    d = np.array([most, -most] * 8, dtype).reshape(8, 1, 1, 2)
    assert "line out = BiasGradient(d, b): invalid value" in message(BiasGradient("d", "b"), d=d, b=np.zeros(1, dtype))
    scaled = CoefficientGradient("d", "v", "s")
    assert "line out = CoefficientGradient(d, v, s): invalid value" in message(scaled, d=d, v=np.ones_like(d), s=np.zeros(1, dtype))


def test_numpys_whole_numbers_and_exact_numbers_are_numbers():
    image, kernel = np.ones((4, 4)), np.ones((2, 2))
    assert run(Recipe(out=Correlate("i", "k", stride=np.int64(2))), i=image, k=kernel)["out"].shape == (2, 2)
    assert run(Recipe(out=MaxPool("i", np.int64(2))), i=image)["out"].shape == (2, 2)
    assert run(Recipe(out=Add("a", "b")), a=10**30, b=Fraction(1, 4))["out"] == 1e30
    assert message(Add("a", "b"), a=10**400, b=1).startswith("given a = 1000") and "expected a number" in message(Add("a", "b"), a=10**400, b=1)


def test_a_line_that_takes_too_much_memory_is_named():
    image, kernel = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    assert message(Correlate("i", "k", padding=10**6), i=image, k=kernel).startswith("line out = Correlate(i, k, padding=1000000): Unable to")


def test_an_operation_may_read_nothing():
    assert run(Recipe(seven=Seven(), out=Add("seven", "seven")))["out"] == 14


def test_nothing_stands_behind_a_given_number():
    with pytest.raises(LineError, match="^image was given: no line made it"):
        example_1.run().expand("image", (0, 0))


def test_a_pool_of_one_cell_is_that_cell():
    ledger = run(Recipe(p=MaxPool("v", 1)), v=[[1.0, 2], [3, 4]])
    assert str(ledger.explain("p", (1, 0))) == "p[1,0] = 3"


def test_an_alarm_over_finite_numbers_is_looked_into(monkeypatch):
    """As on some Macs, where a product of large matrices sets NumPy's flags for nothing."""
    right, calls = FullyConnected.compute, []

    def alarmed(self, values, weight):
        calls.append(self)
        if np.geterr()["over"] == "raise":
            raise FloatingPointError("overflow encountered in matmul")
        return right(self, values, weight)
    monkeypatch.setattr(FullyConnected, "compute", alarmed)
    assert run(Recipe(out=FullyConnected("x", "w")), x=[2], w=[[3]])["out"].tolist() == [6] and len(calls) == 2


def test_a_refused_line_leaves_the_lines_before_it():
    recipe = CONV + Recipe(relu=ReLU("conv_sum"), wrong=Correlate("relu", "image"), after=ReLU("wrong"))
    error = refused(run, recipe, image=THREE, kernel=TWO)
    assert str(error) == "line wrong = Correlate(relu, image): image (3, 3) does not fit inside relu (2, 2)"
    assert list(error.ledger) == ["image", "kernel", "conv_sum", "relu"]
    assert error.ledger["relu"].tolist() == [[4, 4], [4, 4]]
    assert error.ledger.explain("relu", (0, 0)).text == "relu[0,0] = max(0, 4) = 4"


def test_an_overflow_leaves_the_lines_before_it():
    error = refused(example_2.run, fc_bias=[800, 0])
    assert str(error).startswith("line exponentials = Exponential(logits): overflow encountered in exp; "
                                 "logits from 0.06 to 799.952")
    assert "logits" in error.ledger and "exponentials" not in error.ledger


# What is refused: names

def test_a_name_used_twice():
    first = Recipe(a=ReLU("x"))
    assert str(refused(lambda: first + Recipe(a=Tanh("x")))) == \
        "line a = Tanh(x): the name 'a' is used twice, first by line a = ReLU(x)"
    assert str(refused(run, first, x=1, a=2)) == "line a = ReLU(x): the name 'a' is used twice, it is also given"
    assert "the name 'd_x' is used twice" in str(refused(backward, Recipe(d_x=ReLU("x"), loss=Seed("d_x")), loss="d_x"))


def test_a_name_that_nothing_has():
    assert str(refused(run, CONV, image=THREE, kernal=TWO)) == \
        "line conv_sum = Correlate(image, kernel): no value is named 'kernel'; did you mean 'kernal'?"
    words = str(refused(run, CONV, image=THREE, weights=TWO))
    assert words.endswith("no value is named 'kernel'; there are image, weights, conv_sum")
    assert str(refused(lambda: example_1.run()["conv_sums"])) == \
        "no line or given number is named 'conv_sums'; did you mean 'conv_sum'?"
    assert "did you mean 'kernel'?" in str(refused(example_1.run().explain, "kernell"))


def test_a_line_that_reads_a_later_one_or_itself():
    later = refused(lambda: Recipe(a=ReLU("b"), b=ReLU("x")))
    assert str(later) == "line a = ReLU(b) reads 'b', which is only made later, by line b = ReLU(x)"
    assert "only made later" in str(refused(lambda: Recipe(a=ReLU("a"))))


@pytest.mark.parametrize("name", ["", "my sum", "2nd", "a.b", "lambda", "exp", "max", "a[0]"])
def test_names_that_arithmetic_could_not_read(name):
    assert f"line {name} = ReLU(x): {name!r} is no name" in str(refused(lambda: Recipe(Line(name, ReLU("x")))))
    assert f"line a = ReLU({name}): {name!r} is no name" in str(refused(lambda: Recipe(a=ReLU(name))))


@pytest.mark.parametrize("lines, words", [
    ([("a", ReLU("x"))], "is not a line: give Line(name, operation)"), ([ReLU("x")], "ReLU(values='x') is not a line"),
    ([Line("a", 3)], "line a: 3 is not an operation"), ([Line("a", ReLU)], "is not an operation"),
    ([Line("a", Correlate("x", "k", stride=[1, 2]))],
     "line a = Correlate(x, k, stride=[1, 2]): settings are whole numbers, or tuples of them")],
    ids=str)
def test_what_is_no_line(lines, words):
    assert words in str(refused(Recipe, *lines))


# How cells are addressed

def test_an_index_may_leave_out_axes_of_length_1():
    ledger = run(CONV, image=np.arange(9).reshape(1, 1, 3, 3), kernel=np.ones((1, 1, 2, 2)))
    texts = {ledger.explain("conv_sum", at).text for at in ((0, 1), (0, 0, 0, 1), [0, 1], tuple(np.array([0, 1])))}
    assert texts == {"conv_sum[0,1] = 1×1 + 2×1 + 4×1 + 5×1 = 12"}


def test_channel_and_image_are_named_where_there_are_several():
    ledger = NETWORKS["colour batch"].step
    assert ledger.explain("conv", (1, 3, 0, 2)).text.startswith("conv[1,3,0,2] = ")
    assert "image[1,0,0,0]×kernel[2,0,1,0]" in ledger.explain("conv_sum", (1, 2, 0, 0)).symbols
    assert example_2.run().explain("fc_sum", 1).text.startswith("fc_sum[1] = 0.5×0.12")


@pytest.mark.parametrize("name, index, words", [
    ("conv_sum", (0, 5), "conv_sum has the shape (2, 2): conv_sum[0,5] is none of its cells"),
    ("conv_sum", 0, "conv_sum[0] is none of its cells"),
    ("conv_sum", (0, -1), "conv_sum[0,-1] is none"), ("conv_sum", (0, 0, 0), "conv_sum[0,0,0] is none"),
    ("conv_sum", (0, 0.5), "is none"),
    ("conv_sum", "00", "is none")])
def test_an_index_that_names_no_cell(name, index, words):
    assert words in str(refused(run(CONV, image=THREE, kernel=TWO).explain, name, index))


def test_given_numbers_are_explained_as_given():
    assert example_2.run().explain("kernel").text.split("\n")[1] == "kernel[0,1] = −0.3 (given)"
    assert example_2.run().explain("kernel", (0, 1)).exact == "kernel[0,1] = −3/10 (given)"
    words = example_2.run().explain("p", 0).exact
    assert words.startswith("p[0] has no exact fraction: it takes exp (p[0] = exp(0.284)/")


def test_digits_are_selectable():
    loss = [example_2.run().explain("loss", digits=digits).text for digits in (3, 6)]
    assert loss == ["loss = ln(exp(0.284) + exp(−0.24)) − 0.284 ≈ 0.465",
                    "loss = ln(exp(0.284) + exp(−0.24)) − 0.284 ≈ 0.465084"]
