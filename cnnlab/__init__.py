"""cnnlab: convolutional networks with every intermediate number recorded, explained and checked.

A recipe is a tuple of lines, `run` works it out into a ledger, `backward` and `update` add lines.
This module needs NumPy alone; `cnnlab.panel` and `cnnlab.lessons` also need Jupyter's widgets.
"""

from .gradients import backward, slope, update
from .ledger import Ledger, Line, LineError, Recipe, run
from .ops import *  # noqa: F403  the operations are the vocabulary of a recipe
from .ops import __all__ as _operations

__version__ = "0.1.0"
__all__ = ["Ledger", "Line", "LineError", "Recipe", "backward", "run", "slope", "update", *_operations]
