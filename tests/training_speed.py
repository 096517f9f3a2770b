"""How fast a convolutional network trains here and elsewhere, on one thread: `python -m tests.training_speed`.

A step is forward, loss, the gradient of every parameter and the update of every parameter, on the next of four
batches, which lie in memory as each side likes it best. No side works out the gradient of the images. Before a
clock runs, all sides take three steps from the same start and have to agree. Rounds are interleaved and their
medians compared, so that a busy machine slows all sides alike. The peers need `pip install -e '.[bench]'`.
"""

import argparse
import os
import platform
from importlib import metadata, util

if __name__ == "__main__":  # NumPy, PyTorch and JAX read these once, so they come before the imports
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = "1"
    # the flags alone leave JAX 0.10 a pool of a thread a core; NPROC is what makes that pool
    os.environ["NPROC"] = os.environ["PJRT_NPROC"] = "1"
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

from itertools import cycle
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cnnlab import networks
from cnnlab.gradients import backward, update
from cnnlab.ledger import as_given, record, replay
from cnnlab.machine import keep_freed_memory
from cnnlab.ops import Correlate, FullyConnected, batches

RATE = 0.01
BATCHES = 4  # that follow each other: what a side keeps of the last one is of no use to it
NETWORKS = {"lenet_5": networks.lenet_5, "small_cnn": networks.small_cnn}
INSTALL = "not installed: pip install -e '.[bench]'"


class Plan(NamedTuple):
    """What every side trains: the layers by the names of their parameters, and the numbers all sides start from."""

    network: networks.Network
    convolutions: list  # (kernel, bias, padding); ReLU and 2x2 max-pooling follow each
    dense: list         # (weight, bias); ReLU follows each but the last
    batches: list       # (image, label) of the steps; after the last one comes the first
    parameters: dict

    @property
    def count(self) -> int:
        """How many images a step sees."""
        return len(self.batches[0][0])


def plan(network, batch) -> Plan:
    """The network on a batch of random pictures, float32."""
    rng, operations = np.random.default_rng(1), [line.operation for line in network.forward]
    convolutions = [(each.kernel, each.kernel.replace("kernel", "bias"), each.padding)
                    for each in operations if isinstance(each, Correlate)]
    dense = [(each.weight, each.weight.replace("weight", "bias")) for each in operations
             if isinstance(each, FullyConnected)]
    pairs = [(rng.random((batch, *network.picture), np.float32), rng.integers(0, 10, batch)) for _ in range(BATCHES)]
    return Plan(network, convolutions, dense, pairs, network.start(0))


# Sides: from a plan, (one step -> the loss, the first kernel as it is now). This project's own three first.

def whole_step(network):
    """The recipe of one step: forward, the parameters' gradients, the updates."""
    names = network.parameters
    return update(backward(network.forward, to=list(names)), *names)


def given(plan) -> dict:
    """The numbers that the first step starts from, read-only, without its batch."""
    return {name: as_given(name, number) for name, number in {"learning_rate": RATE, **plan.parameters}.items()}


def laid(plan) -> list[dict]:
    """The batches as `record` reads them, with the images innermost in memory."""
    return [{"image": as_given("image", batches.readers(batches.memory_of(image))), "label": as_given("label", label)}
            for image, label in plan.batches]


def recorded(plan):
    """Every value of a step is kept until the next step begins."""
    recipe, values, turns, ledger = whole_step(plan.network), given(plan), cycle(laid(plan)), None

    def step():
        nonlocal values, ledger
        ledger = None  # two steps in memory at once would not fit the cache and cost some 8 % more
        ledger = record(recipe, values | next(turns))
        values = values | recipe.updated(ledger.values_by_name)  # as `Training` does
        return float(ledger["loss"])
    return step, lambda: values["c1_kernel"]


def not_recorded(plan):
    """The same lines by `replay`: the values live until the step is over, as in a plain program."""
    recipe, values, turns = whole_step(plan.network), given(plan), cycle(laid(plan))

    def step():
        nonlocal values
        found = replay(recipe, values | next(turns))
        values = values | recipe.updated(found)
        return float(found["loss"])
    return step, lambda: values["c1_kernel"]


