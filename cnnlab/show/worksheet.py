"""A whole step, line by line, as a teacher would write it on the board: HTML for a screen, Markdown for print."""

import textwrap
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from .. import arithmetic
from ..arithmetic import BOARD, board, number
from ..explanation import label
from ..ops import Seed
from .formulas import formula
from .words import says

SECTIONS = "Given numbers", "Forward", "Loss", "Gradients", "Updates"
MOST_SIDE, FEW_SIDE = 8, 6       # a given array with a longer side than the first is cut to the second
MOST_CELLS, FEW_CELLS = 16, 4    # so is a line with more cells
MOST_SLICES = 4
LONGEST_FRACTION = 24
PRINT_WIDTH = 92
STYLE = """
.cnnlab-sheet.cnnlab-sheet { color-scheme: light; color: #16181d; background: #fff; padding: 18px 24px 24px; border-radius: 6px; max-width: 1100px;
  font: 18px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.cnnlab-sheet h2.cnnlab-title { font-size: 28px; line-height: 1.25; margin: 0 0 4px; color: #16181d; font-weight: 700; }
.cnnlab-sheet h3.cnnlab-section { font-size: 22px; margin: 30px 0 0; padding: 0 0 4px; border-bottom: 3px solid #16181d; color: #16181d; font-weight: 700; }
.cnnlab-sheet p { margin: 0; color: #16181d; font-size: 18px; line-height: 1.5; }
.cnnlab-sheet .cnnlab-line { padding: 12px 0 12px; border-bottom: 1px solid #c9ced6; }
.cnnlab-sheet .cnnlab-line:last-child { border-bottom: 0; }
.cnnlab-sheet h4.cnnlab-name { display: inline; font: 700 19px/1.4 ui-monospace, "DejaVu Sans Mono", monospace; margin: 0; color: #16181d; }
.cnnlab-sheet .cnnlab-shape { color: #4c5462; font-size: 16px; margin-left: 10px; white-space: nowrap; }
.cnnlab-sheet .cnnlab-status { margin-left: 10px; padding: 1px 9px; border: 2px solid #16181d; border-radius: 12px; font-size: 15px; white-space: nowrap; }
.cnnlab-sheet .cnnlab-printed { background: #fff; } .cnnlab-sheet .cnnlab-derived { border-style: dashed; } .cnnlab-sheet .cnnlab-chosen { border-style: dotted; background: #eef1f5; }
.cnnlab-sheet p.cnnlab-says { color: #16181d; margin: 2px 0 0; }
.cnnlab-sheet p.cnnlab-formula { color: #4c5462; font-size: 17px; margin: 2px 0 6px; }
.cnnlab-sheet ul.cnnlab-cells { list-style: none; margin: 0; padding: 0; }
.cnnlab-sheet ul.cnnlab-cells li { display: grid; grid-template-columns: max-content minmax(0, 1fr); column-gap: 9px; margin: 5px 0; padding: 0 0 0 18px; font-size: 19px; line-height: 1.45; border-left: 4px solid #0b57b0; }
.cnnlab-sheet .cnnlab-cell { font-weight: 700; white-space: nowrap; } .cnnlab-sheet .cnnlab-symbols { color: #4c5462; }
.cnnlab-sheet .cnnlab-right { display: flex; flex-wrap: wrap; column-gap: 9px; }
.cnnlab-sheet .cnnlab-right > span { padding-left: 1.1em; text-indent: -1.1em; }
.cnnlab-sheet .cnnlab-result { font-weight: 700; white-space: nowrap; }
.cnnlab-sheet p.cnnlab-hidden { color: #4c5462; font-size: 16px; padding-left: 22px; }
.cnnlab-sheet .cnnlab-givens { display: flex; flex-wrap: wrap; gap: 10px 44px; padding-top: 10px; }
.cnnlab-sheet .cnnlab-slices { display: flex; flex-wrap: wrap; gap: 4px 24px; }
.cnnlab-sheet .cnnlab-givens .cnnlab-line { border: 0; padding: 4px 0; }
.cnnlab-sheet table.cnnlab-matrix { border-collapse: separate; border-spacing: 4px; margin: 4px 0 0 -4px; width: auto; border: 0; font-size: 18px; table-layout: auto; }
.cnnlab-sheet .cnnlab-matrix tbody tr:nth-child(n), .cnnlab-sheet .cnnlab-matrix thead tr:nth-child(n) { background: #fff; }
.cnnlab-sheet .cnnlab-matrix tr th, .cnnlab-sheet .cnnlab-matrix thead tr td.cnnlab-corner { min-width: 0; font-weight: 400; font-size: 14px; color: #4c5462; padding: 0 6px; text-align: center; border: 0; background: #fff; }
.cnnlab-sheet .cnnlab-matrix tr td { border: 1px solid #8a919c; border-radius: 4px; min-width: 58px; padding: 4px 8px; text-align: center; font-size: 18px; color: #16181d; background: #fff; white-space: nowrap; }
@media print { .cnnlab-sheet.cnnlab-sheet { max-width: none; padding: 0; font-size: 11pt; }
  .cnnlab-sheet .cnnlab-line, .cnnlab-sheet ul.cnnlab-cells li, .cnnlab-sheet table { break-inside: avoid; }
  .cnnlab-sheet h3.cnnlab-section, .cnnlab-sheet p.cnnlab-says, .cnnlab-sheet p.cnnlab-formula { break-after: avoid; }
  .cnnlab-sheet p, .cnnlab-sheet ul.cnnlab-cells li, .cnnlab-sheet .cnnlab-matrix tr td { font-size: 11pt; }
  .cnnlab-sheet h3.cnnlab-section { font-size: 15pt; margin-top: 16pt; } .cnnlab-sheet h2.cnnlab-title { font-size: 18pt; } }
""".strip()


