"""The panel under a learner's hands: mouse, keyboard and screen reader, in JupyterLab and in Notebook 7."""

import ast
import json
import math
import shutil

import nbformat
import pytest
from playwright.sync_api import expect

from cnnlab.panel import Panel, Slider
from tests.browser import lab
from tests.browser.toy import Toy

CELLS = "jupyterapp.shell.currentWidget.content.widgets"
SOURCES = (
    "from cnnlab.panel import Panel\nfrom tests.browser.toy import Toy\npanel = Panel(Toy())\npanel",
    "panel",
    "import time",
)
SLIDERS = [control for group in Toy.controls for control in group.controls if isinstance(control, Slider)]
STARTED = {name: str(value) for name, value in Panel(Toy()).state.items() if name != "losses"}


def write_notebook(folder):
    """A notebook with the toy's panel, a second view of it, and a cell to keep the kernel busy with."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOURCES])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, folder / "Toy.ipynb")
    return folder / "Toy.ipynb"


@pytest.fixture(scope="module", params=["lab", "notebook"])
def page(request, open_copy_for_module, tmp_path_factory):
    """The toy's notebook after Run All, in each front end."""
    opened = open_copy_for_module(write_notebook(tmp_path_factory.mktemp("toy")), request.param)
    lab.run_all(opened)
    return opened


@pytest.fixture
def panel(page):
    """The first view of the panel, reset."""
    first = lab.panel(page, 0)
    lab.press_button(first, "Reset to the document’s values")
    assert lab.shown(first) == STARTED
    return first


@pytest.fixture
def fresh(open_copy, tmp_path):
    """A panel in a JupyterLab window of its own, for tests that spoil it."""
    opened = open_copy(write_notebook(tmp_path))
    lab.run_all(opened)
    return lab.panel(opened, 0)


def expected(**values):
    """What Python shows for these values: the page must show the same."""
    wanted = Panel(Toy())
    for name, value in values.items():
        wanted.set(name, value)
        assert wanted.message == ""
    return wanted


def assert_shows(panel, **values):
    """The picture, the number fields and the thumbs all stand at the document's values but for these."""
    wanted = expected(**values)
    assert wanted.line in lab.picture_text(panel)
    for control in SLIDERS:
        value = wanted.state[control.name]
        assert math.isclose(float(lab.shown(panel)[control.name]), value, abs_tol=1e-12)
        short = f"{value:.6g}".replace("-", "−")
        assert lab.number_field(panel, control.label).input_value() == short
        assert lab.slider(panel, control.label).get_attribute("aria-valuetext") == short
        assert abs(float(lab.slider(panel, control.label).input_value()) - value) <= control.step / 2 + 1e-9


def cells(page):
    """What a stray shortcut would change: the cells' kinds, texts and counts, and the mode."""
    return page.evaluate("""() => {
        const {widgets, mode} = jupyterapp.shell.currentWidget.content
        return [mode, ...widgets.map(({model: m}) => [m.type, m.sharedModel.getSource(), m.executionCount])]
    }""")


# Mouse


def test_a_drag_ends_on_the_last_value(panel):
    lab.drag(panel, "bias", 1.5, -1, 0.5)
    assert_shows(panel, bias=0.5)


def test_a_drag_neither_empties_the_picture_nor_moves_the_page(panel, page):
    page.evaluate("""() => {
        const panel = document.querySelector('.cnnlab-panel'), picture = panel.querySelector('.cnnlab-picture')
        window.seen = {tops: [], heights: [], least: Infinity, going: true}
        const look = () => {
            seen.tops.push(panel.getBoundingClientRect().top)
            seen.heights.push(panel.getBoundingClientRect().height)
            seen.least = Math.min(seen.least, picture.querySelectorAll('svg').length)
            if (seen.going) requestAnimationFrame(look)
        }
        look()
    }""")
    lab.drag(panel, "learning rate", 0.5, 0, 0.3, steps=40)
    seen = page.evaluate("() => { seen.going = false; return seen }")
    assert len(seen["tops"]) > 20
    assert (len(set(seen["tops"])), len(set(seen["heights"])), seen["least"]) == (1, 1, 2)


def test_a_picture_that_shrinks_does_not_pull_up_the_cells_below(panel, page):
    for _ in range(60):
        lab.press_button(panel, "Take the step")
    tall = panel.bounding_box()["height"]
    lab.press_button(panel, "Reset to the document’s values")
    assert panel.bounding_box()["height"] == tall


