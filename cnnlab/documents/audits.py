"""The audit: every figure worked out again, judged by its printed digits, and set in a table."""

from collections import Counter
from dataclasses import dataclass, fields
from fractions import Fraction
from html import escape

import numpy as np

from .. import arithmetic
from ..arithmetic import BOARD, board, number
from ..ledger import Ledger, arithmetic_label
from . import table
from .figures import HOLDS, NOTE, WRONG, Figure, agrees, figures, titles
from .recomputations import CHECKS, RUNS
from .table import Aside, Entry, Group, Html, Part, in_lines

SIGNS = {HOLDS: "✓", NOTE: "†", WRONG: "✗"}
CLASSES = {HOLDS: "holds", NOTE: "note", WRONG: "wrong"}


@dataclass(frozen=True)
class Row:
    """One figure with what it comes to. `arithmetic` is the worked line; `expected` is the stored verdict."""

    document: str
    example: str
    quantity: str
    status: str
    printed: str
    recomputed: str
    verdict: str
    reason: str
    arithmetic: str
    expected: str

    def __str__(self):
        return (f"{self.document}, {self.quantity}: printed {self.printed}, recomputed {self.recomputed}: "
                f"{self.verdict}, expected {self.expected}").replace("\n", " ")


@dataclass(frozen=True)
class Answer:
    """What a recomputation comes to: whether it agrees with the print, its value as text, its worked line."""

    agrees: bool
    value: str
    worked: str


@dataclass(frozen=True)
class Audit:
    """Figures with their verdicts. Shows as a table, prints as text; `rows` has everything."""

    rows: tuple[Row, ...]

    HEAD = "Quantity", "Status", "Figure", "Worked out", "Verdict"
    WIDTHS = 31, 7, 21, 22, 11

    @property
    def wrong(self) -> int:
        """How many figures are wrong."""
        return Counter(row.verdict for row in self.rows)[WRONG]

    @property
    def surprises(self) -> list[Row]:
        """The rows whose verdict is not the one that the data file expects; empty when all is well."""
        return [row for row in self.rows if row.verdict != row.expected]

    def where(self, **wanted) -> "Audit":
        """The rows with these values: `where(status="printed", verdict="wrong")`. Raises ValueError for no such field."""
        known = [field.name for field in fields(Row)]
        for name in wanted:
            if name not in known:
                raise ValueError(f"a row has no {name!r}; there are {', '.join(known)}")
        return Audit(tuple(row for row in self.rows if all(getattr(row, name) == value for name, value in wanted.items())))

    @property
    def caption(self) -> str:
        """How many printed figures hold, hold with a note, are wrong, and how many more the documents do not print."""
        printed = self.where(status="printed").rows
        count, more = Counter(row.verdict for row in printed), len(self.rows) - len(printed)
        words = {HOLDS: ("holds", "hold"), NOTE: ("holds with a note", "hold with a note"), WRONG: ("is wrong", "are wrong")}
        parts = [f"{count[verdict]} {words[verdict][count[verdict] != 1]}" for verdict in words if count[verdict]]
        others = f"; {more} more {'is' if more == 1 else 'are'} derived or chosen" if more else ""
        return f"The documents' printed figures, worked out again: of {len(printed)}, {', '.join(parts) or 'none'}{others}"

    @property
    def text(self) -> str:
        """The table as plain text, at most 100 columns wide; the worked line stands where a figure does not simply hold."""
        return table.text(self.caption, self.HEAD, self.grouped(text_rows), self.WIDTHS)

    @property
    def html(self) -> str:
        """The table as HTML that needs no other file, with the worked line of every figure."""
        return table.html(self.caption, self.HEAD, self.grouped(html_rows))

    def grouped(self, shown):
        """The rows as `shown`, under a head for each document and each part of it."""
        document, example = None, None
        for row in self.rows:
            if row.document != document:
                yield Group(f"{row.document}: {titles()[row.document]}")
            if (row.document, row.example) != (document, example):
                yield Part(row.example)
            document, example = row.document, row.example
            yield from shown(row)

    __repr__ = __str__ = lambda self: self.text

    def _repr_html_(self):
        return self.html


def text_rows(row):
    yield row.quantity, row.status, row.printed, row.recomputed, f"{SIGNS[row.verdict]} {row.verdict}"
    if row.verdict != HOLDS:
        yield from (Aside(line) for line in [row.reason, *row.arithmetic.split("\n")] if line)


def html_rows(row):
    kind = CLASSES[row.verdict]
    lines = [line for line in row.arithmetic.split("\n") if not line.endswith("(given)")]
    below = "".join([f'<span class="cnnlab-why">{escape(row.reason)}</span>' * bool(row.reason),
                     *(f'<span class="cnnlab-worked">{escape(line)}</span>' for line in lines)])
    sign = f'<span class="cnnlab-sign" aria-hidden="true">{SIGNS[row.verdict]}</span>'
    verdict = Html(f'<span class="cnnlab-verdict">{sign}<span class="cnnlab-{kind}">{row.verdict}</span></span>')
    yield Entry((row.quantity, row.status, in_lines(row.printed), in_lines(row.recomputed), verdict), Html(below), f"cnnlab-row-{kind}")


