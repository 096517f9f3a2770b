"""Arrays as pictures: another program reads the pixels back, and they are what the numbers say."""

import re
from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread

from cnnlab.show.picture import diverging, gallery, matrix, overlay, picture, png
from cnnlab.show.page import style

RAMP = np.arange(6).reshape(2, 3)  # 0 to 5


def images(html) -> list[np.ndarray]:
    """The pixels of every picture, legends left out, as another reader of PNG finds them: whole numbers from 0 to 255."""
    found = re.findall(r'<img alt="(?!to")[^"]*" src="data:image/png;base64,([^"]+)"', html)
    return [np.rint(imread(BytesIO(b64decode(each)), format="png") * 255).astype(int) for each in found]


def ends(html) -> list[str]:
    """The numbers at both ends of the legend."""
    return re.findall(r"<span>([^<]+)</span>", html)


def luminance(colour) -> float:
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in np.asarray(colour) / 255]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


# ---- the bytes -----------------------------------------------------------------------------


def test_the_bytes_are_the_same_wherever_they_are_made():
    assert png(np.array([[0, 255]], np.uint8)).hex() == (
        "89504e470d0a1a0a" "0000000d49484452" "00000002" "00000001" "0800000000" "d1492056"
        "0000000e49444154" "7801" "010300fcff" "0000ff" "01020100" "b7012ef7" "0000000049454e44ae426082")


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (5, 3, 3), (300, 400), (200, 301, 3)])
def test_another_reader_finds_every_pixel(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)  # the larger ones need several blocks
    read = np.rint(imread(BytesIO(png(pixels)), format="png") * 255)
    np.testing.assert_array_equal(read[..., :3] if read.ndim > len(shape) else read, pixels)


# ---- gray ----------------------------------------------------------------------------------


def test_gray_is_in_proportion():
    [pixels] = images(picture(RAMP))
    np.testing.assert_array_equal(pixels, RAMP * 51)  # 5 × 51 = 255


@pytest.mark.parametrize("low, high, expected", [
    (None, None, [102, 153, 204, 255]),  # black is 0: 2/5, 3/5, 4/5, 5/5 of 255
    (2, 5, [0, 85, 170, 255]),
    (None, 4, [128, 191, 255, 255]),
    (3, 4, [0, 0, 255, 255]),
])
def test_the_ends_can_be_said(low, high, expected):
    assert images(picture([[2, 3, 4, 5]], low, high))[0].tolist() == [expected]


def test_black_is_the_smallest_where_some_are_below_zero():
    assert images(picture([[-1, 0, 4]]))[0].tolist() == [[0, 51, 255]]


def test_an_array_of_one_number_is_drawn():
    assert images(picture(np.zeros((2, 2))))[0].max() == 0  # a dead feature map is black
    assert images(picture(np.ones((2, 2))))[0].min() == 255
    assert images(picture(np.zeros((2, 2)), signed=True))[0].min() == 255  # 0 is white where there is a sign
    assert images(picture([[True, False]]))[0].tolist() == [[255, 0]]


# ---- colour --------------------------------------------------------------------------------


def test_a_signed_picture_has_white_at_zero_and_one_scale_for_both_signs():
    [pixels] = images(picture([[-4, -2, 0, 2, 4]], signed=True))
    minus, half_minus, zero, half, plus = pixels[0]
    assert zero.tolist() == [255, 255, 255]
    np.testing.assert_array_equal([minus, plus], diverging()[[0, -1]])
    np.testing.assert_array_equal([half_minus, half], diverging()[[63, 191]])  # 127 ∓ 64: −63.5 rounds to the even −64
    assert minus[2] > minus[0] and plus[0] > plus[2]  # blue below zero, orange above


