"""What have the kernels learned? A trained run, its kernels over time, and all that its answers are made of."""

from functools import cache, cached_property, lru_cache
from html import escape
from time import sleep

import numpy as np

from .. import inspection
from ..arithmetic import board, number
from ..gradients import backward
from ..ledger import run
from ..panel import Button, Choice, Group, Panel, Slider, View
from ..show.board import tile, tint
from ..show.chart import Axis, Chart, nice_top
from ..show.curves import thinned
from ..show.page import Page, facts, style, tag
from ..show.picture import gallery
from .base import Lesson
from .judged import confusion, follow_back
from .maps import largest, maps
from .mattered import mattered, nearest, pixel_sum, predict_neighbours
from .trained import compact, fixed, look_at, pressable, shipped_run, shown, stage

__all__ = ["about", "confusion", "follow_back", "gradient", "maps", "mattered", "nearest", "over_time", "pixel_sum",
           "predict_neighbours", "quiz", "shifts", "shipped_run"]

FRAME = 0.12  # seconds that Play rests on each moment; Stop waits so long at most
FAR = 4       # cells, the longest shift that is tried
COLOURS = ("#0b57b0", "#b3400a", "#1f7a3d", "#7a3db0", "#a8861b", "#5a6270")
SIDES = {"right": np.s_[:, 3:], "left": np.s_[:, :2], "below": np.s_[3:], "above": np.s_[:2]}  # of a 5×5 patch, two rows or columns


# ---- what a kernel answers to --------------------------------------------------------------


def answer_to(kernel, side) -> float:
    """The sum of products with a patch that is 1 on one side (two rows or columns) and 0 elsewhere."""
    return float(np.asarray(kernel, float)[SIDES[side]].sum())


def edge_share(kernel) -> float:
    """share = ((right - left)**2 + (below - above)**2) / (20 * sum of squares)        kernel (5, 5), from 0 to 1

    The part of the kernel's squares that an upright and a level edge make up: 1 for two columns of -1, one of 0 and two of
    1, and for its sum with the same in rows. A sharp diagonal has 0.72, weights drawn at random 2 of 25 on average, 0.08.
    """
    across, down = (answer_to(kernel, one) - answer_to(kernel, other) for one, other in (("right", "left"), ("below", "above")))
    return (across ** 2 + down ** 2) / (20 * float((np.asarray(kernel, float) ** 2).sum()))


def edge_line(kernel) -> str:
    across, down = (answer_to(kernel, one) - answer_to(kernel, other) for one, other in (("right", "left"), ("below", "above")))
    squares = float((np.asarray(kernel, float) ** 2).sum())
    return f"edge share = ({bracket(across)}² + {bracket(down)}²)/(20×{shown(squares, 3)}) ≈ {fixed(edge_share(kernel))}"


def bracket(value) -> str:
    return f"({shown(value, 3)})" if value < 0 else shown(value, 3)


def about(training=None) -> Page:
    """The run that is looked at, and its six kernels before and after."""
    look = look_at(training)
    first, last = look.moments[0].kernels, look.moments[-1].kernels
    awake = [lit(look, moment) for moment in (look.moments[0], look.moments[-1])]
    rows = [(at, shown(float(look.changes[-1, at]), 3), f"{awake[0][at]:.1%} → {awake[1][at]:.1%}".replace("%", "\N{NO-BREAK SPACE}%").replace(" → ", "\N{NO-BREAK SPACE}→ "), *(f"{fixed(measure(one[at]))} → {fixed(measure(other[at]))}" for one, other, measure in (
        (first, last, lambda each: answer_to(each, "right") - answer_to(each, "left")),
        (first, last, lambda each: answer_to(each, "below") - answer_to(each, "above")), (first, last, edge_share))))
        for at in range(len(last))]
    head = ("kernel", "way from its start", "cells above 0", "ink right − ink left", "ink below − ink above", "edge share")
    right, count = int(look.judgement.right.sum()), len(look.judgement.labels)
    run_words = f"{look.training.step:,} steps; right for {right} of {count:,} test pictures: {right}/{count} = {shown(right / count)}"
    drawn = stage("The six kernels of C1 before the first step") + drawn_kernels(first, scale_of(look)) + \
        stage("and after the last") + drawn_kernels(last, scale_of(look))
    text = "\n".join([run_words, *(f"kernel {at}: way {way}; above 0 {on}; right − left {across}; below − above {down}; edge share {share}" for at, way, on, across, down, share in rows)])
    return Page(tag("p", tag("b", escape(run_words))) + drawn + compact(facts("What became of them", head, rows)), text)


