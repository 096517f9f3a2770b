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
from tests.browser.toy import Toy, bar

CELLS = "jupyterapp.shell.currentWidget.content.widgets"
SOURCES = (
    "from cnnlab.panel import Panel\nfrom tests.browser.toy import Toy\npanel = Panel(Toy())\npanel",
    "panel",
    "import time",
)
COUNT = "from cnnlab.panel import Panel\nfrom tests.browser.toy import Count\npanel = Panel(Count())\npanel", "panel"
SKETCH = "from cnnlab.panel import Panel\nfrom tests.browser.toy import Sketch\npanel = Panel(Sketch())\npanel", "import time"
SLIDERS = [control for group in Toy.controls for control in group.controls if isinstance(control, Slider)]
STARTED = {name: str(value) for name, value in Panel(Toy()).state.items() if name != "losses"}


def write_notebook(folder, sources=SOURCES):
    """A notebook of these cells: the toy's panel, a second view of it, and one more, if not told."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
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


def test_the_first_picture_keeps_its_height_too(fresh):
    picture = fresh.locator(".cnnlab-picture")
    tall = picture.bounding_box()["height"]
    run_in_kernel(fresh.page, "panel.lesson.view = lambda state, look=panel.lesson.view: look(state)._replace(html='short')")
    lab.press_key(fresh, "bias", "End")
    assert lab.picture_text(fresh) == "short" and picture.bounding_box()["height"] == tall


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


# A lesson that runs


@pytest.fixture(scope="module", params=["lab", "notebook"])
def counting(request, open_copy_for_module, tmp_path_factory):
    """A lesson that runs, and a second view of it, in each front end."""
    opened = open_copy_for_module(write_notebook(tmp_path_factory.mktemp("count"), COUNT), request.param)
    lab.run_all(opened)
    return opened


@pytest.fixture
def count(counting):
    """The first view of the lesson that runs, reset."""
    first = lab.panel(counting, 0)
    lab.press_button(first, "Reset to the document’s values")
    counting.wait_for_timeout(200)  # the answer to the last tick
    assert counted(first) == (0, 0)
    yield first
    lab.press_button(first, "Stop")


@pytest.fixture
def fresh_count(open_copy, tmp_path):
    """A lesson that runs in a JupyterLab window of its own, for tests that spoil it."""
    opened = open_copy(write_notebook(tmp_path, COUNT[:1]))
    lab.run_all(opened)
    return lab.panel(opened, 0)


def counted(panel):
    """(pieces, count) on screen."""
    words = panel.locator(".cnnlab-picture").get_by_text("pieces, count").inner_text().split()
    return int(words[0]), int(words[3])


def wait_for_pieces(panel, number):
    """Return when at least so many more pieces are on screen than there are now."""
    number += counted(panel)[0]
    enough = "([panel, number]) => parseInt(panel.innerText.match(/(\\d+) pieces/)[1]) >= number"
    panel.page.wait_for_function(enough, arg=[panel.element_handle(), number], timeout=8000)


def start(panel):
    """Press Go, and see it run."""
    lab.press_button(panel, "Go")
    wait_for_pieces(panel, 2)


def assert_stands(panel):
    """Nothing runs any more: not on the page, not in the kernel."""
    lab.settle(panel)
    panel.page.wait_for_timeout(250)  # the answer to a tick that was on its way
    before, asked = counted(panel), panel.evaluate(ASKED)
    panel.page.wait_for_timeout(500)
    assert counted(panel) == before
    assert panel.evaluate(ASKED) == asked
    assert panel.get_attribute("data-running") is None


ASKED = "() => window.asked ?? 0"
COUNT_TICKS = """() => {
    const {send} = window.real ??= {send: WebSocket.prototype.send}
    window.asked = 0
    WebSocket.prototype.send = function (data) {
        const text = typeof data === 'string' ? data : new TextDecoder().decode(data)
        if (text.includes('"tick"')) window.asked++
        return send.call(this, data)
    }
}"""
SEE_STOP = """panel => window.addEventListener('click', ({target}) => {
    if (target.textContent.startsWith('Stop')) window.seen = parseInt(panel.innerText.match(/(\\d+) pieces/)[1])
}, true)"""


@pytest.mark.parametrize("key", ["mouse", "Enter", " "])
@pytest.mark.parametrize("label", ["Stop", "Stop here"])
def test_a_run_goes_on_by_itself_and_stop_ends_it_within_one_piece(count, label, key):
    start(count)
    count.evaluate(SEE_STOP)
    button = count.get_by_role("button", name=label, exact=True)
    button.click() if key == "mouse" else button.press(key)
    assert_stands(count)
    assert counted(count)[0] - count.page.evaluate("seen") <= 1


@pytest.mark.parametrize("label", ["Stop", "Stop here"])
def test_a_click_that_begins_before_an_answer_and_ends_after_it_counts(count, label):
    button, mouse, keyboard = count.get_by_role("button", name=label, exact=True), count.page.mouse, count.page.keyboard
    run_in_kernel(count.page, "panel.lesson.piece = 0.4")  # the button in the picture moves up and down
    try:
        for hold, let_go in [(mouse.down, mouse.up), (lambda: keyboard.down(" "), lambda: keyboard.up(" "))]:
            start(count)
            button.focus()
            before = counted(count)
            while counted(count) == before:  # from now on it rests for the length of a piece
                pass
            box = button.bounding_box()
            mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            hold()
            count.page.wait_for_timeout(900)
            let_go()
            assert_stands(count)
    finally:
        run_in_kernel(count.page, "panel.lesson.piece = 0.1")


@pytest.mark.parametrize(("role", "label"), [("button", "Stop"), ("button", "Stop here"), ("slider", "add")])
def test_what_has_the_focus_keeps_it_while_it_runs(count, role, label):
    start(count)
    element = count.get_by_role(role, name=label, exact=True)
    element.focus()
    for _ in range(4):
        wait_for_pieces(count, 1)
        expect(element).to_be_focused()


def test_a_run_repaints_no_control(count):
    start(count)
    count.evaluate("""panel => {
        window.changes = []
        const look = seen => changes.push(...seen.map(each => each.attributeName ?? each.type))
        new MutationObserver(look).observe(panel.querySelector('.cnnlab-controls'),
            {subtree: true, childList: true, attributes: true, characterData: true})
    }""")
    wait_for_pieces(count, 3)
    assert count.page.evaluate("changes") == []


def test_a_slider_moves_while_it_runs_and_each_piece_takes_the_value_of_its_time(count):
    start(count)
    lab.drag(count, "add", 7, 3, 5, steps=30)
    assert (lab.shown(count)["by"], lab.number_field(count, "add").input_value()) == ("5", "5")
    before, _ = counted(count)
    wait_for_pieces(count, 3)
    lab.press_button(count, "Stop")
    assert_stands(count)
    added = ast.literal_eval(ask_kernel(count.page, "list(panel.state['added'])"))
    assert counted(count) == (len(added), sum(added))
    assert (added[:2], set(added[before + 1 :])) == ([1, 1], {5})


def test_a_drag_neither_starves_nor_speeds_up_the_run(count):
    start(count)
    count.page.evaluate(COUNT_TICKS)
    before, _ = counted(count)
    mouse, handle = count.page.mouse, lab.slider(count, "add")
    mouse.move(*lab.thumb(handle, 1))
    mouse.down()
    for n in range(100):
        mouse.move(*lab.thumb(handle, 1 + n % 10))
        count.page.wait_for_timeout(5)
    mouse.up()
    assert counted(count)[0] >= before + 4
    lab.press_button(count, "Stop")
    assert_stands(count)
    assert count.page.evaluate("asked") - (counted(count)[0] - before) in (-1, 0, 1)  # the answers to moves ask for none


def test_a_refused_text_stays_with_its_complaint_while_it_runs(count):
    start(count)
    lab.type_number(count, "add", "abc")
    wait_for_pieces(count, 3)
    assert lab.message(count) == "add cannot be “abc”: it takes a whole number from 1 to 10."
    assert lab.number_field(count, "add").input_value() == "abc"
    lab.type_number(count, "add", "3")
    wait_for_pieces(count, 1)
    assert (lab.message(count), lab.shown(count)["by"]) == ("", "3")


def test_typing_is_left_alone_while_it_runs(count):
    field = lab.number_field(count, "limit")
    start(count)
    field.click()
    field.press("ControlOrMeta+a")
    field.press_sequentially("50", delay=200)
    wait_for_pieces(count, 1)
    assert (field.input_value(), lab.shown(count)["limit"]) == ("50", "9999")
    field.press("Enter")
    lab.settle(count)
    assert lab.shown(count)["limit"] == "50"


def test_a_refused_piece_ends_the_run_and_the_next_good_move_goes_on(count):
    count.page.evaluate(COUNT_TICKS)
    lab.type_number(count, "limit", "5")
    lab.press_button(count, "Go")
    expect(count.locator(".cnnlab-message")).to_have_text("A count of 6 is beyond the limit.")
    assert_stands(count)
    assert counted(count) == (5, 5)
    assert count.page.evaluate("asked") == 6
    lab.type_number(count, "limit", "9")
    wait_for_pieces(count, 2)
    assert lab.message(count) in ("", "A count of 10 is beyond the limit.")


def test_two_views_of_a_run_ask_for_one_piece_at_a_time(count, counting):
    second = lab.panel(counting, 1)
    counting.evaluate(COUNT_TICKS)
    lab.press_button(second, "Go")
    wait_for_pieces(second, 8)
    lab.press_button(second, "Stop")
    assert_stands(second)
    assert counted(second) == counted(lab.panel(counting, 0))
    assert counting.evaluate("asked") - counted(second)[0] in (0, 1)  # one may have come after Stop


def test_two_windows_and_a_reloaded_one_work_on_each_piece_once(fresh_count, browser, server_of):
    first = fresh_count.page
    run_in_kernel(first, KEEP_REQUESTS)
    first.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    start(fresh_count)
    first.reload()
    again = lab.panel(first, 0)
    wait_for_pieces(again, 3)
    path = first.evaluate("() => jupyterapp.shell.currentWidget.context.path")
    other = lab.open_notebook(browser, server_of("lab"), path)
    both = [again, lab.panel(other, 0)]
    for panel in both:
        wait_for_pieces(panel, 5)
    lab.press_button(both[1], "Stop")
    for panel in both:
        assert_stands(panel)
    assert counted(both[0]) == counted(both[1])
    ticks = "[(request['turn'].split('.')[0], move[2]) for request in requests for move in request['moves'] if move[0] == 'tick']"
    asked = ast.literal_eval(ask_kernel(first, ticks))
    other.context.close()
    assert len({client for client, _ in asked}) == 3
    assert counted(both[0])[0] <= 1 + max(number for _, number in asked)
    assert len(set(asked)) == len(asked)  # nobody asks twice


@pytest.mark.parametrize("hidden", ["said", "unsaid"])
def test_a_hidden_window_goes_on(fresh_count, hidden):
    page = fresh_count.page
    page.evaluate("() => { window.requestAnimationFrame = () => 0 }")  # as in a window that paints nothing
    if hidden == "said":
        page.evaluate("""() => {  // and after five minutes of it Chromium lets timers wait for a minute
            const {setTimeout} = window
            window.setTimeout = (act, wait, ...rest) => setTimeout(act, wait > 100 ? 60_000 : wait, ...rest)
            Object.defineProperty(document, 'hidden', {get: () => true})
        }""")
    lab.press_button(fresh_count, "Go")
    wait_for_pieces(fresh_count, 4)
    lab.press_button(fresh_count, "Stop")
    assert_stands(fresh_count)


def test_a_run_whose_cell_was_run_again_ends(fresh_count):
    page = fresh_count.page
    start(fresh_count)
    run_in_kernel(page, "old = panel")
    lab.run_all(page)
    page.wait_for_timeout(300)
    pieces = ask_kernel(page, "(old is not panel, len(old.state['added']))")
    page.wait_for_timeout(500)
    assert ask_kernel(page, "(old is not panel, len(old.state['added']))") == pieces
    assert pieces.startswith("(True, ")
    assert counted(lab.panel(page, 0)) == (0, 0)


def test_a_mistake_in_a_piece_is_told_and_ends_the_run(fresh_count):
    page = fresh_count.page
    start(fresh_count)
    page.evaluate(COUNT_TICKS)
    run_in_kernel(page, "panel.lesson.tick = lambda state: 1 / 0")
    expect(fresh_count.locator(".cnnlab-message")).to_contain_text("A mistake in this panel: ZeroDivisionError")
    assert_stands(fresh_count)


def test_a_kernel_restarted_in_a_run_is_asked_no_more_and_told(fresh_count):
    page = fresh_count.page
    start(fresh_count)
    page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(fresh_count.locator(".cnnlab-message")).to_contain_text("run this cell again", timeout=9000)
    page.evaluate(COUNT_TICKS)
    fresh_count.evaluate("""panel => {
        window.changes = 0
        new MutationObserver(seen => { window.changes += seen.length }).observe(panel, {attributes: true})
    }""")
    page.wait_for_timeout(1000)
    assert page.evaluate("[asked, changes]") == [0, 0]  # no word to the kernel, and no vain attempt either
    lab.run_all(page)
    again = lab.panel(page, 0)
    start(again)
    lab.press_button(again, "Stop")
    assert_stands(again)


NAP = """
import time
tick, naps = panel.lesson.tick, [8]
panel.lesson.tick = lambda state: time.sleep(naps.pop() if naps else 0) or tick(state)
"""


def test_a_piece_that_takes_long_is_told_and_the_run_goes_on_after_it(fresh_count):
    start(fresh_count)
    run_in_kernel(fresh_count.page, NAP)
    expect(fresh_count.locator(".cnnlab-message")).to_contain_text("The kernel does not answer", timeout=9000)
    expect(fresh_count.locator(".cnnlab-message")).to_have_text("", timeout=9000)
    wait_for_pieces(fresh_count, 3)
    lab.press_button(fresh_count, "Stop")
    assert_stands(fresh_count)


def test_a_run_is_stopped_in_a_cell(fresh_count):
    start(fresh_count)
    run_in_kernel(fresh_count.page, "panel.press('stop')")
    expect(fresh_count).not_to_have_attribute("data-running", "")
    assert_stands(fresh_count)


# A drawing


@pytest.fixture(scope="module", params=["lab", "notebook"])
def drawing(request, open_copy_for_module, tmp_path_factory):
    """A lesson with a drawing, in each front end."""
    opened = open_copy_for_module(write_notebook(tmp_path_factory.mktemp("sketch"), SKETCH), request.param)
    lab.run_all(opened)
    return opened


@pytest.fixture
def sketch(drawing):
    """The lesson with a drawing, reset."""
    drawing.mouse.move(0, 0)
    first = lab.panel(drawing, 0)
    lab.press_button(first, "Reset to the document’s values")
    assert drawn(first) == bytes(784)
    return first


@pytest.fixture
def fresh_sketch(open_copy, tmp_path):
    """A lesson with a drawing in a JupyterLab window of its own, for tests that spoil it."""
    opened = open_copy(write_notebook(tmp_path, SKETCH))
    lab.run_all(opened)
    return lab.panel(opened, 0)


def drawn(panel):
    """The grays on the canvas, which are those in the picture and those in Python."""
    grays = lab.grays(panel, "digit")
    assert panel.locator("[data-grays]").get_attribute("data-grays") == grays.hex()
    assert ask_kernel(panel.page, "panel.state['digit'].hex()") == repr(grays.hex())
    return grays


def assert_at(element, place):
    """The element's middle is at this place on the page."""
    box = element.bounding_box()
    assert math.dist((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), place) < 1


