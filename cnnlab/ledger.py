"""A recipe, numbers, a ledger: how a run is written down, recorded and explained.

A network is a spreadsheet. A recipe is a tuple of lines, each `name = operation(inputs)`; `run`
works it out and returns a ledger, every value by name and read-only, with the line that made it.
"""

import difflib
import keyword
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from numbers import Rational
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from . import arithmetic
from .explanation import Explanation
from .ops import Operation


class LineError(ValueError):
    """A line could not be worked out. `ledger` holds every line before it."""

    ledger = None


class Line(NamedTuple):
    """One line of a recipe: `conv_sum = Correlate(image, kernel)`."""

    name: str
    operation: Operation

    def __str__(self):
        return f"{self.name} = {self.operation}"


class Recipe(tuple):
    """Lines in the order in which they are worked out, checked once.

    `Recipe(conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "bias"))`; recipes are added
    with `+`. Raises LineError where a name is used twice, or is read before the line that makes it.
    """

    def __new__(cls, *lines, **named):
        recipe = super().__new__(cls, [*lines, *(Line(*item) for item in named.items())])
        recipe.check()
        return recipe

    def __add__(self, lines):
        return Recipe(*self, *lines)

    @cached_property
    def names(self) -> dict[str, Line]:
        """The lines by name."""
        return {line.name: line for line in self}

    @cached_property
    def given(self) -> tuple[str, ...]:
        """The names that no line makes: what `run` has to be given."""
        read = dict.fromkeys(name for line in self for name in line.operation.inputs)
        return tuple(name for name in read if name not in self.names)

    @cached_property
    def steps(self) -> tuple:
        """(name, compute, values -> what it reads, line) of every line: what a run needs of it, found once."""
        return tuple((line.name, line.operation.compute, picker(line.operation.inputs), line) for line in self)

    @cached_property
    def carried(self) -> dict[str, str]:
        """For every given number that a line updates, the name of that line."""
        return {getattr(operation, operation.updates): name for name, operation in self if operation.updates}

    def updated(self, values) -> dict:
        """Every given number that a line updates, with its new value: where the next step starts."""
        return {name: values[line] for name, line in self.carried.items()}

    def check(self):
        made = {}
        for line in self:
            if not isinstance(line, Line):
                raise LineError(f"{line!r:.80} is not a line: give Line(name, operation), or name=operation")
            if not isinstance(line.operation, Operation):
                raise LineError(f"line {line.name}: {line.operation!r} is not an operation")
            check_settings(line)
            for name in [line.name, *line.operation.inputs]:
                check_name(name, line)
            if line.name in made:
                raise LineError(f"line {line}: the name {line.name!r} is used twice, first by line {made[line.name]}")
            made[line.name] = line
        for at, line in enumerate(self):
            for name in line.operation.inputs:
                if made.get(name) in self[at:]:
                    raise LineError(f"line {line} reads {name!r}, which is only made later, by line {made[name]}")

    def __str__(self):
        return "\n".join(map(str, self))

    __repr__ = __str__

    def __reduce__(self):
        """Pickle and copy make it again from its lines, without what was found on the way."""
        return Recipe, tuple(self)


def picker(names):
    """A function that picks what has these names from all values; a third of the time of looking up each in turn."""
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda values: ()
    (name,) = names
    return lambda values: (values[name],)  # itemgetter would give the value itself


def check_settings(line):
    """Raises LineError for a setting that could change: a list, an array."""
    try:
        hash(line.operation)
    except TypeError:
        raise LineError(f"line {line}: settings are whole numbers, or tuples of them") from None


def check_name(name, line):
    """Raises LineError unless the name can stand in arithmetic."""
    if not str(name).isidentifier() or keyword.iskeyword(name) or name in arithmetic.FUNCTIONS:
        raise LineError(f"line {line}: {name!r} is no name; a name is a word of letters, digits and _, and not "
                        "one that Python or the arithmetic uses itself")


def suggestion(name, known) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"


def refuse_misspelt(what, names, read, made):
    """Raises LineError for a name that no line reads. One that a line makes passes: `run` says which line that is."""
    for name in names:
        if name not in read and name not in made:
            raise LineError(f"{what}: no number is named {name!r}{suggestion(name, read)}")


