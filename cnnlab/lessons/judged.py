"""Where the network errs: the confusion matrix, the worst mistakes, and one of them followed from loss to pixel."""

from functools import cached_property, lru_cache
from html import escape

import numpy as np

from .. import inspection
from ..ops import MaxPool
from ..panel import Button, Choice, Group, Panel, Slider, View
from ..show.page import style, tag
from ..show.picture import gallery, how_often, picture, total
from ..show.words import says
from .base import Lesson
from .trained import SIDE, fixed, look_at, page_line, shown, stage

SHOWN = 18   # pictures of a cell
ACROSS, LARGEST = 280, 28  # CSS pixels, at most, for the map in which a step's cell lies, and for a cell of it
FOLLOWED = 12  # mistakes that can be followed
WIDEST = 42  # cells of a row of numbers that stand side by side


# ---- the confusion matrix ------------------------------------------------------------------


class Confusion(Lesson):
    """Every answer to the test part, counted; a click on a count shows its pictures."""

    title = "Right and wrong answers"
    reset_label = "Back to the worst mistakes"
    style = f"{style()} .cn.judged {{ min-height: 760px; }}"
    controls = (
        Group("Which pictures?", Choice("which", "Show", (
            ("worst", "the wrong answers, the largest loss first"), ("sure", "the right answers, the largest loss first"),
            ("cell", "those of one count")), "worst")),
        Group("The count (or click on it)", Slider("true", "true class, the row", 0, 9, 1, 4), Slider("answer", "answer, the column", 0, 9, 1, 9)))

    def __init__(self, training=None):
        self.look = look_at(training)

    def change(self, state, name, value):
        return {**state, name: value} if name == "which" else {**state, name: value, "which": "cell"}

    def press(self, state, name):
        match name.split():
            case ["count", true, answer]:
                return {**state, "which": "cell", "true": int(true), "answer": int(answer)}
        return super().press(state, name)

    def cases(self, state):
        judged = self.look.judgement
        if state["which"] == "worst":
            return judged.worst(SHOWN)
        if state["which"] == "sure":
            return judged.least_sure(SHOWN)
        asked = (judged.labels == state["true"]) & (judged.answers == state["answer"])
        return judged.cases(asked, -judged.losses, SHOWN)

    def view(self, state):
        cases, judged = self.cases(state), self.look.judgement
        counts = judged.confusion
        words = {"worst": "The wrong answers with the largest loss", "sure": "The right answers with the largest loss: nearly wrong",
                 "cell": f"True class {state['true']}, answer {state['answer']}: {counts[state['true'], state['answer']]} pictures"}[state["which"]]
        html = tag("div", table(counts, state), stage(words), self.pictures(cases), class_="cn judged")
        return View(html, f"right answers: {' + '.join(map(str, np.diag(counts)))} = {np.trace(counts)} of {counts.sum()}; {words}")

    def pictures(self, cases):
        captions = [f"no. {case.index}: {case.label}" + ("" if case.label == case.answer else f", not {case.answer}") +
                    f"; p({case.label}) {chance(case.p_label)}; loss {fixed(case.loss)}" for case in cases]
        images = self.look.digits.test_images
        return gallery([images[case.index, 0] for case in cases], captions, low=0, high=1, scale=3) if cases else tag("p", "There are none.")


def chance(value) -> str:
    return "≈ 0" if value < 0.0005 else f"= {fixed(value, 3)}"


def table(counts, state) -> str:
    """The confusion matrix with its counts to press, and the chosen one framed."""
    most = int((counts - np.diag(np.diag(counts))).max())
    chosen = (state["true"], state["answer"]) if state["which"] == "cell" else None
    head = tag("tr", *(tag("th", str(name), scope="col") for name in ("true ↓ answer →", *range(10), "all")))
    rows = [tag("tr", tag("th", str(true), scope="row"), *(
        how_often(counts[true], true, answer, most).replace("<td", f'<td data-press="count {true} {answer}"' + (' data-chosen=""' if (true, answer) == chosen else ""), 1)
        for answer in range(10)), total(counts[true].sum())) for true in range(10)]
    foot = tag("tr", tag("th", "all", scope="row"), *map(total, counts.sum(axis=0)), total(counts.sum()))
    words = f"{np.trace(counts)} of {counts.sum()} right, {counts.sum() - np.trace(counts)} wrong"
    return tag("table", tag("caption", words), tag("thead", head), tag("tbody", *rows), tag("tfoot", foot), class_="confusion press")


def confusion(training=None) -> Panel:
    """The panel of the confusion matrix."""
    return Panel(Confusion(training))


# ---- one mistake, number by number ---------------------------------------------------------


@lru_cache(maxsize=32)
def way_back(look, index) -> tuple[inspection.Step, ...]:
    """The way from the loss of a test picture back to the pixel that it owes most to."""
    ledger = inspection.look(look.network, look.parameters, look.digits.test_images[index], look.digits.test_labels[index])
    return tuple(inspection.follow(ledger))


@lru_cache(maxsize=512)
def told(look, index, at) -> tuple[str, str]:
    """The worked line of a step on the way back, and the largest terms that went into it."""
    step = way_back(look, index)[at]
    terms = step.biggest(4) if len(step.parts) > 2 and not isinstance(step.ledger.line(step.name).operation, MaxPool) else []
    return page_line(step.ledger.explain(step.name, step.index, 4)), "; ".join(f"{term.text} ≈ {shown(term.value)}" for term in terms)


