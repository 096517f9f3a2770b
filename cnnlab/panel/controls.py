"""What a learner can move: a slider, a choice, a button, a drawing, and groups of them.

Each control describes itself to the browser, and reads what comes back: a value, or a ValueError whose
sentence names the control, what was given, and what it takes.
"""

import re
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
HEXADECIMAL = re.compile(r"[0-9a-f]*", re.IGNORECASE)


def read_number(text: object) -> float:
    """The number that typed text stands for: 0.5, 0,5 (decimal comma), −0.5 (any minus), 1e-3, 2/31.

    Raises ValueError for anything else, NaN and infinity and x/0 among it.
    """
    plain = str(text).translate({ord("−"): "-", ord("–"): "-", ord(","): "."})
    parts = [part.strip() for part in plain.split("/")]
    if len(parts) > 2 or not all(map(NUMBER.fullmatch, parts)):
        raise ValueError(f"{text} is not a number")
    top, bottom = map(float, [*parts, "1"][:2])
    if bottom == 0 or not isfinite(top / bottom):
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


@dataclass(frozen=True)
class Drawing:
    """A picture of gray cells that the learner draws with mouse, finger, pen or keys: white ink on black.

    Its value is `bytes`, one gray from 0 to 255 for each cell, row by row; it starts blank. A lesson makes
    it an array, and an array it, so:

        image = np.frombuffer(state["digit"], np.uint8).reshape(28, 28) / 255       # 1 is full ink
        state = {**state, "digit": (255 * image).round().astype(np.uint8).tobytes()}  # shows that picture
    """

    name: str
    label: str
    rows: int = 28
    columns: int = 28
    hint: str = ""

    def __post_init__(self):
        if not (self.rows > 0 and self.columns > 0):
            raise ValueError(f"{self} needs at least one row and one column")

    @property
    def value(self) -> bytes:
        return bytes(self.rows * self.columns)

    def read(self, given: object, bounds: None = None) -> bytes:
        """The grays that bytes, or their hexadecimal text, stand for; ValueError says how many it takes."""
        text, digits = as_text(given), 2 * self.rows * self.columns
        if len(text) != digits or not HEXADECIMAL.fullmatch(text):
            start = text if len(text) <= 12 else f"{text[:12]}…"
            raise ValueError(f"{self.label} cannot be “{start}” of length {len(text):,}: it takes {digits:,} "
                             f"hexadecimal digits, two for the gray of each of its {self.rows} × {self.columns} cells.")  # fmt: skip
        return bytes.fromhex(text)

    def describe(self) -> dict:
        return {"kind": "drawing", **asdict(self)}


Control = Slider | Choice | Button | Drawing


def as_text(value: object) -> str:
    """A control's value as the browser is told it: bytes as hexadecimal digits, all else in its own digits."""
    return value.hex() if isinstance(value, bytes) else str(value)


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
