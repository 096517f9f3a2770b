"""Why can one step raise the loss? A live panel for each of eight causes, each with its diagnosis."""

from functools import cache
from html import escape
from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np

from ..arithmetic import board, number
from ..data import digits_8x8
from ..diagnosis import diagnose, sharpness
from ..diagnosis.slips import AGAIN
from ..documents import printed
from ..examples import Example, example_1, example_2, twin
from ..gradients import backward, needed, update
from ..ledger import Recipe, run
from ..mistakes import ALL, planted
from ..ops import AddBias, AveragePool, Correlate, Flatten, FullyConnected, HalfSquaredError, ReLU, Tanh
from ..optimizers import OPTIMIZERS, started
from ..panel import Choice, Group, Panel, Slider, View
from ..show.board import frame
from ..show.chart import Axis, Chart, nice_top
from ..show.page import Page, facts, tag
from .base import Lesson

UNSEEN = ("relu", "overwrite", "unflipped", "images")  # no mistake of a gradient that this one-picture network trains with
LAYERS = ("kernel", "kernel_bias", "fc_weight", "fc_bias")
POINTS = 121
GUESSES = (("none", "I have not decided yet"), ("falls", "it falls"), ("rises", "it rises"))


# ---- the networks, all of them ours --------------------------------------------------------


def ours(title, forward, parameters, **given) -> Example:
    """An example with numbers that we chose."""
    return Example(title, "ours", forward, parameters, given, dict.fromkeys(given, "chosen"))


CLASSIFIER = needed(example_2.forward)  # without the lines that only show how the loss comes about


def pictures(*images):
    """2×2 pictures as a batch of one channel."""
    return [[image] for image in images]


FIRST = example_2.given["image"]
ALONE = ours("Example 2 alone", CLASSIFIER, LAYERS, image=pictures(FIRST), kernel=pictures(example_2.given["kernel"]),
             kernel_bias=[0.1], fc_weight=[[-0.4], [0.5]], fc_bias=[0.332, -0.3], label=[0], learning_rate=3.0)
TWO = ours("Two samples", CLASSIFIER, LAYERS, **ALONE.given | {
    "image": pictures(FIRST, [[0.4, 0.9], [0.5, 0.2]]), "label": [0, 1]})
THREE = ours("Three classes", CLASSIFIER, LAYERS, **ALONE.given | {
    "kernel": pictures([[-1.0, 0.7], [0.3, -0.2]]), "fc_weight": [[-1.2], [1.0], [2.9]], "fc_bias": [1.9, -1.9, -2.9], "label": [1]})
SIX = ours("Six pictures", CLASSIFIER, LAYERS, **ALONE.given | {
    "image": pictures(FIRST, [[0.4, 0.9], [0.5, 0.2]], [[0.9, 0.1], [0.7, 0.3]], [[0.1, 0.2], [0.9, 0.8]], [[0.7, 0.6], [0.2, 0.9]], [[0.3, 0.3], [0.1, 1.0]]),
    "label": [0, 0, 0, 1, 1, 1], "learning_rate": 0.1})
DOORSTEP = ours("A unit on the doorstep", Recipe(
    conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "bias"), relu=ReLU("conv"), loss=HalfSquaredError("relu", "target")),
    ("kernel", "bias"), image=[[2.0, 1.0, 1.0]], kernel=[[-0.5, 0.8]], bias=0.1, target=[[0.0, 2.0]], learning_rate=0.3)
DYING = ours("A unit that dies", DOORSTEP.forward, ("kernel", "bias"), image=example_1.given["image"], kernel=example_1.given["kernel"],
             bias=1.5, target=[[4.0]], learning_rate=0.35)
VALLEY = ours("A valley", Recipe(output=FullyConnected("image", "weight"), loss=HalfSquaredError("output", "target")), ("weight",),
              image=[[3.0, 0.0], [0.0, 1.0]], weight=[[1.0, 4.0]], target=[[0.0], [0.0]], learning_rate=0.2)


# ---- what every panel shows ----------------------------------------------------------------


