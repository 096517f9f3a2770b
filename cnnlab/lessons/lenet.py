"""Notebook 04: LeNet-5 counted, trained and broken."""

from dataclasses import replace
from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..arithmetic import board, number
from ..counting import Layer, count, count_recipe, equation, times
from ..data import mnist
from ..diagnosis import diagnose
from ..ledger import Line, Recipe, run
from ..networks import lenet_5, lenet_5_1998, without_activation, without_bias
from ..ops import AddBias, AveragePool, Correlate, FullyConnected, MaxPool
from ..panel import Group, Panel, Slider, View
from ..quiz import Feedback, check
from ..show import architecture
from ..show.page import Page, facts, tag
from ..training import Settings, Training
from . import train as training_panels
from .base import Lesson
from .predict import Option, predict
from .train import picture_losses

FIRST = Settings(epochs=8, schedule="cosine", seed=1)  # the run whose first step is written out; the panel's own settings
TOO_LONG = 5.0                                         # a learning rate that the diagnosis calls too large
LAYERS = (
    ("C1", "Convolution", "6 kernels of 5×5 over the picture, a bias each"),
    ("S2", "Subsampling", "adds up 2×2 cells, times a coefficient, plus a bias: both trained, one pair a map"),
    ("C3", "Convolution", "16 kernels of 5×5; each reads only some of the six maps"),
    ("S4", "Subsampling", "as S2, with 16 maps"),
    ("C5", "Convolution", "120 kernels of 5×5, as large as the maps: one position is left"),
    ("F6", "Fully connected", "84 units, each reads all 120 and has a bias"),
    ("OUTPUT", "Distances", "10 classes: how far F6 is from a fixed drawing of each digit"))


# ---- 1. the picture and the counts -----------------------------------------------------------


def picture() -> Page:
    """LeNet-5 of 1998 with its shapes; its counts are left out, as they are asked for next."""
    counted = count(lenet_5_1998)
    shapes = [f"{layer.name} {times(layer.shape)}" for layer in counted.layers]
    drawn = architecture.figure(f"LeNet-5 of 1998: {'; '.join(shapes)}", architecture.WIDTH, 324, architecture.Drawing(counted).svg(),
                                caption="Maps are drawn to scale; the blue square is what one cell of the next layer looks at. Scaled tanh is an S-shaped curve in the place of ReLU.")
    rows = [(name, kind, words, equation(times(counted[name].shape), int(np.prod(counted[name].shape))).replace(" ", "\N{NO-BREAK SPACE}")) for name, kind, words in LAYERS]
    table = facts("What each layer does", ("layer", "letter", "what it does", "cells it makes"), rows)
    return Page(drawn + table, "\n".join(f"{name}, {kind.lower()}: {cells} cells" for name, kind, _, cells in rows))


def predict_most() -> Panel:
    """Where do the trained numbers sit, and where the connections?"""
    counted = count(lenet_5_1998)
    c1, c3, c5 = (counted[name] for name in ("C1", "C3", "C5"))
    truth = (f"C5 trains {c5.parameters:,} of {counted.parameters:,} numbers. C3 makes {c3.connections:,} of {counted.connections:,} "
             f"connections with {c3.parameters:,} numbers, and C1 {c1.connections:,} with only {c1.parameters:,}.")
    return predict(
        "Which layer trains the most numbers, and which makes the most connections?",
        f"C1 makes {times(c1.shape)} = {int(np.prod(c1.shape)):,} cells, C5 makes {c5.shape[0]}",
        Option("C1 both: its maps are the largest.", f"{truth} Large maps make connections, not parameters: each kernel is used at every position."),
        Option("C5 the most numbers, C3 the most connections.", truth, right=True),
        Option("C3 both: it has more kernels than C1.", f"{truth} C3's kernels are small, and shared."),
        Option("F6 the most numbers, C1 the most connections.", f"{truth} F6 has {counted['F6'].parameters:,}."),
    )


def counts() -> Page:
    """Every layer of 1998 with the arithmetic of its counts."""
    return architecture.counts(lenet_5_1998)


