"""What every notebook of the suite promises, checked on its file as it is stored.

nbval runs the notebooks and compares their outputs. It says nothing of an output that was
cleared, of a panel whose picture is missing, or of a cell that tells it to look away: these
checks close such holes. Each is a function from a notebook to its complaints, and each is shown
here to complain about a notebook with that fault and about no other.
"""

import ast
import json
import re
import socket
import warnings
from copy import deepcopy
from dataclasses import dataclass

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbformat.v4.rwbase import rejoin_lines

from cnnlab import places
from tests import store_notebooks
from tests.store_notebooks import KERNEL, PANEL_TAG, WIDGET_VIEW

MOST_CELLS = 27  # about 25: one idea more or less is no reason to squeeze two texts into one
LONGER = {"03": 40, "04": 33}  # eight causes, each with its panel; a network that is counted, trained and broken
MOST_CODE_LINES = 6
MOST_OPENING_WORDS = 60
# Question, numbers, predict, move, explain, check: six texts an idea, of which up to five show something.
LEAST_TEXTS_A_CODE_CELL = 6 / 5
STATIC = {"text/html", "image/svg+xml", "text/plain"}
LOOK_AWAY = re.compile(r"nbval|PYTEST_VALIDATE|raises-exception", re.IGNORECASE)
OBJECT = re.compile(r"model_id|0x[0-9a-f]{6}|object at|^\s*\w+\(|^\s*<", re.IGNORECASE)
WORKED = re.compile(r"\d.*[=≈] *[−-]?\d")
REMOTE = re.compile(
    r"""<script|<iframe|<link|@import             # brings in something whatever its address
    | !\[[^]]*\]\(\s*<?\s*(?:https?:)?//           # a Markdown picture
    | (?:src\s*=|url\()\s*["']?\s*(?:https?:)?//  # HTML and CSS""",
    re.IGNORECASE | re.VERBOSE,
)
MACHINE = re.compile(
    r"""(?<![\w./])/(?:home|root|work|tmp|usr|opt|mnt|var|Users|private)/
    | \b[A-Z]:\\\w | localhost | 127\.0\.0\.1 | site-packages | \.venv""",
    re.VERBOSE,
)


@dataclass
class Book:
    """A stored notebook and the name of its file."""

    name: str
    notebook: nbformat.NotebookNode

    @property
    def cells(self):
        return self.notebook.cells

    @property
    def code(self):
        return [cell for cell in self.cells if cell.cell_type == "code"]


def opened(path):
    """The notebook as it stands in the file, without what nbformat would put right on reading."""
    stored = nbformat.from_dict(json.loads(path.read_text(encoding="utf-8")))
    return Book(path.name, rejoin_lines(stored))


def is_panel(cell):
    """Whether a cell shows a widget; store_notebooks notes it when it runs the cell."""
    return PANEL_TAG in cell.metadata.get("tags", ())


def shown(cell):
    """All that the cell's stored outputs hold, by type: [(type, text)]."""
    data = [item for output in cell.outputs for item in output.get("data", {}).items()]
    return data + [("text/plain", output.text) for output in cell.outputs if output.output_type == "stream"]


def all_text(book):
    """Every source and every stored output, one after another."""
    for cell in book.cells:
        yield cell.source
        if cell.cell_type == "code":
            yield from (str(text) for _, text in shown(cell))


# ---- the checks -----------------------------------------------------------------------------


def has_a_name_in_reading_order(book):
    if not re.fullmatch(r"\d\d(_[a-z0-9]+){2,}\.ipynb", book.name):
        yield f"{book.name} is not NN_verb_phrase.ipynb"


def is_valid(book):
    try:
        with warnings.catch_warnings(action="error"):  # such as the one for a cell without an id
            nbformat.validate(book.notebook)
    except (nbformat.ValidationError, Warning) as problem:
        yield str(problem).splitlines()[0]


def asks_for_any_python_3(book):
    if book.notebook.metadata != {"kernelspec": KERNEL, "language_info": {"name": "python"}}:
        yield "its metadata is not what store_notebooks writes"


def counts_run_from_one(book):
    counts = [cell.execution_count for cell in book.code]
    if not counts or counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}"


