"""Which pixels mattered for an answer, and which training pictures are like this one."""

from functools import cache, cached_property, lru_cache
from html import escape

import numpy as np

from .. import inspection
from ..gradients import backward
from ..ledger import Line, run
from ..ops import FullyConnected
from ..panel import Choice, Group, Panel, Slider, View
from ..show.page import Page, facts, tag
from ..show.picture import gallery, overlay, picture
from .predict import Option, predict
from .trained import FEATURES, SIDE, OnAPicture, bars, cells_to_press, compact, ink_of, look_at, over, prepared, seen, shown, stage

SIZES = (2, 4, 6, 8)
STRIDE = 2  # of the patch that covers: 196 places, 5 ms; with 1 it would be 784 and 27 ms, too slow while somebody draws
NEAREST = 5
DUST = 1e-5  # a logit in single precision is not known more closely


# ---- which pixels mattered -----------------------------------------------------------------


@cache
def shares_recipe(network):
    """The logit of one class, and its slopes by the picture and by every bias."""
    biases = [name for name in network.shapes if name not in network.weights]
    forward = inspection.part(network, "logits") + [Line("logit", FullyConnected("logits", "chosen"))]
    return backward(forward, "logit", to=["image", *biases]), biases


@lru_cache(maxsize=64)
def shares(look, digit, label):
    """(gradient × input of every pixel (28, 28), {bias: what it adds}, the logit): they add up, as all is straight here."""
    recipe, names = shares_recipe(look.network)
    chosen = np.zeros((1, 10), np.float32)
    chosen[0, label] = 1
    image = prepared(digit)[None, None]
    ledger = run(recipe, image=image, chosen=chosen, **inspection.trained(look.network, look.parameters))
    added = {name: float((np.asarray(ledger[name], float) * ledger[f"d_{name}"]).sum()) for name in names}
    return (image * ledger["d_image"])[0, 0], added, float(ledger["logit"].item())


@lru_cache(maxsize=64)
def covered(look, digit, label, size):
    """How far the logit falls when a patch is covered, (28, 28); what is only rounding, over paper without ink, is 0."""
    falls = inspection.occlusion(look.network, look.parameters, prepared(digit), label, size=size, stride=STRIDE, measure="logit")
    return np.where(np.abs(falls) < DUST, 0, falls)


