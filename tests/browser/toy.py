"""Small lessons for the panel's own tests and benchmark. Plain Python: a panel's test needs nothing of the suite.

`Toy`: four weights, a bias and a learning rate move a heat map, a curve and a line of arithmetic. `Count` runs
by itself. `Sketch` has a drawing.
"""

import time

from cnnlab.panel import Button, Choice, Drawing, Group, Lesson, Slider, View

IMAGE = ((1, 0, 2), (3, 1, 0), (0, 2, 1))
PLACES = ((0, 0), (0, 1), (1, 0), (1, 1))
WEIGHTS = tuple(
    Slider(f"w{u}{v}", f"weight w[{u},{v}]", -2, 2, 0.05, value)
    for (u, v), value in zip(PLACES, (0.5, -0.3, 0.2, 0.1), strict=True)
)


class Toy(Lesson):
    title = "A kernel on a small picture"
    controls = (
        Group("Kernel", *WEIGHTS, columns=2),
        Group(
            "Training",
            Slider("bias", "bias", -2, 2, 0.05, 0.0),
            Slider("rate", "learning rate", 0, 0.5, 0.01, 0.1, hint="Any number from 0 to 0.5, such as 2/31"),
            Slider("cell", "cell", 0, 3, 1, 0),
        ),
        Group(
            "Activation",
            Choice("activation", "Activation", (("none", "none"), ("relu", "ReLU")), "none"),
            Button("step", "Take the step", hint="Repeats the step as training"),
        ),
    )
    start = {"losses": ()}

    def view(self, state):
        if state["bias"] == 1.95:
            raise ValueError(f"line sum = BiasAdd(conv, bias): bias {state['bias']} is forbidden here")
        cells = [output(state, i, j) for i, j in PLACES]
        i, j = PLACES[state["cell"]]
        terms = [f"{IMAGE[i + u][j + v]}×{state[f'w{u}{v}']:.6g}" for u, v in PLACES]
        line = f"sum[{i},{j}] = {' + '.join(terms)} + {state['bias']:.6g} = {cells[state['cell']]:.6g}"
        return View(heat_map(cells, state["cell"]) + curve(state) + f"<p>{line}</p>{trail(state)}", line)

    def press(self, state, name):
        if name != "step":
            return super().press(state, name)
        loss = sum(output(state, i, j) ** 2 for i, j in PLACES) / 2
        if loss > 1e6:
            raise ValueError(f"line loss: {loss:.6g} is too large for a further step")
        moved = {f"w{u}{v}": state[f"w{u}{v}"] + 10 * state["rate"] for u, v in PLACES}
        return {**state, **moved, "losses": (*state["losses"], loss)}

    def limits(self, state):
        return {"cell": (0, 3 if state["activation"] == "none" else 1)}


def output(state, i, j):
    """Cell [i, j] of kernel, bias and activation on the picture."""
    total = sum(IMAGE[i + u][j + v] * state[f"w{u}{v}"] for u, v in PLACES) + state["bias"]
    return max(total, 0.0) if state["activation"] == "relu" else total


def heat_map(cells, chosen):
    """Four cells, coloured by sign and size, each a button that chooses it."""
    drawn = []
    for n, (value, (i, j)) in enumerate(zip(cells, PLACES, strict=True)):
        colour = f"rgba({'176,78,0' if value < 0 else '11,92,173'},{min(abs(value) / 6, 1) * 0.6:.2f})"
        ink = 4 if n == chosen else 1
        drawn.append(
            f'<g data-set="cell={n}" tabindex="0" role="button" aria-label="cell {i},{j}: {value:.3g}">'
            f'<rect x="{10 + 120 * j}" y="{10 + 90 * i}" width="112" height="82" fill="{colour}"'
            f' stroke="#1c2430" stroke-width="{ink}"/>'
            f'<text x="{66 + 120 * j}" y="{58 + 90 * i}" text-anchor="middle">{value:.3g}</text></g>'
        )
    return f'<svg viewBox="0 0 260 200" width="330" font-size="22" role="group">{"".join(drawn)}</svg>'


def curve(state):
    """A parabola over the learning rate, with the learner's own on it."""
    points = " ".join(f"{10 + 3 * n},{190 - 170 * ((n - 40) / 60) ** 2:.1f}" for n in range(101))
    x = 10 + 600 * state["rate"]
    return (
        f'<svg viewBox="0 0 330 200" width="420" role="img" aria-label="loss over learning rate">'
        f'<polyline points="{points}" fill="none" stroke="#0b5cad" stroke-width="3"/>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="10" y2="190" stroke="#b3261e" stroke-width="3"/></svg>'
    )


def trail(state):
    """The losses so far."""
    return f"<p>losses: {', '.join(f'{loss:.4g}' for loss in state['losses']) or 'none yet'}</p>"


class Count(Lesson):
    """Once started, each piece of 0.1 s adds the slider's number; beyond the limit it refuses to."""

    title = "A count that runs"
    piece = 0.1  # s
    controls = (
        Group("Run", Button("go", "Go"), Button("stop", "Stop"), columns=2),
        Group("Numbers", Slider("by", "add", 1, 10, 1, 1), Slider("limit", "limit", 1, 9999, 1, 9999)),
    )
    start = {"going": False, "added": ()}

    def view(self, state):
        added = state["added"]
        line = f"{len(added)} pieces, count {sum(added)}"
        above = "<p>the button is not always the same child of the picture</p>" * (len(added) % 3)
        return View(f'{above}<p>{line}</p><button data-press="stop">Stop here</button>', line)

    def press(self, state, name):
        return {**state, "going": name == "go"}

    def running(self, state):
        return state["going"]

    def tick(self, state):
        time.sleep(self.piece)
        added = (*state["added"], state["by"])
        if sum(added) > state["limit"]:
            raise ValueError(f"A count of {sum(added)} is beyond the limit.")
        return {**state, "added": added}


def bar(column):
    """28×28 grays with one full column, as a drawing holds them."""
    return bytes(255 * (n % 28 == column) for n in range(784))


class Sketch(Lesson):
    """A drawing, two pictures to put into it, and what Python knows of it."""

    title = "A drawing"
    controls = (
        Group("Draw", Drawing("digit", "digit", hint="Draw one digit, large")),
        Group("", Choice("preset", "Or take", ((0, "nothing"), (5, "a bar on the left"), (22, "a bar on the right")), 0)),
    )

    def view(self, state):
        digit = state["digit"]
        line = f"{sum(map(bool, digit))} cells with ink, {sum(digit)} in all"
        inked = [(n, gray) for n, gray in enumerate(digit) if gray]
        squares = (f'<rect x="{n % 28}" y="{n // 28}" width="1" height="1" fill-opacity="{gray / 255:.3f}"/>' for n, gray in inked)
        return View(f'<p data-grays="{digit.hex()}">{line}</p><svg viewBox="0 0 28 28" width="300">{"".join(squares)}</svg>', line)

    def change(self, state, name, value):
        return {**state, name: value, **({"digit": bar(value) if value else bytes(784)} if name == "preset" else {})}
