"""The printed arithmetic says what was computed: = where it is exact, ≈ within rounding, and nothing else."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab import (AddBias, AveragePool, BiasGradient, CrossEntropyGradient, Descend, Exponential, FullyConnected,
                    HalfSquaredError, MaxPool, Recipe, ReLU, ReLUGradient, Sigmoid, Softmax, Tanh, WeightPenalty, run)
from cnnlab.arithmetic import (BOARD, FUNCTIONS, PYTHON, Irrational, board, evaluate, exact, number, parse, parsed,
                               references, write)
from cnnlab.examples import example_1, example_2
from tests.networks import NETWORKS, as_python, in_fractions, in_intervals

LINES = [(network, line.name) for network, each in NETWORKS.items() for line in each.recipe]


def printed(ledger, name, digits=6):
    """(left, right, sign, result) of every printed line; right is None where the result stands alone."""
    for text in ledger.explain(name, digits=digits, whole=True).text.split("\n"):
        left, right, sign, result = re.fullmatch(r"(\S+) = (?:(.*) ([=≈]) )?(.*)", text).groups()
        yield text, right, sign, result


def one(operation, index=None, digits=6, **numbers):
    return run(Recipe(out=operation), **numbers).explain("out", index, digits=digits)


@pytest.mark.parametrize("digits", [6, 3])
@pytest.mark.parametrize("network, name", LINES)
def test_what_is_printed_is_right(network, name, digits):
    ledger = NETWORKS[network].step
    values = np.ravel(ledger[name])
    for value, (text, right, sign, result) in zip(values, printed(ledger, name, digits), strict=True):
        assert float(in_fractions(result)) == float(f"{value:.{digits}g}"), f"{text}: recorded {value!r}"
        if sign == "=":
            assert in_fractions(right) == in_fractions(result), \
                f"{text}: the sides differ by {in_fractions(right) - in_fractions(result)}"
        elif sign == "≈":
            able, shown = in_intervals(right, digits), in_intervals(result, digits)
            assert able.low <= shown.high and shown.low <= able.high, f"{text}: {able.low} to {able.high}"
            assert in_fractions(right) != in_fractions(result), f"{text}: holds exactly"


@pytest.mark.parametrize("network", ["example 1", "example 2", "two layers"])
def test_symbols_name_the_cells_that_the_numbers_come_from(network):
    ledger = NETWORKS[network].step
    arrays = {name: np.squeeze(value) if np.ndim(value) > 2 or np.size(value) == 1 else value
              for name, value in ledger.items()}
    for name in ledger.recipe.names:
        texts = ledger.explain(name, whole=True).symbols.split("\n")
        for text, value in zip(texts, np.ravel(ledger[name]), strict=True):
            left, right = text.split(" = ")
            assert eval(as_python(left), {}, arrays) == value, text
            assert eval(as_python(right), dict(FUNCTIONS), arrays) == pytest.approx(value, rel=1e-12, abs=1e-12), text


def test_exact_fractions_are_those_of_an_independent_calculation():
    x, w = [Fraction(n) for n in (1, 2, 3, 4)], [Fraction(n, 10) for n in (1, 2, 3, 4)]
    b, y, rate, ledger = Fraction(3, 2), Fraction(10), Fraction(1, 100), example_1.run()
    out = sum(p * q for p, q in zip(x, w)) + b
    error = out - y
    expected = {"products": [p * q for p, q in zip(x, w)], "conv_sum": [out - b], "output": [out],
                "loss": [error**2 / 2], "d_loss": [Fraction(1)], "d_output": [error], "d_conv_sum": [error],
                "d_bias": [error], "d_kernel": [error * p for p in x],
                "d_image": [error * q for q in w], "new_bias": [b - rate * error],
                "new_kernel": [q - rate * error * p for p, q in zip(x, w)]}
    for name in ledger.recipe.names:
        assert [ledger.fraction(name, at) for at in np.ndindex(np.shape(ledger[name]))] == expected[name], name
    assert {name: [str(each) for each in expected[name]] for name in ("conv_sum", "output", "loss", "new_bias")} == {
        "conv_sum": ["3"], "output": ["9/2"], "loss": ["121/8"], "new_bias": ["311/200"]}


@pytest.mark.parametrize("network", ["example 1", "three slices", "example 2"])
def test_exact_lines_hold_on_both_sides(network):
    ledger, held = NETWORKS[network].step, 0
    for name in ledger.recipe.names:
        for text in ledger.explain(name, whole=True).exact.split("\n"):
            if "no exact fraction" not in text:
                _, *sides = text.split(" = ")
                assert len({in_fractions(side) for side in sides}) == 1, text
                held += 1
    assert held > 10


def test_two_hundredths():
    conv_sum = example_2.run().explain("conv_sum")
    assert conv_sum.text == "conv_sum = 0.2×0.5 + 0.8×(−0.3) + 0.6×0.2 + 0.1×0.4 = 0.02"
    assert conv_sum.exact == "conv_sum = (1/5)×(1/2) + (4/5)×(−3/10) + (3/5)×(1/5) + (1/10)×(2/5) = 1/50"
    assert conv_sum.symbols == ("conv_sum = image[0,0]×kernel[0,0] + image[0,1]×kernel[0,1] + "
                                "image[1,0]×kernel[1,0] + image[1,1]×kernel[1,1]")
    assert conv_sum.latex == (r"\mathtt{conv\_sum} = 0.2 \times 0.5 + 0.8 \times (-0.3) + 0.6 \times 0.2 + "
                              r"0.1 \times 0.4 = 0.02")


def test_latex():
    assert one(Softmax("z"), 0, digits=3, z=[0.5, -1]).latex == \
        r"\mathtt{out[0]} = \frac{e^{0.5}}{e^{0.5} + e^{-1}} \approx 0.818"
    assert one(HalfSquaredError("o", "t"), o=4.5, t=10).latex == \
        r"\mathtt{out} = \frac{1}{2} \times (4.5 - 10)^{2} = 15.125"
    assert one(ReLU("v"), v=-0.5).latex == r"\mathtt{out} = \max(0, -0.5) = 0"
    assert one(Tanh("v"), digits=2, v=[1, 2]).latex == (r"\begin{aligned}\mathtt{out[0]} &= \tanh(1) \approx 0.76\\ "
                                                        r"\mathtt{out[1]} &= \tanh(2) \approx 0.96\end{aligned}")
    assert r"\begin{cases}1 & 0.5 > 0\\0 & \text{otherwise}\end{cases}" in one(ReLUGradient("d", "v"), d=2, v=0.5).latex
    assert one(Descend("w", "d", "r"), w=1, d=2e-7, r=0.5).latex == \
        r"\mathtt{out} = 1 - 0.5 \times 2 \times 10^{-7} \approx 1"
    assert one(Exponential("z"), z=[[1]])._repr_latex_() == r"$$\mathtt{out} = e^{1} \approx 2.71828$$"


def test_the_board():
    assert str(one(ReLUGradient("d", "v"), d=0.5, v=-2)) == "out = 0.5×(1 if −2 > 0 else 0) = 0"
    assert str(one(AddBias("v", "b"), v=0.02, b=-0.1)) == "out = 0.02 + (−0.1) = −0.08"
    assert str(one(Sigmoid("v"), v=-2)) == "out = exp(−2)/(1 + exp(−2)) ≈ 0.119203"
    assert str(one(HalfSquaredError("o", "t"), o=[4, 1], t=[-1, 1])) == "out = 1/2×((4 − (−1))² + (1 − 1)²) = 12.5"
    assert str(one(MaxPool("v"), v=[[1, -2], [0.5, 0]])) == "out = max(1, −2, 0.5, 0) = 1"


def test_tiny_and_huge_numbers_keep_their_place_in_the_arithmetic():
    assert str(one(CrossEntropyGradient("p", "y", "d"), 0, p=[2e-7, 1], y=0, d=1)) == "out[0] = −1/(2×10⁻⁷) = −5×10⁶"
    assert str(one(FullyConnected("v", "w"), v=[2e-7], w=[[3]])) == "out = 3×2×10⁻⁷ = 6×10⁻⁷"
    assert str(one(HalfSquaredError("o", "t"), o=3e-7, t=0)) == "out = 1/2×(3×10⁻⁷ − 0)² = 4.5×10⁻¹⁴"
    assert str(one(FullyConnected("v", "w"), v=[-2e9], w=[[-3]])) == "out = −3×(−2×10⁹) = 6×10⁹"


def test_rounding_is_owned_up_to():
    assert str(one(AddBias("v", "b"), v=0.1, b=0.2)) == "out = 0.1 + 0.2 = 0.3"
    assert str(one(AddBias("v", "b"), digits=2, v=0.104, b=0.104)) == "out = 0.1 + 0.1 ≈ 0.21"
    assert str(one(AddBias("v", "b"), v=1/3, b=1/3)) == "out = 0.333333 + 0.333333 ≈ 0.666667"
    assert str(one(AddBias("v", "b"), v=0.125, b=1e-9)) == "out = 0.125 + 1×10⁻⁹ ≈ 0.125"


@pytest.mark.parametrize("value, digits, text", [
    (0.02, 6, "0.02"), (-1.5, 6, "-1.5"), (1e-7, 6, "1e-7"), (2.5e10, 6, "2.5e10"), (1/3, 3, "0.333"),
    (0.1 + 0.2, None, "0.30000000000000004"),
    (5, None, "5"), (-0.0, 6, "0"), (-0.0, None, "0"), (0, 3, "0"), (1e16, None, "1e16"), (100_000, 6, "100000"),
    (123_456_789, 6, "1.23457e8"),
    (np.float32(0.1), 6, "0.1"), (99.99995, 3, "100")])
def test_numbers(value, digits, text):
    assert number(value, digits) == text


def test_numbers_on_a_board():
    assert [board(each) for each in ("-1.5", "1e-7", "-2.5e10", "0.02")] == ["−1.5", "1×10⁻⁷", "−2.5×10¹⁰", "0.02"]


@settings(derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 17))
def test_a_number_is_its_own_rounding(value, digits):
    assert float(number(value, digits)) == float(f"{value:.{digits}g}")
    assert float(number(value, None)) == value
    assert in_fractions(board(number(value, digits))) == Fraction(number(value, digits))


# Random arithmetic: whatever is nested in whatever, the written text means the same.

CELLS = {"a": "0.5", "b": "-0.25", "c[0]": "3", "c[1]": "-2e-7", "d[1,2]": "4e16"}
trees = st.recursive(
    st.sampled_from([*CELLS, "1", "0.125", "2"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        inner.map(lambda part: f"({part})**2"), inner.map(lambda part: f"(-{part})"),
        st.tuples(inner, inner).map(lambda part: f"({part[0]})*(1 if {part[1]} > 0 else 0)"),
        st.tuples(inner, inner).map(lambda part: f"max({part[0]}, {part[1]})")), max_leaves=12)


def in_cells(name, index):
    return CELLS[f"{name}[{','.join(map(str, index))}]" if index else name]


def worked_out(work, text):
    """The value, or None where it divides by 0."""
    try:
        return work(text)
    except ZeroDivisionError:
        return None


def python_in_fractions(text):
    exact_text = re.sub(r"(?<![\w.])[\d.]+(e-?\d+)?", lambda found: f"Fraction('{found[0]}')", text)
    return eval(exact_text, {"Fraction": Fraction, "max": max})


@settings(max_examples=500, deadline=None, derandomize=True)
@given(trees)
def test_writing_keeps_the_meaning(text):
    expected = worked_out(lambda each: exact(parse(each), lambda *at: Fraction(in_cells(*at))), text)
    in_python = write(PYTHON, text, in_cells)
    on_board = write(BOARD, text, lambda *at: board(in_cells(*at)))
    assert worked_out(in_fractions, on_board) == expected, on_board
    assert worked_out(python_in_fractions, in_python) == expected, in_python


def test_parsing_and_evaluating():
    def value(name, index):
        return {("x", ()): 2.0, ("k", (0, 1)): 3.0}[name, index]
    assert evaluate(parse("x*k[0,1] + max(0, -x)/2 - exp(0)"), value) == 5
    assert references("exp(k[0,1]) + x*k[0,1] + max(x, y[2])") == [("k", (0, 1)), ("x", ()), ("y", (2,))]
    assert exact(parse("0.1 + 0.2"), value) == Fraction(3, 10)
    with pytest.raises(Irrational, match="tanh"):
        exact(parse("1 + tanh(x)"), value)
    with pytest.raises(ValueError, match="not hand arithmetic"):
        evaluate(parse("x % 2"), value)


# Long sums

def long_sum(terms):
    return run(Recipe(out=FullyConnected("v", "w")), v=np.arange(terms), w=np.ones((1, terms)))


@pytest.mark.parametrize("terms", [9, 63, 64, 65, 66, 1000, 5000])
def test_long_sums_are_cut_and_say_by_how_much(terms):
    text = long_sum(terms).explain("out").text
    shown = text.replace(f"… ({terms - 8} more) … + ", "").split(" = ")[1]
    assert f"… ({terms - 8} more) …" in text and shown.count("×") == 8
    assert text.startswith("out = 1×0 + 1×1 + 1×2") and f"1×{terms - 1} = {number(terms * (terms - 1) / 2)}"[:9] in text


@pytest.mark.parametrize("terms", [8, 63, 64, 65, 66, 1000, 5000])
def test_the_whole_of_a_long_sum_is_on_request(terms):
    ledger = long_sum(terms)
    right = ledger.explain("out", whole=True).text.split(" = ")[1]
    assert right == " + ".join(f"1×{at}" for at in range(terms))
    assert ledger.fraction("out", (0,)) == terms * (terms - 1) // 2
    assert len(references(ledger.expand("out", (0,)))) == 2 * terms


def test_the_tree_of_a_very_long_sum_is_not_kept():
    """One cell of a kernel's gradient in a batch is a sum of 25,088 products, whose tree takes 140 MB."""
    text, kept = " + ".join(f"d[{n}]*x[{n}]" for n in range(2000)), parsed.cache_info().currsize
    assert evaluate(parse(text), lambda name, index: 1.0) == 2000
    assert parsed.cache_info().currsize == kept
    assert parse("a + 12345*b") is parse("a + 12345*b")


