"""Step through example 1: one convolution, half squared error."""

from fractions import Fraction

from ..arithmetic import board, number
from ..examples import example_1
from ..gradients import losses_after
from ..panel import Group, Panel, Slider, View
from ..quiz import Feedback, check
from ..show.board import frame
from ..show.chart import Axis, Chart, nice_top
from ..show.page import Page, facts, tag
from .predict import Option, predict
from .step import StepLesson, change, lines, numbers, weight_sliders

MEANING = {
    "image": "the picture, 2 rows and 2 columns: x11, x12; x21, x22",
    "kernel": "the weights that lie on it: w1, w2; w3, w4",
    "bias": "the constant added after the sum, b",
    "target": "the output we want, y",
    "learning_rate": "how far a step goes along the gradient, η",
}
KERNEL = Group("Kernel, as it lies on the image", *weight_sliders(example_1, "kernel", -2.0, 2.0), columns=2)
BIAS = Slider("bias", "bias", -5.0, 5.0, 0.05, example_1.given["bias"])
TARGET = Slider("target", "target", -20.0, 20.0, 0.5, float(example_1.given["target"]))
RATE = Slider("learning_rate", "learning rate η", 0.0, 0.1, 0.0005, example_1.given["learning_rate"])


class Walk(StepLesson):
    """The whole step of example 1."""

    title = "Step through example 1"
    example = example_1
    weights = (KERNEL, Group("Bias, target, learning rate", BIAS, TARGET, RATE))
    stages = (("Convolution: multiply, then add up", ("image", "⊙", "kernel", "=", "products", "Σ", "conv_sum")),
              ("Add the bias, compare with the target", ("bias", "→", "output", "−", "target", "→", "loss")))
    results = ("output", "loss")


class Rates(StepLesson):
    """The loss after one step of example 1, as a function of the learning rate."""

    title = "The loss after one step, for every learning rate"
    example = example_1
    controls = (Group("Learning rate", RATE), KERNEL, Group("Bias and target", BIAS, TARGET))
    start = {}

    def change(self, state, name, value):
        return {**state, name: value}

    def view(self, state):
        ledger = self.ledger(state)
        again = self.after(ledger)
        loss, after, rate = float(ledger["loss"]), float(again["loss"]), state["learning_rate"]
        curvature = self.curvature(ledger)
        html = tag("div", self.arithmetic(ledger, rate, loss, after, curvature),
                   self.parabola(ledger, rate, loss, after, curvature), class_="cn")
        return View(html, f"η = {board(number(rate))}: {again.explain('loss')}; it {change(loss, after)}")

    @staticmethod
    def curvature(ledger) -> Fraction:
        """x11² + x12² + x21² + x22² + 1: what a step of learning rate η takes off the error is this times η."""
        return sum(Fraction(repr(float(x))) ** 2 for x in ledger["image"].flat) + 1

    @staticmethod
    def arithmetic(ledger, rate, loss, after, curvature) -> str:
        squares = " + ".join(f"{board(number(x))}²" for x in ledger["image"].flat)
        error, factor = float(ledger["d_output"].item()), 1 - float(curvature) * rate
        before, times, new = (bracketed(each) for each in (error, factor, error * factor))
        return frame("One step multiplies the error", f"by 1 − {curvature}η, where {curvature} = {squares} + 1 (the 1 is the bias).",
                     f"factor 1 − {curvature}×{board(number(rate))} = {board(number(factor))}; new error {times}×{before} = {new.strip('()')}",
                     f"loss = ½×{new}² {'=' if exact_half_square(error * factor, after) else '≈'} {board(number(after))}: it {change(loss, after)}")

    def parabola(self, ledger, rate, loss, after, curvature) -> str:
        top = nice_top(1.6 * loss)
        chart = Chart(Axis("learning rate η", 0, RATE.high), Axis("loss after one step", 0, top))
        rates = [RATE.high * at / 60 for at in range(61)]
        points = [point for point in zip(rates, losses_after(self.example.forward, ledger, self.example.parameters, rates)) if point[1] <= top]
        best, limit = 1 / curvature, 2 / curvature
        text = (f"Loss after one step against learning rate: a parabola from {board(number(loss))} at η = 0, "
                f"down to 0 at η = {best}, back at the old loss at η = {limit}; at η = {board(number(rate))} it is {board(number(after))}")
        drawing = chart.svg(
            text, chart.level(loss, "loss before the step"), chart.threshold(best, f"{best}: loss 0"),
            chart.threshold(limit, f"{limit} ≈ {float(limit):.4f}: as before", row=1), chart.curve(points),
            chart.here(rate, after, f"η = {board(number(rate))}: {board(number(after, 4))}"))
        side = "below" if rate < limit else "above"
        caption = (f"Under the dotted line a step pays. Your η = {board(number(rate))} lies {side} {limit} ≈ {float(limit):.4f}: "
                   f"the loss {change(loss, after)}.")
        return tag("figure", drawing, tag("figcaption", caption), style="max-width:700px")


def bracketed(value) -> str:
    """A number as a factor: a negative one in brackets."""
    text = board(number(value))
    return f"({text})" if value < 0 else text


