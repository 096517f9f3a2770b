"""How long a slider's move takes to the screen: the usual `interact` against a panel.

    python -m tests.latency [--lesson MODULE:NAME --slider NAME] [--rounds N]      (notebook 01's main panel, if not told)

In a real JupyterLab in Chromium, for the same page (four weights, a bias, a learning rate; a heat map, a
curve, a line of arithmetic), in the same run on the same machine:

    interact   ipywidgets.interact, FloatSliders, an inline matplotlib figure, in a stock JupyterLab
    panel      the same with cnnlab.panel, in a stock JupyterLab
    open       the same panel in a JupyterLab with cnnlab's server extension, as `cnnlab open` starts it

Method. The mouse is real (Chromium's own input events). An *input* is a pointer event in the page after
which the slider has a new value; its time is taken in the first listener of the page that sees it. A value
is *shown* in the first animation frame after the page's DOM holds it: the panel says so in an attribute
that it writes with the picture, the interact page in the last line that its callback prints. (The figure's
PNG may be decoded after that frame: this counts in interact's favour.)

- one move:  the thumb moves by one value, is seen, rests for a moment, and moves again. Median and p95 of
             the time from input to shown.
- drag:      60 mouse moves a second, from pixel to pixel, over the whole slider and back, so fast that it
             passes some 45 values a second. Frames shown per second, share of the values dragged over that
             were shown, and their time from input to shown.

The three take turns, round after round; a figure is the median over the rounds. It also prints what one
update costs in Python, in this process. Exits with 1 if a target is missed.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from importlib import import_module
from itertools import cycle
from pathlib import Path

import nbformat
import websocket
from playwright.sync_api import Locator, Page

from cnnlab.panel import Lesson, Panel, Slider
from tests.browser import lab

FAST_SOCKET = "cnnlab.fastsocket"
TARGETS = {"panel": 0.40, "open": 0.22}  # of interact's median time
PACE = 48  # values a second in a drag
FRAMES, SHARE, PYTHON_MS = 35, 0.85, 5.0

INTERACT = """
%matplotlib inline
import matplotlib.pyplot as plt, numpy as np
from ipywidgets import FloatSlider, interact

image = np.array([[1, 0, 2], [3, 1, 0], [0, 2, 1.0]])
rates = np.linspace(0, 0.5, 60)

def show(w00=0.5, w01=-0.3, w10=0.2, w11=0.1, bias=0.0, rate=0.1):
    kernel = np.array([[w00, w01], [w10, w11]])
    windows = np.lib.stride_tricks.sliding_window_view(image, (2, 2))
    sums = (windows * kernel).sum(axis=(2, 3)) + bias
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
    left.imshow(sums, cmap="RdBu", vmin=-6, vmax=6)
    for (i, j), value in np.ndenumerate(sums):
        left.text(j, i, f"{value:.3g}", ha="center", va="center")
    right.plot(rates, 0.5 * sums[0, 0] ** 2 * (1 - 11 * rates) ** 2)
    right.axvline(rate, color="red")
    plt.show()
    terms = " + ".join(f"{x:g}×{w:g}" for x, w in zip(image[:2, :2].flat, kernel.flat))
    print(f"sum[0,0] = {terms} + {bias:g} = {sums[0, 0]:g}")
    print(f"shown {w00}")

slider = dict(min=-2, max=2, step=0.05, continuous_update=True)
interact(show, w00=FloatSlider(0.5, min=LOW, max=HIGH, step=STEP), w01=FloatSlider(-0.3, **slider),
         w10=FloatSlider(0.2, **slider), w11=FloatSlider(0.1, **slider), bias=FloatSlider(0.0, **slider),
         rate=FloatSlider(0.1, min=0, max=0.5, step=0.01, continuous_update=True));
