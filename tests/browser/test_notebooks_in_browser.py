"""The notebooks in JupyterLab in Chromium, as a learner uses them: Run All, drag, type, step, rewind.

What the page says is compared with the ledger of the numbers that the page itself says it shows.
"""

import re
import shutil

import numpy as np
import pytest

from cnnlab import places
from cnnlab.arithmetic import board, number
from cnnlab.examples import example_1, example_2
from cnnlab.ledger import run
from cnnlab.lessons import example_1 as lesson_1
from cnnlab.lessons import example_2 as lesson_2
from cnnlab.lessons import rise, trained
from cnnlab.show.board import tile

from . import lab

pytestmark = pytest.mark.browser

WALKS = {"01": (example_1, lesson_1.Walk, 1), "02": (example_2, lesson_2.Walk, 1)}  # the walk is the second panel


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Each notebook open in JupyterLab with all its cells run: {"01": page, ...}."""
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    for path in places.notebooks():
        shutil.copy(path, folder)
    with lab.server(folder, home, extensions=("cnnlab.fastsocket",)) as server, lab.chromium() as browser:
        opened = {}
        for path in places.notebooks():
            page = lab.open_notebook(browser, server, path.name, height=1400)
            lab.run_all(page)
            opened[path.name[:2]] = page
        yield opened


@pytest.fixture(params=WALKS)
def walk(request, pages):
    """(panel, example, lesson) of a notebook's main panel, as it stands after a reset."""
    example, lesson, at = WALKS[request.param]
    panel = lab.panel(pages[request.param], at)
    lab.press_button(panel, "Reset to the document’s values")
    return panel, example, lesson()


def ledger_of(panel, example, lesson):
    """The ledger of the numbers that the panel says it shows."""
    state = {name: float(text) for name, text in lab.shown(panel).items() if name not in ("way",)}
    return example.run(**lesson.given(state))


def tiles(panel, caption):
    """The numbers on the board under this caption."""
    return panel.locator(f"table.values:has(caption:text-is('{caption}')) td").all_inner_texts()


def printed(values):
    return [tile(value) for value in np.ravel(values)]


def assert_shows_its_ledger(panel, example, lesson):
    ledger = ledger_of(panel, example, lesson)
    for name in ledger:
        if not name.startswith("new_") and name not in ("label", "learning_rate"):
            assert tiles(panel, name) == printed(ledger[name]), name
    after = run(example.forward, **ledger.after())
    assert board(number(after["loss"])) in lab.picture_text(panel)


def test_run_all_shows_every_panel_and_stored_line(pages):
    for key, page in pages.items():
        shown = page.locator(".cnnlab-panel").count()
        assert shown == {"01": 4, "02": 5, "03": 10, "04": 5, "05": 8}[key]
        assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_a_dragged_slider_moves_every_number(walk):
    panel, example, lesson = walk
    assert_shows_its_ledger(panel, example, lesson)
    lab.drag(panel, "kernel[0,1]", -1.0, 1.5)
    assert float(lab.shown(panel)["kernel[0,1]"]) > 1
    assert_shows_its_ledger(panel, example, lesson)


def test_keys_move_a_slider_by_its_step_and_to_its_ends(walk):
    panel, example, lesson = walk
    before = float(lab.shown(panel)["kernel[1,0]"])
    lab.press_key(panel, "kernel[1,0]", "ArrowRight", "ArrowRight")
    assert float(lab.shown(panel)["kernel[1,0]"]) == pytest.approx(before + 0.02)
    for key, value in (("End", 2.0), ("Home", -2.0)):
        lab.press_key(panel, "kernel[1,0]", key)
        assert float(lab.shown(panel)["kernel[1,0]"]) == value
        assert_shows_its_ledger(panel, example, lesson)


