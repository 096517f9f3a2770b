"""A panel driven through its controls, in plain Python: what it takes, what it refuses, and what it then shows."""

import gc
import json
import math
import random
import tracemalloc
from threading import Event, Thread
from types import MappingProxyType

import pytest
from ipywidgets.widgets.widget import _instances

from cnnlab.panel import Button, Choice, Drawing, Group, Lesson, Panel, Slider, View, read_number
from tests.browser.toy import Count, Sketch, Toy, bar
from tests.latency import match


class Sum(Lesson):
    """Two numbers and their sum; `double` doubles the first; a sum of exactly 10 cannot be shown."""

    title = "Two numbers"
    style = "b { font-size: 2em }"
    controls = (
        Group("Numbers", Slider("a", "first number", -2, 2, 0.1, 0.5), Slider("b", "second number", 0, 10, 1, 3)),
        Group("More", Choice("sign", "sign", ((1, "plus"), (-1, "minus")), 1), Button("double", "Double")),
    )
    start = {"pressed": 0}

    def view(self, state):
        total = state["a"] + state["sign"] * state["b"]
        if total == 10:
            raise ValueError(f"line total = Add(a, b): a {state['a']} and b {state['b']} give 10")
        return View(f"<b>{total}</b>", f"{state['a']} + {state['sign'] * state['b']} = {total}")

    def press(self, state, name):
        if name == "fail":
            return {}["a mistake in the lesson"]
        if name != "double":
            return super().press(state, name)
        return {**state, "a": 2 * state["a"], "pressed": state["pressed"] + 1}


@pytest.fixture
def panel():
    return Panel(Sum())


def page_agrees(panel):
    """What the browser was told is what Python holds."""
    page = panel.page
    assert (page["html"], page["line"], page["message"]) == (panel.html, panel.line, panel.message)
    assert page["values"] == {name: str(panel.state[name]) for name in ("a", "b", "sign")}
    assert View(panel.html, panel.line) == panel.lesson.view(panel.state)


# What can be typed


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.5", 0.5), ("-0.5", -0.5), ("−0.5", -0.5), ("–0.5", -0.5), ("+2", 2.0), ("0,5", 0.5), ("  0.25 ", 0.25),
        (".5", 0.5), ("3.", 3.0), ("1e-3", 0.001), ("1E−3", 0.001), ("2/31", 2 / 31), ("−2 / 31", -2 / 31),
        ("0,5/0,25", 2.0), ("0.1234567890123456", 0.1234567890123456), (0.1 + 0.2, 0.1 + 0.2), (7, 7.0),
    ],
)  # fmt: skip
def test_numbers_that_a_learner_may_type(text, number):
    assert read_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", " ", "abc", "1 000", "1.000,5", "1_000", "0x10", "--1", "1/0", "0/0", "1/2/3", "/2", "1/", "nan", "inf",
     "-inf", "1e999", "1/1e-999", "1e999/1e999", "0.5 km", "2*3", "__import__('os')", "٣", None, True, math.nan, math.inf],
)  # fmt: skip
def test_everything_else_is_refused(text):
    with pytest.raises(ValueError, match="is not a"):
        read_number(text)


def test_a_typed_number_keeps_its_full_precision_whatever_the_step(panel):
    panel.set("a", "2/31")
    assert panel.state["a"] == 2 / 31
    assert panel.page["values"]["a"] == "0.06451612903225806"
    page_agrees(panel)


@pytest.mark.parametrize("end", [-2, 2])
def test_both_ends_of_a_range_can_be_reached(panel, end):
    panel.set("a", end)
    assert (panel.state["a"], panel.message) == (end, "")


def test_a_slider_of_whole_numbers_gives_whole_numbers(panel):
    panel.set("b", "4")
    assert (panel.state["b"], type(panel.state["b"])) == (4, int)
    panel.set("b", "4.5")
    assert panel.state["b"] == 4
    assert panel.message == "second number cannot be “4.5”: it takes a whole number from 0 to 10."


