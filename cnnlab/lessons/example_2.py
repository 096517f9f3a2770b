"""Step through example 2: convolution, ReLU, fully connected, softmax, cross-entropy."""

from html import escape

import numpy as np

from ..arithmetic import board, number
from .. import documents
from ..documents import Audit, Readings, lost_values, printed
from ..examples import example_2, example_2_step_by_step, twin
from ..gradients import losses_after
from ..ledger import run
from ..mistakes import MISTAKES, planted
from ..panel import Choice, Group, Panel, Slider, View
from ..quiz import Feedback, check
from ..show.board import frame
from ..show.chart import Axis, Chart, nice_top
from ..show.page import Page, facts, tag
from .base import Lesson
from .predict import Option, predict
from .step import StepLesson, change, lines, numbers, weight_sliders

MEANING = {
    "image": "the picture, 2 rows and 2 columns",
    "kernel": "the convolution's weights, W_conv",
    "kernel_bias": "the convolution's bias, b_conv",
    "fc_weight": "one weight for each class, W_fc: the true class first",
    "fc_bias": "one bias for each class, b_fc",
    "label": "which class is true: 0 is the one with probability 0.628",
    "learning_rate": "how far a step goes along the gradient, η",
}
KERNEL = Group("Kernel, as it lies on the image", *weight_sliders(example_2, "kernel", -2.0, 2.0), columns=2)
BIAS = Slider("kernel_bias", "kernel_bias", -2.0, 2.0, 0.01, example_2.given["kernel_bias"])
RATE = Slider("learning_rate", "learning rate η", 0.0, 2.0, 0.01, example_2.given["learning_rate"])
CLASSES = Group("Fully connected layer", *weight_sliders(example_2, "fc_weight", -3.0, 3.0),
                *weight_sliders(example_2, "fc_bias", -3.0, 3.0), columns=2)
WAYS = Choice("way", "Gradient of the softmax", (("short", "in one go: p − y"), ("long", "step by step, through p")), "short")


class Walk(StepLesson):
    """The whole step of example 2."""

    title = "Step through example 2"
    example = example_2
    weights = (KERNEL, Group("Bias and learning rate", BIAS, RATE), CLASSES, Group("", WAYS))
    stages = (
        ("Convolution, bias, ReLU", ("image", "⊙", "kernel", "=", (
            ("products", "Σ", "conv_sum"), ("kernel_bias", "→", "conv", "→", "relu", "→", "flat")))),
        ("Fully connected, softmax, cross-entropy",
         ("fc_weight", "→", "fc_sum", "+", "fc_bias", "→", "logits", "→", "exponentials", "÷", "total", "→", "p", "→", "loss")),
    )
    results = ("conv", "logits", "p", "loss")

    def example_for(self, state):
        return example_2 if state["way"] == "short" else example_2_step_by_step

    def change(self, state, name, value):
        """Another way to the same gradient keeps the training curve; at the end of the step one stays at its end."""
        changed = super().change(state, name, value)
        if name != "way":
            return changed
        last = self.last(changed)
        return {**state, name: value, "position": last if state["position"] == self.last(state) else min(state["position"], last)}


class Rates(StepLesson):
    """The loss after one step of example 2, as a function of the learning rate: it falls for every one."""

    title = "The loss after one step, for every learning rate"
    example = example_2
    controls = (Group("Learning rate", RATE), KERNEL, Group("Bias", BIAS), CLASSES)
    start = {}

    def limits(self, state):
        return {}

    def change(self, state, name, value):
        return {**state, name: value}

    def view(self, state):
        ledger = self.ledger(state)
        again = self.after(ledger)
        after, loss, rate = float(again["loss"]), float(ledger["loss"]), state["learning_rate"]
        html = tag("div", frame("One exact step", f"at learning rate η = {board(number(rate))}.", self.gap(ledger, again),
                                f"loss {board(number(loss))} → {board(number(after))}: it {change(loss, after)}"),
                   self.curve(ledger, rate, loss, after), class_="cn")
        return View(html, f"η = {board(number(rate))}: {again.explain('loss')}; it {change(loss, after)}")

    def gap(self, ledger, again) -> str:
        """How far the true class's logit lies above the other one, before the step and after it."""
        return f"logit of the true class minus the other: {self.lead(ledger)} → {self.lead(again)}; loss = ln(1 + exp(−that))"

    @staticmethod
    def lead(ledger) -> str:
        return board(number(ledger["logits"][0] - ledger["logits"][1]))

    @staticmethod
    def switch(ledger) -> float | None:
        """The learning rate from which the step switches the ReLU off: conv reaches 0; None where it never does."""
        pull = float(ledger["d_conv"].item()) * (float((ledger["image"] ** 2).sum()) + 1)
        return float(ledger["conv"].item()) / pull if pull > 0 else None

    def curve(self, ledger, rate, loss, after) -> str:
        chart = Chart(Axis("learning rate η", 0, RATE.high), Axis("loss after one step", 0, nice_top(1.15 * loss)))
        rates = [RATE.high * at / 60 for at in range(61)]
        switch = self.switch(ledger)
        marks = [chart.level(loss, "loss before the step")]
        if switch and switch < RATE.high:
            marks.append(chart.threshold(switch, f"η ≈ {board(number(switch, 4))}: ReLU off from here"))
        text = f"Loss after one step against learning rate: it falls from {board(number(loss))}; at η = {board(number(rate))} it is {board(number(after))}"
        drawing = chart.svg(text, *marks, chart.curve(zip(rates, losses_after(self.example.forward, ledger, self.example.parameters, rates))),
                            chart.here(rate, after, f"η = {board(number(rate))}: {board(number(after, 4))}"))
        caption = "The curve never climbs above the dotted line, wherever you set the sliders."
        return tag("figure", drawing, tag("figcaption", caption), style="max-width:700px")


