"""A trained run to look into: the shipped one or the learner's own, and what every panel about it shares."""

from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from html import escape
from typing import NamedTuple

import numpy as np

from .. import inspection
from ..arithmetic import board, number
from ..data import mnist
from ..ledger import Ledger
from ..networks import lenet_5
from ..panel import Drawing, Group, Slider
from ..places import data_file
from ..show.page import style, tag
from ..show.picture import gallery
from ..training import Training
from .base import Lesson

SIDE = 28
DIGITS = 4  # significant digits that are printed: beyond the sixth, another machine's matrix products may differ
FEATURES = "f6_relu"
NEEDED = ("c1_relu", "s2", "c3_relu", "s4", FEATURES, "logits")  # the lines that the panels show


@cache
def shipped_run() -> Training:
    """LeNet-5, trained for 20 epochs on the 4,000 digits; made by `python -m tests.store_run`."""
    return Training.load(data_file("lenet_5_run.npz"), lenet_5, mnist())


def look_at(training=None) -> "Look":
    """What there is to see in a run, the shipped one if none is given. Raises ValueError for a run of another network."""
    training = training or shipped_run()
    return looked_at(training, training.step)


@lru_cache(maxsize=3)
def looked_at(training, step) -> "Look":
    missing = [name for name in NEEDED if name not in training.network.forward.names]
    if missing or training.network.picture != (1, SIDE, SIDE) or "c1_kernel" not in training.network.shapes:
        raise ValueError(f"these panels look into LeNet-5 with ReLU and 28×28 pictures; {training.network.title} "
                         f"has {'no line ' + ', '.join(missing) if missing else f'pictures {training.network.picture}'}")
    return Look(training)


class Moment(NamedTuple):
    """The first layer at one time: before step number `step`, counted from 0."""

    step: int
    kernels: np.ndarray  # (O, 5, 5)
    biases: np.ndarray   # (O,)


class Look:
    """A run as it is now: its parameters, its answers to the test part, its kernels over time."""

    def __init__(self, training):
        self.training, self.network, self.digits = training, training.network, training.digits
        self.parameters = dict(training.parameters)

    @cached_property
    def judgement(self) -> inspection.Judgement:
        return inspection.judge(self.network, self.parameters, self.digits.test_images, self.digits.test_labels)

    @cached_property
    def features(self) -> np.ndarray:
        """What the last layer reads, for every training picture."""
        return inspection.features(self.network, self.parameters, self.digits.train_images, FEATURES)

    @cached_property
    def moments(self) -> tuple[Moment, ...]:
        """The first layer at every time that the run recorded, and at its end; else at its start and its end."""
        recorder, kept = self.training.recorder, ("c1_kernel", "c1_bias")
        entries = recorder.entries if set(kept) <= set(recorder.lines) else []
        if not entries:
            settings = self.training.settings
            entries = [(0, self.network.start(settings.seed, settings.start))]
        entries = [each for each in entries if each[0] < self.training.step] + [(self.training.step, self.parameters)]
        return tuple(Moment(step, np.asarray(values["c1_kernel"])[:, 0], biases(values)) for step, values in entries)

    @cached_property
    def changes(self) -> np.ndarray:
        """How far each kernel is from its start, at every moment: the root of the sum of squared differences, (moments, O)."""
        kernels = np.array([moment.kernels for moment in self.moments], float)
        return np.sqrt(((kernels - kernels[0]) ** 2).sum(axis=(2, 3)))

    def label(self, digit, index):
        """The label of a test picture, None for anything else on the canvas."""
        return int(self.digits.test_labels[index]) if digit == ink_of(self, index) else None


def biases(values) -> np.ndarray:
    return np.asarray(values.get("c1_bias", np.zeros(len(values["c1_kernel"]))))


@dataclass(frozen=True, eq=False)
class Seen:
    """One picture and all that the network makes of it."""

    image: np.ndarray  # (28, 28), as the network gets it
    ledger: Ledger

    @property
    def p(self) -> np.ndarray:
        return self.ledger["p"][0]

    @property
    def answer(self) -> int:
        return int(self.p.argmax())


