"""One step under diagnosis: everything that its causes are read from, each worked out once and when it is asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..gradients import backward, held, needed, update
from ..ledger import Ledger, LineError, Recipe, finite_numbers, refuse_misspelt, run, suggestion
from ..ops import Descend
from ..optimizers import OPTIMIZERS, started
from .check import GradientCheck, check_gradient, fitted
from .curvature import hessian_times
from .kinks import Kinks, held_kinks, kinks
from .parts import Parts, parts
from .slips import NotedSlip, noted_slips
from .step import Step, dot
from .sweep import Sweep, sweep

FARTHEST_MODEL = 50  # a threshold of the quadratic model beyond this many learning rates does not set the range


@dataclass(frozen=True, eq=False)
class Case:
    """What was trained and how, and what was read or noted instead."""

    forward: Recipe
    given: dict
    parameters: tuple[str, ...]
    loss: str
    optimizer: object
    gradient: object
    read: object
    noted: dict
    up_to: float | None

    # The step

    @cached_property
    def whole(self) -> Recipe:
        """Forward, backward and the optimizer's lines."""
        add_lines = OPTIMIZERS.get(self.optimizer, self.optimizer)
        if not callable(add_lines):
            raise ValueError(f"optimizer {self.optimizer!r} is none of {', '.join(OPTIMIZERS)}, and no function that adds lines")
        chain = backward(self.forward, self.loss, to=self.parameters)
        for name in self.parameters:
            if f"d_{name}" not in chain.names:
                raise LineError(f"diagnose: {name!r} is no parameter: the chain rule sends no gradient to it")
        return add_lines(chain, *self.parameters)

    def refuse_unread(self, changed):
        """Raises LineError for a number that was changed by name and that nothing reads."""
        read = [*self.whole.given, *(Recipe(*self.gradient).given if isinstance(self.gradient, tuple) else ())]
        refuse_misspelt("diagnose", changed, read, self.whole.names)

    @property
    def is_plain(self) -> bool:
        return OPTIMIZERS.get(self.optimizer, self.optimizer) is update

    @property
    def optimizer_kind(self) -> str:
        """The optimizer's name; its own words for one that is not known."""
        known = {function: name for name, function in OPTIMIZERS.items()}
        return known.get(OPTIMIZERS.get(self.optimizer, self.optimizer), "another optimizer")

    @cached_property
    def start(self) -> dict:
        """The given numbers, with what the optimizer needs before its first step."""
        return started(self.whole, self.given)

    @cached_property
    def ledger(self) -> Ledger:
        """The step as it should be: every gradient by the chain rule."""
        return run(self.whole, **self.start)

    @property
    def learning_rate(self) -> float:
        return float(self.ledger["learning_rate"])

    @cached_property
    def right(self) -> dict:
        return {name: self.ledger[f"d_{name}"] for name in self.parameters}

    @cached_property
    def used(self) -> dict:
        """The gradients that were used; the right ones where no others were given."""
        if self.gradient is None:
            return self.right
        source = self.gradient
        if isinstance(source, tuple):
            recipe = Recipe(*source)
            source = run(recipe, **{name: self.start[name] for name in recipe.given if name in self.start})
        elif not isinstance(source, Mapping):
            raise LineError(f"gradient = {source!r:.80}: give {{parameter: array}}, a ledger, or a recipe")
        elif not isinstance(source, Ledger) and not all(f"d_{name}" in source for name in self.parameters):
            for name in source:  # a whole run, which holds other values too, has passed
                if name.removeprefix("d_") not in self.parameters:
                    raise LineError(f"gradient: no parameter is named {name!r}{suggestion(name, self.parameters)}")
        found = {name: gradient_of(source, name, self.right[name]) for name in self.parameters}
        return {name: fitting(name, finite_numbers(f"gradient of {name}", value), self.right[name]) for name, value in found.items()}

    def step_with(self, gradient, plain=False) -> Step:
        """The step that the optimizer makes of a gradient, or plain gradient descent."""
        if plain or self.is_plain:
            return self.base.towards({name: -each for name, each in gradient.items()})
        if gradient is self.right:
            ledger = self.ledger
        else:
            recipe = self.whole
            for name in gradient:
                recipe = held(recipe, f"d_{name}")
            ledger = run(recipe, **self.start, **{f"d_{name}": each for name, each in gradient.items()})
        return self.base.towards({name: -ledger[self.last(name).d_old] for name in self.parameters})

    def last(self, name) -> Descend:
        operation = self.whole.names[f"new_{name}"].operation
        if not isinstance(operation, Descend):
            raise LineError(f"line {self.whole.names[f'new_{name}']}: an optimizer ends with Descend, so that its step "
                            "is the learning rate times a direction")
        return operation

    @cached_property
    def base(self) -> Step:
        recipe = needed(self.forward, self.loss)
        values = {name: np.asarray(self.ledger[name], float) for name in recipe.given}
        still = {name: np.zeros(np.shape(self.ledger[name])) for name in self.parameters}
        return Step(recipe, values, still, self.learning_rate, self.loss)

    @cached_property
    def step(self) -> Step:
        """The step as it was taken."""
        return self.step_with(self.used)

    @cached_property
    def right_step(self) -> Step:
        """The same optimizer's step with the right gradient."""
        return self.step if self.used is self.right else self.step_with(self.right)

    @cached_property
    def plain_step(self) -> Step:
        """Plain gradient descent with the right gradient and the same learning rate."""
        return self.right_step if self.is_plain else self.step_with(self.right, plain=True)

    # The change and its parts

    @cached_property
    def bent(self) -> dict:
        """The Hessian times the direction."""
        return hessian_times(self.forward, self.base.values, self.step.direction, self.loss)

    @cached_property
    def steepness(self) -> float:
        """The slope along the direction: what one unit of learning rate would add, were the loss straight."""
        return dot(self.right, self.step.direction)

    @cached_property
    def bend(self) -> float:
        """direction · H · direction: how fast that slope grows."""
        return dot(self.step.direction, self.bent)

    @property
    def slope(self) -> float:
        return self.learning_rate * self.steepness

    @property
    def curvature(self) -> float:
        return 0.5 * self.learning_rate * self.learning_rate * self.bend  # ** would raise where this is infinite

    @property
    def rest(self) -> float:
        return self.step.change - self.slope - self.curvature

    @property
    def model_threshold(self) -> float | None:
        """The learning rate where slope + curvature = 0: 2/λ for gradient descent; None where they never do."""
        if self.steepness >= 0 or self.bend <= 0:
            return None
        return -2 * self.steepness / self.bend

    @cached_property
    def sweep(self) -> Sweep:
        rate, model = self.learning_rate or 1.0, self.model_threshold
        near = model if model and model < FARTHEST_MODEL * rate else 0.0
        top = self.up_to or max(2 * rate, 1.5 * near)
        return sweep(self.step, top, far=1 if self.up_to else max(1000, 3 * (model or 0) / top), foreseen=model)

    @cached_property
    def kinks(self) -> Kinks:
        return kinks(self.step)

    def smooth(self, step) -> Step:
        """The same step of the network in which nothing switches."""
        return held_kinks(step, self.ledger)

    @cached_property
    def parts(self) -> Parts | None:
        """Who pulls which way in the plain step; None with another optimizer or for one sample of two classes."""
        return parts(self.plain_step, self.forward) if self.is_plain else None

    @cached_property
    def check(self) -> GradientCheck | None:
        """The gradient check, where gradients were given."""
        if self.gradient is None:
            return None
        return check_gradient(self.forward, self.base.values, self.used, self.loss)

    # What was read

    @cached_property
    def read_numbers(self) -> dict:
        return dict(self.read) if isinstance(self.read, Mapping) else {}

    @property
    def read_loss(self) -> str:
        return self.read if isinstance(self.read, str) else self.loss

    @cached_property
    def reading(self) -> Step:
        """The step as it was taken, seen by the loss that was read."""
        if self.read is None:
            return self.step
        if not isinstance(self.read, str | Mapping):
            raise LineError(f"read = {self.read!r:.80}: give numbers by name, or the name of a loss")
        if self.read_loss not in self.forward.names:
            raise LineError(f"read: no line makes {self.read_loss!r}{suggestion(self.read_loss, [*self.forward.names])}")
        recipe = needed(self.forward, self.read_loss)
        for name in self.read_numbers:
            if name in recipe.names:
                raise LineError(f"read: line {recipe.names[name]} makes {name!r}; the given numbers are {', '.join(recipe.given)}")
            if name not in recipe.given:
                raise LineError(f"read: no value is named {name!r}{suggestion(name, recipe.given)}")
        ledger = run(recipe, **{name: self.start[name] for name in recipe.given if name not in self.read_numbers},
                     **self.read_numbers)
        if np.size(ledger[self.read_loss]) != 1:
            raise LineError(f"read: {self.read_loss} {np.shape(ledger[self.read_loss])} is no single number")
        direction = {name: way for name, way in self.step.direction.items() if name in recipe.given}
        values = {name: np.asarray(ledger[name], float) for name in recipe.given}
        return Step(recipe, values, direction, self.learning_rate, self.read_loss)

    @cached_property
    def ledger_before(self) -> Ledger:
        """What was read before the step, recorded."""
        return run(self.reading.recipe, **self.reading.values)

    @cached_property
    def ledgers(self) -> tuple[Ledger, Ledger]:
        """What was read before and after the step, recorded, without what was noted by hand."""
        step = self.reading
        return self.ledger_before, run(step.recipe, **step.at(step.learning_rate))

    @cached_property
    def overflow(self) -> LineError | None:
        """The line that leaves the range of numbers after the step, where it did not before; None where all stay."""
        self.ledger_before
        try:
            self.ledgers
        except LineError as problem:
            return problem
        return None

    @cached_property
    def noted_after(self) -> float:
        """The loss after the step with the numbers that were noted by hand in the places of theirs."""
        if not self.noted:
            return self.reading.after
        recipe, right = self.checked.recipe, self.checked
        for name in self.noted:
            if np.size(self.noted[name]) != np.size(right[name]):
                raise LineError(f"noted: {name} {np.shape(self.noted[name])} does not fit {np.shape(right[name])}")
            recipe = held(recipe, name)
        if self.read_loss in self.noted:
            return float(np.reshape(self.noted[self.read_loss], ()))
        values = {**right, **{name: np.reshape(value, np.shape(right[name])) for name, value in self.noted.items()}}
        return float(run(recipe, **{name: values[name] for name in recipe.given})[self.read_loss])

    @cached_property
    def checked(self) -> Ledger:
        """The numbers after the step, right: those that the loss needs, and those that were noted by hand."""
        for name in self.noted:
            if name not in self.forward.names:
                raise LineError(f"noted: no line makes {name!r}{suggestion(name, [*self.forward.names])}")
        recipe, step = needed(self.forward, self.read_loss, *self.noted), self.reading
        values = self.start | self.read_numbers | step.at(step.learning_rate)
        return run(recipe, **{name: values[name] for name in recipe.given if name in values})

    @cached_property
    def slips(self) -> tuple[NotedSlip, ...]:
        """The noted numbers that differ from what their lines give, whether the loss rises or not."""
        return tuple(noted_slips(self.checked, self.noted)) if self.noted else ()

    @property
    def before(self) -> float:
        return self.reading.before

    @property
    def after(self) -> float:
        return self.noted_after

    @property
    def rise(self) -> float:
        """What is to be explained: the loss that was noted after the step minus the one that was read before it."""
        return self.after - self.before

    @property
    def noise(self) -> float:
        return 16 * np.finfo(float).eps * max(abs(self.before), abs(self.after))


def gradient_of(source, name, right):
    """The gradient of one parameter in {"d_kernel": …} or {"kernel": …}; the right one where it is not there."""
    return source[f"d_{name}"] if f"d_{name}" in source else right if isinstance(source, Ledger) else source.get(name, right)


def fitting(name, value, right):
    """The gradient in its parameter's shape. Raises LineError where it does not fit."""
    found = fitted(value, right)
    if found.shape != right.shape:
        raise LineError(f"gradient of {name}: {value.shape} does not fit {right.shape}")
    return found
