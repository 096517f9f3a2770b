"""What watching costs: a run in the training panel, in Chromium, beside the same run without it: `python -m tests.panel_cost`.

The same 20 epochs of LeNet-5 by turns: in the page, from the press on Train until the page says that it is done, and
with `go_on()` in this process. Medians of the rounds. Both train the same steps on one thread.
"""

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

from cnnlab.data import mnist
from cnnlab.networks import lenet_5
from cnnlab.training import Settings, Training
from tests.browser import lab
from tests.latency import write_notebook

EPOCHS = 20
CELL = "from cnnlab.lessons import train\ntrain.train()"
SETTINGS = Settings(epochs=EPOCHS, learning_rate=0.02, schedule="cosine", seed=1)  # as the panel begins


def plain() -> float:
    """Seconds of the run without a page."""
    training = Training(lenet_5, mnist(), SETTINGS)
    begun = perf_counter()
    training.go_on()
    return perf_counter() - begun


def watched(panel) -> float:
    """Seconds of the run in the page, until its end is on screen. Asked for ten times a second: to look for a text in
    every frame would itself slow the page."""
    lab.press_button(panel, "Start over")
    lab.type_number(panel, "epochs", str(EPOCHS))
    begun = perf_counter()
    panel.get_by_role("button", name="▶ Train", exact=True).click()
    ended = "panel => panel.querySelector('.cnnlab-picture').textContent.includes('Done:')"
    panel.page.wait_for_function(ended, arg=panel.element_handle(), polling=100, timeout=120_000)
    return perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with ExitStack() as stack:
        folder, home = (Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
        write_notebook(folder / "panel.ipynb", CELL)
        server, browser = stack.enter_context(lab.server(folder, home)), stack.enter_context(lab.chromium())
        page = lab.open_notebook(browser, server, "panel.ipynb")
        lab.run_all(page)
        times = [(watched(lab.panel(page)), plain()) for _ in range(rounds)]
    live, alone = (median(each) for each in zip(*times))
    for both in times:
        print(f"in the panel {both[0]:6.2f} s   without {both[1]:6.2f} s")
    print(f"watching costs {100 * (live / alone - 1):+.1f} % (medians of {rounds} rounds, {EPOCHS} epochs each)")


if __name__ == "__main__":
    main()
