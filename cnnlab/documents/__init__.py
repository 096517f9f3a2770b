"""The documents' printed figures: what each comes to when it is worked out again, and what that shows.

`audit()` is the table of every figure, `nearest_readings()` looks for the slip behind the printed rise
of the loss, `lost_values()` gives example 2 with any fully connected values that fit what is printed.
"""

from .audits import Audit, Row, audit
from .figures import HOLDS, NOTE, WRONG, Figure, figure, printed, titles
from .lost import Allowed, allowed_gaps, logit_gaps, lost_values
from .readings import Reading, Readings, nearest_readings

__all__ = ["HOLDS", "NOTE", "WRONG", "Allowed", "Audit", "Figure", "Reading", "Readings", "Row", "allowed_gaps",
           "audit", "figure", "logit_gaps", "lost_values", "nearest_readings", "printed", "titles"]
