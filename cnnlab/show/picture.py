"""Arrays as pictures: pure functions from numbers to HTML, fast enough to be redrawn while somebody draws.

A picture is a PNG of one pixel a cell, which the browser enlarges without smoothing. It is written by hand and
not compressed, so that the same numbers give the same bytes with every version of every library.
"""

import struct
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from html import escape
from zlib import adler32, crc32

import numpy as np

from ..arithmetic import board, number
from .board import tint
from .page import tag

ACROSS, ACROSS_OF_MANY = 112, 84  # how wide a picture is drawn, about, in CSS pixels, where no scale is asked for
BLOCK = 65_535  # bytes in one stored block of a zlib stream, at most
# Below zero blue, above it orange: told apart with any colour vision, and darker on both sides the further from zero.
DIVERGING = ((-1, (20, 75, 150)), (-0.5, (125, 178, 226)), (0, (255, 255, 255)), (0.5, (236, 158, 76)), (1, (146, 66, 0)))
INK, CLEAR = 0.5, 0.8  # how much light an overlay's ink takes away, and how much less it takes where the colour is full


def picture(array, low=None, high=None, signed=False, scale=None, caption="", title="", box=None, legend=True) -> str:
    """One array (rows, columns) as a picture: `low` black and `high` white; signed, -bound blue, 0 white, bound orange.

    Black is 0, or the smallest number where some are below it, and white is the largest; signed, the bound is the
    largest size of a number. Cells beyond `low` and `high` are drawn as those. `scale` is the side of a cell in CSS
    pixels, `caption` stands below, `title` is the text alternative, `box` a pair of slices to set a frame around,
    and the legend says the numbers at both ends. Raises ValueError for what is empty, not finite, or no such array.
    """
    array = checked(array)
    colours = scale_of([array], low, high, signed)
    return figure(array, colours.pixels(array), scale or fitting([array], ACROSS), caption, title, box, legend=colours.legend() if legend else "")


def gallery(arrays, captions=(), columns=None, low=None, high=None, signed=False, scale=None, title="", shared=True,
            boxes=(), sets=()) -> str:
    """Pictures side by side, all on one scale with one legend; each on its own, with its own legend, if not `shared`.

    Wraps where the page ends, or after so many `columns`. `captions` and `boxes` are one for each picture. With `sets`,
    such as "digit=3" for each, a click on a picture moves that control of a panel. Raises ValueError as `picture` does.
    """
    arrays = [checked(array) for array in arrays]
    if not arrays:
        raise ValueError("a gallery of no pictures: give at least one array (rows, columns)")
    captions, boxes, sets = (for_each(arrays, *given) for given in (("captions", captions), ("boxes", boxes), ("sets", sets)))
    one = scale_of(arrays, low, high, signed)
    own = [one if shared else scale_of([array], low, high, signed) for array in arrays]
    side = scale or fitting(arrays, ACROSS_OF_MANY)
    shown = [figure(array, colours.pixels(array), side, caption, f"{title} {at}".strip(), box, set_, "" if shared else colours.legend())
             for at, (array, colours, caption, box, set_) in enumerate(zip(arrays, own, captions, boxes, sets))]
    grid = f"display:grid;grid-template-columns:repeat({int(columns)},max-content)" if columns else None
    return tag("div", tag("div", *shown, class_="pictures", style=grid), one.legend() if shared else "", class_="gallery")


def overlay(image, saliency, bound=None, scale=None, caption="", title="", box=None, legend=True) -> str:
    """What mattered, over the picture: the saliency's colour, grayer where the image has ink.

    Both (rows, columns); the image's cells are from 0 to 1. Blue below zero, orange above, as in `picture(…, signed=True)`.
    """
    image, saliency = checked(image), checked(saliency)
    if image.shape != saliency.shape:
        raise ValueError(f"a saliency {saliency.shape} does not lie over an image {image.shape}")
    colours = scale_of([saliency], None, bound, True)
    full = np.clip(np.abs(saliency) / (colours.high or 1), 0, 1)
    light = 1 - INK * np.clip(image, 0, 1) * (1 - CLEAR * full)  # else the ink would hide what lies on it
    pixels = (colours.pixels(saliency) * light[:, :, None] + 0.5).astype(np.uint8)
    return figure(saliency, pixels, scale or fitting([image], ACROSS), caption, title, box, legend=colours.legend() if legend else "")


