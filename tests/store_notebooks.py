"""Execute the notebooks and store them so that running this twice changes nothing.

    python -m tests.store_notebooks            all of them
    python -m tests.store_notebooks 01 02      those whose names begin so

Each notebook runs from top to bottom in a fresh kernel and is written back without
what differs from run to run: times, widget state, and the random ids of widgets. A
reader without a kernel then sees a panel's worked line instead of the message that
its widget was not found. That a cell shows a widget is kept as its tag `panel`.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from cnnlab import places

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PANEL_TAG = "panel"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def main(beginnings) -> int:
    """Execute and store the notebooks whose names begin so, or all; returns an exit code."""
    chosen = [path for path in places.notebooks() if path.name.startswith(tuple(beginnings) or "")]
    for path in chosen:
        text = stored(path)
        changed = text != path.read_text(encoding="utf-8")
        path.write_text(text, encoding="utf-8")
        print(f"{path.name}: {'stored' if changed else 'unchanged'}", flush=True)
    return 0 if chosen else 2


def stored(path: Path) -> str:
    """The text of the notebook's file, executed now and without what differs from run to run."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name="python3", timeout=120, resources=where).execute()
    settle(notebook)
    return nbformat.writes(notebook) + "\n"


def settle(notebook):
    """Leave out of an executed notebook what differs from run to run, and tag its panels."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        tags = kept_tags(cell)
        cell.metadata = {"tags": tags} if tags else {}
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(WIDGET_VIEW, None)


def kept_tags(cell):
    """The author's tags of a cell, and `panel` exactly if it shows a widget."""
    tags = [tag for tag in cell.metadata.get("tags", ()) if tag != PANEL_TAG]
    return [*tags, PANEL_TAG] if shows_widget(cell) else tags


def shows_widget(cell) -> bool:
    """Whether an executed cell has a widget among its outputs."""
    return any(WIDGET_VIEW in output.get("data", {}) for output in cell.get("outputs", ()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
