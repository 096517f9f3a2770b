"""What every operation is: a formula, its arithmetic cell by cell, and its chain rule."""

from dataclasses import fields, replace
from functools import cached_property
from typing import NewType

import numpy as np

Name = NewType("Name", str)


class Operation:
    """One kind of line in a recipe: `compute` all cells, `expand` one cell, `gradient` as more lines.

    A subclass is a frozen dataclass. Its fields of type `Name` say which values it reads, its
    other fields are settings: `Correlate("image", "kernel", stride=2)`. It has no other state.
    """

    updates: str | None = None  # the field whose value the result replaces in the next step

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The names of the values that the operation reads, in order."""
        return tuple(getattr(self, field.name) for field in fields(self) if field.type is Name)

    def reading(self, names) -> "Operation":
        """The same operation on other values: `names` maps what it reads to what it is to read."""
        read = {field.name: names.get(getattr(self, field.name), getattr(self, field.name))
                for field in fields(self) if field.type is Name}
        return replace(self, **read)

    def compute(self, *values):
        """All cells at once, as an array or number of NumPy's. Raises ValueError where the values do not fit."""
        raise NotImplementedError(f"{type(self).__name__} defines no compute")

    def expand(self, index, *values) -> str:
        """The arithmetic behind the cell at `index`: Python text over the cells it reads."""
        raise NotImplementedError(f"{type(self).__name__} defines no expand")

    def gradient(self, output: str, d_output: str):
        """Pairs (input name, operation that carries d_output back to that input)."""
        raise NotImplementedError(f"{type(self).__name__} has no gradient: nothing may follow from it")

    def __str__(self):
        settings = [f"{field.name}={getattr(self, field.name)!r}" for field in fields(self)
                    if field.type is not Name and getattr(self, field.name) != field.default]
        return f"{type(self).__name__}({', '.join([*map(str, self.inputs), *settings])})"

    @classmethod
    def formula(cls) -> str:
        """The first line of the docstring, without the shapes behind it."""
        return cls.__doc__.splitlines()[0].split("   ")[0].strip()


def cell(name: str, *index) -> str:
    """The text that names one cell: `kernel[0,1]`, or just `bias` for a single number."""
    return f"{name}[{','.join(map(str, index))}]" if index else name


def add(terms) -> str:
    """The text of a sum; `0` where nothing is added."""
    return " + ".join(terms) or "0"


def pair(setting, name: str, least: int) -> tuple[int, int]:
    """(vertical, horizontal) from one whole number or two, each at least `least`."""
    both = setting if isinstance(setting, tuple) else (setting, setting)
    whole = all(isinstance(size, (int, np.integer)) and not isinstance(size, bool) for size in both)
    if len(both) != 2 or not whole or min(both) < least:
        raise ValueError(f"{name} {setting!r} must be a whole number of at least {least}, or two of them")
    return int(both[0]), int(both[1])


def one_number(name, value) -> float:
    """The number of an array without axes. Raises ValueError for any other."""
    if value.ndim:
        raise ValueError(f"{name} {value.shape} must be one number")
    return value.item()


def check_alike(first_name, first, second_name, second):
    """Raises ValueError where two arrays differ in shape."""
    if first.shape != second.shape:
        raise ValueError(f"{first_name} {first.shape} and {second_name} {second.shape} differ in shape")
