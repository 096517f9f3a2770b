"""A picture that stands in a notebook without a kernel: HTML with its style, and its text."""

from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path


@cache
def style() -> str:
    """The style sheet of every picture, comments and line breaks left out."""
    return (Path(__file__).parent / "style.css").read_text(encoding="utf-8").partition("*/")[2].strip()


@dataclass(frozen=True)
class Page:
    """A static picture. Shows as HTML in a notebook, prints as `text`."""

    html: str
    text: str

    def __repr__(self):
        return self.text

    def _repr_html_(self):
        return f'<style>{style()}</style><div class="cn">{self.html}</div>'


def tag(name: str, *children: str, **attributes) -> str:
    """One element; children are HTML, attributes are escaped. `class_` and `data_set` lose the underscore."""
    written = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
                      for key, value in attributes.items() if value not in (None, ""))
    return f"<{name}{written}>{''.join(children)}</{name}>"


def facts(caption: str, head: tuple, rows) -> str:
    """A plain table with a caption and a heading over each column; cells are escaped."""
    top = tag("tr", *(tag("th", escape(each), scope="col") for each in head))
    body = "".join(tag("tr", *(tag("td", escape(str(each))) for each in row)) for row in rows)
    return tag("table", tag("caption", escape(caption)), tag("thead", top), tag("tbody", body), class_="facts")