class Rise(Lesson):
    """A step, its loss for every learning rate, and its diagnosis, once the learner has predicted what happens."""

    reset_label = "Back to the start"
    start = {"predicted": None}  # the settings for which the learner predicted
    rate = Slider("learning_rate", "learning rate η", 0.0, 0.1, 0.0005, 0.08)
    more: tuple[Group, ...] = ()

    @property
    def controls(self):
        guess = Choice("guess", "What will the loss do?", GUESSES, "none")
        return (Group("Predict first", guess), Group("Learning rate", self.rate), *self.more)

    def change(self, state, name, value):
        changed = {**state, name: value}
        return changed | {"predicted": settings(changed)} if name == "guess" else changed

    def diagnosis(self, state):
        raise NotImplementedError

    def view(self, state):
        found = self.diagnosis(state)
        if state["guess"] == "none":
            return self.before_the_guess(state, found)
        beside = tag("div", self.numbers(found), *self.extra(state, found), class_="beside")
        html = tag("div", self.headline(state, found), tag("div", *self.pictures(state, found), beside, class_="charts"), class_="cn")
        return View(html, f"{found.verdict} η = {board(number(state['learning_rate']))}, change = {signed(found.change)}")

    @staticmethod
    def before_the_guess(state, found) -> View:
        """The loss as it stands, and nothing of what the step does."""
        numbers = f"η = {board(number(state['learning_rate']))}, and before the step loss = {board(number(found.before))}"
        words = "Will one step lower or raise the loss that is read? Commit yourself at the left; then the panel is live."
        return View(tag("div", frame("Predict", words, numbers, "&nbsp;"), class_="cn"), f"{numbers}. {words}")

    def headline(self, state, found) -> str:
        happened = outcome(found)
        return frame(f"It {happened}", self.mark(state, happened) + found.verdict, escape(self.advice(found)),
                     f"loss {board(number(found.before))} → {board(number(found.after))}")

    @staticmethod
    def mark(state, happened) -> str:
        """Whether the prediction came true; nothing at other settings, or where no answer fits."""
        if happened == "stays" or state["predicted"] != settings(state):
            return ""
        return "✓ as you predicted. " if happened == state["guess"] else "✗ not as you predicted. "

    def advice(self, found) -> str:
        return found.advice

    def pictures(self, state, found) -> list[str]:
        return [self.curve(state, found)]

    def curve(self, state, found) -> str:
        """L(η) of the loss that was read, and of the one that was trained where that is another."""
        rates = np.linspace(self.rate.low, self.rate.high, POINTS)
        losses = found.reading.losses(rates)
        before = found.reading.before
        top = nice_top(max(2 * before, min(float(np.max(losses)), 3 * before), 1e-9))
        chart = Chart(Axis("learning rate η", self.rate.low, self.rate.high), Axis("loss after one step", 0, top))
        drawn = [chart.level(before, "loss before the step"), *self.thresholds(chart, found)]
        if found.case.read is not None:
            drawn.append(chart.curve(zip(rates, found.step.losses(rates)), dash="9 6", color="#5a6270"))
        drawn += [chart.curve([point for point in zip(rates, losses) if point[1] <= top]),
                  chart.here(state["learning_rate"], found.after, f"η = {board(number(state['learning_rate']))}: {board(number(found.after, 4))}")]
        text = f"Loss after one step against learning rate; at η = {board(number(state['learning_rate']))} it is {board(number(found.after))}, before {board(number(before))}"
        caption = "Thick: the loss that is read. Dashed: the loss that is trained." if found.case.read is not None else \
            "Under the dotted line the step pays; each dashed line is a learning rate where it no longer does, or does again."
        return tag("figure", chart.svg(text, *drawn), tag("figcaption", caption))

    def thresholds(self, chart, found) -> list[str]:
        inside = [crossing for crossing in found.sweep.crossings if crossing < self.rate.high]
        return [chart.threshold(each, f"η ≈ {board(number(each, 4))}", row) for row, each in enumerate(inside[:3])]

    def numbers(self, found) -> str:
        """The change of the trained loss, split into slope, curvature and rest."""
        parts = (("slope: gradient times step", found.slope), ("curvature: ½ step·H·step", found.curvature),
                 ("the rest", found.rest if abs(found.rest) > 1e-12 * max(1, abs(found.slope)) else 0),
                 ("change of the trained loss", found.trained_change))
        return facts("Where the change comes from", ("part", "value"), [(name, signed(value)) for name, value in parts])

    def extra(self, state, found) -> list[str]:
        return []


def settings(state) -> dict:
    """Every number and choice that a prediction was made for."""
    return {name: value for name, value in state.items() if name not in ("guess", "predicted")}


def outcome(found) -> str:
    """What the loss does; it stays where it changes by no more than rounding."""
    return "rises" if found.causes else "falls" if found.change < -found.case.noise else "stays"


def signed(value) -> str:
    """A change with its sign: +0.5, −0.5."""
    return f"{'+' if value > 0 else ''}{board(number(value))}"


def listed(title, lines) -> str:
    """Worked lines under a heading."""
    return tag("p", tag("b", escape(title))) + tag("ul", *(tag("li", escape(line)) for line in lines))