def as_given(name, value) -> np.ndarray:
    """A read-only copy in float64 (float32 stays). Raises LineError for what is no finite number."""
    array = finite_numbers(f"given {name}", value)
    array.setflags(write=False)
    return array


def as_numbers(what, value) -> np.ndarray:
    """A copy in float64 (float32 stays). Raises LineError for anything but numbers."""
    try:
        array = np.array(value)
        if array.dtype.kind == "O" and array.ndim == 0 and isinstance(value, Rational):  # a fraction, or 10**30
            array = np.array(float(value))
        if array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise LineError(f"{what} = {value!r:.80}: expected a number or a rectangular array of numbers") from None
    if array.size == 0:
        raise LineError(f"{what}: the array of shape {array.shape} is empty")
    return array if array.dtype.char == "f" else array.astype(float, copy=False)


def finite_numbers(what, value) -> np.ndarray:
    """The same. Raises LineError with the first number that is not finite, too."""
    array = as_numbers(what, value)
    finite = np.isfinite(array)
    if not finite.all():
        at = tuple(map(int, np.argwhere(~finite)[0]))
        raise LineError(f"{arithmetic_label(what, at)} = {array[at]}: every number must be finite")
    return array


def arithmetic_label(name, index) -> str:
    return f"{name}[{','.join(map(str, index))}]" if index else name


def run(recipe, /, **given) -> "Ledger":
    """Every value of the recipe, recorded: work out each line in order from the given numbers.

    Given arrays are copied, all arrays are read-only. Raises LineError, which names the line and the
    values, where a number is missing, does not fit, or leaves the range of finite numbers.
    """
    recipe = recipe if isinstance(recipe, Recipe) else Recipe(*recipe)
    values = {name: as_given(name, value) for name, value in given.items()}
    check_given(recipe, values)
    return record(recipe, values)


@np.errstate(over="raise", divide="raise", invalid="raise")
def record(recipe, values) -> "Ledger":
    """What `run` does once the given numbers are checked: for training, where they come from the ledger before.

    `values` are read-only arrays of finite numbers, every one that the recipe reads. They are not copied.
    """
    values = dict(values)
    for name, compute, pick, line in recipe.steps:
        try:
            value = compute(*pick(values))
        except (ValueError, MemoryError) as problem:
            raise refusal(line, problem, Ledger(recipe, values)) from problem
        except FloatingPointError as problem:
            value = second_look(line, problem, Ledger(recipe, values))
        try:
            value.setflags(False)  # of writing; by name it would take twice as long
        except AttributeError:
            problem = TypeError(f"its compute gave {value!r:.80}, which is no array or number of NumPy's")
            raise refusal(line, problem, Ledger(recipe, values)) from None
        values[name] = value
    return Ledger(recipe, values)


def replay(recipe, values) -> dict:
    """The values of a recipe from arrays that a ledger has checked before; nothing is recorded or explained.

    For sweeps that run one recipe many times. NumPy's warnings stay as the caller has set them.
    """
    values = dict(values)
    for name, compute, pick, _ in recipe.steps:
        values[name] = compute(*pick(values))
    return values


def check_given(recipe, values):
    """Raises LineError where a name is made and given, or where a line reads one that is neither."""
    for name in recipe.names.keys() & values:
        raise LineError(f"line {recipe.names[name]}: the name {name!r} is used twice, it is also given")
    for name in recipe.given:
        if name not in values:
            line = next(line for line in recipe if name in line.operation.inputs)
            raise LineError(f"line {line}: no value is named {name!r}{suggestion(name, [*values, *recipe.names])}")


def refusal(line, problem, ledger) -> LineError:
    """The error that names the line, and holds the lines before it."""
    error = LineError(f"line {line}: {problem}")
    error.ledger = ledger
    return error


def second_look(line, problem, ledger):
    """The value of a line over which NumPy raised an alarm, if all of it is finite after all.

    On some Macs every larger product of matrices raises one (numpy issue 28687). Raises LineError.
    """
    with np.errstate(all="ignore"):
        value = line.operation.compute(*[ledger[name] for name in line.operation.inputs])
    if not np.isfinite(value).all():
        inputs = {name: ledger[name] for name in line.operation.inputs}
        extremes = "".join(f"; {name} from {each.min():g} to {each.max():g}" for name, each in inputs.items())
        raise refusal(line, f"{problem}{extremes}", ledger) from problem
    return value


