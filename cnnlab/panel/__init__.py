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
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import anywidget
import traitlets

__all__ = ["Button", "Choice", "Group", "Lesson", "Panel", "Slider", "View", "read_number"]

HERE = Path(__file__).parent
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def read_number(text: object) -> float:
    """The number that typed text stands for: 0.5, 0,5 (decimal comma), −0.5 (any minus), 1e-3, 2/31.

    Raises ValueError for anything else, NaN and infinity and x/0 among it.
    """
    plain = str(text).translate({ord("−"): "-", ord("–"): "-", ord(","): "."})
    parts = [part.strip() for part in plain.split("/")]
    if len(parts) > 2 or not all(map(NUMBER.fullmatch, parts)):
        raise ValueError(f"{text} is not a number")
    top, bottom = map(float, [*parts, "1"][:2])
    if bottom == 0 or abs(top / bottom) == inf:
        raise ValueError(f"{text} is not a finite number")
    return top / bottom


@dataclass(frozen=True)
class Slider:
    """A number that the learner drags, steps with the arrow keys, or types (then of any precision).

    Whole numbers for `low` and `step` make it a slider of whole numbers.
    """

    name: str
    label: str
    low: float
    high: float
    step: float
    value: float
    hint: str = ""

    def __post_init__(self):
        if not (self.low < self.high and self.step > 0 and self.low <= self.value <= self.high):
            raise ValueError(f"{self} needs low < high, a step above 0, and a value between them")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.step, int)

    def read(self, given: object, bounds: tuple[float, float] | None = None) -> float:
        """What was typed or dragged, as a number within `bounds`; ValueError says what would fit."""
        low, high = bounds or (self.low, self.high)
        try:
            number = read_number(given)
        except ValueError:
            number = None
        if number is None or not low <= number <= high or (self.whole and number != int(number)):
            raise ValueError(self.refusal(given, low, high))
        return int(number) if self.whole else number

    def refusal(self, given: object, low: float, high: float) -> str:
        """The sentence that names the control, what was typed, and what it takes."""
        kind = "a whole number" if self.whole else "a number"
        rule = f" cannot be “{given}”: it takes {kind} from {low:.6g} to {high:.6g}."
        return self.label + rule.replace("-", "−")

    def describe(self) -> dict:
        return {"kind": "slider", **asdict(self)}


@dataclass(frozen=True)
class Choice:
    """One of a few values, each with its label: ((value, label), ...)."""

    name: str
    label: str
    options: tuple[tuple[Any, str], ...]
    value: Any
    hint: str = ""

    def read(self, given: object, bounds: None = None) -> Any:
        """The option that `given`, or its text, stands for; ValueError lists the options."""
        for value, _ in self.options:
            if str(given) == str(value):
                return value
        labels = ", ".join(label for _, label in self.options)
        raise ValueError(f"{self.label} cannot be “{given}”: it takes one of {labels}.")

    def describe(self) -> dict:
        options = [(str(value), label) for value, label in self.options]
        return {"kind": "choice", **asdict(self), "value": str(self.value), "options": options}


@dataclass(frozen=True)
class Button:
    """Something to press: the lesson's `press` gets its name."""

    name: str
    label: str
    hint: str = ""

    def describe(self) -> dict:
        return {"kind": "button", **asdict(self)}


Control = Slider | Choice | Button


@dataclass(frozen=True, init=False)
class Group:
    """Controls under one title, laid out in `columns` (a 2×2 kernel's weights: two)."""

    title: str
    controls: tuple[Control, ...]
    columns: int

    def __init__(self, title: str, *controls: Control, columns: int = 1):
        for name, value in {"title": title, "controls": controls, "columns": columns}.items():
            object.__setattr__(self, name, value)

    def describe(self) -> dict:
        controls = [control.describe() for control in self.controls]
        return {"title": self.title, "columns": self.columns, "controls": controls}


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


class Panel(anywidget.AnyWidget):
    """A lesson, live: `set`, `press` and `reset` do what the learner's hands do in the browser.

    `state`, `html` and `line` always belong together. `message` says why the last move was refused,
    and is empty if it was not. A mistake in the suite itself (any error but a ValueError) is shown
    in the panel and raised as well.
    """

    _esm = (HERE / "panel.js").read_text(encoding="utf-8")
    _css = (HERE / "panel.css").read_text(encoding="utf-8")
    sheet = traitlets.Any().tag(sync=True)  # the controls; never changes
    page = traitlets.Any().tag(sync=True)  # all that a move can change, so that an answer is one message

    def __init__(self, lesson: Lesson):
        self.lesson = lesson
        self._controls = controls_by_name(lesson)
        self.message, self._refused = "", ""
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

    def answer(self, request: Mapping) -> None:
        """Make the moves that were asked for, in order, and answer with one page.

        `turn` is the browser's own name for its request: the page carries it back.
        """
        self.message, self._refused = "", ""
        try:
            for kind, name, value in request["moves"]:
                self._make(kind, name, value)
        finally:
            self.page = self._page(request.get("turn", ""))

    def _make(self, kind: str, name: str, value: object) -> None:
        """One move: a new state with its view, or the old ones and a message."""
        try:
            self._accept(self._next(kind, name, value))
        except ValueError as error:
            self.message, self._refused = str(error), name
        except Exception as error:
            self.message, self._refused = f"A mistake in this panel: {error!r}", name
            raise

    def _next(self, kind: str, name: str, value: object) -> State:
        """The state after a move; nothing is changed yet."""
        if kind == "reset":
            return self._first()
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
        self._bounds = dict(self.lesson.limits(state))
        self.state, self.html, self.line = state, html, line

    def _first(self) -> State:
        """The controls' first values, and what the lesson's `start` adds or overrides."""
        return {name: control.value for name, control in self._controls.items()} | dict(self.lesson.start)

    def _page(self, turn: str = "") -> dict:
        """What the browser shows: numbers as text, so that it shows the very digits of the state."""
        values = {name: str(self.state[name]) for name in self._controls}
        picture = {"turn": turn, "html": self.html, "line": self.line}
        return picture | {"values": values, "limits": self._bounds, "message": self.message, "refused": self._refused}

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict, dict]:
        """The widget, and as plain text its worked line: no id, so that two runs compare equal."""
        bundle, metadata = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/plain": self.line}, metadata


def controls_by_name(lesson: Lesson) -> dict[str, Slider | Choice]:
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