# ---- the eight causes ------------------------------------------------------------------------


class Overshoot(Rise):
    """Cause 1: the step is longer than the slope holds."""

    title = "Overshoot"
    more = (Group("The network", Slider("bias", "bias", -5.0, 5.0, 0.05, 1.5), Slider("target", "target", -20.0, 20.0, 0.5, 10.0)),)

    def diagnosis(self, state):
        return diagnose(example_1, learning_rate=state["learning_rate"], bias=state["bias"], target=state["target"])

    def extra(self, state, found):
        error, again = (float(run(example_1.forward, **each)["output"].item()) - state["target"] for each in (found.case.given, found.case.ledger.after()))
        factor = board(number(again / error)) if error else "undefined: the error is 0"
        return [facts("The error", ("before", "after", "after/before"), [(board(number(error)), board(number(again)), factor)])]


class Valley(Rise):
    """Cause 1 in two dimensions: steep one way, flat the other."""

    title = "Overshoot in two dimensions"
    rate = Slider("learning_rate", "learning rate η", 0.0, 0.3, 0.005, 0.2)
    more = (Group("The valley", Slider("steep", "steepness of w1", 1.0, 6.0, 0.25, 3.0), Slider("steps", "steps to draw", 1, 20, 1, 8)),
            Group("Start", Slider("w1", "w1", -4.0, 4.0, 0.1, 1.0), Slider("w2", "w2", -4.0, 4.0, 0.1, 4.0), columns=2))

    def given(self, state):
        return VALLEY.given | {"image": [[state["steep"], 0.0], [0.0, 1.0]], "weight": [[state["w1"], state["w2"]]],
                               "learning_rate": state["learning_rate"]}

    def diagnosis(self, state):
        return diagnose(VALLEY, self.given(state))

    def pictures(self, state, found):
        return [self.contours(state), self.curve(state, found)]

    def contours(self, state) -> str:
        """Lines of equal loss, and the path of the steps over them."""
        given, path = self.given(state), [(state["w1"], state["w2"])]
        for _ in range(state["steps"]):
            given = run(VALLEY.recipe, **given).after()
            path.append(tuple(np.clip(given["weight"][0], -1e6, 1e6)))
        chart = Chart(Axis("w1 (steep)", -5, 5), Axis("w2 (flat)", -5, 5))
        turn = np.linspace(0, 2 * np.pi, 61)
        rings = [chart.curve([(size * np.cos(each) / state["steep"], size * np.sin(each)) for each in turn], width=1.2, color="#8a919c")
                 for size in (1, 2, 3, 4)]
        text = f"Contours of the loss and {state['steps']} steps from ({state['w1']}, {state['w2']})"
        drawn = chart.svg(text, *rings, chart.curve(path, width=2.5, color="#b3400a"), chart.dots(path, 4, "#b3400a"), chart.here(*path[0], "start"))
        limit = 2 / state["steep"] ** 2
        return tag("figure", drawn, tag("figcaption", f"Along w1 each step multiplies the distance by {factor(state, state['steep'])}, along w2 by "
                                        f"{factor(state, 1.0)}. Beyond η = 2/{board(number(state['steep'] ** 2))} ≈ {board(number(limit, 4))} w1 runs away."))


def factor(state, steep) -> str:
    """1 − η·steep²: what one step does to the distance from the valley's floor."""
    return board(number(1 - state["learning_rate"] * steep ** 2, 4))


class Misread(Rise):
    """Cause 2: the loss that was read is not the loss that was trained."""

    title = "Read one loss, train another"
    rate = Slider("learning_rate", "learning rate η", 0.0, 2.0, 0.01, 0.1)
    classes = (("0", "class 0"), ("1", "class 1"))
    more = (Group("Labels", Choice("trained", "trained with", classes, "1"), Choice("label", "read with", classes, "0")),)

    def diagnosis(self, state):
        trained, label = int(state["trained"]), int(state["label"])
        return diagnose(example_2, label=trained, learning_rate=state["learning_rate"], read={"label": label} if label != trained else None)


class WrongGradient(Rise):
    """Cause 3: the gradient has a mistake in it."""

    title = "A wrong gradient"
    rate = Slider("learning_rate", "learning rate η", 0.0, 2.0, 0.01, 0.5)

    @property
    def more(self):
        mistakes = [(name, mistake.label) for name, mistake in ALL.items() if name not in UNSEEN]
        return (Group("Plant a mistake", Choice("mistake", "mistake", (("none", "none"), *mistakes), "sign")),)

    def diagnosis(self, state):
        used = None if state["mistake"] == "none" else planted(twin.recipe, state["mistake"])
        return diagnose(twin, learning_rate=state["learning_rate"], gradient=used)

    def extra(self, state, found):
        lines = [line for line in found.evidence if line.startswith("check")]
        said = lines or ["The gradient that was used agrees with the slope by trying, in every parameter."]
        return [listed("The gradient check", said)]