def test_a_typed_fraction_is_taken_and_a_bad_one_is_refused(walk):
    panel, example, lesson = walk
    lab.type_number(panel, "learning rate η", "2/31")
    assert float(lab.shown(panel)["learning_rate"]) == pytest.approx(2 / 31)
    assert_shows_its_ledger(panel, example, lesson)
    picture = lab.picture_text(panel)
    for text in ("abc", "99", "-1", "1/0"):
        lab.type_number(panel, "learning rate η", text)
        assert "learning rate η" in lab.message(panel) and text.replace("-", "−") in lab.message(panel)
        assert lab.picture_text(panel) == picture
        assert float(lab.shown(panel)["learning_rate"]) == pytest.approx(2 / 31)


def test_micro_steps_forward_and_back(walk):
    panel, example, lesson = walk
    ledger = example.run()
    cells = [(name, index) for name in ledger.recipe.names for index in np.ndindex(np.shape(ledger[name]))]
    lab.type_number(panel, "micro-step", "0")
    assert set(tiles(panel, "products")) == {"·"}
    for at in range(1, 9):
        lab.press_button(panel, "Forward ▶")
        text = lab.picture_text(panel)
        assert f"Micro-step {at} of {len(cells) + 1}" in text
        assert board(number(ledger[cells[at - 1][0]][cells[at - 1][1]])) in text
        assert panel.locator("td.now").count() == (0 if cells[at - 1][0] not in panel.inner_text() else 1)
    lab.press_button(panel, "◀ Back")
    assert f"Micro-step 7 of {len(cells) + 1}" in lab.picture_text(panel)
    panel.locator("td[data-set='position=2']").first.click()
    lab.settle(panel)
    assert f"Micro-step 2 of {len(cells) + 1}" in lab.picture_text(panel)
    lab.press_key(panel, "micro-step", "End")
    assert_shows_its_ledger(panel, example, lesson)


def test_training_grows_the_curve_and_rewind_brings_back_the_start(walk):
    panel, example, lesson = walk
    start = lab.shown(panel)
    given, losses = dict(example.given), []
    for _ in range(4):
        ledger = example.run(**{name: np.array(value, float) for name, value in given.items()})
        losses.append(float(ledger["loss"]))
        given = ledger.after()
    for count, loss in enumerate(losses[1:], 1):
        lab.press_button(panel, "Take the step")
        assert panel.locator("figure circle[r='4.5']").count() == count + 1
        assert f"Loss after {count} steps: {board(number(loss))}" in lab.picture_text(panel)
    assert_shows_its_ledger(panel, example, lesson)
    lab.press_button(panel, "Rewind to the start")
    assert lab.shown(panel) == start


def test_nothing_jumps_while_a_slider_moves(walk):
    panel, _, _ = walk
    size = panel.bounding_box()
    for value in (-2, -0.37, 0, 1.93):
        lab.type_number(panel, "kernel[0,0]", str(value))
        now = panel.bounding_box()
        assert (now["width"], now["height"]) == (size["width"], size["height"])


def test_nothing_is_cut_off(walk):
    panel, _, _ = walk
    overflowing = panel.evaluate("""panel => [...panel.querySelectorAll('td, label, button, .cnnlab-picture')]
        .filter(each => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== 'inline')
        .map(each => each.textContent.slice(0, 40))""")
    assert overflowing == []


def test_the_threshold_panel_of_notebook_1(pages):
    panel = lab.panel(pages["01"], 3)
    for text, how in (("0.064", "falls"), ("0.065", "rises")):
        lab.type_number(panel, "learning rate η", text)
        assert re.search(rf"the loss {how} by", lab.picture_text(panel))


def test_the_lost_values_of_notebook_2_change_nothing(pages):
    panel = lab.panel(pages["02"], 3)
    before = panel.locator("table.facts").text_content()
    lab.type_number(panel, "fc_weight[0]", "2.5")
    lab.type_number(panel, "fc_bias[0]", "-1.25")
    assert panel.locator("table.facts").text_content() == before


