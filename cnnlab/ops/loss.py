"""From scores to one number that says how wrong the network is: softmax, cross-entropy, half squared error."""

from dataclasses import dataclass

import numpy as np

from .base import Name, Operation, add, cell


def classes(scores, label, names):
    """(scores as (N, K), y (N, K) that is True at each image's class). Raises ValueError for a label that names none."""
    if scores.ndim not in (1, 2) or label.size != (len(scores) if scores.ndim == 2 else 1):
        raise ValueError(f"{names[1]} has {label.size} labels for {names[0]} {scores.shape}: "
                         "give scores (classes,) or (images, classes) and one label for each image")
    rows = scores.reshape(-1, scores.shape[-1])
    y = label.reshape(-1, 1) == np.arange(rows.shape[1], dtype=float)  # a label is a float: nothing is converted
    if np.count_nonzero(y) != len(rows):
        wrong = label.reshape(-1)[~y.any(axis=1)][0]
        raise ValueError(f"{names[1]} {wrong:g} is no class: {names[0]} {scores.shape} "
                         f"has the classes 0 to {rows.shape[1] - 1}")
    return rows, y


def pick(name, scores, label):
    """The cells at each image's true class, as text."""
    labels = np.reshape(label, -1).astype(int)
    return [cell(name, *((n,) if scores.ndim == 2 else ()), k) for n, k in enumerate(labels)]


def mean(terms) -> str:
    """The text of an average: one term alone, or (a + b + ...)/count."""
    terms = list(terms)
    return terms[0] if len(terms) == 1 else f"({' + '.join(terms)})/{len(terms)}"


def scaled(name, value, text) -> str:
    """`text` times the gradient that arrives at a loss; dL/dL = 1 is not written out."""
    return text if value == 1 else f"{name}*({text})"


@dataclass(frozen=True)
class Softmax(Operation):
    """p[k] = exp(z[k]) / sum over m of exp(z[m])

    z (K,) or (N, K) -> the same shape; the classes of each image sum to 1. Subtracts max(z) first: the
    result is the same and exp cannot overflow. Source: Goodfellow, Bengio & Courville 2016, section 4.1.
    """

    logits: Name

    def compute(self, logits):
        if logits.ndim not in (1, 2):
            raise ValueError(f"{self.logits} {logits.shape}: give scores (classes,) or (images, classes)")
        exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return exponentials / exponentials.sum(axis=-1, keepdims=True)

    def expand(self, index, logits):
        *image, k = index
        shift = self.shift(logits[tuple(image)])
        terms = [f"exp({cell(self.logits, *image, m)}{shift})" for m in range(logits.shape[-1])]
        return f"{terms[k]}/({' + '.join(terms)})"

    @staticmethod
    def shift(scores) -> str:
        """What is subtracted in the text: nothing where exp(z) can be worked out as it stands."""
        return f" - {float(scores.max())!r}" if np.abs(scores).max() > 300 else ""

    def gradient(self, output, d_output):
        yield self.logits, SoftmaxGradient(d_output, output)


@dataclass(frozen=True)
class SoftmaxGradient(Operation):
    """d_z[k] = p[k] * (d_p[k] - sum over m of d_p[m] * p[m])

    d_p, p -> the same shape: the chain rule through softmax alone, class by class.
    """

    d_output: Name
    p: Name

    def compute(self, d_output, p):
        return p * (d_output - (d_output * p).sum(axis=-1, keepdims=True))

    def expand(self, index, d_output, p):
        *image, k = index
        total = add(f"{cell(self.d_output, *image, m)}*{cell(self.p, *image, m)}" for m in range(p.shape[-1]))
        return f"{cell(self.p, *index)}*({cell(self.d_output, *index)} - ({total}))"


@dataclass(frozen=True)
class CrossEntropy(Operation):
    """L = -ln p[label], the mean over the images

    p (K,) with one label, or (N, K) with N labels (classes count from 0) -> one number. A p that
    vanished below the smallest normal number counts as that number, so L stays finite (at most 708.4
    in float64); `SoftmaxCrossEntropy` has the true value.
    """

    p: Name
    label: Name

    def compute(self, p, label):
        rows, y = classes(p, label, (self.p, self.label))
        true = rows[y]
        if (true < 0).any():
            raise ValueError(f"{self.p} {true.min():g} is no probability")
        return -np.log(np.maximum(true, np.finfo(p.dtype).tiny)).sum() / len(rows)

    def expand(self, index, p, label):
        return mean(f"-log({self.floored(at, p)})" for at in pick(self.p, p, label))

    def floored(self, at, p):
        tiny = float(np.finfo(p.dtype).tiny)
        return f"max({at}, {tiny!r})" if p.min() < tiny else at

    def gradient(self, output, d_output):
        yield self.p, CrossEntropyGradient(self.p, self.label, d_output)


