"""The diagnosis: thresholds in closed form, a change that adds up, exact curvature, causes that the numbers force."""

import re
import time

import autograd.numpy as anp
import numpy as np
import pytest
from autograd import grad
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnlab import (AddBias, Correlate, FullyConnected, HalfSquaredError, LineError, MaxPool, Products, Recipe, ReLU,
                    Sigmoid, SoftmaxCrossEntropy, backward, stacks, update)
from cnnlab.data import digits_8x8, mnist
from cnnlab.diagnosis import Step, check_gradient, diagnose, hessian_times, kinks, parts, sharpness, sweep
from cnnlab.diagnosis.check import AGREES, KINK
from cnnlab.diagnosis.kinks import held_kinks
from cnnlab.diagnosis.verdict import counted
from cnnlab.examples import example_1, example_2, example_2_step_by_step, twin
from cnnlab.gradients import needed
from cnnlab.ledger import replay, run
from cnnlab.mistakes import planted
from cnnlab.networks import lenet_5, small_cnn
from tests import confusion
from tests.networks import NETWORKS, independent_loss

EVERY = pytest.mark.parametrize("network", NETWORKS)
TWO_SAMPLES = example_2.forward
SMALL = Recipe(
    hidden_sum=FullyConnected("x", "w"), hidden=AddBias("hidden_sum", "b"), relu=ReLU("hidden"),
    logits_sum=FullyConnected("relu", "v"), logits=AddBias("logits_sum", "c"), loss=SoftmaxCrossEntropy("logits", "label"))
POOLED = Recipe(
    conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "kernel_bias"), relu=ReLU("conv"),
    pooled=MaxPool("relu", 2, 1), loss=HalfSquaredError("pooled", "target"))


def step_of(network, rate=None) -> Step:
    """One step of gradient descent of a network of the tests."""
    ledger, recipe = network.step, needed(network.forward)
    return Step(recipe, {name: ledger[name] for name in recipe.given},
                {name: -ledger[f"d_{name}"] for name in network.parameters}, 0.1 if rate is None else rate)


DRAW = np.random.default_rng(408)
THREE_CLASSES = dict(image=DRAW.normal(size=(2, 2)), kernel=DRAW.normal(size=(2, 2)), kernel_bias=DRAW.normal(),
                     fc_weight=DRAW.normal(size=(3, 1)), fc_bias=DRAW.normal(size=3), label=int(DRAW.integers(3)), learning_rate=1.0)


def drawn(seed, shapes, **more) -> dict:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()} | more


# Example 1 in closed form: one step multiplies the error by 1 - 31 eta

def test_the_thresholds_of_example_1():
    found = diagnose(example_1, learning_rate=0.01)
    assert found.model_threshold == pytest.approx(2 / 31, rel=1e-12)
    assert found.sweep.crossings == (pytest.approx(2 / 31, rel=1e-12),)
    assert found.arithmetic["sharpness"] == pytest.approx(31, rel=1e-12)
    assert sharpness(example_1.forward, example_1.run(), example_1.parameters)[0] == pytest.approx(31, rel=1e-12)


@pytest.mark.parametrize("rate", [0.001, 0.01, 1 / 31, 0.05, 0.0645, 0.08, 1.0])
def test_the_change_of_example_1(rate):
    found = diagnose(example_1, learning_rate=rate)
    assert found.after == pytest.approx(15.125 * (1 - 31 * rate)**2, rel=1e-12, abs=1e-25)
    assert found.slope == pytest.approx(-rate * 937.75, rel=1e-13)
    assert found.curvature == pytest.approx(0.5 * rate**2 * 31 * 937.75, rel=1e-13)
    assert abs(found.rest) <= 1e-12 * (15.125 + found.curvature)
    assert (found.cause == "overshoot") is (rate > 2 / 31) is (found.change > 0)


def test_the_verdicts_of_example_1():
    assert diagnose(example_1, learning_rate=0.08).verdict == (
        "The loss rises from 15.125 to 33.1298 because the step is too long: the learning rate 0.08 is 1.24 times "
        "0.0645161, where a step in this direction stops paying.")
    assert diagnose(example_1).verdict == ("The loss falls from 15.125 to 7.20101: the learning rate 0.01 is 0.155 times "
                                           "0.0645161, where a step in this direction stops paying.")
    assert diagnose(example_1, learning_rate=0).verdict == "The loss stays at 15.125: the learning rate is 0."


def test_the_evidence_is_worked_lines():
    evidence = diagnose(example_1, learning_rate=0.08).evidence
    for line in ("after: loss = 1/2×(18.14 − 10)² = 33.1298", "gradient_squared = (−5.5)² + (−11)² + (−16.5)² + (−22)² + (−5.5)² = 937.75",
                 "slope = −0.08×937.75 = −75.02", "curvature = 1/2×0.08²×29070.2 ≈ 93.0248", "model_threshold = 2/31 ≈ 0.0645161"):
        assert line in evidence


# The change, the slope, the curvature

@EVERY
@pytest.mark.parametrize("optimizer", ["gradient descent", "momentum", "Adam"])
def test_slope_curvature_and_rest_add_up(network, optimizer):
    net = NETWORKS[network]
    found = diagnose(net.forward, net.given, net.parameters, optimizer=optimizer)
    assert found.slope + found.curvature + found.rest == pytest.approx(found.after - found.before, rel=1e-12, abs=1e-15)
    assert found.arithmetic["rest"] == pytest.approx(found.rest, rel=1e-6, abs=1e-14)
    assert found.slope < 0


@EVERY
def test_the_rest_is_of_third_order(network):
    """Slope and curvature are right to the second order: with half the step an eighth of the rest is left."""
    net = NETWORKS[network]
    whole, half = (diagnose(net.forward, net.given, net.parameters, learning_rate=rate).rest for rate in (2e-3, 1e-3))
    if abs(whole) > 1e-13:  # a quadratic loss leaves nothing
        assert whole / half == pytest.approx(8, rel=0.05)


def flat(net, vector) -> dict:
    """{parameter: array} from one long vector."""
    pieces, at = {}, 0
    for name in net.parameters:
        shape = np.shape(net.given[name])
        size = int(np.prod(shape, dtype=int))
        pieces[name] = anp.reshape(vector[at:at + size], shape)
        at += size
    return pieces