def audit(document=None) -> Audit:
    """Work out every figure of the documents, or of one of them ("D2"), and judge what is printed.

    The verdicts are computed, never read: a figure agrees when ours rounds to its printed digits.
    `surprises` compares them with the data file. Raises ValueError for a document that is not there.
    """
    if document is not None and document not in titles():
        raise ValueError(f"there is no document {document!r}; there are {', '.join(titles())}")
    return Audit(tuple(judge(figure) for figure in figures() if document in (None, figure.document)))


def judge(figure: Figure) -> Row:
    """The figure's row: worked out, compared with the print, and compared by its other reading where it has one."""
    main = work_out(figure, figure.recompute)
    other = work_out(figure, figure.other) if figure.other else None
    verdict = WRONG if not main.agrees else NOTE if other and not other.agrees else HOLDS
    worked = main.worked if other is None else f"{main.worked}\n{figure.other.get('words', 'read otherwise')}: {other.worked}"
    return Row(figure.document, figure.example, figure.quantity, figure.status, written(figure.printed),
               main.value, verdict, figure.reason, worked, figure.expected)


def work_out(figure, how) -> Answer:
    """The figure by one of its two readings."""
    if "check" in how:
        answer, worked = CHECKS[how["check"]](figure.printed)
        return Answer(answer == figure.printed, answer, worked)
    return in_run(figure, RUNS[how["run"]](), how["text"])


def in_run(figure, values, text) -> Answer:
    """The arithmetic `text` over the values of a run; a bare name may stand for a whole array."""
    at = arithmetic.reference(arithmetic.parse(text))
    if isinstance(figure.printed, list):
        cells = [(at[0], index) for index in np.ndindex(np.shape(values[at[0]]))]
        results, shape = [value_of(values, *cell) for cell in cells], np.shape(figure.printed)
        texts = np.array(figure.printed).ravel()
        same = len(texts) == len(results) and all(agrees(value, each, figure.exact) for value, each in zip(results, texts))
        shown = np.array([number(value) for value in results], object).reshape(shape if len(texts) == len(results) else -1)
        return Answer(same, written(shown.tolist()), worked_line(values, text))
    result = result_of(values, text)
    return Answer(agrees(result, figure.printed, figure.exact), board(number(result)), worked_line(values, text))


def result_of(values, text):
    """The exact fraction of the arithmetic where it has one, else a float."""
    tree = arithmetic.parse(text)
    try:
        return arithmetic.exact(tree, lambda name, index: fraction_of(values, name, index))
    except arithmetic.Irrational:
        return arithmetic.evaluate(tree, lambda name, index: float(value_at(values, name, index)))


def value_of(values, name, index):
    try:
        return fraction_of(values, name, index)
    except arithmetic.Irrational:
        return value_at(values, name, index)


def fraction_of(values, name, index):
    if isinstance(values, Ledger):
        return values.fraction(name, cell_index(values, name, index))
    return Fraction(f"{value_at(values, name, index):.12g}")


def value_at(values, name, index) -> float:
    return float(np.asarray(values[name])[cell_index(values, name, index)])


def cell_index(values, name, index):
    """The full index of a cell; a value of one cell needs none."""
    shape = np.shape(values[name])
    return index or (0,) * len(shape)


def worked_line(values, text) -> str:
    """The hand arithmetic: the recorded line of a cell, or the figure's own arithmetic with names and with numbers."""
    at = arithmetic.reference(arithmetic.parse(text))
    if at and isinstance(values, Ledger):
        return values.explain(at[0], cell_index(values, *at) if at[1] else None).text
    if at:
        return f"{text} = {written_value(values[at[0]])}"
    symbols = arithmetic.write(BOARD, text, arithmetic_label)
    numbers = arithmetic.write(BOARD, text, lambda name, index: board(number(value_at(values, name, index))))
    result = result_of(values, text)
    sign = "=" if float(number(result)) == float(result) else "≈"
    return " = ".join(dict.fromkeys([symbols, numbers])) + f" {sign} {board(number(result))}"


def written_value(value) -> str:
    return written(np.vectorize(number, otypes=[object])(value).tolist()) if np.ndim(value) else board(number(value))


def written(printed) -> str:
    """A printed figure as it is shown: `0.0665`, `[0.284, −0.24]`, a matrix with a line for each row."""
    if isinstance(printed, str):
        return board(printed) if printed.lstrip("-").replace(".", "").replace(",", "").isdigit() else printed
    if isinstance(printed[0], list):
        return "\n".join(map(written, printed))
    return f"[{', '.join(map(written, printed))}]"