@pytest.mark.parametrize("at, kind, rate", [(0, rise.Overshoot, 0.05), (2, rise.Misread, 0.5), (7, rise.Carried, 0.03), (8, rise.Kink, 0.6)])
def test_a_cause_of_notebook_3_is_diagnosed_once_it_is_predicted(pages, at, kind, rate):
    panel, lesson = lab.panel(pages["03"], at), kind()
    assert "Commit yourself" in lab.picture_text(panel)
    panel.get_by_label("it rises").check()
    lab.settle(panel)
    lab.drag(panel, "learning rate η", rate)
    chosen = ("guess", "trained", "label", "optimizer", "network")
    state = {name: text if name in chosen else float(text) for name, text in lab.shown(panel).items()}
    found = lesson.diagnosis(state | {"taken": int(state.get("taken", 0))})
    text = " ".join(lab.picture_text(panel).split())
    assert " ".join(found.verdict.split()) in text
    assert f"loss {board(number(found.before))} → {board(number(found.after))}" in text


def test_a_prediction_is_answered_only_after_the_commitment(pages):
    panel = lab.panel(pages["02"], 0)
    panel.get_by_label("It falls.").check()
    lab.settle(panel)
    assert "✓" not in lab.picture_text(panel)
    lab.press_button(panel, "This is my answer")
    assert "✓ Yes." in lab.picture_text(panel)


def step_of(panel):
    """How many steps the run of a training panel has made, as its picture says."""
    return int(re.search(r"Step ([\d,]+) of", lab.picture_text(panel))[1].replace(",", ""))


def curve_of(panel):
    """The points of the loss curve."""
    return panel.locator("figure polyline").first.get_attribute("points")


def test_a_run_of_notebook_04_is_watched_stopped_and_gone_on_with(pages):
    page, panel = pages["04"], lab.panel(pages["04"], 3)
    lab.type_number(panel, "epochs", "40")  # long enough to be stopped on the way, however fast the machine is
    assert step_of(panel) == 0 and curve_of(panel) == ""
    lab.press_button(panel, "▶ Train")
    seen = []
    for _ in range(3):  # the curve moves by itself
        points = curve_of(panel)
        page.wait_for_function("([figure, points]) => figure.querySelector('polyline').getAttribute('points') !== points",
                               arg=[panel.locator(".cnnlab-picture").element_handle(), points], timeout=20_000)
        seen.append(step_of(panel))
    assert 0 < seen[0] < seen[1] < seen[2]
    lab.press_button(panel, "■ Stop")
    panel.locator("strong:has-text('Stopped after step')").wait_for(timeout=20_000)
    stopped, points = step_of(panel), curve_of(panel)
    page.wait_for_timeout(1500)
    assert (step_of(panel), curve_of(panel)) == (stopped, points) and stopped >= seen[2]
    lab.type_number(panel, "epochs", "8")
    assert "keeps the settings it began with" in lab.message(panel)
    lab.press_button(panel, "▶ Train")
    page.wait_for_function("([figure, points]) => figure.querySelector('polyline').getAttribute('points') !== points",
                           arg=[panel.locator(".cnnlab-picture").element_handle(), points], timeout=20_000)
    assert step_of(panel) > stopped
    lab.press_button(panel, "■ Stop")
    lab.press_button(panel, "Start over")
    assert step_of(panel) == 0


def test_a_broken_run_of_notebook_04_is_predicted_and_then_diagnosed(pages):
    panel = lab.panel(pages["04"], 4)
    lab.press_button(panel, "▶ Train")
    assert "Predict first" in lab.message(panel)
    panel.get_by_label("η = 5", exact=True).check()
    panel.get_by_label("its loss runs away: the run is stopped").check()
    lab.settle(panel)
    lab.press_button(panel, "▶ Train")
    panel.locator("strong:has-text('As you predicted')").wait_for(timeout=30_000)
    text = lab.picture_text(panel)
    assert "because the step is too long" in text and "stopped" in panel.locator("table.facts").inner_text()


def test_the_count_panel_of_notebook_04(pages):
    panel = lab.panel(pages["04"], 1)
    lab.type_number(panel, "rows and columns", "16")
    assert "(16 − 5)/1 + 1 = 12" in lab.picture_text(panel) and "156×12×12 = 22,464" in lab.picture_text(panel)
    lab.type_number(panel, "kernel size", "40")
    assert "kernel size" in lab.message(panel)