def test_long_sums_inside_other_arithmetic():
    ledger = run(Recipe(p=Softmax("z"), m=AveragePool("x", size=40), d=BiasGradient("x", "b"),
                        e=HalfSquaredError("x", "t")),
                 z=np.arange(2000) / 1000, x=np.ones((40, 40)), b=0, t=np.zeros((40, 40)))
    for name, at in (("p", 7), ("m", None), ("d", None), ("e", None)):
        text = ledger.explain(name, at, whole=True).text
        result = text.split(" = ")[-1].split(" ≈ ")[-1]
        assert float(in_fractions(result)) == pytest.approx(float(np.ravel(ledger[name])[at or 0]), rel=1e-5)
    assert ledger.fraction("m", (0, 0)) == 1 and ledger.fraction("d") == 1600 and ledger.fraction("e") == 800


def test_sums_in_brackets_are_cut_at_twice_the_length():
    def penalty(weights):
        return run(Recipe(p=WeightPenalty("w", "l2")), w=np.arange(1.0, weights + 1), l2=2).explain("p")
    assert str(penalty(3)) == "p = 2/2×(1² + 2² + 3²) = 14"
    squares = [f"{at}²" for at in range(1, 17)]
    assert penalty(16).text == f"p = 2/2×({' + '.join(squares)}) = {16 * 17 * 33 // 6}"
    assert penalty(1000).text == f"p = 2/2×({' + '.join(squares[:15])} + … (984 more) … + 1000²) ≈ 3.33834×10⁸"
    assert penalty(1000).symbols.endswith(" + w[14]² + … (984 more) … + w[999]²)")
    assert penalty(100).latex.count("^{2}") == 16 and "(84 more)" in penalty(100).latex