def test_a_choice_is_made_by_its_value_or_by_its_text(panel):
    panel.set("sign", -1)
    assert panel.state["sign"] == -1
    panel.set("sign", "1")
    assert (panel.state["sign"], type(panel.state["sign"])) == (1, int)


# What is refused


@pytest.mark.parametrize("text", ["abc", "2.1", "−2.0001", "-3", "nan", "inf", "", "1/0"])
def test_a_refused_value_leaves_the_last_good_picture_and_says_why(panel, text):
    panel.set("a", 0.25)
    state, html, line = panel.state, panel.html, panel.line
    panel.set("a", text)
    assert (panel.state, panel.html, panel.line) == (state, html, line)
    assert panel.message == f"first number cannot be “{text.replace('-', '−')}”: it takes a number from −2 to 2."
    assert panel.page["refused"] == "a"
    page_agrees(panel)


def test_an_unknown_option_is_refused_with_those_there_are(panel):
    panel.set("sign", "times")
    assert panel.message == "sign cannot be “times”: it takes one of plus, minus."
    assert panel.state["sign"] == 1


def test_a_picture_that_cannot_be_drawn_leaves_the_last_good_one(panel):
    before = panel.state, panel.html
    panel.press("double")
    panel.set("b", 9)  # 1 + 9 = 10
    assert panel.message == "line total = Add(a, b): a 1.0 and b 9 give 10"
    assert (panel.state, panel.html) == ({**before[0], "a": 1.0, "pressed": 1}, "<b>4.0</b>")
    page_agrees(panel)


def test_the_next_good_move_clears_the_message(panel):
    panel.set("a", "abc")
    panel.set("a", 0.1)
    assert (panel.message, panel.page["refused"]) == ("", "")


def test_a_mistake_of_the_suite_is_raised_and_shown_and_changes_nothing(panel):
    before = panel.state, panel.html
    for move, name in [("set", "typo"), ("press", "typo"), ("press", "fail")]:
        with pytest.raises(LookupError):
            panel.answer({"moves": [[move, name, 1]]})
        assert panel.message.startswith("A mistake in this panel: ")
        assert (panel.state, panel.html) == before
        page_agrees(panel)
    panel.set("a", 0.1)
    assert panel.message == ""


def test_controls_that_share_a_name_or_a_value_outside_its_range_are_refused_at_once():
    class Twice(Sum):
        controls = (Group("Numbers", Slider("a", "one", 0, 1, 0.1, 0)), Group("More", Button("a", "two")))

    with pytest.raises(ValueError, match="two controls share a name: a"):
        Panel(Twice())
    for numbers in [(1, 0, 0.1, 0.5), (0, 1, 0, 0.5), (0, 1, -0.1, 0.5), (0, 1, 0.1, 2), (0, 1, 0.1, math.nan)]:
        with pytest.raises(ValueError, match="needs low < high"):
            Slider("a", "first number", *numbers)


# What is shown


def test_state_picture_and_line_are_those_of_the_lesson(panel):
    assert panel.state == {"a": 0.5, "b": 3, "sign": 1, "pressed": 0}
    assert (panel.html, panel.line, panel.message) == ("<b>3.5</b>", "0.5 + 3 = 3.5", "")
    panel.set("a", 1.5)
    assert (panel.html, panel.line) == ("<b>4.5</b>", "1.5 + 3 = 4.5")
    page_agrees(panel)


def test_a_press_may_take_a_value_out_of_its_range_and_the_truth_is_shown(panel):
    panel.set("a", 1.5)
    panel.press("double")
    assert (panel.state["a"], panel.state["pressed"], panel.page["values"]["a"]) == (3.0, 1, "3.0")
    panel.set("b", 4)
    assert (panel.state["a"], panel.message) == (3.0, "")


