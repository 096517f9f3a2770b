"""Train a network inside the page: watch it, stop it, break it."""

from dataclasses import dataclass, field
from functools import cache, lru_cache
from html import escape
from time import perf_counter

import numpy as np

from ..arithmetic import board, number
from ..data import digits_8x8, mnist
from ..inspection import losses
from ..machine import one_thread
from ..networks import lenet_5, small_cnn, without_activation, without_bias
from ..panel import Button, Choice, Group, Panel, Slider, View
from ..show.curves import accuracy_chart, loss_chart
from ..show.page import facts, style, tag
from ..show.picture import gallery
from ..training import Settings, Training, silent, stuck
from .base import Lesson

# Seconds of training between two looks: few at first, so that the curve moves at once; later more, as nothing is
# trained while a look is written. Stop waits for the end of a piece.
SHORTEST, LONGEST, GROWTH = 0.15, 0.8, 0.25
SHOWN = 10  # pictures of the last batch that are shown
TERMS = 4   # pictures whose losses are written out
DIGITS = {"lenet_5": mnist, "small_cnn": digits_8x8}
HIDDEN = {"lenet_5": "c5_relu", "small_cnn": "flat"}  # behind which dropout stands
ABOUT = {"lenet_5": "LeNet-5 on MNIST, 28×28", "small_cnn": "small CNN on UCI digits, 8×8"}
BREAKS = (("none", "nothing"), ("zero", "start every weight at 0"), ("bias", "leave out the biases"), ("relu", "leave out ReLU"))
RUN = Group("Run", Button("train", "▶ Train"), Button("stop", "■ Stop"), Button("one", "One step"), Button("again", "Start over"), columns=4)
# The controls above the picture, the buttons last: next to the curves that they move, in a wide window and in a narrow one.
SHEET = """
.cnnlab-columns:has(.cn.train) { grid-template-columns: minmax(0, 1fr); gap: 8px; }
.cnnlab-columns:has(.cn.train) .cnnlab-controls { position: static; grid-template-columns: repeat(auto-fit, minmax(230px, 1fr)); gap: 10px 28px; align-items: start; }
.cnnlab-columns:has(.cn.train) :is(.cnnlab-controls > fieldset:last-of-type, .cnnlab-controls > div) { grid-column: 1 / -1; }
.cnnlab-columns:has(.cn.train) .cnnlab-reset { width: auto; padding: 5px 18px; }
.cn.train .feedback { min-height: 4.2em; } .cnnlab-columns:has(.cn.broken) .cnnlab-controls { grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); }
.cn.broken .feedback { min-height: 7.2em; } .cn.train .feedback p { margin: 0 0 4px; }
.cn.train .charts figure { flex: 1 1 370px; max-width: 480px; } .cn.train svg { overflow: visible; } .cn.train .charts { padding-right: 14px; } .cn.train svg text { font-size: 18px; }
.cn.train .halves { display: flex; flex-wrap: wrap; gap: 0 24px; } .cn.train .halves > .part { flex: 1 1 450px; min-height: 550px; } .cn.train.Adam .halves > .part:first-child { min-height: 625px; }
.cn.train p.line { margin: 0; font-size: 16px; overflow-wrap: anywhere; }
@container (max-width: 760px) { .cn.train .charts figure { flex-basis: 300px; } .cn.train svg text { font-size: 22px; } .cn.train .halves > .part { min-height: 440px; } .cn.train.Adam .halves > .part:first-child { min-height: 580px; } }
"""
FRESH = {"going": False, "training": None, "seconds": 0.0}


@cache
def network_of(name, broken):
    """The network that is trained, whole or with a part left out."""
    whole = {"lenet_5": lenet_5, "small_cnn": small_cnn}[name]
    return {"bias": without_bias, "relu": without_activation}.get(broken, lambda same: same)(whole)


@lru_cache(maxsize=2)
def before_the_first_step(name, broken, settings) -> Training:
    """A run to look at, never to be advanced."""
    return Training(network_of(name, broken), DIGITS[name](), settings)


