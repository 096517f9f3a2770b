"""The drawn network: maps to scale and all there, every count in its column, nothing over anything else."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from cnnlab.counting import count
from cnnlab.examples import example_2
from cnnlab.networks import CONNECTIONS, Network, lenet_5, lenet_5_1998, small_cnn
from cnnlab.show.architecture import (HEADS, HEIGHT, WIDTH, Drawing, architecture, connection_table, counts,
                                      printed_counts)
from tests.test_counting import SMALL

GREY = Network("example 2: one grey picture, one kernel", example_2.forward,
               {name: np.shape(example_2.given[name]) for name in example_2.parameters}, (2, 2))
DRAWN = {"1998": lenet_5_1998, "LeNet-5": lenet_5, "small": small_cnn, "own": SMALL, "grey": GREY}


def tree(page):
    """The first drawing of a page, as elements."""
    return ElementTree.fromstring(re.search(r"<svg.*?</svg>", page.html, re.S)[0])


def texts(svg):
    """(x, y, anchor, size, text) of all words."""
    for each in svg.iter("text"):
        size = float(re.search(r"font-size:(\d+)px", each.get("style"))[1])
        yield float(each.get("x")), float(each.get("y")), each.get("text-anchor"), size, each.text


def boxes(svg):
    """(left, top, width, height, fill) of all boxes."""
    return [tuple(float(each.get(side)) for side in ("x", "y", "width", "height")) + (each.get("fill"),)
            for each in svg.iter("rect")]


@pytest.mark.parametrize("name", DRAWN)
def test_every_map_is_drawn_to_one_scale(name):
    network, scales = DRAWN[name], []
    drawing, found = Drawing(count(network)), boxes(tree(architecture(network)))
    for at, stage in enumerate(drawing.stages):
        low, high = HEADS + drawing.pitch * at, HEADS + drawing.pitch * (at + 1)
        maps = [each for each in found if low < each[0] + each[2] / 2 < high and each[4] == stage.fill]
        if stage.units:
            assert len(maps) == 1
        else:
            assert len(maps) == stage.maps, stage.name
            scales += [size / side for each in maps for size, side in zip(each[3:1:-1], stage.sides)]
    assert scales and max(scales) - min(scales) < 0.11 * max(scales)  # coordinates have one decimal place


def test_the_sides_of_1998_are_as_28_to_14_to_10_to_5():
    found = boxes(tree(architecture(lenet_5_1998)))
    sides = list(dict.fromkeys(width for _, _, width, high, fill in found if fill != "none" and width == high))
    assert [round(side / sides[0] * 28, 1) for side in sides] == pytest.approx([28, 14, 10, 5], abs=0.1)


@pytest.mark.parametrize("name", DRAWN)
def test_each_layer_has_its_counts_in_its_column(name):
    drawing, words = Drawing(count(DRAWN[name])), list(texts(tree(architecture(DRAWN[name]))))
    for at, layer in enumerate(drawing.counted.layers, 1):
        below = [text for x, y, _, _, text in words if abs(x - drawing.center(at)) < 0.1 and y > 250]
        trained = f"{layer.parameters:,}" if layer.parameters or not layer.constants else f"{layer.constants:,} fixed"
        assert below == [layer.name, "×".join(map(str, layer.shape)), trained, f"{layer.connections:,}"]


def wide(size, text):
    return 0.62 * size * len(text)  # DejaVu Sans, the widest of the fonts that the style names


def spans(svg):
    """(left, right, baseline, size, text), by a generous estimate."""
    for x, y, anchor, size, text in texts(svg):
        left = x - {"start": 0, "middle": 0.5, "end": 1}[anchor] * wide(size, text)
        yield left, left + wide(size, text), y, size, text


@pytest.mark.parametrize("name", DRAWN)
def test_words_do_not_lie_over_words_or_maps_and_are_large(name):
    svg = tree(architecture(DRAWN[name]))
    found = list(spans(svg))
    for at, (left, right, y, size, text) in enumerate(found):
        assert size >= 15 and 0 <= left and right <= WIDTH + 6 and size <= y <= HEIGHT - 4, text
        for other_left, other_right, other_y, other_size, other in found[at + 1:]:
            apart = right <= other_left or other_right <= left or abs(y - other_y) >= min(size, other_size)
            assert apart, f"{text!r} and {other!r}"
    assert all(76 < top and top + high < 270 for _, top, _, high, _ in boxes(svg))


@pytest.mark.parametrize("name, said", [
    ("1998", ["convolution", "5×5, pad 2", "scaled tanh", "subsampling", "2×2", "scaled tanh",
              "convolution", "5×5, partial", "scaled tanh", "subsampling", "2×2", "scaled tanh",
              "convolution", "5×5", "scaled tanh", "fully", "connected", "scaled tanh", "distance to", "prototypes"]),
    ("grey", ["convolution", "2×2", "ReLU", "fully", "connected"])])
def test_the_arrows_say_what_is_done(name, said):
    assert [text for _, y, _, _, text in texts(tree(architecture(DRAWN[name]))) if y < 80] == said


def test_the_drawing_has_a_text_alternative_and_a_caption():
    page = architecture(replace(lenet_5_1998, title="a < b & c"))
    assert 'aria-label="a &lt; b &amp; c: C1 6×28×28, 156 parameters, 122,304 connections; S2' in page.html
    assert "60,000 trained parameters, 340,908 connections" in page.html
    assert "1,516×10×10 = 151,600" in repr(page)
    assert not re.search(r"https?:|url\(|@import", page.html)


def test_the_connection_table_has_a_dot_for_each_connection():
    svg = tree(connection_table(lenet_5_1998))
    dots = [(float(each.get("cx")), float(each.get("cy"))) for each in svg.iter("circle") if each.get("fill") != "none"]
    columns, rows = sorted({x for x, _ in dots}), sorted({y for _, y in dots})
    assert len(dots) == 60 and len(list(svg.iter("circle"))) == 6 * 16
    assert sorted((columns.index(x), rows.index(y)) for x, y in dots) == sorted(
        (o, c) for o, maps in enumerate(CONNECTIONS) for c in maps)
    last = max(y for _, y, _, _, _ in texts(svg))
    learned = [int(text) for _, y, _, _, text in texts(svg) if y == last and text.isdigit()]
    assert learned == [25 * len(maps) + 1 for maps in CONNECTIONS] and sum(learned) == 1_516


def test_the_connection_table_reads_as_text():
    page = connection_table(lenet_5_1998)
    assert repr(page).split("\n")[12] == "C3[12] reads S2[0, 1, 3, 4]: 101 parameters"
    assert "60 of 96 pairs are connected, each by 5×5 weights: 60×5×5 + 16 = 1,516 parameters." in page.html
    with pytest.raises(ValueError, match="has no connection table: every map reads every map"):
        connection_table(lenet_5)


def test_the_counts_stand_in_a_table_with_their_arithmetic():
    page = counts(lenet_5_1998)
    assert repr(page) == str(count(lenet_5_1998))
    for line in count(lenet_5_1998).table():
        assert "".join(f"<td>{each}</td>" for each in line) in page.html


def test_what_is_printed_stands_beside_what_is_counted():
    assert printed_counts(lenet_5_1998).html.count("✓ holds") == 14
    assert "LeCun et al. 1998  C3  parameters  1,516  2,416  ✗ differs" in repr(printed_counts(lenet_5))