def row(grays, number):
    return list(grays[28 * number : 28 * number + 28])


def test_a_stroke_is_two_cells_wide_with_soft_edges_and_python_has_the_same(sketch):
    lab.stroke(sketch, "digit", (4, 10), (20, 10))
    grays = drawn(sketch)
    assert row(grays, 12) == [0] * 9 + [153, 255, 153] + [0] * 16  # 2.2 cells of ink in all
    assert row(grays, 3)[10] == 153
    assert not any(row(grays, 2)) and not any(row(grays, 22))
    assert sketch.locator(".cnnlab-message").inner_text() == ""


def test_a_dot_and_a_slanted_stroke_have_round_ends_and_no_gaps(sketch):
    lab.stroke(sketch, "digit", (5, 5))
    dot = drawn(sketch)
    assert [row(dot, n)[4:7] for n in (4, 5, 6)] == [[47, 153, 47], [153, 255, 153], [47, 153, 47]]
    lab.stroke(sketch, "digit", (8, 8), (24, 16), steps=3)
    grays = drawn(sketch)
    assert all(max(row(grays, n)) >= 200 for n in range(8, 25))
    assert row(grays, 5) == row(dot, 5)


def test_the_picture_follows_the_pen_before_it_is_lifted(sketch):
    page, mouse = sketch.page, sketch.page.mouse
    mouse.move(*lab.point(sketch, "digit", 5, 5))
    mouse.down()
    seen = []
    for column in (5, 10, 15, 20):
        mouse.move(*lab.point(sketch, "digit", 5, column), steps=6)
        lab.settle(sketch)
        seen.append(sum(drawn(sketch)))
    assert seen == sorted(set(seen))
    assert page.evaluate("() => getSelection().toString()") == ""
    mouse.up()
    lab.settle(sketch)
    assert sum(drawn(sketch)) == seen[-1]