"""

PANEL = """
from cnnlab.panel import Panel
from MODULE import NAME
Panel(NAME() if isinstance(NAME, type) else NAME)
"""

# In the page: inputs = [[value, time]], frames = [[value, time]], both in milliseconds of the page's own clock.
WATCH = """([where, value, shown]) => {
    const root = document.querySelector(where)
    const number = (root, code) => { const found = new Function("root", "return " + code)(root)
        return found === null ? null : Number(Number(found).toFixed(9)) }
    const read = root => number(root, value), see = root => number(root, shown)
    const watch = window.watch = {inputs: [], frames: [], value: () => read(root)}
    let last = read(root), seen = see(root), asked = false
    const moved = event => {
        const time = performance.now()
        setTimeout(() => {
            if (read(root) === last) return
            last = read(root)
            watch.inputs.push([last, time])
        })
    }
    for (const kind of ["pointermove", "pointerdown"]) window.addEventListener(kind, moved, true)
    new MutationObserver(() => {
        const now = see(root)
        if (asked || now === null || now === seen) return
        asked = true
        requestAnimationFrame(() => {
            asked = false
            seen = see(root) ?? now
            watch.frames.push([seen, performance.now()])
        })
    }).observe(root, {subtree: true, childList: true, characterData: true, attributes: true})
}"""


CAUGHT_UP = "() => watch.inputs.length && watch.frames.some(([value]) => value === watch.inputs.at(-1)[0])"


class Mouse:
    """Moves that, like a hand's, do not wait for the page: Playwright's wait until the page has handled each."""

    def __init__(self, url: str, debug_port: int):
        with urllib.request.urlopen(f"http://127.0.0.1:{debug_port}/json") as answer:
            targets = json.load(answer)
        address = next(target["webSocketDebuggerUrl"] for target in targets if target["url"] == url)
        self.socket = websocket.create_connection(address, suppress_origin=True)

    def move(self, path: list[tuple[float, float]]) -> float:
        """Move over the points, 60 a second; returns the seconds it took."""
        begun = time.perf_counter()
        for n, (x, y) in enumerate(path):
            time.sleep(max(0, begun + n / 60 - time.perf_counter()))
            event = {"type": "mouseMoved", "x": x, "y": y, "button": "left", "buttons": 1}
            self.socket.send(json.dumps({"id": n, "method": "Input.dispatchMouseEvent", "params": event}))
        return time.perf_counter() - begun


class Bench:
    """One notebook page with a slider to drag; subclasses know where its value and its picture are."""

    handle: str
    where: str
    value: str
    shown: str

    def __init__(self, page: Page, debug_port: int):
        self.page = page
        self.mouse = Mouse(page.url, debug_port)
        lab.run_all(page)
        page.locator(self.handle).first.wait_for()
        page.locator(self.handle).first.scroll_into_view_if_needed()
        page.wait_for_timeout(500)
        page.evaluate(WATCH, [self.where, self.value, self.shown])

    def place(self, share: float) -> tuple[float, float]:
        """The point at this share of the slider's width."""
        box = self.track().bounding_box()
        return box["x"] + 8 + (box["width"] - 16) * share, box["y"] + box["height"] / 2

    def track(self) -> Locator:
        return self.page.locator(self.handle).first

    def one_move(self, times: int) -> list[float]:
        """Milliseconds from input to shown, for single moves with a rest between them."""
        self.start(0.2)
        spent = []
        for turn in range(times):
            self.clear()
            self.page.mouse.move(*self.place(0.2 + 0.04 * (1 + turn % 15)))
            self.page.wait_for_function(CAUGHT_UP)
            spent += self.spent()
            self.page.wait_for_timeout(120 + 60 * random.random())
        self.page.mouse.up()
        return spent

    def drag(self, values: int) -> dict[str, float]:
        """Frames a second, share of the values shown, and milliseconds to shown, over the slider and back."""
        self.start(0.02)
        self.clear()
        steps = round(60 * min(values, self.box[2] - 16) / PACE)
        path = [self.place_on(0.02 + 0.96 * n / steps) for n in range(1, steps + 1)]
        lasted = self.mouse.move([(round(x), round(y)) for x, y in [*path, *reversed(path)]])
        self.page.wait_for_timeout(800)
        self.page.mouse.up()
        inputs, frames = (self.page.evaluate(f"watch.{name}") for name in ("inputs", "frames"))
        spent = self.spent()
        return {"frames": len(frames) / lasted, "share": len(spent) / len(inputs), "values": len(inputs) / lasted,
                "ms": statistics.median(spent)}  # fmt: skip

    def place_on(self, share: float) -> tuple[float, float]:
        """As `place`, without asking the page again."""
        x, y, width = self.box
        return x + 8 + (width - 16) * share, y

    def grip(self) -> tuple[float, float]:
        """Where to take hold of the thumb; a native range's comes to wherever the mouse is pressed."""
        return self.place_on(0.5)

    def start(self, share: float) -> None:
        """Take the thumb and bring it to this share of the slider's width, then let everything settle."""
        self.page.bring_to_front()
        box = self.track().bounding_box()
        self.box = box["x"], box["y"] + box["height"] / 2, box["width"]
        self.page.mouse.move(*self.grip())
        self.page.mouse.down()
        self.page.mouse.move(*self.place_on(share), steps=5)
        self.page.wait_for_timeout(900)

    def clear(self) -> None:
        self.page.evaluate("() => { watch.inputs.length = watch.frames.length = 0 }")

    def spent(self) -> list[float]:
        """For each value that was shown, in order: the time since its input."""
        inputs, frames = (self.page.evaluate(f"watch.{name}") for name in ("inputs", "frames"))
        return match(inputs, frames)


