"""The printed figures as they stand in data/documents.json, and what the digits of one say."""

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from functools import cache

from ..examples import stored

HOLDS, NOTE, WRONG = "holds", "holds with a note", "wrong"


@dataclass(frozen=True)
class Figure:
    """One figure of a document: where it stands, what is printed, and how it is worked out again.

    `printed` is the text of a number, a list of such texts (or of lists), or a word for a claim that is
    no number. `recompute` says how: {"run", "text"} is arithmetic over the values of a run, {"check"}
    a check by name. `other` is a second reading; the figure holds only with a note where it fails there.
    `exact` figures are counts: they are compared without rounding.
    """

    id: str
    document: str
    example: str
    quantity: str
    printed: object
    status: str
    recompute: dict
    expected: str
    reason: str = ""
    other: dict | None = None
    exact: bool = False


@cache
def figures() -> tuple[Figure, ...]:
    """Every figure that data/documents.json holds, in its order."""
    return tuple(Figure(**fact) for fact in stored()["figures"])


def titles() -> dict[str, str]:
    """The documents' titles by id, translated."""
    return stored()["documents"]


def figure(name: str) -> Figure:
    """The figure of that id."""
    return next(figure for figure in figures() if figure.id == name)


def printed(name: str):
    """The printed figure of that id as a number, or as nested lists of numbers."""
    return numbers(figure(name).printed)


def numbers(text):
    """A printed text, or lists of such texts, as floats."""
    return [numbers(each) for each in text] if isinstance(text, list) else float(decimal(text))


def decimal(text: str) -> Decimal:
    """A printed number with exactly the digits that are printed: `122,304`, `0.0665`."""
    return Decimal(text.replace(",", "").replace("−", "-"))


def step(text: str) -> Decimal:
    """One unit in the last printed place: 0.0001 for `0.0665`."""
    return Decimal(1).scaleb(decimal(text).as_tuple().exponent)


def interval(text: str) -> tuple[float, float]:
    """Every value that would have been printed so: half a unit of the last place to either side."""
    return float(decimal(text) - step(text) / 2), float(decimal(text) + step(text) / 2)


def agrees(value, text: str, exact=False) -> bool:
    """Whether `value` rounds to the printed digits; with `exact`, whether it is that number.

    A value that lies exactly between two printable ones may have been rounded away from zero or to the
    even digit, so either is accepted; a value that was cut off is not. A float counts to 12 significant
    digits, so that the last bits of 0.1 + 0.2 do not decide a tie.
    """
    value, shown = as_decimal(value), decimal(text)
    if exact:
        return value == shown
    return shown in {value.quantize(step(text), rounding) for rounding in (ROUND_HALF_UP, ROUND_HALF_EVEN)}


def as_decimal(value) -> Decimal:
    if not isinstance(value, Fraction):
        return Decimal(f"{float(value):.12g}")
    with localcontext(prec=60):
        return Decimal(value.numerator) / Decimal(value.denominator)
