"""Why did this step raise the loss? One call, an answer in words, and the numbers that force it.

    >>> from cnnlab.diagnosis import diagnose
    >>> from cnnlab.examples import example_1, example_2, twin
    >>> diagnose(example_1, learning_rate=0.08)                        # 1  overshoot
    >>> diagnose(example_2, label=1, read={"label": 0})                # 2  the loss of another class was read
    >>> diagnose(twin, gradient=planted(twin.recipe, "sign"))          # 3  a wrong gradient, named
    >>> diagnose(example_2, noted={"conv": 0.0987, "loss": 0.542})     # 4  a slip in checking
    >>> diagnose(forward, given, parameters, learning_rate=2)          # 5, 8  samples, classes, kinks: your own recipe
    >>> diagnose(forward, batch, parameters, read=whole_set)           # 6  a mini-batch judged on all
    >>> diagnose(example_1, optimizer="momentum", kernel_velocity=…)   # 7  momentum; "Adam"

`.verdict`, `.causes`, `.advice` and `.evidence` are the answer, `.sweep.points` the curve L(η), `.sweep.crossings`
and `.model_threshold` its thresholds. `sweep`, `kinks`, `check_gradient`, `hessian_times` and `sharpness` stand on
their own too.
"""

from math import inf
from numbers import Real

from ..ledger import finite_numbers
from .case import Case
from .causes import Cause
from .check import GradientCheck, check_gradient
from .curvature import hessian_times, sharpness
from .kinks import Kink, Kinks, kinks
from .parts import Part, Parts, parts
from .step import Step
from .sweep import Sweep, sweep
from .verdict import Diagnosis, diagnosis_of

__all__ = ["Case", "Cause", "Diagnosis", "GradientCheck", "Kink", "Kinks", "Part", "Parts", "Step", "Sweep",
           "check_gradient", "diagnose", "hessian_times", "kinks", "parts", "sharpness", "sweep"]


def diagnose(forward, given=None, parameters=None, *, loss="loss", optimizer="gradient descent", gradient=None,
             read=None, noted=None, up_to=None, **changed) -> Diagnosis:
    """Take one step and say why the loss rose, or how close it came.

    `forward` is an Example, or a recipe or Network with its `given` numbers and the names of its `parameters`;
    `changed` are given numbers to change, the learning rate among them. `optimizer` is "gradient descent", "momentum", "Adam", or
    a function that adds lines like `update`; what it carries is given by name (`kernel_velocity`), or starts at 0.
    `gradient` holds the gradients that were used, if not the right ones: {"kernel": …}, a ledger, or a recipe
    with a mistake planted. `read` says what was read instead of what was trained: given numbers that differ
    ({"label": 1}, or the arrays of a whole data set), or the name of another loss. `noted` holds numbers that
    were noted by hand in the check after the step. `up_to` ends the sweep of learning rates.
    """
    if hasattr(forward, "forward"):
        own = getattr(forward, "given", getattr(forward, "fixed", {}))  # of an Example, of a Network
        given, parameters = own | dict(given or {}), parameters or forward.parameters
        forward = forward.forward
    if not parameters:
        raise ValueError("diagnose: give an example, or a recipe, its numbers and the names of its parameters")
    if up_to is not None and not (isinstance(up_to, Real) and 0 < up_to < inf):
        raise ValueError(f"diagnose: up_to {up_to!r}: give a learning rate above 0")
    noted = {name: finite_numbers(f"noted {name}", value) for name, value in (noted or {}).items()}
    case = Case(forward, dict(given or {}) | changed, tuple(parameters), loss, optimizer, gradient, read, noted, up_to)
    case.refuse_unread(changed)
    return diagnosis_of(case)