class Run(Lesson):
    """A run that the learner starts, watches and stops. It trains in short pieces, one for each tick of the page.

    A state holds the run itself, which a tick takes further: it is the one thing in a state that changes. Subclasses
    say by `asked` which run their controls describe.
    """

    reset_label = "Back to the first settings"
    style = style() + SHEET
    kind = "whole"
    start = FRESH

    def asked(self, state) -> tuple[str, str, Settings]:
        """(network, what is broken in it, settings) of the run that the controls describe."""
        raise NotImplementedError

    def fresh(self, state) -> Training:
        """That run, before its first step."""
        name, broken, settings = self.asked(state)
        return Training(network_of(name, broken), DIGITS[name](), settings)

    def change(self, state, name, value):
        if state["training"] is not None and state["training"].step and state[name] != value:
            raise ValueError("This run keeps the settings it began with. Press “Start over”, then change them.")
        return {**state, name: value} if state[name] == value else {**state, **FRESH, name: value}

    def press(self, state, name):
        if name == "stop":
            return {**state, "going": False}
        if name == "again":
            return {**state, **FRESH}
        if name not in ("train", "one"):
            return super().press(state, name)
        training = state["training"] or self.fresh(state)
        if training.finished:
            raise ValueError("This run is over. Press “Start over” for another.")
        if name == "one":
            return self.after_a_piece({**state, "training": training}, 0)
        return {**state, "training": training, "going": True}

    def running(self, state):
        return state["going"]

    def tick(self, state):
        return self.after_a_piece(state, min(LONGEST, max(SHORTEST, GROWTH * state["seconds"])))

    def after_a_piece(self, state, length):
        """One step, and more of them for `length` seconds."""
        training, begun = state["training"], perf_counter()
        with one_thread():
            while training.advance() and perf_counter() - begun < length:
                pass
        seconds = state["seconds"] + perf_counter() - begun
        return {**state, "going": length > 0 and not training.finished, "seconds": seconds}

    # What it looks like

    def view(self, state):
        training = state["training"] or before_the_first_step(*self.asked(state))
        html = tag("div", headline(training, state), tag("div", self.verdict(training, state), class_="feedback"),
                   tag("div", loss_chart(training), accuracy_chart(training), class_="charts"),
                   *self.more(training, state), tag("div", numbers(training), pictures(training), class_="halves"), class_=f"cn train {self.kind} {training.settings.optimizer}")
        return View(html, line(training))

    def more(self, training, state) -> list[str]:
        return []

    def verdict(self, training, state) -> str:
        """Where the run stands, and why it ended if it did before its time."""
        if training.stopped:
            why = training.stopped.partition(";")[0].rstrip(".")  # and not every unit that died
            return tag("p", tag("strong", escape(f"{why[0].upper()}{why[1:]}.")))
        if training.finished:
            tests = len(training.digits.test_labels)
            return tag("p", tag("strong", f"Done: {round(tests * training.epochs[-1].test_accuracy)} of the {tests:,} test pictures are read rightly, "
                                          f"{percent(training.epochs[-1].test_accuracy)}."))
        if state["going"]:
            return tag("p", "It trains. “■ Stop” ends it within a second; what was learned is kept.")
        if training.step:
            return tag("p", tag("strong", f"Stopped after step {training.step:,}."), " What was learned so far is kept: “▶ Train” goes on from here.")
        return tag("p", "Nothing is learned yet: the weights are random, the biases 0." if training.settings.start != "zero"
                   else "Nothing is learned yet: every weight is 0.")


class Train(Run):
    """A run with settings of the learner's choice."""

    controls = (
        Group("What is trained",
              Choice("network", "Network and digits", tuple(ABOUT.items()), "lenet_5"),
              Choice("broken", "Break it", BREAKS, "none")),
        Group("How",
              Slider("learning_rate", "learning rate η", 0.0, 2.0, 0.01, 0.02),
              Slider("epochs", "epochs", 1, 40, 1, 8),
              Slider("batch", "pictures in a batch", 4, 128, 4, 32),
              Slider("seed", "seed", 0, 99, 1, 1)),
        Group("And",
              Choice("optimizer", "Optimizer", tuple((name, name) for name in ("momentum", "gradient descent", "Adam")), "momentum"),
              Choice("schedule", "η over the run", (("cosine", "falls to 0 (cosine)"), ("constant", "constant")), "cosine"),
              Choice("dropout", "Dropout before the last layers", (("none", "none"), ("half", "half of the cells")), "none")),
        RUN)

    def __init__(self, title="Train it", **first):
        known = {control.name: control for group in self.controls for control in group.controls if not isinstance(control, Button)}
        if unknown := sorted(set(first) - set(known)):
            raise ValueError(f"train: there is no setting {', '.join(unknown)}; there are {', '.join(known)}")
        self.title, self.start = title, {**FRESH, **{name: known[name].read(value) for name, value in first.items()}}

    def asked(self, state):
        dropout = ((HIDDEN[state["network"]], 0.5),) if state["dropout"] == "half" else ()
        settings = Settings(start="zero" if state["broken"] == "zero" else "Kaiming", dropout=dropout, **{
            name: state[name] for name in ("epochs", "batch", "learning_rate", "optimizer", "schedule", "seed")})
        return state["network"], state["broken"], settings


# ---- breaking it ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Break:
    """What is done to LeNet-5 on purpose, and what that teaches once it was seen."""

    label: str
    broken: str = "none"
    settings: dict = field(default_factory=dict)
    lesson: str = ""