class Worked(NamedTuple):
    """One cell: its name, its arithmetic in symbols and in numbers (empty where that says nothing new), its value."""

    cell: str
    symbols: str
    numbers: str
    sign: str
    result: str


class Slice(NamedTuple):
    """Rows and columns of a given array, its numbers as text."""

    name: str
    rows: list


class Entry(NamedTuple):
    """One name of the ledger on the sheet; `slices` for a given one, `cells` for a line; `hidden` cells are not shown."""

    name: str
    shape: tuple
    status: str
    says: str
    formula: str
    slices: list
    cells: list
    hidden: int


@dataclass(frozen=True)
class Worksheet:
    """A step on paper. Shows as HTML in a notebook, prints as Markdown."""

    title: str
    sections: dict
    remark: str = ""

    @property
    def html(self) -> str:
        """The sheet as HTML with its style, and nothing from elsewhere."""
        remark = f"<p>{escape(self.remark)}</p>" if self.remark else ""
        return (f'<div class="cnnlab-sheet"><style>{STYLE}</style>\n<h2 class="cnnlab-title">{escape(self.title)}</h2>{remark}\n'
                + "\n".join(html_section(title, entries) for title, entries in self.sections.items()) + "</div>")

    @property
    def markdown(self) -> str:
        """The sheet as Markdown: headings, tables of the given numbers, the arithmetic in blocks."""
        head = [f"# {self.title}", *[self.remark] * bool(self.remark)]
        parts = [f"## {title}\n\n" + "\n\n".join(map(markdown_entry, entries)) for title, entries in self.sections.items()]
        return "\n\n".join([*head, *parts]) + "\n"

    def __repr__(self):
        return self.markdown

    def _repr_html_(self):
        return self.html


def worksheet(ledger, title="One step, line by line", digits=6, names=None, status=None, exact=False, whole=False) -> Worksheet:
    """Every line of a recorded step with its formula, its arithmetic in symbols and in numbers, and its value.

    `digits` are significant digits; with `exact`, fractions where there are any. `names` chooses some of
    the ledger's names, `status` says where given numbers come from (`{"image": "printed"}`). Large
    arrays and long sums are cut, and say by how much, unless `whole`. Raises LineError for a name
    that is not in the ledger.
    """
    writer = Writer(ledger, digits, exact, whole, status or {})
    wanted = [*ledger] if names is None else [name for name in names if ledger[name] is not None]
    sections = {section: [] for section in SECTIONS}
    for name in [*(name for name in ledger if name not in ledger.recipe.names), *ledger.recipe.names]:
        if name in wanted:
            sections[section_of(name, ledger.recipe)].append(writer.entry(name))
    remark = "In fractions; decimals where a line takes exp, ln or tanh, or the fraction is long." if exact else ""
    return Worksheet(title, {section: entries for section, entries in sections.items() if entries}, remark)


