"""The worksheet: every line once, in its section, with the ledger's numbers."""

import re
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

from cnnlab import (AddBias, AveragePool, Correlate, FullyConnected, Flatten, HalfSquaredError, Ledger, LineError, MaxPool,
                    Recipe, ReLU, Sigmoid, SoftmaxCrossEntropy, TransposedCorrelate, backward, run, update)
from cnnlab.arithmetic import SUPERSCRIPTS
from cnnlab.examples import example_1, example_2, example_2_step_by_step, twin
from cnnlab.explanation import label
from cnnlab.optimizers import started, update_with_adam
from cnnlab.show.formulas import formula
from cnnlab.show.worksheet import FEW_CELLS, section_of, worksheet

PLAIN = {chr(plain): chr(digit) for digit, plain in SUPERSCRIPTS.items()}


def colour_batch() -> Ledger:
    draw = np.random.default_rng(7)
    recipe = Recipe(conv=Correlate("image", "kernel", stride=2, padding=1), map=AddBias("conv", "bias"), relu=ReLU("map"),
                    pooled=MaxPool("relu"), flat=Flatten("pooled"), scores=FullyConnected("flat", "weight"),
                    loss=SoftmaxCrossEntropy("scores", "label"))
    return run(update(backward(recipe), "kernel", "bias", "weight"), image=draw.normal(size=(2, 3, 12, 12)),
               kernel=draw.normal(size=(4, 3, 3, 3)), bias=draw.normal(size=4), weight=draw.normal(size=(3, 36)),
               label=[1, 2], learning_rate=0.1)


LEDGERS = {"example 1": example_1.run(), "example 2": example_2.run(), "step by step": example_2_step_by_step.run(),
           "twin": twin.run(), "colour batch": colour_batch()}


class Sheet(HTMLParser):
    """Reads a worksheet back: names in order, the cells of each, its section, and the given numbers."""

    def __init__(self, page):
        super().__init__()
        self.lines, self.cells, self.section, self.sections, self.given, self.formulas = [], {}, "", {}, {}, {}
        self.kind, self.tag, self.open = "", "", []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tag, self.kind = tag, attributes.get("class", "")
        self.open.append(tag)
        if "data-line" in attributes:
            self.lines.append(attributes["data-line"])
            self.sections[self.lines[-1]] = self.section

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.kind = self.tag = ""

    def handle_data(self, data):
        if self.kind == "cnnlab-section":
            self.section = data
        elif self.kind == "cnnlab-cell":
            self.cell = data
        elif self.kind == "cnnlab-formula":
            self.formulas[self.lines[-1]] = data
        elif self.kind == "cnnlab-result":
            self.cells.setdefault(self.lines[-1], []).append((self.cell, data.split(" ", 1)[1]))
        elif self.tag == "td" and not self.kind:
            self.given.setdefault(self.lines[-1], []).append(data)


def value(text) -> float:
    """A number as it stands on the board."""
    text = re.sub(r"×10(.+)", lambda power: "e" + "".join(PLAIN[each] for each in power[1]), text)
    return float(Fraction(text.replace("−", "-"))) if "/" in text else float(text.replace("−", "-"))


@pytest.fixture(params=LEDGERS)
def ledger(request):
    return LEDGERS[request.param]


def test_every_name_stands_once(ledger):
    assert sorted(Sheet(worksheet(ledger).html).lines) == sorted(ledger)
    headings = re.findall(r"^### `(\w+)`$", worksheet(ledger).markdown, re.MULTILINE)
    assert headings == Sheet(worksheet(ledger).html).lines


def test_every_cell_has_the_ledgers_number(ledger):
    sheet = Sheet(worksheet(ledger, digits=9, whole=True).html)
    for name in ledger.recipe.names:
        cells = [(label(name, index, ledger[name].shape), each) for index, each in np.ndenumerate(ledger[name])]
        assert [cell for cell, _ in sheet.cells[name]] == [cell for cell, _ in cells]
        assert [value(shown) for _, shown in sheet.cells[name]] == pytest.approx([each for _, each in cells], rel=1e-8, abs=1e-300)


def test_every_given_number_is_the_ledgers(ledger):
    sheet = Sheet(worksheet(ledger, digits=9, whole=True).html)
    for name in ledger.recipe.given:
        assert [value(each) for each in sheet.given[name]] == pytest.approx(list(ledger[name].flat), rel=1e-8), name


