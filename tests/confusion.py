"""Which mistake is planted, and which the gradient check names: `python -m tests.confusion` prints the table."""

from collections import Counter

import numpy as np

from cnnlab import (AddBias, AveragePool, Correlate, CrossEntropy, Flatten, FullyConnected, HalfSquaredError, MaxPool, Recipe,
                    ReLU, Softmax, SoftmaxCrossEntropy, Tanh, backward)
from cnnlab.diagnosis import check_gradient
from cnnlab.ledger import replay
from cnnlab.mistakes import ALL, planted
from tests.networks import Network

# What the issue asks to be named, by the key of the planted mistake. The others are named too where they show.
ASKED = ("sign", "no bias", "twice", "images", "transposed", "unflipped", "gate", "wrong gate")
HIDDEN, UNKNOWN, AMONG, ASTRAY = "(hidden)", "(unknown)", "(it or another)", "(astray)"
SEEDS = range(5)


def network(seed, shapes, classes=None, **lines) -> Network:
    """A network whose numbers are drawn, with nonzero biases; all that is no picture, label or target is trained."""
    rng = np.random.default_rng(seed)
    given = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    given |= {"label": rng.integers(0, classes, len(given["image"]))} if classes else {}
    trained = tuple(name for name in given if name not in ("image", "label", "target"))
    return Network(Recipe(**lines), trained, given | {"learning_rate": 0.1})


def lopsided(seed):
    """Nothing square but the kernels, three images, ReLU that clips, max-pooling with windows that overlap."""
    return network(
        seed, {"image": (3, 2, 7, 6), "kernel": (3, 2, 3, 3), "kernel_bias": 3, "kernel_2": (2, 3, 2, 2), "kernel_2_bias": 2,
               "fc_weight": (4, 8), "fc_bias": 4}, 4,
        conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "kernel_bias"), relu=ReLU("conv"),
        pooled=MaxPool("relu", size=(3, 2), stride=1), conv_2_sum=Correlate("pooled", "kernel_2"),
        conv_2=AddBias("conv_2_sum", "kernel_2_bias"), relu_2=ReLU("conv_2"), flat=Flatten("relu_2"),
        fc_sum=FullyConnected("flat", "fc_weight"), logits=AddBias("fc_sum", "fc_bias"), loss=SoftmaxCrossEntropy("logits", "label"))


def squared(seed):
    """Five grey images, stride and padding, a target for every cell."""
    return network(
        seed, {"image": (5, 1, 6, 6), "kernel": (2, 1, 2, 2), "kernel_bias": 2, "kernel_2": (1, 2, 3, 3), "kernel_2_bias": 1,
               "target": (5, 1, 3, 3)},
        conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "kernel_bias"), relu=ReLU("conv"),
        conv_2_sum=Correlate("relu", "kernel_2", stride=2, padding=1), output=AddBias("conv_2_sum", "kernel_2_bias"),
        loss=HalfSquaredError("output", "target"))


def by_steps(seed):
    """Seven images, tanh before ReLU, the softmax class by class."""
    return network(
        seed, {"image": (7, 3, 5, 5), "kernel": (2, 3, 2, 2), "kernel_bias": 2, "kernel_2": (2, 2, 2, 2), "kernel_2_bias": 2,
               "fc_weight": (3, 8), "fc_bias": 3}, 3,
        conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "kernel_bias"), bent=Tanh("conv"),
        pooled=AveragePool("bent", size=2, stride=1), conv_2_sum=Correlate("pooled", "kernel_2"),
        conv_2=AddBias("conv_2_sum", "kernel_2_bias"), relu=ReLU("conv_2"), flat=Flatten("relu"),
        fc_sum=FullyConnected("flat", "fc_weight"), logits=AddBias("fc_sum", "fc_bias"), p=Softmax("logits"),
        loss=CrossEntropy("p", "label"))


def one_map(seed):
    """One picture, one kernel a layer: where `=` for `+=` can be shown."""
    return network(
        seed, {"image": (7, 6), "kernel": (3, 3), "kernel_bias": (), "kernel_2": (2, 2), "kernel_2_bias": (), "target": (3, 2)},
        conv_sum=Correlate("image", "kernel"), conv=AddBias("conv_sum", "kernel_bias"), relu=ReLU("conv"),
        conv_2_sum=Correlate("relu", "kernel_2"), conv_2=AddBias("conv_2_sum", "kernel_2_bias"), relu_2=ReLU("conv_2"),
        pooled=MaxPool("relu_2", size=2, stride=1), loss=HalfSquaredError("pooled", "target"))


BUILDERS = {"lopsided": lopsided, "squared": squared, "by steps": by_steps, "one map": one_map}


def gradients(net, mistake=None) -> dict | None:
    """The gradients of a network, with a mistake planted; None where it cannot be made on its shapes."""
    if mistake == "images" and np.ndim(net.given["image"]) == 2:
        return None  # one picture: there is no number of images to divide by
    recipe = backward(net.forward, to=net.parameters)
    try:
        made = replay(planted(recipe, mistake) if mistake else recipe, {name: np.asarray(value, float) for name, value in net.given.items()})
    except ValueError:
        return None
    return {name: made[f"d_{name}"] for name in net.parameters}


def named(net, mistake) -> str | None:
    """What the check makes of a planted mistake: its key, that it is hidden or unknown, or that others give the same numbers."""
    used, right = gradients(net, mistake), gradients(net)
    if used is None:
        return None
    if all(np.allclose(used[name], right[name], rtol=1e-9, atol=1e-12) for name in used):
        return HIDDEN
    check = check_gradient(net.forward, net.given, used)
    kinds = [slip.kind for slip in check.slips]
    if len(kinds) > 1:
        return AMONG if mistake in kinds else ASTRAY
    return kinds[0] if kinds else UNKNOWN


def table() -> dict[str, Counter]:
    """For every mistake, how often each name came out, over all networks and seeds."""
    return {mistake: Counter(name for build in BUILDERS.values() for seed in SEEDS if (name := named(build(seed), mistake)) is not None)
            for mistake in ALL}


def text(counts) -> str:
    """The table as text: planted in rows, named in columns, where only what came out has a column."""
    columns = [*ALL, *sorted({name for row in counts.values() for name in row} - set(ALL))]
    first = max(map(len, ALL)) + 2
    head = "planted".ljust(first) + "  ".join(columns)
    rows = [mistake.ljust(first) + "  ".join((str(row[name]) if row[name] else "·").rjust(len(name)) for name in columns)
            for mistake, row in counts.items()]
    return "\n".join([f"{len(BUILDERS)} networks, {len(SEEDS)} seeds: planted mistake (row), named by the gradient check (column)", head, *rows])


if __name__ == "__main__":
    print(text(table()))
