"""Take the README's picture anew: `python -m tests.browser.picture`."""

import shutil
import tempfile
from pathlib import Path

from cnnlab import places

from . import lab

PICTURES = lab.ROOT / ".pictures"


def main():
    """Write the main panel of notebook 02 as a PNG, in the middle of its backward pass."""
    name = "02_step_through_example_2"
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as home:
        shutil.copy(places.notebooks_folder() / f"{name}.ipynb", folder)
        with lab.server(Path(folder), Path(home)) as server, lab.chromium() as browser:
            page = lab.open_notebook(browser, server, f"{name}.ipynb", width=1600, height=1500)
            page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
            lab.run_all(page)
            panel = lab.panel(page, 1)
            lab.type_number(panel, "micro-step", "38")
            panel.get_by_role("slider", name="micro-step").focus()
            PICTURES.mkdir(exist_ok=True)
            lab.screenshot(panel, PICTURES / "step_through_example_2.png")


if __name__ == "__main__":
    main()