def nothing_kept(plan):
    """The same lines; a value is dropped as soon as its last reader has read it."""
    recipe, values, turns = whole_step(plan.network), given(plan), cycle(laid(plan))
    last = {name: line.name for line in recipe for name in line.operation.inputs if name in recipe.names}
    del last["loss"]  # the caller reads it
    todo = [(name, compute, pick, [each for each in last if last[each] == name]) for name, compute, pick, _ in recipe.steps]
    new = [(name, f"new_{name}") for name in plan.parameters]

    def step():
        now = values | next(turns)
        for name, compute, pick, over in todo:
            now[name] = compute(*pick(now))
            for each in over:
                del now[each]
        values.update({name: now[later] for name, later in new})
        return float(now["loss"])
    return step, lambda: values["c1_kernel"]


def pytorch(plan):
    """As PyTorch's own tutorials write it: layers, a loss, an optimizer."""
    import torch
    from torch import nn
    torch.set_num_threads(1)
    layers, names = [], [name for pair in plan.convolutions + plan.dense for name in pair[:2]]
    for kernel, _, padding in plan.convolutions:
        outputs, channels, *size = plan.parameters[kernel].shape
        layers += nn.Conv2d(channels, outputs, size, padding=padding), nn.ReLU(), nn.MaxPool2d(2)
    for weight, _ in plan.dense:
        layers += nn.ReLU(), nn.Linear(*reversed(plan.parameters[weight].shape))
    layers[3 * len(plan.convolutions)] = nn.Flatten()  # and no ReLU before the first dense layer
    model, cross_entropy = nn.Sequential(*layers), nn.CrossEntropyLoss()
    model.load_state_dict({name: torch.tensor(plan.parameters[mine]) for name, mine in zip(model.state_dict(), names)})
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    turns = cycle([(torch.tensor(image), torch.tensor(label)) for image, label in plan.batches])

    def step():
        image, label = next(turns)
        optimizer.zero_grad()
        found = cross_entropy(model(image), label)
        found.backward()
        optimizer.step()
        return found.item()
    return step, lambda: model[0].weight.detach().numpy()


def pytorch_functions(plan):
    """Functions, and updates in place by hand: the fastest of the ways tried, channels_last among them."""
    import torch
    from torch.nn.functional import conv2d, cross_entropy, linear, max_pool2d, relu
    torch.set_num_threads(1)
    tensors = {name: torch.tensor(value).requires_grad_() for name, value in plan.parameters.items()}
    turns = cycle([(torch.tensor(image), torch.tensor(label)) for image, label in plan.batches])

    def loss(values, label):
        for kernel, bias, padding in plan.convolutions:
            values = max_pool2d(relu(conv2d(values, tensors[kernel], tensors[bias], padding=padding)), 2)
        values = values.flatten(1)
        for weight, bias in plan.dense[:-1]:
            values = relu(linear(values, tensors[weight], tensors[bias]))
        return cross_entropy(linear(values, *(tensors[name] for name in plan.dense[-1])), label)

    def step():
        found = loss(*next(turns))
        found.backward()
        with torch.no_grad():
            for tensor in tensors.values():
                tensor.sub_(tensor.grad, alpha=RATE)
                tensor.grad = None
        return found.item()
    return step, lambda: tensors["c1_kernel"].detach().numpy()