class Slip(Rise):
    """Cause 4: the arithmetic of the check itself has a slip."""

    title = "A slip in checking"
    rate = Slider("learning_rate", "learning rate η", 0.0, 2.0, 0.01, 0.1)
    more = (Group("Checked by hand", Slider("terms", "products that were added", 1, 4, 1, 1, "the document’s check has one"),
                  Choice("loss", "loss noted", (("follows", "the one that follows from it"), ("printed", "the document’s")), "printed")),)

    def diagnosis(self, state):
        after = example_2.run(learning_rate=state["learning_rate"]).after()
        again = run(example_2.forward, **after)
        products = again["products"].ravel()
        conv = float(products[:state["terms"]].sum())
        noted = {"conv": conv} if state["terms"] < len(products) else {}
        noted |= {"loss": printed("loss_after_2")} if state["loss"] == "printed" else {}  # else it follows from what was noted
        return diagnose(example_2, learning_rate=state["learning_rate"], noted=noted)

    def extra(self, state, found):
        slips = [str(slip) for slip in found.case.slips]
        harmless = ["The check is wrong, though the loss that follows from it does not rise."] if slips and not found.causes else []
        return [listed("The check, worked out again", slips + harmless or ["Every product and the bias were added: nothing to mend."])]

    def advice(self, found):
        return AGAIN if found.case.slips else found.advice


class Sharing(Rise):
    """Cause 5: samples or classes that share their weights pull against each other."""

    title = "Two samples, or three classes"
    rate = Slider("learning_rate", "learning rate η", 0.0, 10.0, 0.05, 3.0)
    networks = {"alone": ALONE, "two": TWO, "three": THREE}
    more = (Group("The data", Choice("network", "network", tuple((name, each.title) for name, each in networks.items()), "two")),)

    def diagnosis(self, state):
        return diagnose(self.networks[state["network"]], learning_rate=state["learning_rate"])

    def extra(self, state, found):
        if state["network"] == "alone":
            return [tag("p", "One sample, two classes: the gap between the two logits never shrinks, so no learning rate raises this loss.")]
        example = self.networks[state["network"]]
        before, after = (run(example.forward, **each) for each in (found.case.given, found.case.ledger.after()))
        rows = [(name, board(number(old)), board(number(new)), signed(new - old))
                for name, old, new in zip(self.names(state), self.shares(before, example), self.shares(after, example))]
        return [facts("Who gains, who loses", ("part", "before", "after", "change"), rows)]

    @staticmethod
    def names(state):
        return ("−ln p, sample 0", "−ln p, sample 1") if state["network"] == "two" else ("p of class 0", "p of class 1, the true one", "p of class 2")

    @staticmethod
    def shares(ledger, example):
        """Each sample's own loss; for one sample, each class's probability."""
        logits = np.asarray(ledger["logits"])
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        labels = np.array(example.given["label"])
        return -log_p[np.arange(len(labels)), labels] if len(labels) > 1 else np.exp(log_p[0])


class MiniBatch(Rise):
    """Cause 6: a step for a few samples, judged on all of them."""

    title = "A mini-batch, judged on the whole set"
    rate = Slider("learning_rate", "learning rate η", 0.0, 1.0, 0.01, 0.1)
    more = (Group("The batch", Slider("size", "samples in a batch", 1, 6, 1, 2), Slider("batch", "batch number", 0, 19, 1, 5)),)

    def limits(self, state):
        return {"batch": (0, comb(6, state["size"]) - 1)}

    def change(self, state, name, value):
        changed = super().change(state, name, value)
        return {**changed, "batch": min(changed["batch"], comb(6, changed["size"]) - 1)}

    def diagnosis(self, state):
        chosen = list(combinations(range(6), state["size"]))[state["batch"]]
        whole = {name: SIX.given[name] for name in ("image", "label")}
        return diagnose(SIX, batch_of(chosen), learning_rate=state["learning_rate"], read=whole if len(chosen) < 6 else None)

    def pictures(self, state, found):
        return [self.spread(state), self.curve(state, found)]

    def spread(self, state) -> str:
        """The change of the whole set's loss after the step of each batch of this size."""
        changes = batch_changes(state["size"], state["learning_rate"])
        low, high = min(0, *changes), max(0, *changes) or 1
        room = 0.1 * (high - low)
        chart = Chart(Axis("batch number", -0.5, len(changes) - 0.5), Axis("change of the whole set’s loss", low - room, high + room))
        rises = sum(change > 1e-12 for change in changes)
        mean = float(np.mean(changes))
        text = f"{rises} of {len(changes)} batches raise the loss of the whole set; on average (dashed) it changes by {signed(round(mean, 6))}"
        here = changes[state["batch"]]
        drawn = chart.svg(text, chart.level(0, "no change"), chart.curve([(-0.5, mean), (len(changes) - 0.5, mean)], dash="9 6", width=2, color="#b3400a"), chart.dots(enumerate(changes), 6), chart.here(state["batch"], here, signed(round(here, 4))))
        return tag("figure", drawn, tag("figcaption", text + "."))


