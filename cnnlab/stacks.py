"""Many trials of one recipe at once: values stacked along a new first axis, one result for each trial.

`losses(recipe, values, moved)` is what a sweep needs: 1,000 learning rates on a 2×2 example in about
half a millisecond. An operation that is not in `TOGETHER` is worked out trial after trial.
"""

from dataclasses import replace

import numpy as np

from .ops import (Add, AddBias, AveragePool, Correlate, CrossEntropy, Exponential, Flatten, FullyConnected,
                  HalfSquaredError, MaxPool, ReLU, ReLUGradient, Same, Sigmoid, Softmax, SoftmaxCrossEntropy, Tanh)
from .ops.convolution import columns
from .ops.linear import bias_shape
from .ops.loss import classes, fitted

MOST_CELLS = 2_000_000  # numbers held at a time; more trials than fit are worked out in turns


def trials(recipe, values, moved) -> dict:
    """Every value that depends on `moved`, with a first axis of trials.

    `values` are the arrays that all trials share, `moved` stacks of the others, one entry a trial.
    NumPy's warnings stay as the caller has set them.
    """
    return worked_out(recipe, values, moved)[0]


def worked_out(recipe, values, moved) -> tuple[dict, dict]:
    """(stacks of what depends on `moved`, all that the trials share)."""
    shared, stacks = dict(values), dict(moved)
    for name, operation in recipe:
        if any(each in stacks for each in operation.inputs):
            read = [stacks[each] if each in stacks else np.asarray(shared[each])[None] for each in operation.inputs]
            stacks[name] = TOGETHER.get(type(operation), one_by_one)(operation, *read)
        else:
            shared[name] = operation.compute(*[shared[each] for each in operation.inputs])
    return stacks, shared


def losses(recipe, values, moved, loss="loss") -> np.ndarray:
    """The loss of every trial; one that left the range of numbers is infinite."""
    count, size = len(next(iter(moved.values()))), cells(recipe, values, moved)
    turn = max(1, MOST_CELLS // size)
    parts = []
    with np.errstate(all="ignore"):
        for start in range(0, count, turn):
            stacks = trials(recipe, values, {name: stack[start:start + turn] for name, stack in moved.items()})
            parts.append(np.reshape(stacks[loss], -1))
    found = np.concatenate(parts)
    return np.where(np.isnan(found), np.inf, found)


def cells(recipe, values, moved) -> int:
    """How many numbers one trial holds, those that a convolution lays out in columns included."""
    one, shared = worked_out(recipe, values, {name: stack[:1] for name, stack in moved.items()})
    return sum(stack.size * weights_of(operation, one, shared) for name, operation in recipe
               if (stack := one.get(name)) is not None) or 1


def weights_of(operation, stacks, shared) -> int:
    if not isinstance(operation, Correlate):
        return 1
    kernel = stacks[operation.kernel][0] if operation.kernel in stacks else shared[operation.kernel]
    return int(np.prod(kernel.shape[-3:])) if operation.image in stacks else 1


def one_by_one(operation, *values):
    """Any operation on stacks, trial after trial. A stack of length 1 is shared by all trials."""
    count = max(map(len, values))
    return np.stack([operation.compute(*[stack[at if len(stack) > 1 else 0] for stack in values]) for at in range(count)])


def alike(operation, *values):
    """An operation on every cell alone: a first axis more changes nothing."""
    return operation.compute(*values)


def relu_gradient(operation, d_output, values):
    return d_output * (values > 0)


def by_rows(operation, values):
    """An operation along the last axis: trials and images are all rows."""
    return operation.compute(values.reshape(-1, values.shape[-1])).reshape(values.shape)


def by_maps(operation, values):
    """An operation on each map alone: trials, images and channels are all maps."""
    maps = operation.compute(values.reshape(-1, *values.shape[-2:]))
    return maps.reshape(*values.shape[:-2], *maps.shape[-2:])


def add(operation, first, second):
    operation.compute(first[0], second[0])  # refuses shapes that differ
    return first + second


def add_bias(operation, values, bias):
    shape = bias_shape(values[0], bias[0], operation.inputs)
    return values + bias.reshape(len(bias), *(1,) * (values.ndim - 1 - len(shape)), *shape)


def flatten(operation, values):
    return values.reshape(*values.shape[:2 if values.ndim == 5 else 1], -1)


def fully_connected(operation, values, weight):
    operation.check(values[0], weight[0])
    if values.ndim == 2:
        return (weight @ values[..., None])[..., 0]
    return values @ weight.swapaxes(1, 2)


def correlate(operation, image, kernel):
    """Stacked kernels over one image are only more kernels; else a product for each trial."""
    geometry = operation.geometry(image[0], kernel[0])
    images, kernels = geometry.images[0], geometry.kernels[0]
    rows = kernel.reshape(len(kernel), kernels, geometry.weights)
    seen = columns(image, replace(geometry, images=(len(image) * images, *geometry.images[1:])))
    if len(image) == 1:
        sums = (rows.reshape(-1, geometry.weights) @ seen).reshape(images, len(kernel), kernels, -1).swapaxes(0, 1)
    else:
        sums = rows[:, None] @ seen.reshape(len(image), images, geometry.weights, -1)
    return sums.reshape(-1, *geometry.output)


def half_squared_error(operation, output, target):
    fitted(operation, output[0], target[0])
    error = (output - target.reshape(len(target), *output.shape[1:])).reshape(max(len(output), len(target)), -1)
    return 0.5 * (error * error).sum(axis=1)


def cross_entropy(operation, p, label):
    if len(label) > 1:
        return one_by_one(operation, p, label)
    rows, y = classes(p[0], label[0], operation.inputs)
    true = p.reshape(len(p), *rows.shape)[:, y]
    return -np.log(np.maximum(true, np.finfo(p.dtype).tiny)).sum(axis=1) / len(rows)


def softmax_cross_entropy(operation, logits, label):
    if len(label) > 1:
        return one_by_one(operation, logits, label)
    rows, y = classes(logits[0], label[0], operation.inputs)
    scores = logits.reshape(len(logits), *rows.shape)
    below = scores - scores.max(axis=2, keepdims=True)
    return (np.log(np.exp(below).sum(axis=2)) - below[:, y]).sum(axis=1) / len(rows)


TOGETHER = {
    **dict.fromkeys((ReLU, Sigmoid, Tanh, Exponential, Same), alike), ReLUGradient: relu_gradient,
    Softmax: by_rows, MaxPool: by_maps, AveragePool: by_maps, Add: add, AddBias: add_bias, Flatten: flatten, FullyConnected: fully_connected, Correlate: correlate,
    HalfSquaredError: half_squared_error, CrossEntropy: cross_entropy, SoftmaxCrossEntropy: softmax_cross_entropy,
}
