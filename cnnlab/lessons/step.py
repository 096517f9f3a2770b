"""One training step, live: sliders for every number, micro-steps forward and back, then training."""

from functools import cache, cached_property
from html import escape

import numpy as np

from ..arithmetic import board, number
from ..explanation import label
from ..ledger import run
from ..panel import Button, Group, Slider, View
from ..show.board import Board, Moment, frame, micro_steps, worked
from ..show.chart import Axis, Chart, nice_top
from ..show.page import Page, facts, tag
from ..show.words import says
from .base import Lesson

FARTHEST = 1000.0  # a parameter beyond this has nothing left to show: training stops and says so


def entries(given) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Every given number by the name that its slider has: `kernel[0,1]` -> ("kernel", (0, 1))."""
    return {label(name, index, np.shape(value)): (name, index)
            for name, value in given.items() for index in np.ndindex(np.shape(value))}


def weight_sliders(example, name, low, high, step=0.01) -> list[Slider]:
    """One slider for each entry of a given array, in reading order."""
    value = np.asarray(example.given[name], float)
    return [Slider(label(name, index, value.shape), label(name, index, value.shape), low, high, step,
                   float(value[index])) for index in np.ndindex(value.shape)]


class StepLesson(Lesson):
    """A whole step of an example: its board, its worked line, and what repeated steps do to the loss.

    A subclass gives `example`, `weights` (the groups of sliders), `stages` (the board's layout) and
    `results` (the values to show once more after the step).
    """

    example = None
    weights: tuple[Group, ...] = ()
    stages: tuple[tuple[str, tuple[str, ...]], ...] = ()
    results: tuple[str, ...] = ("loss",)

    @cached_property
    def controls(self):
        last = len(steps_of(self.example)) + 1
        return (Group("Walk through the step", Slider("position", "micro-step", 0, last, 1, last)),
                Group("", Button("back", "◀ Back"), Button("forward", "Forward ▶"), columns=2),
                *self.weights,
                Group("Train", Button("step", "Take the step"), Button("ten", "Take 10 steps"), columns=2),
                Group("", Button("rewind", "Rewind to the start")))

    @property
    def start(self):
        return {"trail": (), "origin": None}

    def last(self, state) -> int:
        """The position after every micro-step: the network has run again with its new numbers."""
        return len(steps_of(self.example_for(state))) + 1

    def limits(self, state):
        return {"position": (0, self.last(state))}

    # From the sliders to the ledger

    def given(self, state) -> dict:
        """The example's numbers with the sliders' values in their places."""
        given = {name: np.array(value, float) for name, value in self.example.given.items()}
        for key, (name, index) in self.entries.items():
            if key in state:
                given[name][index] = state[key]
        return given

    @cached_property
    def entries(self):
        return entries(self.example.given)

    def ledger(self, state):
        return run(self.example_for(state).recipe, **self.given(state))

    def example_for(self, state):
        """The example as it is worked out in this state: a choice may take another way to the same numbers."""
        return self.example

    def after(self, ledger):
        """The network run again, forward only, with its new numbers."""
        return run(self.example.forward, **ledger.after())

    # What a press or a moved slider does

    def change(self, state, name, value):
        """A moved weight starts a new training curve; another learning rate goes on with the old one."""
        changed = {**state, name: value}
        return changed if name in ("position", "learning_rate") else {**changed, "trail": (), "origin": None}

    def press(self, state, name):
        if name in ("back", "forward"):
            position = state["position"] + (1 if name == "forward" else -1)
            return {**state, "position": min(max(position, 0), self.last(state))}
        if name == "rewind":
            return {**state, **(state["origin"] or {}), "trail": (), "origin": None}
        for _ in range({"step": 1, "ten": 10}[name]):
            state = self.trained(state)
        return state

    def trained(self, state) -> dict:
        """The state after one more step. Raises ValueError where the numbers have run away."""
        ledger = self.ledger(state)
        after = ledger.after()
        moved = {key: float(after[name][index]) for key, (name, index) in self.entries.items()
                 if name in self.example.parameters}
        self.refuse_runaway(moved, float(ledger["loss"]))
        origin = state["origin"] or {key: state[key] for key in moved if key in state}
        trail = state["trail"] or (float(ledger["loss"]),)
        loss = float(self.after(ledger)["loss"])
        return {**state, **moved, "origin": origin, "trail": (*trail, loss), "position": self.last(state)}

    @staticmethod
    def refuse_runaway(moved, loss):
        key = max(moved, key=lambda each: abs(moved[each]))
        if abs(moved[key]) > FARTHEST:
            raise ValueError(f"The next step would take {key} to {board(number(moved[key], 4))} from a loss of "
                             f"{board(number(loss, 4))}: training has run away. Rewind, and try a smaller learning rate.")

    # The picture

    def view(self, state) -> View:
        ledger = self.ledger(state)
        after = self.after(ledger)
        moment = Moment(ledger, steps_of(self.example_for(state)), state["position"])
        *first, last = self.board(moment, after)
        charts = tag("div", *self.charts(state, ledger, after), class_="charts")
        html = tag("div", self.frame(moment, after), *first, tag("div", last, charts, class_="pair"), class_="cn")
        return View(html, self.line(ledger, after))

    def line(self, ledger, after) -> str:
        return f"{ledger.explain('loss')}; after one step {board(number(after['loss']))}"

    def frame(self, moment, after) -> str:
        """The worked line of the present micro-step; before the first and after the last, what to see."""
        if moment.now:
            return worked(moment)
        if not moment.finished:
            return frame("Before the first micro-step", "only the given numbers stand on the board.",
                         "Press Forward, or move the slider with the arrow keys.", "&nbsp;")
        loss, again = float(moment.ledger["loss"]), float(after["loss"])
        return frame("The whole step", "every line is worked out, and the network has run again with its new numbers.",
                     f"{self.example.forward[-1].name} before the step → after it",
                     f"{board(number(loss))} → {board(number(again))}: the loss {change(loss, again)}")

    def board(self, moment, after) -> list[str]:
        draw = Board(moment, after, self.results)
        return [tag("div", tag("p", title, class_="stage"), draw.flow(*items), class_="part") for title, items in self.stages]

    def charts(self, state, ledger, after) -> list[str]:
        return [self.trail(state, ledger)]

    def trail(self, state, ledger) -> str:
        """The loss after each step that was taken."""
        losses = state["trail"] or (float(ledger["loss"]),)
        chart = Chart(Axis("steps taken", 0, max(10, 10 * -(-(len(losses) - 1) // 10))), Axis("loss", 0, nice_top(max(losses))))
        points = list(enumerate(losses))
        text = f"Loss after {len(losses) - 1} steps: {board(number(losses[-1]))}"
        drawing = chart.svg(text, chart.curve(points), chart.dots(points), chart.here(*points[-1], board(number(losses[-1], 5))))
        caption = text if len(losses) > 1 else f"Loss now: {board(number(losses[0]))}. Take the step to let the curve grow."
        return tag("figure", drawing, tag("figcaption", caption))


@cache
def steps_of(example):
    """The micro-steps of an example; they depend on its shapes alone, which the sliders do not change."""
    return micro_steps(example.run())


def compare(before: float, after: float) -> str:
    return "falls" if after < before else "rises" if after > before else "stays the same"


def change(before: float, after: float) -> str:
    """`falls by 7.92399`, in plain words."""
    how = compare(before, after)
    return how if how.startswith("stays") else f"{how} by {board(number(abs(after - before)))}"


def numbers(example, meaning: dict) -> Page:
    """The given numbers of an example, what each means, and where it comes from."""
    ledger = example.run()
    rows = [(name, "; ".join(str(ledger.explain(name, index)).replace(" (given)", "").partition(" = ")[2]
                             for index in np.ndindex(np.shape(ledger[name]))), meaning[name], example.status[name])
            for name in example.given]
    text = "\n".join(f"{name} = {values}  ({status})" for name, values, _, status in rows)
    return Page(facts(f"{example.document}: {example.title}", ("name", "value", "what it is", "where it is from"), rows), text)


def lines(ledger, *names) -> Page:
    """Worked lines that stand without a kernel: what each does, with symbols and with numbers."""
    explanations = [ledger.explain(name) for name in names]
    rows = "".join(tag("div", tag("p", escape(says(ledger.line(name))), class_="what"),
                       *(line_pair(explanation, cell) for cell in explanation.cells), class_="line")
                   for name, explanation in zip(names, explanations))
    return Page(rows, "\n".join(map(str, explanations)))


def line_pair(explanation, cell) -> str:
    symbols = f"{explanation.label(cell)} = {explanation.in_symbols(cell)}"
    return tag("p", tag("span", escape(symbols), class_="symbols"), tag("b", escape(explanation.one(cell))), class_="both")
