"""What a trained network does with pictures: how sure it is, where it errs, which pixels and which cells matter.

Everywhere a `network` comes with its `parameters`, arrays by name; what else is among them is not read. Pictures
are (N, C, H, W), or one, (C, H, W), or (H, W) where there is one channel. What does not fit raises ValueError,
which LineError is.
"""

import ast
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np

from . import arithmetic
from .arithmetic import BOARD, board, number
from .explanation import Explanation
from .gradients import backward, needed, path
from .ledger import Ledger, Line, Recipe, as_given, full_index, record, run, suggestion
from .ops import FullyConnected, Softmax

BATCH = 256  # pictures worked out at a time: 22 MB of float32 in LeNet-5, however many there are


# ---- a network looks at pictures -----------------------------------------------------------


def look(network, parameters, images, labels=None) -> Ledger:
    """The ledger of the forward pass: up to `logits` and `p`, their softmax, and up to `loss` where labels are given.

    For one picture or a few; every value of every line is recorded.
    """
    ends = ("logits",) if labels is None else ("logits", "loss")
    given = {} if labels is None else {"label": np.ravel(labels)}
    return run(with_p(network, ends), image=pictures(network, images), **given, **trained(network, parameters))


def features(network, parameters, images, line="logits") -> np.ndarray:
    """The values of one line for each picture: images (N, C, H, W) -> (N, ...), worked out 256 at a time."""
    images = pictures(network, images)
    if line == "image":
        return images
    recipe, given = part(network, of_picture(network, line)), trained(network, parameters)
    starts = range(0, len(images), BATCH)
    return np.concatenate([record(recipe, given | {"image": images[start:start + BATCH]})[line] for start in starts])


def probabilities(network, parameters, images) -> np.ndarray:
    """p[n,k] = softmax of the logits of picture n        images (N, C, H, W) -> (N, K), rows sum to 1"""
    return Softmax("logits").compute(features(network, parameters, images))


def answers(network, parameters, images) -> np.ndarray:
    """answer[n] = the class with the largest logit, the first of equals        images (N, C, H, W) -> (N,)"""
    return features(network, parameters, images).argmax(axis=1)


def accuracy(network, parameters, images, labels) -> float:
    """right answers / pictures        images (N, C, H, W), labels (N,) -> from 0 to 1"""
    return judge(network, parameters, images, labels).accuracy


def confusion(labels, answers, classes=10) -> np.ndarray:
    """counts[true, answer] = how many pictures of this class got this answer        labels, answers (N,) -> (classes, classes)"""
    labels, answers = np.ravel(labels), np.ravel(answers)
    if len(labels) != len(answers):
        raise ValueError(f"{len(labels)} labels for {len(answers)} answers")
    labels, answers = class_of(labels, classes, "label"), class_of(answers, classes, "answer")
    return np.bincount(labels * classes + answers, minlength=classes * classes).reshape(classes, classes)


class Case(NamedTuple):
    """One picture that was judged."""

    index: int
    label: int
    answer: int
    p_answer: float
    p_label: float
    loss: float