def test_a_pen_that_leaves_the_canvas_draws_on_when_it_is_back_and_stops_when_lifted(sketch):
    mouse = sketch.page.mouse
    lab.stroke(sketch, "digit", (14, 24), (14, 40), (20, 40), (20, 24))
    grays = drawn(sketch)
    assert (row(grays, 14)[27], row(grays, 20)[27], max(row(grays, 17))) == (255, 255, 0)
    mouse.move(*lab.point(sketch, "digit", 5, 5))
    mouse.move(*lab.point(sketch, "digit", 10, 5), steps=5)
    mouse.down(button="right")
    mouse.move(*lab.point(sketch, "digit", 12, 9), steps=5)
    mouse.up(button="right")
    sketch.page.keyboard.press("Escape")  # the context menu
    lab.settle(sketch)
    assert drawn(sketch) == grays


def test_clear_and_a_picture_from_the_lesson_are_shown(sketch):
    lab.stroke(sketch, "digit", (4, 10), (20, 10))
    lab.press_button(sketch, "Clear")
    assert drawn(sketch) == bytes(784)
    for label, column in [("a bar on the right", 22), ("a bar on the left", 5)]:
        sketch.get_by_role("radio", name=label).click()
        lab.settle(sketch)
        assert drawn(sketch) == bar(column)
    lab.stroke(sketch, "digit", (10, 5), (10, 20))
    assert row(drawn(sketch), 10)[3:23] == [0, 153] + [255] * 16 + [153, 0]
    assert row(drawn(sketch), 2) == row(bar(5), 2)
    lab.press_button(sketch, "Reset to the document’s values")
    assert drawn(sketch) == bytes(784)