def test_a_click_on_the_picture_moves_a_control_and_keeps_the_focus(panel):
    panel.get_by_role("button", name="cell 1,0").click()
    lab.settle(panel)
    assert_shows(panel, cell=2)
    panel.get_by_role("button", name="cell 1,1").press("Enter")
    lab.settle(panel)
    assert_shows(panel, cell=3)
    expect(panel.get_by_role("button", name="cell 1,1")).to_be_focused()
    panel.get_by_role("button", name="cell 0,1").press(" ")
    lab.settle(panel)
    assert_shows(panel, cell=1)


# Keyboard


def test_arrows_pages_home_and_end_move_a_slider(panel, page):
    before = cells(page)
    for key, value in [("ArrowRight", 0.05), ("ArrowUp", 0.1), ("ArrowLeft", 0.05), ("ArrowDown", 0.0), ("End", 2),
                       ("PageDown", 1.6), ("Home", -2), ("PageUp", -1.6)]:  # fmt: skip
        lab.press_key(panel, "bias", key)
        assert_shows(panel, bias=value)
    assert cells(page) == before


def test_no_key_on_a_slider_or_in_a_field_is_taken_for_a_shortcut(panel, page):
    before = cells(page)
    for key in ["j", "k", "x", "b", "a", "m", "1", "3", "0", "Space", "Enter", "Shift+M"]:
        lab.press_key(panel, "bias", key)
    assert cells(page) == before
    lab.type_number(panel, "bias", "xjkmab1y", commit="Escape")
    assert cells(page) == before
    assert_shows(panel)


def test_enter_and_tab_commit_what_was_typed(panel, page):
    before = cells(page)
    lab.type_number(panel, "learning rate", "2/31")
    assert_shows(panel, rate="2/31")
    lab.type_number(panel, "bias", "−0,25", commit="Tab")
    assert_shows(panel, rate="2/31", bias=-0.25)
    assert float(lab.shown(panel)["rate"]) == 2 / 31
    assert cells(page) == before


def test_escape_gives_up_what_was_typed(panel):
    lab.type_number(panel, "bias", "1.5", commit="Escape")
    assert_shows(panel)


def test_shift_enter_still_runs_the_cell(page):
    count = cells(page)[2][2]
    for typing in (False, True):
        second = lab.panel(page, 1)
        (lab.number_field if typing else lab.slider)(second, "bias").focus()
        page.keyboard.press("Shift+Enter")
        page.wait_for_function(f"() => {CELLS}[1].model.executionCount > {count}")
        count = cells(page)[2][2]


def test_a_radio_button_is_chosen_with_the_arrows(panel):
    panel.get_by_role("radio", name="none").focus()
    panel.page.keyboard.press("ArrowDown")
    lab.settle(panel)
    assert lab.shown(panel)["activation"] == "relu"
    expect(panel.get_by_role("radio", name="ReLU")).to_be_checked()
    assert lab.slider(panel, "cell").get_attribute("max") == "1"


def test_every_control_is_reached_with_tab(panel, page):
    lab.slider(panel, "weight w[0,0]").focus()
    reached = set()
    for _ in range(40):
        name = "({activeElement: e}) => [e.type ?? '', e.dataset.name ?? e.textContent]"
        reached.add(tuple(page.evaluate_handle("document").evaluate(name)))
        page.keyboard.press("Tab")
    names = {slider.name for slider in SLIDERS}
    assert {("range", name) for name in names} | {("text", name) for name in names - {"w00"}} <= reached
    assert {("button", "Take the step"), ("button", "Reset to the document’s values")} <= reached
    assert ("radio", "activation") in reached


# What is refused


def test_a_refused_text_is_told_beneath_its_field_and_changes_nothing_else(panel):
    lab.type_number(panel, "bias", "0.5")
    lab.type_number(panel, "bias", "abc")
    field = lab.number_field(panel, "bias")
    assert lab.message(panel) == "bias cannot be “abc”: it takes a number from −2 to 2."
    assert (field.input_value(), field.get_attribute("aria-invalid")) == ("abc", "true")
    described = panel.locator(f"[id='{field.get_attribute('aria-describedby')}']")
    expect(described).to_have_text(lab.message(panel))
    below = described.bounding_box()["y"] - field.bounding_box()["y"]
    assert 0 < below < 90
    assert expected(bias=0.5).line in lab.picture_text(panel)
    assert lab.slider(panel, "bias").input_value() == "0.5"
    lab.type_number(panel, "bias", "9")
    assert lab.message(panel) == "bias cannot be “9”: it takes a number from −2 to 2."
    lab.type_number(panel, "bias", "1")
    assert lab.message(panel) == ""
    assert field.get_attribute("aria-invalid") is None
    assert_shows(panel, bias=1)