def jax_jit(plan):
    """The whole step compiled. Images as (N, H, W, C) and pooling by reshape: the fastest of six ways tried."""
    import jax
    from jax import lax, nn
    from jax import numpy as jnp
    values = {name: jnp.asarray(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value)
              for name, value in plan.parameters.items()}
    turns = cycle([(jnp.asarray(image.transpose(0, 2, 3, 1)), jnp.asarray(label)) for image, label in plan.batches])

    def block(maps, kernel, bias, padding):
        sums = lax.conv_general_dilated(maps, kernel, (1, 1), [(padding, padding)] * 2,
                                        dimension_numbers=("NHWC", "HWIO", "NHWC"))
        n, h, w, c = sums.shape
        return nn.relu(sums + bias).reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))

    def loss(values, image, label):
        maps = image
        for kernel, bias, padding in plan.convolutions:
            maps = block(maps, values[kernel], values[bias], padding)
        row = maps.transpose(0, 3, 1, 2).reshape(len(maps), -1)
        for at, (weight, bias) in enumerate(plan.dense):
            row = (nn.relu(row) if at else row) @ values[weight].T + values[bias]
        return -jnp.take_along_axis(nn.log_softmax(row), label[:, None], 1).mean()

    @jax.jit
    def whole(values, image, label):
        found, slopes = jax.value_and_grad(loss)(values, image, label)
        return found, jax.tree.map(lambda old, slope: old - RATE * slope, values, slopes)

    def step():
        nonlocal values
        found, values = jax.block_until_ready(whole(values, *next(turns)))
        return float(found)
    return step, lambda: np.asarray(values["c1_kernel"]).transpose(3, 2, 0, 1)


# The usual ways in NumPy, written anew: a layer returns its output and the way back through it.

def padded(images, padding):
    return np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def trimmed(images, padding):
    return images[:, :, padding:images.shape[2] - padding, padding:images.shape[3] - padding]


def six_axes(images, high, wide, stride=1):
    """(N, C, KH, KW, OH, OW): one copy of the images for each kernel cell."""
    n, c, h, w = images.shape
    rows, columns = (h - high) // stride + 1, (w - wide) // stride + 1
    cells = np.empty((n, c, high, wide, rows, columns), images.dtype)
    for u, v in np.ndindex(high, wide):
        cells[:, :, u, v] = images[:, :, u:u + stride * rows:stride, v:v + stride * columns:stride]
    return cells


def folded(cells, shape, stride=1):
    """The images whose cells are the sums of what lies in six axes."""
    images, (high, wide, rows, columns) = np.zeros(shape, cells.dtype), cells.shape[2:]
    for u, v in np.ndindex(high, wide):
        images[:, :, u:u + stride * rows:stride, v:v + stride * columns:stride] += cells[:, :, u, v]
    return images


def convolve_in_six_axes(images, kernels, bias, padding):
    """As in deep-learning-from-scratch: one row of the one large matrix for each position in each image."""
    (outputs, channels, high, wide), larger = kernels.shape, padded(images, padding)
    cells, weights = six_axes(larger, high, wide), kernels.reshape(outputs, -1).T
    n, rows, columns = len(images), *cells.shape[4:]
    unrolled = cells.transpose(0, 4, 5, 1, 2, 3).reshape(n * rows * columns, -1)

    def back(d_maps, image_too):
        d_rows = d_maps.transpose(0, 2, 3, 1).reshape(-1, outputs)
        slopes = (unrolled.T @ d_rows).T.reshape(kernels.shape), d_rows.sum(axis=0)
        if not image_too:
            return None, *slopes
        d_cells = (d_rows @ weights.T).reshape(n, rows, columns, channels, high, wide).transpose(0, 3, 4, 5, 1, 2)
        return trimmed(folded(d_cells, larger.shape), padding), *slopes
    return (unrolled @ weights + bias).reshape(n, rows, columns, outputs).transpose(0, 3, 1, 2), back


def pool_in_six_axes(values):
    """As in deep-learning-from-scratch: each window a row, and the place of its largest cell."""
    cells = six_axes(values, 2, 2, 2)
    windows = cells.transpose(0, 4, 5, 1, 2, 3).reshape(-1, 4)
    (n, channels, _, _, rows, columns), winner = cells.shape, windows.argmax(axis=1)

    def back(d_pooled):
        d_windows = np.zeros_like(windows)
        d_windows[np.arange(len(winner)), winner] = d_pooled.transpose(0, 2, 3, 1).ravel()
        d_cells = d_windows.reshape(n, rows, columns, channels, 2, 2).transpose(0, 3, 4, 5, 1, 2)
        return folded(d_cells, values.shape, 2)
    return windows.max(axis=1).reshape(n, rows, columns, channels).transpose(0, 3, 1, 2), back