def lit(look, moment) -> np.ndarray:
    """The share of the cells of each map of C1 that ReLU lets through, over all test pictures: (O,)."""
    found = inspection.features(look.network, at_moment(look, moment), look.digits.test_images, "c1_relu")
    return (found > 0).mean(axis=(0, 2, 3))


def at_moment(look, moment) -> dict:
    """The parameters, with those of the first layer as they were."""
    bias = {"c1_bias": moment.biases} if "c1_bias" in look.network.shapes else {}
    return {**look.parameters, "c1_kernel": moment.kernels[:, None], **bias}


def scale_of(look) -> float:
    """The largest size of a weight at any time: one colour means one number throughout."""
    return float(max(np.abs(moment.kernels).max() for moment in look.moments))


def drawn_kernels(kernels, bound, chosen=None) -> str:
    framed = [(slice(None), slice(None)) if at == chosen else "" for at in range(len(kernels))]
    return pressable(list(kernels), [f"kernel {at}" for at in range(len(kernels))], captions=[f"kernel {at}" for at in range(len(kernels))],
                     boxes=framed, high=bound, signed=True, scale=13, title="kernel")


# ---- kernels over training -----------------------------------------------------------------


class OverTime(Lesson):
    """Six kernels, what they make of a digit, and their numbers, at every time of the run."""

    title = "Kernels over training"
    reset_label = "Back to the first step"
    style = f"{style()} .cn.time {{ min-height: 900px; }}"

    def __init__(self, training=None):
        self.look = look_at(training)
        self.bound = scale_of(self.look)

    @cached_property
    def controls(self):
        last = len(self.look.moments) - 1
        return (Group("Time", Slider("moment", "moment of the run", 0, last, 1, 0)),
                Group("", Button("play", "▶ Play"), Button("stop", "■ Stop"), columns=2),
                Group("What to look at", Slider("kernel", "kernel (or click on it)", 0, len(self.look.moments[0].kernels) - 1, 1, 0),
                      Slider("digit", "digit", 0, 9, 1, 5)))

    start = {"going": False}

    def change(self, state, name, value):
        return {**state, name: value, "going": state["going"] and name != "moment"}

    def press(self, state, name):
        last = len(self.look.moments) - 1
        match name.split():
            case ["play"]:
                return {**state, "going": True, "moment": 0 if state["moment"] == last else state["moment"]}
            case ["stop"]:
                return {**state, "going": False}
            case ["kernel", at]:
                return {**state, "kernel": int(at)}
        return super().press(state, name)

    def running(self, state):
        return state["going"]

    def tick(self, state):
        sleep(FRAME)
        moment = min(state["moment"] + 1, len(self.look.moments) - 1)
        return {**state, "moment": moment, "going": moment < len(self.look.moments) - 1}

    def view(self, state):
        at, chosen = state["moment"], state["kernel"]
        moment, maps_now = self.look.moments[at], first_maps(self.look, state["digit"])
        steps = self.look.training.step
        html = tag("div", tag("p", tag("b", f"After {moment.step:,} of {steps:,} steps")),
                   stage("The six kernels of C1: orange counts ink for the cell, blue against it"), drawn_kernels(moment.kernels, self.bound, chosen),
                   stage("What they make of this digit: the six maps of C1, after bias and ReLU"),
                   gallery(list(maps_now[at]), low=0, high=float(maps_now.max()), scale=2, title="map"),
                   tag("div", self.numbers(f"kernel {chosen} now", moment.kernels[chosen], self.bound),
                       self.numbers("its change from the start", moment.kernels[chosen] - self.look.moments[0].kernels[chosen], self.bound), class_="flow"),
                   *(tag("p", escape(text), class_="line") for text in (*self.lines(at, chosen), self.awake(moment, maps_now[at], chosen))),
                   tag("div", self.loss(moment.step), self.way(at, chosen), class_="charts"), class_="cn time")
        return View(html, f"after {moment.step} steps, kernel {chosen}: {edge_line(moment.kernels[chosen])}")

    @staticmethod
    def numbers(title, kernel, bound):
        cells = [tag("td", fixed(value), style=f"background:{tint(float(value), bound)}") for value in np.ravel(kernel)]
        rows = [tag("tr", *cells[at:at + 5]) for at in range(0, len(cells), 5)]
        return tag("table", tag("caption", escape(title)), tag("tbody", *rows), class_="values small", style="--columns:5")

    def lines(self, at, chosen):
        kernel, way = self.look.moments[at].kernels[chosen], self.look.changes[:, chosen]
        sides = ", ".join(f"{side} {fixed(answer_to(kernel, side))}" for side in SIDES)
        share = f", {way[at] / way[-1]:.0%} of its whole way" if way[-1] else ""
        return (f"Ink in two columns or rows only: {sides}.", f"{edge_line(kernel)}.",
                f"Way from its start: the root of the 25 squared changes, {shown(float(way[at]), 3)}{share}.")

    @staticmethod
    def awake(moment, shown_maps, chosen):
        values = shown_maps[chosen]
        return f"Its bias is {shown(float(moment.biases[chosen]), 3)}; of the {values.size} cells of its map {int((values > 0).sum())} are above 0."

    def loss(self, step):
        chart, curve = loss_curve(self.look)
        return tag("figure", chart.svg(f"Loss of the batches, and step {step}", curve, chart.threshold(step, f"step {step:,}")),
                   tag("figcaption", "The loss of the batches, averaged over 1/200 of the run."))

    def way(self, at, chosen):
        chart, points = way_curves(self.look)
        steps = [moment.step for moment in self.look.moments]
        lines = [chart.curve(each, width=5 if kernel == chosen else 1.5, color=COLOURS[kernel % len(COLOURS)]) for kernel, each in enumerate(points)]
        here = chart.here(steps[at], float(self.look.changes[at, chosen]), f"kernel {chosen}: {shown(float(self.look.changes[at, chosen]), 3)}")
        return tag("figure", chart.svg("How far each kernel is from its start", *lines, here),
                   tag("figcaption", "How far each kernel is from its start; thick: the chosen one."))


