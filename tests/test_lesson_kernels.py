"""Notebook 05: the shipped run is what its command makes, and every panel says what the ledger says."""

import html
import re

import numpy as np
import pytest

from cnnlab import inspection
from cnnlab.arithmetic import board, number
from cnnlab.data import digits_8x8, mnist
from cnnlab.lessons import judged, kernels, mattered, trained
from cnnlab.lessons.trained import ink_of, look_at, prepared, seen
from cnnlab.networks import lenet_5, small_cnn
from cnnlab.places import data_file
from cnnlab.training import Recorder, Settings, Training
from tests.store_run import SETTINGS, fresh

SEVEN = np.zeros((28, 28), np.uint8)
SEVEN[5:7, 6:20] = 255
for row in range(7, 24):
    SEVEN[row, 19 - (row - 5) // 2:21 - (row - 5) // 2] = 255
BLANK = bytes(28 * 28)


@pytest.fixture(scope="module")
def look():
    return look_at()


def words(panel):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", panel.html)))


# ---- the shipped run -----------------------------------------------------------------------


def test_the_shipped_run_was_made_by_the_command_that_the_readme_names():
    run = kernels.shipped_run()
    assert run.settings == SETTINGS and run.finished and run.step == 2500
    anew = fresh()
    for _ in range(20):
        anew.advance()
    assert anew.losses == pytest.approx(run.losses[:20], abs=1e-3)
    for name in ("c1_kernel", "c1_bias", "c3_kernel"):  # the first moment is the start
        assert np.array_equal(run.recorder[name][0], fresh().state[name])


def test_its_accuracy_follows_from_its_parameters(look):
    run, digits = kernels.shipped_run(), mnist()
    assert run.epochs[-1].test_accuracy == look.judgement.accuracy == 0.975
    assert run.evaluate(digits.test_images, digits.test_labels)[1] == 0.975


def test_its_file_is_small_and_described():
    path = data_file("lenet_5_run.npz")
    assert path.stat().st_size <= 3_000_000
    readme = path.with_name("README.md").read_text(encoding="utf-8")
    assert all(word in readme for word in ("## lenet_5_run.npz", "python -m tests.store_run", "derived from MNIST"))


# ---- a run of one's own --------------------------------------------------------------------


def own(recorder=None):
    run = Training(lenet_5, mnist(), Settings(epochs=1, seed=3), recorder)
    for _ in range(5):
        run.advance()
    return run


def test_a_run_of_ones_own_is_looked_into_with_the_same_panels():
    run = own()
    for make in (kernels.over_time, kernels.maps, kernels.mattered, kernels.nearest, kernels.confusion, kernels.follow_back):
        assert re.search(r"\d.*[=≈] *[−-]?\d", make(run).line)
    assert "of 5 steps" in words(kernels.over_time(run))
    assert [moment.step for moment in look_at(run).moments] == [0, 5]  # nothing was recorded on the way
    assert np.array_equal(look_at(run).moments[-1].kernels, run.parameters["c1_kernel"][:, 0])


def test_what_was_recorded_can_be_scrubbed():
    run = own(Recorder(("c1_kernel", "c1_bias"), every=2))
    assert [moment.step for moment in look_at(run).moments] == [0, 2, 4, 5]
    run.advance()
    assert [moment.step for moment in look_at(run).moments] == [0, 2, 4, 6]  # it is looked at anew once it went on


def test_another_network_is_refused_in_words():
    with pytest.raises(ValueError, match="LeNet-5 with ReLU and 28×28"):
        kernels.maps(Training(small_cnn, digits_8x8()))


# ---- kernels over time ---------------------------------------------------------------------


def test_an_edge_has_an_edge_share_of_1_a_sharp_diagonal_less_and_random_numbers_2_in_25():
    edge = np.repeat([[-1, -1, 0, 1, 1]], 5, axis=0)
    assert kernels.edge_share(edge) == kernels.edge_share(edge.T) == kernels.edge_share(-3 * edge) == 1
    slanted = edge + edge.T
    assert kernels.edge_share(slanted) == pytest.approx(1)  # 20 + 20 of 40: it changes little by little from corner to corner
    sharp = np.sign(np.subtract.outer(range(5), range(5)))
    assert kernels.edge_share(sharp) == pytest.approx(0.72)  # (12**2 + 12**2) / (20 * 20)
    many = np.random.default_rng(0).standard_normal((20_000, 5, 5))
    assert np.mean([kernels.edge_share(each) for each in many]) == pytest.approx(2 / 25, abs=0.002)


def test_the_slider_shows_the_kernels_of_that_step_and_their_maps(look):
    panel, run = kernels.over_time(), kernels.shipped_run()
    panel.set("kernel", 4)
    for at in (0, 7, 40):
        panel.set("moment", at)
        kernel = run.recorder["c1_kernel"][at, 4, 0] if at < 40 else run.parameters["c1_kernel"][4, 0]
        table = re.search(r"<caption>kernel 4 now</caption>(.*?)</table>", panel.html)[1]
        assert re.findall(r"<td[^>]*>([^<]*)</td>", table) == [trained.fixed(value) for value in kernel.ravel()]
        bias = run.recorder["c1_bias"][at] if at < 40 else run.parameters["c1_bias"]
        index = int(np.flatnonzero(mnist().test_labels == 5)[0])
        weights = run.recorder["c1_kernel"][at] if at < 40 else run.parameters["c1_kernel"]
        then = inspection.look(lenet_5, {**run.parameters, "c1_kernel": weights, "c1_bias": bias}, mnist().test_images[index])
        assert np.array_equal(kernels.first_maps(look, 5)[at], then["c1_relu"][0])


def test_play_goes_to_the_end_and_stop_stops_it(monkeypatch):
    monkeypatch.setattr(kernels, "FRAME", 0)
    panel = kernels.over_time()
    panel.press("play")
    panel.tick()
    panel.press("stop")
    assert panel.state["moment"] == 1 and not panel.running
    panel.press("play")
    for _ in range(50):
        panel.tick()
    assert panel.state["moment"] == 40 and not panel.running
    panel.press("play")  # at the end it begins again
    assert panel.state["moment"] == 0 and panel.running


def test_the_gradient_of_a_kernel_is_the_input_correlated_with_the_slopes(look):
    start = fresh().state
    ledger = kernels.run(kernels.gradient_recipe(lenet_5), image=mnist().train_images[[0]], label=mnist().train_labels[[0]].astype(float),
                         **{name: start[name] for name in lenet_5.shapes})
    padded = np.pad(ledger["image"][0, 0], 2)
    by_hand = [[(padded[u:u + 28, v:v + 28] * ledger["d_c1_sum"][0, 0]).sum() for v in range(5)] for u in range(5)]
    assert ledger["d_c1_kernel"][0, 0] == pytest.approx(np.array(by_hand), rel=1e-3, abs=1e-5)
    assert board(number(ledger["d_c1_kernel"][0, 0, 2, 2], 4)) in kernels.gradient().text
    one, two, three = re.search(r"≈ (\S+), (\S+), (\S+)\n", kernels.gradient().text).groups()
    assert one == two == three


# ---- maps ----------------------------------------------------------------------------------


def test_a_drawing_is_centred_and_answered_as_python_does(look):
    panel = kernels.maps()
    panel.set("digit", SEVEN.tobytes())
    image = inspection.centred(SEVEN / np.float32(255)).astype(np.float32)
    p = inspection.probabilities(lenet_5, look.parameters, image[None])[0]
    assert np.array_equal(prepared(SEVEN.tobytes()), image)
    assert f"Your drawing: answer {p.argmax()}, p ≈ {board(number(p.max(), 4))}" in words(panel)
    assert p.argmax() == 7


def test_an_empty_sheet_is_answered_too(look):
    panel = kernels.maps()
    panel.set("digit", BLANK)
    answer = inspection.answers(lenet_5, look.parameters, np.zeros((1, 28, 28), np.float32))[0]
    assert f"An empty picture: answer {answer}" in words(panel)


def test_a_click_explains_that_cell_with_its_own_numbers(look):
    panel = kernels.maps()
    for line, channel, row, column in (("c1_relu", 4, 17, 4), ("s2", 1, 5, 9), ("c3_relu", 7, 2, 8), ("s4", 15, 4, 0)):
        panel.press(f"map {line} {channel}")
        panel.press(f"at {row} {column}")
        ledger = seen(look, panel.state["digit"]).ledger
        assert " ".join(str(ledger.explain(line, (0, channel, row, column), 4)).split()) in panel.line
        assert f"at {row} {column}" in panel.html
        rows, columns = inspection.receptive_field(lenet_5, line, (0, channel, row, column))
        assert f"the {rows.stop - rows.start}×{columns.stop - columns.start} pixels that the cell can see" in words(panel)


def test_the_largest_products_and_the_rest_add_up_to_the_sum(look):
    ledger = seen(look, ink_of(look, 3)).ledger
    text = kernels.largest(ledger, "c3_sum", (0, 5, 4, 4))
    products, total = text.split(" = ")[1].split(" ≈ ")
    plain = products.replace("−", "-").replace("×", "*").replace("×10", "e")
    together = float(re.search(r"together (\S+)\)", plain)[1])
    assert eval(re.sub(r" \+ … .*", "", plain)) + together == pytest.approx(float(total.replace("−", "-")), abs=2e-3)


def test_another_layer_keeps_the_cell_inside():
    panel = kernels.maps()
    panel.set("row", 27)
    panel.set("line", "s4")
    assert panel.message == "" and panel.state["row"] == 4
    panel.set("channel", 15)
    panel.set("line", "c1_relu")
    assert panel.message == "" and panel.state["channel"] == 5


# ---- pixels that mattered ------------------------------------------------------------------


@pytest.mark.parametrize("index, label", [(552, 6), (552, 5), (0, 3), (701, 9)])
def test_pixels_and_biases_add_up_to_the_logit(look, index, label):
    slopes, added, logit = mattered.shares(look, ink_of(look, index), label)
    assert np.asarray(slopes, float).sum() + sum(added.values()) == pytest.approx(logit, abs=1e-3)
    assert logit == pytest.approx(look.judgement.logits[index, label], abs=1e-3)
    assert np.asarray(slopes) == pytest.approx(
        inspection.gradient_times_input(lenet_5, look.parameters, look.digits.test_images[index], label), abs=1e-5)


def test_the_frame_is_the_patch_that_occlusion_covered(look):
    digit, (row, column) = ink_of(look, 552), (14, 8)
    for side in mattered.SIZES:
        image = np.array(prepared(digit))
        before = inspection.features(lenet_5, look.parameters, image)[0, 6]
        image[mattered.patch_at(row, column, side)] = 0
        fall = before - inspection.features(lenet_5, look.parameters, image)[0, 6]
        assert mattered.covered(look, digit, 6, side)[row, column] == pytest.approx(fall, abs=1e-4)


def test_patches_of_2_pixels_promise_the_whole_sum(look):
    slopes, _, _ = mattered.shares(look, ink_of(look, 552), 6)
    assert mattered.promised(slopes, 2)[::2, ::2].sum() == pytest.approx(slopes.sum(), rel=1e-4)  # they tile the picture


def parted(look, side, index=552, label=6):
    """(falls, promises) of every patch of a picture, in rows and columns of patches."""
    slopes, _, _ = mattered.shares(look, ink_of(look, index), label)
    return (each[::2, ::2] for each in (mattered.covered(look, ink_of(look, index), label, side), mattered.promised(slopes, side)))


@pytest.mark.parametrize("side", mattered.SIZES)
def test_falls_and_promises_agree_roughly_where_but_not_how_much(look, side):
    """Of small patches as of large ones: the differences are most of the falls, though the two go up and down together."""
    falls, promises = parted(look, side)
    assert 0.5 < np.corrcoef(falls.ravel(), promises.ravel())[0, 1] < 0.8
    assert 0.6 < np.abs(falls - promises).mean() / np.abs(falls).mean() < 0.9


def test_the_patches_that_notebook_05_names():
    panel, told = kernels.mattered(), []
    for size, row, column in ((4, 10, 8), (8, 6, 18)):
        for name, value in (("size", size), ("row", row), ("column", column)):
            panel.set(name, value)
        told.append(words(panel))
    assert "Cover the framed 4×4 pixels: the logit goes from 15.89 to 0.5262, so it falls by 15.37. Gradient × input, added up in the frame, promised 3.953." in told[0]
    assert "so it rises by 9.82. Gradient × input, added up in the frame, promised 5.588." in told[1]


def test_the_first_of_them_is_the_strongest_of_its_size(look):
    falls, _ = parted(look, 4)
    assert np.unravel_index(falls.argmax(), falls.shape) == (10 // 2, 8 // 2)


def test_on_an_empty_sheet_no_rounding_is_painted(look):
    for label in range(10):
        for side in mattered.SIZES:
            assert not mattered.covered(look, BLANK, label, side).any(), (label, side)


def test_a_patch_without_ink_makes_no_difference(look):
    panel, image = kernels.mattered(), prepared(ink_of(look, 552))
    blank = [at for at in np.ndindex(14, 14) if not image[mattered.patch_at(2 * at[0], 2 * at[1], 4)].any()]
    assert len(blank) > 100
    for row, column in blank[::7]:
        panel.press(f"at {row} {column}")
        assert "so it stays. Gradient × input, added up in the frame, promised 0." in words(panel)


# ---- neighbours ----------------------------------------------------------------------------


def test_neighbours_are_those_of_the_inspection(look):
    found = mattered.neighbours(look, ink_of(look, 31))
    image, images = look.digits.test_images[31], look.digits.train_images
    assert [each.index for each in found["image"]] == [each.index for each in inspection.nearest(lenet_5, look.parameters, image, images, line="image")]
    assert [each.index for each in found["f6_relu"]] == [each.index for each in inspection.nearest(lenet_5, look.parameters, image, images)]


def test_how_often_the_nearest_label_is_right(look):
    assert mattered.right_by_neighbour(look, "image") == 938  # as data/README.md says
    assert mattered.right_by_neighbour(look, "f6_relu") == 978
    panel = kernels.predict_neighbours()
    assert "978" not in panel.html
    panel.set("answer", "2")
    panel.press("commit")
    assert "✓ Yes. In F6 it is right for 978 of 1,000" in words(panel)


def test_the_pictures_to_begin_with_are_right_in_one_of_the_two_only(look):
    found = {index: [look.digits.train_labels[near[0].index] == look.digits.test_labels[index] for near in mattered.neighbours(look, ink_of(look, index)).values()]
             for index in (6, 10, 18, 63, 128, 288)}
    assert found == {6: [False, True], 10: [False, True], 18: [False, True], 63: [True, False], 128: [True, False], 288: [True, False]}


# ---- mistakes ------------------------------------------------------------------------------


def test_no_pair_of_digits_is_confused_more_often_than_five_pairs_are(look):
    both = look.judgement.confusion + look.judgement.confusion.T
    np.fill_diagonal(both, 0)
    assert both.max() == 3 and {tuple(map(int, pair)) for pair in np.argwhere(np.triu(both) == 3)} == {(3, 5), (3, 7), (4, 9), (5, 6), (7, 9)}


def test_every_count_shows_its_pictures(look):
    panel, counts = kernels.confusion(), look.judgement.confusion
    for true, answer in np.ndindex(10, 10):
        panel.press(f"count {true} {answer}")
        assert f"True class {true}, answer {answer}: {counts[true, answer]} pictures" in words(panel)
        shown = [int(index) for index in re.findall(r"no\. (\d+):", words(panel))]
        assert len(shown) == min(counts[true, answer], judged.SHOWN)
        assert all(look.judgement.labels[index] == true and look.judgement.answers[index] == answer for index in shown)


def test_the_way_back_is_the_ledgers_own_explanation(look):
    panel = kernels.follow_back()
    ledger = inspection.look(lenet_5, look.parameters, look.digits.test_images[701], [3])
    steps = inspection.follow(ledger)
    assert steps[0].name == "loss" and steps[-1].name == "image"
    for at, step in enumerate(steps):
        assert panel.state["step"] == at
        assert f"step {at}: {' '.join(str(ledger.explain(step.name, step.index, 4)).split())}" in panel.line
        assert f"Step {at} of {len(steps) - 1}" in words(panel)
        panel.press("next")
    assert panel.state["step"] == len(steps) - 1  # no further
    panel.press("back")
    assert panel.state["step"] == len(steps) - 2


def test_behind_the_maps_every_cell_sees_the_same_pixels():
    whole = inspection.receptive_field(lenet_5, "logits", (0, 0))
    for line, cells in (("c5_sum", (0, 77, 119)), ("f6_relu", (0, 83)), ("logits", (9,))):
        assert all(inspection.receptive_field(lenet_5, line, (0, cell)) == whole for cell in cells)


# ---- shifts, quiz --------------------------------------------------------------------------


def test_a_shift_moves_the_picture_and_fills_in_paper():
    image = np.arange(28 * 28, dtype=float).reshape(1, 1, 28, 28)
    assert np.array_equal(kernels.moved(image, 0, 2)[..., 2:], image[..., :-2])
    assert np.array_equal(kernels.moved(image, -3, 0)[:, :, :-3], image[:, :, 3:]) and not kernels.moved(image, 0, 2)[..., :2].any()


def test_what_a_shift_leaves(look):
    rows = kernels.shift_table(look)
    assert rows[0][1:] == (1, 0.975, 0, 0, 0, 0)
    assert all(one[1] > other[1] for one, other in zip(rows, rows[1:]))  # ever fewer answers stay
    assert all(row[-1] < row[3] for row in rows[1:])  # F6 changes less than C1
    images = look.digits.test_images
    before, after = (inspection.features(look.network, look.parameters, each, "c1_relu") for each in (images, kernels.moved(images, 0, 1)))
    assert (before == after).mean() > 0.8  # C1's cells over blank paper stay
    assert "largest difference inside = 0" in kernels.shifts().text


def test_the_quiz_has_one_right_answer_each_and_gives_nothing_away():
    panel = kernels.quiz()
    assert not re.search("[✓✗]", panel.html)
    for name, _, options, right in kernels.QUESTIONS:
        keys = [key for key, _, _ in options]
        assert right in keys and "none" not in keys and len(set(keys)) == len(keys)
        for key in keys:
            panel.set(name, key)
            assert ("✓" if key == right else "✗") in panel.html
        panel.reset()
    for name, _, _, right in kernels.QUESTIONS:
        panel.set(name, right)
    assert panel.line == "right answers so far: 5/5 = 1"