@dataclass(frozen=True, eq=False)
class Judgement:
    """How a network answered pictures whose classes are known."""

    labels: np.ndarray  # (N,)
    logits: np.ndarray  # (N, K)

    @cached_property
    def probabilities(self) -> np.ndarray:
        return Softmax("logits").compute(self.logits)

    @cached_property
    def answers(self) -> np.ndarray:
        return self.logits.argmax(axis=1)

    @cached_property
    def losses(self) -> np.ndarray:
        """loss[n] = -ln p[n, label]        from the logits, so that it stays finite however small p is"""
        return losses(self.logits, self.labels)

    @property
    def right(self) -> np.ndarray:
        """Whether each answer is the label."""
        return self.answers == self.labels

    @property
    def accuracy(self) -> float:
        return float(self.right.mean())

    @property
    def confusion(self) -> np.ndarray:
        """counts[true, answer], (K, K)."""
        return confusion(self.labels, self.answers, self.logits.shape[1])

    def case(self, index) -> Case:
        """What is known of one picture. Raises ValueError where there is none of this number."""
        if not isinstance(index, (int, np.integer)) or not 0 <= index < len(self.labels):
            raise ValueError(f"picture {index!r}: there are the pictures 0 to {len(self.labels) - 1}")
        label, answer, p = int(self.labels[index]), int(self.answers[index]), self.probabilities[index]
        return Case(int(index), label, answer, float(p[answer]), float(p[label]), float(self.losses[index]))

    def worst(self, count=9, true=None, answer=None) -> list[Case]:
        """The wrong answers with the largest loss first; only of one true class or one answer, where it is given."""
        asked = ~self.right
        for those, wanted in ((self.labels, true), (self.answers, answer)):
            asked &= True if wanted is None else those == wanted
        return self.cases(asked, -self.losses, count)

    def least_sure(self, count=9) -> list[Case]:
        """The right answers with the largest loss first: those that it nearly got wrong."""
        return self.cases(self.right, -self.losses, count)

    def cases(self, asked, order, count) -> list[Case]:
        """The first so many of those that are asked for; of equals the first."""
        at = np.flatnonzero(asked)
        return [self.case(index) for index in at[np.argsort(order[at], kind="stable")][:whole(count, "count")]]


def judge(network, parameters, images, labels) -> Judgement:
    """Every picture answered, and compared with its label        images (N, C, H, W), labels (N,)"""
    logits, labels = features(network, parameters, images), np.ravel(labels)
    if len(labels) != len(logits):
        raise ValueError(f"{len(labels)} labels for {len(logits)} images")
    return Judgement(class_of(labels, logits.shape[1], "label"), logits)


def losses(logits, labels) -> np.ndarray:
    """loss[n] = ln(sum over k of exp(z[n,k])) - z[n,label]        logits (N, K), labels (N,) -> (N,)"""
    below = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(below).sum(axis=1)) - below[np.arange(len(below)), labels]


# ---- which pixels mattered -----------------------------------------------------------------

MEASURES = {  # how much worse each of many pictures is for a class than the one before them
    "loss": lambda logits, label: losses(logits, np.full(len(logits), label)),
    "p": lambda logits, label: -Softmax("logits").compute(logits)[:, label],
    "logit": lambda logits, label: -logits[:, label],
}


def occlusion(network, parameters, image, label, size=5, stride=1, fill=0, measure="loss") -> np.ndarray:
    """out[y,x] = loss with a patch around (y, x) covered - loss without        image (C, H, W) -> (H, W)

    Positive where the patch speaks for the class. The patch is size × size and filled with `fill`; it is moved on by
    `stride`, and its result stands in the stride × stride cells at its middle. `measure` is "loss", -ln p of the
    class, or "p" or "logit", of which the *fall* is shown. Source: Zeiler & Fergus 2014, section 4.2.
    """
    image, label = one(network, image), one_class(network, label)
    size, stride = whole(size, "size"), whole(stride, "stride")
    if stride > size:
        raise ValueError(f"stride {stride} is wider than size {size}: some pixels would never be covered")
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r}: there are {', '.join(MEASURES)}")
    height, width = image.shape[2:]
    positions = list(product(range(0, height, stride), range(0, width, stride)))
    covered = np.repeat(image, 1 + len(positions), axis=0)  # the first stays as it is
    for picture, (y, x) in zip(covered[1:], positions):
        top, left = y + (stride - size) // 2, x + (stride - size) // 2
        picture[:, max(top, 0):top + size, max(left, 0):left + size] = fill
    worth = MEASURES[measure](features(network, parameters, covered), label)
    rises = (worth[1:] - worth[0]).reshape(-1, len(range(0, width, stride)))
    return rises.repeat(stride, axis=0).repeat(stride, axis=1)[:height, :width]


def logit_gradient(network, parameters, image, label) -> Ledger:
    """The ledger of d logit[label] / d image, `d_image`, by the chain rule        image (C, H, W)

    The chain rule starts from one number: `logit`, the sum over k of chosen[k] * logits[k], with 1 at the label, else 0.
    """
    image, label = one(network, image), one_class(network, label)
    chosen = np.zeros((1, classes(network)), image.dtype)
    chosen[0, label] = 1
    return run(logit_recipe(network), image=image, chosen=chosen, **trained(network, parameters))


