"""The training panels, driven as the page drives them: presses, and one tick after the other. And what notebook 04 says beside them."""

import gc
import html
import re
import time
import tracemalloc

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

from cnnlab.arithmetic import board, number
from cnnlab.data import digits_8x8, mnist
from cnnlab.ledger import run
from cnnlab.lessons import lenet
from cnnlab.lessons import train as lesson
from cnnlab.networks import lenet_5, small_cnn
from cnnlab.training import Training, silent, train

CHANGED = {"network": "small_cnn", "broken": "bias", "learning_rate": 0.05, "epochs": 2, "batch": 16, "seed": 7,
           "optimizer": "Adam", "schedule": "constant", "dropout": "half"}


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    """Pieces of a few steps, so that a run has many ticks."""
    monkeypatch.setattr(lesson, "SHORTEST", 0.005)
    monkeypatch.setattr(lesson, "LONGEST", 0.005)


def small(**first):
    """A panel of a run that takes a second."""
    return lesson.train(**{"network": "small_cnn", "epochs": 2, **first})


def to_the_end(panel):
    panel.press("train")
    assert panel.message == ""
    while panel.running:
        panel.tick()
    return panel.state["training"]


def words(panel):
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", panel.html)).split())


def same(first, second):
    return all(np.array_equal(first.parameters[name], second.parameters[name]) for name in first.network.parameters) \
        and first.losses == second.losses and first.epochs == second.epochs


def test_nothing_runs_before_train_is_pressed():
    panel = small()
    assert not panel.running and "1,437 pictures, 32 at a time: 45 steps an epoch; 45×2 = 90" == panel.line
    panel.tick()
    assert panel.state["training"] is None
    panel.press("train")
    assert panel.running and panel.state["training"].step == 0
    panel.tick()
    step = panel.state["training"].step
    assert 0 < step < 90 and f"Step {step} of 90" in words(panel) and panel.line.startswith(f"step {step}: new_fc_bias[0] = ")


def test_stop_keeps_what_was_learned_and_train_goes_on_from_there():
    panel, whole = small(), to_the_end(small())
    panel.press("train")
    panel.tick()
    panel.press("stop")
    training = panel.state["training"]
    step, kernel = training.step, training.state["c1_kernel"].copy()
    assert 0 < step < 90 and not panel.running and f"Stopped after step {step}." in words(panel)
    for _ in range(3):
        panel.tick()  # one that was on its way when Stop was pressed
    assert training.step == step and np.array_equal(training.state["c1_kernel"], kernel)
    assert panel.state["training"] is training
    panel.press("train")
    panel.tick()
    assert training.step > step
    assert same(to_the_end(panel), whole)


def test_the_run_is_that_of_the_code_bit_for_bit():
    made = to_the_end(small(seed=3, learning_rate=0.03, batch=64, optimizer="gradient descent"))
    assert same(made, train(small_cnn, digits_8x8(), epochs=2, seed=3, learning_rate=0.03, batch=64,
                            optimizer="gradient descent", schedule="cosine", progress=False))
    panel = lesson.train(epochs=1)
    assert same(to_the_end(panel), train(lenet_5, mnist(), epochs=1, seed=1, schedule="cosine", progress=False))
    assert "Done:" in words(panel) and f"{round(1000 * panel.state['training'].epochs[-1].test_accuracy)} of the 1,000" in words(panel)


def test_dropout_is_that_of_the_code_too():
    assert same(to_the_end(small(dropout="half")), train(small_cnn, digits_8x8(), epochs=2, seed=1, schedule="cosine",
                                                        dropout=(("flat", 0.5),), progress=False))


def test_one_step_after_another_is_the_same_run():
    panel, recorded = small(), Training(small_cnn, digits_8x8(), small().lesson.asked(small().state)[2])
    for step in range(1, 4):
        panel.press("one")
        ledger = recorded.take_step()
        assert not panel.running and panel.state["training"].step == step
        for name in ("d_fc_bias", "new_fc_bias"):
            assert str(ledger.explain(name, (0,))) in words(panel)
        assert panel.line == f"step {step}: {ledger.explain('new_fc_bias', (0,))}"