def matrix(counts, caption="Confusion matrix", names=None) -> str:
    """counts[true class, answer] as a table: a row for each true class, a column for each answer, and totals.

    Right answers lie on the diagonal, bluer the larger their part of the row; mistakes are orange, darker the more
    there are. Raises ValueError for what is no square of counts.
    """
    counts = checked(counts)
    if counts.shape[0] != counts.shape[1] or (counts < 0).any() or (counts % 1).any():
        raise ValueError(f"counts {counts.shape} from {counts.min():g} to {counts.max():g}: give whole numbers (classes, classes)")
    counts = counts.astype(int)
    names = for_each(counts, "names", range(len(counts)) if names is None else names)
    most = int((counts - np.diag(np.diag(counts))).max())
    head = tag("tr", *(tag("th", escape(str(name)), scope="col") for name in ("true ↓ answer →", *names, "total")))
    rows = [tag("tr", tag("th", escape(str(name)), scope="row"), *(how_often(row, true, answer, most) for answer in range(len(row))),
                total(row.sum())) for true, (name, row) in enumerate(zip(names, counts))]
    foot = tag("tr", tag("th", "total", scope="row"), *map(total, counts.sum(axis=0)), total(counts.sum()))
    words = f"{escape(caption)}: {np.trace(counts)} of {counts.sum()} right"
    return tag("table", tag("caption", words), tag("thead", head), tag("tbody", *rows), tag("tfoot", foot), class_="confusion")


def how_often(row, true, answer, most) -> str:
    """One cell of the confusion matrix: how often pictures of this true class got this answer."""
    times = int(row[answer])
    if true == answer:
        return f'<td class="right" style="background:{tint(-times, int(row.sum()))}">{times}</td>'
    return f'<td style="background:{tint(times, most)}">{times}</td>' if times else '<td class="none">0</td>'


def total(count) -> str:
    return f'<td class="total">{count}</td>'


# ---- what is drawn, checked ----------------------------------------------------------------


def checked(array) -> np.ndarray:
    """The array in float64. Raises ValueError where it cannot be a picture."""
    try:
        array = np.asarray(array, float)
    except (TypeError, ValueError):
        raise ValueError(f"{array!r:.80} is no picture: give an array of numbers (rows, columns)") from None
    if array.ndim != 2 or not array.size:
        raise ValueError(f"an array {array.shape} is no picture: give (rows, columns), at least one of each")
    if not np.isfinite(array).all():
        row, column = map(int, np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"cell [{row},{column}] is {array[row, column]}: a picture has finite numbers")
    return array


def for_each(pictures, name, given):
    """What is given for each picture; an empty text for each where nothing is."""
    if len(given) not in (0, len(pictures)):
        raise ValueError(f"{len(given)} {name} for {len(pictures)}: give one for each, or none")
    return given if len(given) else [""] * len(pictures)


def fitting(arrays, across) -> int:
    """The side of a cell in whole CSS pixels with which the largest picture is about so wide."""
    return max(1, round(across / max(max(array.shape) for array in arrays)))


# ---- from numbers to colours ---------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """Which number has which colour: black to white, or, signed, blue through white to orange, the same both ways."""

    low: float
    high: float
    signed: bool

    def pixels(self, array) -> np.ndarray:
        """Bytes (rows, columns) of gray, or (rows, columns, 3) of colour. A scale of one number only is at its low end, or white."""
        length = self.high if self.signed else self.high - self.low
        part = np.clip(array, self.low, self.high)
        part = (part if self.signed else part - self.low) / (length or 1)
        return diverging()[np.rint(part * 127).astype(int) + 127] if self.signed else np.rint(part * 255).astype(np.uint8)

    def legend(self) -> str:
        """A strip of the colours between the numbers at both ends."""
        ends = (tag("span", board(number(end, 3))) for end in (self.low, self.high))
        middle = '<span class="zero">0</span>' if self.signed and self.high else ""
        strip = f'<span class="strip"><img alt="to" src="{strip_of(self.signed)}" style="width:100%;height:12px">{middle}</span>'
        return tag("span", strip.join(ends), class_="scale")


