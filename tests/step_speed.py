"""How long one whole recorded step of example 2 takes, beside the same step elsewhere: `python -m tests.step_speed`.

Every side does the same work on the same numbers: forward, loss, every gradient (the image's too) and
every update. Only ours checks its numbers, names every value and keeps it. Rounds are interleaved and the
medians compared, so that a busy machine slows all sides alike. One thread.
"""

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from statistics import median
from time import perf_counter

import numpy as np

from cnnlab.examples import LAYERS, example_2

ROUNDS, STEPS = 200, 20
START = {name: np.array(value, float) for name, value in example_2.given.items()}


def ours():
    """(one step -> the loss, the kernel after one step)."""
    return lambda: float(example_2.run()["loss"]), example_2.run()["new_kernel"]


def pytorch():
    """PyTorch eager: functions, backward, and updates in place, which are no slower than torch.optim.SGD."""
    try:
        import torch
        from torch.nn.functional import conv2d, cross_entropy, linear, relu
    except ImportError:
        raise SystemExit("PyTorch is missing: pip install -e '.[bench]' and run this again") from None
    torch.set_num_threads(1)
    tensors = {name: torch.tensor(START[name]).requires_grad_() for name in ("image", *LAYERS)}
    image, kernel, kernel_bias, fc_weight, fc_bias = tensors.values()
    label, rate = torch.tensor([0]), float(START["learning_rate"])

    def step():
        conv = conv2d(image[None, None], kernel[None, None], kernel_bias[None])
        loss = cross_entropy(linear(relu(conv).flatten(1), fc_weight, fc_bias), label)
        loss.backward()
        with torch.no_grad():
            for parameter in (kernel, kernel_bias, fc_weight, fc_bias):
                parameter -= rate * parameter.grad
        for tensor in tensors.values():
            tensor.grad = None
        return loss.item()
    step()
    return step, kernel.detach().numpy().copy()


def autograd():
    """HIPS autograd: the loss as a NumPy function, its gradient by tracing."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    def loss(image, kernel, kernel_bias, fc_weight, fc_bias):
        conv = anp.sum(image * kernel) + kernel_bias
        logits = fc_weight @ anp.maximum(conv, 0).reshape(1) + fc_bias
        largest = anp.max(logits)
        return anp.log(anp.sum(anp.exp(logits - largest))) + largest - logits[0]
    gradient, values = value_and_grad(loss, argnum=(0, 1, 2, 3, 4)), [START[name] for name in ("image", *LAYERS)]

    def step():
        found, slopes = gradient(*values)
        return found, [old - START["learning_rate"] * slope for old, slope in zip(values[1:], slopes[1:])]
    return lambda: float(step()[0]), step()[1][0]


def bare_numpy():
    """The step written out by hand for this one network: no shapes, no checks, nothing kept."""
    image, kernel, kernel_bias, fc_weight, fc_bias = (START[name] for name in ("image", *LAYERS))
    rate = float(START["learning_rate"])

    def step():
        conv = (image * kernel).sum() + kernel_bias
        relu = max(conv, 0)
        logits = fc_weight[:, 0] * relu + fc_bias
        terms = np.exp(logits - logits.max())
        p = terms / terms.sum()
        d_logits = p.copy()
        d_logits[0] -= 1
        d_conv = (d_logits @ fc_weight)[0] * (conv > 0)
        d_image = d_conv * kernel
        new = (kernel - rate * d_conv * image, kernel_bias - rate * d_conv,
               fc_weight - rate * relu * d_logits[:, None], fc_bias - rate * d_logits)
        return -np.log(p[0]), new, d_image
    return lambda: float(step()[0]), step()[1][0]


def seconds(step) -> float:
    """The time of one step, averaged over a few in a row."""
    start = perf_counter()
    for _ in range(STEPS):
        step()
    return (perf_counter() - start) / STEPS


def main():
    sides = {"cnnlab, recorded": ours(), "PyTorch eager": pytorch(), "autograd": autograd(),
             "NumPy by hand": bare_numpy()}
    for name, (_, kernel) in sides.items():
        np.testing.assert_allclose(kernel, example_2.run()["new_kernel"], rtol=1e-12,
                                   err_msg=f"{name} takes another step")
    times = {name: [] for name in sides}
    for at in range(ROUNDS):
        for name, (step, _) in sides.items():
            (times[name] if at else []).append(seconds(step))  # the first round warms up
    medians = {name: 1e6 * median(each) for name, each in times.items()}
    for name, time in medians.items():
        print(f"{name:18}{time:8.1f} µs a step")
    print(f"ratio to PyTorch eager: {medians['cnnlab, recorded'] / medians['PyTorch eager']:.2f}")


if __name__ == "__main__":
    main()
