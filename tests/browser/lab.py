"""A real JupyterLab or Notebook 7 in a real Chromium, and a learner's hands in it.

    with server(folder) as lab, chromium() as browser:
        page = open_notebook(browser, lab, "Example.ipynb")
        run_all(page)
        first = panel(page, 0)
        drag(first, "learning rate", 0.25)
        type_number(first, "bias", "2/31")
        press_key(first, "bias", "ArrowRight")
        assert "0.02" in picture_text(first)
        screenshot(first, "example.png")

The server gets a home of its own and answers on this machine only; Chromium can reach nothing else.
As pytest fixtures: `lab`, `notebook7`, `browser` and `page_of` in conftest.py.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {  # no news from the internet; no dialog about a file that changed on disk
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "docmanager-extension/plugin": {"autosave": False},
}
CHROMIUM = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
FRONT_ENDS = {  # name: (module, class of its settings, where it opens a notebook)
    "lab": ("jupyterlab", "LabApp", "lab/workspaces/{workspace}/tree"),
    "notebook": ("notebook", "JupyterNotebookApp", "notebooks"),
}


@dataclass(frozen=True)
class Server:
    """A running Jupyter server: `url` ends in a slash; `opens` is the path under which it opens notebooks, in a
    JupyterLab workspace of its own (a window that restores another one's tabs may run the wrong notebook)."""

    url: str
    token: str
    opens: str
    folder: Path


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def own_home(home: Path) -> dict[str, str]:
    """Environment in which Jupyter, IPython and matplotlib read and write under `home` only."""
    for name, values in SETTINGS.items():
        settings = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(values))
    places = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
              "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
              "IPYTHONDIR": "ipython", "MPLCONFIGDIR": "matplotlib"}  # fmt: skip
    own = {name: str(home / folder) for name, folder in places.items()}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **own, "HOME": str(home), "PYTHONPATH": path}


@contextmanager
def server(folder: Path, home: Path, front_end: str = "lab", extensions: tuple[str, ...] = ()) -> Iterator[Server]:
    """A Jupyter server over the notebooks in `folder`; `extensions` are server extensions to switch on."""
    module, application, opens = FRONT_ENDS[front_end]
    port, token = free_port(), secrets.token_hex(16)
    command = [
        sys.executable, "-m", module, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}", f"--{application}.expose_app_in_browser=True",
        *(f"--ServerApp.jpserver_extensions={name}=True" for name in extensions),
    ]  # fmt: skip
    log = home / "server.log"
    environment = own_home(home)
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        running = Server(f"http://127.0.0.1:{port}/", token, opens, folder)
        wait_for(running, process, log)
        yield running
    finally:
        process.terminate()
        process.wait(20)


def wait_for(running: Server, process: subprocess.Popen, log: Path) -> None:
    """Return once the server answers; RuntimeError with its log if it ends or stays silent for a minute."""
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{running.url}api/status?token={running.token}", timeout=2).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"Jupyter did not start:\n{log.read_text()}")


