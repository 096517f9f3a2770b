"""Every panel of the notebooks, driven through its sliders, and its page compared with the ledger."""

import gc
import html
import random
import re
import tracemalloc

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances

from cnnlab.arithmetic import board, number
from cnnlab.counting import count_recipe
from cnnlab.examples import example_1, example_2, example_2_step_by_step
from cnnlab.gradients import losses_after
from cnnlab.ledger import Recipe, run
from cnnlab.lessons import example_1 as lesson_1
from cnnlab.lessons import example_2 as lesson_2
from cnnlab.lessons import kernels, lenet, rise
from cnnlab.ops import AddBias, Flatten, FullyConnected
from cnnlab.panel import Choice, Drawing, Slider
from cnnlab.show.board import tile

PANELS = {
    "1 walk": lesson_1.walk, "1 rates": lesson_1.rates, "1 predict output": lesson_1.predict_output,
    "1 predict rate": lesson_1.predict_rate, "2 walk": lesson_2.walk, "2 rates": lesson_2.rates,
    "2 lost": lesson_2.lost, "2 twins": lesson_2.twins, "2 predict change": lesson_2.predict_change,
    "3 overshoot": rise.overshoot, "3 valley": rise.valley, "3 misread": rise.misread,
    "3 wrong gradient": rise.wrong_gradient, "3 slip": rise.slip, "3 sharing": rise.sharing,
    "3 mini-batch": rise.mini_batch, "3 carried": rise.carried, "3 kink": rise.kink, "3 edge": rise.edge,
    "4 predict most": lenet.predict_most, "4 count one": lenet.count_one, "4 predict loss": lenet.predict_loss,
    "4 train": lenet.train, "4 break it": lenet.break_it,
    "5 kernels over time": kernels.over_time, "5 kernels maps": kernels.maps, "5 kernels mattered": kernels.mattered,
    "5 kernels predict": kernels.predict_neighbours, "5 kernels nearest": kernels.nearest,
    "5 kernels confusion": kernels.confusion, "5 kernels follow": kernels.follow_back, "5 kernels quiz": kernels.quiz,
}
every_panel = pytest.mark.parametrize("make", PANELS.values(), ids=PANELS.keys())


def controls(panel):
    return [control for group in panel.lesson.controls for control in group.controls]


def bounds(panel, control):
    return panel.lesson.limits(panel.state).get(control.name, (control.low, control.high))