def test_the_markdown_has_the_numbers_of_the_html(ledger):
    sheet, markdown = Sheet(worksheet(ledger).html), worksheet(ledger).markdown
    for cells in sheet.cells.values():
        for cell, shown in cells:
            assert re.search(rf"^{re.escape(cell)} [=≈] ", markdown, re.MULTILINE), cell
            assert re.search(rf"[=≈] {re.escape(shown)}$", markdown, re.MULTILINE), (cell, shown)


def test_the_arithmetic_stands_in_symbols_and_in_numbers():
    lines = worksheet(example_2.run()).markdown.replace("\n             image", " image").splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("conv_sum = "))
    assert [line.strip() for line in lines[at:at + 3]] == [
        "conv_sum = image[0,0]×kernel[0,0] + image[0,1]×kernel[0,1] + image[1,0]×kernel[1,0] + image[1,1]×kernel[1,1]",
        "= 0.2×0.5 + 0.8×(−0.3) + 0.6×0.2 + 0.1×0.4", "= 0.02"]


def test_sections_follow_from_the_recipe(ledger):
    sections = Sheet(worksheet(ledger).html).sections
    for name in ledger:
        line = ledger.line(name)
        wanted = ("Given numbers" if line is None else "Updates" if line.operation.updates
                  else "Loss" if name == "loss" else "Gradients" if name.startswith(("d_", "softmax_of")) else "Forward")
        assert sections[name] == wanted, name


def test_the_loss_is_found_whatever_it_is_called():
    recipe = update(backward(Recipe(error=HalfSquaredError("x", "y")), loss="error"), "x")
    assert [section_of(name, recipe) for name in ("x", "error", "d_error", "d_x", "new_x")] == [
        "Given numbers", "Loss", "Gradients", "Gradients", "Updates"]


def test_a_run_without_gradients_has_no_empty_sections():
    sheet = worksheet(run(Recipe(y=Sigmoid("x")), x=[1.0, -2.0]))
    assert [*sheet.sections] == ["Given numbers", "Forward"]


def test_large_arrays_are_cut_and_say_by_how_much():
    ledger = LEDGERS["colour batch"]
    sheet = worksheet(ledger)
    read = Sheet(sheet.html)
    assert len(read.cells["conv"]) == FEW_CELLS
    assert f"… and {ledger['conv'].size - FEW_CELLS} more cells" in sheet.html
    assert f"… and {ledger['image'].size - len(read.given['image'])} more cells" in sheet.markdown
    assert "more cells" not in worksheet(ledger, names=["conv", "image"], whole=True).html


def test_status_marks_stand_where_they_are_given():
    marked = worksheet(example_2.run(), status=example_2.status)
    assert re.findall(r'cnnlab-status cnnlab-(\w+)"', marked.html) == [example_2.status[name] for name in example_2.recipe.given]
    assert "2×1 · chosen" in marked.markdown
    assert "cnnlab-status\"" not in worksheet(example_2.run()).html


def test_fractions_where_they_exist():
    sheet = worksheet(example_1.run(), exact=True).markdown
    assert "= 1×(1/10) + 2×(1/5) + 3×(3/10) + 4×(2/5)" in sheet and "= 121/8" in sheet
    assert "= 31/200" in sheet
    mixed = worksheet(example_2.run(), exact=True).markdown
    assert "= 3/25" in mixed and "≈ 0.465084" in mixed
    assert "In fractions" in mixed and "In fractions" not in worksheet(example_2.run()).markdown


def test_names_choose_lines():
    sheet = worksheet(example_2.run(), names=["loss", "image"])
    assert Sheet(sheet.html).lines == ["image", "loss"]
    with pytest.raises(LineError, match="did you mean 'image'"):
        worksheet(example_2.run(), names=["imag"])


def test_digits_are_selectable():
    assert "≈ 0.4651" in worksheet(example_2.run(), digits=4).markdown
    assert "0.465084" not in worksheet(example_2.run(), digits=4).markdown


def test_the_page_is_self_contained_and_the_same_every_time():
    first, second = (worksheet(example_2.run(), title="A <step> & more") for _ in range(2))
    assert first.html == second.html and first.markdown == second.markdown
    assert repr(first) == first.markdown and first._repr_html_() == first.html
    assert "A &lt;step&gt; &amp; more" in first.html
    for forbidden in ("<script", "http", "url(", "@import", "<link"):
        assert forbidden not in first.html
    kinds = " ".join(re.findall(r'class="([^"]*)"', first.html)).split()
    assert all(kind.startswith("cnnlab-") for kind in kinds)
    assert "@media print" in first.html


