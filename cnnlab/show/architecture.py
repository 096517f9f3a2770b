"""A network drawn from its recipe: its maps to scale, its connection table, its counts with their arithmetic."""

from dataclasses import dataclass
from html import escape
from math import prod

from ..counting import PRINTED, Count, Layer, compare, count
from ..ops import (Add, AveragePool, Connect, Correlate, FullyConnected, MaxPool, ReLU, ScaledTanh, Sigmoid,
                   SquaredDistance, SumPool, Tanh)
from ..ops.base import pair
from .page import Page, facts, tag

WIDTH, HEIGHT, HEADS = 960, 396, 108      # HEADS: the column of row headings at the left
MIDDLE, ROOM = 176, 150                   # of the drawings: their middle, and how high they may be
MOST_MAPS = 32                            # more are not drawn one by one; their number stands below
BEND = {ReLU: "ReLU", Tanh: "tanh", ScaledTanh: "scaled tanh", Sigmoid: "sigmoid"}
FILL = {Correlate: "#ffe3bd", SumPool: "#cfe2fa", MaxPool: "#cfe2fa", AveragePool: "#cfe2fa"}
VERDICT = {True: "✓ holds", False: "✗ differs"}
INK, SOFT, MARK, PAPER = "#16181d", "#5a6270", "#0b57b0", "#fffdf8"


# ---- pieces of SVG ------------------------------------------------------------------------------------


def words(x, y, text, size=16, weight=400, anchor="middle") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="font-size:{size}px;font-weight:{weight}">'
            f"{escape(text)}</text>")


def box(x, y, wide, high, fill=PAPER, stroke=INK, more="") -> str:
    return (f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{fill}" stroke="{stroke}"'
            f"{more}/>")


def line(start, end, color=MARK, width=1.2) -> str:
    (a, b), (c, d) = start, end
    return f'<path d="M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" stroke="{color}" stroke-width="{width}" fill="none"/>'


def arrow(x, y, reach) -> str:
    return (line((x - reach, y), (x + reach, y), INK, 2)
            + f'<path d="M{x + reach + 7:.1f} {y}l-9 -5v10z" fill="{INK}"/>')


def figure(alternative, wide, high, *drawn, caption="") -> str:
    """A figure as wide as the page; where that is too narrow to read, it scrolls."""
    svg = (f'<svg viewBox="0 0 {wide} {high}" role="img" aria-label="{escape(alternative)}" '
           f'style="min-width:{min(wide, 680)}px;max-width:{wide}px">{"".join(drawn)}</svg>')
    below = tag("figcaption", escape(caption)) if caption else ""
    return tag("figure", svg, below, style="max-width:none;overflow-x:auto")


# ---- the network --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stage:
    """What a layer makes, as it is drawn: a stack of maps, or a column of units."""

    name: str
    shape: tuple[int, ...]
    fill: str
    border: tuple[int, int] = (0, 0)  # of padding that the next layer lays around it

    @property
    def maps(self) -> int:
        return self.shape[0] if len(self.shape) in (1, 3) else 1

    @property
    def sides(self) -> tuple[int, int]:
        return self.shape[-2:] if len(self.shape) > 1 else (1, 1)

    @property
    def units(self) -> bool:
        return self.sides == (1, 1) and self.maps > 1


def stages(counted: Count) -> list[Stage]:
    """The picture, and what each layer makes of it."""
    pads = [padding(layer) for layer in counted.layers] + [(0, 0)]
    made = [Stage(layer.name, layer.shape, FILL.get(type(first(layer)), "#e6e9ee"), border)
            for layer, border in zip(counted.layers, pads[1:])]
    return [Stage("input", counted.picture, "#ffffff", pads[0]), *made]


def first(layer: Layer):
    """The operation that the layer begins with, not the one that lays out its kernel."""
    return next(each.operation for each in layer.lines if not isinstance(each.operation, Connect))


def padding(layer) -> tuple[int, int]:
    return pair(getattr(first(layer), "padding", 0), "padding", 0)


def says(layer) -> list[str]:
    """What a layer does, in up to three short lines."""
    operation, size = first(layer), "×".join(map(str, layer.window))
    kernel = f"{size}{', partial' * bool(layer.having(Connect))}{pad_words(layer)}"
    kinds = {Correlate: ("convolution", kernel), SumPool: ("subsampling", size), MaxPool: ("max-pooling", size),
             AveragePool: ("mean-pooling", size), FullyConnected: ("fully", "connected"),
             SquaredDistance: ("distance to", "prototypes"), Add: ("sum of", "two")}
    bends = [word for kind, word in BEND.items() if layer.having(kind)]
    return [*kinds.get(type(operation), (type(operation).__name__,)), *bends]


def pad_words(layer) -> str:
    down, across = padding(layer)
    return f", pad {down}" if down == across and down else f", pad {down}×{across}" if down or across else ""