def words(panel):
    """The text of the picture, as a reader sees it."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", panel.html)))


def tiles(panel, caption):
    """The numbers of the table with this caption on the board, as printed."""
    table = re.search(rf"<caption>{re.escape(caption)}</caption>(.*?)</table>", panel.html, re.DOTALL)[1]
    return re.findall(r"<td[^>]*>([^<]*)</td>", table)


def printed(values):
    return [tile(value) for value in np.ravel(values)]


@every_panel
def test_every_control_goes_through_its_whole_range(make):
    panel = make()
    for control in controls(panel):
        if isinstance(control, Slider):
            low, high = bounds(panel, control)
            for value in np.linspace(low, high, 25):
                panel.set(control.name, round(value) if control.whole else value)
                assert panel.message == "", (control.name, value, panel.message)
        elif isinstance(control, Choice):
            for value, _ in control.options:
                panel.set(control.name, value)
                assert panel.message == "", (control.name, value)
        panel.reset()
    assert not re.search(r"\b(nan|inf)\b", words(panel))


@every_panel
def test_every_corner_of_the_sliders(make):
    panel = make()
    sliders = [control for control in controls(panel) if isinstance(control, Slider) and control.name != "position"]
    rng = random.Random(7)
    for _ in range(64):
        for control in sliders:
            panel.set(control.name, rng.choice(bounds(panel, control)))
            assert panel.message == "", panel.message
    assert not re.search(r"\b(nan|inf)\b", words(panel))


def wander(panel, rng):
    """One random move: a slider, a choice, a button, or text that no slider takes."""
    control = rng.choice(controls(panel))
    if isinstance(control, Slider):
        low, high = bounds(panel, control)
        value = rng.randint(low, high) if control.whole else rng.uniform(low, high)
        panel.set(control.name, rng.choice([value, value, value, low, high, "", "abc", "nan", "1/0", high * 100 + 1]))
    elif isinstance(control, Choice):
        panel.set(control.name, rng.choice(control.options)[0])
    elif isinstance(control, Drawing):
        panel.set(control.name, rng.choice([control.value, rng.randbytes(len(control.value)), "not a drawing"]))
    else:
        panel.press(control.name)


@every_panel
def test_a_thousand_random_moves(make):
    panel, rng = make(), random.Random(2026)
    for _ in range(1000):
        before = panel.html, panel.line, dict(panel.state)
        wander(panel, rng)
        assert panel.html and panel.line
        if panel.message:  # refused: the last good picture stands, with its own numbers
            assert (panel.html, panel.line, dict(panel.state)) == before
    panel.reset()
    fresh = make()
    assert (panel.html, panel.line) == (fresh.html, fresh.line)


def test_moves_make_no_widgets_and_keep_no_memory():
    panel = lesson_2.walk()
    for at in range(200):
        panel.set("kernel[0,0]", at / 200)
    gc.collect()
    widgets = len(_instances)
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for at in range(1000):
        panel.set("kernel[0,0]", at / 1000)
    gc.collect()
    grown = sum(change.size_diff for change in tracemalloc.take_snapshot().compare_to(before, "filename"))
    tracemalloc.stop()
    assert len(_instances) == widgets
    assert grown < 200_000, f"{grown} bytes after 1000 moves"


@pytest.mark.parametrize("make, example", [(lesson_1.walk, example_1), (lesson_2.walk, example_2)], ids=["1", "2"])
def test_the_board_shows_the_ledger(make, example):
    panel, rng = make(), random.Random(3)
    for _ in range(20):
        changed = {}
        for control in controls(panel):
            if isinstance(control, Slider) and control.name != "position":
                changed[control.name] = round(rng.uniform(control.low, control.high), 3)
                panel.set(control.name, changed[control.name])
        ledger = example.run(**panel.lesson.given(panel.state))
        for name, value in ((name, ledger[name]) for name in ledger if name not in ("learning_rate", "label")):
            if not name.startswith("new_"):
                assert tiles(panel, name) == printed(value), name
        after = run(example.forward, **ledger.after())
        assert board(number(after["loss"])) in panel.line
        assert board(number(after["loss"])) in words(panel)


@pytest.mark.parametrize("make, example", [(lesson_1.walk, example_1), (lesson_2.walk, example_2)], ids=["1", "2"])
def test_every_micro_step_says_what_the_ledger_says_forward_and_back(make, example):
    panel, ledger = make(), example.run()
    cells = [(name, index) for name in ledger.recipe.names for index in np.ndindex(np.shape(ledger[name]))]
    said = {}
    panel.set("position", 0)
    for at, (name, index) in enumerate(cells, 1):
        panel.press("forward")
        assert panel.state["position"] == at
        said[at] = words(panel)
        assert " ".join(str(ledger.explain(name, index)).split()) in said[at].replace(" )", ")").replace("( ", "(").replace(" ×", "×").replace("× ", "×") \
            or board(number(ledger[name][index])) in said[at]
        assert panel.html.count('<td class="now') == (0 if name in ("flat", "d_flat") and "flat" not in panel.html else 1)
        assert f"Micro-step {at} of {len(cells) + 1}" in said[at]
    panel.press("forward")
    assert "The whole step" in words(panel)
    for at in range(len(cells), 0, -1):
        panel.press("back")
        assert words(panel) == said[at]


def test_later_cells_are_hidden_until_their_micro_step():
    panel = lesson_1.walk()
    panel.set("position", 0)
    assert set(tiles(panel, "products")) == {"·"} and tiles(panel, "image") == ["1", "2", "3", "4"]
    panel.set("position", 2)
    assert tiles(panel, "products") == ["0.1", "0.4", "·", "·"]
    assert tiles(panel, "after") == ["·"]


def test_taking_steps_is_training_and_rewind_goes_back():
    panel, given = lesson_1.walk(), dict(example_1.given)
    start = {name: value for name, value in panel.state.items() if name not in ("trail", "origin")}
    losses = []
    for _ in range(12):
        ledger = example_1.run(**{key: np.array(value, float) for key, value in given.items()})
        losses.append(float(ledger["loss"]))
        given = ledger.after()
    panel.press("step")
    panel.press("ten")
    assert panel.state["trail"] == pytest.approx(losses, rel=1e-12)
    assert losses[-1] == pytest.approx(15.125 * 0.69 ** 22, rel=1e-9)  # each step multiplies the error by 1 − 31·0.01
    panel.set("learning_rate", 0.02)
    panel.press("step")
    assert len(panel.state["trail"]) == 13  # another learning rate goes on with the curve
    panel.press("rewind")
    assert {name: panel.state[name] for name in start} == start | {"learning_rate": 0.02}
    assert panel.state["trail"] == ()


def test_a_moved_weight_starts_a_new_curve():
    panel = lesson_1.walk()
    panel.press("step")
    panel.set("kernel[0,0]", 1)
    assert panel.state["trail"] == ()


def test_training_that_runs_away_is_stopped_with_the_numbers():
    panel = lesson_1.walk()
    panel.set("learning_rate", 0.1)
    for _ in range(20):
        panel.press("ten")
    assert "run away" in panel.message and "kernel[1,1]" in panel.message
    assert max(abs(panel.state[name]) for name in panel.state if name.startswith("kernel")) < 1000


def test_the_threshold_of_example_1():
    panel = lesson_1.rates()
    for text, how in (("0.0645", "falls"), ("2/31", "falls|rises|stays"), ("0.0646", "rises"), ("1/31", "falls")):
        panel.set("learning_rate", text)
        assert re.search(how, panel.line), (text, panel.line)
    panel.set("learning_rate", "1/31")
    assert losses_after(example_1.forward, example_1.run(), example_1.parameters, [panel.state["learning_rate"]])[0] < 1e-25


def test_example_2_falls_wherever_the_sliders_stand():
    panel, rng = lesson_2.rates(), random.Random(5)
    for _ in range(200):
        wander(panel, rng)
        assert "rises" not in panel.line


def test_the_two_ways_through_the_softmax_show_the_same_logit_gradient():
    panel = lesson_2.walk()
    short = tiles(panel, "d_logits")
    last = panel.state["position"]
    panel.set("way", "long")
    assert tiles(panel, "d_logits") == short and tiles(panel, "d_p") == printed(example_2_step_by_step.run()["d_p"])
    assert panel.state["position"] == last + 2  # d_p has two cells, and the step is still at its end


def test_any_lost_values_give_the_printed_figures():
    panel, rng = lesson_2.lost(), random.Random(11)
    for _ in range(50):
        panel.set("w_true", rng.uniform(-3, 3))
        panel.set("b_true", rng.uniform(-3, 3))
        text = words(panel)
        for figure in ("0.628", "0.465", "0.335", "0.0665", "0.659", "0.417"):
            assert figure in text


BLIND = ("relu", "gate", "bias", "mean", "overwrite")


@pytest.mark.parametrize("mistake", [*BLIND, "unflipped"])
def test_the_twin_shows_what_the_documents_numbers_hide(mistake):
    panel = lesson_2.twins()
    panel.set("mistake", mistake)
    document, ours = re.findall(r'<table class="facts twins">(.*?)</table>', panel.html, re.DOTALL)
    assert ("≠ differs" in document) is (mistake not in BLIND)
    assert "≠ differs" in ours
    assert "changes nothing" in panel.line or mistake not in BLIND


CAUSES = {"overshoot": rise.overshoot, "reading": rise.misread, "gradient": rise.wrong_gradient, "slip": rise.slip,
          "samples": rise.sharing, "batch": rise.mini_batch, "momentum": rise.carried, "kink": rise.kink}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_panel_of_notebook_3_opens_on_its_own_cause(cause):
    panel = CAUSES[cause]()
    assert "rises" not in panel.html and "falls" not in panel.html  # nothing is given away before the prediction
    panel.set("guess", "rises")
    found = panel.lesson.diagnosis(panel.state)
    assert found.cause == cause, found
    assert "It rises" in words(panel) and "✓ as you predicted" in words(panel) and found.verdict in words(panel)
    assert found.slope + found.curvature + found.rest == pytest.approx(found.trained_change, abs=1e-12)


@pytest.mark.parametrize("cause", ["overshoot", "gradient", "samples", "momentum", "kink"])
def test_a_small_learning_rate_lowers_every_loss_whose_gradient_points_downhill(cause):
    panel = CAUSES[cause]()
    panel.set("guess", "falls")
    panel.set("learning_rate", 0.001)
    if cause == "gradient":
        panel.set("mistake", "none")
    if cause == "momentum":
        panel.set("taken", 0)
    assert "It falls" in words(panel)


@pytest.mark.parametrize("rate", ["0", "2/31"])
def test_a_loss_that_stays_is_neither_a_fall_nor_a_hit(rate):
    panel = rise.overshoot()
    panel.set("learning_rate", rate)
    for guess in ("falls", "rises"):
        panel.set("guess", guess)
        assert "It stays" in words(panel) and not re.search("[✓✗]", panel.html)


def test_a_prediction_is_marked_only_at_the_settings_it_was_made_for():
    for make, name, other in ((rise.overshoot, "learning_rate", 0.05), (rise.mini_batch, "batch", 3), (rise.slip, "loss", "follows")):
        panel = make()
        old = panel.state[name]
        panel.set("guess", "rises")
        assert "✓ as you predicted" in words(panel)
        panel.set(name, other)
        assert not re.search("as you predicted", panel.html)
        panel.set("guess", "none")
        panel.set("guess", "rises")  # a new prediction for the new settings
        assert "as you predicted" in words(panel)
        panel.set(name, old)
        assert "as you predicted" not in words(panel)


@pytest.mark.parametrize("terms", [1, 2, 3, 4])
def test_the_check_names_its_slip_whether_the_loss_rises_or_not(terms):
    panel = rise.slip()
    for name, value in (("guess", "falls"), ("terms", terms), ("loss", "follows")):
        panel.set(name, value)
    found, text = panel.lesson.diagnosis(panel.state), words(panel)
    after = example_2.run().after()
    products = run(example_2.forward, **after)["products"].ravel()
    conv = products[:terms].sum() + (after["kernel_bias"] if terms == 4 else 0)
    logits = after["fc_weight"].ravel() * max(0, conv) + after["fc_bias"]
    assert found.after == pytest.approx(np.log(np.exp(logits).sum()) - logits[0], rel=1e-12)
    assert "It falls" in text
    for said in (f"but {board(number(conv))} was noted", "does not rise", "Work out the lines of the check again"):
        assert (said in text) is (terms < 4), said
    for said in ("nothing to mend", "Nothing has to change"):
        assert (said in text) is (terms == 4), said
    panel.set("loss", "printed")
    assert "It rises" in words(panel) and "but 0.542 was noted" in words(panel) and "does not rise" not in words(panel)


def test_reading_another_loss_is_not_cured_by_a_small_learning_rate():
    panel = rise.misread()
    panel.set("guess", "rises")
    panel.set("learning_rate", 0.01)
    assert "It rises" in words(panel)


@pytest.mark.parametrize("network, about", [("two", 2.1), ("three", 0.63)])
def test_where_sharing_starts_to_hurt(network, about):
    example = rise.Sharing.networks[network]
    threshold = rise.diagnose(example, learning_rate=0.1).threshold
    ledger = example.run()
    below, above = losses_after(example.forward, ledger, example.parameters, [0.999 * threshold, 1.001 * threshold])
    assert below < ledger["loss"] < above and threshold == pytest.approx(about, rel=0.05)
    assert rise.diagnose(rise.ALONE, learning_rate=0.1).threshold is None


def test_a_longer_step_may_win_both_leads():
    """Two samples or one, at η = 3; three classes at η = 1, and at 3: what notebook 03 asks the learner to try."""
    how = {(network, rate): rise.outcome(rise.diagnose(rise.Sharing.networks[network], learning_rate=rate))
           for network, rate in (("alone", 3), ("two", 3), ("three", 1), ("three", 3))}
    assert how == {("alone", 3): "falls", ("two", 3): "rises", ("three", 1): "rises", ("three", 3): "falls"}


@pytest.mark.parametrize("optimizer, rate, turn", [("momentum", 0.02, 1), ("gradient descent", 0.02, None), ("Adam", 0.05, 11)])
def test_after_how_many_steps_the_loss_turns(optimizer, rate, turn):
    panel, turns = rise.carried(), []
    for name, value in (("optimizer", optimizer), ("learning_rate", rate), ("guess", "rises")):
        panel.set(name, value)
    for taken in range(16):
        panel.set("taken", taken)
        turns += [taken] * ("It rises" in words(panel))
    assert turns[:1] == ([] if turn is None else [turn])


def test_the_step_that_kills_a_unit_is_an_overshoot_that_its_switch_limits():
    found = rise.diagnose(rise.DYING)
    assert found.cause == "overshoot" and found.rest < -1 and found.kinks.dead


def test_a_unit_that_dies_stays_dead():
    panel = rise.kink()
    panel.set("guess", "rises")
    panel.set("network", "off")
    assert "the unit is dead" in words(panel) and "It rises" in words(panel)
    given = panel.lesson.diagnosis(panel.state).case.ledger.after()
    for _ in range(3):  # no step brings it back
        ledger = run(rise.DYING.recipe, **given)
        given = ledger.after()
        assert float(ledger["relu"].item()) == 0 and not np.any(ledger["d_kernel"])


def test_the_proof_holds_line_by_line():
    for line in rise.proof().text.splitlines()[1:5]:
        before, after = (float(part.replace("−", "-")) for part in re.search(r": (\S+) → (\S+);", line).groups())
        assert after > before or line.startswith("a,")  # g < 0 here, so a shrinks


def test_ten_thousand_networks_try_and_fail():
    assert "not one step raised the loss" in rise.try_to_raise(count=2000).text


def test_the_sharpness_settles_at_two_over_the_learning_rate():
    found = rise.trained(0.3)
    late = found.sharpness[len(found.sharpness) // 2:]
    assert np.mean(late) == pytest.approx(2 / 0.3, rel=0.1)
    assert found.sharpness[0] < 0.8 * 2 / 0.3 and found.losses[-1] < 0.5 * found.losses[0]
    assert any(after > before for before, after in zip(found.losses, found.losses[1:]))


def test_where_the_edge_is_reached():
    """What notebook 03 says of the three learning rates: at 0.2 the edge is reached near the end, and no step rises."""
    rises = {rate: sum(after > before for before, after in zip(found.losses, found.losses[1:]))
             for rate in (0.2, 0.3, 0.4) for found in [rise.trained(rate)]}
    assert rises[0.2] == 0 and 100 < rises[0.3] < rises[0.4]
    above = [value * 0.2 / 2 > 1 for value in rise.trained(0.2).sharpness]
    assert not any(above[:-15]) and above[-1]


def test_predictions_give_nothing_away_before_the_commitment():
    for make in (lesson_1.predict_output, lesson_1.predict_rate, lesson_2.predict_change, lenet.predict_most, lenet.predict_loss):
        panel = make()
        assert not re.search("[✓✗]", panel.html)
        panel.press("commit")
        assert "Choose an answer" in panel.message
        verdicts = []
        for at in range(len(panel.lesson.options)):
            panel.set("answer", str(at))
            assert not re.search("[✓✗]", panel.html)
            panel.press("commit")
            verdicts.append("✓" in panel.html)
        assert sum(verdicts) == 1


def test_static_pages_read_the_same_twice_and_carry_their_text():
    for page in (lesson_1.given, lesson_1.forward, lesson_1.backward, lesson_1.rate_table, lesson_2.given,
                 lesson_2.forward, lesson_2.both_ways, lenet.picture, lenet.counts, lenet.totals, lenet.step_lines,
                 lenet.too_long):
        assert repr(page()) == repr(page()) and page()._repr_html_() == page()._repr_html_()
        assert page().text.count("=") >= 2


def test_the_count_panel_counts_what_a_run_on_ones_counts():
    panel, rng = lenet.count_one(), random.Random(17)
    assert "(5×5×1 + 1)×6 = 156" in panel.line and "156×28×28 = 122,304" in panel.line
    for _ in range(30):
        for name, low, high in (("side", 1, 7), ("channels", 1, 3), ("kernels", 1, 3), ("padding", 0, 2), ("stride", 1, 3)):
            panel.set(name, rng.randint(low, high))
        panel.set("size", rng.randint(1, lenet.CountOne.widest(panel.state)))
        assert panel.message == ""
        layer = lenet.convolution_of(panel.state)
        whole, inputs, outputs = lenet.fully_connected_like(layer), np.prod(layer.before), np.prod(layer.shape)
        recipe = Recipe(flat=Flatten("image"), f_sum=FullyConnected("flat", "weight"), f=AddBias("f_sum", "bias"))
        counted = count_recipe(recipe, {"image": layer.before, "weight": (outputs, inputs), "bias": (outputs,)}).layers[0]
        assert (whole.parameters, whole.connections, whole.parameters_text) == (counted.parameters, counted.connections, counted.parameters_text)
        assert layer.shape[1] == (panel.state["side"] + 2 * panel.state["padding"] - panel.state["size"]) // panel.state["stride"] + 1


def test_a_kernel_never_outgrows_its_picture():
    panel = lenet.count_one()
    for name, value in (("size", 11), ("side", 3), ("padding", 1), ("padding", 0), ("side", 1)):
        panel.set(name, value)
        assert panel.message == "" and panel.state["size"] <= panel.state["side"] + 2 * panel.state["padding"]
    assert panel.state["size"] == 1
    panel.set("size", 2)
    assert "kernel size" in panel.message


def test_as_a_fully_connected_layer_c5_shares_nothing():
    panel = lenet.count_one()
    for name, value in (("size", 5), ("side", 5), ("channels", 16), ("kernels", 32)):
        panel.set(name, value)
    assert panel.html.count("(5×5×16 + 1)×32 = 12,832") == 1 and "12,832 numbers: as many" in words(panel)


def test_the_totals_are_those_of_the_paper():
    text = lenet.totals().text
    assert "= 60,000" in text and "= 340,908" in text and "340,908 − 840 = 340,068" in text and "= 61,706" in text and "✗" not in text
    counted = lenet.counts().text
    for figure in ("= 156", "= 122,304", "= 12 ", "= 5,880", "= 1,516", "= 151,600"):
        assert figure in counted


def test_what_a_broken_start_and_a_broken_network_come_to():
    zero = lenet.zero_start().text
    assert [row.split("; ")[0] for row in zero.splitlines() if not row.endswith("; 0")][1:2] == ["fc_bias"]
    assert "differ by at most 0:" in zero
    rows = [row.split("; ") for row in lenet.left_out().text.splitlines()[1:5]]
    assert [row[0] for row in rows if row[1] == "0"] == ["without biases"]
    assert [row[0] for row in rows if row[2] == "0"] == ["without ReLU, mean-pooling for max-pooling"]
    assert "the step is too long" in lenet.too_long().text


@pytest.mark.parametrize("answer, verdict", [(..., "missing"), (556, "correct"), (880, "slip"), (540, "slip"), (1, "keep working")])
def test_the_check_of_c3(answer, verdict):
    assert lenet.check_c3(answer).verdict == verdict