@EVERY
def test_hessian_products_equal_those_of_autograd(network):
    net = NETWORKS[network]
    at = np.concatenate([np.ravel(np.asarray(net.given[name], float)) for name in net.parameters])
    way = np.random.default_rng(0).normal(size=at.size)
    first = grad(lambda vector: independent_loss(net.forward, net.given | flat(net, vector)))
    expected = grad(lambda vector: anp.sum(first(vector) * way))(at)
    found = hessian_times(net.forward, net.step, flat(net, way))
    assert np.concatenate([np.ravel(found[name]) for name in net.parameters]) == pytest.approx(expected, rel=1e-9, abs=1e-11)


def test_sharpness_is_the_largest_eigenvalue():
    for name in ("used twice", "twin", "grey batch"):
        net = NETWORKS[name]
        sizes = sum(np.size(net.given[each]) for each in net.parameters)
        columns = [hessian_times(net.forward, net.step, flat(net, way)) for way in np.eye(sizes)]
        hessian = np.array([np.concatenate([np.ravel(column[each]) for each in net.parameters]) for column in columns])
        assert hessian == pytest.approx(hessian.T, abs=1e-12)
        found, way = sharpness(net.forward, net.step, net.parameters, most=3000, accuracy=1e-12)
        assert found == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-4)
        bent = hessian_times(net.forward, net.step, way)
        assert all(bent[each] == pytest.approx(found * way[each], abs=0.02 * abs(found)) for each in way)


def test_sharpness_is_the_largest_and_not_the_most_negative_eigenvalue():
    """One sigmoid far on the wrong side: its Hessian is a negative number times x xᵀ, so the largest eigenvalue is 0."""
    recipe = Recipe(z=FullyConnected("x", "w"), out=Sigmoid("z"), loss=HalfSquaredError("out", "target"))
    values = {"x": np.array([1.0, 2.0]), "w": np.array([[-1.0, -1.0]]), "target": np.array([1.0])}
    bent = hessian_times(recipe, values, {"w": np.array([[1.0, 2.0]])})["w"]
    assert bent[0, 1] == pytest.approx(2 * bent[0, 0]) and bent[0, 0] < 0
    assert abs(sharpness(recipe, values, ["w"])[0]) < 1e-6 * abs(bent[0, 0])


def test_sharpness_where_eigenvalues_come_in_pairs():
    """Two layers without bends, weights at 0: the Hessian is [[0, M], [Mᵀ, 0]], with the eigenvalues ±|x|·|error|, here ±√5·2, and 0."""
    recipe = Recipe(h=FullyConnected("x", "a"), y=FullyConnected("h", "b"), loss=HalfSquaredError("y", "t"))
    values = dict(x=np.array([1.0, 2.0]), a=np.zeros((3, 2)), b=np.zeros((1, 3)), t=np.array([-2.0]))
    found, way = sharpness(recipe, values, ("a", "b"))
    assert found == pytest.approx(2 * 5**0.5, rel=1e-3)
    bent = hessian_times(recipe, values, way)
    assert all(bent[each] == pytest.approx(found * way[each], abs=0.02 * found) for each in way)


def test_no_direction_bends_nothing():
    still = {"kernel": np.zeros((2, 2)), "bias": np.zeros(())}
    assert not any(np.any(each) for each in hessian_times(example_1.forward, example_1.run(), still).values())


# Many learning rates at once

@EVERY
def test_stacks_equal_the_loop(network):
    step = step_of(NETWORKS[network])
    rates = np.linspace(0, 3, 23)
    loop = [float(replay(step.recipe, step.at(rate))["loss"]) for rate in rates]
    assert step.losses(rates) == pytest.approx(np.array(loop), rel=1e-13)


@EVERY
def test_every_value_of_a_stack_equals_the_loop(network):
    net = NETWORKS[network]
    ledger, rng = net.step, np.random.default_rng(1)
    moved = {name: rng.normal(size=(3, *np.shape(ledger[name]))) for name in net.smooth}  # images move as well
    values = {name: ledger[name] for name in net.forward.given}
    found = stacks.trials(net.forward, values, moved)
    for at in range(3):
        made = replay(net.forward, values | {name: stack[at] for name, stack in moved.items()})
        for line in net.forward:
            assert found[line.name][at] == pytest.approx(made[line.name], rel=1e-12, abs=1e-14), line


@EVERY
def test_every_gradient_of_a_stack_equals_the_loop(network):
    net = NETWORKS[network]
    whole, rng = backward(net.forward), np.random.default_rng(2)
    values = {name: net.step[name] for name in net.forward.given}
    for parameter in net.smooth:  # one alone, so that much is shared by all trials
        moved = rng.normal(size=(3, *np.shape(values[parameter])))
        found = stacks.trials(whole, values, {parameter: moved})
        for at in range(3):
            made = replay(whole, values | {parameter: moved[at]})
            for name in found:
                assert np.reshape(found[name][at], np.shape(made[name])) == pytest.approx(made[name], rel=1e-11, abs=1e-13), name


def test_an_operation_without_a_stacked_form_is_worked_out_one_by_one():
    assert Products not in stacks.TOGETHER
    kernels = np.random.default_rng(0).normal(size=(4, 2, 2))
    found = stacks.trials(Recipe(products=Products("image", "kernel")), {"image": np.arange(9.0).reshape(3, 3)}, {"kernel": kernels})
    one = Products("image", "kernel").compute(np.arange(9.0).reshape(3, 3), kernels[2])
    assert np.array_equal(found["products"][2], one)


def test_stacks_are_worked_out_in_turns_where_they_are_large(monkeypatch):
    step, rates = step_of(NETWORKS["grey batch"]), np.linspace(0, 1, 50)
    whole = step.losses(rates)
    monkeypatch.setattr(stacks, "MOST_CELLS", 1)
    assert step.losses(rates) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("example", [example_1, example_2, example_2_step_by_step], ids=["1", "2", "2, step by step"])
def test_a_thousand_learning_rates_take_less_than_5_ms(example):
    step, rates = diagnose(example).step, np.linspace(0, 1, 1000)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        step.losses(rates)
        times.append(time.perf_counter() - start)
    assert min(times) < 5e-3


def test_every_crossing_is_found():
    found = diagnose(example_2.forward, THREE_CLASSES, example_2.parameters)
    assert len(found.sweep.crossings) == 2
    for crossing in found.sweep.crossings:
        assert found.step.loss_at(crossing) == pytest.approx(found.before, rel=1e-13)
    fine = found.step.losses(np.linspace(1e-4, 4, 200_000)) > found.before
    assert np.count_nonzero(fine[1:] != fine[:-1]) == 2


