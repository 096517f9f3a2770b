"""Sliders -> a view: one widget holds a lesson's controls and its picture. No arithmetic here.

A `Lesson` says which controls there are and what a state looks like; a `Panel` moves values into it:

    class Sum(Lesson):
        controls = (Group("Numbers", Slider("a", "first number", 0, 1, 0.1, 0.5)),)

        def view(self, state):
            return View(html=f"<b>{2 * state['a']}</b>", line=f"2 × {state['a']} = {2 * state['a']}")

    panel = Panel(Sum())
    panel.set("a", "2/31")          # what a drag, a key or a typed number does
    panel.line, panel.html, panel.message

In the picture, an element with `data-press="name"` is a button, and one with `data-set="name=value"`
moves a control; both work with a click and with Enter.

A lesson can run, as real training does: while its state is `running`, the page asks for one `tick` after
the other, each a small piece of the work. What the learner does comes between two ticks.

    class Count(Lesson):
        controls = (Group("Run", Button("start", "Start"), Button("stop", "Stop")),)
        start = {"going": False, "steps": 0}

        def press(self, state, name):
            return {**state, "going": name == "start"}

        def running(self, state):
            return state["going"]

        def tick(self, state):
            return {**state, "steps": state["steps"] + 1}

    panel.press("start"), panel.tick(), panel.tick(), panel.press("stop")

A `Drawing` is a control too; its value is `bytes`, one gray for each cell.
"""

from collections.abc import Mapping
from pathlib import Path
from threading import RLock
from types import MappingProxyType
from typing import Any, NamedTuple

import anywidget
import traitlets

from .controls import Button, Choice, Drawing, Group, Slider, as_text, read_number

__all__ = ["Button", "Choice", "Drawing", "Group", "Lesson", "Panel", "Slider", "View", "read_number"]

HERE = Path(__file__).parent


class View(NamedTuple):
    """What a state looks like: the picture, and one worked line in plain text."""

    html: str
    line: str


State = Mapping[str, Any]


class Lesson:
    """What a panel shows: its controls, and pure functions from state to view and from state to state.

    A state is a read-only mapping: each control's value by name, and whatever `start` adds. Give the
    controls and `view`; the rest has a default. A ValueError from any method leaves the last good
    picture standing and is shown to the learner.
    """

    title: str = ""
    reset_label: str = "Reset to the document’s values"
    style: str = ""  # a style sheet for the picture
    controls: tuple[Group, ...] = ()
    start: State = {}

    def view(self, state: State) -> View:
        """State -> picture and worked line."""
        raise NotImplementedError

    def change(self, state: State, name: str, value: Any) -> State:
        """The state after control `name` was moved to `value`."""
        return {**state, name: value}

    def press(self, state: State, name: str) -> State:
        """The state after the button `name`, or an element with that data-press, was pressed."""
        raise LookupError(f"nothing to press is called {name!r}")

    def limits(self, state: State) -> Mapping[str, tuple[float, float]]:
        """Bounds that depend on the state, by slider name; the others keep their own."""
        return {}

    def running(self, state: State) -> bool:
        """Is there a next piece to work on, without a further move of the learner?"""
        return False

    def tick(self, state: State) -> State:
        """The state after one more piece of a running lesson: 100 to 200 ms of work, as Stop waits for its end.

        A ValueError is told, and no further piece is asked for before the learner's next move.
        """
        return state