@lru_cache(maxsize=10)
def first_maps(look, digit) -> np.ndarray:
    """C1 after ReLU of the first test picture of a class, at every moment: (moments, O, 28, 28)."""
    index = int(np.flatnonzero(look.digits.test_labels == digit)[0])
    found = [inspection.features(look.network, at_moment(look, moment), look.digits.test_images[index], "c1_relu")[0] for moment in look.moments]
    return np.array(found)


def wide(steps) -> float:
    """The end of an axis of steps: a little room behind the last one, for its number."""
    return max(1.04 * steps, 1)


@lru_cache(maxsize=4)
def loss_curve(look):
    points = thinned(look.training.losses) or [(0, 0)]
    chart = Chart(Axis("step", 0, wide(look.training.step)), Axis("loss of the batch", 0, nice_top(max(loss for _, loss in points))))
    return chart, chart.curve(points, width=2.5)


@lru_cache(maxsize=4)
def way_curves(look):
    steps = [moment.step for moment in look.moments]
    chart = Chart(Axis("step", 0, wide(steps[-1])), Axis("way from the start", 0, nice_top(float(look.changes.max()))))
    return chart, [list(zip(steps, map(float, way))) for way in look.changes.T]


def over_time(training=None) -> Panel:
    """The panel that scrubs through the run."""
    return Panel(OverTime(training))