def batch_of(chosen) -> dict:
    return {name: [SIX.given[name][at] for at in chosen] for name in ("image", "label")}


@cache
def batch_changes(size, rate) -> tuple[float, ...]:
    """By how much the step of every batch of that size changes the loss of all six pictures."""
    before = float(run(SIX.forward, **SIX.given)["loss"])
    return tuple(whole_after(chosen, rate) - before for chosen in combinations(range(6), size))


def whole_after(chosen, rate) -> float:
    after = run(SIX.recipe, **SIX.given | batch_of(chosen) | {"learning_rate": rate}).after()
    return float(run(SIX.forward, **after | {name: SIX.given[name] for name in ("image", "label")})["loss"])


class Carried(Rise):
    """Cause 7: momentum carries the step past; Adam's first step is about η in every parameter."""

    title = "Momentum and Adam"
    rate = Slider("learning_rate", "learning rate η", 0.0, 0.1, 0.0005, 0.02)
    kinds = (("gradient descent", "gradient descent"), ("momentum", "momentum 0.9"), ("Adam", "Adam"))
    more = (Group("Optimizer", Choice("optimizer", "optimizer", kinds, "momentum"), Slider("taken", "steps taken before", 0, 15, 1, 2)),)

    def diagnosis(self, state):
        _, given = walked(state["optimizer"], state["learning_rate"], state["taken"])
        return diagnose(example_1, given, optimizer=state["optimizer"])

    def pictures(self, state, found):
        before, _ = walked(state["optimizer"], state["learning_rate"], state["taken"])
        losses = [*before, found.before, found.after]
        chart = Chart(Axis("step", 0, max(10, len(losses) - 1)), Axis("loss", 0, nice_top(max(losses))))
        text = f"The loss over {len(losses) - 1} steps of {state['optimizer']}, now {board(number(losses[-1]))}"
        drawn = chart.svg(text, chart.curve(enumerate(losses)), chart.dots(enumerate(losses)), chart.here(len(losses) - 1, losses[-1], board(number(losses[-1], 4))))
        return [tag("figure", drawn, tag("figcaption", text + ".")), self.curve(state, found)]


def walked(optimizer, rate, count) -> tuple[list[float], dict]:
    """The losses before each of `count` steps of example 1, and the numbers given to the step after them."""
    recipe = with_optimizer(optimizer)
    given, losses = started(recipe, example_1.given | {"learning_rate": rate}), []
    for _ in range(count):
        ledger = run(recipe, **given)
        losses.append(float(ledger["loss"]))
        given = ledger.after()
        if abs(given["kernel"]).max() > 1e6:
            raise ValueError("The steps before have run away: take fewer, or a smaller learning rate.")
    return losses, given


@cache
def with_optimizer(name) -> Recipe:
    """Example 1's forward and backward lines with an optimizer's."""
    return OPTIMIZERS[name](backward(example_1.forward, to=example_1.parameters), *example_1.parameters)


class Kink(Rise):
    """Cause 8: a kink is crossed inside the step, and the slope from before no longer holds."""

    title = "A kink crossed"
    rate = Slider("learning_rate", "learning rate η", 0.0, 1.0, 0.005, 0.35)
    networks = {"on": DOORSTEP, "off": DYING}
    more = (Group("The network", Choice("network", "unit", (("on", "one that switches on"), ("off", "one that dies")), "on")),)

    def diagnosis(self, state):
        return diagnose(self.networks[state["network"]], learning_rate=state["learning_rate"])

    def extra(self, state, found):
        example, again = self.networks[state["network"]], found.case.ledger.after()
        before, after = (run(example.recipe, **each)["conv"].ravel() for each in (found.case.given, again))
        rows = [(f"unit {at}", board(number(old)), board(number(new)), "switches" if (old > 0) != (new > 0) else "stays")
                for at, (old, new) in enumerate(zip(before, after))]
        pull = max(float(np.abs(run(example.recipe, **again)[f"d_{name}"]).max()) for name in example.parameters)
        said = "Every gradient of the next step is 0: the unit is dead, and no step brings it back." if pull == 0 else \
            f"The largest gradient of the next step is {board(number(pull))}: it goes on learning."
        return [facts("Before ReLU", ("unit", "before the step", "after", "ReLU"), rows), tag("p", said)]