def test_a_stroke_that_is_being_drawn_is_not_taken_back(sketch):
    mouse = sketch.page.mouse
    mouse.move(*lab.point(sketch, "digit", 5, 10))
    mouse.down()
    mouse.move(*lab.point(sketch, "digit", 5, 14), steps=4)
    lab.settle(sketch)
    stroke = drawn(sketch)
    run_in_kernel(sketch.page, "panel.set('preset', 22)")
    expect(sketch.locator("[data-grays]")).to_have_attribute("data-grays", bar(22).hex())
    assert lab.grays(sketch, "digit") == stroke
    mouse.up()
    lab.settle(sketch)
    assert drawn(sketch) == stroke


def test_keys_draw_and_none_is_taken_for_a_shortcut(sketch, drawing):
    before = cells(drawing)
    sketch.get_by_role("button", name="Clear").focus()
    drawing.keyboard.press("Shift+Tab")
    expect(lab.canvas(sketch, "digit")).to_be_focused()
    cursor, status = sketch.locator(".cnnlab-cursor"), sketch.locator(".cnnlab-drawing [role=status]")
    expect(cursor).to_be_visible()
    assert_at(cursor, lab.point(sketch, "digit", 14, 14))

    def press(*keys):
        for key in keys:
            drawing.keyboard.press(key)
        lab.settle(sketch)
        return drawn(sketch)

    grays = press("ArrowUp", "ArrowLeft", "ArrowLeft", "Space")
    assert [n for n, gray in enumerate(grays) if gray] == [28 * 13 + 12]
    expect(status).to_have_text("cell 13,12: 255")
    assert_at(cursor, lab.point(sketch, "digit", 13, 12))
    assert press("Enter") == bytes(784)
    expect(status).to_have_text("cell 13,12: 0")
    assert row(press(*["Shift+ArrowRight"] * 3), 13)[10:18] == [0, 153, 255, 255, 255, 255, 153, 0]
    assert press("Delete") == bytes(784)
    press(*["ArrowUp"] * 20, *["ArrowRight"] * 20, "Space")
    expect(status).to_have_text("cell 0,27: 255")
    press("j", "k", "x", "a", "b", "m", "d", "d", "Backspace")
    assert drawn(sketch) == bytes(784)
    assert cells(drawing) == before
    expect(lab.canvas(sketch, "digit")).to_be_focused()