def match(inputs: list, frames: list) -> list[float]:
    """Each frame's time since the newest input before it that has the frame's value and was not matched yet."""
    spent, first = [], 0
    for value, shown in frames:
        fitting = [n for n in range(first, len(inputs)) if inputs[n][0] == value and inputs[n][1] <= shown]
        if fitting:
            first = fitting[-1] + 1
            spent.append(shown - inputs[fitting[-1]][1])
    return spent


class InteractBench(Bench):
    where = ".jp-OutputArea .widget-interact"
    handle = ".widget-interact .noUi-target"
    value = "Number(root.querySelector('.widget-readout').textContent.replace('−', '-'))"
    shown = "root.textContent.match(/shown ([-.0-9]+)/)?.[1] ?? null"

    def grip(self) -> tuple[float, float]:
        box = self.page.locator(".widget-interact .noUi-handle").first.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


class PanelBench(Bench):
    where = ".cnnlab-panel"

    def __init__(self, page: Page, debug_port: int, slider: Slider):
        name = json.dumps(slider.name)
        self.handle = f".cnnlab-panel input[type=range][data-name={name}]"
        self.value = f"Number(root.querySelector('input[type=range][data-name={name}]').value)"
        self.shown = f"Number(JSON.parse(root.dataset.shown)[{name}])"
        super().__init__(page, debug_port)


def find(lesson: str) -> Lesson:
    """The lesson that MODULE:NAME stands for: an instance, or a class to make one of."""
    module, name = lesson.split(":")
    found = getattr(import_module(module), name)
    return found() if isinstance(found, type) else found


def find_slider(lesson: Lesson, name: str) -> Slider:
    """The lesson's slider of this name."""
    sliders = [control for group in lesson.controls for control in group.controls if isinstance(control, Slider)]
    return next(slider for slider in sliders if name == slider.name)


def fill_in(source: str, **values: object) -> str:
    """The source with every NAME replaced by its value."""
    for name, value in values.items():
        source = source.replace(name, str(value))
    return source


def write_notebook(path: Path, source: str) -> None:
    """A notebook of one code cell, for the Python 3 kernel."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip())])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def python_cost(lesson: Lesson, slider: Slider, times: int = 300) -> float:
    """Milliseconds of one update in Python: the lesson's view, and the answer as JSON. Median."""
    panel, spent = Panel(lesson), []
    values = cycle([slider.low, slider.high, slider.value])
    for _, value in zip(range(times), values, strict=False):
        begun = time.perf_counter()
        panel.set(slider.name, value)
        json.dumps(panel.page)
        spent.append(1000 * (time.perf_counter() - begun))
    return statistics.median(spent)