@pytest.mark.parametrize("optimizer, between", [
    ("gradient descent", []), ("momentum", ["new_fc_bias_velocity"]),
    ("Adam", ["new_fc_bias_mean", "new_fc_bias_square", "fc_bias_mean_unbiased", "fc_bias_square_unbiased", "fc_bias_direction"])])
def test_every_line_from_the_gradient_to_the_update_is_written(optimizer, between):
    panel = small(optimizer=optimizer)
    for _ in range(3):
        panel.press("one")
    ledger = panel.state["training"].ledger
    said = [html.unescape(each) for each in re.findall(r'<p class="line">(.*?)</p>', panel.html)]
    chain = said[1:3 + len(between)]
    assert chain == [str(ledger.explain(name, (0,))) for name in ("d_fc_bias", *between, "new_fc_bias")]
    for at, text in enumerate(chain[:-1]):  # nothing is left out: each result stands in the arithmetic of a later line
        assert any(re.split("[=≈] ", text)[-1] in later for later in chain[at + 1:])


def test_first_settings_are_those_of_the_controls_or_are_refused():
    assert lesson.train(learning_rate="0,5", broken="bias").state["learning_rate"] == 0.5
    for first, words in (({"lr": 0.5}, "^train: there is no setting lr; there are network, broken, learning_rate, epochs, "),
                         ({"broken": "biases"}, "Break it cannot be “biases”: it takes one of nothing, "),
                         ({"epochs": 0}, "epochs cannot be “0”")):
        with pytest.raises(ValueError, match=words):
            lesson.train(**first)


def test_the_loss_is_written_as_the_mean_over_the_pictures():
    panel = small()
    panel.press("one")
    training = panel.state["training"]
    losses = lesson.picture_losses(training.ledger)
    assert len(losses) == 32 and losses.mean() == pytest.approx(training.losses[0], rel=1e-6)
    assert f"(28 more))/32 ≈ {training.losses[0]:.6g}" in words(panel)


@pytest.mark.parametrize("name", CHANGED)
def test_a_setting_is_refused_while_a_run_has_it(name):
    panel = small(epochs=3, network="small_cnn")
    panel.press("one")
    before, other = panel.state[name], CHANGED[name] if name != "network" else "lenet_5"
    panel.set(name, other)
    assert "keeps the settings it began with" in panel.message and "Start over" in panel.message
    assert panel.state[name] == before and panel.state["training"].step == 1
    panel.set(name, before)  # the same again is no change
    assert panel.message == "" and panel.state["training"].step == 1
    panel.press("again")
    panel.set(name, other)
    assert panel.message == "" and panel.state[name] == other and panel.state["training"] is None


def test_a_setting_that_changes_before_the_first_step_changes_the_run():
    panel = small()
    panel.press("train")  # and no tick came yet
    panel.set("epochs", 1)
    assert not panel.running and panel.state["training"] is None
    assert to_the_end(panel).steps == 45


def test_what_is_broken_is_what_the_choice_says():
    runs = {}
    for broken in dict(lesson.BREAKS):
        panel = small(broken=broken)
        panel.press("one")
        runs[broken] = panel.state["training"]
    weights = ("c1_kernel", "c3_kernel", "fc_weight")
    zeros = {broken: [not training.ledger[name].any() for name in weights] for broken, training in runs.items()}
    assert zeros == {broken: [broken == "zero"] * 3 for broken in runs}
    assert {broken for broken, training in runs.items() if "c1_bias" not in training.ledger} == {"bias"}
    assert {broken for broken, training in runs.items() if "c1_relu" not in training.ledger} == {"relu"}


def test_a_run_that_is_over_is_not_gone_on_with():
    panel = small(epochs=1)
    to_the_end(panel)
    for name in ("train", "one"):
        panel.press(name)
        assert "Start over" in panel.message and not panel.running
    panel.press("again")
    assert panel.message == "" and panel.state["training"] is None and "Nothing is learned yet" in words(panel)