def exact_half_square(error, loss) -> bool:
    """Whether half the printed error's square is the printed loss."""
    return Fraction(number(error)) ** 2 / 2 == Fraction(number(loss))


def given() -> Page:
    """The numbers of example 1, and where each is from."""
    return numbers(example_1, MEANING)


def forward() -> Page:
    """From the image to the loss, worked line by line."""
    return lines(example_1.run(), "products", "conv_sum", "output", "loss")


def backward() -> Page:
    """From the loss back to the kernel and the bias, and the update."""
    return lines(example_1.run(), "d_output", "d_conv_sum", "d_kernel", "d_bias", "new_kernel", "new_bias")


def predict_output() -> Panel:
    """What does a change of one weight do to the output?"""
    ledger = example_1.run()
    nudge, seen = 0.1, float(ledger["image"][1, 1])
    moved = board(number(nudge * seen))
    return predict(
        f"You raise kernel[1,1] by {nudge} and leave everything else. What happens to the output?", ledger.explain("conv_sum"),
        Option(f"It rises by {nudge}.", f"The weight is multiplied by the image cell under it, {board(number(seen))}, before it is added: the output rises by {moved}."),
        Option(f"It rises by {moved}.", f"The weight counts as often as the image cell under it says: {board(number(seen))}×{nudge} = {moved}.", right=True),
        Option("That depends on the other weights.", f"The products are added, so the others stay out of it: only image[1,1] = {board(number(seen))} matters, and the output rises by {moved}."),
    )


def check_gradient(answer, target) -> Feedback:
    """d_kernel[1,0] for another target: is the learner's number right?"""
    ledger = example_1.run(target=target)
    right = float(ledger["d_kernel"][1, 0])
    slips = {"the error is taken as target − output": -right, "the image cell is left out": float(ledger["d_output"].item()),
             "the ½ of the loss is forgotten": 2 * right, "the weight is taken instead of the image cell": float(ledger["d_image"][1, 0])}
    return check(answer, right, slips, "The gradient of a weight is the image cell under it times output − target.",
                 f"{ledger.explain('d_output')}, and {ledger.explain('d_kernel', (1, 0))}")


def rate_table() -> Page:
    """One step from the document's numbers at five learning rates, in exact fractions."""
    ledger = example_1.run()
    before, error, best = ledger.fraction("loss"), ledger.fraction("d_output", (0, 0)), 1 / Rates.curvature(ledger)
    rows = []
    for rate in (Fraction("0.01"), best, Fraction("0.05"), 2 * best, Fraction("0.08")):
        factor = 1 - rate / best
        after = (factor * error) ** 2 / 2
        how = "falls" if after < before else "rises" if after > before else "stays"
        rows.append((spoken(rate), board(number(factor)), board(number(after)), how))
    text = "\n".join(f"η = {rate}: error × {factor}, loss {loss}: {how}" for rate, factor, loss, how in rows)
    head = ("learning rate η", "the error is multiplied by", "loss after one step", f"against {board(number(before))} before")
    return Page(facts("One step of example 1", head, rows), text)


def spoken(rate: Fraction) -> str:
    """A learning rate as decimals, or as a fraction with its decimals where they do not end."""
    decimals = board(number(float(rate)))
    return decimals if Fraction(decimals) == rate else f"{rate} ≈ {decimals}"


def predict_rate() -> Panel:
    """Which learning rate makes the loss smallest after one step?"""
    ledger = example_1.run()
    best = 1 / Rates.curvature(ledger)
    return predict(
        "After ONE step, which learning rate leaves the smallest loss?", ledger.explain("loss"),
        Option("The document’s 0.01: small steps are safe.", f"Safe, but the error only shrinks to {board(number(float(1 - Fraction('0.01') / best)))} of itself. At η = {best} it vanishes."),
        Option(f"{best} ≈ {float(best):.4f}", f"The error is multiplied by 1 − {1 / best}η, and that is 0 at η = {best}.", right=True),
        Option(f"{2 * best} ≈ {float(2 * best):.4f}", f"That is the threshold: the error is multiplied by −1, so the loss is as large as before. Half of it, {best}, is best."),
        Option("The larger, the better.", f"Beyond {2 * best} ≈ {float(2 * best):.4f} the step carries past the target by more than the error was: the loss rises."),
    )


def check_threshold(answer, image) -> Feedback:
    """From which learning rate on does a step raise the loss for another image?"""
    ledger = example_1.run(image=image)
    curvature, cells = Rates.curvature(ledger), [board(number(x)) for x in ledger["image"].flat]
    slips = {"the 1 for the bias is left out": 2 / float(curvature - 1), "the best learning rate is taken, not the threshold": float(1 / curvature),
             "the sum is not turned over": float(curvature)}
    return check(answer, float(2 / curvature), slips, "Add up the squares of the four cells, add 1 for the bias, and divide 2 by that.",
                 f"2/({' + '.join(f'{cell}²' for cell in cells)} + 1) = {2 / curvature}")


def walk() -> Panel:
    """The panel of the whole step."""
    return Panel(Walk())


def rates() -> Panel:
    """The panel of the loss against the learning rate."""
    return Panel(Rates())