class Waves:
    """A step whose loss is a known function of the learning rate."""

    fair_rates, is_large, before = 300, False, 0.0

    def __init__(self, function):
        self.losses = lambda rates: function(np.asarray(rates, float))


@pytest.mark.parametrize("function, expected", [
    (lambda rate: -np.sin(np.pi * rate), [1, 2, 3]),
    (lambda rate: (rate - 1) * (rate - 1.0001) * -rate * (rate - 2), [1, 1.0001, 2]),
    (lambda rate: rate * (rate - 1e-7), [1e-7]),
    (lambda rate: -rate, []),
    (lambda rate: 0 * rate, [])], ids=["waves", "a narrow hump", "far below the grid", "never", "flat"])
def test_crossings_of_known_functions(function, expected):
    assert sweep(Waves(function), 3.5, far=1).crossings == pytest.approx(expected, rel=1e-9)


def test_a_late_rise_is_found():
    assert sweep(Waves(lambda rate: rate * (rate - 500)), 1.0).crossings == pytest.approx([500], rel=1e-12)


@pytest.mark.parametrize("rate", [1e3, 1e6, 1e9, 1e200])
def test_a_far_too_long_step_has_its_threshold(rate):
    found = diagnose(example_1, learning_rate=rate)
    assert found.threshold == pytest.approx(2 / 31, rel=1e-9)
    assert "search: the loss that was trained passes 15.125 at the learning rate 0.0645161" in found.evidence
    assert found.advice.startswith("Take a learning rate below 0.0645161; in this direction the loss is lowest near 0.03")


def test_what_a_model_foresees_does_not_widen_the_range():
    assert diagnose(example_1, learning_rate=0.001, up_to=0.01).sweep.rates[-1] == 0.01


# Kinks

def test_where_example_2_switches_off():
    """D2 with the chosen numbers: conv = 0.12 falls by 0.3347·2.05 for each unit of learning rate."""
    ledger, found = example_2.run(), diagnose(example_2, learning_rate=0.5)
    (kink,) = found.kinks
    rate = ledger["conv"].item() / (ledger["d_conv"].item() * (np.sum(ledger["image"]**2) + 1))
    assert kink.fraction * 0.5 == pytest.approx(rate, rel=1e-12)
    assert str(kink) == "relu switches off" and found.kinks.dead == ("relu",)
    assert "relu dies in it" in found.verdict
    assert len(diagnose(example_2, learning_rate=0.17).kinks) == 0


@pytest.mark.parametrize("network", ["colour batch", "three slices", "grey batch"])
def test_every_switch_is_found_where_it_happens(network):
    step = step_of(NETWORKS[network], rate=0.5)
    found = kinks(step)
    assert len(found) == len(found.found) > 0
    for kink in found:
        sides = step.trials((np.array([-1e-9, 1e-9]) + kink.fraction) * step.learning_rate)
        operation = step.recipe.names[kink.line].operation
        states = [replay(Recipe(out=operation), {operation.inputs[0]: sides[operation.inputs[0]][side]}) for side in (0, 1)]
        if isinstance(operation, ReLU):
            assert (states[0]["out"][kink.index] > 0) != (states[1]["out"][kink.index] > 0)
        else:
            windows = [[sides[operation.values][side][at] for at in operation.members(kink.index, step.trials([0])[operation.values][0])]
                       for side in (0, 1)]
            assert np.argmax(windows[0]) != np.argmax(windows[1])


def test_a_winner_that_switches_where_a_relu_does():
    """c = [0.5 − 33η, 1 − 55η]: the second, the winner, is off from η = 1/55 on; of two zeros the first wins."""
    recipe = Recipe(s=Correlate("image", "kernel"), c=AddBias("s", "bias"), relu=ReLU("c"), pool=MaxPool("relu", size=(1, 2)),
                    loss=HalfSquaredError("pool", "target"))
    found = diagnose(recipe, dict(image=[[1, 2]], kernel=[[0.5]], bias=0, target=[[-10]], learning_rate=0.1), ("kernel", "bias")).kinks
    places = {kink.line: kink.fraction for kink in found if kink.index[-1] or kink.line == "pool"}
    assert places["pool"] == pytest.approx(places["relu"], rel=1e-9) == pytest.approx(1 / 5.5, rel=1e-9)


@EVERY
def test_a_network_in_which_nothing_switches_is_the_network(network):
    net = NETWORKS[network]
    smooth = held_kinks(step_of(net), net.step)
    assert smooth.before == pytest.approx(float(net.step["loss"]), rel=1e-14)
    if not len(kinks(step_of(net))):
        assert smooth.after == pytest.approx(step_of(net).after, rel=1e-13)


def test_a_channel_dies_only_where_it_is_off_everywhere():
    given = dict(x=[[1.0], [2.0]], w=[[1.0], [1.0]], b=[0.5, 0.5], v=[[1.0, 0.0], [0.0, 1.0]], c=[0.0, 0.0], label=[0, 0])
    direction = {"b": np.array([-2.0, -4.0])}  # the first unit is off for the first sample alone
    recipe = needed(SMALL)
    step = Step(recipe, {name: np.asarray(given[name], float) for name in recipe.given}, direction, 1.0)
    assert kinks(step).dead == ("relu[1]",)
    assert [kink.name for kink in kinks(step)] == ["relu[0,1]", "relu[1,1]", "relu[0,0]"]


def test_a_switch_in_a_large_network_is_found_where_it_happens():
    """LeNet-5 on a batch: only the first switches are looked for, and to nine digits; the rest are counted."""
    digits = mnist(np.float64)
    given = {name: np.asarray(value, float) for name, value in lenet_5.start(1).items()}
    given |= {"image": digits.train_images[:32], "label": digits.train_labels[:32]}
    slopes = replay(backward(lenet_5.forward, to=lenet_5.parameters), given)
    step = Step(needed(lenet_5.forward), given, {name: -slopes[f"d_{name}"] for name in lenet_5.parameters}, 0.1)
    found = kinks(step)
    assert step.is_large and len(found) > 1000 > len(found.found) > 0
    for kink in found:
        sides = step.trials((np.array([-1e-7, 1e-7]) + kink.fraction) * step.learning_rate)
        operation = step.recipe.names[kink.line].operation
        states = [replay(Recipe(out=operation), {operation.inputs[0]: stack}) for stack in sides[operation.inputs[0]]]
        assert isinstance(operation, MaxPool) or (states[0]["out"][kink.index] > 0) != (states[1]["out"][kink.index] > 0)
    first = diagnose(lenet_5.forward, given | {"learning_rate": 0.1}, lenet_5.parameters).threshold
    above = step.losses([0, first * (1 - 1e-8), first * (1 + 1e-8)])
    assert above[1] < above[0] < above[2]