class Drawing:
    """Where everything stands: a column for each stage, one scale for all maps."""

    def __init__(self, counted: Count):
        self.counted, self.stages = counted, stages(counted)
        self.pitch = (WIDTH - HEADS) / len(self.stages)
        room = self.pitch - 14
        self.offset = {stage: min(4.5, 0.4 * room / max(1, self.drawn(stage) - 1)) for stage in self.stages}
        self.scale = min(min(room, ROOM - 20) - self.offset[stage] * (self.drawn(stage) - 1) for stage in self.stages
                         if not stage.units) / max(side + 2 * pad for stage in self.stages
                                                   for side, pad in zip(stage.sides, stage.border))
        self.unit = ROOM / max([stage.maps for stage in self.stages if stage.units], default=1)

    @staticmethod
    def drawn(stage) -> int:
        """How many maps are drawn one by one."""
        return 1 if stage.units else min(stage.maps, MOST_MAPS)

    def center(self, at) -> float:
        return HEADS + self.pitch * (at + 0.5)

    def front(self, at) -> tuple[float, float, float, float]:
        """(left, top, width, height) of the front map of a stack, or of a column of units."""
        stage = self.stages[at]
        if stage.units:
            high = max(stage.maps * self.unit, 60)
            return self.center(at) - 7, MIDDLE - high / 2, 14, high
        high, wide = (side * self.scale for side in stage.sides)
        shift = self.offset[stage] * (self.drawn(stage) - 1)
        return self.center(at) - wide / 2 + shift / 2, MIDDLE - high / 2 + shift / 2, wide, high

    def stack(self, at) -> str:
        stage, (left, top, wide, high) = self.stages[at], self.front(at)
        if stage.units:
            step = high / stage.maps
            rules = "".join(f"M{left:.1f} {top + step * unit:.2f}h{wide}" for unit in range(1, stage.maps) if step > 3)
            return box(left, top, wide, high, stage.fill) + f'<path d="{rules}" stroke="{INK}"/>'
        down, across = (pad * self.scale for pad in stage.border)
        border = box(left - across, top - down, wide + 2 * across, high + 2 * down, "none", SOFT,
                     ' stroke-dasharray="4 3"') if down or across else ""
        shifts = [self.offset[stage] * back for back in reversed(range(self.drawn(stage)))]
        return border + "".join(box(left - shift, top - shift, wide, high, stage.fill) for shift in shifts)

    def sight(self, at) -> str:
        """What one cell of the next stage looks at."""
        layer, (left, top, wide, high) = self.counted.layers[at], self.front(at)
        to_left, to_top, to_wide, to_high = self.front(at + 1)
        if not layer.window or self.stages[at].units:
            return (line((left + wide, top), (to_left, to_top), SOFT)
                    + line((left + wide, top + high), (to_left, to_top + to_high), SOFT))
        tall, broad = (size * self.scale for size in layer.window)
        x, y = left + 0.8 * (wide - broad), top + 0.2 * (high - tall)
        aim = (to_left, MIDDLE) if self.stages[at + 1].units else (to_left + 0.35 * to_wide, to_top + 0.35 * to_high)
        return (line((x + broad, y), aim) + line((x + broad, y + tall), aim)
                + box(x, y, broad, tall, "none", MARK, ' stroke-width="2.2"')
                + f'<circle cx="{aim[0]:.1f}" cy="{aim[1]:.1f}" r="3" fill="{MARK}"/>')

    def column(self, at) -> str:
        """The words above the arrow to the stage, and the numbers below the stage."""
        x, stage = self.center(at), self.stages[at]
        layer = self.counted.layers[at - 1] if at else None
        below = [words(x, 290, stage.name, 19, 700), words(x, 314, "×".join(map(str, stage.shape)))]
        if layer:
            only_fixed = layer.constants and not layer.parameters
            numbers = f"{layer.constants:,} fixed" if only_fixed else f"{layer.parameters:,}"
            below += [words(x, 346, numbers), words(x, 372, f"{layer.connections:,}")]
        if not layer:
            return "".join(below)
        middle = x - self.pitch / 2
        above = [words(middle, 20 + 19 * row, text, 15) for row, text in enumerate(says(layer))]
        return "".join([*above, arrow(middle, 72, 16), *below])

    def heads(self) -> str:
        rows = [(314, "shape"), (346, "parameters"), (372, "connections")]
        rule = line((0, 326), (WIDTH, 326), "#c9ced6", 1.5)
        return rule + "".join(words(2, y, text, 16, 600, "start") for y, text in rows)

    def svg(self) -> str:
        whole, stacks = range(len(self.stages)), range(len(self.stages) - 1)
        return "".join([*map(self.stack, whole), *map(self.sight, stacks), *map(self.column, whole), self.heads()])