def test_a_refused_text_goes_with_the_next_move_elsewhere(panel):
    lab.type_number(panel, "bias", "abc", commit="Tab")
    lab.press_key(panel, "learning rate", "End")
    assert lab.message(panel) == ""
    assert_shows(panel, rate=0.5)


def test_escape_mends_a_refused_text(panel):
    lab.type_number(panel, "bias", "abc")
    lab.number_field(panel, "bias").press("Escape")
    assert lab.message(panel) == ""
    assert_shows(panel)


def test_what_cannot_be_drawn_puts_the_slider_back(panel):
    lab.press_key(panel, "bias", "End", "ArrowLeft")  # 1.95: the toy refuses it
    assert lab.message(panel) == "line sum = BiasAdd(conv, bias): bias 1.95 is forbidden here"
    assert expected(bias=2).line in lab.picture_text(panel)
    assert lab.slider(panel, "bias").input_value() == "2"
    assert lab.number_field(panel, "bias").input_value() == "2"


# State and views


def test_training_may_take_a_weight_out_of_its_range_and_the_truth_is_told(panel):
    for _ in range(2):
        lab.press_button(panel, "Take the step")
    handle = lab.slider(panel, "weight w[0,0]")
    assert handle.input_value() == "2"
    assert handle.get_attribute("aria-valuetext") == "2.5"
    assert lab.number_field(panel, "weight w[0,0]").input_value() == "2.5"
    assert "losses: " in lab.picture_text(panel)
    lab.press_key(panel, "weight w[0,0]", "ArrowLeft")
    assert lab.shown(panel)["w00"] == "1.95"


def test_two_views_show_the_same(panel, page):
    second = lab.panel(page, 1)
    lab.type_number(second, "bias", "0.75")
    first = lab.panel(page, 0)
    expect(first).to_have_attribute("data-shown", second.get_attribute("data-shown"))
    assert lab.picture_text(first) == lab.picture_text(second)
    assert lab.number_field(first, "bias").input_value() == "0.75"


def test_a_reloaded_window_shows_the_present_state(fresh):
    page = fresh.page
    lab.type_number(fresh, "bias", "2/31")
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    again = lab.panel(page, 0)
    assert_shows(again, bias="2/31")
    lab.press_key(again, "bias", "End")
    assert_shows(again, bias=2)


def test_a_value_set_in_a_cell_moves_the_panel(fresh):
    run_in_kernel(fresh.page, "panel.set('bias', '1/3'); panel.set('cell', 2)")
    expect(lab.number_field(fresh, "bias")).to_have_value("0.333333")
    assert_shows(fresh, bias="1/3", cell=2)


# A kernel that does not answer


KEEP_REQUESTS = """
requests, answer = [], panel.answer
panel.answer = lambda request: requests.append(request) or answer(request)
"""


def ask_kernel(page, expression):
    """The value of this expression in the kernel, as text."""
    ask = """async expression => {
        const {kernel} = jupyterapp.shell.currentWidget.sessionContext.session
        const reply = await kernel.requestExecute({code: '', user_expressions: {it: expression}}).done
        return reply.content.user_expressions.it.data['text/plain']
    }"""
    return page.evaluate(ask, expression)


def run_in_kernel(page, code):
    """Have the kernel run this, and do not wait for it."""
    start = "code => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({code}) }"
    page.evaluate(start, code)


def test_moves_made_while_the_kernel_is_busy_do_not_pile_up_and_the_last_one_wins(fresh):
    run_in_kernel(fresh.page, KEEP_REQUESTS)
    run_in_kernel(fresh.page, "import time; time.sleep(2)")
    lab.drag(fresh, "bias", 1.5, -1, 0.5, steps=20)
    assert_shows(fresh, bias=0.5)
    moves = ast.literal_eval(ask_kernel(fresh.page, "[request['moves'] for request in requests]"))
    assert len(moves) <= 3, moves  # two that were on their way, and the newest of those that waited
    assert all(len(request) == 1 for request in moves), moves
    assert moves[-1] == [["set", "bias", "0.5"]]