def scale_of(arrays, low, high, signed) -> Scale:
    """The scale that fits all arrays. Raises ValueError for ends that make none."""
    if not all(end is None or np.isfinite(end) for end in (low, high)):
        raise ValueError(f"low {low} and high {high}: the ends of a scale are finite")
    if signed:
        given = [abs(end) for end in (low, high) if end is not None]
        bound = float(max(given or [max(array.max(), -array.min()) for array in arrays]))
        return Scale(-bound, bound, True)
    bottom = min(0.0, *(array.min() for array in arrays)) if low is None else low
    top = max(bottom, *(array.max() for array in arrays)) if high is None else high
    if top < bottom or low is not None and low == high:
        raise ValueError(f"low {bottom:g} is not below high {top:g}")
    return Scale(float(bottom), float(top), False)


@cache
def diverging() -> np.ndarray:
    """The colours from -1 to 1 in (255, 3) bytes; the middle one, at 0, is white."""
    at, stops = zip(*DIVERGING)
    return np.stack([np.interp(np.linspace(-1, 1, 255), at, channel) for channel in zip(*stops)], axis=1).round().astype(np.uint8)


@cache
def strip_of(signed) -> str:
    """The whole scale as one row of pixels."""
    return address(Scale(-1 if signed else 0, 1, signed).pixels(np.linspace(-1 if signed else 0, 1, 64)[None]))


# ---- from colours to HTML ------------------------------------------------------------------


def figure(array, pixels, side, caption, title, box, sets="", legend="") -> str:
    """The pixels as an image of a fixed size, with what stands below it."""
    rows, columns = array.shape
    words = f"{title or caption or 'picture'}: {rows}×{columns} cells from {board(number(array.min(), 3))} to {board(number(array.max(), 3))}"
    image = (f'<img alt="{escape(words)}" src="{address(pixels)}" '
             f'style="width:{columns * side:g}px;height:{rows * side:g}px">')
    frame = around(box, array.shape, side) if box else ""
    below = f"<figcaption>{escape(str(caption))}</figcaption>" if caption != "" else ""
    jump = f' data-set="{escape(sets)}"' if sets else ""
    return f'<figure class="picture"{jump}><span class="cells">{image}{frame}</span>{below}{legend}</figure>'


def around(box, shape, side) -> str:
    """A frame around the cells of a pair of slices."""
    (top, bottom, _), (left, right, _) = (part.indices(length) for part, length in zip(box, shape))
    return (f'<span class="box" style="left:{left * side:g}px;top:{top * side:g}px;'
            f'width:{(right - left) * side:g}px;height:{(bottom - top) * side:g}px"></span>')


def address(pixels) -> str:
    """The pixels as a PNG inside its own address."""
    return f"data:image/png;base64,{b64encode(png(pixels)).decode('ascii')}"


def png(pixels) -> bytes:
    """A PNG of bytes (rows, columns), gray, or (rows, columns, 3), red, green and blue; stored, not compressed.

    Source: W3C, Portable Network Graphics, sections 5, 10 and 11.2; RFC 1950 and RFC 1951 for the stored blocks.
    """
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + pixels[0].size), np.uint8)  # a line starts with its filter: 0, none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">2I5B", width, height, 8, 2 if pixels.ndim == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", stored(lines.tobytes())) + chunk(b"IEND", b"")


def chunk(kind, content) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))


def stored(content) -> bytes:
    """A zlib stream that holds the content as it is, in blocks."""
    blocks = [content[at:at + BLOCK] for at in range(0, len(content), BLOCK)]
    framed = (struct.pack("<B2H", at == len(blocks) - 1, len(block), len(block) ^ 0xFFFF) + block for at, block in enumerate(blocks))
    return b"\x78\x01" + b"".join(framed) + struct.pack(">I", adler32(content))
