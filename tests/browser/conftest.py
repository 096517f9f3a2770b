"""Real Jupyter servers and a real Chromium, started once a test run. See lab.py for a learner's hands.

    def test_something(open_copy):
        page = open_copy(ROOT / "notebooks" / "01_step_through_example_1.ipynb")            # in JupyterLab
        page = open_copy(ROOT / "notebooks" / "01_step_through_example_1.ipynb", "notebook")  # in Notebook 7
        lab.run_all(page)
        lab.drag(lab.panel(page, 0), "bias", 0.5)

Each call copies the notebook into a folder of its own and opens it with a kernel of its own; both are gone
when the test (with `open_copy_for_module`: the module) is over.
"""

import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.browser import lab


@pytest.fixture(scope="session")
def browser():
    """Chromium; a test that needs it fails if it is missing."""
    with lab.chromium() as running:
        yield running


@pytest.fixture(scope="session")
def server_of(tmp_path_factory):
    """front end -> its running server, started at the first call."""
    servers = {}
    with ExitStack() as stack:

        def start(front_end: str) -> lab.Server:
            if front_end not in servers:
                folder, home = (tmp_path_factory.mktemp(f"{front_end}-{what}") for what in ("notebooks", "home"))
                servers[front_end] = stack.enter_context(lab.server(folder, home, front_end))
            return servers[front_end]

        yield start


@pytest.fixture
def open_copy(browser, server_of):
    """(notebook's path, front end = "lab") -> the page it is open in, until the end of the test."""
    with opener(browser, server_of) as open_one:
        yield open_one


@pytest.fixture(scope="module")
def open_copy_for_module(browser, server_of):
    """As `open_copy`, until the end of the module's tests."""
    with opener(browser, server_of) as open_one:
        yield open_one


@contextmanager
def opener(browser, server_of):
    """A function that opens copies of notebooks; ends their kernels and closes their windows afterwards."""
    pages = []

    def open_one(path: Path, front_end: str = "lab", **size: int):
        running = server_of(front_end)
        folder = Path(tempfile.mkdtemp(dir=running.folder))
        shutil.copy(path, folder)
        pages.append(lab.open_notebook(browser, running, f"{folder.name}/{path.name}", **size))
        return pages[-1]

    yield open_one
    for page in pages:
        page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        page.context.close()