SHORT = {"epochs": 3, "schedule": "cosine", "seed": 1, "learning_rate": 0.02}
BROKEN = {
    "none": Break("nothing", lesson="The run to compare the others with."),
    "five": Break("η = 5", settings={"learning_rate": 5.0}, lesson="The loss grows tenfold, and the run is stopped: the diagnosis names the step that was too long."),
    "one": Break("η = 1", settings={"learning_rate": 1.0}, lesson="No explosion: the long first steps switch units off for every picture, and what is off gets no gradient. Only the last biases still learn, as with the start at 0; so the loss stays near ln 10 ≈ 2.3026."),
    "zero": Break("weights start at 0", settings={"start": "zero"}, lesson="Every gradient but that of the last biases is 0, and stays 0. Ten biases can only learn how frequent each digit is."),
    "bias": Break("no biases", "bias", lesson="Digits do not need them much: the paper around a digit is 0, and brightness does not tell one digit from another."),
    "relu": Break("no ReLU", "relu", lesson="It still learns, as max-pooling bends too. Without both, one matrix would do the work of all five layers."),
}
OUTCOMES = {"reads": "it learns to read", "some": "it learns something", "nothing": "it learns nothing", "away": "its loss runs away"}
MEANT = {"reads": "more than 9 of 10 right", "some": "2 to 9 of 10 right", "nothing": "about 1 of 10 right", "away": "the run is stopped"}


class BreakIt(Run):
    """LeNet-5 with one thing broken; the learner predicts the outcome, then trains. The table keeps all that was tried."""

    title = "Break it"
    kind = "broken"
    reset_label = "Forget all runs"
    start = {**FRESH, "tried": {}}
    controls = (
        Group("Break one thing", Choice("broken", "What is broken", tuple((name, each.label) for name, each in BROKEN.items()), "zero")),
        Group("Predict first", Choice("guess", "What will become of it?",
                                               (("none", "I have not decided yet"), *((name, f"{words}: {MEANT[name]}") for name, words in OUTCOMES.items())), "none")),
        RUN)

    def asked(self, state):
        chosen = BROKEN[state["broken"]]
        return "lenet_5", chosen.broken, Settings(**SHORT | chosen.settings)

    def change(self, state, name, value):
        """Another break asks for another prediction."""
        changed = super().change(state, name, value)
        return {**changed, "guess": "none"} if name == "broken" and state[name] != value else changed

    def press(self, state, name):
        if name in ("train", "one") and state["guess"] == "none":
            raise ValueError("Predict first, at the left: what will become of it? A guess is welcome.")
        pressed = super().press(state, name)
        return {**pressed, "guess": "none"} if name == "again" else pressed

    def after_a_piece(self, state, length):
        after = super().after_a_piece(state, length)
        training = after["training"]
        if not training.finished:
            return after
        return {**after, "tried": {**state["tried"], state["broken"]: told(training, state["guess"])}}

    def verdict(self, training, state):
        if not training.finished:
            if training.step == 0 and state["guess"] == "none":
                return tag("p", "Choose what to break, predict, then press “▶ Train”: 3 epochs, which take a second or two.")
            return super().verdict(training, state)
        mark = "✓ As you predicted:" if outcome(training) == state["guess"] else "✗ Not as you predicted:"
        return tag("p", tag("strong", f"{mark} {OUTCOMES[outcome(training)]}."), " ", escape(BROKEN[state["broken"]].lesson)) + \
            (super().verdict(training, state) if training.stopped else "")

    def more(self, training, state):
        rows = [(each.label, *state["tried"].get(name, ("…", "", "", "", ""))) for name, each in BROKEN.items()]
        return [facts("What you have tried", ("broken", "you said", "what came", "right in the test", "last loss", "F6 off"), rows)]


def outcome(training) -> str:
    """Which of OUTCOMES a run that is over came to."""
    if training.stopped:
        return "away"
    right = training.epochs[-1].test_accuracy
    return "reads" if right > 0.9 else "some" if right > 0.2 else "nothing"


def told(training, guess) -> tuple:
    """What the table keeps of a run: words, no arrays."""
    right = "stopped" if training.stopped else percent(training.epochs[-1].test_accuracy)
    said, came = (OUTCOMES[each].partition(" ")[2] for each in (guess, outcome(training)))
    return said, came, right, board(number(training.losses[-1], 4)), switched_off(training).get("f6_relu", "no ReLU")


# ---- what is shown of a run ----------------------------------------------------------------


def percent(share) -> str:
    return f"{board(number(round(100 * share, 1)))} %"