def stores_its_outputs(book):
    if not any(shown(cell) for cell in book.code):
        yield "no output is stored"


def stores_no_widget(book):
    for cell in book.code:
        if any(kind == WIDGET_VIEW for kind, _ in shown(cell)):
            yield f"a widget's random id is stored: {cell.source}"
    if "widgets" in book.notebook.metadata:
        yield "widget state is stored"


def stores_no_error(book):
    for cell in book.code:
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"an error or a warning is stored: {cell.source}"


def hides_nothing_from_nbval(book):
    for cell in book.code:
        if LOOK_AWAY.search(cell.source) or LOOK_AWAY.search(" ".join(cell.metadata.get("tags", ()))):
            yield f"nbval is told to look away: {cell.source}"


def shows_something_static_before_each_panel(book):
    """A static output stands before the first panel, and a text or a static output between any two."""
    static = after_panel = False
    for cell in book.cells:
        panel = cell.cell_type == "code" and is_panel(cell)
        if panel and (after_panel or not static):
            yield f"no static cell before the panel: {cell.source}"
        static = static or (cell.cell_type == "code" and not panel and any(kind in STATIC for kind, _ in shown(cell)))
        after_panel = panel


def shows_a_worked_line_for_each_panel(book):
    for cell in filter(is_panel, book.code):
        lines = [text for kind, text in shown(cell) if kind == "text/plain"]
        if not lines or not all(WORKED.search(line) and not OBJECT.search(line) for line in map(str, lines)):
            yield f"not the worked line of a panel: {lines}"


def is_short(book):
    most = LONGER.get(book.name[:2], MOST_CELLS)
    if len(book.cells) > most:
        yield f"{len(book.cells)} cells, more than {most}"


def has_more_text_than_code(book):
    texts = sum(cell.cell_type == "markdown" for cell in book.cells)
    if texts < LEAST_TEXTS_A_CODE_CELL * len(book.code):
        yield f"{texts} text cells to {len(book.code)} code cells"


def has_short_code(book):
    for cell in book.code:
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if not 1 <= len(lines) <= MOST_CODE_LINES:
            yield f"{len(lines)} lines: {cell.source}"


def is_plain_python_with_one_cell_of_imports(book):
    try:
        importing = [cell for cell in book.code if imports(cell.source)]
    except SyntaxError as problem:
        yield f"not plain Python: {problem.text}"
    else:
        if len(importing) != 1:
            yield f"{len(importing)} cells import"


def imports(source):
    """Whether this code imports anything, at any depth."""
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(ast.parse(source)))


def opens_with_a_title_and_few_words(book):
    title, _, opening = book.cells[0].source.partition("\n")
    words = len(opening.split())
    if book.cells[0].cell_type != "markdown" or not re.match(r"# \S", title):
        yield "the first cell does not begin with a title"
    elif not 1 <= words <= MOST_OPENING_WORDS:
        yield f"{words} words of opening"


def fetches_nothing(book):
    for text in all_text(book):
        for found in REMOTE.finditer(text):
            yield f"fetches from elsewhere or runs a script: {found[0]}"


def names_no_machine(book):
    own_name = re.compile(rf"\b{re.escape(socket.gethostname())}\b")
    for text in all_text(book):
        for found in (MACHINE.search(text), own_name.search(text)):
            if found:
                yield f"belongs to one machine: {found[0]}"