@lru_cache(maxsize=64)  # a network that is made anew each time would stay for ever
def logit_recipe(network) -> Recipe:
    return backward(part(network, "logits") + [Line("logit", FullyConnected("logits", "chosen"))], "logit", to=["image"])


def gradient_times_input(network, parameters, image, label) -> np.ndarray:
    """out[y,x] = sum over c of image[c,y,x] * d logit[label] / d image[c,y,x]        image (C, H, W) -> (H, W)

    Sums to the logit where no line adds a bias and each is ReLU, pooling or a product with weights; a black pixel, 0,
    gets 0. Source: Shrikumar, Greenside, Shcherbina & Kundaje 2016, section 1; Ancona et al. 2018, section 2.
    """
    ledger = logit_gradient(network, parameters, image, label)
    return (ledger["image"] * ledger["d_image"]).sum(axis=(0, 1))


# ---- which pictures are like this one ------------------------------------------------------


class Neighbour(NamedTuple):
    index: int
    distance: float


def nearest(network, parameters, image, images, count=5, line=None) -> list[Neighbour]:
    """The pictures whose values in a line are nearest to this one's, by Euclidean distance        image (C, H, W), images (N, C, H, W)

    Without a `line`, in what the last layer reads; "image" compares the pixels themselves. Where
    many pictures are compared with the same `images`, keep their `features` and ask `closest`.
    """
    line = line or last_features(network)
    values = features(network, parameters, one(network, image), line)
    return closest(values[0], features(network, parameters, images, line), count)


def closest(values, many, count=5) -> list[Neighbour]:
    """distance[n] = sqrt(sum of (values - many[n])**2), the smallest first        values (...), many (N, ...)"""
    values, many = np.asarray(values), np.asarray(many)
    if many.dtype.kind != "f":  # small whole numbers, such as the bytes of a picture, would wrap around
        many = many.astype(float)
    if many.shape[1:] != values.shape:
        raise ValueError(f"values {values.shape} cannot be compared with {many.shape}: give (N, ...) of one shape")
    apart = (many - values).reshape(len(many), -1)
    squares = np.einsum("nk,nk->n", apart, apart)
    nearest = np.argsort(squares, kind="stable")[:whole(count, "count")]
    return [Neighbour(int(index), float(np.sqrt(squares[index]))) for index in nearest]


def last_features(network) -> str:
    """The last line that has other cells than the logits: what the last layer reads."""
    ledger, after_image = blank(network), path(network.forward, ["image"])
    return [line.name for line in part(network, "logits") if line.name in after_image
            and ledger[line.name].shape != ledger["logits"].shape][-1]


# ---- what a feature map answers to ---------------------------------------------------------


class Response(NamedTuple):
    """Where one picture makes a feature map largest, and the pixels that this cell depends on."""

    index: int
    cell: tuple[int, ...]  # in the line, without the picture's own index
    value: float
    box: tuple[slice, slice]
    patch: np.ndarray  # (C, rows, columns), cut off where the edge of the picture is


def strongest(network, parameters, images, line, channel, count=9) -> list[Response]:
    """The pictures that make one channel of a line largest, each at its largest cell        images (N, C, H, W)

    One response a picture, the largest first. In a fully connected layer, `channel` counts its outputs.
    """
    images, values = pictures(network, images), features(network, parameters, images, line)
    if not isinstance(channel, (int, np.integer)) or isinstance(channel, bool) or not 0 <= channel < values.shape[1]:
        raise ValueError(f"channel {channel!r}: {line} has the channels 0 to {values.shape[1] - 1}")
    maps = values[:, channel].reshape(len(images), -1)
    best = np.argsort(-maps.max(axis=1), kind="stable")[:whole(count, "count")]
    return [response(network, images, line, int(index), (int(channel), *map(int, np.unravel_index(maps[index].argmax(), values.shape[2:]))),
                     float(maps[index].max())) for index in best]