def test_reset_gives_the_first_settings_and_no_run():
    panel = small(seed=5)
    panel.set("batch", 8)
    to_the_end(panel)
    panel.reset()
    assert (panel.html, panel.line) == (small(seed=5).html, small(seed=5).line)


def test_two_panels_do_not_share_a_run():
    first, second = small(), small()
    first.press("one")
    assert second.state["training"] is None
    second.press("one")
    assert first.state["training"] is not second.state["training"]
    kernel = small_cnn.start(1)["c1_kernel"]  # nor did the run that is only looked at move
    assert np.array_equal(lesson.before_the_first_step(*first.lesson.asked(first.state)).state["c1_kernel"], kernel)


# What is broken on purpose


def broken(name, guess="nothing"):
    panel = lesson.break_it()
    panel.set("broken", name)
    panel.set("guess", guess)
    return panel


def test_a_broken_run_begins_with_a_prediction():
    panel = lesson.break_it()
    for name in ("train", "one"):
        panel.press(name)
        assert "Predict first" in panel.message and not panel.running and panel.state["training"] is None
    assert not re.search("[✓✗]", panel.html)


@pytest.mark.parametrize("name, outcome", [("none", "reads"), ("five", "away"), ("one", "nothing"), ("zero", "nothing"),
                                           ("bias", "reads"), ("relu", "reads")])
def test_what_becomes_of_each_broken_run(name, outcome):
    panel = broken(name, outcome)
    assert "As you predicted" not in words(panel)
    training = to_the_end(panel)
    assert lesson.outcome(training) == outcome and "✓ As you predicted" in words(panel)
    assert list(panel.state["tried"]) == [name] and panel.state["tried"][name][:2] == (lesson.OUTCOMES[outcome].partition(" ")[2],) * 2
    assert lesson.BROKEN[name].lesson in words(panel)


def test_the_diagnosis_names_the_step_that_was_too_long():
    panel = broken("five")
    training = to_the_end(panel)
    assert training.diagnosis.cause == "overshoot" and "because the step is too long" in words(panel)
    assert "✗ Not as you predicted: its loss runs away" in words(panel)


def test_a_start_at_zero_moves_nothing_but_the_last_biases():
    training = to_the_end(broken("zero"))
    moved = [name for name in lenet_5.parameters if np.any(training.state[name])]
    assert moved == ["fc_bias"] and training.losses[0] == pytest.approx(np.log(10), rel=1e-6)
    assert training.losses[-1] == pytest.approx(np.log(10), abs=0.1)


def test_long_steps_switch_the_units_off():
    panel = broken("one")
    training = to_the_end(panel)
    assert panel.state["tried"]["one"][-1] == "84 of 84" and training.losses[-1] == pytest.approx(np.log(10), abs=0.1)
    assert "F6 84 of 84" in words(panel) and "no gradient reaches in this step: c1_kernel" in words(panel)


def test_without_biases_none_is_trained_and_the_last_weight_is_followed():
    panel = broken("bias")
    panel.press("one")
    assert not [name for name in panel.state["training"].network.parameters if "bias" in name]
    assert panel.line.startswith("step 1: new_fc_weight[0,0] = ")


def test_the_table_keeps_a_row_for_each_break_until_all_are_forgotten():
    panel = broken("zero")
    to_the_end(panel)
    panel.press("again")
    assert panel.state["guess"] == "none" and list(panel.state["tried"]) == ["zero"]
    panel.set("broken", "five")
    panel.set("guess", "away")
    to_the_end(panel)
    assert list(panel.state["tried"]) == ["zero", "five"] and words(panel).count("stopped") >= 1
    panel.reset()
    assert panel.state["tried"] == {}


def test_another_break_asks_for_another_prediction():
    panel = broken("zero")
    panel.set("broken", "one")
    assert panel.state["guess"] == "none"


# What notebook 04 says beside the panels