@lru_cache(maxsize=64)
def seen(look, digit) -> Seen:
    """What the network makes of a canvas."""
    image = prepared(digit)
    return Seen(image, inspection.look(look.network, look.parameters, image))


def prepared(digit) -> np.ndarray:
    """What the network gets of a canvas: the ink as large and as central as in MNIST. An empty one stays empty."""
    ink = np.frombuffer(digit, np.uint8).reshape(SIDE, SIDE) / np.float32(255)
    return inspection.centred(ink).astype(np.float32) if ink.any() else ink


@lru_cache(maxsize=64)
def ink_of(look, index) -> bytes:
    """A test picture as a canvas holds it."""
    return (255 * look.digits.test_images[index, 0]).round().astype(np.uint8).tobytes()


class OnAPicture(Lesson):
    """A lesson about one picture, taken from the test part or drawn by the learner."""

    reset_label = "Back to the first picture"
    first = 0  # of the test pictures
    style = f"{style()} .cn.looked {{ min-height: 480px; }}"

    def __init__(self, training=None):
        self.look = look_at(training)

    @cached_property
    def picture_controls(self) -> Group:
        last = len(self.look.digits.test_labels) - 1
        return Group("The picture", Drawing("digit", "Draw a digit", SIDE, SIDE),
                     Slider("index", "or take test picture", 0, last, 1, self.first))

    @property
    def start(self):
        return {"digit": ink_of(self.look, self.first)}

    def change(self, state, name, value):
        """A test picture is laid on the canvas, where one may draw on."""
        changed = {**state, name: value}
        return {**changed, "digit": ink_of(self.look, value)} if name == "index" else changed

    def said(self, state) -> str:
        """What the network answers, in words."""
        found, label = seen(self.look, state["digit"]), self.look.label(state["digit"], state["index"])
        what = "Your drawing" if label is None else f"Test picture {state['index']} (a {label})"
        if not any(state["digit"]):
            what = "An empty picture"
        verdict = "" if label is None else " ✓" if label == found.answer else " ✗"
        return f"{what}: answer {found.answer}, p ≈ {shown(found.p[found.answer])}{verdict}"


# ---- pieces of pictures --------------------------------------------------------------------


def shown(value, digits=DIGITS) -> str:
    return board(number(value, digits))


def fixed(value, places=2) -> str:
    """A number with so many decimals, as cells of a table have."""
    return board(f"{round(float(value), places) + 0.0:.{places}f}")


def stage(words) -> str:
    return tag("p", escape(words), class_="stage")


def bars(p, sets=None) -> str:
    """Ten probabilities as bars, each with its number above and its digit below; the largest is bold."""
    top = int(np.argmax(p))
    each = [tag("span", tag("span", short(value), class_="p"), f'<i style="height:{60 * float(value) + 1:.0f}px"></i>',
                tag("b", str(digit)), class_="bar most" if digit == top else "bar", data_set=f"{sets}={digit}" if sets else "")
            for digit, value in enumerate(p)]
    return tag("div", *each, class_="bars")


def short(value) -> str:
    return "≈ 0" if value < 0.0005 else f"{value:.3f}"


def compact(table) -> str:
    """A table with many columns, which scrolls where the page is narrow."""
    return tag("div", table, class_="compact")


def pressable(arrays, presses, **how) -> str:
    """A gallery in which a click on a picture presses what `presses` says for it."""
    return gallery(arrays, sets=[f"press {each}" for each in presses], **how).replace('data-set="press ', 'data-press="')


@lru_cache(maxsize=32)
def cells_to_press(rows, columns, side) -> str:
    """An invisible grid to lay over a picture: a click on a cell presses `at row column`."""
    cells = "".join(f'<i data-press="at {row} {column}"></i>' for row in range(rows) for column in range(columns))
    return f'<span class="hits" style="grid:repeat({rows},{side}px)/repeat({columns},{side}px)">{cells}</span>'


def over(figure, cells) -> str:
    """The figure of a picture with such a grid over it."""
    inside = '<span class="cells">'
    return figure.replace(inside, inside + cells, 1)


def page_line(explanation) -> str:
    """A worked line on one line, whatever it explains."""
    return " ".join(str(explanation).split())
