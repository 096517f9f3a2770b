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
from cnnlab.lessons import rise
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
        assert shown == {"01": 4, "02": 5, "03": 10}[key]
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