def sources(panel):
    """The pictures of the feature maps, as their bytes stand in the page."""
    return panel.locator("figure[data-press^='map '] img").evaluate_all("images => images.map(image => image.src)")


@pytest.mark.parametrize("digit, strokes", [
    (7, [[(6, 7), (6, 20), (14, 15), (24, 11)]]),
    (3, [[(6, 8), (5, 13), (8, 18), (12, 14), (14, 18), (20, 18), (23, 12), (21, 8)]])])
def test_a_digit_drawn_with_the_mouse_in_notebook_05_is_read_as_python_reads_it(pages, digit, strokes):
    panel = lab.panel(pages["05"], 1)
    panel.get_by_role("button", name="Clear", exact=True).click()
    lab.settle(panel)
    assert "An empty picture" in lab.picture_text(panel)
    empty = sources(panel)
    for stroke in strokes:
        lab.stroke(panel, "Draw a digit", *stroke)
    look, drawn = trained.look_at(), lab.grays(panel, "Draw a digit")
    assert drawn == bytes.fromhex(lab.shown(panel)["digit"]) and sum(drawn) > 0
    found = trained.seen(look, drawn)
    assert found.answer == digit
    assert f"Your drawing: answer {digit}, p ≈ {trained.shown(found.p[digit])}" in lab.picture_text(panel)
    now = sources(panel)
    assert len(now) == len(empty) == 6 + 6 + 16 + 16 and sum(one != other for one, other in zip(now, empty)) > 22
    panel.locator("[data-press='map s2 1']").click()
    lab.settle(panel)
    panel.locator("[data-press='at 5 6']").click()
    lab.settle(panel)
    assert str(found.ledger.explain("s2", (0, 1, 5, 6), 4)) in " ".join(lab.picture_text(panel).split())


def test_the_time_slider_of_notebook_05_shows_the_kernels_of_that_step(pages):
    panel, look = lab.panel(pages["05"], 0), trained.look_at()
    size = panel.bounding_box()
    for moment in (40, 12, 3):
        lab.drag(panel, "moment of the run", moment)
        at = int(lab.shown(panel)["moment"])
        assert abs(at - moment) <= 1
        assert f"After {look.moments[at].step:,} of 2,500 steps" in lab.picture_text(panel)
        assert tiles(panel, "kernel 0 now") == [trained.fixed(value) for value in np.ravel(look.moments[at].kernels[0])]
        assert panel.bounding_box()["height"] == size["height"]


def test_play_of_notebook_05_runs_by_itself_and_stops(pages):
    panel, moments = lab.panel(pages["05"], 0), trained.look_at().moments
    lab.press_button(panel, "Back to the first step")
    lab.press_button(panel, "▶ Play")
    pages["05"].wait_for_function("panel => JSON.parse(panel.dataset.shown).moment >= 5", arg=panel.element_handle(), timeout=20_000)
    lab.press_button(panel, "■ Stop")
    panel.locator("xpath=self::*[not(@data-running)]").wait_for(timeout=10_000)
    at = int(lab.shown(panel)["moment"])
    assert at < len(moments) - 1 and f"After {moments[at].step:,} of" in lab.picture_text(panel)
    pages["05"].wait_for_timeout(800)
    assert int(lab.shown(panel)["moment"]) == at >= 5


def test_a_mistake_is_followed_to_a_pixel_in_notebook_05(pages):
    panel = lab.panel(pages["05"], 6)
    heights = set()
    for at in range(1, 19):
        lab.press_button(panel, "Next ▶")
        assert f"Step {at} of 18" in lab.picture_text(panel)
        heights.add(panel.bounding_box()["height"])
    assert "image[" in lab.picture_text(panel) and len(heights) == 1
    panel.locator("[data-set='step=2']").click()
    lab.settle(panel)
    assert "Step 2 of 18" in lab.picture_text(panel)