# ---- how the gradient of a kernel arises ---------------------------------------------------


def gradient(training=None, index=0) -> Page:
    """The gradient of a kernel of C1 for one picture: which products it adds up, and what it is not."""
    look = look_at(training)
    network, digits = look.network, look.digits
    ledger = run(gradient_recipe(network), image=digits.train_images[[index]], label=digits.train_labels[[index]].astype(float),
                 **inspection.trained(network, {**look.parameters, **started(look)}))
    cell = (0, 0, 2, 2)
    rows = [("image", "given", size(ledger["image"])), ("c1_sum", "image ⋆ kernel, border of 2 zeros", size(ledger["c1_sum"])),
            ("d_c1_sum", "how the loss changes with each cell of c1_sum", size(ledger["d_c1_sum"])),
            ("d_c1_kernel", "image ⋆ d_c1_sum: a cross-correlation", size(ledger["d_c1_kernel"])),
            ("d_image", "the transposed convolution of d_c1_sum with the kernel", size(ledger["d_image"]))]
    worked = largest(ledger, "d_c1_kernel", cell, 5)
    sums = [float((np.asarray(ledger[name], float) * ledger[f"d_{name}"]).sum()) for name in ("c1_sum", "c1_kernel", "image")]
    same = " = ".join(f"{{{name}}}" for name in ("c1_sum·d_c1_sum", "kernel·d_kernel", "image·d_image"))
    adjoint = f"multiplied cell by cell and added up, {same.replace('{', '').replace('}', '')} ≈ {', '.join(shown(each, 3) for each in sums)}"
    text = "\n".join([worked, adjoint, *(f"{name}: {what}, {shape}" for name, what, shape in rows)])
    html = tag("p", escape(worked), class_="line") + compact(facts("Which array is what, and how large", ("line", "what it is", "size"), rows)) + tag("p", escape(f"Check: {adjoint}"), class_="line")
    return Page(html, text)


def started(look) -> dict:
    """The parameters before the first step: there the gradients are large."""
    settings = look.training.settings
    return look.network.start(settings.seed, settings.start)


@cache
def gradient_recipe(network):
    return backward(inspection.part(network, "logits", "loss"), to=["c1_kernel", "image"])


def size(value) -> str:
    """28×28, with the number of channels before it where there are several."""
    shape = [each for each in np.shape(value)[1 if np.shape(value)[0] == 1 else 0:] if each != 1]
    return "×".join(map(str, shape))


# ---- what a shift leaves -------------------------------------------------------------------


def moved(images, down, right) -> np.ndarray:
    """The pictures, each moved by so many cells; zeros come in."""
    rows, columns = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (FAR, FAR), (FAR, FAR)))
    return padded[:, :, FAR - down:FAR - down + rows, FAR - right:FAR - right + columns]


@lru_cache(maxsize=4)
def shift_table(look):
    """(shift, share of answers that stay, share that is right, change of C1, S2, S4 and F6) of all four directions."""
    images, judged = look.digits.test_images, look.judgement
    before = {line: inspection.features(look.network, look.parameters, images, line) for line in ("c1_relu", "s2", "s4", "f6_relu")}
    rows = []
    for far in range(FAR + 1):
        ways = [(far, 0), (-far, 0), (0, far), (0, -far)] if far else [(0, 0)]
        answers = [inspection.answers(look.network, look.parameters, moved(images, *way)) for way in ways]
        after = {line: inspection.features(look.network, look.parameters, moved(images, 0, far), line) for line in before}
        changed = [float(np.abs(after[line] - before[line]).sum() / np.abs(before[line]).sum()) for line in before]
        rows.append((far, float(np.mean([found == judged.answers for found in answers])),
                     float(np.mean([found == judged.labels for found in answers])), *changed))
    return rows