def architecture(network) -> Page:
    """The network as one picture: each stage's maps to scale, what leads to it, and what that costs."""
    counted = count(network)
    parts = [f"{layer.name} {'×'.join(map(str, layer.shape))}, {layer.parameters:,} parameters, "
             f"{layer.connections:,} connections" for layer in counted.layers]
    caption = (f"{counted.parameters:,} trained parameters, {counted.connections:,} connections. Maps are drawn to "
               "scale; the blue square is what one cell of the next layer looks at.")
    drawn = figure(f"{network.title}: {'; '.join(parts)}", WIDTH, HEIGHT, Drawing(counted).svg(), caption=caption)
    return Page(drawn, str(counted))


# ---- the connection table -----------------------------------------------------------------------------

CELL, ROW, LABELS = 46, 34, 128


def connection_table(network) -> Page:
    """Which maps each map of a partly connected layer reads, and what each one learns. Raises ValueError for none."""
    layers = count(network).layers
    before = ["input", *(layer.name for layer in layers)]
    found = [one_table(name, layer) for name, layer in zip(before, layers) if layer.having(Connect)]
    if not found:
        raise ValueError(f"{network.title} has no connection table: every map reads every map")
    drawn, texts = zip(*found)
    return Page("".join(drawn), "\n".join(texts))


def one_table(before, layer) -> tuple[str, str]:
    """(the table drawn, the table as text) of a layer that reads the layer named `before`."""
    table, size = layer.having(Connect)[0].table, layer.window
    learned = parameters_of_maps(layer, table)
    text = "\n".join(f"{layer.name}[{o}] reads {before}{list(maps)}: {number} parameters"
                     for o, (maps, number) in enumerate(zip(table, learned)))
    rows, width = 1 + max(map(max, table)), LABELS + CELL * len(table)
    drawn = [*table_heads(before, layer.name, rows, len(table), width), *dots(table),
             *(words(LABELS + CELL * (o + 0.5), ROW * (rows + row) + 68, f"{number}", 16)
               for row, numbers in enumerate((map(len, table), learned)) for o, number in enumerate(numbers))]
    caption = (f"{sum(map(len, table))} of {rows * len(table)} pairs are connected, each by {size[0]}×{size[1]} "
               f"weights: {layer.parameters_text} = {layer.parameters:,} parameters.")
    return figure(f"{caption} {text}", width, ROW * (rows + 2) + 52, *drawn, caption=caption), text


def parameters_of_maps(layer, table) -> list[int]:
    """How many numbers each map learns: its weights, and its share of the biases."""
    biases = sum(prod(shape) for shape in layer.weights.values() if len(shape) < 2) // len(table)
    return [len(maps) * prod(layer.window) + biases for maps in table]


def table_heads(before, name, rows, maps, width) -> list[str]:
    """Numbers and names of both sides, and the lines between."""
    tops = [words(LABELS + CELL * (o + 0.5), 40, str(o), 16, 600) for o in range(maps)]
    sides = [words(LABELS - 14, 68 + ROW * c, f"{before} map {c}", 16, 400, "end") for c in range(rows)]
    sums = [words(LABELS - 14, 68 + ROW * (rows + row), text, 16, 600, "end") for row, text in
            enumerate(("maps read", "parameters"))]
    rules = [line((0, y), (width, y), "#c9ced6", 1.5) for y in (46, 46 + ROW * rows)]
    return [words(LABELS + CELL * maps / 2, 16, f"map of {name}", 16, 600), *tops, *sides, *sums, *rules]


def dots(table) -> list[str]:
    """A filled dot for a connection, a small ring for none."""
    drawn = []
    for o, maps in enumerate(table):
        for c in range(1 + max(map(max, table))):
            place = f'cx="{LABELS + CELL * (o + 0.5):.1f}" cy="{62 + ROW * c}"'
            drawn.append(f'<circle {place} r="10" fill="{MARK}"/>' if c in maps else
                         f'<circle {place} r="2.5" fill="none" stroke="{SOFT}"/>')
    return drawn


# ---- the counts ---------------------------------------------------------------------------------------


def counts(network) -> Page:
    """Every layer's shape, parameters and connections, with their arithmetic."""
    counted = count(network)
    table = facts(counted.title, ("layer", "shape", "trained parameters", "connections"), counted.table())
    notes = "".join(tag("p", escape(note)) for note in counted.notes)
    return Page(table + notes, str(counted))


def printed_counts(network, printed=PRINTED) -> Page:
    """What is printed beside what was counted."""
    rows = [(source, layer or "whole network", quantity, f"{number:,}", f"{found:,}", VERDICT[holds])
            for (source, layer, quantity, number), found, holds in compare(count(network), printed)]
    head = ("source", "layer", "quantity", "printed", "counted", "")
    return Page(facts("Printed, and counted here", head, rows), "\n".join("  ".join(row) for row in rows))