def test_of_many_units_that_die_a_few_are_named():
    assert counted(["a"]) == "a" and counted(list("abcd")) == "a, b, c, d"
    assert counted([f"relu[{unit}]" for unit in range(88)]) == "relu[0], relu[1], relu[2] and 85 more"


# The five kinds of correct step that do rise, and the one that cannot

values = st.floats(-3, 3)


def arrays(*shape):
    return st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))).map(lambda flat: np.reshape(flat, shape))


@settings(max_examples=300, deadline=None)
@given(arrays(2, 2), arrays(2, 2), values, arrays(2, 1), arrays(2), st.integers(0, 1))
def test_one_sample_and_two_classes_never_rise(image, kernel, kernel_bias, fc_weight, fc_bias, label):
    """Example 2's network, any numbers, any learning rate: the short proof of documents.md, tried."""
    numbers = dict(image=image, kernel=kernel, kernel_bias=kernel_bias, fc_weight=fc_weight, fc_bias=fc_bias, label=label, learning_rate=1.0)
    ledger = replay(example_2.recipe, {name: np.asarray(value, float) for name, value in numbers.items()})
    recipe = needed(example_2.forward)
    step = Step(recipe, {name: np.asarray(numbers[name], float) for name in recipe.given},
                {name: -np.asarray(ledger[f"d_{name}"]) for name in example_2.parameters}, 1.0)
    losses = step.losses(np.concatenate([[0], np.geomspace(1e-6, 1e6, 600)]))
    assert (losses <= losses[0] + 1e-13 * (1 + losses[0])).all()


def test_three_classes_that_rise():
    found = diagnose(example_2.forward, THREE_CLASSES, example_2.parameters)
    assert found.cause == "classes" and found.change > 0 and found.causes[0].share == 1
    assert "what helps class 1 hurts class 2" in found.verdict
    assert found.parts.own_change < 0 < found.change


def two_samples(seed, rate):
    rng = np.random.default_rng(seed)
    return dict(image=rng.normal(size=(2, 1, 2, 2)), kernel=rng.normal(size=(1, 1, 2, 2)), kernel_bias=rng.normal(size=1),
                fc_weight=rng.normal(size=(2, 1)), fc_bias=rng.normal(size=2), label=[0, 1], learning_rate=rate)


@pytest.mark.parametrize("seed", [25, 81])
def test_two_samples_that_rise(seed):
    found = diagnose(TWO_SAMPLES, two_samples(seed, 3.0), example_2.parameters)
    assert found.cause == "samples" and found.change > 0
    assert "overshoot" not in {cause.kind for cause in found.causes}  # each alone would not have overshot
    assert "what helps sample 0 hurts sample 1" in found.verdict
    losses = [part.together for part in found.parts]
    assert np.mean(losses) == pytest.approx(found.after, rel=1e-12)
    assert np.mean([part.before for part in found.parts]) == pytest.approx(found.before, rel=1e-12)


def test_two_equal_samples_overshoot_and_do_not_disagree():
    one = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    recipe = Recipe(s=Correlate("image", "kernel"), out=AddBias("s", "bias"), loss=HalfSquaredError("out", "target"))
    given = dict(image=np.concatenate([one, one]), kernel=[[[[0.1, 0.2], [0.3, 0.4]]]], bias=[1.5], target=np.full((2, 1, 1, 1), 10.0))
    found = diagnose(recipe, given, ["kernel", "bias"], learning_rate=0.05)
    assert found.cause == "overshoot" and found.model_threshold == pytest.approx(1 / 31, rel=1e-12)


def test_each_pull_is_a_part_of_the_step():
    """The parts' losses alone are those of steps whose sum is the whole step."""
    net = NETWORKS["grey batch"]
    step = step_of(net)
    found = parts(step, net.forward)
    one = {name: value[1:2] for name, value in step.values.items() if name in ("image", "label")}
    ledger = replay(backward(net.forward), step.values | one)
    own = step.towards({name: -ledger[f"d_{name}"] / 3 for name in net.parameters})
    alone = float(replay(step.recipe, own.at(step.learning_rate) | one)["loss"])
    assert [part.name for part in found] == ["sample 0", "sample 1", "sample 2"]
    assert found.parts[1].alone == pytest.approx(alone, rel=1e-13)


def test_a_kink_that_raises():
    """conv = [0.3 + 2, −10·0.3 + 2] = [2.3, −1], error [1, 0]: w and b fall by η each, and conv[1] = −1 + 9η wakes up at η = 1/9."""
    recipe = Recipe(conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "bias"), relu=ReLU("conv"), loss=HalfSquaredError("relu", "target"))
    found = diagnose(recipe, dict(image=[[1, -10]], kernel=[[0.3]], bias=2, target=[[1.3, 0]]), ["kernel", "bias"], learning_rate=0.3)
    assert found.after == pytest.approx(0.5 * (1 - 2 * 0.3)**2 + 0.5 * (-1 + 9 * 0.3)**2, rel=1e-12)
    (cause,), (kink,) = found.causes, found.kinks
    assert cause.kind == "kink" and cause.share == 1 and kink.fraction == pytest.approx(1 / 9 / 0.3, rel=1e-12)
    assert "relu[0,1] switches on after 37.04 % of the step: had nothing switched, the loss would fall to 0.08" in found.verdict
    assert found.model_threshold == pytest.approx(1, rel=1e-12) and found.sweep.crossings[0] < 0.3  # 2/λ alone would not warn


@pytest.mark.parametrize("seed", [363, 175])
def test_a_kink_beside_other_causes_is_measured(seed):
    rng = np.random.default_rng(seed)
    given = dict(x=rng.normal(size=(5, 3)), w=rng.normal(size=(4, 3)), b=rng.normal(size=4), v=rng.normal(size=(3, 4)),
                 c=rng.normal(size=3), label=rng.integers(0, 3, 5), learning_rate={363: 3.0, 175: 1.0}[seed])
    found = diagnose(SMALL, given, ["w", "b", "v", "c"])
    kink = next(cause for cause in found.causes if cause.kind == "kink")
    assert found.cause == "samples"
    assert kink.amount == pytest.approx(found.step.after - held_kinks(found.step, found.case.ledger).after, rel=1e-12)
    assert kink.share == pytest.approx(min(1, kink.amount / found.change), rel=1e-12)