class Back(Lesson):
    """From the loss of a wrong answer back to a pixel, at each cell on to the one that it owes most to."""

    title = "From the loss back to a pixel"
    reset_label = "Back to the loss"
    style = f"{style()} .cn.back {{ min-height: 800px; }} .cn.back .worked {{ position: static; min-height: 272px; }}"

    def __init__(self, training=None):
        self.look = look_at(training)
        self.mistakes = self.look.judgement.worst(FOLLOWED)
        if not self.mistakes:
            raise ValueError("This network answers every test picture rightly: there is no mistake to follow.")

    @cached_property
    def controls(self):
        last = len(way_back(self.look, self.mistakes[0].index)) - 1
        return (Group("The mistake", Slider("mistake", "number, the largest loss first", 1, max(2, len(self.mistakes)), 1, 1)),
                Group("The way back", Slider("step", "step", 0, last, 1, 0)),
                Group("", Button("back", "◀ Back"), Button("next", "Next ▶"), columns=2))

    def case(self, state):
        return self.mistakes[min(state["mistake"], len(self.mistakes)) - 1]

    def steps(self, state):
        return way_back(self.look, self.case(state).index)

    def limits(self, state):
        return {"step": (0, len(self.steps(state)) - 1)}

    def change(self, state, name, value):
        changed = {**state, name: value}
        return {**changed, "step": min(changed["step"], self.limits(changed)["step"][1])}

    def press(self, state, name):
        if name not in ("back", "next"):
            return super().press(state, name)
        low, high = self.limits(state)["step"]
        return {**state, "step": min(max(state["step"] + (1 if name == "next" else -1), low), high)}

    def view(self, state):
        steps, case, at = self.steps(state), self.case(state), state["step"]
        step = steps[at]
        line, terms = told(self.look, case.index, at)
        frame = tag("div", tag("p", tag("b", f"Step {at} of {len(steps) - 1}"), " — ", escape(self.meaning(step)), class_="what"),
                    tag("p", escape(line), class_="numbers"),
                    tag("p", escape(f"Largest: {terms}" if terms else self.onward(step)), class_="symbols"), class_="worked")
        head = f"Test picture {case.index} is a {case.label}; the answer is {case.answer}. Loss {shown(case.loss)}."
        html = tag("div", tag("p", tag("b", head)), frame, self.trail(steps, at),
                   tag("div", self.seen_by(step), *self.place(step), class_="pictures"), class_="cn back")
        return View(html, f"picture {case.index}, step {at}: {line}")

    def meaning(self, step):
        line = step.ledger.line(step.name)
        return says(line).replace("this class", "this unit" if step.name != "fc_sum" else "this class") if line else \
            "A pixel, and the end of the way: nothing is behind it."

    @staticmethod
    def onward(step):
        return f"The way goes on with {step.ledger.explain(*step.onward).label(step.onward[1], step.onward[0])}." if step.onward else ""

    @staticmethod
    def trail(steps, at):
        """All steps, each a click away."""
        return tag("p", " ← ".join(tag("span", escape(step.explanation.label(step.index)), class_="here" if number == at else "", data_set=f"step={number}")
                                   for number, step in enumerate(steps)), class_="trail")

    def seen_by(self, step):
        """The picture, and which pixels the present cell can depend on."""
        whole = (slice(0, SIDE), slice(0, SIDE))
        box = whole if step.name == "loss" else field(self.look.network, step)
        many = (box[0].stop - box[0].start) * (box[1].stop - box[1].start)
        words = f"The frame: all {many} pixels that this cell can see" if many > 1 else "The frame: this pixel"
        return picture(step.ledger["image"][0, 0], 0, 1, scale=6, caption=words, box=box, legend=False)

    @staticmethod
    def place(step):
        """The values among which the present cell lies, with a frame around it."""
        value = np.asarray(step.ledger[step.name])
        if step.name in ("loss", "image"):
            return []
        whole = value.ndim == 4
        values = value[step.index[:2]] if whole else in_lines(value[0])
        row, column = step.index[-2:] if whole else divmod(step.index[1], values.shape[1])
        words = f"{step.name}, map {step.index[1]} of {value.shape[1]}" if whole else f"{step.name}: {value.shape[1]} numbers, from left to right"
        return [picture(values, signed=values.min() < 0, scale=min(LARGEST, ACROSS // values.shape[1]), caption=words,
                        box=(slice(int(row), int(row) + 1), slice(int(column), int(column) + 1)))]


def in_lines(row) -> np.ndarray:
    """A row of numbers in lines that fit the page, all of one length."""
    count = len(row)
    width = next(width for width in range(min(count, WIDEST), 0, -1) if count % width == 0)
    return row.reshape(-1, width)


def field(network, step) -> tuple[slice, slice]:
    """The pixels that a step's cell can see. Behind the maps a layer reads all cells, so that all its cells see the same."""
    if step.name == "image":
        return tuple(slice(at, at + 1) for at in step.index[-2:])
    if len(step.index) == 2 and step.name != "flat":
        return inspection.receptive_field(network, "logits", (0, 0))
    return inspection.receptive_field(network, step.name, step.index)


def follow_back(training=None) -> Panel:
    """The panel that follows a wrong answer back to a pixel."""
    return Panel(Back(training))