def response(network, images, line, index, cell, value) -> Response:
    box = receptive_field(network, line, (0, *cell))
    return Response(index, cell, value, box, images[(index, slice(None), *box)])


def receptive_field(network, line, index) -> tuple[slice, slice]:
    """The rows and the columns of the image that a cell of a line can depend on, as two slices.

    Worked out backwards from what each operation's `expand` reads. Only the corners of a block are followed: windows
    move on in the order of the cells, and what is no window reads all cells or its own.
    """
    return field(network, line, full_index(line, blank(network)[of_picture(network, line)], index))


@lru_cache(maxsize=64)
def field(network, line, index):
    ledger, blocks = blank(network), {line: (index, index)}
    for each in reversed(part(network, line)):
        for name, at in read_by(ledger, each.name, blocks[each.name]) if each.name in blocks else ():
            low, high = blocks.get(name, (at, at))
            blocks[name] = tuple(map(min, low, at)), tuple(map(max, high, at))
    low, high = blocks.get("image", ((0, 0), (-1, -1)))
    return slice(low[-2], high[-2] + 1), slice(low[-1], high[-1] + 1)


def read_by(ledger, name, block) -> list:
    """The cells that a block of a line's cells reads; those at its corners stand for all, unless one reads only padding."""
    corners = [arithmetic.references(ledger.expand(name, at)) for at in product(*map(sorted, map(set, zip(*block))))]
    if not all(corners):
        inside = product(*(range(low, high + 1) for low, high in zip(*block)))
        corners = [arithmetic.references(ledger.expand(name, at)) for at in inside]
    return [cell for corner in corners for cell in corner]


# ---- one number followed back --------------------------------------------------------------


class Term(NamedTuple):
    """One of the things that a cell was made of: its arithmetic, and what that comes to in the cell."""

    text: str
    value: float


@dataclass(frozen=True)
class Step:
    """One cell on the way back, and the cell that it owes most to; None at the end of the way."""

    ledger: Ledger
    name: str
    index: tuple[int, ...]
    onward: tuple[str, tuple[int, ...]] | None
    parts: tuple = ()  # (syntax tree, sign) of every term that was compared

    @property
    def value(self) -> float:
        return float(self.ledger[self.name][self.index])

    @property
    def explanation(self) -> Explanation:
        return self.ledger.explain(self.name, self.index)

    def biggest(self, count=3, digits=4) -> list[Term]:
        """The terms with the largest values, whatever their sign; what is subtracted has its sign turned."""
        terms = [Term(("−" if turned < 0 else "") + BOARD.write(node, self.leaf(digits), arithmetic.PRODUCT),
                      turned * worth(self.ledger, node)) for node, turned in self.parts]
        return sorted(terms, key=lambda term: -abs(term.value))[:count]

    def leaf(self, digits):
        """How a cell's number is written."""
        return lambda name, index: board(number(self.ledger[name][index], digits))


def follow(ledger, name="loss", index=(), to="image") -> list[Step]:
    """The way from one cell back to a cell of `to`: at each cell on to the one that it owes most to.

    Most is the largest term of a sum that has the sign of the cell, the winner of a max, the first term of a difference;
    of a product it is the factor that depends on `to`. So the loss leads to the logit of the network's answer. Every
    step has its `explanation`, the same as on the first day, and its `biggest` terms.
    """
    for each in (name, to):
        ledger[each]  # raises LineError where there is none
    at, steps, leads = (name, full_index(name, ledger[name], index)), [], path(ledger.recipe, [to])
    if name not in leads:
        raise ValueError(f"{name} does not depend on {to}")
    while at is not None:
        steps.append(step(ledger, *at, leads if at[0] != to else ()))
        at = steps[-1].onward
    return steps