def test_overshoot_and_kinks_split_the_rise():
    rng = np.random.default_rng(202)
    given = dict(image=rng.normal(size=(5, 5)), kernel=rng.normal(size=(3, 3)), kernel_bias=rng.normal(), target=rng.normal(size=(2, 2)))
    found = diagnose(POOLED, given, ["kernel", "kernel_bias"], learning_rate=1.0)
    assert [cause.kind for cause in found.causes] == ["overshoot", "kink"]
    assert sum(cause.amount for cause in found.causes) == pytest.approx(found.change, rel=1e-12)


# The loss that was read, the slip, the optimizer

def test_another_label_was_read():
    found = diagnose(example_2, label=1, read={"label": 0})
    assert found.cause == "reading" and not found.read_is_trained
    assert (found.before, found.after) == (pytest.approx(0.465084, abs=1e-6), pytest.approx(0.558394, abs=1e-6))
    assert found.trained_change < 0 < found.change
    assert "the loss was read with another label than it was trained with" in found.verdict


def test_another_loss_was_read():
    forward = example_2.forward + Recipe(other=SoftmaxCrossEntropy("logits", "other_label"))
    found = diagnose(forward, example_2.given | {"other_label": 1}, example_2.parameters, read="other")
    assert found.cause == "reading" and "'other' was read and 'loss' was trained" in found.verdict


def test_a_mini_batch_judged_on_the_whole_set():
    rng = np.random.default_rng(5)
    image, label = rng.normal(size=(8, 1, 2, 2)), rng.integers(0, 2, 8)
    net = drawn(5, dict(kernel=(1, 1, 2, 2), kernel_bias=1, fc_weight=(2, 1), fc_bias=2), learning_rate=2.0)
    kinds = {diagnose(example_2.forward, net | dict(image=image[rows], label=label[rows]), example_2.parameters,
                      read=dict(image=image, label=label)).cause for rows in ([k, k + 1] for k in range(7))}
    assert "batch" in kinds and kinds <= {"batch", "samples", "kink", None}


def test_a_slip_in_checking():
    found = diagnose(example_2, noted={"conv": 0.0987, "loss": 0.542})
    assert found.cause == "slip" and found.after == 0.542
    assert "conv = 0.0987 is its first term alone: without it the loss after the step is 0.416433" in found.verdict
    assert any(line.startswith("conv = 0.2×0.493305 + 0.8×(−0.326778) + 0.6×0.179916") for line in found.evidence)


def test_a_rise_that_only_rounding_made_is_not_explained():
    found = diagnose(example_2, learning_rate=1e-9, noted={"loss": 0.4651})
    assert found.cause == "not explained"


def test_momentum_that_carries_past():
    found = diagnose(example_1, optimizer="momentum", kernel_velocity=[[-60, -100], [-100, -200]], learning_rate=0.03)
    assert found.cause == "momentum"
    assert "plain gradient descent with the same learning rate would let the loss fall to 0.0741125" in found.verdict
    still = diagnose(example_1, optimizer="momentum")
    assert still.after == diagnose(example_1).after and still.model_threshold == pytest.approx(2 / 31, rel=1e-12)


def test_momentum_that_goes_uphill_has_no_threshold():
    found = diagnose(example_1, optimizer="momentum", kernel_velocity=[[100, 100], [100, 100]])
    assert found.slope > 0 and found.model_threshold is None and found.cause == "momentum"


def test_the_first_step_of_adam():
    found = diagnose(example_1, optimizer="Adam", bias=6.9999, learning_rate=0.05)
    assert found.cause == "Adam" and "kernel[0,0]: gradient −0.0001, step 0.049995" in found.evidence
    assert found.model_threshold == pytest.approx(found.sweep.crossings[0], rel=1e-9)


def test_adam_that_overshoots_noDRAWN_than_gradient_descent_would():
    assert diagnose(example_1, optimizer="Adam", learning_rate=3).cause == "overshoot"


def test_an_optimizer_of_ones_own():
    assert diagnose(example_1, optimizer=update).after == diagnose(example_1).after


# Wrong gradients

BATCHES = ["lopsided", "squared", "by steps"]


@pytest.mark.parametrize("mistake", confusion.ASKED)
@pytest.mark.parametrize("network", BATCHES)
def test_a_planted_mistake_is_named(network, mistake):
    for seed in confusion.SEEDS:
        assert confusion.named(confusion.BUILDERS[network](seed), mistake) == mistake, seed


def test_no_mistake_is_ever_taken_for_another():
    counts = confusion.table()
    for mistake, row in counts.items():
        assert set(row) <= {mistake, confusion.HIDDEN, confusion.AMONG} and row[mistake], mistake
    assert len(confusion.text(counts).splitlines()) == 2 + len(counts)


ONE_PICTURE = Recipe(s=Correlate("image", "kernel"), o=AddBias("s", "b"), loss=HalfSquaredError("o", "t"))


def test_the_rows_of_one_picture_are_no_images():
    given = dict(image=np.arange(9.0).reshape(3, 3) / 10, kernel=np.arange(4.0).reshape(2, 2) / 10, b=0.5, t=np.ones((2, 2)))
    ledger = run(backward(ONE_PICTURE), **given)
    check = check_gradient(ONE_PICTURE, given, {"kernel": ledger["d_kernel"] / 2, "b": ledger["d_b"] / 2})
    assert check.named == "it is 0.5 times as large"


def test_the_rows_of_one_picture_are_no_samples():
    given = dict(image=[[1.8, 1.3, 0.4], [-1.2, 0, 0.7], [-1.3, 0.4, 0.4]], kernel=[[0.7, -1.2, -0.7]], b=0.5,
                 t=[[-0.4], [-1.2], [1.7]], learning_rate=0.62)
    found = diagnose(ONE_PICTURE, given, ("kernel", "b"))
    assert found.change > 0 and found.parts is None and "sample" not in found.text


def test_the_lopsided_network_is_what_it_says():
    for seed in confusion.SEEDS:
        net = confusion.lopsided(seed)
        off = net.step["conv"] <= 0
        assert 0 < off.mean() < 1
        pool = net.forward.names["pooled"].operation
        assert pool.stride < max(pool.size)


