"""Hand arithmetic: the text behind one cell, evaluated, or written as a person would write it.

The text is Python over the cells it reads, `image[0,0]*kernel[0,0] + bias`. Numbers, symbols, LaTeX
and exact fractions are all made from that one text, so they cannot say different things.
"""

import ast
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, partial

FUNCTIONS = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "sqrt": math.sqrt, "max": max}
RATIONAL = {"max": max}
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


MOST_KEPT = 5_000  # characters of a text whose tree is kept: some 60 terms, as a kernel of 5x5 on three maps has
LONG_SUM = 64  # a longer one is halved again and again, since Python parses and walks only so many nested additions


def parse(text: str) -> ast.expr:
    """The syntax tree of an arithmetic text. That of a long one is not kept: it takes a thousand times its memory."""
    return parsed(text) if len(text) <= MOST_KEPT else parsed.__wrapped__(text)


@lru_cache(maxsize=4096)
def parsed(text: str) -> ast.expr:
    return ast.parse(text if text.count(" + ") < LONG_SUM else grouped(text), mode="eval").body


def grouped(text: str) -> str:
    """The text with parentheses that keep the tree of a long sum shallow. What is written from it shows none of them."""
    open_sums = [[""]]
    for piece in re.split(r"( \+ |[()])", text):
        if piece == "(":
            open_sums.append([""])
        elif piece == " + ":
            open_sums[-1].append("")
        else:
            inner = f"({halved(open_sums.pop())})" if piece == ")" else piece
            open_sums[-1][-1] += inner
    return halved(open_sums[0])


def halved(addends: list[str]) -> str:
    """The sum as text; in two halves, each in parentheses, where it is long."""
    if len(addends) <= LONG_SUM:
        return " + ".join(addends)
    middle = len(addends) // 2
    return f"({halved(addends[:middle])}) + ({halved(addends[middle:])})"


def reference(node) -> tuple[str, tuple[int, ...]] | None:
    """(name, index) where the node names a cell, else None."""
    if isinstance(node, ast.Name):
        return node.id, ()
    if isinstance(node, ast.Subscript):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return node.value.id, tuple(part.value for part in parts)
    return None


def references(text: str) -> list[tuple[str, tuple[int, ...]]]:
    """Every cell that the text reads, in reading order, each once."""
    found = {}

    def visit(node):
        if (at := reference(node)) is not None:
            found[at] = None
            return
        for child in ast.iter_child_nodes(node):
            if not isinstance(node, ast.Call) or child is not node.func:
                visit(child)
    visit(parse(text))
    return list(found)


class Irrational(Exception):
    """The arithmetic has no exact fraction: it takes an exponential, a logarithm or a tanh."""


def evaluate(node, value, number=float, functions=FUNCTIONS):
    """The tree worked out: `value(name, index)` gives a cell, `number` reads a constant."""
    again = partial(evaluate, value=value, number=number, functions=functions)
    if (at := reference(node)) is not None:
        return value(*at)
    match node:
        case ast.Constant():
            return number(node.value)
        case ast.UnaryOp(op=ast.USub()):
            return -again(node.operand)
        case ast.BinOp(op=ast.Add()):
            return again(node.left) + again(node.right)
        case ast.BinOp(op=ast.Sub()):
            return again(node.left) - again(node.right)
        case ast.BinOp(op=ast.Mult()):
            return again(node.left) * again(node.right)
        case ast.BinOp(op=ast.Div()):
            return again(node.left) / again(node.right)
        case ast.BinOp(op=ast.Pow()):
            return again(node.left) ** node.right.value
        case ast.IfExp():
            return again(node.body if again(node.test) else node.orelse)
        case ast.Compare(ops=[ast.Gt()]):
            return again(node.left) > again(node.comparators[0])
        case ast.Call():
            if node.func.id not in functions:
                raise Irrational(node.func.id)
            return functions[node.func.id](*map(again, node.args))
    raise ValueError(f"{ast.unparse(node)!r} is not hand arithmetic")


def exact(node, value) -> Fraction:
    """The tree worked out in fractions. Raises Irrational where it has no exact value."""
    return evaluate(node, value, number=lambda constant: Fraction(str(constant)), functions=RATIONAL)


def gives(text: str, leaf, result: str) -> bool:
    """Whether the arithmetic gives the result, digit for digit, with its cells as printed by `leaf(name, index)`."""
    try:
        return exact(parse(text), lambda name, index: Fraction(leaf(name, index))) == Fraction(result)
    except (Irrational, ZeroDivisionError):  # 1 − 0.999 to two digits is 0
        return False


def number(value, digits: int | None = 6) -> str:
    """`value` to `digits` significant digits, or all of them for None: `0.02`, `-1.5`, `1e-07`."""
    value = float(value)
    text = repr(value) if digits is None else f"{value:.{digits}g}"
    if "e" not in text:
        return text.removesuffix(".0").replace("-0", "0") if float(text) == 0 else text.removesuffix(".0")
    mantissa, exponent = text.split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def board(text: str) -> str:
    """A printed number as one writes it on a board: `−1.5`, `2×10⁻⁷`."""
    mantissa, _, exponent = text.partition("e")
    power = f"×10{exponent.translate(SUPERSCRIPTS)}" if exponent else ""
    return mantissa.replace("-", "−") + power


