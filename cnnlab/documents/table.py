"""A table as plain text and as HTML: a pure function of its cells, so that the same cells give the same page."""

import textwrap
from dataclasses import dataclass
from html import escape

GAP = "  "
STYLE = """
.cnnlab-paper.cnnlab-paper { color-scheme: light; color: #16181d; background: #fff; padding: 16px 20px; border-radius: 6px;
  font: 17px/1.45 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; overflow-x: auto; }
.cnnlab-paper table.cnnlab-table { border-collapse: collapse; width: 100%; max-width: 1180px; margin: 0; font-size: 17px; border: 0; table-layout: auto; }
.cnnlab-paper table.cnnlab-table caption { caption-side: top; text-align: left; font-size: 20px; font-weight: 700; padding: 0 0 10px; color: #16181d; }
.cnnlab-paper .cnnlab-table tbody tr:nth-child(n), .cnnlab-paper .cnnlab-table thead tr:nth-child(n) { background: #fff; color: #16181d; }
.cnnlab-paper .cnnlab-table tr th, .cnnlab-paper .cnnlab-table tr td { text-align: left; vertical-align: top; padding: 7px 16px 7px 0;
  border: 0; border-bottom: 1px solid #c9ced6; font-size: 17px; font-weight: 400; line-height: 1.45; max-width: none; white-space: normal; color: #16181d; }
.cnnlab-paper .cnnlab-table thead tr th { font-size: 15px; font-weight: 700; border-bottom: 2px solid #16181d; vertical-align: bottom; }
.cnnlab-paper .cnnlab-table tbody tr th.cnnlab-group { font-weight: 700; font-size: 20px; padding-top: 30px; border-bottom: 0; }
.cnnlab-paper .cnnlab-table tbody tr th.cnnlab-part { font-weight: 700; padding-top: 12px; border-bottom: 2px solid #16181d; }
.cnnlab-paper .cnnlab-table tbody tr th[scope="row"] { padding-left: 14px; min-width: 200px; }
.cnnlab-paper .cnnlab-number { white-space: nowrap; }
.cnnlab-paper .cnnlab-sign { display: inline-block; width: 1.3em; font-weight: 700; }
.cnnlab-paper .cnnlab-verdict { white-space: nowrap; }
.cnnlab-paper .cnnlab-wrong { font-weight: 700; text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: 3px; }
.cnnlab-paper .cnnlab-note { font-weight: 700; }
.cnnlab-paper .cnnlab-worked { display: block; font-size: 16px; color: #3d4450; padding-left: 1.2em; text-indent: -1.2em; }
.cnnlab-paper .cnnlab-why { display: block; margin-bottom: 2px; }
.cnnlab-paper .cnnlab-table tbody tr.cnnlab-above:nth-child(n) td { border-bottom: 0; padding-bottom: 0; }
.cnnlab-paper .cnnlab-table tbody tr.cnnlab-below:nth-child(n) td { padding-top: 2px; padding-bottom: 9px; }
.cnnlab-paper .cnnlab-table tbody tr.cnnlab-row-wrong:nth-child(n) th { box-shadow: inset 5px 0 #16181d; }
@media print { .cnnlab-paper.cnnlab-paper { padding: 0; font-size: 11pt; } .cnnlab-paper .cnnlab-table tr { break-inside: avoid; }
  .cnnlab-paper .cnnlab-table tr th, .cnnlab-paper .cnnlab-table tr td { font-size: 10pt; padding: 3pt 8pt 3pt 0; }
  .cnnlab-paper .cnnlab-table thead { display: table-header-group; } }
""".strip()


class Html(str):
    """Text that is HTML already, and is not escaped again."""


class Group(str):
    """A row that heads the rows below it, across the whole table."""


class Part(str):
    """A row that heads a part of a group."""


class Aside(str):
    """A row of running text below its neighbour, in a plain-text table."""


@dataclass(frozen=True)
class Entry:
    """A row of an HTML table with a class, and with HTML that stands below its cells beside its name."""

    cells: tuple
    below: Html = Html()
    kind: str = ""


def text(caption, head, rows, widths) -> str:
    """Columns of the given widths, longer cells wrapped; no line is longer than widths and gaps together."""
    whole = sum(widths) + len(GAP) * (len(widths) - 1)
    lines = [*textwrap.wrap(caption, whole), "", *row_lines(head, widths), *row_lines(["-" * width for width in widths], widths)]
    for row in rows:
        lines += text_row(row, widths, whole)
    return "\n".join(lines)


def text_row(row, widths, whole) -> list[str]:
    if isinstance(row, Group):
        return ["", *textwrap.wrap(row.upper(), whole)]
    if isinstance(row, Part):
        return ["", *textwrap.wrap(row, whole)]
    if isinstance(row, Aside):
        return textwrap.wrap(row, whole, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)
    return row_lines(row, widths)


def row_lines(cells, widths) -> list[str]:
    columns = [wrapped(cell, width) for cell, width in zip(cells, widths)]
    tallest = max(map(len, columns))
    padded = [column + [""] * (tallest - len(column)) for column in columns]
    return [GAP.join(part.ljust(width) for part, width in zip(line, widths)).rstrip() for line in zip(*padded)]


def wrapped(cell, width) -> list[str]:
    """The cell's lines, each wrapped to the width."""
    return [part for line in cell.split("\n") for part in textwrap.wrap(line, width, break_on_hyphens=False)] or [""]


def html(caption, head, rows) -> str:
    """A table that names its columns and rows for a screen reader, with its style; rows are tuples, entries, heads."""
    columns = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "".join(html_row(row, len(head)) for row in rows).removeprefix("</tbody><tbody>")
    return (f'<div class="cnnlab-paper"><style>{STYLE}</style>\n<table class="cnnlab-table"><caption>{escape(caption)}</caption>\n'
            f"<thead><tr>{columns}</tr></thead>\n<tbody>{body}</tbody></table></div>")


def html_row(row, columns) -> str:
    if isinstance(row, Group | Part):
        kind = "group" if isinstance(row, Group) else "part"
        return f'</tbody><tbody><tr><th class="cnnlab-{kind}" scope="rowgroup" colspan="{columns}">{escape(row)}</th></tr>\n'
    entry = row if isinstance(row, Entry) else Entry(row)
    first, *rest = (cell if isinstance(cell, Html) else escape(cell) for cell in entry.cells)
    cells = "".join(f"<td>{cell}</td>" for cell in rest)
    tall = ' rowspan="2"' if entry.below else ""
    below = f'<tr class="cnnlab-below"><td colspan="{columns - 1}">{entry.below}</td></tr>' if entry.below else ""
    kind = entry.kind + " cnnlab-above" * bool(entry.below)
    return f'<tr class="{kind.strip()}"><th scope="row"{tall}>{first}</th>{cells}</tr>{below}\n'


def in_lines(value) -> Html:
    """A cell of numbers, which are not broken within a line."""
    return Html("<br>".join(f'<span class="cnnlab-number">{escape(line)}</span>' for line in value.split("\n")))