def test_one_wrong_parameter_is_named_and_the_others_agree():
    right = confusion.gradients(confusion.lopsided(0))
    net = confusion.lopsided(0)
    for change, kind in ((lambda d: -d, "sign"), (lambda d: 2 * d, "twice"), (lambda d: d.swapaxes(-1, -2), "transposed"),
                         (lambda d: d / 3, "images"), (lambda d: 0 * d, "missing"), (lambda d: 7.5 * d, "factor")):
        check = check_gradient(net.forward, net.given, right | {"kernel_2": change(right["kernel_2"])})
        assert [slip.kind for slip in check.slips] == [kind] and check.wrong == ("kernel_2",)


def test_two_different_mistakes_are_named_parameter_by_parameter():
    net = confusion.lopsided(0)
    right = confusion.gradients(net)
    check = check_gradient(net.forward, net.given, right | {"kernel": -right["kernel"], "fc_weight": 2 * right["fc_weight"]})
    assert not check.slips and check.wrong == ("kernel", "fc_weight")
    assert check.named == "kernel: the sign is turned around; fc_weight: it is twice as large"


def test_a_gradient_that_looks_like_nothing_known_is_not_given_a_name():
    net = confusion.lopsided(0)
    right = confusion.gradients(net)
    strange = right["kernel"] + np.random.default_rng(0).normal(size=right["kernel"].shape)
    check = check_gradient(net.forward, net.given, right | {"kernel": strange})
    assert check.named == "it looks like none of the known mistakes"
    found = diagnose(net.forward, net.given, net.parameters, gradient=right | {"kernel": -30 * strange})
    assert found.cause == "gradient" and "none of the known mistakes" in found.verdict


def test_relu_gated_after_the_wrong_line_is_named_with_the_line():
    net = confusion.squared(0)
    recipe = backward(net.forward, to=net.parameters)
    instead = type(recipe.names["d_conv"].operation)("d_relu", "conv_sum")
    made = replay(Recipe(*(line._replace(operation=instead) if line.name == "d_conv" else line for line in recipe)),
                  {name: np.asarray(value, float) for name, value in net.given.items()})
    check = check_gradient(net.forward, net.given, {name: made[f"d_{name}"] for name in net.parameters})
    assert check.named == "ReLU’s gradient is gated on conv_sum instead of conv, in line d_conv"


def test_no_false_alarm_over_a_thousand_right_gradients():
    shapes = dict(x=(4, 3), w=(5, 3), b=5, v=(3, 5), c=3)
    maps = dict(image=(3, 4), kernel=(2, 2), kernel_bias=(), target=(1, 2))
    for seed in range(500):
        for recipe, given, trained in (
                (SMALL, drawn(seed, shapes, label=np.random.default_rng(seed).integers(0, 3, 4)), ["w", "b", "v", "c"]),
                (POOLED, drawn(seed, maps), ["kernel", "kernel_bias"])):
            made = replay(backward(recipe, to=trained), {name: np.asarray(value, float) for name, value in given.items()})
            rounding = 1 + 1e-9 * np.random.default_rng(seed).normal()
            check = check_gradient(recipe, given, {name: made[f"d_{name}"] * rounding for name in trained})
            assert check.agrees and not check.slips, (seed, check)


@EVERY
def test_no_false_alarm_over_the_gradients_of_autograd(network):
    net = NETWORKS[network]
    used = {name: grad(lambda trial: independent_loss(net.forward, net.given | {name: trial}))(np.asarray(net.given[name], float))
            for name in net.parameters}
    check = check_gradient(net.forward, net.given, used)
    assert [row.verdict for row in check.rows] == [AGREES] * len(used)


