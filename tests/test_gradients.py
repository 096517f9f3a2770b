"""The chain rule: equal to slopes by trying and to autograd at every cell; how its lines are named and added up."""

import numpy as np
import pytest
from autograd import grad

from cnnlab import (Add, AddBias, AveragePool, Correlate, FullyConnected, HalfSquaredError, LineError, MaxPool, Recipe,
                    ReLU, Same, Softmax, Tanh, backward, run, slope, update)
from cnnlab.examples import example_1, example_2, example_2_step_by_step
from cnnlab.gradients import losses_after, needed
from tests.networks import NETWORKS, independent_loss, pool

GIVEN = [(network, name) for network, each in NETWORKS.items() for name in each.smooth]
KINK = 1e-3  # a thousand times the nudge: no trial crosses a kink


def everywhere(got, expected, what, relative, absolute):
    """Every cell agrees; a failure says which does not."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: got shape {got.shape}, expected {expected.shape}"
    for at in np.ndindex(got.shape):
        assert abs(got[at] - expected[at]) <= absolute + relative * abs(expected[at]), \
            f"{what}{list(at)}: got {got[at]!r}, expected {expected[at]!r}"


@pytest.mark.parametrize("network", NETWORKS)
def test_the_networks_keep_clear_of_kinks(network):
    ledger = NETWORKS[network].step
    for _, operation in NETWORKS[network].forward:
        if isinstance(operation, ReLU):
            assert np.abs(ledger[operation.values]).min() > KINK
        if isinstance(operation, MaxPool):
            gaps = pool(ledger[operation.values], operation.size, operation.stride,
                        lambda window: np.diff(np.sort(window, axis=None))[-1])
            assert gaps.min() > KINK


@pytest.mark.parametrize("network, name", GIVEN)
def test_gradients_of_given_numbers_are_slopes(network, name):
    net = NETWORKS[network]
    tried = slope(net.forward, net.given, name)
    everywhere(net.step[f"d_{name}"], tried, f"{network}: d_{name}", 1e-6, 1e-8)


MADE = [(network, line.name) for network, each in NETWORKS.items() for line in each.forward
        if f"d_{line.name}" in each.recipe.names and line.name != "loss"]


@pytest.mark.parametrize("network, name", MADE)
def test_gradients_of_values_on_the_way_are_slopes(network, name):
    net = NETWORKS[network]
    given = {each: value for each, value in net.given.items() if each != name}
    everywhere(net.step[f"d_{name}"], slope(net.forward, given, name), f"{network}: d_{name}", 1e-6, 1e-8)


@pytest.mark.parametrize("network, name", GIVEN)
def test_gradients_equal_those_of_autograd(network, name):
    net = NETWORKS[network]
    value = np.asarray(net.given[name], float)
    found = grad(lambda trial: independent_loss(net.forward, net.given | {name: trial}))(value)
    everywhere(net.step[f"d_{name}"], found, f"{network}: d_{name}", 1e-10, 1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_gradient_has_the_shape_of_its_value(network):
    ledger = NETWORKS[network].step
    carried = [name for name in ledger if f"d_{name}" in ledger]
    assert {"loss", *NETWORKS[network].smooth} <= set(carried)
    assert [name for name in carried if np.shape(ledger[f"d_{name}"]) != np.shape(ledger[name])] == []


def test_two_ways_through_the_softmax_are_one():
    fused, by_steps = example_2.run(), example_2_step_by_step.run()
    for name in ("loss", "d_logits", "d_kernel", "d_kernel_bias", "d_fc_weight", "d_fc_bias", "d_image", "new_kernel"):
        everywhere(fused[name], by_steps[name], name, 1e-13, 1e-15)
    assert "d_p" in by_steps and "d_p" not in fused


# Kinks: there is no slope there, so one side is taken, and always the same.

def test_relu_at_zero_counts_as_off():
    ledger = run(backward(Recipe(out=ReLU("v"), loss=HalfSquaredError("out", "t"))), v=[-1, 0, 1], t=[5, 5, 5])
    assert ledger["d_v"].tolist() == [0, 0, 1 - 5]


@pytest.mark.parametrize("stride, d_v", [(2, [[-4, 0], [0, 0]]), (1, [[-4, 0], [0, 0]])])
def test_a_tie_under_max_pooling_goes_to_the_first_in_reading_order(stride, d_v):
    recipe = backward(Recipe(out=MaxPool("v", size=2, stride=stride), loss=HalfSquaredError("out", "t")))
    assert run(recipe, v=np.ones((2, 2)), t=[[5]])["d_v"].tolist() == d_v


def test_overlapping_ties_are_settled_window_by_window():
    recipe = backward(Recipe(out=MaxPool("v", size=2, stride=1), loss=HalfSquaredError("out", "t")))
    ledger = run(recipe, v=[[3, 7, 3], [3, 7, 3], [3, 3, 7]], t=np.zeros((2, 2)))
    #  all four windows hold a 7: [0,1] is first in both upper ones, [1,1] in both lower ones
    assert ledger["d_v"].tolist() == [[0, 14, 0], [0, 14, 0], [0, 0, 0]]


def test_where_windows_overlap_gradients_add_up():
    # the windows give 9 and 9, or 5 and 5.5; the targets are 1 and 10 below, so the gradients that arrive are 1 and 10
    for kind, target, d_v in ((MaxPool, [[8, -1]], [0, 1 + 10, 0]),
                              (AveragePool, [[4, -4.5]], [1/2, 1/2 + 10/2, 10/2])):
        recipe = backward(Recipe(out=kind("v", size=(1, 2), stride=1), loss=HalfSquaredError("out", "t")))
        everywhere(run(recipe, v=[[1, 9, 2]], t=target)["d_v"], [d_v], kind.__name__, 0, 1e-12)


# Naming and adding up

def test_a_value_used_twice_sums_its_gradients():
    recipe = backward(Recipe(twice=Add("x", "x"), bent=Tanh("x"), y=Add("twice", "bent"),
                             loss=HalfSquaredError("y", "t")))
    ledger = run(recipe, x=0.5, t=0)
    assert [name for name in ledger.recipe.names if name.startswith("d_x")] == [
        "d_x_by_bent", "d_x_by_twice", "d_x_by_twice_again", "d_x_sum_1", "d_x"]
    expected = ledger["y"] * (1 + 1 + 1 - np.tanh(0.5)**2)
    assert ledger["d_x"] == pytest.approx(expected, rel=1e-14)


def test_backward_and_update_only_add_lines():
    forward = example_2.forward
    whole = update(backward(forward), "kernel")
    assert whole[:len(forward)] == forward and whole[-1].name == "new_kernel"
    assert backward(forward)[:len(forward)] == forward


def test_gradients_only_towards_what_is_asked_for():
    made = {line.name for line in backward(example_2.forward, to=["fc_weight"])}
    assert "d_fc_weight" in made and not made & {"d_kernel", "d_image", "d_conv", "d_fc_bias", "d_flat"}


def test_a_line_that_the_loss_does_not_need_gets_no_gradient():
    made = {line.name for line in backward(example_2.forward)}
    assert not made & {"d_products", "d_total", "d_exponentials"}
    assert "products" not in {line.name for line in needed(example_2.forward)}


def test_a_loss_by_another_name():
    recipe = update(backward(Recipe(cost=HalfSquaredError("x", "t")), loss="cost"), "x", learning_rate="eta")
    assert run(recipe, x=[3.0], t=[1.0], eta=0.5)["new_x"].tolist() == [3 - 0.5 * 2]


def test_a_softmax_that_nobody_made_gets_a_line():
    recipe = backward(Recipe(*[line for line in example_2.forward if line.name != "p"]))
    assert isinstance(recipe.names["softmax_of_logits"].operation, Softmax)


def test_an_update_is_old_minus_rate_times_gradient():
    for name in ("kernel", "kernel_bias", "fc_weight", "fc_bias"):
        ledger = example_2.run()
        everywhere(ledger[f"new_{name}"], ledger[name] - 0.1 * ledger[f"d_{name}"], f"new_{name}", 0, 1e-16)
        assert ledger.after()[name] is ledger[f"new_{name}"]
    assert set(ledger.after()) == set(example_2.given)


@pytest.mark.parametrize("case, loss, to, words", [
    ("unknown loss", "los", None, "backward: no value is named 'los'; did you mean 'loss'?"),
    ("unknown target", "loss", ["kernal"], "backward: no value is named 'kernal'; did you mean 'kernel'?")])
def test_backward_names_what_it_does_not_know(case, loss, to, words):
    with pytest.raises(LineError) as caught:
        backward(example_1.forward, loss, to)
    assert str(caught.value) == words


def test_gradients_start_from_one_number():
    recipe = backward(Recipe(loss=ReLU("x")))
    with pytest.raises(LineError, match=r"line d_loss = Seed\(loss\): loss \(2,\) is not one number"):
        run(recipe, x=[1, 2])


def test_nothing_can_follow_from_an_operation_without_a_gradient():
    with pytest.raises(NotImplementedError, match="Exponential has no gradient"):
        backward(Recipe(e=example_2.forward.names["exponentials"].operation, loss=HalfSquaredError("e", "t")))


def test_slope_tries_a_cell_at_a_time():
    recipe = Recipe(y=FullyConnected("x", "w"), b=AddBias("y", "c"), s=Same("b"), loss=HalfSquaredError("s", "t"))
    tried = slope(recipe, dict(x=[1, 2], w=[[3, 4]], c=5, t=0), "x")  # y = 11, s = 16
    everywhere(tried, [16 * 3, 16 * 4], "slope", 1e-8, 0)


def test_losses_after_a_step_are_those_of_the_next_run():
    for example in (example_1, example_2):
        ledger, rates = example.run(), [0, 1e-3, 0.5, 3]
        found = losses_after(example.forward, ledger, example.parameters, rates)
        after = [example.run(**example.run(learning_rate=rate).after())["loss"] for rate in rates]
        assert found == pytest.approx(after, rel=1e-13)


def test_a_convolution_of_a_convolution():
    """Both kernels' gradients, by hand: x = 2, k = 3, m = 5; y = 2·3·5 = 30, t = 29, so dL/dy = 1."""
    recipe = backward(Recipe(a=Correlate("x", "k"), y=Correlate("a", "m"), loss=HalfSquaredError("y", "t")))
    ledger = run(recipe, x=[[2]], k=[[3]], m=[[5]], t=[[29]])
    assert [ledger[name].item() for name in ("d_x", "d_k", "d_m")] == [3*5, 2*5, 2*3]


def test_a_target_that_a_line_makes_is_refused_rather_than_half_differentiated():
    autoencoder = Recipe(code=ReLU("image"), target=Add("image", "image"), loss=HalfSquaredError("code", "target"))
    with pytest.raises(LineError, match=r"line loss = HalfSquaredError\(code, target\) sends no gradient to 'target'"):
        backward(autoencoder)
