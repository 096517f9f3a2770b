"""The figures of the documents' two examples, to their digits, before and after the step."""

from fractions import Fraction

import numpy as np
import pytest

from cnnlab.arithmetic import number
from cnnlab.examples import example_1, example_2, example_2_step_by_step, stored, twin
from cnnlab.gradients import losses_after
from cnnlab.ledger import LineError


def after(example, **changed):
    """The ledger of the next run, with the new values in place of the old."""
    return example.run(**example.run(**changed).after())


def figures(ledger, **expected):
    """Every cell to its printed digits: the expected text is the recorded value, rounded to as many places."""
    for name, texts in expected.items():
        for at, text in np.ndenumerate(np.array(texts, object)):
            value, places = float(ledger[name][at] if at else np.squeeze(ledger[name])), len(text.partition(".")[2])
            assert f"{value:.{places}f}" == text, f"{name}{list(at)}: got {value!r}, expected {text}"


def test_example_1_before_the_step():
    figures(example_1.run(), conv_sum="3", output="4.5", target="10", d_output="-5.5", loss="15.125",
            learning_rate="0.01", d_kernel=[["-5.5", "-11"], ["-16.5", "-22"]], d_bias="-5.5",
            products=[[[["0.1", "0.4"], ["0.9", "1.6"]]]])


def test_example_1_after_the_step():
    figures(example_1.run(), new_kernel=[["0.155", "0.31"], ["0.465", "0.62"]], new_bias="1.555")
    figures(after(example_1), output="6.205", loss="7.2010125")


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(1, 100), Fraction(1, 31), Fraction(2, 31), Fraction(1, 10),
                                  Fraction(3)])
def test_one_step_of_example_1_multiplies_the_error_by_1_minus_31_rates(rate):
    factor = 1 - 31 * rate
    error = after(example_1, learning_rate=float(rate))["d_output"].item()
    assert error == pytest.approx(float(-Fraction(11, 2) * factor), rel=1e-13, abs=1e-13)


def test_the_threshold_of_example_1_is_2_31sts():
    start, threshold = example_1.run(), 2 / 31
    below, at, above, best = losses_after(example_1.forward, start, example_1.parameters,
                                          [threshold * 0.999, threshold, threshold * 1.001, 1 / 31])
    assert below < start["loss"] < above and at == pytest.approx(15.125, rel=1e-13) and best < 1e-28
    assert f"{threshold:.4f}" == "0.0645"


def test_example_1_steps_again_and_again_by_the_same_factor():
    ledger, losses = example_1.run(), []
    for _ in range(5):
        losses.append(ledger["loss"])
        ledger = example_1.run(**ledger.after())
    factors = [later / sooner for sooner, later in zip(losses, losses[1:])]
    assert factors == pytest.approx([(1 - 0.31)**2] * 4, rel=1e-12)


def test_example_2_before_the_step():
    figures(example_2.run(), products=[[[["0.10", "-0.24"], ["0.12", "0.04"]]]], conv_sum="0.02", conv="0.12",
            relu="0.12", logits=["0.284", "-0.240"], p=["0.62808", "0.37192"], loss="0.465084",
            d_logits=["-0.371917", "0.371917"],
            d_fc_weight=[["-0.044630"], ["0.044630"]], d_fc_bias=["-0.371917", "0.371917"], d_relu=[["0.334726"]],
            d_conv=[["0.334726"]],
            d_kernel=[["0.066945", "0.267781"], ["0.200835", "0.033473"]], d_kernel_bias="0.334726")


def test_example_2_after_the_step():
    figures(example_2.run(), new_kernel=[["0.4933", "-0.3268"], ["0.1799", "0.3967"]], new_kernel_bias="0.0665",
            new_fc_weight=[["-0.395537"], ["0.495537"]], new_fc_bias=["0.369192", "-0.337192"])
    figures(after(example_2), conv="0.051381", p=["0.659395", "0.340605"], loss="0.416433")


@pytest.mark.parametrize("name", ["loss", "p", "d_logits", "d_kernel", "d_image", "new_fc_bias", "new_kernel"])
def test_example_2_step_by_step_is_the_same_step(name):
    assert example_2_step_by_step.run()[name] == pytest.approx(example_2.run()[name], rel=1e-14)


def test_the_printed_0_0987_is_the_first_term_alone():
    kernel, image = [0.4933, -0.3268, 0.1799, 0.3967], [0.2, 0.8, 0.6, 0.1]
    assert number(kernel[0] * image[0], 3) == "0.0987"
    assert number(sum(w * x for w, x in zip(kernel, image)) + 0.0665, 3) == "0.0513"


def test_example_2_switches_its_relu_off_at_about_0_1749():
    start = example_2.run()
    slope = start["d_kernel_bias"] * (np.square(start["image"]).sum() + 1)  # of the convolution output, in the rate
    threshold = float(start["conv"].item() / slope)
    assert number(threshold, 4) == "0.1749"
    on, off = (after(example_2, learning_rate=threshold * factor) for factor in (1 - 1e-9, 1 + 1e-9))
    assert on["relu"] > 0 and off["relu"] == 0 and not off["d_kernel"].any() and off["d_fc_bias"].any()


def test_example_2_falls_at_every_rate_that_was_tried():
    rates = np.geomspace(1e-6, 1e3, 200)
    losses = losses_after(example_2.forward, example_2.run(), example_2.parameters, rates)
    assert max(losses) < 0.465084 and losses == sorted(losses, reverse=True)


def test_what_was_lost_does_not_matter():
    """Any fully connected values with the same gaps between the classes give the same losses."""
    for shift in (-2, 0.7, 5):
        other = {"fc_weight": np.add(example_2.given["fc_weight"], shift),
                 "fc_bias": np.add(example_2.given["fc_bias"], 1 - shift)}
        ledger = example_2.run(**other)
        assert ledger["loss"] == pytest.approx(0.465084, abs=5e-7)
        assert example_2.run(**ledger.after())["loss"] == pytest.approx(0.416433, abs=5e-7)


def test_the_twin_shows_what_the_document_hides():
    ledger = twin.run()
    assert (ledger["conv"] < 0).sum() == 2 and (ledger["relu"] == 0).sum() == 2
    assert not np.array_equal(ledger["d_conv"], ledger["d_relu"])
    assert after(twin)["loss"] < ledger["loss"]
    for name in ("image", "kernel"):
        values = ledger[name]
        turned = (values.T, values[::-1], values[:, ::-1], values[::-1, ::-1])
        assert not any(np.array_equal(values, other) for other in turned), f"{name} is symmetric"


@pytest.mark.parametrize("example", [example_1, example_2, twin], ids=lambda each: each.title)
def test_every_number_has_a_status(example):
    assert set(example.status) == set(example.given) == set(example.recipe.given)
    assert set(example.status.values()) <= {"printed", "derived", "chosen"}
    assert example.document in {*stored()["documents"], "ours"}


def test_a_changed_number_that_no_line_reads_is_refused():
    with pytest.raises(LineError, match="no number is named 'targt'; did you mean 'target'?"):
        example_1.run(targt=7)
    with pytest.raises(LineError, match="line output = .*: the name 'output' is used twice, it is also given"):
        example_1.run(output=7)