def test_reset_goes_back_to_the_document_values_and_to_the_start(panel):
    first = panel.state, panel.html, panel.line
    panel.set("a", 0.1)
    panel.press("double")
    panel.set("b", "abc")
    panel.reset()
    assert (panel.state, panel.html, panel.line) == first
    assert panel.message == ""
    page_agrees(panel)


def test_a_state_is_read_only(panel):
    assert isinstance(panel.state, MappingProxyType)
    with pytest.raises(TypeError):
        panel.state["a"] = 1


def test_bounds_that_depend_on_the_state_hold_for_the_next_value():
    panel = Panel(Toy())
    panel.set("cell", 3)
    assert (panel.state["cell"], panel.page["limits"]) == (3, {"cell": (0, 3)})
    panel.set("cell", 0)
    panel.set("activation", "relu")
    assert panel.page["limits"] == {"cell": (0, 1)}
    panel.set("cell", 2)
    assert (panel.state["cell"], panel.message) == (0, "cell cannot be “2”: it takes a whole number from 0 to 1.")


def test_the_plain_text_is_the_worked_line_and_names_no_widget(panel):
    bundle, _ = panel._repr_mimebundle_()
    assert bundle["text/plain"] == panel.line == "0.5 + 3 = 3.5"
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.model_id


def test_the_browser_is_told_every_control_as_json():
    sheet = json.loads(json.dumps(Panel(Toy()).sheet))
    kinds = [control["kind"] for group in sheet["groups"] for control in group["controls"]]
    assert kinds == ["slider"] * 7 + ["choice", "button"]
    assert [group["columns"] for group in sheet["groups"]] == [2, 1, 1]
    assert (sheet["title"], sheet["reset"]) == ("A kernel on a small picture", "Reset to the document’s values")
    assert Panel(Sum()).sheet["style"] == "b { font-size: 2em }"


# What the browser asks for


class Sent:
    """Stands in for the panel's line to the browser and keeps what goes over it."""

    def __init__(self):
        self.messages = []

    def send(self, data, buffers=None):
        self.messages.append(data)

    def on_msg(self, callback):
        pass

    comm_id = "a comm"


@pytest.fixture
def sent(panel):
    panel.comm = Sent()
    panel.comm.messages.clear()
    return panel.comm.messages


def ask(panel, turn, *moves):
    """What arrives from the browser, as ipywidgets hands it on."""
    panel._handle_custom_msg({"turn": turn, "moves": [list(move) for move in moves]}, [])


def test_a_request_is_answered_by_one_message_that_carries_its_turn(panel, sent):
    ask(panel, "k3.1", ("set", "a", "0.25"))
    assert len(sent) == 1
    assert sent[0]["method"] == "update"
    assert list(sent[0]["state"]) == ["page"]
    assert sent[0]["state"]["page"] == panel.page
    assert (panel.page["turn"], panel.state["a"]) == ("k3.1", 0.25)


def test_moves_of_one_request_are_made_in_order_and_answered_once(panel, sent):
    ask(panel, "k3.2", ("set", "a", "0.25"), ("press", "double", None), ("set", "b", "7"), ("set", "sign", "-1"))
    assert (panel.state["a"], panel.state["b"], panel.state["sign"]) == (0.5, 7, -1)
    assert len(sent) == 1


def test_a_refused_move_among_others_is_told_and_the_others_are_made(panel, sent):
    ask(panel, "k3.3", ("set", "a", "abc"), ("set", "b", "7"))
    assert (panel.state["a"], panel.state["b"]) == (0.5, 7)
    assert (panel.page["refused"], panel.message[:12]) == ("a", "first number")
    page_agrees(panel)


@pytest.mark.parametrize("last", [("reset", "", None), ("set", "a", "0.5")])
def test_what_is_made_good_in_the_same_request_is_not_complained_about(panel, sent, last):
    ask(panel, "k3.7", ("set", "a", "abc"), ("set", "b", "7"), last)
    assert (panel.message, panel.page["message"], panel.page["refused"]) == ("", "", "")
    page_agrees(panel)


