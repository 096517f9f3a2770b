"""Momentum and Adam as recorded lines: by hand, by the formulas written again, carried from step to step."""

import numpy as np
import pytest

from cnnlab import LineError, backward, run
from cnnlab.arithmetic import FUNCTIONS
from cnnlab.examples import example_1, example_2, twin
from cnnlab.optimizers import OPTIMIZERS, started, update_with_adam, update_with_momentum

EXAMPLES = pytest.mark.parametrize("example", [example_1, example_2, twin], ids=lambda each: each.title)


def steps(example, add_lines, count, **settings):
    """The ledgers of some steps, each starting from what the one before carried on."""
    recipe = add_lines(backward(example.forward), *example.parameters)
    given = started(recipe, example.given | settings)
    for _ in range(count):
        ledger = run(recipe, **given)
        given = ledger.after()
        yield ledger


@EXAMPLES
def test_momentum_is_its_formula_step_after_step(example):
    velocity = {name: 0.0 for name in example.parameters}
    for ledger in steps(example, update_with_momentum, 4, momentum=0.8):
        for name in example.parameters:
            velocity[name] = 0.8 * velocity[name] + ledger[f"d_{name}"]
            assert ledger[f"new_{name}"] == pytest.approx(ledger[name] - ledger["learning_rate"] * velocity[name], rel=1e-14)


@EXAMPLES
def test_adam_is_its_formula_step_after_step(example):
    mean, square = ({name: 0.0 for name in example.parameters} for _ in range(2))
    for t, ledger in enumerate(steps(example, update_with_adam, 4, beta_1=0.7, beta_2=0.95, epsilon=1e-3), 1):
        for name in example.parameters:
            gradient = ledger[f"d_{name}"]
            mean[name] = 0.7 * mean[name] + 0.3 * gradient
            square[name] = 0.95 * square[name] + 0.05 * gradient**2
            direction = mean[name] / (1 - 0.7**t) / (np.sqrt(square[name] / (1 - 0.95**t)) + 1e-3)
            assert ledger[f"new_{name}"] == pytest.approx(ledger[name] - ledger["learning_rate"] * direction, rel=1e-12)


def test_momentum_by_hand():
    ledger = next(steps(example_1, update_with_momentum, 1, kernel_velocity=[[1, 2], [3, 4]], momentum=0.5))
    assert str(ledger.explain("new_kernel_velocity", (0, 1))) == "new_kernel_velocity[0,1] = 0.5×2 + (−11) = −10"
    assert str(ledger.explain("new_kernel", (0, 1))) == "new_kernel[0,1] = 0.2 − 0.01×(−10) = 0.3"


def test_the_first_step_of_adam_is_the_learning_rate_in_every_parameter():
    ledger = next(steps(example_1, update_with_adam, 1, target=4.5 + 1e-3))  # gradients of a thousandth
    for name in ("kernel", "bias"):
        assert ledger[f"new_{name}"] - ledger[name] == pytest.approx(0.01 * np.ones(np.shape(ledger[name])), rel=1e-4)


def test_adam_prints_its_arithmetic():
    ledger = next(steps(example_1, update_with_adam, 1))
    assert str(ledger.explain("bias_square_unbiased")) == "bias_square_unbiased = 0.03025/(1 − 0.999¹) = 30.25"
    assert str(ledger.explain("bias_direction")) == "bias_direction = −5.5/(√(30.25) + 1×10⁻⁸) ≈ −1"


@EXAMPLES
@pytest.mark.parametrize("add_lines", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_text_of_every_cell_gives_the_recorded_value(example, add_lines):
    *_, ledger = steps(example, add_lines, 3)
    for line in ledger.recipe[len(backward(example.forward)):]:
        found = [eval(text, {"__builtins__": {}}, FUNCTIONS) for text in ledger.explain(line.name, whole=True).python.split("\n")]
        assert np.reshape(found, np.shape(ledger[line.name])) == pytest.approx(ledger[line.name], rel=1e-13, abs=1e-300), line


def test_what_is_carried_starts_at_zero_and_is_not_overwritten():
    recipe = update_with_adam(backward(example_1.forward), *example_1.parameters)
    given = started(recipe, example_1.given | {"beta_1": 0.5})
    assert given["beta_1"] == 0.5 and given["epsilon"] == 1e-8 and given["steps"] == 0
    assert np.array_equal(given["kernel_mean"], np.zeros((2, 2))) and given["bias_square"] == 0
    assert set(started(example_1.recipe, example_1.given)) == set(example_1.given)


def test_steps_are_whole():
    recipe = update_with_adam(backward(example_1.forward), *example_1.parameters)
    with pytest.raises(ValueError, match="steps 0.5 must be one whole number"):
        run(recipe, **started(recipe, example_1.given | {"steps": 0.5}))


@pytest.mark.parametrize("add_lines, given, words", [
    (update_with_momentum, {"momentum": [0.9]}, r"line new_kernel_velocity = .*: momentum \(1,\) must be one number"),
    (update_with_momentum, {"kernel_velocity": 5.0}, r"kernel_velocity \(\) and d_kernel \(2, 2\) differ in shape"),
    (update_with_adam, {"beta_1": 10, "steps": 400}, "beta_1 10 must be from 0 to below 1"),
    (update_with_adam, {"beta_2": -0.1}, "beta_2 -0.1 must be from 0 to below 1"),
    (update_with_adam, {"kernel_square": [1.0]}, r"kernel_square \(1,\) and d_kernel \(2, 2\) differ in shape"),
    (update_with_adam, {"epsilon": [1e-8, 1]}, r"epsilon \(2,\) must be one number")])
def test_what_an_optimizer_cannot_use_is_named(add_lines, given, words):
    recipe = add_lines(backward(example_1.forward), *example_1.parameters)
    with pytest.raises(LineError, match=words):
        run(recipe, **started(recipe, dict(example_1.given)) | given)
