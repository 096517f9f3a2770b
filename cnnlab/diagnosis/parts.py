"""Who pulls which way: one step of gradient descent taken apart into what each sample, or each other class, asks for."""

from dataclasses import dataclass

import numpy as np

from ..gradients import held, needed
from ..ledger import replay
from ..ops import CrossEntropy, Softmax, SoftmaxCrossEntropy
from ..ops.convolution import Sliding
from ..ops.pooling import Pooling
from .curvature import gradient_lines
from .step import Step

MOST_SAMPLES = 64
SAMPLES, CLASSES = "samples", "classes"


@dataclass(frozen=True)
class Part:
    """One sample's loss, or one other class's share of it: before, after its own pull alone, after the whole step."""

    name: str
    before: float
    alone: float
    together: float

    @property
    def hurt(self) -> bool:
        """Whether the whole step raised it."""
        return self.together > self.before

    @property
    def helped(self) -> bool:
        return self.together < self.before


@dataclass(frozen=True, eq=False)
class Parts:
    """The pulls that add up to the step, and the change of the loss if each had had its own copy of the weights."""

    kind: str
    parts: tuple[Part, ...]
    own_change: float

    @property
    def disagree(self) -> bool:
        """Whether the step helped one and hurt another."""
        return any(part.hurt for part in self.parts) and any(part.helped for part in self.parts)

    def __iter__(self):
        return iter(self.parts)


def parts(step, forward) -> Parts | None:
    """The samples of a batch, or the other classes of one sample with three classes or more; None for all else."""
    return of_samples(step, forward) or of_classes(step, forward)


def of_samples(step, forward) -> Parts | None:
    data = batch(step)
    if data is None:
        return None
    lines = gradient_lines(forward, tuple(step.direction), step.loss)
    singles = [step.values | {name: value[n:n + 1] for name, value in data.items()} for n in range(len(next(iter(data.values()))))]
    try:
        before = [loss_of(step, single) for single in singles]
        weight = weight_of(step, before)
        if weight is None:
            return None
        gradients = [replay(lines, single) for single in singles]
    except ValueError:
        return None
    alone = [loss_of(step, single, {name: -weight * gradient[f"d_{name}"] for name in step.direction})
             for single, gradient in zip(singles, gradients)]
    together = [loss_of(step, single, step.direction) for single in singles]
    rows = tuple(Part(f"sample {n}", *row) for n, row in enumerate(zip(before, alone, together)))
    return Parts(SAMPLES, rows, weight * (sum(alone) - sum(before)))


def batch(step) -> dict | None:
    """The given arrays that have one entry for each sample; None where there are no several samples, or too many."""
    data = {name: step.values[name] for name in step.recipe.given if name not in step.direction}
    lengths = {len(value) if np.ndim(value) else 0 for value in data.values()}
    if len(data) < 2 or len(lengths) != 1 or not 1 < min(lengths) <= MOST_SAMPLES or is_one_picture(step):
        return None
    return data


def is_one_picture(step) -> bool:
    """Whether a window slides over (H, W) or (C, H, W): the first axis then counts rows or channels, and no samples."""
    with np.errstate(all="ignore"):
        values = replay(step.recipe, step.values)
    return any(isinstance(operation, Sliding | Pooling) and np.ndim(values[operation.inputs[0]]) < 4 for _, operation in step.recipe)


def loss_of(step, values, direction=None) -> float:
    one = Step(step.recipe, values, direction or {}, step.learning_rate, step.loss)
    return one.after if direction else one.before


def weight_of(step, losses) -> float | None:
    """1 where the samples' losses add up to the whole, 1/N where the whole is their mean."""
    for weight in (1.0, 1 / len(losses)):
        if np.isclose(weight * sum(losses), step.before, rtol=1e-9, atol=1e-12):
            return weight
    return None


def of_classes(step, forward) -> Parts | None:
    """One sample, three classes or more: p - y is the sum over the other classes k of p[k] * (e[k] - e[true])."""
    found = scores(step.recipe, step.loss)
    if found is None:
        return None
    logits, label = found
    with np.errstate(all="ignore"):
        values = replay(step.recipe, step.values)
    z, true = np.asarray(values[logits]), np.asarray(values[label])
    if z.size < 3 or z.shape[-1] != z.size:
        return None
    true = int(true.reshape(-1)[0])
    others = [k for k in range(z.size) if k != true]
    lines = gradient_lines(forward, tuple(step.direction), step.loss)
    lines = needed(held(lines, f"d_{logits}"), *(f"d_{name}" for name in step.direction))
    after = margins(step, step.at(step.learning_rate), logits, true)
    before, alone = margins(step, step.values, logits, true), after.copy()
    for k in others:
        alone[k] = margins(step, pulled(step, lines, values, logits, true, k), logits, true)[k]
    rows = tuple(Part(f"class {k}", *(float(np.exp(-each[k])) for each in (before, alone, after))) for k in others)
    own = np.log1p(sum(row.alone for row in rows)) - np.log1p(sum(row.before for row in rows))
    return Parts(CLASSES, rows, float(own))


def scores(recipe, loss) -> tuple[str, str] | None:
    """(name of the logits, name of the label) of a cross-entropy; None for another loss."""
    operation = recipe.names[loss].operation
    if isinstance(operation, SoftmaxCrossEntropy):
        return operation.logits, operation.label
    if isinstance(operation, CrossEntropy) and operation.p in recipe.names:
        maker = recipe.names[operation.p].operation
        return (maker.logits, operation.label) if isinstance(maker, Softmax) else None
    return None


def pulled(step, lines, values, logits, true, k) -> dict:
    """The numbers after the pull of one other class alone."""
    z = np.asarray(values[logits])
    p = np.exp(z - z.max()).reshape(-1)
    pull = np.zeros(z.size)
    pull[k], pull[true] = p[k] / p.sum(), -p[k] / p.sum()
    made = replay(lines, values | {f"d_{logits}": pull.reshape(z.shape)})
    return step.values | {name: step.values[name] - step.learning_rate * made[f"d_{name}"] for name in step.direction}


def margins(step, values, logits, true) -> np.ndarray:
    """How far the true class's logit lies above each class's."""
    with np.errstate(all="ignore"):
        z = np.asarray(replay(needed(step.recipe, logits), values)[logits]).reshape(-1)
    return z[true] - z