def test_a_signed_scale_is_symmetric_whatever_the_numbers_are():
    [pixels] = images(picture([[-1, 4]], signed=True))
    assert luminance(pixels[0][0]) > 2 * luminance(pixels[0][1])  # a quarter of the bound is pale
    assert "−4" in picture([[-1, 4]], signed=True)
    assert [ends(picture([[-1, 4]], signed=True, **given)) for given in ({"low": -8}, {"high": 2}, {"low": -8, "high": 2})] == [["−8", "8"], ["−2", "2"], ["−8", "8"]]


def test_further_from_zero_is_darker_on_both_sides_and_as_dark():
    light = np.array([luminance(colour) for colour in diverging()])
    assert (np.diff(light[:128]) > -1e-9).all() and (np.diff(light[127:]) < 1e-9).all()
    assert light[127] == pytest.approx(1) and np.abs(light - light[::-1]).max() < 0.05


SEEN = {  # red, green and blue of linear light as they are seen: Machado, Oliveira & Fernandes 2009, severity 1
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def difference_of_signs(seen) -> float:
    """How far apart, of 255, the colours of x and -x are, at least, from a quarter of the bound on."""
    linear = ((diverging() / 255 + 0.055) / 1.055) ** 2.4
    shown = np.clip(linear @ np.transpose(seen), 0, 1) ** (1 / 2.2) * 255
    return min(np.abs(shown[127 - at] - shown[127 + at]).max() for at in range(32, 128))


@pytest.mark.parametrize("seen", SEEN.values(), ids=list(SEEN))
def test_both_signs_are_told_apart_with_any_colour_vision(seen):
    assert difference_of_signs(seen) > 40
    assert difference_of_signs([[0.2126, 0.7152, 0.0722]] * 3) < 40  # a gray copy would not pass


def test_an_overlay_shows_the_colour_and_where_the_ink_is():
    saliency = np.array([[-1, 0, 0.25, 1]])
    [bare], [inked], [plain] = (images(each) for each in (
        overlay(np.zeros((1, 4)), saliency), overlay(np.ones((1, 4)), saliency), picture(saliency, signed=True)))
    np.testing.assert_array_equal(bare, plain)
    darker = bare[0].sum(axis=1) - inked[0].sum(axis=1)
    part = darker / bare[0].sum(axis=1)
    assert (darker > 0).all() and part[1] > part[2] > 3 * part[3]  # the ink shows most where no colour is, and hides none
    assert inked[0][0][2] > inked[0][0][0] and inked[0][3][0] > inked[0][3][2]


# ---- what stands around them ---------------------------------------------------------------


def test_a_picture_says_its_numbers_and_its_size():
    html = picture([[-0.5, 0.25, 0], [0, 0.125, 0]], signed=True, scale=20, caption="c1 <1>", title="kernel & co")
    assert 'alt="kernel &amp; co: 2×3 cells from −0.5 to 0.25"' in html and "<figcaption>c1 &lt;1&gt;</figcaption>" in html
    assert "width:60px;height:40px" in html
    assert ends(html) == ["−0.5", "0.5"]
    assert "scale" not in picture(RAMP, legend=False)


def test_a_box_lies_around_its_cells():
    html = picture(np.eye(8), scale=10, box=(slice(2, 5), slice(1, 8)))
    assert 'class="box" style="left:10px;top:20px;width:70px;height:30px"' in html


def test_a_gallery_has_one_scale_or_one_each():
    small, large = np.full((2, 2), 1.0), np.full((2, 2), 5.0)
    together, apart = gallery([small, large], ["a", "b"]), gallery([small, large], ["a", "b"], shared=False)
    assert [int(each.max()) for each in images(together)] == [51, 255]
    assert [int(each.max()) for each in images(apart)] == [255, 255]
    assert (together.count('class="scale"'), apart.count('class="scale"')) == (1, 2)
    assert re.findall(r"<figcaption>(.)</figcaption>", together) == ["a", "b"]


def test_a_gallery_can_have_columns_boxes_and_clicks():
    html = gallery([RAMP, RAMP], columns=2, boxes=[(slice(0, 1), slice(0, 1))] * 2, sets=["digit=0", "digit=1"], title="digit")
    assert "repeat(2,max-content)" in html and html.count('class="box"') == 2
    assert re.findall(r'data-set="([^"]+)"', html) == ["digit=0", "digit=1"]
    assert 'alt="digit 0: ' in html and 'alt="digit 1: ' in html
    assert "data-set" not in gallery([RAMP]) and "<figcaption>" not in gallery([RAMP])


def test_the_style_enlarges_without_smoothing():
    assert re.search(r"\.cn \.picture img[^{]*\{[^}]*image-rendering: pixelated", style())


COUNTS = np.array([[9, 1, 0], [2, 5, 3], [0, 0, 4]])


def test_a_confusion_matrix_has_its_counts_and_its_totals():
    html = matrix(COUNTS, "Test")
    assert "Test: 18 of 24 right" in html
    cells = [[int(each) for each in re.findall(r"<td[^>]*>(\d+)</td>", row)] for row in re.findall(r"<tr>(.*?)</tr>", html)]
    assert cells == [[], [9, 1, 0, 10], [2, 5, 3, 10], [0, 0, 4, 4], [11, 6, 7, 24]]
    assert re.findall(r'<th scope="row">([^<]+)</th>', html) == ["0", "1", "2", "total"]


def test_a_confusion_matrix_shades_mistakes_by_number_and_right_answers_by_share():
    shade = dict(re.findall(r"background:(#\w+)\">(\d)", matrix(COUNTS)))
    shade = {int(times): colour for colour, times in shade.items()}
    assert shade[3] == "#ffbe69" and shade[4] == "#96c4f5"  # the most frequent mistake; a row without mistakes
    assert luminance(hexed(shade[1])) > luminance(hexed(shade[2])) > luminance(hexed(shade[3]))
    assert luminance(hexed(shade[5])) > luminance(hexed(shade[9]))  # 5 of 10, 9 of 10


def hexed(colour):
    return [int(colour[at:at + 2], 16) for at in (1, 3, 5)]


def test_a_matrix_of_other_classes_is_named():
    assert "&lt;one&gt;" in matrix([[1, 0], [0, 0]], names=["<one>", "two"])


# ---- what is no picture --------------------------------------------------------------------


@pytest.mark.parametrize("draw, reason", [
    (lambda: picture([1, 2]), r"an array \(2,\) is no picture: give \(rows, columns\)"),
    (lambda: picture(np.zeros((1, 28, 28))), r"an array \(1, 28, 28\) is no picture"),
    (lambda: picture(np.zeros((0, 3))), r"an array \(0, 3\) is no picture"),
    (lambda: picture([[1, 2], [3]]), "is no picture: give an array of numbers"),
    (lambda: picture([["a"]]), "is no picture: give an array of numbers"),
    (lambda: picture([[0, 1], [np.nan, 1]]), r"cell \[1,0\] is nan"),
    (lambda: gallery([[[1]], [[-np.inf]]]), r"cell \[0,0\] is -inf"),
    (lambda: picture([[1]], high=np.inf), "the ends of a scale are finite"),
    (lambda: picture([[1]], low=2, high=2), "low 2 is not below high 2"),
    (lambda: picture([[1]], high=-1), "low 0 is not below high -1"),
    (lambda: gallery([]), "a gallery of no pictures"),
    (lambda: gallery([RAMP, RAMP], ["one"]), "1 captions for 2"),
    (lambda: overlay(RAMP, RAMP.T), r"a saliency \(3, 2\) does not lie over an image \(2, 3\)"),
    (lambda: matrix([[1, 2, 3]]), r"counts \(1, 3\)"),
    (lambda: matrix([[0.5]]), "give whole numbers"),
    (lambda: matrix([[1, -1], [0, 0]]), "from -1 to 1"),
    (lambda: matrix(COUNTS, names=["one"]), "1 names for 3"),
])
def test_what_cannot_be_drawn_is_refused_with_a_reason(draw, reason):
    with pytest.raises(ValueError, match=reason):
        draw()