class Ledger(Mapping):
    """Every value of one run by name, read-only, with the line that made it."""

    def __init__(self, recipe, values):
        self.recipe, self.values_by_name = recipe, values
        self.fractions: dict = {}

    def __getitem__(self, name):
        try:
            return self.values_by_name[name]
        except KeyError:
            known = [*self.values_by_name]
            raise LineError(f"no line or given number is named {name!r}{suggestion(str(name), known)}") from None

    def __iter__(self):
        return iter(self.values_by_name)

    def __len__(self):
        return len(self.values_by_name)

    def __contains__(self, name):
        return name in self.values_by_name

    def __repr__(self):
        return "\n".join(f"{name} {np.shape(value)}" for name, value in self.items())

    def line(self, name) -> Line | None:
        """The line that made a value; None where it was given."""
        self[name]
        return self.recipe.names.get(name)

    def expand(self, name, index) -> str:
        """The arithmetic behind one cell, as Python text over the cells it reads. Raises LineError for a given number."""
        line = self.line(name)
        if line is None:
            raise LineError(f"{name} was given: no line made it, so nothing stands behind its cells")
        return line.operation.expand(index, *[self[each] for each in line.operation.inputs])

    def explain(self, name, index=None, digits=6, whole=False) -> Explanation:
        """The hand arithmetic behind one cell, or behind every cell where no index is given.

        Prints as `conv_sum = 0.2×0.5 + 0.8×(−0.3) + 0.6×0.2 + 0.1×0.4 = 0.02`, with `≈` where the printed
        numbers do not give the printed result exactly. `digits` are significant digits. Long sums are
        cut in the middle unless `whole`. The index counts from 0, as [row, column]; a channel and an
        image index come before it where there are several, and it may leave out axes of length 1.
        Also `.latex`, `.exact` (in fractions), `.symbols`, `.python`.
        """
        if digits is not None and (isinstance(digits, bool) or not isinstance(digits, int) or digits < 1):
            raise LineError(f"digits {digits!r}: give a whole number of significant digits, or None for all")
        value = self[name]
        cells = [full_index(name, value, index)] if index is not None else list(np.ndindex(np.shape(value)))
        return Explanation(self, name, tuple(cells), digits, whole)

    def fraction(self, name, index=()) -> Fraction:
        """The exact value of a cell, from the decimals that were given. Raises arithmetic.Irrational."""
        key = name, tuple(index)
        if key not in self.fractions:
            self.fractions[key] = self.work_out_fraction(*key)
        return self.fractions[key]

    def work_out_fraction(self, name, index):
        if self.line(name) is None:
            return Fraction(repr(float(self[name][index])))
        return arithmetic.exact(arithmetic.parse(self.expand(name, index)), self.fraction)

    def after(self) -> dict[str, np.ndarray]:
        """The given numbers for the next step: every updated parameter has its new value."""
        made = {name: value for name, value in self.values_by_name.items() if name not in self.recipe.names}
        return made | self.recipe.updated(self.values_by_name)


def full_index(name, value, index) -> tuple[int, ...]:
    """The index with its axes of length 1 put back. Raises LineError where it names no cell."""
    shape = np.shape(value)
    index = tuple(index) if isinstance(index, (tuple, list)) else (index,)
    index = tuple(int(at) if isinstance(at, np.integer) else at for at in index)
    short = [axis for axis, size in enumerate(shape) if size > 1]
    for axes in (range(len(shape)), short, range(len(shape))[-2:]):
        if len(index) == len(axes) and all(size == 1 or axis in axes for axis, size in enumerate(shape)):
            found = dict(zip(axes, index))
            if all(isinstance(at, int) and 0 <= at < shape[axis] for axis, at in found.items()):
                return tuple(found.get(axis, 0) for axis in range(len(shape)))
    raise LineError(f"{name} has the shape {shape}: {arithmetic_label(name, index)} is none of its cells")
