"""An operation's formula in a recipe's own names: `conv_sum[i,j] = sum over u, v of image[i + u, j + v]×kernel[u,v]`."""

import re
from itertools import cycle

import numpy as np

from ..ops import AddBias, BiasGradient, Total, WeightGradient
from ..ops.base import pair

WORD = re.compile(r"\b[A-Za-z_]\w*")
FIELDS = {"d_out": "d_output", "d_p": "d_output", "z": "logits", "s": "sigmoid", "t": "tanh", "gradient": "d_old"}


def formula(line, ledger) -> str:
    """The formula of the line's operation, with this ledger's names, settings and axes."""
    text = type(line.operation).formula()
    for letter in absent(line.operation, [np.shape(ledger[name]) for name in line.operation.inputs]):
        text = without(text, letter)
    text = renamed(with_settings(text, line.operation), line)
    return on_the_board(for_one_image(text) if images(line.operation, ledger) == 1 else text)


def renamed(text, line) -> str:
    """The line's name on the left, and on the right the names of what it reads."""
    left, equals, right = text.partition(" = ")
    return re.sub(r"^\w+", line.name, left) + equals + WORD.sub(lambda word: name_for(word[0], line.operation), right)


def name_for(word, operation) -> str:
    """What a word of the formula is called in the recipe: the docstrings write z for `logits`, d_out for `d_output`."""
    value = getattr(operation, FIELDS.get(word, word), None)
    return value if value in operation.inputs else word


def with_settings(text, operation) -> str:
    """Stride and padding as numbers, and left out where they change nothing.

    Each stands twice in a formula: with the row first, then with the column.
    """
    stride = getattr(operation, "stride", 1)
    steps = cycle(pair(operation.size if stride is None else stride, "stride", 1))
    pads = cycle(pair(getattr(operation, "padding", 0), "padding", 0))
    text = re.sub(r"\*stride", lambda _: "" if (step := next(steps)) == 1 else f"*{step}", text)
    return re.sub(r" ([-+]) padding", lambda sign: f" {sign[1]} {pad}" if (pad := next(pads)) else "", text)


def absent(operation, shapes) -> str:
    """The letters of the formula whose axis is not there, or has one cell: n image, c channel, o kernel, i, j place."""
    if hasattr(operation, "kernel"):
        at = dict(zip(operation.inputs, shapes))
        return absent_in_convolution(at[operation.image], at[operation.kernel])
    if isinstance(operation, (AddBias, BiasGradient)):
        values, bias = shapes
        flat = len(values) < 3 and bias != ()
        return "c" * (bias == ()) + "ij" * flat + "n" * (len(values) not in (2, 4) or bias == ())
    return "n" * (isinstance(operation, (Total, WeightGradient)) and len(shapes[0]) == 1)


def absent_in_convolution(image, kernel) -> str:
    sizes = {"n": (*image[-4:-3], 1)[0], "c": (*kernel[-3:-2], 1)[0], "o": (*kernel[-4:-3], 1)[0]}
    return "".join(letter for letter, size in sizes.items() if size == 1)


def without(text, letter) -> str:
    """The text without one index letter, in sums and in brackets."""
    for pattern in (rf"\b{letter},\s*", rf",\s*{letter}\b", rf"\[{letter}\]", rf"sum over {letter} of "):
        text = re.sub(pattern, "", text)
    return text


def images(operation, ledger) -> int:
    """Over how many images a loss is a mean."""
    return np.size(ledger[operation.label]) if hasattr(operation, "label") else 0


def for_one_image(text) -> str:
    """A mean over one image is that image's own value."""
    text = text.replace(", the mean over the images", "").replace(" / N", "").replace(" * N", "")
    return re.sub(r"\(([\w.]+\[k\](?: - y\[k\])?)\)", r"\1", text)


def on_the_board(text) -> str:
    text = re.sub(r"\*\*([a-z]\w*)", r"^\1", text.replace("**2", "²"))
    return text.replace(" * ", "×").replace("*", "×").replace("-", "−")