CHECKS = [
    has_a_name_in_reading_order,
    is_valid,
    asks_for_any_python_3,
    counts_run_from_one,
    stores_its_outputs,
    stores_no_widget,
    stores_no_error,
    hides_nothing_from_nbval,
    shows_something_static_before_each_panel,
    shows_a_worked_line_for_each_panel,
    is_short,
    has_more_text_than_code,
    has_short_code,
    is_plain_python_with_one_cell_of_imports,
    opens_with_a_title_and_few_words,
    fetches_nothing,
    names_no_machine,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("path", places.notebooks(), ids=lambda path: path.stem)
def test_notebook(path, check):
    assert list(check(opened(path))) == []


@pytest.mark.server
@pytest.mark.parametrize("path", places.notebooks(), ids=lambda path: path.stem)
def test_file_is_what_running_and_storing_it_gives(path):
    """So no output is out of date, and exactly the cells that show a widget are tagged as panels."""
    assert store_notebooks.stored(path) == path.read_text(encoding="utf-8")


def test_notebooks_are_numbered_without_a_gap():
    assert places.notebooks()
    files = sorted(places.notebooks_folder().glob("*.ipynb"))
    assert [path.name[:2] for path in files] == [f"{number:02d}" for number in range(1, len(files) + 1)]


# ---- each check complains about its fault, and only about that ------------------------------


def result(text, kind="text/plain", count=1):
    """The stored output of a cell."""
    return new_output("execute_result", {kind: text}, execution_count=count)


def good_book():
    """A small notebook without a fault."""
    code = [
        new_code_cell("import cnnlab", execution_count=1),
        new_code_cell("1 + 1", execution_count=2, outputs=[result("2", count=2)]),
        new_code_cell("show()", execution_count=3, outputs=[result("1 + 1 = 2", count=3)]),
    ]
    code[2].metadata.tags = [PANEL_TAG]
    texts = ["# Add numbers\n\nYou will add.", "## Question", "## Numbers", "## Move", "## Explain"]
    cells = [cell for pair in zip(map(new_markdown_cell, texts), code, strict=False) for cell in pair]
    cells += [new_markdown_cell(text) for text in texts[3:]]
    metadata = {"kernelspec": deepcopy(KERNEL), "language_info": {"name": "python"}}
    return Book("01_add_numbers.ipynb", new_notebook(cells=cells, metadata=metadata))


def change(number, **values):
    """A fault in one code cell."""
    return lambda book: book.code[number].update(values)


def source_of(number, source):
    """A fault in one cell's source, text or code."""
    return lambda book: book.cells[number].update(source=source)


def outputs(number, *found):
    """A fault in one code cell's stored outputs."""
    return change(number, outputs=[nbformat.from_dict(output) for output in found])


def error(name="error"):
    """A stored error, or a stored warning."""
    if name == "error":
        return new_output("error", ename="ValueError", evalue="no", traceback=[])
    return new_output("stream", name="stderr", text="a warning")


def metadata(**values):
    """A fault in the notebook's metadata."""
    return lambda book: book.notebook.metadata.update(values)


FAULTS = [
    (has_a_name_in_reading_order, lambda book: setattr(book, "name", "Add numbers.ipynb")),
    (has_a_name_in_reading_order, lambda book: setattr(book, "name", "01_Add-numbers.ipynb")),
    (has_a_name_in_reading_order, lambda book: setattr(book, "name", "01_numbers.ipynb")),
    (is_valid, lambda book: book.cells[0].pop("id")),
    (is_valid, lambda book: book.cells[0].update(outputs=[])),
    (asks_for_any_python_3, metadata(kernelspec={**KERNEL, "name": "my-environment"})),
    (asks_for_any_python_3, metadata(language_info={"name": "python", "version": "3.11.7"})),
    (counts_run_from_one, change(1, execution_count=None)),
    (counts_run_from_one, change(1, execution_count=5)),
    (counts_run_from_one, lambda book: book.cells.insert(1, book.cells.pop(3))),
    (stores_its_outputs, lambda book: [cell.update(outputs=[], metadata={}) for cell in book.code]),
    (stores_no_widget, lambda book: book.code[2].outputs[0].data.update({WIDGET_VIEW: {"model_id": "1"}})),
    (stores_no_error, outputs(0, error())),
    (stores_no_error, outputs(0, error("stderr"))),
    (hides_nothing_from_nbval, change(1, source="# NBVAL_IGNORE_OUTPUT\n1 + 1")),
    (hides_nothing_from_nbval, change(1, metadata={"tags": ["nbval-skip"]})),
    (hides_nothing_from_nbval, change(1, metadata={"tags": ["raises-exception"]})),
    (shows_something_static_before_each_panel, outputs(1)),
    (shows_something_static_before_each_panel, outputs(1, result("", "image/png"))),
    (shows_something_static_before_each_panel,
     lambda book: book.cells.insert(book.cells.index(book.code[2]) + 1, again(book.code[2]))),
    (shows_a_worked_line_for_each_panel, outputs(2)),
    (shows_a_worked_line_for_each_panel, outputs(2, result("IntSlider(value=0, max=1 = 2)"))),
    (shows_a_worked_line_for_each_panel, outputs(2, result("<Panel object at 0x7f66d5c0>"))),
    (shows_a_worked_line_for_each_panel, outputs(2, result("the loss"))),
    (shows_a_worked_line_for_each_panel, outputs(2, result("1 + 1 = 2 model_id"))),
    (is_short, lambda book: book.cells.extend(new_markdown_cell("more") for _ in range(MOST_CELLS))),
    (has_more_text_than_code, lambda book: [book.cells.pop() for _ in range(2)]),
    (has_short_code, change(1, source="1\n" * 7)),
    (has_short_code, change(1, source="")),
    (is_plain_python_with_one_cell_of_imports, change(1, source="from math import pi")),
    (is_plain_python_with_one_cell_of_imports, change(0, source="1")),
    (is_plain_python_with_one_cell_of_imports, change(1, source="%matplotlib inline")),
    (opens_with_a_title_and_few_words, source_of(0, "Add numbers\n\nYou will add.")),
    (opens_with_a_title_and_few_words, source_of(0, "# Add numbers")),
    (opens_with_a_title_and_few_words, source_of(0, "# Add numbers\n" + "word " * 61)),
    (fetches_nothing, source_of(2, "![a picture](https://example.org/a.png)")),
    (fetches_nothing, source_of(2, '<img alt="" src="http://example.org/a.png">')),
    (fetches_nothing, source_of(2, "<img src='//example.org/a.png'>")),
    (fetches_nothing, outputs(1, result("<style>a {background: url(https://example.org/a)}</style>", "text/html", 2))),
    (fetches_nothing, outputs(1, result("<script>alert(1)</script>", "text/html", 2))),
    (names_no_machine, source_of(2, "Look into /home/someone/notebooks/.")),
    (names_no_machine, source_of(2, "Look into C:\\Users.")),
    (names_no_machine, outputs(1, result("/tmp/ipykernel_1/2.py:3: DeprecationWarning"))),
    (names_no_machine, source_of(2, f"On {socket.gethostname()}.")),
]


def again(cell):
    """The same cell once more, as the next one to be run."""
    return nbformat.from_dict({**deepcopy(cell), "id": "again", "execution_count": cell.execution_count + 1})


def test_no_check_complains_about_a_good_notebook():
    assert [complaint for check in CHECKS for complaint in check(good_book())] == []


@pytest.mark.parametrize(("check", "fault"), FAULTS, ids=lambda value: value.__name__)
def test_exactly_the_right_check_complains(check, fault):
    book = good_book()
    fault(book)
    assert [other for other in CHECKS if list(other(book))] == [check]


def test_every_check_has_a_fault_that_it_finds():
    assert {check for check, _ in FAULTS} == set(CHECKS)


def test_a_link_and_a_drawing_are_no_fault():
    book = good_book()
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><path d="M0/1"/></svg>'
    book.cells[2].source = "See [the paper](https://example.org/paper), and the ratio 1/2 or input/output."
    book.code[1].outputs = [nbformat.from_dict(result(drawing, "image/svg+xml", 2))]
    assert [complaint for check in CHECKS for complaint in check(book)] == []


# ---- storing --------------------------------------------------------------------------------


@pytest.mark.server
def test_storing_twice_changes_nothing_and_notes_the_panels(tmp_path):
    path = tmp_path / "01_add_numbers.ipynb"
    texts = ["import ipywidgets", "ipywidgets.IntSlider()", "1 + 1"]
    tags = [{}, {"tags": ["wide"]}, {"tags": [PANEL_TAG], "scrolled": True}]
    cells = [new_code_cell(text, metadata=tag) for text, tag in zip(texts, tags, strict=True)]
    nbformat.write(new_notebook(cells=cells), path)
    path.write_text(store_notebooks.stored(path), encoding="utf-8")
    first = opened(path)
    assert [cell.metadata for cell in first.code] == [{}, {"tags": ["wide", PANEL_TAG]}, {}]
    assert shown(first.code[1]) == [("text/plain", "IntSlider(value=0)")]
    assert [cell.execution_count for cell in first.code] == [1, 2, 3]
    assert store_notebooks.stored(path) == path.read_text(encoding="utf-8")