def patch_at(row, column, size) -> tuple[slice, slice]:
    """The pixels that the patch covers whose result stands at a cell."""
    starts = [at - at % STRIDE + (STRIDE - size) // 2 for at in (row, column)]
    return tuple(slice(max(start, 0), start + size) for start in starts)


def promised(slopes, size):
    """What gradient × input says of the same patches: its sum over each, (28, 28)."""
    sums = np.zeros((SIDE // STRIDE,) * 2)
    for row, column in np.ndindex(sums.shape):
        sums[row, column] = slopes[patch_at(row * STRIDE, column * STRIDE, size)].sum()
    return sums.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)


class Mattered(OnAPicture):
    """Occlusion and gradient × input, side by side, in the same unit and on the same scale."""

    title = "Which pixels mattered"
    first = 552

    @cached_property
    def controls(self):
        return (self.picture_controls,
                Group("For which class?", Slider("label", "class", 0, 9, 1, 6)),
                Group("The patch that covers", Choice("size", "Its side, in pixels", tuple((size, str(size)) for size in SIZES), 4),
                      Slider("row", "row", 0, SIDE - 2, STRIDE, 14), Slider("column", "column", 0, SIDE - 2, STRIDE, 8)))

    def press(self, state, name):
        match name.split():
            case ["at", row, column]:
                return {**state, "row": STRIDE * int(row), "column": STRIDE * int(column)}
        return super().press(state, name)

    def view(self, state):
        digit, label, size = state["digit"], state["label"], state["size"]
        found, (slopes, added, logit), falls = seen(self.look, digit), shares(self.look, digit, label), covered(self.look, digit, label, size)
        promises, patch = promised(slopes, size), patch_at(state["row"], state["column"], size)
        bound = max(np.abs(falls).max(), np.abs(promises).max()) or 1
        pictures = [
            picture(found.image, 0, 1, scale=6, caption="What the network gets, and the patch", box=patch, legend=False),
            overlay(found.image, slopes, scale=6, caption="Gradient × input of each pixel, on a scale of its own"),
            self.hit(overlay(found.image, falls, bound, scale=6, caption="Occlusion: how far the logit falls", box=patch)),
            self.hit(overlay(found.image, promises, bound, scale=6, caption="The same patches by gradient × input", box=patch))]
        html = tag("div", tag("p", tag("b", escape(self.said(state)))), bars(found.p, "label"),
                   stage(f"For class {label}: orange speaks for it, blue against it"), tag("div", *pictures, class_="pictures"),
                   *(tag("p", escape(text), class_="line") for text in self.lines(state, slopes, added, logit, falls, promises)), class_="cn looked")
        return View(html, f"{self.said(state)}; {sum_line(slopes, added, logit, label)}")

    @staticmethod
    def hit(figure):
        """The overlay with its patches to press."""
        return over(figure, cells_to_press(SIDE // STRIDE, SIDE // STRIDE, 6 * STRIDE))

    def lines(self, state, slopes, added, logit, falls, promises):
        at, size = (state["row"], state["column"]), state["size"]
        fall, promise = (round(float(each[at]), 4) for each in (falls, promises))  # a patch without ink: 0, to float32
        went = f"{'falls' if fall > 0 else 'rises'} by {shown(abs(fall))}" if fall else "stays"
        return (f"Cover the framed {size}×{size} pixels: the logit goes from {shown(logit)} to {shown(logit - fall)}, so it {went}. "
                f"Gradient × input, added up in the frame, promised {shown(promise)}.",
                sum_line(slopes, added, logit, state["label"]))


def sum_line(slopes, added, logit, label) -> str:
    """All pixels and all biases, added up to the logit."""
    pixels = float(np.asarray(slopes, float).sum())
    return f"logit of class {label}: all pixels {shown(pixels)}, all biases {shown(logit - pixels)}; {shown(pixels)} + {signed(logit - pixels)} ≈ {shown(logit)}"


def signed(value) -> str:
    return f"({shown(value)})" if value < 0 else shown(value)


def mattered(training=None) -> Panel:
    """The panel of the pixels that mattered."""
    return Panel(Mattered(training))


def pixel_sum(training=None) -> Page:
    """gradient × input added up over the pixels, and what each layer's biases add: together, the logit."""
    look = look_at(training)
    rows = []
    for index, label in ((552, 6), (552, 5), (0, int(look.digits.test_labels[0]))):
        index %= len(look.digits.test_labels)
        slopes, added, logit = shares(look, ink_of(look, index), label)
        pixels = float(np.asarray(slopes, float).sum())
        rows.append((f"{index}, a {look.digits.test_labels[index]}", label, shown(pixels), *map(shown, added.values()), shown(pixels + sum(added.values())), shown(logit)))
    head = ("test picture", "class", "all pixels", *added, "sum", "logit")
    text = "\n".join(f"picture {index}, class {label}: {' + '.join(parts)} ≈ {total}; logit = {logit}".replace("+ −", "− ")
                     for index, label, *parts, total, logit in rows)
    return Page(compact(facts("Where a logit comes from: gradient × input of all pixels, gradient × bias of all biases", head, rows)), text)


# ---- which pictures are like this one ------------------------------------------------------


class Nearest(OnAPicture):
    """The nearest training pictures, by pixels and by what the last layer reads."""

    title = "Nearest training pictures"
    first = 31

    @cached_property
    def controls(self):
        return (self.picture_controls,)

    def view(self, state):
        found, near = seen(self.look, state["digit"]), neighbours(self.look, state["digit"])
        html = tag("div", tag("p", tag("b", escape(self.said(state)))), bars(found.p),
                   picture(found.image, 0, 1, scale=4, caption="What the network gets", legend=False),
                   self.shown_in("By their 784 pixels", near["image"]), self.shown_in("By the 84 numbers of F6", near[FEATURES]),
                   tag("p", escape(self.worked(near)), class_="line"), class_="cn looked")
        return View(html, f"{self.said(state)}; {self.worked(near)}")

    def shown_in(self, words, near):
        digits = self.look.digits
        captions = [f"a {digits.train_labels[each.index]}; distance {shown(each.distance)}" for each in near]
        return stage(f"{words}: the nearest of {len(digits.train_labels):,} training pictures") + gallery(
            [digits.train_images[each.index, 0] for each in near], captions, low=0, high=1, scale=3, title=words)

    def worked(self, near):
        return "; ".join(f"in {words}: no. {first.index}, a {self.look.digits.train_labels[first.index]}, "
                         f"√{shown(first.distance ** 2)} ≈ {shown(first.distance)}"
                         for words, first in (("pixels", near["image"][0]), ("F6", near[FEATURES][0])))


@lru_cache(maxsize=64)
def neighbours(look, digit):
    """The nearest training pictures in pixels and in F6."""
    found = seen(look, digit)
    return {"image": inspection.closest(found.image[None], look.digits.train_images, NEAREST),
            FEATURES: inspection.closest(found.ledger[FEATURES][0], look.features, NEAREST)}


def nearest(training=None) -> Panel:
    """The panel of the nearest training pictures."""
    return Panel(Nearest(training))


@lru_cache(maxsize=4)
def right_by_neighbour(look, line) -> int:
    """How many test pictures have the label of their nearest training picture, in the values of a line."""
    digits = look.digits
    own = inspection.features(look.network, look.parameters, digits.test_images, line).reshape(len(digits.test_labels), -1)
    theirs = look.features if line == FEATURES else digits.train_images
    theirs = theirs.reshape(len(theirs), -1)
    squares = (theirs ** 2).sum(axis=1) - 2 * own @ theirs.T  # and own**2, the same for all of a row
    return int((digits.train_labels[squares.argmin(axis=1)] == digits.test_labels).sum())


def predict_neighbours(training=None) -> Panel:
    """Is the nearest picture in F6 more often of the same digit than the nearest in pixels?"""
    look = look_at(training)
    count = len(look.digits.test_labels)
    pixels, features = (right_by_neighbour(look, line) for line in ("image", FEATURES))
    own = int(look.judgement.right.sum())
    said = f"In F6 it is right for {features:,} of {count:,}, in pixels for {pixels:,}; the network itself is right for {own:,}."
    return predict(
        f"By pixels, the nearest training picture has the right label for {pixels:,} of {count:,} test pictures. Now measure distances in the 84 "
        "numbers of F6: for how many will the nearest one's label be right?",
        f"Nearest by pixels: {pixels}/{count} = {shown(pixels / count)}",
        Option("For fewer: 84 numbers say less than 784.", f"{said} Fewer numbers, but chosen: what does not tell digits apart is left out.", features < pixels),
        Option("For about as many.", said, features == pixels),
        Option("For more.", f"{said} The layers before have left out much that does not tell digits apart, such as where a stroke lies to the pixel.", features > pixels))