# ---- static pages ----------------------------------------------------------------------------


def networks() -> Page:
    """The networks of this notebook, and where their numbers are from."""
    rows = [("1 overshoot, 7 momentum and Adam", "D2’s example 1", "printed, derived and chosen, as in notebook 01"),
            ("2 misread, 4 slip", "D2’s example 2", "printed and chosen, as in notebook 02"),
            ("3 wrong gradient", "the twin of example 2", "chosen"),
            *((cause, example.title, "chosen") for cause, example in (
                ("1 in two dimensions", VALLEY), ("5 sharing", TWO), ("5 sharing", THREE), ("6 mini-batch", SIX), ("8 kink", DOORSTEP), ("8 kink", DYING)))]
    text = "\n".join(f"{cause}: {network} ({status}); loss = {board(number(run(example.forward, **example.given)['loss']))}"
                     for (cause, network, status), example in zip(rows, (example_1, example_2, twin, VALLEY, TWO, THREE, SIX, DOORSTEP, DYING)))
    return Page(facts("The networks", ("cause", "network", "numbers"), rows), text)


def proof() -> Page:
    """Why no step raises example 2's loss, each line of the proof with its numbers."""
    before = example_2.run()
    after = run(example_2.forward, **before.after())
    g, g_after = (float(each["fc_weight"][0, 0] - each["fc_weight"][1, 0]) for each in (before, after))
    a, a_after = (float(each["relu"].item()) for each in (before, after))
    beta, beta_after = (float(each["fc_bias"][0] - each["fc_bias"][1]) for each in (before, after))
    lead, lead_after = g * a + beta, g_after * a_after + beta_after
    rows = [
        ("the lead m = g·a + β", times(g, a, beta), "the loss is ln(1 + e⁻ᵐ), which falls as m grows"),
        ("β, the gap of the class biases", moved(beta, beta_after), "it grows by 2η(1 − p), never less than 0"),
        ("g, the gap of the class weights", moved(g, g_after), "it grows by 2η(1 − p)·a, never less than 0, as ReLU’s a is not"),
        ("a, the number after ReLU", moved(a, a_after), "it moves the way g asks: down where g < 0, though not below 0"),
        ("g·a", moved(g * a, g_after * a_after), "it never falls: g < 0 and a shrinks, or g ≥ 0 and both grow"),
        ("the lead after the step", times(g_after, a_after, beta_after), f"so m grows, here by {board(number(lead_after - lead))}"),
        ("the loss", moved(float(before["loss"]), float(after["loss"])), "and the loss falls"),
    ]
    return Page(facts("The proof, beside the numbers of example 2", ("quantity", "before → after", "why"), rows),
                "\n".join(f"{name}: {numbers}; {why}" for name, numbers, why in rows))


def times(g, a, beta) -> str:
    return f"{board(number(g))}×{board(number(a))} + {board(number(beta))} ≈ {board(number(g * a + beta))}"


def moved(before, after) -> str:
    return f"{board(number(before))} → {board(number(after))}"


def try_to_raise(count=10_000, seed=2026) -> Page:
    """Random networks of example 2's shape, each with a random learning rate: the largest rise of the loss."""
    rng, worst = np.random.default_rng(seed), -np.inf
    recipe = update(backward(CLASSIFIER, to=LAYERS), *LAYERS)
    for _ in range(count):
        given = {"image": rng.normal(size=(2, 2)), "kernel": rng.normal(size=(2, 2)), "kernel_bias": rng.normal(),
                 "fc_weight": rng.normal(size=(2, 1)), "fc_bias": rng.normal(size=2), "label": rng.integers(2),
                 "learning_rate": 10 ** rng.uniform(-3, 2)}
        ledger = run(recipe, **given)
        worst = max(worst, float(run(CLASSIFIER, **ledger.after())["loss"] - ledger["loss"]))
    said = "not one step raised the loss" if worst <= 1e-12 else f"a step raised the loss by {worst}"
    text = f"{count} random networks, η from 0.001 to 100: {said}"
    return Page(tag("p", tag("b", escape(text))), text)