def convolve_by_indices(images, kernels, bias, padding):
    """As in CS231n: one column for each position in each image, picked by index arrays, added back by np.add.at."""
    (outputs, channels, high, wide), larger = kernels.shape, padded(images, padding)
    rows, columns = larger.shape[2] - high + 1, larger.shape[3] - wide + 1
    channel, u, v = np.indices((channels, high, wide)).reshape(3, -1, 1)
    i, j = np.indices((rows, columns)).reshape(2, 1, -1)
    where, weights = (slice(None), channel, u + i, v + j), kernels.reshape(outputs, -1)
    unrolled = larger[where].transpose(1, 2, 0).reshape(channels * high * wide, -1)

    def back(d_maps, image_too):
        d_rows = d_maps.transpose(1, 2, 3, 0).reshape(outputs, -1)
        slopes = (d_rows @ unrolled.T).reshape(kernels.shape), d_maps.sum(axis=(0, 2, 3))
        if not image_too:
            return None, *slopes
        d_larger = np.zeros_like(larger)
        d_cells = (weights.T @ d_rows).reshape(channels * high * wide, -1, len(images)).transpose(2, 0, 1)
        np.add.at(d_larger, where, d_cells)
        return trimmed(d_larger, padding), *slopes
    sums = weights @ unrolled + bias[:, None]
    return sums.reshape(outputs, rows, columns, -1).transpose(3, 0, 1, 2), back