def test_shift_enter_on_a_drawing_runs_the_cell(fresh_sketch):
    lab.canvas(fresh_sketch, "digit").focus()
    fresh_sketch.page.keyboard.press("Shift+Enter")
    fresh_sketch.page.wait_for_function(f"() => {CELLS}[0].model.executionCount > 2")


def test_a_drawing_has_a_name_and_says_its_keys(sketch):
    snapshot = sketch.aria_snapshot()
    assert 'group "digit"' in snapshot
    assert 'application "digit"' in snapshot
    assert 'button "Clear"' in snapshot
    described = lab.canvas(sketch, "digit").get_attribute("aria-describedby")
    expect(sketch.locator(f"[id='{described}']")).to_contain_text("Arrow keys move")


def test_a_finger_draws_and_does_not_scroll(fresh_sketch):
    page, wire = fresh_sketch.page, fresh_sketch.page.context.new_cdp_session(fresh_sketch.page)
    top = fresh_sketch.bounding_box()["y"]

    def touch(kind, *places):
        points = [dict(zip("xy", lab.point(fresh_sketch, "digit", *place))) for place in places]
        wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (20, 10))
    for down in range(20, 3, -1):
        touch("touchMove", (down, 10))
    touch("touchEnd")
    page.wait_for_timeout(100)
    lab.settle(fresh_sketch)
    grays = drawn(fresh_sketch)
    assert row(grays, 12)[8:13] == [0, 153, 255, 153, 0]
    assert fresh_sketch.bounding_box()["y"] == top