def latex_number(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    return mantissa + (rf" \times 10^{{{exponent}}}" if exponent else "")


SUM, PRODUCT, TENS, SIGN, POWER, ATOM = range(1, 7)  # how tightly parts bind; TENS is a number like 2×10⁻⁷
OPEN, CLOSE = "\ue000", "\ue001"  # marks that a view may set around a cell, to show it in colour


@dataclass(frozen=True)
class Style:
    """How arithmetic is written down: as Python, on a board, or in LaTeX."""

    times: str
    minus: str
    negative: str
    divide: str
    power: str
    function: str
    gate: str
    constant: object
    names: dict

    def write(self, node, leaf, outer: int = 0, first: bool = True, most: int | None = None) -> str:
        """The tree as text; `leaf(name, index)` writes a cell. Parentheses only where they are needed.

        A sum of more than `most` terms is cut, see `sum`.
        """
        text, inner = self.parts(node, leaf, most)
        wants = inner < outer or (not first and text.lstrip(OPEN).startswith(self.negative))
        return f"({text})" if wants else text

    def parts(self, node, leaf, most) -> tuple[str, int]:
        """(text, how tightly it binds)."""
        write = partial(self.write, leaf=leaf, most=most)
        if (at := reference(node)) is not None:
            return self.bound(leaf(*at))
        match node:
            case ast.Constant():
                return self.bound(self.constant(number(node.value, None)))
            case ast.UnaryOp(op=ast.USub()):
                return self.negative + write(node.operand, outer=SIGN, first=False), SIGN
            case ast.BinOp(op=ast.Add()):
                return self.sum(terms(node), write, most), SUM
            case ast.BinOp(op=ast.Sub()):
                return f"{write(node.left, outer=SUM)} {self.minus} {write(node.right, outer=PRODUCT, first=False)}", SUM
            case ast.BinOp(op=ast.Mult()):
                return write(node.left, outer=PRODUCT) + self.times + write(node.right, outer=TENS, first=False), PRODUCT
            case ast.BinOp(op=ast.Div()):
                return self.quotient(node, write)
            case ast.BinOp(op=ast.Pow()):
                exponent = str(node.right.value)
                return self.power.format(write(node.left, outer=ATOM, first=False), exponent,
                                         raised=exponent.translate(SUPERSCRIPTS)), POWER
            case ast.IfExp():
                return self.gate.format(write(node.test.left, outer=SUM)), 0
            case ast.Call():
                arguments = ", ".join(map(write, node.args))
                return self.names.get(node.func.id, self.function).format(arguments, name=node.func.id), ATOM
        raise ValueError(f"{ast.unparse(node)!r} is not hand arithmetic")

    def bound(self, text) -> tuple[str, int]:
        """A number or a name: 2×10⁻⁷ takes parentheses in 1/(2×10⁻⁷), and none in 3×2×10⁻⁷."""
        return text, TENS if f"{self.times}10" in text else ATOM

    def quotient(self, node, write) -> tuple[str, int]:
        if "{" in self.divide:
            return self.divide.format(write(node.left), write(node.right)), PRODUCT
        return write(node.left, outer=PRODUCT) + self.divide + write(node.right, outer=SIGN, first=False), PRODUCT

    def sum(self, addends, write, most) -> str:
        """The addends, written and added. More than `most` are cut in the middle, and the text says by how many."""
        cut = most is not None and len(addends) > most
        shown = [*addends[:most - 1], addends[-1]] if cut else addends
        texts = [write(node, outer=SUM, first=at == 0) for at, node in enumerate(shown)]
        if cut:
            texts.insert(-1, f"… ({len(addends) - most} more) …")
        return " + ".join(texts)


PYTHON = Style("*", "-", "-", "/", "{0}**{1}", "{name}({0})", "1 if {0} > 0 else 0", str, {})
BOARD = Style("×", "−", "−", "/", "{0}{raised}", "{name}({0})", "1 if {0} > 0 else 0", board, {"log": "ln({0})", "sqrt": "√({0})"})
LATEX = Style(r" \times ", "-", "-", r"\frac{{{0}}}{{{1}}}", "{0}^{{{1}}}", r"\{name}({0})",
              r"\begin{{cases}}1 & {0} > 0\\0 & \text{{otherwise}}\end{{cases}}", latex_number,
              {"exp": "e^{{{0}}}", "log": r"\ln({0})", "sqrt": r"\sqrt{{{0}}}"})


def terms(node) -> list:
    """The addends of a sum, in order, or the node alone."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*terms(node.left), *terms(node.right)]
    return [node]


def write(style: Style, text: str, leaf, most: int | None = None) -> str:
    """The text in a style. A sum of more than `most` terms is cut, in brackets one of more than twice as many."""
    inner = None if most is None else 2 * most
    tree = parse(text)
    if len(addends := terms(tree)) == 1:
        return style.write(tree, leaf, most=inner)
    return style.sum(addends, partial(style.write, leaf=leaf, most=inner), most)