class Lost(Lesson):
    """Any fully connected values that fit the printed figures: what the step comes to with them."""

    title = "The lost fully connected values"
    reset_label = "Back to the values we chose"
    controls = (Group("The true class’s values", Slider("w_true", "fc_weight[0]", -3.0, 3.0, 0.01, example_2.given["fc_weight"][0][0]),
                      Slider("b_true", "fc_bias[0]", -3.0, 3.0, 0.01, example_2.given["fc_bias"][0])),)
    quantities = (("p", (0,), "softmax of the true class"), ("loss", (), "loss"), ("d_conv", (0, 0), "dL/d conv"),
                  ("new_kernel_bias", (), "kernel_bias after the step"))

    def view(self, state):
        given = lost_values(state["w_true"], state["b_true"])
        ledger = example_2.run(**given)
        after = run(example_2.forward, **ledger.after())
        rows = [(words, board(number(ledger[name][index], 3))) for name, index, words in self.quantities]
        rows += [("softmax of the true class, after", board(number(after["p"][0], 3))), ("loss after", board(number(after["loss"], 3)))]
        (w_true,), (w_other,) = given["fc_weight"]
        b_true, b_other = given["fc_bias"]
        html = tag("div", frame("Fitted to the printed figures", "the other class follows from the two gaps.",
                                f"fc_weight[1] = {board(number(w_other, 5))}, fc_bias[1] = {board(number(b_other, 5))}; logits "
                                f"{board(number(ledger['logits'][0], 5))} and {board(number(ledger['logits'][1], 5))}",
                                f"gap of the weights {board(number(w_true - w_other, 4))}, of the biases {board(number(b_true - b_other, 4))}"),
                   facts("What the step comes to", ("value", "worked out"), rows), class_="cn")
        return View(html, f"{ledger.explain('loss', digits=3)}; after one step {after.explain('loss', digits=3)}")


class Twins(Lesson):
    """The same mistake planted in the document's example and in its lopsided twin: which numbers give it away?"""

    title = "Which mistakes do the document’s numbers hide?"
    reset_label = "Back to no mistake"
    controls = (
        Group("Plant a mistake", Choice("mistake", "mistake", (("none", "none"), *((name, mistake.label) for name, mistake in MISTAKES.items())), "none")),
        Group("The twin’s bias", Slider("kernel_bias", "kernel_bias", -1.0, 1.0, 0.01, twin.given["kernel_bias"],
                                        "moves which cells ReLU clips")),
    )
    quantities = ("conv", "relu", "loss", "d_conv", "d_kernel_bias", "d_kernel", "d_image", "new_kernel", "new_kernel_bias")

    def view(self, state):
        pairs = [(title, *self.both(example, state["mistake"], changed)) for title, example, changed in (
            ("D2’s example 2", example_2, {}), ("the twin", twin, {"kernel_bias": state["kernel_bias"]}))]
        html = tag("div", self.headline(state["mistake"], pairs), *(self.table(*pair) for pair in pairs), class_="cn")
        _, _, wrong = pairs[-1]
        return View(html, f"mistake: {self.label(state['mistake'])}; {self.sentence(pairs)} {wrong.explain('new_kernel_bias')}")

    @staticmethod
    def both(example, mistake, changed):
        """The ledgers without and with the mistake."""
        recipe = example.recipe if mistake == "none" else planted(example.recipe, mistake)
        given = example.given | changed
        return run(example.recipe, **given), run(recipe, **given)

    @staticmethod
    def label(mistake) -> str:
        return MISTAKES[mistake].label if mistake in MISTAKES else "none"

    def sentence(self, pairs) -> str:
        """What differs in each of the networks, in plain words."""
        return "; ".join(f"in {title} it changes {self.differing(right, wrong)}" for title, right, wrong in pairs) + "."

    def differing(self, right, wrong) -> str:
        names = [name for name in self.quantities if differs(right[name], wrong[name])]
        return f"{len(names)} of these {len(self.quantities)} values" if names else "nothing"

    def headline(self, mistake, pairs) -> str:
        if mistake == "none":
            return frame("No mistake", "both networks are worked out rightly.", "Plant one at the left.", "&nbsp;")
        return frame("Planted", self.label(mistake) + ".", "Which of the two networks gives it away?", escape(self.sentence(pairs)))

    def table(self, title, right, wrong) -> str:
        rows = [self.row(name, right[name], wrong[name]) for name in self.quantities]
        head = tag("tr", *(tag("th", each, scope="col") for each in ("value", "right", "with the mistake", "")))
        return tag("table", tag("caption", title), tag("thead", head), tag("tbody", *rows), class_="facts twins")

    @staticmethod
    def row(name, right, wrong) -> str:
        other = differs(right, wrong)
        cells = [tag("td", written(each)) for each in (right, wrong)]
        return tag("tr", tag("th", name, scope="row"), *cells, tag("td", "≠ differs" if other else "= same"),
                   class_="differs" if other else None)