def test_a_busy_kernel_is_told_and_its_late_answer_is_shown(fresh):
    run_in_kernel(fresh.page, "import time; time.sleep(9)")
    lab.slider(fresh, "bias").focus()
    fresh.page.keyboard.press("End")
    expect(fresh.locator(".cnnlab-message")).to_contain_text("The kernel does not answer", timeout=9000)
    assert (lab.slider(fresh, "bias").input_value(), lab.shown(fresh)) == ("0", STARTED)
    expect(fresh.locator(".cnnlab-message")).to_have_text("", timeout=9000)
    assert_shows(fresh, bias=2)


def test_a_restarted_kernel_is_told_and_the_sliders_go_back(fresh):
    fresh.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    lab.slider(fresh, "bias").focus()
    fresh.page.keyboard.press("End")
    expect(fresh.locator(".cnnlab-message")).to_contain_text("run this cell again", timeout=9000)
    assert (lab.slider(fresh, "bias").input_value(), lab.shown(fresh)) == ("0", STARTED)
    lab.run_all(fresh.page)
    again = lab.panel(fresh.page, 0)
    lab.press_key(again, "bias", "End")
    assert_shows(again, bias=2)


# Screen readers, themes, sizes


def test_every_control_has_a_name_a_role_and_a_true_value(panel):
    snapshot = panel.aria_snapshot()
    for label in ("weight w[0,0]", "weight w[1,1]", "bias", "learning rate", "cell"):
        assert f'slider "{label}"' in snapshot
        assert f'textbox "{label}, as a number"' in snapshot
    assert 'radiogroup "Activation"' in snapshot
    assert 'group "Kernel"' in snapshot
    assert 'region "A kernel on a small picture"' in snapshot
    nameless = "e => [...e.querySelectorAll('input')].filter(i => !i.labels.length && !i.ariaLabel).length"
    assert panel.evaluate(nameless) == 0
    lab.type_number(panel, "bias", "−0.05")
    assert lab.slider(panel, "bias").get_attribute("aria-valuetext") == "−0.05"


def test_the_worked_line_is_read_out_once_when_a_drag_is_over(panel):
    panel.page.wait_for_timeout(1200)  # the reset is read out
    panel.evaluate("""e => {
        window.spoken = []
        const region = e.querySelector('[role=status]')
        new MutationObserver(() => spoken.push(region.textContent)).observe(region, {childList: true})
    }""")
    lab.drag(panel, "bias", 1.5, -1, 0.5, steps=30)
    panel.page.wait_for_timeout(1300)
    assert panel.page.evaluate("() => spoken") == [expected(bias=0.5).line]


def test_it_is_dark_ink_on_light_paper_in_the_dark_theme_too(fresh):
    fresh.page.evaluate("() => jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    expect(fresh.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    style = fresh.evaluate("e => { const s = getComputedStyle(e); return [s.color, s.backgroundColor, s.fontSize] }")
    assert style == ["rgb(28, 36, 48)", "rgb(255, 253, 248)", "17px"]


def test_the_controls_stand_beside_the_picture_or_above_it_if_there_is_no_room(fresh):
    page, columns, picture = fresh.page, fresh.locator(".cnnlab-controls"), fresh.locator(".cnnlab-picture")
    assert picture.bounding_box()["x"] > columns.bounding_box()["x"] + columns.bounding_box()["width"]
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_timeout(300)
    assert picture.bounding_box()["y"] >= columns.bounding_box()["y"] + columns.bounding_box()["height"]
    assert picture.bounding_box()["width"] == columns.bounding_box()["width"]


# The harness itself


def test_a_missing_browser_is_an_error_and_no_skip(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="apt-get install chromium"), lab.chromium():
        pass


def test_a_cell_that_raises_stops_run_all(open_copy, tmp_path):
    path = write_notebook(tmp_path)
    notebook = json.loads(path.read_text())
    notebook["cells"][1]["source"] = "1/0"
    path.write_text(json.dumps(notebook))
    with pytest.raises(AssertionError, match="code cell 2 raised"):
        lab.run_all(open_copy(path))