def test_a_fraction_that_is_passed_on_stands_there_once():
    assert example_1.run().explain("d_conv_sum").exact == "d_conv_sum = −11/2"


@pytest.mark.parametrize("digits", [0, -1, 2.5, True, "6"])
def test_digits_are_a_whole_number(digits):
    with pytest.raises(ValueError, match=f"^digits {digits!r}: give a whole number of significant digits, or None for all"):
        example_1.run().explain("loss", digits=digits)


def test_no_half_of_a_long_sum_stands_in_brackets():
    numbers = [-at for at in range(1, 101)]
    text = run(Recipe(out=BiasGradient("x", "b")), x=[numbers], b=0).explain("out", whole=True).text
    assert text == "out = −1 + " + " + ".join(f"(−{-at})" for at in numbers[1:]) + " = −5050"


def test_many_cells_are_cut_and_say_by_how_many():
    ledger = run(Recipe(out=ReLU("v")), v=np.arange(20))
    text = ledger.explain("out").text
    assert text.count("\n") == 16
    assert text.endswith("… and 4 more cells; explain(name, index) shows one, whole=True all")
    assert ledger.explain("out", whole=True).text.count("\n") == 19
    for text in ledger.explain("out").symbols, ledger.explain("out").exact:
        assert text.count("\n") == 16 and text.endswith("… and 4 more cells; explain(name, index) shows one, whole=True all")
    assert ledger.explain("out").latex.endswith(r"\\ \text{… and 4 more cells}\end{aligned}")
    assert ledger.explain("out").python.split("\n") == [f"max(0, {at})" for at in range(20)]
    assert ledger.explain("out")._repr_latex_() is None
