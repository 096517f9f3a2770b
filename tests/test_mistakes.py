"""Planted mistakes: each is really wrong on the twin, and its own arithmetic is written down truly."""

import math

import numpy as np
import pytest

from cnnlab import AddBias, FullyConnected, Recipe, SoftmaxCrossEntropy, backward
from cnnlab.examples import example_2, twin
from cnnlab.ledger import run
from cnnlab.mistakes import ALL, MISTAKES, places, planted

HIDDEN_BY_EXAMPLE_2 = {"relu", "gate", "bias", "mean", "overwrite"}


@pytest.mark.parametrize("name", [name for name in ALL if name != "images"])  # the twin is one image
def test_a_mistake_changes_the_twin(name):
    right, wrong = twin.run(), run(planted(twin.recipe, name), **twin.given)
    assert any(not np.allclose(right[each], wrong[each]) for each in right)


@pytest.mark.parametrize("name", MISTAKES)
def test_what_the_documents_example_hides(name):
    right, wrong = example_2.run(), run(planted(example_2.recipe, name), **example_2.given)
    same = all(np.array_equal(right[each], wrong[each]) for each in right)
    assert same is (name in HIDDEN_BY_EXAMPLE_2)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("example", [example_2, twin], ids=["example 2", "twin"])
def test_the_arithmetic_of_a_mistake_is_what_it_does(name, example):
    ledger = run(planted(example.recipe, name), **example.given)
    for line in ledger.recipe:
        for index in np.ndindex(np.shape(ledger[line.name])):
            text = ledger.explain(line.name, index, whole=True).python
            found = eval(text, {"exp": math.exp, "log": math.log, "max": max})
            assert found == pytest.approx(float(ledger[line.name][index]), rel=1e-12, abs=1e-15), (line, index, text)


def test_the_bias_of_a_fully_connected_layer_gets_the_first_image_alone():
    rng = np.random.default_rng(0)
    forward = Recipe(sums=FullyConnected("x", "weight"), logits=AddBias("sums", "bias"), loss=SoftmaxCrossEntropy("logits", "label"))
    ledger = run(planted(backward(forward), "bias"), x=rng.normal(size=(4, 2)), weight=rng.normal(size=(3, 2)), bias=rng.normal(size=3),
                 label=[0, 1, 2, 0])
    assert np.array_equal(ledger["d_bias"], ledger["d_logits"][0])
    assert ledger.explain("d_bias", (2,)).symbols == "d_bias[2] = d_logits[0,2]"


def test_a_mistake_can_be_planted_in_one_line_alone():
    assert places(twin.recipe, "no bias") == ["d_fc_bias", "d_kernel_bias"]
    made = run(planted(twin.recipe, "no bias", only="d_fc_bias"), **twin.given)
    assert not made["d_fc_bias"].any() and made["d_kernel_bias"] == twin.run()["d_kernel_bias"]