def test_units_that_start_alike_get_gradients_that_are_alike_and_not_0():
    training, usual = lenet.first_step()
    given = lenet.doubled(training.state | training.batch(0))
    ledger = run(training.recipe, **given | lenet.alike(given))
    for name in ("c1_kernel", "c3_kernel", "c5_weight", "f6_weight"):
        first, *others = ledger[f"d_{name}"]
        assert np.abs(first).max() > 0.5 and all(np.allclose(first, other, rtol=1e-12) for other in others)
        assert f"{name[:2].upper()} {lenet.size(first)}" in lenet.zero_start().text
        first, *others = usual[f"d_{name}"]
        assert not any(np.allclose(first, other) for other in others)
    flat = {name: np.full(np.shape(given[name]), 0.05) for name in lenet_5.weights}  # here the gradients vanish, and so show nothing
    assert all(np.abs(run(training.recipe, **given | flat)[f"d_{name}"]).max() < 1e-12 for name in ("c1_kernel", "c3_kernel", "c5_weight", "f6_weight"))


def test_the_units_that_a_long_step_switches_off_are_counted_after_it():
    training, ledger = lenet.first_step()
    given = lenet.doubled(training.state | training.batch(0))
    rows = re.findall(r"η = (\S+): loss \S+ → (\S+), it .*: 9 of 84 → (\d+) of 84", lenet.too_long().text)
    assert len(rows) == 5 and len(silent(ledger)["f6_relu"]) == 9
    for rate, loss, off in rows:
        moved = {name: ledger[name] - float(rate) * ledger[f"d_{name}"] for name in lenet_5.parameters}
        after = run(training.recipe, **given | moved)
        assert (board(number(after["loss"], 5)), len(silent(after)["f6_relu"])) == (loss, int(off))
    assert rows[2][::2] == ("1", "34")  # as the text beside it says, and that 34 is more than a third


def test_by_slope_and_curvature_alone_the_loss_would_rise_from_023_on():
    parts = {name: float(value.replace("−", "-")) for name, value in re.findall(r"^(.*?)(?:: .*)? = (\S+)$", lenet.too_long().text, re.M)[-5:]}
    cancel = parts["slope and curvature cancel at η"]
    assert cancel == pytest.approx(-5 * parts["slope"] / parts["curvature"], rel=1e-3) == pytest.approx(0.23, abs=0.005)
    assert parts["slope"] + parts["curvature"] + parts["the rest"] == pytest.approx(parts["change"], abs=0.02)


def test_what_stride_and_padding_make_of_c1():
    panel = lenet.count_one()
    assert "(32 − 5)/1 + 1 = 28" in words(panel)
    panel.set("stride", 2)
    assert "(32 − 5)/2 + 1 = 14, rounded down" in words(panel)
    panel.reset()
    panel.set("padding", 2)
    assert "(32 + 2×2 − 5)/1 + 1 = 32" in words(panel)


def test_an_answer_that_is_not_given_yet_gets_no_recipe():
    assert "60 pairs" not in str(lenet.check_c3(...)) and "60 pairs" in str(lenet.check_c3(880))


# What it costs


@pytest.mark.parametrize("make", [lesson.train, lesson.break_it])
def test_a_look_takes_less_than_ten_milliseconds(make):
    panel = make()
    if "guess" in panel.state:
        panel.set("guess", "reads")
    panel.press("train")
    while panel.running:
        panel.tick()
    times = []
    for _ in range(9):
        begun = time.process_time()
        panel.lesson.view(panel.state)
        times.append(time.process_time() - begun)
    assert sorted(times)[4] < 0.010
    assert len(panel.html) < 60_000  # what goes to the page with every tick


def test_a_run_makes_no_widgets_and_keeps_two_numbers_a_step():
    panel = small(epochs=40)
    panel.press("train")
    for _ in range(5):
        panel.tick()
    gc.collect()
    widgets = len(_instances)
    tracemalloc.start()
    before, step = tracemalloc.take_snapshot(), panel.state["training"].step
    while panel.state["training"].step < step + 300:
        panel.tick()
    gc.collect()
    grown = sum(change.size_diff for change in tracemalloc.take_snapshot().compare_to(before, "filename"))
    tracemalloc.stop()
    assert len(_instances) == widgets
    assert grown < 3_000_000, f"{grown} bytes after {panel.state['training'].step - step} steps"  # three states and a ledger at most