@pytest.mark.parametrize("which, name, wanted", [
    ("example 2", "conv_sum", "conv_sum[i,j] = sum over u, v of image[i + u, j + v]×kernel[u,v]"),
    ("example 2", "logits", "logits[c] = fc_sum[c] + fc_bias[c]"),
    ("example 2", "p", "p[k] = exp(logits[k]) / sum over m of exp(logits[m])"),
    ("example 2", "loss", "loss = ln(sum over m of exp(logits[m])) − logits[label]"),
    ("example 2", "d_logits", "d_logits[k] = p[k] − y[k] with y[k] = 1 where k is the label, else 0"),
    ("example 2", "d_conv", "d_conv = d_relu×(1 if conv > 0 else 0)"),
    ("example 2", "d_fc_weight", "d_fc_weight[o,k] = d_fc_sum[o]×flat[k]"),
    ("example 2", "d_fc_bias", "d_fc_bias[c] = d_logits[c]"),
    ("example 2", "d_kernel_bias", "d_kernel_bias = sum over i, j of d_conv[i,j]"),
    ("example 2", "new_kernel", "new_kernel = kernel − learning_rate×d_kernel"),
    ("example 1", "loss", "loss = 1/2×sum of (output − target)²"),
    ("step by step", "d_p", "d_p[k] = −1 / p[k] where k is the label, else 0"),
    ("colour batch", "conv", "conv[i,j] = sum over c, u, v of image[c, i×2 + u − 1, j×2 + v − 1]×kernel[c,u,v]"),
    ("colour batch", "d_bias", "d_bias[c] = sum over n, i, j of d_map[n,c,i,j]"),
    ("colour batch", "d_scores", "d_scores[k] = (softmax_of_scores[k] − y[k]) / N with y[k] = 1 where k is the label, else 0"),
])
def test_formulas_are_in_the_recipes_own_names(which, name, wanted):
    ledger = LEDGERS[which]
    assert formula(ledger.recipe.names[name], ledger) == wanted


@pytest.mark.parametrize("operation, wanted", [
    (Correlate("v", "k", stride=(2, 1), padding=(0, 1)), "out[i,j] = sum over u, v of v[i×2 + u, j + v − 1]×k[u,v]"),
    (TransposedCorrelate("d", "k", "v", stride=(1, 3), padding=(2, 0)),
     "out[y,x] = sum over i, j of k[u,v]×d[i,j] where u = y + 2 − i, v = x − j×3"),
    (MaxPool("v", (2, 3)), "out[i,j] = max over the window's cells of v[i×2 + u, j×3 + v]"),
    (AveragePool("v", 2, stride=1), "out[i,j] = (sum over the window's cells of v[i + u, j + v]) / cells in a window"),
], ids=str)
def test_rows_and_columns_have_their_own_stride_and_padding(operation, wanted):
    values = {name: np.ones({"v": (5, 6), "k": (2, 3), "d": (8, 2)}[name]) for name in operation.inputs}
    ledger = run(Recipe(out=operation), **values)
    assert formula(ledger.recipe.names["out"], ledger) == wanted


def test_a_power_in_a_formula_is_no_product():
    recipe = update_with_adam(backward(example_1.forward), "bias")
    ledger = run(recipe, **started(recipe, example_1.given))
    assert formula(recipe.names["bias_mean_unbiased"], ledger) == "bias_mean_unbiased = new_bias_mean / (1 − beta_1^new_steps)"
    assert formula(recipe.names["new_bias_square"], ledger) == "new_bias_square = beta_2×bias_square + (1 − beta_2)×d_bias²"


def test_every_formula_names_only_what_its_line_reads(ledger):
    """A docstring's placeholder that was not renamed would stand on the sheet as a name that nothing has."""
    placeholders = {"d_out", "d_output", "old", "new", "first", "second", "z"} - {*ledger}
    for line in ledger.recipe:
        text = formula(line, ledger)
        assert not placeholders & set(re.findall(r"[A-Za-z_]\w*", text)) and not re.match(r"out\b", text), text


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_adam_with_few_digits(digits):
    """1 − 0.999 to two digits is 1 − 1: what is printed then divides by 0, and cannot be exact."""
    recipe = update_with_adam(backward(example_1.forward), *example_1.parameters)
    ledger = run(recipe, **started(recipe, example_1.given))
    assert "≈" in ledger.explain("bias_square_unbiased", digits=digits).text
    assert ledger.explain("bias_square_unbiased", digits=digits).latex