def table() -> Page:
    """C3's connection table."""
    return architecture.connection_table(lenet_5_1998)


def totals() -> Page:
    """The sums of 1998 worked out, what is printed beside them, and today's network."""
    then, now = count(lenet_5_1998), count(lenet_5)
    sums = [("trained parameters", f"{then.parameters_text} = {then.parameters:,}"), ("connections", f"{then.connections_text} = {then.connections:,}"),
            ("without those to fixed numbers", f"{then.connections:,} − {then.fixed_connections:,} = {then.connections - then.fixed_connections:,}")]
    text = "\n".join(f"{name}: {arithmetic}" for name, arithmetic in sums)
    pages = architecture.printed_counts(lenet_5_1998), architecture.counts(lenet_5)
    html = facts("1998, added up", ("quantity", "worked out"), sums) + pages[0].html + pages[1].html
    return Page(html, "\n".join([text, *(page.text for page in pages), f"today: {now.parameters_text} = {now.parameters:,}"]))


# ---- one layer, counted live -----------------------------------------------------------------


def convolution_of(state) -> Layer:
    """The layer that the sliders describe, counted by running it on ones."""
    recipe = Recipe(c_sum=Correlate("image", "kernel", state["stride"], state["padding"]), c=AddBias("c_sum", "bias"))
    side, size, channels, kernels = (state[name] for name in ("side", "size", "channels", "kernels"))
    return count_recipe(recipe, {"image": (channels, side, side), "kernel": (kernels, channels, size, size), "bias": (kernels,)})["C"]


def fully_connected_like(layer) -> Layer:
    """A layer of the same input and output in which every cell reads every cell: described only, as it may be huge."""
    inputs, outputs = int(np.prod(layer.before)), int(np.prod(layer.shape))
    lines = [Line("f_sum", FullyConnected("flat", "weight")), Line("f", AddBias("f_sum", "bias"))]
    return Layer("F", (inputs,), (outputs,), str(inputs), (), lines, {"weight": (outputs, inputs), "bias": (outputs,)},
                 connections=(inputs + 1) * outputs)