def differs(right, wrong) -> bool:
    """Whether two values differ by more than rounding."""
    return not np.allclose(right, wrong, rtol=1e-9, atol=1e-12)


def rows(array) -> str:
    """A matrix as one writes it in a line: [[1, 2], [3, 4]]."""
    return "[" + ", ".join("[" + ", ".join(board(number(value)) for value in row) + "]" for row in array) + "]"


def written(array) -> str:
    """An array in one line, its rows between semicolons."""
    rows = np.asarray(array, float)
    rows = rows.reshape(1, -1) if rows.ndim < 2 else rows.reshape(-1, rows.shape[-1])
    return "; ".join("&ensp;".join(board(number(value, 3)) for value in row) for row in rows)


def given() -> Page:
    """The numbers of example 2."""
    return numbers(example_2, MEANING)


def forward() -> Page:
    """From the image to the loss, worked line by line."""
    return lines(example_2_step_by_step.run(), "conv_sum", "conv", "relu", "fc_sum", "logits", "p", "loss")


def both_ways() -> Page:
    """The gradient of the logits in one go, and step by step through the softmax: equal to the last bit but one."""
    short, long = example_2.run(), example_2_step_by_step.run()
    gap = float(np.abs(short["d_logits"] - long["d_logits"]).max())
    if gap > 1e-15:
        raise ArithmeticError(f"the two ways differ by {gap}")
    pages = tag("p", tag("b", "In one go")), lines(short, "d_logits").html, tag("p", tag("b", "Step by step")), lines(long, "d_p", "d_logits").html
    return Page("".join(pages), f"{short.explain('d_logits')}\n{long.explain('d_p')}\n{long.explain('d_logits')}")


def audit() -> Audit:
    """The printed figures of example 2, each worked out again."""
    return documents.audit("D2").where(example=documents.figure("loss_2").example)


def readings() -> Readings:
    """Which slip comes nearest to the printed rise of the loss."""
    return documents.nearest_readings()


def predict_change() -> Panel:
    """Does the loss rise, as the document prints?"""
    ledger = example_2.run()
    after = float(run(example_2.forward, **ledger.after())["loss"])
    truth = f"An exact step takes it from {board(number(ledger['loss'], 3))} to {board(number(after, 3))}: it falls."
    return predict(
        f"D2 prints that one step at η = {RATE.value} takes the loss from {board(number(printed('loss_2')))} up to {board(number(printed('loss_after_2')))}. What does an exact step do?",
        ledger.explain("loss"),
        Option("It rises, as printed: the learning rate is too large.", f"{truth} A learning rate can be too large, but in this network no learning rate is."),
        Option("It falls.", truth, right=True),
        Option("That depends on the lost fully connected values.", f"{truth} The printed figures fix all that the loss depends on; you will try it below."),
        Option("It stays the same.", truth),
    )


def check_conv_after(answer) -> Feedback:
    """What the convolution comes to after the step, from the printed numbers."""
    kernel, bias = np.array(printed("kernel_after_2")), printed("kernel_bias_after")
    ledger = run(example_2.forward, **example_2.given | {"kernel": kernel, "kernel_bias": bias})
    image = ledger["image"]
    slips = {"only the first product is worked out": float(image[0, 0] * kernel[0, 0]),
             "the bias is left out": float(ledger["conv_sum"].item()), "the old kernel is used": float(example_2.run()["conv"].item())}
    return check(answer, float(ledger["conv"].item()), slips, f"D2 prints the new kernel {rows(kernel)} and the new bias {board(number(bias))}; "
                 "four products and the bias, all with their new values.", str(ledger.explain("conv_sum")) + f", and {ledger.explain('conv')}")


def walk() -> Panel:
    """The panel of the whole step."""
    return Panel(Walk())


def rates() -> Panel:
    """The panel of the loss against the learning rate."""
    return Panel(Rates())


def lost() -> Panel:
    """The panel of the lost fully connected values."""
    return Panel(Lost())


def twins() -> Panel:
    """The panel of planted mistakes."""
    return Panel(Twins())