@contextmanager
def chromium(debug_port: int | None = None) -> Iterator[Browser]:
    """Debian's Chromium, without a window; RuntimeError if there is none (a test then fails, never skips)."""
    debugging = [f"--remote-debugging-port={debug_port}"] if debug_port else []
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise RuntimeError("The browser tests need Chromium on the PATH: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM + debugging)
        try:
            yield browser
        finally:
            browser.close()


def open_notebook(browser: Browser, running: Server, name: str, width: int = 1400, height: int = 1000) -> Page:
    """A new window of the browser with the notebook `name` open and its kernel ready."""
    page = browser.new_page(viewport={"width": width, "height": height})
    opens = running.opens.format(workspace=secrets.token_hex(4))
    page.goto(f"{running.url}{opens}/{name}?token={running.token}")
    ready = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    page.wait_for_function(ready, timeout=90_000)
    return page


RUN_ALL = """async () => {
    await jupyterapp.commands.execute('notebook:run-all-cells')
    const {widgets} = jupyterapp.shell.currentWidget.content
    return widgets.filter(cell => cell.model.type === 'code').map(cell => cell.model.sharedModel.toJSON())
}"""


def run_all(page: Page) -> list[dict]:
    """Run All, to the end: the code cells as nbformat; AssertionError with the traceback if one raised."""
    cells = page.evaluate(RUN_ALL)
    for number, cell in enumerate(cells, 1):
        assert cell["execution_count"] or not cell["source"], f"code cell {number} was not run"
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                raise AssertionError(f"code cell {number} raised:\n" + "\n".join(output["traceback"]))
    return cells


def panel(page: Page, n: int = 0) -> Locator:
    """The n-th panel on the page, scrolled into view."""
    found = page.locator(".cnnlab-panel").nth(n)
    found.wait_for(timeout=30_000)
    found.scroll_into_view_if_needed()
    drawn = found.locator(".cnnlab-picture")  # JupyterLab draws nothing that is off screen
    expect(drawn).not_to_have_text("", use_inner_text=True)
    return found


def slider(panel: Locator, label: str) -> Locator:
    """The range input with this label."""
    return panel.get_by_role("slider", name=label, exact=True)


def number_field(panel: Locator, label: str) -> Locator:
    """The text field that belongs to the slider with this label."""
    return panel.get_by_role("textbox", name=f"{label}, as a number", exact=True)


def thumb(handle: Locator, value: float) -> tuple[float, float]:
    """Where on the page a slider's thumb is when the slider stands at `value`."""
    low, high = (float(handle.get_attribute(end)) for end in ("min", "max"))
    box, size = handle.bounding_box(), 16  # Chromium's thumb is 16 px wide and stays within the track
    return box["x"] + size / 2 + (box["width"] - size) * (value - low) / (high - low), box["y"] + box["height"] / 2


def drag(panel: Locator, label: str, *values: float, steps: int = 12) -> None:
    """Take the slider's thumb with the mouse and move it over these values, one after the other."""
    handle, mouse = slider(panel, label), panel.page.mouse
    handle.scroll_into_view_if_needed()
    mouse.move(*thumb(handle, float(handle.input_value())))
    mouse.down()
    for value in values:
        mouse.move(*thumb(handle, value), steps=steps)
    mouse.up()
    settle(panel)


def type_number(panel: Locator, label: str, text: str, commit: str = "Enter") -> None:
    """Select what is in the number field, type `text` key by key, and press Enter (or Tab)."""
    field = number_field(panel, label)
    field.click()
    field.press("ControlOrMeta+a")
    field.press_sequentially(text)
    field.press(commit)
    settle(panel)


def press_key(panel: Locator, label: str, *keys: str) -> None:
    """Focus the slider and press these keys on it."""
    slider(panel, label).focus()
    for key in keys:
        panel.page.keyboard.press(key)
    settle(panel)


def press_button(panel: Locator, label: str) -> None:
    """Click a button of the panel: one of the lesson's, or the reset."""
    panel.get_by_role("button", name=label, exact=True).click()
    settle(panel)


def canvas(panel: Locator, label: str) -> Locator:
    """The canvas of the drawing with this label."""
    return panel.get_by_role("application", name=label, exact=True)


def point(panel: Locator, label: str, row: float, column: float) -> tuple[float, float]:
    """Where on the page the middle of a drawing's cell is."""
    drawing = canvas(panel, label)
    box, rows, columns = drawing.bounding_box(), *(int(drawing.get_attribute(side)) for side in ("height", "width"))
    return box["x"] + box["width"] * (column + 0.5) / columns, box["y"] + box["height"] * (row + 0.5) / rows


def stroke(panel: Locator, label: str, *cells: tuple[float, float], steps: int = 12) -> None:
    """Draw with the mouse from the middle of one cell (row, column) to the next."""
    canvas(panel, label).scroll_into_view_if_needed()
    mouse, (first, *others) = panel.page.mouse, [point(panel, label, *cell) for cell in cells]
    mouse.move(*first)
    mouse.down()
    for other in others:
        mouse.move(*other, steps=steps)
    mouse.up()
    settle(panel)


def grays(panel: Locator, label: str) -> bytes:
    """What is on a drawing's canvas, one gray for each cell, row by row."""
    pixels = """canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"""
    return bytes(canvas(panel, label).evaluate(pixels)[::4])


def settle(panel: Locator) -> None:
    """Return when every move made so far is answered and on screen."""
    panel.locator("xpath=self::*[not(@data-waiting)]").wait_for(timeout=10_000)


def picture_text(panel: Locator) -> str:
    """The text that a learner sees in the picture."""
    return panel.locator(".cnnlab-picture").inner_text()


def message(panel: Locator) -> str:
    """The panel's complaint, or an empty string."""
    return panel.locator(".cnnlab-message").inner_text()


def shown(panel: Locator) -> dict[str, str]:
    """The controls' values that the picture on screen belongs to, by name, as text in full precision."""
    return json.loads(panel.get_attribute("data-shown"))


def screenshot(target: Locator | Page, path: Path | str) -> None:
    """A PNG of the window, or of a panel: for one that is taller than the window, the window grows meanwhile."""
    if isinstance(target, Page):
        target.screenshot(path=str(path))
        return
    size = target.page.viewport_size
    height = round(target.bounding_box()["height"]) + 250
    target.page.set_viewport_size({**size, "height": max(size["height"], height)})
    target.scroll_into_view_if_needed()
    target.page.wait_for_timeout(300)
    target.screenshot(path=str(path))
    target.page.set_viewport_size(size)