def step(ledger, name, index, leads) -> Step:
    """One cell, and where the way goes on from it: to a cell of a value in `leads`."""
    if not leads:
        return Step(ledger, name, index, None)
    node = arithmetic.parse(ledger.expand(name, index))
    compared, push = ((node, 1),), sign(ledger[name][index])
    while (onward := arithmetic.reference(node)) is None:
        parts = parts_of(ledger, node)
        if len(parts) > len(compared) and not is_product(node):
            compared = tuple(parts)
        leading = [each for each in parts if leads.intersection(names_in(each[0]))]
        if not leading:
            return Step(ledger, name, index, None, compared)
        node, turned = chosen(ledger, node, leading, push)
        push *= turned
    return Step(ledger, name, index, onward, compared)


def chosen(ledger, node, parts, push):
    """The part that most makes the number what it is: larger, where `push` is 1, or smaller, where it is -1."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        return parts[0]  # in ln(sum of exponentials) - z, sizes say nothing: any number may be added to all logits
    if isinstance(node, ast.Call):
        return max(parts, key=lambda each: worth(ledger, each[0]))
    return max(parts, key=lambda each: push * each[1] * worth(ledger, each[0]))


def parts_of(ledger, node) -> list:
    """(part, sign) for what a piece of arithmetic is made of: sign -1 where it falls as the part rises."""
    match node:
        case ast.BinOp(op=ast.Add()):
            return [(each, 1) for each in arithmetic.terms(node)]
        case ast.BinOp(op=ast.Sub()):
            return [(node.left, 1), (node.right, -1)]
        case ast.BinOp(op=ast.Mult()):
            return [(node.left, sign(worth(ledger, node.right))), (node.right, sign(worth(ledger, node.left)))]
        case ast.BinOp(op=ast.Div()):
            return [(node.left, sign(worth(ledger, node.right))), (node.right, -sign(worth(ledger, node.left)))]
        case ast.BinOp(op=ast.Pow()):
            return [(node.left, 1 if node.right.value % 2 else sign(worth(ledger, node.left)))]
        case ast.UnaryOp():
            return [(node.operand, -1)]
        case ast.Call():
            return [(each, 1) for each in node.args]
    return []


def is_product(node) -> bool:
    return isinstance(node, ast.BinOp) and not isinstance(node.op, (ast.Add, ast.Sub))


def sign(value) -> int:
    return -1 if value < 0 else 1


def worth(ledger, node) -> float:
    """What a piece of a cell's arithmetic comes to."""
    return arithmetic.evaluate(node, lambda name, index: float(ledger[name][index]))


def names_in(node) -> set[str]:
    """The values that a piece of arithmetic reads. What stands in a condition only opens or shuts a way."""
    if isinstance(node, ast.IfExp):
        return set()
    own = {node.id} if isinstance(node, ast.Name) else set()
    return own.union(*map(names_in, ast.iter_child_nodes(node)))


# ---- a drawing as MNIST would have it ------------------------------------------------------


def centred(drawing, side=28, box=20) -> np.ndarray:
    """The ink, enlarged or shrunk so that its longer side is 20 cells, with its centre of mass at cell 14, 14 of 28 × 28

    drawing (H, W), cells from 0, empty, to 1, full ink -> (28, 28). Moved by whole cells, as in MNIST, so that a digit of
    MNIST comes back as it is; what would lie over the edge is cut off. Each new cell is the mean of the old ones around
    its place, weighted by a triangle: bilinear where the ink grows, wider where it shrinks. Raises ValueError for an
    empty drawing, which has no centre. Source: LeCun, Bottou, Bengio & Haffner 1998, section III-A.
    """
    drawing = as_given("drawing", drawing)
    if drawing.ndim != 2 or drawing.min() < 0 or drawing.max() > 1:
        raise ValueError(f"a drawing {drawing.shape} from {drawing.min():g} to {drawing.max():g}: give (rows, columns) from 0 to 1")
    if not drawing.any():
        raise ValueError("the drawing is empty")
    sums = drawing.sum(axis=1), drawing.sum(axis=0)
    ends = [np.flatnonzero(along)[[0, -1]] for along in sums]
    scale = box / max(last - first + 1 for first, last in ends)
    rows, columns = (shares(along, first, scale, side) for along, (first, _) in zip(sums, ends))
    return np.clip(rows @ drawing @ columns.T, 0, 1)