class CountOne(Lesson):
    """A convolution's shape, parameters and connections, beside those of a fully connected layer of the same shapes."""

    title = "Count a layer"
    reset_label = "Back to C1"
    controls = (
        Group("The picture", Slider("side", "rows and columns", 1, 40, 1, 32, "C1 of 1998 reads 32×32"), Slider("channels", "channels", 1, 16, 1, 1)),
        Group("The kernels", Slider("kernels", "kernels", 1, 32, 1, 6), Slider("size", "kernel size", 1, 11, 1, 5),
              Slider("stride", "stride", 1, 5, 1, 1), Slider("padding", "padding", 0, 5, 1, 0)))

    @staticmethod
    def widest(state) -> int:
        """The largest kernel that fits the picture and its padding."""
        return min(11, state["side"] + 2 * state["padding"])

    def limits(self, state):
        return {"size": (1, self.widest(state))} if self.widest(state) > 1 else {"size": (1, 1)}

    def change(self, state, name, value):
        """A picture that becomes too small for the kernel makes the kernel smaller."""
        changed = {**state, name: value}
        return {**changed, "size": min(changed["size"], self.widest(changed))}

    def view(self, state):
        layer = convolution_of(state)
        whole = fully_connected_like(layer)
        rows = [("one side of a map", self.side(state, layer), "the same"),
                ("cells it makes", self.cells(layer), "the same"),
                ("parameters", f"{layer.parameters_text} = {layer.parameters:,}", f"{whole.parameters_text} = {whole.parameters:,}"),
                ("connections", f"{layer.connections_text} = {layer.connections:,}", f"{whole.connections:,}")]
        html = tag("div", self.drawing(layer, state), facts("Counted", ("", "convolution", "fully connected"), rows),
                   tag("p", escape(self.sentence(layer, whole)), class_="feedback"), class_="cn")
        return View(html, f"parameters: {layer.parameters_text} = {layer.parameters:,}; connections: {layer.connections_text} = {layer.connections:,}")

    @staticmethod
    def side(state, layer) -> str:
        side, padding, size, stride = (state[name] for name in ("side", "padding", "size", "stride"))
        room, padded = side + 2 * padding - size, f"{side} + 2×{padding}" if padding else str(side)
        found = f"({padded} − {size})/{stride} + 1 = {layer.shape[-1]}"
        return found if room % stride == 0 else f"{found}, rounded down"

    @staticmethod
    def cells(layer) -> str:
        return f"{times(layer.shape)} = {int(np.prod(layer.shape)):,}"

    @staticmethod
    def sentence(layer, whole) -> str:
        """What sharing saves, in the numbers of the table."""
        ratio = whole.parameters / layer.parameters
        often = f"{ratio:,.0f} times as many" if ratio > 1.5 else "as many" if ratio == 1 else f"{board(number(ratio, 3))} times as many"
        places = int(np.prod(layer.positions))
        return (f"Each of the {layer.parameters:,} numbers is used at {times(layer.positions)} = {places:,} position{'s' * (places > 1)}. "
                f"Fully connected, the same shapes take {whole.parameters:,} numbers: {often}.")

    @staticmethod
    def drawing(layer, state) -> str:
        """Both stacks on one scale, in a box whose size never changes."""
        scale, left, middle, right, y = 3.2, 108, 230, 360, 138  # 50 cells, the most there can be, are 160 wide
        pieces = [stack(left, y, state["channels"], state["side"], state["padding"], scale, "#ffffff"), seen(left, y, state, scale),
                  architecture.arrow(middle, y, 20), architecture.words(middle, y - 22, "kernels", 15),
                  architecture.words(middle, y + 32, times(state[name] for name in ("kernels", "channels", "size", "size")), 15),
                  stack(right, y, layer.shape[0], layer.shape[-1], 0, scale, "#ffe3bd")]
        labels = [architecture.words(4, 16, f"picture {times(layer.before)}", 16, 600, "start"), architecture.words(454, 16, f"maps {times(layer.shape)}", 16, 600, "end")]
        return architecture.figure(f"{times(layer.before)} to {times(layer.shape)}", 458, 228, *pieces, *labels)


def stack(x, y, maps, side, padding, scale, fill) -> str:
    """Maps behind each other, the padding as a dashed border around the front one."""
    shift = min(3.0, 24 / max(1, maps - 1))
    long, pad = side * scale, padding * scale
    boxes = [architecture.box(x - long / 2 - shift * back, y - long / 2 - shift * back, long, long, fill) for back in reversed(range(maps))]
    border = architecture.box(x - long / 2 - pad, y - long / 2 - pad, long + 2 * pad, long + 2 * pad, "none", architecture.SOFT,
                              ' stroke-dasharray="4 3"') if padding else ""
    return "".join(boxes) + border


def seen(x, y, state, scale) -> str:
    """The window of the first cell."""
    corner = -(state["side"] / 2 + state["padding"]) * scale
    wide = state["size"] * scale
    return architecture.box(x + corner, y + corner, wide, wide, "none", architecture.MARK, ' stroke-width="2.5"')


def count_one() -> Panel:
    """The panel that counts one convolution."""
    return Panel(CountOne())


def check_c3(answer) -> Feedback:
    """C3's parameters with 1998's table and kernels of 3×3."""
    forward = lenet_5_1998.forward
    shapes = {"image": lenet_5_1998.picture, **lenet_5_1998.shapes, "c3_kernel": (60, 3, 3), "c5_kernel": (120, 16, 6, 6),
              "prototypes": lenet_5_1998.fixed["prototypes"].shape}
    layer = count_recipe(forward, shapes, trained=tuple(lenet_5_1998.shapes))["C3"]
    slips = {"every map of C3 reads all six maps": 6 * 9 * 16 + 16, "the 16 biases are left out": 60 * 9,
             "the kernels are 5×5": count(lenet_5_1998)["C3"].parameters, "each of the 60 slices has a bias of its own": 60 * 10}
    hint = "" if answer is ... else "60 pairs of maps are connected; each pair has a slice of 3×3 weights, each of the 16 maps a bias."
    return check(answer, layer.parameters, slips, hint,
                 equation(layer.parameters_text, layer.parameters))


