"""Charts and pages: what is drawn is where the numbers say, and it has a text alternative."""

import re

import pytest

from cnnlab.show.board import tile, tint
from cnnlab.show.chart import Axis, Chart, nice_step, nice_top
from cnnlab.show.page import Page, facts, style, tag

CHART = Chart(Axis("x", 0, 10), Axis("y", 0, 100))


def test_points_lie_in_proportion():
    left, bottom = CHART.at(0, 0)
    right, top = CHART.at(10, 100)
    across, up = CHART.at(2.5, 75)
    assert across - left == pytest.approx(0.25 * (right - left))
    assert bottom - up == pytest.approx(0.75 * (bottom - top))
    assert CHART.at(11, 101) == (right, top)  # set on the edge


def test_ticks_are_round_and_inside():
    assert Axis("", 0, 0.1).ticks() == pytest.approx([0, 0.02, 0.04, 0.06, 0.08, 0.1])
    assert Axis("", -3, 7).ticks() == pytest.approx([-2, 0, 2, 4, 6])
    assert nice_step(0.02) == pytest.approx(0.02) and nice_step(0.021) == pytest.approx(0.05)


@pytest.mark.parametrize("value", [1e-9, 0.004, 0.99, 1, 15.125, 99.9, 12345])
def test_a_nice_top_is_little_above(value):
    assert value <= nice_top(value) <= 2 * value


def test_a_chart_has_a_text_alternative_and_escapes_it():
    drawn = CHART.svg("a < b & c", CHART.curve([(0, 0), (10, 100)]), CHART.here(5, 50, "η < 1"))
    assert 'role="img" aria-label="a &lt; b &amp; c"' in drawn and "η &lt; 1" in drawn
    points = re.search(r'points="([^"]+)"', drawn)[1].split()
    assert len(points) == 2


def test_a_point_off_the_chart_says_so():
    assert "↑" in CHART.here(5, 101, "p") and "→" in CHART.here(11, 50, "p")


def test_colour_says_sign_and_size():
    assert tint(0, 1) == "#ffffff" and tint(0, 0) == "#ffffff"
    red, blue = (int(tint(value, 1)[1:3], 16) for value in (1, -1))
    assert red == 255 and blue < 200  # orange above zero, blue below


@pytest.mark.parametrize("value, text", [
    (0.12, "0.12"), (-5.5, "−5.5"), (15.125, "15.125"), (-0.3267781, "−0.32678"), (-0.0470141, "−0.04701"), (0, "0"),
    (-0.00123456, "−0.00123"), (123456.7, "1.23×10⁵"), (-1234567.8, "−1.2×10⁶"), (1e-30, "1×10⁻³⁰"),
])
def test_a_tile_holds_five_digits_or_as_many_as_fit(value, text):
    assert tile(value) == text and len(text) <= 8


def test_contrast_of_text_on_every_tint_is_at_least_seven_to_one():
    def luminance(color):
        parts = [int(color[at:at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    ink = luminance("#16181d")
    assert min((luminance(tint(value / 50, 1)) + 0.05) / (ink + 0.05) for value in range(-50, 51)) >= 7


def test_tables_escape_what_is_in_them():
    assert "&lt;b&gt;" in facts("<b>", ("h",), [("<b>",)]) and "<b>" not in facts("<b>", ("h",), [("<b>",)])
    assert tag("p", "x", class_="a", data_set="k=1", title=None) == '<p class="a" data-set="k=1">x</p>'


def test_a_page_carries_its_style_and_its_text():
    page = Page("<p>x</p>", "x = 1")
    assert repr(page) == "x = 1" and style() in page._repr_html_()
    assert not re.search(r"https?:|url\(|@import", style())