def three_reasons() -> Page:
    """The document's three reasons for its rise, each on its own example and on one where it is true."""
    own = diagnose(example_2)
    smaller = diagnose(example_2, learning_rate=0.05)
    after_two = diagnose(example_2, run(example_2.recipe, **example_2.given).after())
    example_1_high, example_1_low = (diagnose(example_1, learning_rate=rate) for rate in (0.08, 0.04))
    zigzag = diagnose(TWO, learning_rate=3.0)
    rows = [
        ("one step is not enough", f"the first step already lowers it: {ends(own)}; the second too: {ends(after_two)}",
         f"two samples at η = 3: the first step raises it, {ends(zigzag)}; smaller steps, more of them, lower it"),
        ("η = 0.1 is too large, try 0.05", f"at 0.1 {ends(own)}; at 0.05 {ends(smaller)}: less gained, nothing mended",
         f"example 1: at 0.08 {ends(example_1_high)}, at 0.04 {ends(example_1_low)}"),
        ("the network is too small", "a network may be too small to reach a low loss; that cannot make an exact small step climb",
         "it limits how low the loss gets, never which way the first small step goes"),
    ]
    return Page(facts("The document’s three reasons", ("reason", "on its own example", "where it is true"), rows),
                "\n".join(f"{reason}: {here}; {there}" for reason, here, there in rows))


def ends(found) -> str:
    return f"{board(number(found.before, 4))} → {board(number(found.after, 4))}"


def table_of_causes() -> Page:
    """How to tell the causes apart."""
    rows = (
        ("1 overshoot", "the curvature part outweighs the slope; a smaller η lowers the loss", "the loss falls for η below the threshold", "a smaller η, or a schedule"),
        ("2 another loss was read", "the trained loss falls while the read one rises", "compare label, sample, batch of both", "read what is trained"),
        ("3 wrong gradient", "the slope by trying differs from the gradient", "gradient check, parameter by parameter", "mend the gradient"),
        ("4 slip in the check", "a noted value differs from its own arithmetic", "work out each line again, all its terms", "mend the check"),
        ("5 shared weights", "some samples or classes gain, others lose more", "split the loss by sample and class", "a smaller η"),
        ("6 mini-batch", "the batch’s loss falls, the whole set’s may not", "average over batches: it falls", "larger batches, smaller η, judge over an epoch"),
        ("7 momentum, Adam", "the step is not −η times the gradient", "plain descent from the same point falls", "less momentum, a smaller η, warm-up"),
        ("8 a kink crossed", "the rest is large; units switch inside the step", "list the switches and where they lie", "a smaller η; watch for units that die"),
    )
    return Page(facts("Cause, signs, test, remedy", ("cause", "how it looks in numbers", "how to tell it from the others", "what to do"), rows),
                "\n".join(" = ".join(row[:2]) + f"; {row[2]}; {row[3]}" for row in rows))


# ---- for the curious: large networks live at the edge ------------------------------------------


SAMPLES, HIDDEN, STEPS, EVERY = 100, 16, 600, 10


def deep() -> Recipe:
    """A small network on the 8×8 digits: convolution, tanh, pooling, a hidden layer, half squared error."""
    return Recipe(
        conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "kernel_bias"), act=Tanh("conv"),
        pool=AveragePool("act"), flat=Flatten("pool"), hidden_sum=FullyConnected("flat", "hidden_weight"),
        hidden=AddBias("hidden_sum", "hidden_bias"), hidden_act=Tanh("hidden"),
        fc_sum=FullyConnected("hidden_act", "fc_weight"), output=AddBias("fc_sum", "fc_bias"),
        loss=HalfSquaredError("output", "target"),
    )


def deep_start() -> dict:
    """The digits and a seeded start of small weights."""
    digits, rng = digits_8x8(), np.random.default_rng(0)
    return {"image": digits.train_images[:SAMPLES] - 0.3, "target": np.eye(10)[digits.train_labels[:SAMPLES]],
            "kernel": rng.normal(size=(4, 1, 3, 3)) / 3, "kernel_bias": np.full(4, 0.01),
            "hidden_weight": rng.normal(size=(HIDDEN, 36)) / 6, "hidden_bias": np.zeros(HIDDEN),
            "fc_weight": rng.normal(size=(10, HIDDEN)) / 8, "fc_bias": np.zeros(10)}


DEEP = ("kernel", "kernel_bias", "hidden_weight", "hidden_bias", "fc_weight", "fc_bias")