def test_a_request_that_changes_nothing_is_answered_too(panel, sent):
    for turn in ("k3.4", "k3.5"):
        ask(panel, turn, ("set", "a", "0.5"))
    assert [message["state"]["page"]["turn"] for message in sent] == ["k3.4", "k3.5"]


@pytest.mark.filterwarnings("ignore")
def test_a_mistake_of_the_suite_is_answered_too(panel, sent):
    ask(panel, "k3.6", ("press", "fail", None))
    assert len(sent) == 1
    assert sent[0]["state"]["page"]["message"].startswith("A mistake in this panel: KeyError")
    assert sent[0]["state"]["page"]["turn"] == "k3.6"


def test_the_first_page_holds_the_present_state_for_a_window_that_opens_late(panel):
    panel.set("a", 0.25)
    assert panel.get_state(["page"])["page"]["values"]["a"] == "0.25"
    assert panel.get_state(["page"])["page"]["html"] == "<b>3.25</b>"


# A lesson that runs


class Run(Count):
    """The toy's count without its waiting; it can be told to make a mistake."""

    piece = 0

    def tick(self, state):
        if state["by"] == 10:
            return {}["a mistake in the lesson"]
        return super().tick(state)


@pytest.fixture
def run():
    return Panel(Run())


def test_a_lesson_that_says_nothing_of_running_does_not_run(panel):
    before = panel.state, panel.page
    panel.tick()
    assert (panel.state, panel.running, panel.page["running"]) == (before[0], False, False)
    assert Lesson().tick(panel.state) is panel.state


def test_ticks_advance_a_state_that_runs_and_no_other(run):
    run.tick()
    assert (run.state["added"], run.running) == ((), False)
    run.press("go")
    assert (run.state["added"], run.running, run.page["running"]) == ((), True, True)
    for _ in range(3):
        run.tick()
    run.set("by", 4)
    run.tick()
    assert (run.state["added"], run.line) == ((1, 1, 1, 4), "4 pieces, count 7")
    run.press("stop")
    for _ in range(3):
        run.tick()
    assert (run.state["added"], run.running, run.page["running"], run.message) == ((1, 1, 1, 4), False, False, "")


def test_reset_ends_a_run(run):
    run.press("go")
    run.tick()
    run.reset()
    assert (run.running, run.state["added"]) == (False, ())


def test_a_stop_that_stands_before_a_tick_is_done_before_it(run):
    run.press("go")
    run.answer({"moves": [["press", "stop", None], ["tick", "", run.page["ticks"]]]})
    assert (run.running, run.state["added"]) == (False, ())


def test_a_piece_that_two_windows_ask_for_is_worked_on_once(run):
    run.press("go")
    seen = run.page["ticks"]
    for turn in ("k3.1", "k4.1", "k4.2"):
        ask(run, turn, ("tick", "", seen))
        assert run.page["turn"] == turn
    assert run.state["added"] == (1,)
    ask(run, "k4.3", ("tick", "", run.page["ticks"]))
    assert run.state["added"] == (1, 1)


def test_a_refused_tick_is_told_and_the_next_good_move_goes_on(run):
    run.set("limit", 2)
    run.press("go")
    for _ in range(5):
        run.tick()
    assert (run.state["added"], run.running) == ((1, 1), False)
    assert run.message == run.page["message"] == "A count of 3 is beyond the limit."
    run.set("limit", "abc")
    assert (run.running, run.message[:5]) == (False, "limit")
    run.set("limit", 3)
    assert (run.running, run.message) == (True, "")
    run.tick()
    assert run.state["added"] == (1, 1, 1)


def test_a_complaint_stays_while_ticks_go_on(run):
    run.press("go")
    run.set("by", "abc")
    for _ in range(3):
        run.tick()
        assert (run.page["refused"], run.message[:3], run.running) == ("by", "add", True)
    run.set("by", 2)
    run.tick()
    assert (run.message, run.page["refused"], run.state["added"]) == ("", "", (1, 1, 1, 2))