def measure(lesson_name: str, slider_name: str, rounds: int, moves: int) -> dict[str, dict[str, float]]:
    """The table: for each of the three, its figures by name."""
    lesson = find(lesson_name)
    slider = find_slider(lesson, slider_name)
    module, name = lesson_name.split(":")
    values = round((slider.high - slider.low) / slider.step)
    with ExitStack() as stack:
        enter = stack.enter_context
        folder, home, fast_home = (Path(enter(tempfile.TemporaryDirectory())) for _ in range(3))
        write_notebook(folder / "interact.ipynb", fill_in(INTERACT, LOW=slider.low, HIGH=slider.high, STEP=slider.step))
        write_notebook(folder / "panel.ipynb", fill_in(PANEL, MODULE=module, NAME=name))
        stock = enter(lab.server(folder, home))
        fast = enter(lab.server(folder, fast_home, extensions=(FAST_SOCKET,)))
        port = lab.free_port()
        browser = enter(lab.chromium(port))
        benches = {
            "interact": InteractBench(lab.open_notebook(browser, stock, "interact.ipynb"), port),
            "panel": PanelBench(lab.open_notebook(browser, stock, "panel.ipynb"), port, slider),
            "open": PanelBench(lab.open_notebook(browser, fast, "panel.ipynb"), port, slider),
        }
        runs = {name: [] for name in benches}
        for _ in range(rounds):
            for name, bench in benches.items():
                spent = bench.one_move(moves)
                run = {"median": statistics.median(spent), "p95": statistics.quantiles(spent, n=20)[-1]}
                runs[name].append(run | bench.drag(values))
                print(f"  {name:9}", {key: round(value, 2) for key, value in runs[name][-1].items()}, flush=True)
    return {name: {key: statistics.median(run[key] for run in done) for key in done[0]} for name, done in runs.items()}


def report(table: dict[str, dict[str, float]], cost: float) -> list[str]:
    """Print the table and the ratios; return the targets that were missed."""
    base = table["interact"]["median"]
    print("\n           one move, ms        drag at 60 mouse moves a second")
    print("           median  p95  ratio  values/s  frames/s  shown   ms")
    for name, row in table.items():
        print(f"{name:9} {row['median']:7.0f} {row['p95']:5.0f}  {row['median'] / base:5.2f}  {row['values']:8.0f}"
              f"  {row['frames']:8.0f}  {row['share']:5.0%}  {row['ms']:4.0f}")  # fmt: skip
    print(f"\nPython, one update: {cost:.2f} ms (target {PYTHON_MS})")
    missed = [f"{name} takes {table[name]['median'] / base:.2f} of interact's time, target {target}"
              for name, target in TARGETS.items() if table[name]["median"] > target * base]  # fmt: skip
    fast = table["open"]
    missed += [f"open shows {fast['frames']:.0f} frames a second, target {FRAMES}"] * (fast["frames"] < FRAMES)
    missed += [f"open shows {fast['share']:.0%} of the values, target {SHARE:.0%}"] * (fast["share"] < SHARE)
    missed += [f"one update costs {cost:.2f} ms in Python, target {PYTHON_MS}"] * (cost >= PYTHON_MS)
    return missed


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.latency", description=__doc__.split("\n")[0])
    options.add_argument("--lesson", default="cnnlab.lessons.example_1:Walk", help="MODULE:NAME of the lesson in the panel")
    options.add_argument("--slider", default="kernel[0,0]", help="name of the slider to move")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--moves", type=int, default=40, help="single moves a round")
    chosen = options.parse_args()
    random.seed(1)
    cost = python_cost(find(chosen.lesson), find_slider(find(chosen.lesson), chosen.slider))
    missed = report(measure(chosen.lesson, chosen.slider, chosen.rounds, chosen.moves), cost)
    print("\n".join(["", *[f"MISSED: {line}" for line in missed]] if missed else ["all targets met"]))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