# ---- 2. the first step -----------------------------------------------------------------------


@cache
def first_step():
    """The first step of the run of FIRST, in double precision: (run, its ledger)."""
    training = Training(lenet_5, mnist(), FIRST)
    return training, run(training.recipe, **doubled(training.state | training.batch(0)))


def doubled(given) -> dict:
    """The same numbers in double precision, in which the printed digits are those of every computer."""
    return {name: np.asarray(value, float) for name, value in given.items()}


def predict_loss() -> Panel:
    """What does a network lose that knows nothing?"""
    _, ledger = first_step()
    truth = f"With ten classes and no knowledge each gets about 1/10, and −ln(1/10) = ln 10 ≈ {board(number(np.log(10), 5))}. The first batch's loss is {board(number(ledger['loss'], 5))}."
    return predict(
        "Before the first step, about how large is the mean loss of a batch?",
        "A picture’s loss is −ln p, with p the probability of its true class. Certain and right, p = 1, is −ln 1 = 0",
        Option("0: nothing was learned, so nothing is lost.", f"{truth} A loss of 0 would mean that every digit is read with certainty."),
        Option("0.1, as one in ten is right by chance.", truth),
        Option("2.3 or a little more.", f"{truth} It is a little more, as random weights prefer some classes for no reason.", right=True),
        Option("10, as there are ten classes.", truth),
    )


def step_lines() -> Page:
    """Worked lines of the first training step, from the pictures to one update."""
    training, ledger = first_step()
    labels = ledger["label"].astype(int)
    each = picture_losses(ledger)
    cells = sum(int(np.size(ledger[name])) for name in ledger.recipe.names)
    positions = len(labels), *ledger["c1"].shape[-2:]
    loss = f"loss = ({' + '.join(board(number(value, 5)) for value in each[:4])} + … ({len(each) - 4} more))/{len(each)} ≈ {board(number(ledger['loss']))}"
    first = (0, labels[0])
    said = [
        (f"The batch: {len(labels)} of the {len(training.digits.train_labels):,} training pictures, in the order that seed {FIRST.seed} draws. Their labels:", ", ".join(map(str, labels[:8])) + ", …"),
        (f"The score (logit) of the first picture's true class, {labels[0]}: 84 products, then a bias of 0.", ledger.explain("fc_sum", first)),
        ("Its loss, −ln of the softmax; p is that class's probability.", f"−ln {board(number(np.exp(-each[0])))} ≈ {board(number(each[0]))}"),
        ("The loss of the batch is the mean over its pictures. (D3 adds them up; a mean lets η stay when the batch grows.)", loss),
        ("Backward: probability minus 1 for the true class, divided by 32 because of the mean.", ledger.explain("d_logits", first)),
        ("The bias of class 0 was added to every picture: its gradient is the sum over the batch.", ledger.explain("d_fc_bias", (0,))),
        ("The update of notebook 01, with η = 0.02. (Momentum starts with no velocity, so the first step is a plain one.)", ledger.explain("new_fc_bias", (0,))),
        (f"A weight of C1 is shared: its gradient adds up {times(positions)} = {int(np.prod(positions)):,} products, one for each picture and position.",
         f"d_c1_kernel[0,2,2] = {board(number(ledger['d_c1_kernel'][0, 0, 2, 2]))}"),
        (f"And so for all {lenet_5.size:,} parameters. The record of this one step has {len(ledger.recipe)} lines with {cells:,} numbers.", ""),
    ]
    rows = "".join(tag("div", tag("p", escape(what), class_="what"), (tag("p", tag("b", escape(str(numbers))), class_="both") if str(numbers) else ""), class_="line")
                   for what, numbers in said)
    single = Training(lenet_5, mnist(), FIRST).take_step()
    agree = np.allclose(single["new_c1_kernel"], ledger["new_c1_kernel"], rtol=1e-3, atol=1e-5) and np.isclose(single["loss"], ledger["loss"], rtol=1e-5)
    note = f"Printed in double precision (16 digits), so that every computer prints the same. Training uses float32 (7 digits); its first loss agrees to 5 digits: {agree}."
    return Page(rows + tag("p", escape(note), class_="what"), "\n".join(f"{what} {numbers}".strip() for what, numbers in said) + f"\n{note}")