def test_a_mistake_in_a_tick_is_shown_and_raised_and_ends_the_run(run):
    run.press("go")
    run.set("by", 10)
    with pytest.raises(KeyError):
        run.tick()
    assert run.message.startswith("A mistake in this panel: KeyError")
    run.tick()
    assert (run.running, run.page["running"], run.state["added"]) == (False, False, ())


def test_a_move_made_in_a_cell_waits_for_the_tick_that_another_thread_is_at(run, monkeypatch):
    begun, go_on, tick = Event(), Event(), run.lesson.tick

    def slow(state):
        begun.set()
        go_on.wait(5)
        return tick(state)

    monkeypatch.setattr(run.lesson, "tick", slow)
    run.press("go")
    ticking, stopping = Thread(target=run.tick), Thread(target=run.press, args=["stop"])
    ticking.start()
    begun.wait(5)
    stopping.start()
    stopping.join(0.1)
    assert stopping.is_alive()
    go_on.set()
    ticking.join(5)
    stopping.join(5)
    assert (run.state["added"], run.state["going"], run.running, run.page["running"]) == ((1,), False, False, False)


def test_an_interrupt_in_a_tick_ends_the_run(run, monkeypatch):
    def interrupted(state):
        raise KeyboardInterrupt

    run.press("go")
    monkeypatch.setattr(run.lesson, "tick", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.tick()
    assert (run.running, run.page["running"], run.state["added"]) == (False, False, ())


# A drawing


@pytest.fixture
def sketch():
    return Panel(Sketch())


def test_a_drawing_starts_blank_and_holds_a_gray_for_each_cell(sketch):
    assert (sketch.state["digit"], sketch.page["values"]["digit"]) == (bytes(784), 784 * "00")
    assert Drawing("d", "a drawing", rows=2, columns=3).value == bytes(6)
    text = bar(5).hex()
    for given in (bar(5), text, text.upper()):
        sketch.reset()
        sketch.set("digit", given)
        assert (sketch.state["digit"], sketch.page["values"]["digit"], sketch.message) == (bar(5), text, "")
    assert sketch.line == "28 cells with ink, 7140 in all"


@pytest.mark.parametrize(
    ("given", "start"),
    [
        ("", "“” of length 0"), ("ff", "“ff” of length 2"), (783 * "00", "“000000000000…” of length 1,566"),
        (785 * "00", "“000000000000…” of length 1,570"), ("g" + 1567 * "0", "“g00000000000…” of length 1,568"),
        (784 * " 0", "“ 0 0 0 0 0 0…” of length 1,568"), (783 * "00" + "٣٣", "“000000000000…” of length 1,568"),
        (784 * "0\n", "“0\n0\n0\n0\n0\n0\n…” of length 1,568"), (bytes(783), "“000000000000…” of length 1,566"),
        (None, "“None” of length 4"), (0, "“0” of length 1"), ([0] * 784, "“[0, 0, 0, 0,…” of length 2,352"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused_and_told_shortly(sketch, given, start):
    sketch.set("digit", bar(5))
    sketch.set("digit", given)
    assert sketch.state["digit"] == bar(5)
    assert sketch.message == (f"digit cannot be {start}: it takes 1,568 hexadecimal digits, two for the gray of each "
                              "of its 28 × 28 cells.")  # fmt: skip


def test_a_drawing_without_cells_is_refused_at_once():
    for rows, columns in [(0, 28), (28, 0), (-1, 28)]:
        with pytest.raises(ValueError, match="at least one row and one column"):
            Drawing("digit", "digit", rows, columns)


def test_the_lesson_may_put_a_picture_into_the_drawing(sketch):
    sketch.set("preset", "22")
    assert (sketch.state["digit"], sketch.page["values"]["digit"]) == (bar(22), bar(22).hex())
    sketch.reset()
    assert sketch.state["digit"] == bytes(784)


def test_the_browser_is_told_a_drawing_as_json():
    sheet = json.loads(json.dumps(Panel(Sketch()).sheet))
    drawing = {"kind": "drawing", "name": "digit", "label": "digit", "rows": 28, "columns": 28, "hint": "Draw one digit, large"}
    assert sheet["groups"][0]["controls"] == [drawing]
    json.dumps(Panel(Sketch()).page)


# What the benchmark makes of what it saw


def test_a_shown_value_is_matched_with_its_newest_input_and_only_once():
    inputs = [[0.1, 10], [0.2, 20], [0.1, 30], [0.3, 40], [0.1, 90]]
    assert match(inputs, [[0.1, 50], [0.3, 60]]) == [20, 20]  # 0.1 from 30 on; 0.2 was never shown
    assert match(inputs, [[0.1, 15], [0.1, 50]]) == [5, 20]
    assert match(inputs, [[0.3, 60], [0.1, 70]]) == [20]  # the input of 0.1 at 90 comes too late for 70
    assert match(inputs, [[0.4, 60]]) == []


# A thousand moves


def random_move(panel, chance):
    name = chance.choice(["a", "b", "sign", "double", "reset", "junk"])
    if name == "double":
        panel.press("double")
    elif name == "reset":
        panel.reset()
    elif name == "junk":
        panel.set(chance.choice(["a", "b", "sign"]), chance.choice(["abc", "1e9", "", "−1/0", "nan"]))
    else:
        panel.set(name, {"a": chance.uniform(-2, 2), "b": chance.randint(0, 10), "sign": chance.choice([1, -1])}[name])


def test_a_thousand_moves_leave_no_widgets_and_no_memory_behind(panel):
    chance = random.Random(1)
    for _ in range(200):
        random_move(panel, chance)
    widgets = len(_instances)
    grown = [bytes_more(panel, chance) for _ in range(3)]
    assert len(_instances) == widgets
    assert min(grown) < 20_000, f"{grown} bytes more after 1,000 moves each"  # what leaks does so every time


def bytes_more(panel, chance) -> int:
    """How much memory a thousand moves leave behind, and whoever else is at work in this process meanwhile."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(1000):
        random_move(panel, chance)
        page_agrees(panel)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown


def test_a_thousand_moves_and_ticks_keep_a_run_and_its_page_in_step(run):
    chance, wanted, going, pieces, by = random.Random(2), 0, False, 0, 1
    for _ in range(1000):
        (kind,) = chance.choices(["go", "stop", "by", "tick", "old tick", "reset"], [2, 1, 2, 6, 2, 0.1])
        if kind == "tick":
            run.tick()
            wanted, pieces = wanted + by * going, pieces + going
        elif kind == "old tick":
            ask(run, "k1.1", ("tick", "", run.page["ticks"] - 1))
        elif kind == "by":
            by = chance.randint(1, 9)
            run.set("by", by)
        elif kind == "reset":
            run.reset()
            wanted, going, pieces, by = 0, False, 0, 1
        else:
            run.press(kind)
            going = kind == "go"
        assert (run.line, run.running) == (f"{pieces} pieces, count {wanted}", going)
        assert (run.page["line"], run.page["running"]) == (run.line, run.running)
        assert run.message == ""


def test_a_thousand_pictures_leave_no_memory_behind(sketch):
    chance = random.Random(3)
    pictures = [bytes(chance.choices(range(256), k=28)) + bytes(756) for _ in range(20)]

    def draw(times):
        for _ in range(times):
            picture = chance.choice(pictures)
            sketch.set("digit", chance.choice([picture, picture.hex()]))
            assert (sketch.state["digit"], sketch.page["values"]["digit"]) == (picture, picture.hex())

    draw(100)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    draw(1000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000, f"{grown} bytes more after 1,000 pictures"