def test_the_slope_that_is_shown_is_the_slope():
    net = confusion.lopsided(0)
    for row in check_gradient(net.forward, net.given, confusion.gradients(net)).rows:
        assert row.slope == pytest.approx(row.used, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("used, verdict", [(0.0, KINK), (-2.0, KINK), (-4.0, KINK), (-5.0, "wrong"), (1.0, "wrong")])
def test_a_kink_is_reported_as_a_kink(used, verdict):
    """z = 0 exactly: the slope is 0 on its left and out − target = −4 on its right; all between is a kink, no failure."""
    recipe = Recipe(relu=ReLU("z"), loss=HalfSquaredError("relu", "target"))
    (row,) = check_gradient(recipe, {"z": 0.0, "target": 4.0}, {"z": used}).rows
    assert row.verdict == verdict
    assert (row.left, row.right) == (0, pytest.approx(-4, abs=1e-4))


def test_a_tie_under_max_pooling_is_a_kink():
    recipe = Recipe(pooled=MaxPool("z", 2), loss=HalfSquaredError("pooled", "target"))
    (row,) = check_gradient(recipe, {"z": np.ones((2, 2)), "target": [[3.0]]}, {"z": np.full((2, 2), -0.5)}).rows
    assert row.verdict == KINK


@pytest.mark.parametrize("gradient", [
    lambda: planted(twin.recipe, "sign"), lambda: {"d_" + name: -twin.run()["d_" + name] for name in twin.parameters},
    lambda: {name: -twin.run()["d_" + name] for name in twin.parameters}], ids=["recipe", "d_kernel", "kernel"])
def test_a_wrong_gradient_raises_the_loss(gradient):
    found = diagnose(twin, gradient=gradient())
    assert found.cause == "gradient" and found.slope > 0
    assert "the gradient is wrong (the sign is turned around): with the right one the loss would fall to 0.439241" in found.verdict


def test_a_wrong_gradient_that_lowers_the_loss_is_found_anyway():
    found = diagnose(twin, gradient=planted(twin.recipe, "gate"))
    assert found.change < 0 and found.causes == ()
    assert "but the gradient is wrong (ReLU’s gradient lets everything through" in found.verdict


def test_what_example_2_hides_is_not_a_mistake():
    found = diagnose(example_2, gradient=planted(example_2.recipe, "gate"))
    assert found.check.agrees and "wrong" not in found.verdict


# How it is called and written

def test_the_same_case_gives_the_same_text():
    first, second = (diagnose(SMALL, drawn(3, dict(x=(4, 3), w=(5, 3), b=5, v=(3, 5), c=3), label=[0, 1, 2, 0]), ["w", "b", "v", "c"],
                              learning_rate=5) for _ in range(2))
    assert first.text == second.text == repr(first) and first.html == second.html


def test_the_page_is_escaped_and_ranked():
    found = diagnose(example_1, learning_rate=0.08)
    assert found._repr_html_() == found.html and "<li><b>overshoot</b>, 100 % of the rise" in found.html
    assert "<script" not in diagnose(example_1).html and "&" not in found.verdict


@pytest.mark.parametrize("optimizer", ["gradient descent", "momentum", "Adam"])
def test_a_step_that_leaves_the_range_of_numbers_has_a_verdict_too(optimizer):
    found = diagnose(example_1, learning_rate=1e200, optimizer=optimizer)
    assert found.cause == "overshoot" and found.after == np.inf == found.change and found.slope < 0
    assert found.verdict.startswith("The loss rises from 15.125 beyond the largest number, 1.79769×10³⁰⁸, because the step "
                                    "is too long: after it, line loss = HalfSquaredError(output, target): overflow")
    assert "before: loss = 1/2×(4.5 − 10)² = 15.125" in found.text and found.html and set(found.arithmetic) == {"loss_before", "learning_rate"}


def test_a_wrong_cell_is_found_beside_one_that_is_thousands_of_times_larger():
    for dtype, image in ((np.float32, [[1, 2], [3, 4000]]), (float, [[1e-3, 2], [1e5, 4]])):
        given = {name: np.asarray(value, dtype) for name, value in (example_1.given | {"image": image}).items() if name != "learning_rate"}
        right = run(backward(example_1.forward), **given)["d_kernel"]
        assert check_gradient(example_1.forward, given, {"kernel": right}).agrees
        for spoilt in (-right[0, 0], 0):
            wrong = right.copy()
            wrong[0, 0] = spoilt
            row = check_gradient(example_1.forward, given, {"kernel": wrong}).rows[0]
            assert row.verdict == "wrong" and row.cell == "kernel[0,0]"


def test_what_rounding_leaves_of_a_difference_is_no_gradient():
    given = example_1.given | {"kernel": np.zeros((2, 2)), "bias": 0.1 + 0.2, "target": 0.3}
    assert check_gradient(example_1.forward, given, {"bias": 0, "kernel": np.zeros((2, 2))}).agrees
    assert not check_gradient(example_1.forward, given | {"target": 0.3001}, {"bias": 0}).agrees


def test_the_slope_of_a_large_number_is_tried_with_a_large_nudge():
    given = example_1.given | {"kernel": [[1e8, 0.2], [0.3, 0.4]]}
    row = check_gradient(example_1.forward, given, {"kernel": run(backward(example_1.forward), **given)["d_kernel"]}).rows[0]
    assert row.slope == pytest.approx(row.used, rel=1e-6)


def test_the_shape_of_a_gradient_is_made_to_fit_or_named():
    ledger = example_1.run()
    used = {"bias": [float(ledger["d_bias"])], "kernel": ledger["d_kernel"].reshape(1, 1, 2, 2)}
    assert check_gradient(example_1.forward, example_1.given, used).agrees
    found = check_gradient(example_1.forward, example_1.given, {"kernel": np.ones((3, 3))})
    assert str(found).startswith("d_kernel is wrong: its shape is (3, 3), and that of kernel is (2, 2)\n")


def test_a_step_that_climbs_from_its_start_is_not_too_long():
    """Without the cause the loss would have risen still more, and yet it is the cause."""
    ledger = example_1.run()
    uphill = {f"{name}_velocity": -1.17 * ledger[f"d_{name}"] for name in ("kernel", "bias")}
    carried = diagnose(example_1, optimizer="momentum", learning_rate=0.2, **uphill)
    assert [cause.kind for cause in carried.causes] == ["momentum"] and carried.causes[0].share == 1 and carried.slope > 0
    assert "takes the step uphill from its start: plain gradient descent with the same learning rate would let the loss rise" in carried.verdict
    turned = diagnose(example_1, learning_rate=0.2, gradient={name: -0.1 * ledger[f"d_{name}"] for name in ("kernel", "bias")})
    assert [cause.kind for cause in turned.causes] == ["gradient"] and turned.advice.startswith("Repair the gradient")
    assert "(it is −0.1 times as large), so the step climbs from its start: with the right one the loss would rise" in turned.verdict


def test_a_softmax_noted_beside_the_loss_is_checked_too():
    """D2 prints both after the step of example 2, and its loss is worked out from the scores."""
    found = diagnose(example_2, noted={"p": [0.419, 0.581], "loss": 0.542})
    assert found.cause == "slip" and any(line.startswith("p[0] = ") and line.endswith("but 0.419 was noted") for line in found.evidence)
    assert diagnose(example_2, noted={"p": found.case.checked["p"]}).cause is None


@pytest.mark.parametrize("rate, advice", [(0, "larger"), (1e-18, "larger"), (2 / 31, "smaller")])
def test_what_to_change_where_the_loss_stays(rate, advice):
    assert diagnose(example_1, learning_rate=rate).advice == f"Take a {advice} learning rate."


def test_a_worked_sum_that_is_exact_says_so():
    assert diagnose(example_1, noted={"output": 0.5}).causes[0].evidence[0].endswith("+ 4×0.62 + 1.555 = 6.205, but 0.5 was noted")


@pytest.mark.parametrize("start", [None, {}, {"kernel": np.zeros((2, 2))}])
def test_sharpness_starts_from_lists_and_from_nothing(start):
    assert sharpness(example_1.forward, example_1.given, ("kernel",), start=start)[0] == pytest.approx(30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_no_finite_number_is_wrong(bad):
    ledger = example_1.run()
    kernel = ledger["d_kernel"].copy()
    kernel[0, 1] = bad
    found = check_gradient(example_1.forward, example_1.given, {"kernel": kernel, "bias": ledger["d_bias"]})
    assert found.wrong == ("kernel",) and found.named == "kernel: it is no finite number"
    assert re.match(r"d_kernel\[0,1\] = −?(nan|inf) is wrong, the slope is −11: it is no finite number\n"
                    r"d_bias = −5.5 agrees", str(found))


def test_a_network_of_single_precision_is_diagnosed_too():
    given = {name: np.asarray(value, np.float32) for name, value in example_1.given.items()}
    assert diagnose(example_1.forward, given, example_1.parameters, learning_rate=0.08).cause == "overshoot"


@pytest.mark.parametrize("call, words", [
    (lambda: diagnose(example_1, read={"lable": 1}), "read: no value is named 'lable'; there are image"),
    (lambda: diagnose(example_2, noted={"konv": 1}), "noted: no line makes 'konv'; did you mean 'conv'?"),
    (lambda: diagnose(example_1, optimizer="adm"), "optimizer 'adm' is none of gradient descent, momentum, Adam"),
    (lambda: diagnose(example_1, gradient={"kernel": [1, 2, 3]}), r"gradient of kernel: \(3,\) does not fit \(2, 2\)"),
    (lambda: diagnose(example_1, learning_rate=1e308), r"line new_kernel = Descend\(.*\): overflow"),
    (lambda: diagnose(example_1, learning_rate=-1), r"line new_kernel = .* must be one number, and not negative"),
    (lambda: diagnose(example_1.forward, example_1.given), "diagnose: give an example, or a recipe, its numbers and the names"),
    (lambda: check_gradient(example_1.forward, example_1.given, {"weight": 1}), "the loss reads no given number named 'weight'"),
    (lambda: check_gradient(example_1.forward, {name: example_1.given[name] for name in ("image", "kernel", "bias")}, {"bias": 1}),
     r"line loss = HalfSquaredError\(output, target\): no value is named 'target'"),
    (lambda: diagnose(example_1, learning_rat=0.08), "diagnose: no number is named 'learning_rat'; did you mean 'learning_rate'?"),
    (lambda: diagnose(example_1, kernel_velocity=0), "diagnose: no number is named 'kernel_velocity'; there are image, kernel"),
    (lambda: diagnose(example_1, output=3), "line output = .*: the name 'output' is used twice, it is also given"),
    (lambda: diagnose(example_1, gradient={"kernal": np.zeros((2, 2))}), "gradient: no parameter is named 'kernal'; did you mean 'kernel'?"),
    (lambda: diagnose(example_1, gradient=0.5), "gradient = 0.5: give {parameter: array}, a ledger, or a recipe"),
    (lambda: diagnose(example_1, read=0.5), "read = 0.5: give numbers by name, or the name of a loss"),
    (lambda: diagnose(example_1, gradient={"target": 1}), "gradient: no parameter is named 'target'; there are kernel, bias"),
    (lambda: diagnose(example_2, gradient={"fc_weight": [[0.1, 0.2]]}), r"gradient of fc_weight: \(1, 2\) does not fit \(2, 1\)"),
    (lambda: diagnose(twin, gradient={"fc_weight": twin.run()["d_fc_weight"].T}), r"gradient of fc_weight: \(4, 2\) does not fit \(2, 4\)"),
    (lambda: diagnose(example_2, read={"conv": 0.5}), r"read: line conv = AddBias\(conv_sum, kernel_bias\) makes 'conv'; the given numbers are image"),
    (lambda: diagnose(example_2, read="p"), r"read: p \(2,\) is no single number"),
    (lambda: diagnose(example_2, read="image"), "read: no line makes 'image'"),
    (lambda: diagnose(example_2, noted={"conv": [1, 2, 3]}), r"noted: conv \(3,\) does not fit \(1, 1\)"),
    (lambda: diagnose(example_2, noted={"loss": [1, 2]}), r"noted: loss \(2,\) does not fit \(\)"),
    (lambda: diagnose(example_2, noted={"loss": None}), "noted loss = None: expected a number"),
    (lambda: diagnose(example_2, noted={"loss": np.nan}), "noted loss = nan: every number must be finite"),
    (lambda: diagnose(example_1, gradient={"bias": "5"}), "gradient of bias = '5': expected a number"),
    (lambda: diagnose(example_1, gradient={"kernel": [[1, 2], [np.inf, 4]]}), r"gradient of kernel\[1,0\] = inf: every number must be"),
    (lambda: diagnose(example_1, up_to=0), "diagnose: up_to 0: give a learning rate above 0"),
    (lambda: diagnose(example_1, up_to=np.inf), "diagnose: up_to inf: give a learning rate above 0"),
    (lambda: diagnose(example_1, up_to="far"), "diagnose: up_to 'far': give a learning rate above 0"),
    (lambda: check_gradient(example_1.forward, example_1.given | {"kernel": np.ones((3, 3))}, {"bias": 1}),
     r"line conv_sum = Correlate\(image, kernel\): kernel \(3, 3\) does not fit inside image \(2, 2\)"),
    (lambda: check_gradient(example_1.forward, example_1.given | {"bias": np.inf}, {"bias": 1}), "given bias = inf: every number"),
    (lambda: check_gradient(example_1.forward, example_1.given, {"bias": 1j}), "d_bias = 1j: expected a number"),
    (lambda: check_gradient(example_1.forward, example_1.given | {"target": 1e200}, {"bias": 0}), "line loss = .*: overflow"),
    (lambda: check_gradient(example_1.forward, example_1.given, {"target": 5.5}), "the chain rule sends no gradient to 'target'"),
    (lambda: diagnose(example_1, parameters=("target",)), "diagnose: 'target' is no parameter: the chain rule sends no gradient to it")])
def test_errors_name_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words) as raised:
        call()
    assert issubclass(LineError, ValueError)
    assert isinstance(raised.value, LineError) or words.startswith(("optimizer", "diagnose: give", "diagnose: up_to"))


def test_one_label_read_for_a_list_of_one():
    assert diagnose(example_2, label=[1], read={"label": 0}).verdict == diagnose(example_2, label=1, read={"label": 0}).verdict


def test_a_gradient_may_leave_out_the_axes_of_length_1_before_it():
    given = two_samples(25, 3.0)
    whole = run(backward(TWO_SAMPLES), **{name: given[name] for name in TWO_SAMPLES.given})["d_kernel"]
    assert diagnose(TWO_SAMPLES, given, example_2.parameters, gradient={"kernel": whole[0, 0]}).check.agrees


def test_a_run_as_a_plain_dictionary_is_a_gradient_too():
    assert diagnose(twin, gradient=dict(twin.run())).check.agrees


def test_a_network_is_diagnosed_with_its_own_parameters():
    digits = digits_8x8(np.float64)
    given = small_cnn.start(0) | dict(image=digits.train_images[:4], label=digits.train_labels[:4], learning_rate=0.1)
    given = {name: np.asarray(value, float) for name, value in given.items()}
    named = diagnose(small_cnn.forward, given, small_cnn.parameters)
    assert diagnose(small_cnn, given, small_cnn.parameters).text == diagnose(small_cnn, given).text == named.text
