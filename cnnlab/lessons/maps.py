"""Every feature map of a picture that the learner chooses or draws, and the sum behind each of its cells."""

from functools import cached_property, lru_cache
from html import escape

import numpy as np

from .. import inspection
from ..panel import Choice, Group, Panel, Slider, View
from ..show.page import tag
from ..show.picture import gallery, picture
from .trained import FEATURES, OnAPicture, bars, cells_to_press, over, page_line, pressable, seen, shown, stage

LINES = {  # the maps that are shown: what they are called, and the side of a cell on the page
    "c1_relu": ("C1, after ReLU", 2), "s2": ("S2, after max-pooling", 4),
    "c3_relu": ("C3, after ReLU", 4), "s4": ("S4, after max-pooling", 8)}
BEHIND = {"c1_relu": ("c1_sum", "c1", "c1_relu"), "s2": ("s2",), "c3_relu": ("c3_sum", "c3", "c3_relu"), "s4": ("s4",)}
LARGE = 224  # CSS pixels, the side of the map that is enlarged


class Maps(OnAPicture):
    """A picture on its way through the network."""

    title = "Feature maps"

    @cached_property
    def controls(self):
        options = tuple((name, words) for name, (words, _) in LINES.items())
        return (self.picture_controls,
                Group("The map to enlarge (or click on it)", Choice("line", "Layer", options, "c1_relu"),
                      Slider("channel", "map", 0, 15, 1, 1)),
                Group("The cell to explain (or click on it)", Slider("row", "row", 0, 27, 1, 10), Slider("column", "column", 0, 27, 1, 19)))

    def shape(self, state):
        """(maps, rows, columns) of the layer."""
        return inspection.blank(self.look.network)[state["line"]].shape[1:]

    def limits(self, state):
        return {name: (0, count - 1) for name, count in zip(("channel", "row", "column"), self.shape(state))}

    def change(self, state, name, value):
        return self.inside(super().change(state, name, value))

    def press(self, state, name):
        """A click on a map enlarges it; on a cell of the large one, explains that."""
        match name.split():
            case ["map", line, channel]:
                return self.inside({**state, "line": line, "channel": int(channel)})
            case ["at", row, column]:
                return {**state, "row": int(row), "column": int(column)}
        return super().press(state, name)

    def inside(self, state):
        """The same with a cell that the layer has."""
        return {**state, **{name: min(state[name], high) for name, (_, high) in self.limits(state).items()}}

    def view(self, state):
        found, cell = seen(self.look, state["digit"]), (0, state["channel"], state["row"], state["column"])
        explained = self.explained(found, state["line"], cell)
        html = tag("div", tag("p", tag("b", escape(self.said(state)))), bars(found.p),
                   tag("div", self.given(found, state, cell), self.enlarged(found, state, cell), class_="pictures"),
                   explained, *(self.layer(found, line, state) for line in LINES), self.row(found), class_="cn looked")
        return View(html, f"{self.said(state)}; {page_line(found.ledger.explain(state['line'], cell, 4))}")

    def given(self, found, state, cell):
        """What the network gets, with the pixels framed that the cell depends on."""
        box = inspection.receptive_field(self.look.network, state["line"], cell)
        rows, columns = (part.stop - part.start for part in box)
        return picture(found.image, 0, 1, scale=6, caption=f"What the network gets. The frame: the {rows}×{columns} pixels that the cell can see", box=box, legend=False)

    def enlarged(self, found, state, cell):
        values = found.ledger[state["line"]][0, state["channel"]]
        side, (rows, columns) = LARGE // len(values), values.shape
        box = tuple(slice(at, at + 1) for at in cell[2:])
        words = f"{LINES[state['line']][0]}, map {state['channel']}"
        return over(picture(values, scale=side, caption=words, box=box), cells_to_press(rows, columns, side))

    def explained(self, found, line, cell):
        """The lines that lead to the cell."""
        return tag("div", stage(f"The cell at row {cell[2]}, column {cell[3]}"),
                   *(tag("p", escape(text), class_="line") for text in worked_lines(found, line, cell)), class_="lines")

    def layer(self, found, line, state):
        words, side = LINES[line]
        values = found.ledger[line][0]
        framed = [(slice(None), slice(None)) if (line, at) == (state["line"], state["channel"]) else "" for at in range(len(values))]
        return stage(f"{words}: {len(values)} maps of {values.shape[1]}×{values.shape[2]}") + pressable(
            list(values), [f"map {line} {at}" for at in range(len(values))], boxes=framed, columns=min(len(values), 8), scale=side, title=f"{words}, map")

    def row(self, found):
        values = found.ledger[FEATURES][0]
        return stage(f"F6: {len(values)} numbers, {int((values > 0).sum())} of them not 0; the ten probabilities are made from these") + \
            gallery([values.reshape(2, -1)], scale=10, title="F6")


@lru_cache(maxsize=256)
def worked_lines(found, line, cell) -> tuple[str, ...]:
    """The arithmetic of a cell: its sum by its largest products, its bias, its activation."""
    names = [name for name in BEHIND[line] if name in found.ledger]
    said = [str(found.ledger.explain(name, cell, 4)) for name in names]
    return (largest(found.ledger, names[0], cell), *said[1:]) if names[0].endswith("_sum") else tuple(said)


def largest(ledger, name, cell, count=4) -> str:
    """`c1_sum[1,8,14] = 0.99×0.62 + … (18 more, together 0.31) = 2.87`: the largest products first."""
    step = inspection.step(ledger, name, cell, frozenset({"image"}) | set(ledger.recipe.names))
    terms = step.biggest(len(step.parts))
    kept = [term for term in terms[:count] if term.value]
    rest = sum(term.value for term in terms[len(kept):])
    products = " + ".join(f"({term.text})" if term.text.startswith("−") else term.text for term in kept) or "0"
    others = f" + … ({len(terms) - len(kept)} smaller ones, together {shown(rest)})" if len(terms) > len(kept) else ""
    label = ledger.explain(name, cell, 4).label(cell)
    return f"{label} = {products}{others} ≈ {shown(ledger[name][cell])}"


def maps(training=None) -> Panel:
    """The panel of the feature maps."""
    return Panel(Maps(training))