def test_strokes_drawn_while_the_kernel_is_busy_do_not_pile_up_and_the_last_one_wins(fresh_sketch):
    run_in_kernel(fresh_sketch.page, KEEP_REQUESTS)
    run_in_kernel(fresh_sketch.page, "import time; time.sleep(2)")
    lab.stroke(fresh_sketch, "digit", (4, 10), (20, 10), (20, 20), steps=20)
    assert row(drawn(fresh_sketch), 20)[15] == 255
    moves = ast.literal_eval(ask_kernel(fresh_sketch.page, "[len(request['moves']) for request in requests]"))
    assert len(moves) <= 3 and set(moves) == {1}


def test_a_drawing_survives_a_reload(fresh_sketch):
    page = fresh_sketch.page
    lab.stroke(fresh_sketch, "digit", (4, 10), (20, 10))
    grays = drawn(fresh_sketch)
    page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
    page.reload()
    again = lab.panel(page, 0)
    assert drawn(again) == grays
    lab.press_button(again, "Clear")
    assert drawn(again) == bytes(784)


def test_a_drawing_is_large_and_square_and_stays_within_a_narrow_panel_in_both_themes(fresh_sketch):
    page, canvas = fresh_sketch.page, lab.canvas(fresh_sketch, "digit")

    def sides():
        box = canvas.bounding_box()
        return round(box["width"]), round(box["height"])

    assert sides() == (280, 280)
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        page.wait_for_timeout(300)
        assert canvas.evaluate("e => getComputedStyle(e).backgroundColor") == "rgb(0, 0, 0)"
        assert sides() == (280, 280)
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_timeout(400)
    width, height = sides()
    assert width == height and width >= 200
    assert fresh_sketch.evaluate("e => e.scrollWidth <= e.clientWidth")
    inside, outside = canvas.bounding_box(), fresh_sketch.bounding_box()
    assert outside["x"] < inside["x"] and inside["x"] + inside["width"] < outside["x"] + outside["width"]
    lab.stroke(fresh_sketch, "digit", (4, 10), (20, 10))
    assert row(drawn(fresh_sketch), 12)[8:13] == [0, 153, 255, 153, 0]


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