@dataclass(frozen=True)
class CrossEntropyGradient(Operation):
    """d_p[k] = -1 / (p[k] * N) where k is the label, else 0

    p, label, dL/dL (= 1) -> the shape of p. N images: the loss is their mean.
    """

    p: Name
    label: Name
    d_loss: Name

    def compute(self, p, label, d_loss):
        rows, y = classes(p, label, (self.p, self.label))
        slopes = -d_loss / (np.maximum(rows, np.finfo(p.dtype).tiny) * len(rows))
        return np.where(y, slopes, 0).reshape(p.shape)

    def expand(self, index, p, label, d_loss):
        at, images = cell(self.p, *index), np.size(label)
        if at not in pick(self.p, p, label):
            return "0"
        tiny = float(np.finfo(p.dtype).tiny)
        below = f"max({at}, {tiny!r})" if p[index] < tiny else at
        return scaled(self.d_loss, d_loss, f"-1/{below}" if images == 1 else f"-1/({below}*{images})")


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Operation):
    """L = ln(sum over m of exp(z[m])) - z[label], the mean over the images

    z (K,) with one label, or (N, K) with N labels -> one number: -ln of the softmax of the true class,
    in one go, and so exact however small that probability is. Its gradient is the short p - y.
    """

    logits: Name
    label: Name

    def compute(self, logits, label):
        rows, y = classes(logits, label, (self.logits, self.label))
        below = rows - rows.max(axis=1, keepdims=True)
        return (np.log(np.exp(below).sum(axis=1)) - below[y]).sum() / len(rows)

    def expand(self, index, logits, label):
        rows = logits.reshape(-1, logits.shape[-1])
        return mean(self.term(at, row, logits.ndim) for at, row in
                    zip(pick(self.logits, logits, label), enumerate(rows)))

    def term(self, at, row, axes):
        n, scores = row
        shift = Softmax.shift(scores)
        terms = [f"exp({cell(self.logits, *(n,) * (axes == 2), k)}{shift})" for k in range(len(scores))]
        return f"log({' + '.join(terms)}) - " + (f"({at}{shift})" if shift else at)

    def gradient(self, output, d_output):
        yield self.logits, SoftmaxCrossEntropyGradient(Softmax(self.logits), self.label, d_output)


@dataclass(frozen=True)
class SoftmaxCrossEntropyGradient(Operation):
    """d_z[k] = (p[k] - y[k]) / N with y[k] = 1 where k is the label, else 0

    p = softmax(z), label, dL/dL (= 1) -> the shape of p. N images: the loss is their mean.
    """

    p: Name
    label: Name
    d_loss: Name

    def compute(self, p, label, d_loss):
        rows, y = classes(p, label, (self.p, self.label))
        return ((rows - y) * (d_loss / len(rows))).reshape(p.shape)

    def expand(self, index, p, label, d_loss):
        at, images = cell(self.p, *index), np.size(label)
        difference = f"{at} - {int(at in pick(self.p, p, label))}"
        return scaled(self.d_loss, d_loss, difference if images == 1 else f"({difference})/{images}")


@dataclass(frozen=True)
class HalfSquaredError(Operation):
    """L = 1/2 * sum of (output - target)**2

    Two arrays of one shape (or two single numbers) -> one number: a sum over all cells and images, not
    a mean, so the useful learning rate shrinks as they grow in number. The half makes
    dL/d output = output - target. The target counts as a constant: no gradient goes to it.
    """

    output: Name
    target: Name

    def compute(self, output, target):
        error = output - fitted(self, output, target)
        return 0.5 * (error * error).sum()

    def expand(self, index, output, target):
        errors = [f"({difference(self, at, output, target)})**2" for at in np.ndindex(output.shape)]
        return f"1/2*{errors[0]}" if len(errors) == 1 else f"1/2*({' + '.join(errors)})"

    def gradient(self, output, d_output):
        yield self.output, HalfSquaredErrorGradient(self.output, self.target, d_output)


def fitted(operation, output, target):
    """The target in the shape of the output. Raises ValueError where it does not fit."""
    if output.shape != target.shape and (output.size, target.size) != (1, 1):
        raise ValueError(f"{operation.target} {target.shape} does not fit {operation.output} {output.shape}")
    return target.reshape(output.shape)


def difference(operation, index, output, target) -> str:
    """The text `output - target` for the cell at `index` of the output."""
    at = index if target.shape == output.shape else (0,) * target.ndim
    return f"{cell(operation.output, *index)} - {cell(operation.target, *at)}"


@dataclass(frozen=True)
class HalfSquaredErrorGradient(Operation):
    """d_output = output - target

    output, target, dL/dL (= 1) -> the shape of output.
    """

    output: Name
    target: Name
    d_loss: Name

    def compute(self, output, target, d_loss):
        return d_loss * (output - fitted(self, output, target))

    def expand(self, index, output, target, d_loss):
        return scaled(self.d_loss, d_loss, difference(self, index, output, target))


@dataclass(frozen=True)
class Seed(Operation):
    """d_loss = dL/dL = 1

    The number that the chain rule starts from.
    """

    loss: Name

    def compute(self, loss):
        if loss.size != 1:
            raise ValueError(f"{self.loss} {loss.shape} is not one number: gradients start from a loss")
        one = np.empty(loss.shape, loss.dtype)
        one.fill(1)
        return one

    def expand(self, index, loss):
        return "1"