class Panel(anywidget.AnyWidget):
    """A lesson, live: `set`, `press` and `reset` do what the learner's hands do in the browser.

    `state`, `html` and `line` always belong together. `message` says why the learner's last move, or a
    tick since, was refused, and is empty if none was. `running` says whether the page asks for ticks.
    A mistake in the suite itself (any error but a ValueError) is shown in the panel and raised as well.
    """

    _esm = (HERE / "panel.js").read_text(encoding="utf-8")
    _css = (HERE / "panel.css").read_text(encoding="utf-8")
    sheet = traitlets.Any().tag(sync=True)  # the controls; never changes
    page = traitlets.Any().tag(sync=True)  # all that a move can change, so that an answer is one message

    def __init__(self, lesson: Lesson):
        self.lesson = lesson
        self._controls = controls_by_name(lesson)
        self.message, self._refused, self._ticks = "", "", 0
        self._lock = RLock()  # newer Jupyters answer the browser in a thread beside the one that runs the cells
        self._accept(self._first())
        super().__init__(sheet=describe(lesson), page=self._page())
        self.on_msg(lambda _, content, buffers: self.answer(content))

    def set(self, name: str, value: object) -> None:
        """Move one control to a value, or to text as typed; a bad one changes nothing but `message`."""
        self.answer({"moves": [["set", name, value]]})

    def press(self, name: str) -> None:
        """Press a button, or an element of the picture with that data-press."""
        self.answer({"moves": [["press", name, None]]})

    def reset(self) -> None:
        """Back to the document's values."""
        self.answer({"moves": [["reset", "", None]]})

    def tick(self) -> None:
        """The next piece of a lesson that runs: what the page asks for, again and again."""
        self.answer({"moves": [["tick", "", self._ticks]]})

    def answer(self, request: Mapping) -> None:
        """Make the moves that were asked for, in order, and answer with one page.

        `turn` is the browser's own name for its request: the page carries it back. A complaint stays on
        the page until the learner's next move, however many ticks come before it.
        """
        with self._lock:
            if any(kind != "tick" for kind, *_ in request["moves"]):
                self.message, self._refused = "", ""
            try:
                for kind, name, value in request["moves"]:
                    self._make(kind, name, value)
            finally:
                self.page = self._page(request.get("turn", ""))

    def _make(self, kind: str, name: str, value: object) -> None:
        """One move: a new state with its view, or the old ones and a message."""
        if kind == "tick":
            if not self.running or value != self._ticks:
                return  # stopped meanwhile, or a second window's wish for the same piece
            self._ticks += 1
            self.running = False  # until the new state says otherwise: after an error or an interrupt, none does
        try:
            self._accept(self._next(kind, name, value))
        except ValueError as error:
            self.message, self._refused = str(error), name
        except Exception as error:
            self.message, self._refused = f"A mistake in this panel: {error!r}", name
            raise
        else:
            if kind == "reset" or kind == "set" and name == self._refused:  # made good in the same request
                self.message, self._refused = "", ""

    def _next(self, kind: str, name: str, value: object) -> State:
        """The state after a move; nothing is changed yet."""
        if kind == "reset":
            return self._first()
        if kind == "tick":
            return self.lesson.tick(self.state)
        if kind == "press":
            return self.lesson.press(self.state, name)
        if name not in self._controls:
            raise LookupError(f"no control is called {name!r}: there are {', '.join(self._controls)}")
        control = self._controls[name]
        return self.lesson.change(self.state, name, control.read(value, self._bounds.get(name)))

    def _accept(self, state: State) -> None:
        """Show this state, if it can be shown: state, picture and line change together or not at all."""
        state = MappingProxyType(dict(state))
        html, line = self.lesson.view(state)
        bounds, running = dict(self.lesson.limits(state)), bool(self.lesson.running(state))
        self.state, self.html, self.line, self._bounds, self.running = state, html, line, bounds, running

    def _first(self) -> State:
        """The controls' first values, and what the lesson's `start` adds or overrides."""
        return {name: control.value for name, control in self._controls.items()} | dict(self.lesson.start)

    def _page(self, turn: str = "") -> dict:
        """What the browser shows: numbers as text, so that it shows the very digits of the state."""
        values = {name: as_text(self.state[name]) for name in self._controls}
        picture = {"turn": turn, "html": self.html, "line": self.line, "running": self.running, "ticks": self._ticks}
        return picture | {"values": values, "limits": self._bounds, "message": self.message, "refused": self._refused}

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        """The widget, and as plain text its worked line: no id, so that two runs compare equal."""
        bundle, metadata = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/plain": self.line}, metadata


def controls_by_name(lesson: Lesson) -> dict[str, Slider | Choice | Drawing]:
    """Everything in the lesson that holds a value; ValueError if two controls share a name."""
    controls = [control for group in lesson.controls for control in group.controls]
    names = [control.name for control in controls]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"two controls share a name: {', '.join(sorted(twice))}")
    return {control.name: control for control in controls if not isinstance(control, Button)}


def describe(lesson: Lesson) -> dict:
    """The lesson's controls as the browser draws them."""
    groups = [group.describe() for group in lesson.controls]
    return {"title": lesson.title, "reset": lesson.reset_label, "style": lesson.style, "groups": groups}