def section_of(name, recipe) -> str:
    """Where a name belongs: by what its line does, and by whether it comes before or after the loss."""
    order = [line.name for line in recipe]
    if name not in order:
        return "Given numbers"
    loss = next((line.operation.loss for line in recipe if isinstance(line.operation, Seed)), "loss")
    if recipe.names[name].operation.updates:
        return "Updates"
    if name == loss:
        return "Loss"
    after = loss in order and order.index(name) > order.index(loss)
    return "Gradients" if after or name.startswith("d_") else "Forward"


@dataclass(frozen=True)
class Writer:
    """How one sheet writes its numbers."""

    ledger: object
    digits: int | None
    exact: bool
    whole: bool
    status: dict

    def entry(self, name) -> Entry:
        value, line = self.ledger[name], self.ledger.line(name)
        if line is None:
            slices = self.slices(name)
            seen = sum(len(row) for part in slices for row in part.rows)
            return Entry(name, np.shape(value), self.status.get(name, ""), "", "", slices, [], np.size(value) - seen)
        every = list(np.ndindex(np.shape(value)))
        cells = every if self.whole or len(every) <= MOST_CELLS else every[:FEW_CELLS]
        words = says(line)
        return Entry(name, np.shape(value), "", "" if words == line.operation.formula() else words,
                     formula(line, self.ledger), [], [self.cell(name, cell) for cell in cells], len(every) - len(cells))

    def cell(self, name, index) -> Worked:
        explanation = self.ledger.explain(name, index, self.digits, self.whole)
        symbols = explanation.in_symbols(index)
        fraction = self.fraction(name, index)
        if fraction:
            numbers, sign, result = explanation.in_fractions(index), "=", fraction
        else:
            numbers = explanation.numbers(index, BOARD, self.digits, explanation.most, board)
            sign, result = "=" if explanation.is_exact(index) else "≈", self.text(self.ledger[name][index])
        return Worked(explanation.label(index), "" if symbols in (numbers, result) else symbols,
                      "" if numbers == result else numbers, "=" if numbers == result else sign, result)

    def fraction(self, name, index) -> str:
        """The exact value as text; empty where decimals are wanted, or no short fraction exists."""
        if not self.exact:
            return ""
        try:
            text = board(str(self.ledger.fraction(name, index)))
        except arithmetic.Irrational:
            return ""
        return text if len(text) <= LONGEST_FRACTION else ""

    def text(self, value) -> str:
        return board(number(value, self.digits))

    def slices(self, name) -> list[Slice]:
        """A given array as tables of rows and columns: one, or one for each channel and image."""
        value = np.asarray(self.ledger[name])
        if value.ndim < 2:
            return [self.slice(name, (), value.reshape(1, -1))]
        every = list(np.ndindex(value.shape[:-2]))
        return [self.slice(name, lead, value[lead]) for lead in (every if self.whole else every[:MOST_SLICES])]

    def slice(self, name, lead, table) -> Slice:
        shape = table.shape if self.whole else tuple(side if side <= MOST_SIDE else FEW_SIDE for side in table.shape)
        rows = [[self.given_text(name, (*lead, *at)) for at in row] for row in indices(shape, np.ndim(self.ledger[name]))]
        return Slice(label(name, lead, (2,) * len(lead)) if lead else name, rows)

    def given_text(self, name, index) -> str:
        return self.fraction(name, index) or self.text(self.ledger[name][index])


def indices(shape, axes):
    """The index of every cell of a table, row by row, as an array of that many axes (no more than 2) counts it."""
    for i in range(shape[0]):
        yield [((), (j,), (i, j))[min(axes, 2)] for j in range(shape[1])]


# ---- HTML ------------------------------------------------------------------------------------


def html_section(title, entries) -> str:
    body = "\n".join(map(html_given if title == SECTIONS[0] else html_line, entries))
    body = f'<div class="cnnlab-givens">{body}</div>' if title == SECTIONS[0] else body
    return f'<section><h3 class="cnnlab-section">{escape(title)}</h3>\n{body}</section>'


def html_head(entry) -> str:
    status = f'<span class="cnnlab-status cnnlab-{escape(entry.status)}">{escape(entry.status)}</span>' if entry.status else ""
    return f'<h4 class="cnnlab-name">{escape(entry.name)}</h4>{span("shape", size(entry.shape))}{status}'


def html_given(entry) -> str:
    tables = "".join(html_matrix(each, entry) for each in entry.slices)
    return (f'<div class="cnnlab-line" data-line="{entry.name}">{html_head(entry)}'
            f'<div class="cnnlab-slices">{tables}</div>{html_hidden(entry.hidden)}</div>')