def line(training) -> str:
    """The arithmetic of the run's length before it begins, then that of one number of its last step."""
    if not training.step:
        count, settings = len(training.examples[0]), training.settings
        return (f"{count:,} pictures, {settings.batch} at a time: {training.steps_in_epoch} steps an epoch; "
                f"{training.steps_in_epoch}×{settings.epochs} = {training.steps}")
    name, index = followed(training)
    return f"step {training.step}: {training.ledger.explain(f'new_{name}', index)}"


def headline(training, state) -> str:
    """How far the run is, and how fast."""
    done = f"Step {training.step:,} of {training.steps:,}, epoch {min(len(training.epochs) + 1, training.settings.epochs)} of {training.settings.epochs}"
    if state["seconds"]:
        pictures = training.step * training.settings.batch
        done += f" · {state['seconds']:.1f} s of training, {round(pictures / state['seconds'], -2):,.0f} pictures a second"
    return tag("p", escape(done), class_="stage")


def numbers(training) -> str:
    """The worked lines of the last step: the loss of its batch, one gradient, what the optimizer makes of it, one update."""
    head = tag("p", "The last step, by its numbers", class_="stage")
    if not training.step:
        return tag("div", head, tag("p", "Press “▶ Train”, or make “One step” and read its numbers.", class_="line"), class_="part")
    (name, index), ledger = followed(training), training.ledger
    lines = (f"d_{name}", *between(ledger, name), f"new_{name}")
    said = [batch_loss(training), *(str(ledger.explain(each, index)) for each in lines), *off_in_words(training)]
    return tag("div", head, *(tag("p", escape(each), class_="line") for each in said), class_="part")


def between(ledger, name) -> list[str]:
    """The lines that lead from a parameter's gradient to its update: a velocity, Adam's averages, or none."""
    return [each for each in ledger.recipe.names if each.startswith((f"new_{name}_", f"{name}_"))]


def followed(training) -> tuple[str, tuple]:
    """(parameter, cell) whose change is written out: of the last bias, or of the last weight where there are no biases."""
    name = training.network.parameters[-1]
    return name, (0,) * len(training.network.shapes[name])


def batch_loss(training) -> str:
    """The loss as the mean over the batch's pictures."""
    each = picture_losses(training.ledger)
    shown = " + ".join(board(number(value, 4)) for value in each[:TERMS])
    rest = f" + … ({len(each) - TERMS} more)" if len(each) > TERMS else ""
    return f"loss = ({shown}{rest})/{len(each)} ≈ {board(number(training.ledger['loss'], 6))}"


def picture_losses(ledger) -> np.ndarray:
    """−ln of the true class's probability, for every picture of a step."""
    return losses(np.asarray(ledger["logits"], float), np.asarray(ledger["label"], int))


def switched_off(training) -> dict[str, str]:
    """How many of each ReLU's maps or units are off for every picture of the last batch: `{"f6_relu": "10 of 84"}`."""
    return {name: f"{len(units)} of {training.ledger[name].shape[1]}" for name, units in silent(training.ledger).items()}


def off_in_words(training) -> list[str]:
    """Which units are off, and which parameters get no gradient, where there are such."""
    found = ", ".join(f"{name.removesuffix('_relu').upper()} {count}" for name, count in switched_off(training).items())
    still = ", ".join(stuck(training.ledger, training.network.parameters))
    return [f"Maps and units that ReLU switches off for every picture of this batch: {found}."] * bool(found) + \
        [f"Parameters that no gradient reaches in this step: {still}."] * bool(still)


def pictures(training) -> str:
    """The first layer's kernels as they are now, and the last batch with what the network said to it."""
    kernels = training.state["c1_kernel"]
    drawn = gallery([kernel[0] for kernel in kernels], [f"kernel {at}" for at in range(len(kernels))], signed=True, title="kernels of C1",
                    scale=14 if kernels.shape[-1] > 3 else 16)
    shown = [tag("p", "The kernels of C1 as they are now", class_="stage"), drawn]
    if training.step:
        ledger = training.ledger
        images, labels, answers = (ledger["image"][:SHOWN, 0], ledger["label"][:SHOWN].astype(int), ledger["logits"][:SHOWN].argmax(axis=1))
        captions = [f"{label}" if label == answer else f"{label}, not {answer}" for label, answer in zip(labels, answers)]
        shown += [tag("p", "The last batch: each label, and where the answer before the step was wrong, that answer", class_="stage"),
                  gallery(list(images), captions, low=0, high=1, title="pictures of the last batch", scale=2 if images.shape[-1] > 8 else 7)]
    return tag("div", *shown, class_="part")


def train(**first) -> Panel:
    """The training panel; `first` are settings to begin with, by the names of its controls."""
    return Panel(Train(**first))


def break_it() -> Panel:
    """The panel of the broken runs."""
    return Panel(BreakIt())