def pool_by_reshape(values):
    """As in CS231n where windows do not overlap: the windows get axes of their own; equal cells share a gradient."""
    n, channels, h, w = values.shape
    windows = values.reshape(n, channels, h // 2, 2, w // 2, 2)
    pooled = windows.max(axis=3).max(axis=4)

    def back(d_pooled):
        wins = windows == pooled[:, :, :, None, :, None]
        d_windows = np.zeros_like(windows)
        d_windows[wins] = np.broadcast_to(d_pooled[:, :, :, None, :, None], wins.shape)[wins]
        d_windows /= wins.sum(axis=(3, 5), keepdims=True)
        return d_windows.reshape(values.shape)
    return pooled, back


def convolve_by_image(images, kernels, bias, padding):
    """A matrix of columns for each image, and a product for each."""
    (outputs, channels, high, wide), larger = kernels.shape, padded(images, padding)
    seen = sliding_window_view(larger, (high, wide), axis=(2, 3)).transpose(0, 1, 4, 5, 2, 3)
    unrolled, weights = seen.reshape(len(images), channels * high * wide, -1), kernels.reshape(outputs, -1)

    def back(d_maps, image_too):
        d_rows = d_maps.reshape(len(images), outputs, -1)
        slopes = (d_rows @ unrolled.transpose(0, 2, 1)).sum(axis=0).reshape(kernels.shape), d_maps.sum(axis=(0, 2, 3))
        if not image_too:
            return None, *slopes
        return trimmed(folded((weights.T @ d_rows).reshape(seen.shape), larger.shape), padding), *slopes
    return (weights @ unrolled + bias[:, None]).reshape(len(images), outputs, *seen.shape[4:]), back


def dense_tail(plan, parameters, row, label):
    """(the loss, the gradients of the dense layers, the gradient of what flows into the first of them)."""
    rows, slopes = [row], {}
    for at, (weight, bias) in enumerate(plan.dense):
        sums = rows[-1] @ parameters[weight].T + parameters[bias]
        rows.append(np.maximum(sums, 0) if at < len(plan.dense) - 1 else sums)
    below, images = sums - sums.max(axis=1, keepdims=True), np.arange(len(row))
    p = np.exp(below)
    total = p.sum(axis=1, keepdims=True)
    d_row = p / total
    d_row[images, label] -= 1
    d_row /= len(row)
    for (weight, bias), before in zip(reversed(plan.dense), reversed(rows[:-1])):
        slopes[weight], slopes[bias] = d_row.T @ before, d_row.sum(axis=0)
        d_row = d_row @ parameters[weight] * (before > 0 if before is not row else 1)
    return (np.log(total[:, 0]) - below[images, label]).mean(), slopes, d_row


def gradients_by_hand(plan, parameters, batch, convolve, pool):
    """(the loss, every parameter's gradient): the network written out, in one of the usual ways."""
    (values, label), passed = batch, []
    for kernel, bias, padding in plan.convolutions:
        maps, through_kernel = convolve(values, parameters[kernel], parameters[bias], padding)
        values, through_pool = pool(np.maximum(maps, 0))
        passed.append((kernel, bias, maps > 0, through_kernel, through_pool))
    loss, slopes, d_row = dense_tail(plan, parameters, values.reshape(len(values), -1), label)
    d_values = d_row.reshape(values.shape)
    for kernel, bias, on, through_kernel, through_pool in reversed(passed):
        d_maps = through_pool(d_values) * on
        d_values, slopes[kernel], slopes[bias] = through_kernel(d_maps, image_too=kernel != passed[0][0])
    return loss, slopes


def by_hand(convolve, pool):
    """A side that trains with these two layers and the dense layers that all such sides share."""
    def side(plan):
        parameters = {name: np.ascontiguousarray(value) for name, value in plan.parameters.items()}
        turns = cycle(plan.batches)

        def step():
            loss, slopes = gradients_by_hand(plan, parameters, next(turns), convolve, pool)
            for name in parameters:
                parameters[name] = parameters[name] - np.float32(RATE) * slopes[name]
            return float(loss)
        return step, lambda: parameters["c1_kernel"]
    return side


OURS, PLAIN, BARE = "cnnlab, recorded", "cnnlab, not recorded", "cnnlab, nothing kept"
SIDES = {
    OURS: recorded,
    PLAIN: not_recorded,
    BARE: nothing_kept,
    "PyTorch eager, layers and optimizer, as in its tutorials": pytorch,
    "PyTorch eager, functions and updates by hand": pytorch_functions,
    "JAX jit": jax_jit,
    "im2col in the style of deep-learning-from-scratch (ours)": by_hand(convolve_in_six_axes, pool_in_six_axes),
    "im2col in the style of CS231n (ours)": by_hand(convolve_by_indices, pool_by_reshape),
    "NumPy, one product per image over unrolled columns (ours)": by_hand(convolve_by_image, pool_by_reshape),
}
LIBRARIES = {"PyTorch": "torch", "JAX": "jax"}
NEEDS = {name: LIBRARIES[name.split()[0]] for name in SIDES if name.split()[0] in LIBRARIES}


def has(library) -> bool:
    """Whether a library can be imported."""
    try:
        return util.find_spec(library) is not None
    except ValueError:  # a module without a spec, as when sys.modules says None
        return False


def installed(name) -> bool:
    """Whether a side has the library that it needs."""
    return name not in NEEDS or has(NEEDS[name])


def agreed(sides):
    """The steps of the sides, once all have taken the same three. Exits with the name of one that has not."""
    losses = {name: [step() for _ in range(3)] for name, (step, _) in sides.items()}
    for name, (_, kernel) in sides.items():
        if not (np.allclose(losses[name], losses[OURS], rtol=1e-3)
                and np.allclose(kernel(), sides[OURS][1](), rtol=1e-3, atol=1e-5)):
            raise SystemExit(f"{name} takes other steps than {OURS}: losses {losses[name]} and {losses[OURS]}")
    return {name: step for name, (step, _) in sides.items()}


# The clock

class Spent(NamedTuple):
    """The time of one call, in seconds that went by and in seconds of the processor, which several threads add up."""

    wall: float
    cpu: float


def spent(call, times) -> Spent:
    """What a call takes, once the memory and the cache are its own again: the first calls are not timed."""
    for _ in range(times // 4):
        call()
    wall, cpu = perf_counter(), process_time()
    for _ in range(times):
        call()
    return Spent((perf_counter() - wall) / times, (process_time() - cpu) / times)


def measured(calls, rounds, seconds) -> dict[str, list[Spent]]:
    """The rounds of each call: as often in a row as fits into the seconds, and then the next one's turn."""
    times = {name: max(1, round(seconds / spent(call, 1).wall)) for name, call in calls.items()}
    found = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(spent(call, times[name]))
    return found


def wall(rounds) -> float:
    return median(each.wall for each in rounds)


def ratio(rounds, others) -> float:
    """The median of the ratios of rounds that followed each other: the machine was as busy in both."""
    return median(one.wall / other.wall for one, other in zip(rounds, others))


def share(rounds) -> float:
    """How much of the time the processor worked for us: below 1 others used it, above 1 several threads did."""
    return median(each.cpu / each.wall for each in rounds)


def step_table(plan, options):
    """Print the time of a whole step on every side."""
    steps = agreed({name: build(plan) for name, build in SIDES.items() if installed(name)})
    found = measured(steps, options.rounds, options.seconds)
    print(f"\n{plan.network.title}; {plan.count} images a step; the last column: times the time of {OURS!r}")
    print(f"{'':57} {'ms/step':>8} {'min':>7} {'max':>7} {'images/s':>9} {'CPU/wall':>8} {'times':>6}")
    for name in SIDES:
        row = step_row(found[name], found[OURS], plan.count) if name in found else INSTALL
        print(f"{name:57} {row}")
    for name, rounds in found.items():
        if share(rounds) > 1.1 and options.seconds:  # one step alone is too short to tell
            print(f"{name} could not be held to one thread: CPU/wall is above 1")
    for than, costs in recording_costs(plan, options).items():
        low, middle, high = np.percentile(costs, [10, 50, 90])
        print(f"recording costs {middle:+.1%} of the time of {than!r}; "
              f"8 of 10 places in memory: {low:+.1%} to {high:+.1%}")


def recording_costs(plan, options) -> dict[str, list[float]]:
    """How much longer a recorded step takes than one of the other two kinds, for many places in memory.

    Where the arrays of a step come to lie matters more than recording does. So the three take turns of a few steps
    in the same memory, which each leaves to the next one, and for every place that memory begins elsewhere.
    """
    costs, rng = {PLAIN: [], BARE: []}, np.random.default_rng(1)
    for _ in range(6 * options.rounds):
        before, found = np.empty(16 * rng.integers(1, 5_000), np.uint8), {name: [] for name in (OURS, *costs)}
        for _ in range(10 if options.seconds else 1):
            for name, times in found.items():
                times += each_of(SIDES[name](plan)[0], 16)[4:]
        for name in costs:
            costs[name].append(median(found[OURS]) / median(found[name]) - 1)
        del before
    return costs


def each_of(call, times) -> list[float]:
    """The seconds that each of so many calls in a row takes."""
    found = []
    for _ in range(times):
        start = perf_counter()
        call()
        found.append(perf_counter() - start)
    return found


def step_row(rounds, ours, batch) -> str:
    walls = [1e3 * each.wall for each in rounds]
    return (f"{median(walls):8.3f} {min(walls):7.3f} {max(walls):7.3f} {batch / wall(rounds):9.0f} "
            f"{share(rounds):8.2f} {ratio(rounds, ours):6.2f}")


# Convolutions alone, beside the products of matrices that im2col would need for them

# How im2col may lay out its columns: CS231n has the second way, deep-learning-from-scratch the third.
LAYOUTS = "one an image", "one, a position a column", "one, a position a row"


def convolution_lines(plan):
    """For each kernel: its name, the number of positions, of lines, and a call that works out its lines of a step.

    The calls are of two batches in turn, so that what the pictures cost to lay out counts as it does in training.
    """
    recipe, start = whole_step(plan.network), given(plan)
    ledgers = [record(recipe, start | batch) for batch in laid(plan)[:2]]
    for kernel, _, _ in plan.convolutions:
        lines = [line for line in recipe if getattr(line.operation, "kernel", None) == kernel]
        turns = cycle([[(line.operation.compute, [ledger[name] for name in line.operation.inputs]) for line in lines]
                       for ledger in ledgers])
        positions = int(np.prod(ledgers[0][lines[0].name].shape[2:]))
        yield kernel, positions, len(lines), lambda turns=turns: [compute(*read) for compute, read in next(turns)]


def products(kernels, positions, images, count) -> dict:
    """By layout of the columns, the products alone: the first `count` of forward, kernel gradient, image gradient."""
    rng, kernels = np.random.default_rng(1), kernels.reshape(len(kernels), -1)
    (outputs, weights), across = kernels.shape, images * positions

    def drawn(*sides):
        return rng.standard_normal(sides, np.float32)

    def calls(*pairs):
        todo = [(first, second, first @ second) for first, second in pairs[:count]]
        return lambda: [np.matmul(first, second, out=out) for first, second, out in todo]
    each, d_each = drawn(images, weights, positions), drawn(images, outputs, positions)
    wide, d_wide = drawn(weights, across), drawn(outputs, across)
    tall, d_tall = drawn(across, weights), drawn(across, outputs)
    ways = (calls((kernels, each), (d_each, each.transpose(0, 2, 1)), (kernels.T, d_each)),
            calls((kernels, wide), (d_wide, wide.T), (kernels.T, d_wide)),
            calls((tall, kernels.T), (d_tall.T, tall), (d_tall, kernels)))
    return dict(zip(LAYOUTS, ways))


def convolution_table(plan, options):
    """Print the time of each convolution, and how many times that of the plain products it is, by their layout."""
    print(f"{f'convolution of {plan.count} images; then times the products alone':57} {'ms':>8}  {'  '.join(LAYOUTS)}")
    for kernel, positions, count, ours in convolution_lines(plan):
        calls = {OURS: ours, **products(plan.parameters[kernel], positions, plan.count, count)}
        found = measured(calls, options.rounds, options.seconds / 2)
        what = f"{kernel}: forward, kernel gradient" + ", image gradient" * (count == 3)
        times = "  ".join(f"{ratio(found[OURS], found[layout]):{len(layout)}.2f}" for layout in LAYOUTS)
        print(f"{what:57} {1e3 * wall(found[OURS]):8.3f}  {times}")


# What was measured where

def processor() -> str:
    """The name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def threads() -> list[str]:
    """What holds each library to one thread."""
    found = [f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS')}"]
    if has("torch"):
        import torch
        torch.set_num_threads(1)
        found.append(f"torch.get_num_threads()={torch.get_num_threads()}")
    if has("jax"):
        found.append(f"NPROC={os.environ.get('NPROC')} XLA_FLAGS={os.environ.get('XLA_FLAGS')!r}")
    return found


def header(options) -> str:
    """Processor, versions, threads, and what holds for the whole process."""
    libraries = ("numpy", *LIBRARIES.values())
    versions = [f"{name} {metadata.version(name) if has(name) else 'not installed'}" for name in libraries]
    kept = keep_freed_memory()
    return "\n".join([
        f"{processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {', '.join(versions)}",
        f"one thread: {', '.join(threads())}",
        f"freed memory, of all sides: {'stays with the process (cnnlab.machine)' if kept else 'as the system has it'}",
        f"float32, medians of {options.rounds} interleaved rounds of {options.seconds:g} s a side"])


def chosen(arguments=None):
    """The options; `--quick` only shows that everything runs."""
    parser = argparse.ArgumentParser(prog="python -m tests.training_speed", description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[32], help="images a step; several give several tables")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="how long a side runs in one round")
    parser.add_argument("--network", choices=["both", *NETWORKS], default="both")
    parser.add_argument("--quick", action="store_true", help="a smoke test: two images, one step, one round")
    options = parser.parse_args(arguments)
    if options.quick:
        options.batch, options.rounds, options.seconds = [2], 1, 0
    return options


def main(arguments=None):
    options = chosen(arguments)
    print(header(options))
    for batch in options.batch:
        for name, network in NETWORKS.items():
            if options.network in ("both", name):
                each = plan(network, batch)
                step_table(each, options)
                convolution_table(each, options)


if __name__ == "__main__":
    main()