def html_matrix(part, entry) -> str:
    """A table with the row and column numbers that the names of cells use; a single number has none."""
    rows = ["".join(f"<td>{each}</td>" for each in row) for row in part.rows]
    corner = escape(part.name) if part.name != entry.name else ""
    head = "".join(f'<th scope="col">{j}</th>' for j in range(len(part.rows[0]))) if entry.shape else ""
    if len(entry.shape) > 1:
        head = f'<td class="cnnlab-corner">{corner}</td>{head}'
        rows = [f'<th scope="row">{i}</th>{row}' for i, row in enumerate(rows)]
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<table class="cnnlab-matrix" aria-label="{escape(part.name)}">{head}<tbody>{body}</tbody></table>'


def html_line(entry) -> str:
    says_it = f'<p class="cnnlab-says">{escape(entry.says)}</p>' if entry.says else ""
    cells = "".join(map(html_cell, entry.cells))
    return (f'<div class="cnnlab-line" data-line="{entry.name}">{html_head(entry)}{says_it}'
            f'<p class="cnnlab-formula">{escape(entry.formula)}</p><ul class="cnnlab-cells">{cells}</ul>{html_hidden(entry.hidden)}</div>')


def html_cell(worked) -> str:
    parts = [span("symbols", f"= {worked.symbols}")] * bool(worked.symbols)
    parts += [span("numbers", f"= {worked.numbers}")] * bool(worked.numbers)
    right = " ".join([*parts, span("result", f"{worked.sign} {worked.result}")])
    return f'<li>{span("cell", worked.cell)} <span class="cnnlab-right">{right}</span></li>'


def html_hidden(cells) -> str:
    return f'<p class="cnnlab-hidden">{hidden(cells)}</p>' if cells else ""


def span(kind, text) -> str:
    return f'<span class="cnnlab-{kind}">{escape(text)}</span>'


# ---- Markdown --------------------------------------------------------------------------------


def markdown_entry(entry) -> str:
    facts = " · ".join(filter(None, [size(entry.shape), entry.status]))
    head = f"### `{entry.name}`\n\n{facts}"
    rest = [f"*{hidden(entry.hidden)}*"] if entry.hidden else []
    if not entry.cells:
        tables = [markdown_matrix(each, entry) for each in entry.slices]
        return "\n\n".join([head, *tables, *rest])
    said = [f"{head}. {entry.says}" if entry.says else head, f"`{entry.formula}`"]
    block = "\n".join(line for worked in entry.cells for line in markdown_cell(worked))
    return "\n\n".join([*said, f"```text\n{block}\n```", *rest])


def markdown_matrix(part, entry) -> str:
    if not entry.shape:
        return f"**{part.rows[0][0]}**"
    rows = [list(map(str, range(len(part.rows[0])))), ["---:"] * len(part.rows[0]), *part.rows]
    if len(entry.shape) > 1:
        corner = part.name if part.name != entry.name else ""
        left = [corner, "---", *(f"**{i}**" for i in range(len(part.rows)))]
        rows = [[name, *row] for name, row in zip(left, rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def markdown_cell(worked) -> list[str]:
    """The lines of one cell, the equals signs below each other."""
    right = [("=", worked.symbols)] * bool(worked.symbols) + [("=", worked.numbers)] * bool(worked.numbers)
    lines, indent = [], len(worked.cell)
    for at, (sign, text) in enumerate([*right, (worked.sign, worked.result)]):
        start = f"{worked.cell if at == 0 else ' ' * indent} {sign} "
        lines += textwrap.wrap(text, max(PRINT_WIDTH, indent + 40), initial_indent=start, subsequent_indent=" " * (indent + 5),
                               break_on_hyphens=False, break_long_words=False)
    return lines


def size(shape) -> str:
    """`2×2`, `3 numbers`, `1 number`; axes of length 1 before the last two are left out, as in the names of cells."""
    if len(shape) > 1:
        return "×".join(str(side) for axis, side in enumerate(shape) if side > 1 or axis >= len(shape) - 2)
    return f"{shape[0]} numbers" if shape and shape[0] != 1 else "1 number"


def hidden(cells) -> str:
    return f"… and {cells} more {'cell' if cells == 1 else 'cells'}; whole=True shows them"