# ---- 3. training in code ---------------------------------------------------------------------


def stopped_and_resumed(training, after=100) -> Page:
    """Does a run that is stopped, saved, loaded and resumed learn the same numbers, bit for bit?"""
    half = Training(lenet_5, mnist(), training.settings)
    while half.step < after:
        half.advance()
    with TemporaryDirectory() as folder:
        half.save(Path(folder) / "run.npz")
        resumed = Training.load(Path(folder) / "run.npz", lenet_5, mnist()).go_on()
    same = all(np.array_equal(training.parameters[name], resumed.parameters[name]) for name in lenet_5.parameters)
    rows = [("steps made", f"{training.settings.epochs}×{training.steps_in_epoch} = {training.step}"),
            ("at least 85 of 100 test pictures are read rightly", training.epochs[-1].test_accuracy >= 0.85),
            (f"a second run, stopped after {after} steps, saved, loaded and resumed, learned the same {lenet_5.size:,} numbers, bit for bit", same)]
    return Page(facts("What is certain on every computer", ("", ""), rows), "\n".join(f"{name}: {value}" for name, value in rows))


# ---- 4. breaking it --------------------------------------------------------------------------


def too_long() -> Page:
    """The diagnosis of the first step with a learning rate that is far too large."""
    training, _ = first_step()
    given = doubled(training.state | training.batch(0)) | {"learning_rate": TOO_LONG}
    found = diagnose(lenet_5.forward, given, lenet_5.parameters, optimizer="momentum")
    rates = (0.02, 0.2, 1.0, 2.0, TOO_LONG)
    losses = found.step.losses(np.array(rates))
    off = [f"{count} of {lenet_5.shapes['f6_bias'][0]}" for count in off_after(found.step, (0.0, *rates))]
    tried = [(board(number(rate)), f"{board(number(found.before, 5))} → {board(number(loss, 5))}", "falls" if loss < found.before else "rises", f"{off[0]} → {after}")
             for rate, loss, after in zip(rates, losses, off[1:])]
    split = [("slope: −η × the gradient's squares", found.slope), ("curvature: ½ step·H·step", found.curvature), ("the rest: a bend that changes, ReLUs and pools that switch", found.rest), ("change", found.trained_change),
             ("slope and curvature cancel at η", TOO_LONG * -found.slope / found.curvature)]
    split = [(name, board(number(value, 5))) for name, value in split]
    text = found.verdict.partition(";")[0] + "."
    html = facts("One step from the start, judged on its own batch", ("η", "loss", "", "F6 off for every picture"), tried) + \
        facts(f"Diagnosis of the step with η = {board(number(TOO_LONG))}", ("part", "value"), split) + tag("p", tag("strong", escape(text)), class_="feedback")
    lines = [f"η = {rate}: loss {change}, it {how}; F6 off for every picture: {units}" for rate, change, how, units in tried] + [f"{name} = {value}" for name, value in split]
    return Page(html, "\n".join([*lines, text]))


def off_after(step, rates) -> list[int]:
    """How many units of F6 are 0 for every picture of the batch after a step with each of these learning rates."""
    return [int(count) for count in (step.trials(np.array(rates))["f6_relu"] == 0).all(axis=1).sum(axis=1)]