class Run(NamedTuple):
    """A training run: the mean loss of every step, and the sharpness of the mean loss every few steps."""

    losses: tuple[float, ...]
    sharpness: tuple[float, ...]


@cache
def trained(rate) -> Run:
    """STEPS steps of plain gradient descent on the mean loss, at one learning rate."""
    forward, losses, sharp, way = deep(), [], [], None
    recipe = update(backward(forward, to=DEEP), *DEEP)
    given = deep_start() | {"learning_rate": rate / SAMPLES}  # the recorded loss is a sum: its mean's rate is SAMPLES times that
    for step in range(STEPS + 1):
        ledger = run(recipe, **given)
        losses.append(float(ledger["loss"]) / SAMPLES)
        if step % EVERY == 0:
            value, way = sharpness(forward, ledger, DEEP, start=way, most=40, accuracy=1e-3)
            sharp.append(value / SAMPLES)
        given = ledger.after()
    return Run(tuple(losses), tuple(sharp))


class Edge(Lesson):
    """Sharpness, the largest eigenvalue of the Hessian, against 2/η while a network trains."""

    title = "The edge of stability"
    reset_label = "Back to the start"
    start = {}
    rates = (("0.2", "0.2"), ("0.3", "0.3"), ("0.4", "0.4"))
    controls = (Group("Training", Choice("rate", "learning rate η (of the mean loss)", rates, "0.3"),
                      Slider("step", "step", 0, STEPS, 1, STEPS)),)

    def view(self, state):
        rate = float(state["rate"])
        found, limit = trained(rate), 2 / rate
        late = found.sharpness[len(found.sharpness) // 2:]
        rises = sum(after > before for before, after in zip(found.losses, found.losses[1:]))
        near = all(abs(each / limit - 1) < 0.25 for each in late)
        words = (f"In the second half of the training the sharpness {'stays within a quarter of' if near else 'is away from'} 2/η = "
                 f"{board(number(limit, 3))}, and the loss goes down {'though single steps raise it' if rises else 'at every step'}.")
        html = tag("div", frame("The edge of stability", words, f"step {state['step']}: loss {board(number(found.losses[state['step']], 4))}, "
                                f"sharpness {board(number(found.sharpness[state['step'] // EVERY], 4))}",
                                f"{rises} of {STEPS} steps raise the loss; it falls from {board(number(found.losses[0], 3))} to {board(number(found.losses[-1], 3))}"),
                   tag("div", *self.charts(found, limit, state["step"], rises), class_="charts"), class_="cn")
        return View(html, f"η = {state['rate']}: {words}")

    @staticmethod
    def charts(found, limit, step, rises) -> list[str]:
        ticks = [(at * EVERY, value) for at, value in enumerate(found.sharpness)]
        above = Chart(Axis("step", 0, STEPS), Axis("sharpness", 0, nice_top(1.3 * max(limit, *found.sharpness))))
        below = Chart(Axis("step", 0, STEPS), Axis("mean loss", 0, nice_top(max(found.losses))))
        now = found.sharpness[step // EVERY]
        drawings = (above.svg(f"Sharpness over the training, against 2/η = {board(number(limit, 3))}", above.curve([(0, limit), (STEPS, limit)], dash="8 6", color="#b3400a"),
                              above.curve(ticks), above.here(step, now, board(number(now, 3)))),
                    below.svg("Mean loss over the training", below.curve(enumerate(found.losses), width=2), below.here(step, found.losses[step], board(number(found.losses[step], 3)))))
        captions = (f"The dashed line is 2/η = {board(number(limit, 3))}.", "The loss rises again and again, and falls in the long run." if rises else "The loss falls at every step.")
        return [tag("figure", drawing, tag("figcaption", caption)) for drawing, caption in zip(drawings, captions)]


def edge() -> Panel:
    """The panel of the edge of stability."""
    return Panel(Edge())


def overshoot() -> Panel:
    """Cause 1."""
    return Panel(Overshoot())


def valley() -> Panel:
    """Cause 1 in two dimensions."""
    return Panel(Valley())


def misread() -> Panel:
    """Cause 2."""
    return Panel(Misread())


def wrong_gradient() -> Panel:
    """Cause 3."""
    return Panel(WrongGradient())


def slip() -> Panel:
    """Cause 4."""
    return Panel(Slip())


def sharing() -> Panel:
    """Cause 5."""
    return Panel(Sharing())


def mini_batch() -> Panel:
    """Cause 6."""
    return Panel(MiniBatch())


def carried() -> Panel:
    """Cause 7."""
    return Panel(Carried())


def kink() -> Panel:
    """Cause 8."""
    return Panel(Kink())