def shifts(training=None) -> Page:
    """What moving every test picture by a few pixels does to maps and answers."""
    look = look_at(training)
    count = len(look.judgement.labels)
    rows = [(far, *(board(f"{100 * share:.1f} %") for share in shares)) for far, *shares in shift_table(look)]
    image = look.digits.test_images[:count]
    still, at = (inspection.features(look.network, look.parameters, each, "s2") for each in (image, moved(image, 0, 2)))
    inner = np.abs(at[:, :, 3:-3, 4:-3] - still[:, :, 3:-3, 3:-4]).max()
    line = f"right by 2 pixels: S2’s maps move right by one cell; largest difference inside = {board(f'{inner:.4f}'.rstrip('0').rstrip('.'))}"
    head = ("pixels", "answers that stay", "right answers", "C1 changes by", "S2", "S4", "F6")
    text = "\n".join([line, *(f"{far} pixel{'' if far == 1 else 's'}: {stay} stay, {right} right; C1 {c1}, S2 {s2}, S4 {s4}, F6 {f6}" for far, stay, right, c1, s2, s4, f6 in rows)])
    return Page(compact(facts(f"All {count:,} test pictures, moved", head, rows)) + tag("p", escape(line), class_="line"), text)


# ---- the closing quiz ----------------------------------------------------------------------

QUESTIONS = (
    ("gradient", "The gradient of a 5×5 kernel is", (
        ("transposed", "the transposed convolution of the kernel with d_c1_sum", "That one has the size of the picture: it is the gradient of the picture."),
        ("correlated", "the input, cross-correlated with d_c1_sum", "Each weight adds up the pixels it met, times the slopes they led to."),
        ("kernel", "η times the kernel", "η scales the step; the gradient does not depend on it.")), "correlated"),
    ("edges", "After training, the six kernels of C1 are", (
        ("all", "six clean edge detectors", "Look at the edge shares in the first table again."),
        ("some", "some edges, and some that are none", "Three have an edge share far above the 0.08 of random weights; the others do not."),
        ("noise", "still noise, all of them", "The edge shares of three of them are far above 0.08.")), "some"),
    ("cover", "A patch is covered and the logit of class 7 rises. The patch", (
        ("for", "spoke for class 7", "Without it the logit is larger: it had held the logit down."),
        ("against", "spoke against class 7", "Without it the logit is larger."),
        ("nothing", "did not matter", "It did: the logit moved.")), "against"),
    ("sum", "gradient × input, added up over all pixels, differs from the logit by", (
        ("nothing", "nothing", "Read the table of section 3: the last two columns agree only with the biases."),
        ("bias", "what the biases add", "For ReLU and max-pooling, exactly."),
        ("softmax", "the softmax", "The logit stands before the softmax.")), "bias"),
    ("shift", "All digits move right by one pixel. The answers", (
        ("all", "all stay", "Most, not all: see the table of shifts."),
        ("most", "mostly stay", "Pooling tolerates little shifts, though all training digits were centred."),
        ("half", "change for half of the pictures", "Far fewer: see the table of shifts.")), "most"))


class Quiz(Lesson):
    """Five questions, each answered as soon as a choice is made."""

    title = "What did you see?"
    reset_label = "Ask me again"
    controls = tuple(Group("", Choice(name, words, (("none", "I have not decided yet"), *((key, label) for key, label, _ in options)), "none"))
                     for name, words, options, _ in QUESTIONS)

    def view(self, state):
        said = [self.reply(state[name], options, right) for name, _, options, right in QUESTIONS]
        right = sum(state[name] == right for name, _, _, right in QUESTIONS)
        html = tag("div", *(tag("div", tag("p", tag("b", escape(words)), " ", escape(text)), class_="feedback") for (_, words, _, _), text in zip(QUESTIONS, said)), class_="cn asked")
        return View(html, f"right answers so far: {right}/{len(QUESTIONS)} = {shown(right / len(QUESTIONS))}")

    @staticmethod
    def reply(chosen, options, right):
        if chosen == "none":
            return "…"
        reason = next(reason for key, _, reason in options if key == chosen)
        return f"✓ Yes. {reason}" if chosen == right else f"✗ Not quite. {reason}"


def quiz() -> Panel:
    """The closing questions."""
    return Panel(Quiz())