def alike(start) -> dict:
    """Weights of 0.05, but k/100 for class k: the units of a layer are all alike, while the classes are not.

    Were the last weights equal too, each slope of F6 would be a multiple of sum(p - y) = 0: no gradient at all.
    """
    weights = {name: np.full(np.shape(start[name]), 0.05) for name in lenet_5.weights}
    return weights | {"fc_weight": weights["fc_weight"] * 0 + np.arange(10)[:, None] / 100}


def zero_start() -> Page:
    """Every parameter's largest gradient in the first step: from a random start, from 0, and from units that are all alike."""
    training, usual = first_step()
    start = doubled(training.state | training.batch(0))
    nothing = {name: np.zeros(np.shape(start[name])) for name in lenet_5.weights}
    zero, same = (run(training.recipe, **start | weights) for weights in (nothing, alike(start)))
    rows = [(name, *(size(ledger[f"d_{name}"]) for ledger in (usual, zero))) for name in lenet_5.parameters]
    p = np.exp(-picture_losses(zero))[0]
    shared = [name for name in lenet_5.weights if name != "fc_weight"]
    apart = max(float(np.ptp(same[f"d_{name}"], axis=0).max()) for name in shared)
    sizes = ", ".join(f"{name.partition('_')[0].upper()} {size(same[f'd_{name}'])}" for name in shared)
    notes = [f"From 0 every logit is 0 and every probability {board(number(p, 6))}: loss = −ln {board(number(p, 6))} ≈ {board(number(zero['loss'], 6))}",
             f"Now every weight is 0.05, and k/100 in the last layer for class k. The largest gradients (large, as no weight is below 0): {sizes}. Those of two kernels or units of one layer differ by at most {board(number(round(apart, 9)))}: what starts alike stays alike."]
    head = ("parameter", "largest gradient from a random start", "from every weight at 0")
    html = facts("The first step", head, rows) + "".join(tag("p", escape(note)) for note in notes)
    return Page(html, "\n".join(["; ".join(map(str, row)) for row in (head, *rows)] + notes))


def size(array) -> str:
    """The largest size of a cell."""
    return board(number(float(np.abs(array).max()), 4))


def left_out() -> Page:
    """What is still bent where ReLU, or max-pooling too, is left out; and what a black picture gets without biases."""
    bent = without_activation(lenet_5)
    means = replace(bent, forward=Recipe(*(Line(name, AveragePool(each.values, each.size, each.stride) if isinstance(each, MaxPool) else each)
                                           for name, each in bent.forward)))
    networks = (("as it is", lenet_5), ("without biases", without_bias(lenet_5)), ("without ReLU", bent), ("without ReLU, mean-pooling for max-pooling", means))
    rows = [(name, *bends(network)) for name, network in networks]
    head = ("network", "logits of a black picture, largest size", "gap of f(a + b) = f(a) + f(b) − f(black)")
    note = "Weights as at the start, every bias 0.1 (chosen); a and b are the first two test pictures. A gap of 0 means: a linear function of the picture, and a constant."
    return Page(facts("What is left of the network", head, rows) + tag("p", escape(note)),
                "\n".join("; ".join(row) for row in (head, *rows)) + f"\n{note}")


def bends(network) -> tuple[str, str]:
    """(largest logit of a black picture, how far the network is from a linear function plus a constant)."""
    start = doubled(network.start(FIRST.seed))
    given = start | {name: np.full(np.shape(start[name]), 0.1) for name in network.parameters if name not in network.weights}
    a, b = np.asarray(mnist().test_images[:2], float)
    logits = run(network.forward, **given, image=np.stack([a * 0, a, b, a + b]), label=[0, 0, 0, 0])["logits"]
    gap = float(np.abs(logits[3] - logits[1] - logits[2] + logits[0]).max())
    return size(logits[0]), board(number(round(gap, 9), 4))


# ---- the training panels ---------------------------------------------------------------------


def train() -> Panel:
    """LeNet-5 on MNIST, to be started, watched and stopped."""
    return training_panels.train()


def break_it() -> Panel:
    """LeNet-5 with one thing broken."""
    return training_panels.break_it()
