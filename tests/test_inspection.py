"""What is said of a trained network, worked out again: by hand, by loops, by covering, by differences, by trying."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from cnnlab import (AddBias, AveragePool, Correlate, CrossEntropy, Flatten, FullyConnected, MaxPool, Name, Operation, Recipe, ReLU,
                    Softmax, SoftmaxCrossEntropy, arithmetic, inspection, run)
from cnnlab.data import digits_8x8, mnist
from cnnlab.examples import example_1, example_2
from cnnlab.gradients import path
from cnnlab.inspection import (Judgement, accuracy, answers, centred, closest, confusion, features, follow, gradient_times_input,
                               judge, last_features, logit_gradient, look, losses, nearest, occlusion, probabilities, receptive_field,
                               strongest)
from cnnlab.ledger import record
from cnnlab.networks import Network, lenet_5, lenet_5_1998, small_cnn

from .networks import NETWORKS

# One layer: the logits are [1, 2, 3, 4]·picture and [4, 0, 0, −1]·picture.
LINEAR = Network("two scores", Recipe(flat=Flatten("image"), logits=FullyConnected("flat", "weight"),
                                      loss=SoftmaxCrossEntropy("logits", "label")), {"weight": (2, 4)}, (1, 2, 2))
WEIGHT = {"weight": [[1, 2, 3, 4], [4, 0, 0, -1]]}
PICTURE = [[1, 10], [100, 1000]]

# ReLU, pooling and weights, no bias: such a network is linear around each picture.
NO_BIAS = Network("no bias", Recipe(
    c1=Correlate("image", "kernel", padding=1), relu=ReLU("c1"), pooled=MaxPool("relu"), c2=Correlate("pooled", "kernel_2", stride=2),
    relu_2=ReLU("c2"), average=AveragePool("relu_2", size=1), flat=Flatten("average"), logits=FullyConnected("flat", "weight"),
    loss=SoftmaxCrossEntropy("logits", "label")), {"kernel": (3, 2, 3, 3), "kernel_2": (4, 3, 2, 2), "weight": (5, 16)}, (2, 8, 8))

PARAMETERS = {network: network.start(3) for network in (lenet_5, small_cnn, lenet_5_1998)}


def drawn(network, seed=0, count=1):
    """Parameters with biases and pictures, all float64."""
    rng = np.random.default_rng(seed)
    parameters = {name: rng.normal(size=shape) / math.sqrt(math.prod(shape[1:]) or 1) for name, shape in network.shapes.items()}
    return parameters, rng.normal(size=(count, *network.picture))


# ---- a network looks -----------------------------------------------------------------------


def test_a_look_by_hand():
    ledger = look(LINEAR, WEIGHT, PICTURE, 1)
    assert ledger["logits"].tolist() == [[1 + 20 + 300 + 4000, 4 - 1000]]
    assert ledger["loss"] == 4321 + 996  # −ln p = ln(e⁴³²¹ + e⁻⁹⁹⁶) + 996
    assert ledger["p"].tolist() == [[1, 0]]
    assert look(LINEAR, WEIGHT, PICTURE).keys() >= {"logits", "p"} and "loss" not in look(LINEAR, WEIGHT, PICTURE)


@pytest.mark.parametrize("network", PARAMETERS, ids=lambda each: each.title[:15])
def test_a_look_is_the_run_of_the_network(network):
    parameters, images = PARAMETERS[network], np.random.default_rng(0).random((3, *network.picture))
    ledger = look(network, parameters, images, [1, 2, 3])
    expected = run(network.forward, image=images, label=[1, 2, 3], **parameters)
    for name in expected:
        np.testing.assert_array_equal(ledger[name], expected[name])
    assert ledger["loss"] == pytest.approx(-np.log(ledger["p"][[0, 1, 2], [1, 2, 3]]).mean())


def test_one_picture_may_be_given_without_its_leading_axes():
    image = np.random.default_rng(0).random((28, 28))
    for shape in ((28, 28), (1, 28, 28), (1, 1, 28, 28)):
        np.testing.assert_array_equal(look(lenet_5, PARAMETERS[lenet_5], image.reshape(shape))["image"][0, 0], image)


def test_many_pictures_in_parts_are_the_same_as_one_by_one():
    images, parameters = digits_8x8().test_images[:300], PARAMETERS[small_cnn]  # more than one part
    for line in ("s4", "logits"):
        values = features(small_cnn, parameters, images, line)
        for n in (0, 255, 256, 299):
            np.testing.assert_allclose(values[n], look(small_cnn, parameters, images[n])[line][0], rtol=1e-5, atol=1e-6)
    p = probabilities(small_cnn, parameters, images)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(answers(small_cnn, parameters, images), p.argmax(axis=1))


def test_many_pictures_take_no_more_memory_than_256(monkeypatch):
    counts = []
    monkeypatch.setattr(inspection, "record", lambda recipe, values: counts.append(len(values["image"])) or record(recipe, values))
    assert len(features(small_cnn, PARAMETERS[small_cnn], digits_8x8().train_images, "s4")) == 1437
    assert counts == [256, 256, 256, 256, 256, 157]


def test_a_network_that_has_its_own_softmax_keeps_it():
    own = Network("own", Recipe(flat=Flatten("image"), logits=FullyConnected("flat", "weight"), p=Softmax("logits"), loss=CrossEntropy("p", "label")),
                  {"weight": (2, 4)}, (1, 2, 2))
    small = {"weight": np.array(WEIGHT["weight"]) / 1000}
    ledger = look(own, small, PICTURE, 1)
    assert ledger["p"].tolist() == look(LINEAR, small, PICTURE)["p"].tolist()
    assert ledger["loss"] == pytest.approx(float(look(LINEAR, small, PICTURE, 1)["loss"]))


# ---- right and wrong -----------------------------------------------------------------------


def test_the_confusion_matrix_is_counted_one_by_one():
    rng = np.random.default_rng(0)
    labels, given = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    counts = np.zeros((4, 4), int)
    for label, answer in zip(labels, given):
        counts[label, answer] += 1
    np.testing.assert_array_equal(confusion(labels, given, classes=4), counts)


LOGITS = np.log([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.5, 0.3, 0.2], [0.04, 0.06, 0.9], [0.4, 0.3, 0.3], [0.2, 0.2, 0.6]]) + 5
JUDGED = Judgement(np.array([0, 1, 2, 0, 0, 1]), LOGITS)  # p of the true class: 0.7, 0.6, 0.2, 0.04, 0.4, 0.2


def test_a_judgement_by_hand():
    assert JUDGED.right.tolist() == [True, True, False, False, True, False] and JUDGED.accuracy == 0.5
    np.testing.assert_allclose(JUDGED.losses, -np.log([0.7, 0.6, 0.2, 0.04, 0.4, 0.2]))
    assert JUDGED.confusion.tolist() == [[2, 0, 1], [0, 1, 1], [1, 0, 0]]
    [first, *_] = JUDGED.worst()
    assert first[:3] == (3, 0, 2) and first[3:] == pytest.approx((0.9, 0.04, -math.log(0.04)))
    assert [case.index for case in JUDGED.worst()] == [3, 2, 5]  # of equals, the first comes first
    assert [case.index for case in JUDGED.worst(count=1)] == [3]
    assert [case.index for case in JUDGED.worst(true=1)] == [5] and [case.index for case in JUDGED.worst(answer=0)] == [2]
    assert [case.index for case in JUDGED.least_sure()] == [4, 1, 0]


def test_the_loss_stays_finite_where_p_does_not():
    assert losses(np.array([[0.0, 2000.0]], np.float32), np.array([0])).tolist() == [2000]


def test_every_picture_is_judged_once():
    digits, parameters = digits_8x8(), PARAMETERS[small_cnn]
    judged = judge(small_cnn, parameters, digits.test_images, digits.test_labels)
    assert judged.confusion.sum() == 360 and np.trace(judged.confusion) == judged.right.sum()
    assert accuracy(small_cnn, parameters, digits.test_images, digits.test_labels) == judged.accuracy
    everything = {case.index for case in judged.worst(360) + judged.least_sure(360)}
    assert everything == set(range(360))
    loss = run(small_cnn.forward, image=digits.test_images, label=digits.test_labels, **parameters)["loss"]
    assert judged.losses.mean() == pytest.approx(float(loss), rel=1e-5)


# ---- which pixels mattered -----------------------------------------------------------------


def test_covering_one_pixel_takes_its_product_away():
    np.testing.assert_array_equal(occlusion(LINEAR, WEIGHT, PICTURE, 0, size=1, measure="logit"), [[1 * 1, 2 * 10], [3 * 100, 4 * 1000]])
    np.testing.assert_array_equal(occlusion(LINEAR, WEIGHT, PICTURE, 1, size=1, measure="logit"), [[4, 0], [0, -1000]])
    np.testing.assert_array_equal(occlusion(LINEAR, WEIGHT, PICTURE, 0, size=2, stride=2, measure="logit"), np.full((2, 2), 4321))
    np.testing.assert_array_equal(occlusion(LINEAR, WEIGHT, PICTURE, 0, size=1, fill=1, measure="logit"), [[0, 2 * 9], [3 * 99, 4 * 999]])


@pytest.mark.parametrize("measure", ["loss", "p", "logit"])
@pytest.mark.parametrize("size, stride, offsets", [(3, 1, (-1, 0, 1)), (5, 2, (-2, -1, 0, 1, 2)), (4, 2, (-1, 0, 1, 2)), (3, 3, (0, 1, 2))])
def test_occlusion_is_covering_by_hand(size, stride, offsets, measure):
    parameters, (image,) = drawn(NO_BIAS, 1)
    found = occlusion(NO_BIAS, parameters, image, 2, size, stride, fill=0.5, measure=measure)

    def worse(image):
        ledger = look(NO_BIAS, parameters, image, 2)
        return {"loss": float(ledger["loss"]), "p": -ledger["p"][0, 2], "logit": -ledger["logits"][0, 2]}[measure]
    assert found.shape == (8, 8)
    for y, x in np.ndindex(8, 8):
        covered, (top, left) = image.copy(), (y // stride * stride, x // stride * stride)
        for u in offsets:
            for v in offsets:
                if 0 <= top + u < 8 and 0 <= left + v < 8:
                    covered[:, top + u, left + v] = 0.5
        assert found[y, x] == pytest.approx(worse(covered) - worse(image), abs=1e-12), (y, x)


def test_gradient_times_input_by_hand():
    np.testing.assert_array_equal(gradient_times_input(LINEAR, WEIGHT, PICTURE, 0), [[1, 20], [300, 4000]])
    assert logit_gradient(LINEAR, WEIGHT, PICTURE, 1)["d_image"].tolist() == [[[[4, 0], [0, -1]]]]


@pytest.mark.parametrize("network", [lenet_5_1998, lenet_5, small_cnn, NO_BIAS], ids=lambda each: each.title[:15])
def test_the_gradient_of_a_logit_is_its_slope(network):
    parameters, (image,) = drawn(network, 5)
    found = gradient_times_input(network, parameters, image, 3)
    cells, nudge = np.random.default_rng(0).integers(0, network.picture, (12, 3)), 1e-6
    for c, y, x in cells:
        ends = []
        for step in (nudge, -nudge):
            moved = image.copy()
            moved[c, y, x] += step
            ends.append(look(network, parameters, moved)["logits"][0, 3])
        assert logit_gradient(network, parameters, image, 3)["d_image"][0, c, y, x] == pytest.approx((ends[0] - ends[1]) / (2 * nudge), abs=1e-7)
    d_image = logit_gradient(network, parameters, image, 3)["d_image"][0]
    np.testing.assert_allclose(found, sum(image[c] * d_image[c] for c in range(len(image))))


@pytest.mark.parametrize("label", range(5))
def test_without_biases_gradient_times_input_adds_up_to_the_logit(label):
    parameters, (image,) = drawn(NO_BIAS, 2)
    logit = look(NO_BIAS, parameters, image)["logits"][0, label]
    assert gradient_times_input(NO_BIAS, parameters, image, label).sum() == pytest.approx(logit, rel=1e-12)


def test_with_biases_it_does_not():
    parameters, (image,) = drawn(small_cnn, 2)
    assert abs(gradient_times_input(small_cnn, parameters, image, 0).sum() - look(small_cnn, parameters, image)["logits"][0, 0]) > 0.01


# ---- which pictures are like this one ------------------------------------------------------


@pytest.mark.parametrize("line", ["image", "s2", "flat", None])
def test_the_nearest_are_found_by_comparing_with_each(line):
    images, parameters = digits_8x8().train_images[:100], PARAMETERS[small_cnn]
    image = digits_8x8().test_images[0]
    values = [look(small_cnn, parameters, each)[line or "flat"] for each in images]
    here = look(small_cnn, parameters, image)[line or "flat"]
    distances = [math.dist(here.ravel(), each.ravel()) for each in values]
    found = nearest(small_cnn, parameters, image, images, 7, line)
    assert [each.index for each in found] == sorted(range(100), key=distances.__getitem__)[:7]
    np.testing.assert_allclose([each.distance for each in found], sorted(distances)[:7], rtol=1e-5)


def test_a_picture_is_nearest_to_itself_and_equals_come_in_order():
    assert nearest(small_cnn, PARAMETERS[small_cnn], digits_8x8().train_images[5], digits_8x8().train_images[:50], 1)[0].index == 5
    assert closest([0, 0], [[3, 4], [0, 5], [0, 1]], 3) == [(2, 1), (0, 5), (1, 5)]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64])
def test_distances_between_whole_numbers_do_not_wrap_around(kind):
    assert closest(np.array([100, 0], kind), np.array([[0, 0], [103, 4], [100, 120]], kind), 3) == [(1, 5), (0, 100), (2, 120)]
    assert closest(np.array([True, False]), np.array([[False, True], [True, True]])) == [(1, 1), (0, math.sqrt(2))]


@pytest.mark.parametrize("network, line", [(lenet_5, "f6_relu"), (small_cnn, "flat"), (lenet_5_1998, "f6_tanh"), (LINEAR, "flat")])
def test_the_last_layer_reads(network, line):
    assert last_features(network) == line


# ---- what a feature map answers to ---------------------------------------------------------

REACHES = Network("reaches", Recipe(
    c1=Correlate("image", "kernel", stride=(2, 1), padding=(1, 2)), c1_bias=AddBias("c1", "bias"), s2=MaxPool("c1_bias", size=(2, 3), stride=1),
    s2_average=AveragePool("s2", size=2), c3=Correlate("s2_average", "kernel_3", stride=(1, 2), padding=1), relu=ReLU("c3"),
    flat=Flatten("relu"), logits=FullyConnected("flat", "weight"), loss=SoftmaxCrossEntropy("logits", "label")),
    {"kernel": (2, 1, 3, 3), "bias": (2,), "kernel_3": (2, 2, 2, 2), "weight": (3, 18)}, (1, 12, 10))


@pytest.mark.parametrize("network, line, cells", [
    (lenet_5, "c1_relu", 12), (lenet_5, "s2", 12), (lenet_5, "c3", 12), (lenet_5, "s4", 12), (lenet_5, "f6", 2), (lenet_5_1998, "s4_tanh", 8),
    (lenet_5_1998, "c5", 2), (small_cnn, "s4", 16), *((REACHES, line, 30) for line in ("c1", "s2", "s2_average", "c3", "flat", "logits"))])
def test_a_receptive_field_is_what_moving_pixels_shows(network, line, cells):
    """With positive weights, a pixel raised by so much is felt in every cell that can depend on it."""
    parameters = {name: np.full(shape, 0.01) for name, shape in network.shapes.items()}
    height, width = network.picture[1:]
    dark = np.zeros((1, 1, height, width))
    lit = np.zeros((height * width, 1, height, width))
    lit.reshape(height * width, -1)[np.diag_indices(height * width)] = 100
    felt = np.abs(features(network, parameters, lit, line) - features(network, parameters, dark, line)) > 1e-12
    rng = np.random.default_rng(0)
    for _ in range(cells):
        index = tuple(int(rng.integers(size)) for size in felt.shape[1:])
        seen = felt[(slice(None), *index)].reshape(height, width)
        inside = np.zeros((height, width), bool)
        inside[receptive_field(network, line, (0, *index))] = True
        np.testing.assert_array_equal(inside, seen, err_msg=str(index))


def test_a_receptive_field_by_hand():
    # C1 row i reads rows i − 2 to i + 2; S2 row i reads rows 2i, 2i + 1 of C1; C3 row i reads rows i to i + 4 of S2
    assert receptive_field(lenet_5, "c1", (0, 10, 0)) == (slice(8, 13), slice(0, 3))
    assert receptive_field(lenet_5, "c3", (0, 2, 5)) == (slice(2 * 2 - 2, 2 * 6 + 1 + 2 + 1), slice(2 * 5 - 2, 2 * 9 + 1 + 2 + 1))
    assert receptive_field(lenet_5, "f6", 3) == (slice(0, 28), slice(0, 28))


def test_a_cell_in_the_padding_depends_on_nothing():
    wide = Network("wide", Recipe(c1=Correlate("image", "kernel", padding=3), c2=Correlate("c1", "kernel_2"), flat=Flatten("c2"), logits=FullyConnected("flat", "weight"),
                                  loss=SoftmaxCrossEntropy("logits", "label")), {"kernel": (1, 1, 2, 2), "kernel_2": (1, 1, 4, 4), "weight": (2, 36)}, (1, 4, 4))
    assert receptive_field(wide, "c1", (0, 0)) == (slice(0, 0), slice(0, 0))
    assert receptive_field(wide, "c2", (0, 0)) == (slice(0, 2), slice(0, 2))  # its corner c1[0,0] reads only padding
    assert receptive_field(wide, "c1", (3, 8)) == (slice(0, 0), slice(0, 0))
    assert receptive_field(wide, "logits", 0) == (slice(0, 4), slice(0, 4))  # all four corners of c1 read only padding


@pytest.mark.parametrize("line", ["c1_relu", "c3", "s4", "logits"])
def test_the_strongest_responses_are_found_by_looking_everywhere(line):
    images, parameters = digits_8x8().test_images[:60], PARAMETERS[small_cnn]
    values = np.concatenate([look(small_cnn, parameters, image)[line] for image in images])
    found = strongest(small_cnn, parameters, images, line, 4, count=60)
    assert sorted(each.index for each in found) == list(range(60))
    for each in found:
        assert each.cell[0] == 4 and each.value == pytest.approx(values[each.index, 4].max(), rel=1e-5, abs=1e-6)
        assert each.value == pytest.approx(values[(each.index, *each.cell)], rel=1e-5, abs=1e-6)
        np.testing.assert_array_equal(each.patch, images[each.index][:, *each.box])
    assert [each.value for each in found] == sorted((each.value for each in found), reverse=True)


def test_the_patch_alone_makes_the_response():
    """What lies outside the receptive field does not change it, at a cell away from the edge or at it."""
    images, parameters = digits_8x8().test_images[:20], PARAMETERS[small_cnn]
    for each in strongest(small_cnn, parameters, images, "c3", 1, count=5):
        alone = np.random.default_rng(0).random((1, 8, 8))
        alone[:, *each.box] = each.patch
        assert look(small_cnn, parameters, alone)["c3"][0][each.cell] == pytest.approx(each.value, rel=1e-4, abs=1e-5)


# ---- one number followed back --------------------------------------------------------------


def test_the_way_back_by_hand():
    ledger = look(LINEAR, WEIGHT, PICTURE, 1)
    assert [(step.name, step.index) for step in follow(ledger)] == [
        ("loss", ()), ("logits", (0, 0)), ("flat", (0, 3)), ("image", (0, 0, 1, 1))]  # e⁴³²¹ > e⁻⁹⁹⁶; 4×1000 is the largest
    steps = follow(ledger, "logits", (0, 1))
    assert [(step.name, step.index) for step in steps] == [("logits", (0, 1)), ("flat", (0, 3)), ("image", (0, 0, 1, 1))]  # −1000 has its sign
    assert steps[0].biggest(2) == [("−1×1000", -1000), ("4×1", 4)]
    assert str(steps[0].explanation) == "logits[0,1] = 4×1 + 0×10 + 0×100 + (−1×1000) = −996"
    assert str(steps[-1].explanation) == "image[1,1] = 1000 (given)" and steps[-1].biggest() == []


def test_the_way_back_through_the_first_example():
    steps = follow(example_1.run())
    assert [step.name for step in steps] == ["loss", "output", "conv_sum", "image"]
    ledger = example_1.run()
    products = {index: ledger["image"][index] * ledger["kernel"][index] for index in np.ndindex(2, 2)}
    assert steps[-1].index == max(products, key=products.get)


@dataclass(frozen=True)
class Written(Operation):
    """out = what is written"""

    values: Name
    text: str

    def compute(self, values):
        return np.array(eval(self.text, {}, {"v": values}))

    def expand(self, index, values):
        return self.text


@pytest.mark.parametrize("text, expected", [
    ("v[0] + v[1] + v[2]", 0),             # 5 − 3 − 1 = 1
    ("-(v[0] + v[1]) + v[2]*6", 2),         # −2 − 6: −1×6 pulls further down than −2
    ("-(v[0] + 3*v[1])", 1),                # 4, because of −3
    ("-2*(v[1] + v[0])", 0),                # −4, because of 5
    ("(v[1] + v[2])/(-2)", 1),              # 2, because of −3
    ("(v[0] + 3*v[1])**2", 1),              # 16, because 3×(−3) is larger than 5
    ("(v[1] + v[2] + v[0]/5)**3", 1),       # −27
    ("(2*v[1] + v[0])*v[2]", 1),            # 1 = −1×−1
    ("v[0] - v[1]", 0),                     # the first of a difference
    ("max(v[1], v[2])", 2),
    ("2/v[1]", 1),
    ("6/(v[0] + v[1])", 1),                 # 3, because −3 makes what it is divided by smaller
    ("(v[2]/4)*(1 if v[0] > 0 else 0)", 2),  # a condition is no way on
])
def test_the_way_goes_on_to_what_makes_the_number_what_it_is(text, expected):
    found = follow(run(Recipe(out=Written("v", text)), v=[5, -3, -1]), "out", to="v")
    assert found[0].onward == ("v", (expected,)) and len(found) == 2


def test_the_terms_of_a_difference_have_their_signs():
    [first, _] = follow(run(Recipe(out=Written("v", "v[0] - (v[1] + 2*v[2])")), v=[5, -3, -1]), "out", to="v")
    assert first.biggest() == [("5", 5), ("−(−3 + 2×(−1))", 5)]


def test_a_product_is_one_term():
    [first, _] = follow(run(Recipe(out=Written("v", "v[1]*v[2]")), v=[5, -3, -1]), "out", to="v")
    assert first.biggest() == [("−3×(−1)", 3)]


def test_a_maximum_goes_on_to_its_winner_even_below_zero():
    recipe = Recipe(turned=Correlate("image", "kernel"), pooled=MaxPool("turned"))
    ledger = run(recipe, image=[[5, 3], [2, 7]], kernel=[[-1]])
    assert [(step.name, step.index) for step in follow(ledger, "pooled", (0, 0))] == [
        ("pooled", (0, 0)), ("turned", (1, 0)), ("image", (1, 0))]


@pytest.mark.parametrize("shift", [0, -50, 1000])
def test_the_loss_leads_back_to_the_answer(shift):
    """To the largest exponential: of a wrong answer to that answer, whatever number is added to all logits."""
    parameters, (image,) = drawn(small_cnn, 0)
    moved = parameters | {"fc_bias": parameters["fc_bias"] + shift}
    answer = int(look(small_cnn, parameters, image)["logits"].argmax())
    for label in range(10):
        onward = follow(look(small_cnn, moved, image, label))[1]
        assert (onward.name, onward.index) == ("logits", (0, answer))


def cells_on_the_way(network):
    ledger = network.step
    for name in ledger.recipe.names:
        for index in list(np.ndindex(np.shape(ledger[name])))[::7]:
            yield ledger, name, index


@pytest.mark.parametrize("title", NETWORKS)
def test_every_step_back_is_to_a_cell_that_was_read(title):
    """Over every kind of line, gradients and updates included."""
    network = NETWORKS[title]
    to = "values" if "values" in network.given else "image"
    ended, depending = 0, path(network.recipe, [to])
    for ledger, name, index in cells_on_the_way(network):
        if name not in depending:  # a table that lays kernels out, for one
            with pytest.raises(ValueError, match=f"{name} does not depend on {to}"):
                follow(ledger, name, index, to)
            continue
        steps = follow(ledger, name, index, to)
        ended += steps[-1].name == to
        for here, onward in zip(steps, steps[1:]):
            assert here.onward == (onward.name, onward.index)
            assert here.onward in arithmetic.references(ledger.expand(here.name, here.index))
            assert here.value == float(ledger[here.name][here.index]) and f"= " in str(here.explanation)
    assert ended > 3


@pytest.mark.parametrize("network", [lenet_5, lenet_5_1998], ids=["lenet_5", "1998"])
def test_a_sum_goes_on_to_its_largest_product(network):
    parameters, (image,) = drawn(network, 4)
    steps = follow(look(network, parameters, image, 7))
    assert steps[0].name == "loss" and steps[-1].name == "image"
    ledger, checked = steps[0].ledger, 0
    for here in steps:
        operation = getattr(ledger.line(here.name), "operation", None)
        if isinstance(operation, (FullyConnected, Correlate)):
            terms = [ledger_value(ledger, a) * ledger_value(ledger, b) for a, b in
                     (text.split("*") for text in ledger.expand(here.name, here.index).split(" + "))]
            best = max(terms, key=lambda term: term * np.sign(here.value))
            largest = sorted(terms, key=lambda term: -abs(term))[:3]
            factors = [ledger_value(ledger, text) for text in ledger.expand(here.name, here.index).split(" + ")[terms.index(best)].split("*")]
            assert float(ledger[here.onward[0]][here.onward[1]]) in factors
            np.testing.assert_allclose([term.value for term in here.biggest(3)], largest)
            checked += 1
    assert checked >= 4


def ledger_value(ledger, text):
    [(name, index)] = arithmetic.references(text)
    return float(ledger[name][index])


# ---- a drawing -----------------------------------------------------------------------------


def test_digits_of_mnist_come_back_as_they_are():
    for image in mnist().test_images[:200, 0]:
        np.testing.assert_allclose(centred(image), image, atol=1e-6)


def bar(size, top, left, height, width):
    drawing = np.zeros((size, size))
    drawing[top:top + height, left:left + width] = 1
    return drawing


def test_it_does_not_matter_where_it_was_drawn():
    shape = np.random.default_rng(0).random((9, 6))
    ways = []
    for top, left in ((0, 0), (19, 22), (5, 11)):
        drawing = np.zeros((28, 28))
        drawing[top:top + 9, left:left + 6] = shape
        ways.append(centred(drawing))
    np.testing.assert_allclose(ways[0], ways[1], atol=1e-12)
    np.testing.assert_allclose(ways[0], ways[2], atol=1e-12)


@pytest.mark.parametrize("height, width", [(10, 4), (4, 10), (20, 8), (28, 14), (5, 5)])
def test_the_longer_side_becomes_20_and_the_shape_is_kept(height, width):
    found = centred(bar(28, 0, 0, height, width))
    scale = 20 / max(height, width)
    assert found.sum() == pytest.approx(height * width * scale ** 2, rel=0.02)  # as much ink as the area says
    tall, wide = ((found.max(axis=axis) >= 0.5).sum() for axis in (1, 0))
    assert abs(tall - height * scale) <= 1 and abs(wide - width * scale) <= 1


def test_the_centre_of_mass_comes_to_cell_14():
    drawing = bar(28, 2, 3, 12, 2) + bar(28, 12, 5, 2, 9)  # an L, whose middle is not the middle of its box
    found = centred(drawing)
    at = np.arange(28)
    assert abs(found.sum(axis=1) @ at / found.sum() - 14) <= 0.51
    assert abs(found.sum(axis=0) @ at / found.sum() - 14) <= 0.51


def test_a_large_canvas_is_shrunk_without_losing_thin_lines():
    drawing = np.zeros((280, 280))
    drawing[20:260, 140:143] = 1  # 3 of 280 wide: 0.25 of a new cell
    found = centred(drawing)
    assert found.sum() == pytest.approx(20 * 3 * 20 / 240, rel=0.05) and (found.max(axis=1) > 0.1).sum() == 20


# ---- what does not fit ---------------------------------------------------------------------

P5, I5 = PARAMETERS[lenet_5], np.zeros((28, 28))


@pytest.mark.parametrize("ask, reason", [
    (lambda: look(lenet_5, P5, np.zeros((8, 8))), r"images \(8, 8\) are not for LeNet-5.*give \(1, 28, 28\) for one, \(N, 1, 28, 28\) for N"),
    (lambda: look(lenet_5, P5, np.zeros((3, 28, 28))), r"images \(3, 28, 28\) are not for"),
    (lambda: look(lenet_5, P5, np.full((28, 28), np.nan)), r"image\[0,0\] = nan: every number must be finite"),
    (lambda: look(lenet_5, P5, I5, 10), "label 10 is no class"),
    (lambda: look(lenet_5, {}, I5), "needs the parameter c1_kernel"),
    (lambda: look(lenet_5, P5 | {"c1_bias": np.zeros(5)}, I5), r"parameter c1_bias has the shape \(5,\), not \(6,\)"),
    (lambda: look(lenet_5, P5 | {"fc_bias": np.full(10, np.inf)}, I5), r"fc_bias\[0\] = inf"),
    (lambda: features(lenet_5, P5, I5, "c1_rule"), "works out no line 'c1_rule' from a picture; did you mean 'c1_relu'"),
    (lambda: features(lenet_5, P5, I5, "loss"), "works out no line 'loss' from a picture"),
    (lambda: features(lenet_5_1998, PARAMETERS[lenet_5_1998], I5, "c3_connected"), "works out no line 'c3_connected'"),
    (lambda: features(lenet_5, {name: value * np.float32(1e20) for name, value in P5.items()}, np.ones((28, 28), np.float32)), "line c3_sum = .*overflow"),
    (lambda: judge(lenet_5, P5, I5, [1, 2]), "2 labels for 1 images"),
    (lambda: judge(lenet_5, P5, I5, [11]), "label 11: the classes are 0 to 9"),
    (lambda: confusion([0, 1], [0]), "2 labels for 1 answers"),
    (lambda: confusion([0, 3], [0, 1], classes=3), "label 3: the classes are 0 to 2"),
    (lambda: confusion([0, 1], [0, -1]), "answer -1: the classes are 0 to 9"),
    (lambda: JUDGED.worst(0), "count 0: give a whole number of at least 1"),
    (lambda: occlusion(lenet_5, P5, I5, 10), "label 10: the classes are 0 to 9"),
    (lambda: occlusion(lenet_5, P5, I5, 2.5), "label 2.5: the classes are 0 to 9"),
    (lambda: occlusion(lenet_5, P5, I5, 1, size=0), "size 0: give a whole number"),
    (lambda: occlusion(lenet_5, P5, I5, 1, size=2, stride=3), "stride 3 is wider than size 2"),
    (lambda: occlusion(lenet_5, P5, I5, 1, measure="q"), "measure 'q': there are loss, p, logit"),
    (lambda: occlusion(lenet_5, P5, np.zeros((2, 1, 28, 28)), 1), "2 pictures: give one"),
    (lambda: gradient_times_input(lenet_5, P5, I5, -1), "label -1: the classes are 0 to 9"),
    (lambda: nearest(lenet_5, P5, I5, np.zeros((3, 1, 8, 8))), r"images \(3, 1, 8, 8\) are not for"),
    (lambda: closest([1, 2], [[1, 2, 3]]), r"values \(2,\) cannot be compared with \(1, 3\)"),
    (lambda: strongest(lenet_5, P5, I5, "c1", 6), "channel 6: c1 has the channels 0 to 5"),
    (lambda: strongest(lenet_5, P5, I5, "c1", True), "channel True: c1 has the channels 0 to 5"),
    (lambda: strongest(lenet_5, P5, I5, "c1", 2.0), "channel 2.0: c1 has the channels 0 to 5"),
    (lambda: occlusion(lenet_5, P5, I5, [3, 4]), r"label \[3, 4\]: give one class, as for one picture"),
    (lambda: logit_gradient(lenet_5, P5, I5, [3, 4]), r"label \[3, 4\]: give one class, as for one picture"),
    (lambda: judge(lenet_5, P5, I5, [3]).case(1), "picture 1: there are the pictures 0 to 0"),
    (lambda: judge(lenet_5, P5, I5, [3]).case(-1), "picture -1: there are the pictures 0 to 0"),
    (lambda: receptive_field(lenet_5, "c1", (6, 0, 0)), r"c1\[6,0,0\] is none of its cells"),
    (lambda: receptive_field(lenet_5, "c9", (0, 0, 0)), "works out no line 'c9'"),
    (lambda: follow(look(lenet_5, P5, I5), "loss"), "no line or given number is named 'loss'"),
    (lambda: follow(look(lenet_5, P5, I5), "p", (10,)), r"p\[10\] is none of its cells"),
    (lambda: follow(example_2.run(), "loss", to="images"), "no line or given number is named 'images'; did you mean 'image'"),
    (lambda: follow(example_2.run(), "kernel", (0, 0)), "kernel does not depend on image"),
    (lambda: centred(np.zeros((28, 28))), "the drawing is empty"),
    (lambda: centred(np.full((28, 28), 255)), r"a drawing \(28, 28\) from 255 to 255: give \(rows, columns\) from 0 to 1"),
    (lambda: centred([1, 0]), r"a drawing \(2,\)"),
    (lambda: centred([[np.nan]]), "every number must be finite"),
])
def test_what_does_not_fit_is_refused_with_its_values(ask, reason):
    with pytest.raises(ValueError, match=reason):
        ask()