def shares(ink, first, scale, side) -> np.ndarray:
    """out[i,y] = how much of new cell i comes from old cell y, along one axis        ink (H,) -> (side, H)"""
    length, edge = len(ink), first - 0.5  # cell y reaches from y - 0.5 to y + 0.5
    centre = ((np.arange(length) * ink).sum() / ink.sum() - edge) * scale - 0.5
    at = edge + (np.arange(side) - round(side / 2 - centre) + 0.5) / scale
    around = np.arange(-length - side, 2 * length + side)  # the empty cells around the drawing count as well
    triangles = np.maximum(0, 1 - np.abs(at[:, None] - around) / max(1, 1 / scale))
    return (triangles / triangles.sum(axis=1, keepdims=True))[:, length + side:2 * length + side]


# ---- what is given, checked ----------------------------------------------------------------


def pictures(network, images) -> np.ndarray:
    """The pictures as (N, C, H, W), read-only. Raises ValueError where they are not the network's."""
    images, picture = as_given("image", images), tuple(network.picture)
    stacked = images[(None,) * (4 - images.ndim)] if images.ndim in (2, 3) else images
    if stacked.shape[1:] != picture:
        raise ValueError(f"images {images.shape} are not for {network.title}: give {picture} for one, (N, {str(picture)[1:]} for N")
    return stacked


def one(network, image) -> np.ndarray:
    """One picture as (1, C, H, W)."""
    image = pictures(network, image)
    if len(image) != 1:
        raise ValueError(f"{len(image)} pictures: give one")
    return image


def trained(network, parameters) -> dict:
    """The parameters that the network reads, checked. Raises ValueError where one is missing or has another shape."""
    for name, shape in network.shapes.items():
        if name not in parameters:
            raise ValueError(f"{network.title} needs the parameter {name}{suggestion(name, list(parameters))}")
        if np.shape(parameters[name]) != shape:
            raise ValueError(f"parameter {name} has the shape {np.shape(parameters[name])}, not {shape}")
    return {name: as_given(name, parameters[name]) for name in network.shapes} | network.fixed


def of_picture(network, line) -> str:
    """The line's name. Raises ValueError unless it is worked out from the image and from no label."""
    lines = [each for each in network.forward.names if each in path(network.forward, ["image"]) - path(network.forward, ["label"])]
    if line not in lines:
        raise ValueError(f"{network.title} works out no line {line!r} from a picture{suggestion(str(line), lines)}")
    return line


@lru_cache(maxsize=64)
def part(network, *lines) -> Recipe:
    """The lines that some lines depend on, and these."""
    return needed(network.forward, *lines)


@lru_cache(maxsize=64)
def with_p(network, ends) -> Recipe:
    recipe = part(network, *ends)
    return recipe if "p" in recipe.names else recipe + [Line("p", Softmax("logits"))]


@lru_cache(maxsize=64)
def blank(network) -> Ledger:
    """The forward pass of a black picture without weights: its shapes."""
    given = {name: np.zeros(shape) for name, shape in network.shapes.items()} | network.fixed
    return run(part(network, "logits"), image=np.zeros((1, *network.picture)), **given)


def classes(network) -> int:
    return blank(network)["logits"].shape[1]


def class_of(labels, classes, name):
    """The labels as whole numbers. Raises ValueError where one names no class."""
    labels = np.asarray(labels)
    wrong = labels[~np.isin(labels, np.arange(classes))]
    if wrong.size:
        raise ValueError(f"{name} {wrong.ravel()[0]}: the classes are 0 to {classes - 1}")
    return labels.astype(int)


def one_class(network, label) -> int:
    """The label of one picture. Raises ValueError where it is none of the classes, or several."""
    if np.size(label) != 1:
        raise ValueError(f"label {label!r}: give one class, as for one picture")
    return int(class_of(np.ravel(label), classes(network), "label")[0])


def whole(setting, name) -> int:
    if not isinstance(setting, (int, np.integer)) or isinstance(setting, bool) or setting < 1:
        raise ValueError(f"{name} {setting!r}: give a whole number of at least 1")
    return int(setting)
