"""The audit of the documents: its verdicts, its rounding rule, and that each verdict can go wrong."""

import math
import re
from dataclasses import fields, replace
from fractions import Fraction
from html.parser import HTMLParser

import numpy as np
import pytest

from cnnlab import documents, run
from cnnlab.documents import HOLDS, NOTE, WRONG, Figure, allowed_gaps, audit, logit_gaps, lost_values, nearest_readings
from cnnlab.documents.audits import judge
from cnnlab.documents.figures import agrees, decimal, figures, interval, step
from cnnlab.documents.recomputations import CHECKS, RUNS
from cnnlab.examples import example_2, stored

BY_ID = {figure.id: figure for figure in figures()}


def is_number(text):
    return re.fullmatch(r"-?[\d,]+(\.\d+)?", text) is not None


def leaves(printed):
    return [leaf for each in printed for leaf in leaves(each)] if isinstance(printed, list) else [printed]


def with_leaf(printed, at, new):
    """The nested lists with the leaf at that position replaced."""
    flat = iter(range(len(leaves(printed))))

    def walk(part):
        if isinstance(part, list):
            return [walk(each) for each in part]
        return new if next(flat) == at else part
    return walk(printed)


def next_digit(text):
    """The same number with its last digit one higher, 9 becoming 0."""
    return text[:-1] + str((int(text[-1]) + 1) % 10)


# ---- verdicts --------------------------------------------------------------------------------


def test_no_verdict_surprises():
    assert audit().surprises == []


@pytest.mark.parametrize("name, verdict", [
    ("conv", HOLDS), ("relu", HOLDS), ("products", HOLDS), ("softmax_is_1", HOLDS), ("softmax_not_1", HOLDS),
    ("kernel_after_2", HOLDS), ("kernel_bias_after", HOLDS), ("d_conv", HOLDS), ("loss_2", NOTE), ("label", WRONG),
    ("conv_after", WRONG), ("first_term_after", HOLDS), ("conv_after_right", HOLDS), ("softmax_after", WRONG),
    ("loss_after_2", WRONG), ("loss_direction", WRONG), ("rate_as_reason", WRONG), ("c1_parameters", HOLDS),
    ("c1_connections", HOLDS), ("s2_parameters", HOLDS), ("through_the_origin", HOLDS), ("weights_of_kernels", HOLDS),
    ("kernel_gradient", WRONG), ("image_gradient", HOLDS), ("transposed", WRONG), ("pooling_invariance", NOTE),
])
def test_the_verdicts_are_those_of_the_facts(name, verdict):
    assert judge(BY_ID[name]).verdict == verdict


@pytest.mark.parametrize("name, value", [
    ("conv_after", "0.05133"), ("first_term_after", "0.09866"), ("softmax_after", "0.659395"), ("loss_after_2", "0.416433"),
    ("loss_1", "15.125"), ("loss_after_1", "7.20101"), ("curvature", "31"), ("threshold_1", "0.0645161"),
    ("printed_label_trained", "0.988861"), ("printed_label_other_after", "0.528998"), ("c1_connections", "122304"),
])
def test_recomputed_values(name, value):
    assert judge(BY_ID[name]).recomputed == value


def test_the_first_term_is_shown_beside_the_whole_sum():
    worked = judge(BY_ID["conv_after"]).arithmetic
    assert "0.2×0.4933 + 0.8×(−0.3268) + 0.6×0.1799 + 0.1×0.3967 + 0.0665 = 0.05133" in worked
    assert "products[0,0] = 0.2×0.4933 = 0.09866" in worked


def test_wrong_counts_the_wrong_figures():
    assert audit("D2").wrong == 6
    assert audit("D4").wrong == 2
    assert [audit(each).wrong for each in ("D0", "D1", "D3")] == [0, 0, 0]


def test_the_verdict_is_not_read_from_the_file():
    wished = replace(BY_ID["softmax_after"], expected=HOLDS)
    assert judge(wished).verdict == WRONG
    assert documents.Audit((judge(wished),)).surprises == [judge(wished)]


def test_an_unknown_document_or_field_is_named():
    with pytest.raises(ValueError, match="no document 'D9'; there are D0, D1"):
        audit("D9")
    with pytest.raises(ValueError, match="no 'verdikt'; there are document"):
        audit("D4").where(verdikt=WRONG)


def test_the_title_counts_what_the_document_prints():
    rows = audit("D2").rows
    printed = [row for row in rows if row.status == "printed"]
    assert f"of {len(printed)}, 15 hold, 1 holds with a note, 6 are wrong; {len(rows) - len(printed)} more are" in audit("D2").caption
    assert 15 + 1 + 6 == len(printed) < len(rows)
    assert audit("D1").caption.endswith("of 5, 2 hold, 3 hold with a note")  # all of them printed
    assert all(row.verdict == HOLDS for row in audit().rows if row.status != "printed")  # nothing wrong goes uncounted


def test_where_chooses_rows():
    chosen = audit("D2").where(status="printed", verdict=WRONG)
    assert len(chosen.rows) == 6 and {row.verdict for row in chosen.rows} == {WRONG}


# ---- mutations: every verdict can go wrong ---------------------------------------------------

HOLDING_NUMBERS = [(figure, at) for figure in figures() if figure.expected != WRONG
                   for at, text in enumerate(leaves(figure.printed)) if is_number(text)]


@pytest.mark.parametrize("figure, at", HOLDING_NUMBERS, ids=lambda each: getattr(each, "id", str(each)))
def test_a_changed_digit_is_wrong(figure, at):
    changed = with_leaf(figure.printed, at, next_digit(leaves(figure.printed)[at]))
    assert judge(figure).verdict != WRONG
    assert judge(replace(figure, printed=changed)).verdict == WRONG


@pytest.mark.parametrize("figure", [each for each in figures() if not is_number(leaves(each.printed)[0])], ids=lambda each: each.id)
def test_a_claim_in_other_words_changes_its_verdict(figure):
    other = judge(figure).recomputed if figure.expected == WRONG else figure.printed + "·2"
    assert (judge(replace(figure, printed=other)).verdict == WRONG) == (figure.expected != WRONG)


@pytest.mark.parametrize("name, right", [("conv_after", "0.0513"), ("softmax_after", "0.659"), ("loss_after_2", "0.416")])
def test_a_wrong_figure_holds_once_it_is_put_right(name, right):
    assert judge(replace(BY_ID[name], printed=right, other=None)).verdict == HOLDS


def test_a_note_falls_away_with_its_other_reading():
    assert judge(replace(BY_ID["loss_2"], other=None)).verdict == HOLDS


def test_a_list_of_another_length_is_wrong():
    assert judge(replace(BY_ID["logits"], printed=["0.284", "-0.24", "0"])).verdict == WRONG


# ---- the rounding rule -----------------------------------------------------------------------


@pytest.mark.parametrize("value, text, same", [
    (0.66452, "0.665", True), (0.66449, "0.665", False),
    (0.6654999, "0.665", True), (0.6655001, "0.665", False),
    (Fraction(1, 8), "0.13", True),     # halfway: away from zero
    (Fraction(1, 8), "0.12", True),     # halfway: to the even digit
    (Fraction(-1, 8), "-0.13", True), (Fraction(-1, 8), "-0.12", True),
    (Fraction(3, 8), "0.38", True),     # halfway, and the even digit is the one away from zero
    (Fraction(3, 8), "0.37", False),    # so a value that was cut off does not agree
    (math.nextafter(0.125, 1), "0.12", True),  # but for a float's last bit, the same tie
    (0.12, "0.120", True), (0.1201, "0.120", True), (0.1206, "0.120", False),
    (122304, "122,304", True), (122304.4, "122,304", True), (-0.0001, "0.00", True), (10, "10", True),
])
def test_a_figure_agrees_if_ours_rounds_to_its_digits(value, text, same):
    assert agrees(value, text) is same


def test_a_count_is_not_rounded():
    assert agrees(156, "156", exact=True)
    assert not agrees(156.2, "156", exact=True)


@pytest.mark.parametrize("text", ["0.0665", "-0.3268", "156", "122,304", "15.125"])
def test_the_ends_of_the_interval_are_half_a_unit_away(text):
    low, high = interval(text)
    assert high - low == pytest.approx(float(step(text)))
    inside = [low + (high - low) * part for part in (0.01, 0.5, 0.99)]
    assert all(agrees(value, text) for value in inside)
    assert not agrees(low - 0.01 * (high - low), text) and not agrees(high + 0.01 * (high - low), text)


# ---- the data file ---------------------------------------------------------------------------


def test_every_figure_is_complete():
    optional = {"other", "exact"}
    for fact in stored()["figures"]:
        missing = {field.name for field in fields(Figure)} - optional - fact.keys()
        assert not missing, (fact["id"], missing)
        assert fact["status"] in ("printed", "derived", "chosen"), fact["id"]
        assert fact["expected"] in (HOLDS, NOTE, WRONG), fact["id"]
        assert fact["document"] in documents.titles(), fact["id"]
        assert fact["quantity"] and fact["example"], fact["id"]


def test_ids_are_used_once():
    assert len(BY_ID) == len(figures())


def test_printed_numbers_parse_and_are_text():
    for figure in figures():
        for text in leaves(figure.printed):
            assert isinstance(text, str) and text == text.strip(), figure.id
            if "text" in figure.recompute:
                assert is_number(text), figure.id
                assert decimal(text).is_finite(), figure.id


def test_every_recomputation_exists_and_none_is_left_over():
    every = [how for figure in figures() for how in (figure.recompute, figure.other) if how]
    assert {how["run"] for how in every if "run" in how} == RUNS.keys()
    assert {how["check"] for how in every if "check" in how} == CHECKS.keys()


def test_wrong_figures_and_notes_give_a_reason():
    for figure in figures():
        assert figure.reason or figure.expected == HOLDS, figure.id
        assert figure.other or figure.expected != NOTE, figure.id


def test_the_examples_start_from_the_printed_figures():
    for name in ("image_2", "kernel_2", "kernel_bias", "learning_rate_2", "target", "learning_rate_1"):
        assert judge(BY_ID[name]).status == "printed" and judge(BY_ID[name]).verdict == HOLDS


# ---- the counts, by another way --------------------------------------------------------------


def test_counts_of_lenet():
    side = 32 - 5 + 1
    assert judge(BY_ID["c1_parameters"]).recomputed == str((5 * 5 + 1) * 6) == "156"
    assert judge(BY_ID["c1_connections"]).recomputed == str(156 * side * side) == "122304"


# ---- the lost values -------------------------------------------------------------------------


def test_the_gaps_are_those_of_the_facts():
    assert logit_gaps() == pytest.approx((-0.9005, 0.6317), abs=5e-5)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("w_true, b_true", [(0, 0), (-0.4, 0.332), (3, -7), (-20, 50)])
def test_whatever_the_lost_values_were_the_step_is_the_same(label, w_true, b_true):
    ledger = example_2.run(**lost_values(w_true, b_true, label))
    assert ledger["p"][0] == pytest.approx(0.628)
    assert ledger["d_conv"].item() == pytest.approx(0.335)
    assert ledger["new_kernel_bias"] == pytest.approx(0.0665)
    assert np.round(ledger["new_kernel"], 3) == pytest.approx(np.round([[0.4933, -0.3268], [0.1799, 0.39665]], 3))
    after = run(example_2.forward, **ledger.after())["loss"]
    assert after == pytest.approx(0.41652 if label == 0 else 0.88964, abs=5e-6)


def test_the_printed_digits_leave_little_room():
    allowed = allowed_gaps()
    for interval_of, value in zip((allowed.weight_gap, allowed.bias_gap), logit_gaps()):
        assert interval_of[0] < value < interval_of[1]
    assert allowed.weight_gap == pytest.approx((-0.9017, -0.8987), abs=1e-4)
    assert 0.4158 < allowed.loss_after[0] < allowed.loss_after[1] < 0.4169
    assert allowed.loss_after[1] < float(example_2.run()["loss"]) < 0.542  # so no digit that is not shown can make it rise


def test_our_choice_lies_within_that_room():
    ledger, allowed = example_2.run(), allowed_gaps()
    weights, biases = ledger["fc_weight"][:, 0], ledger["fc_bias"]
    assert allowed.weight_gap[0] < weights[0] - weights[1] < allowed.weight_gap[1]
    assert allowed.bias_gap[0] < biases[0] - biases[1] < allowed.bias_gap[1]


def test_the_room_is_what_the_printed_digits_say():
    """Anywhere inside, every printed figure before the last section comes out; beyond either end one does not."""
    names = ("softmax_is_1", "softmax_not_1", "kernel_after_2", "kernel_bias_after")

    def fits(p_true, d_conv):
        weight_gap = -d_conv / (1 - p_true)
        ledger = example_2.run(**lost_values(gaps=(weight_gap, math.log(p_true / (1 - p_true)) - weight_gap * 0.12)))
        got = [*ledger["p"], *ledger["new_kernel"].flat, ledger["new_kernel_bias"].item(), ledger["loss"]]
        shown = [leaf for name in names for leaf in leaves(BY_ID[name].printed)] + [BY_ID["loss_2"].printed]
        return all(agrees(value, text) for value, text in zip(got, shown))

    (low_p, high_p), (low_d, high_d) = allowed_gaps().p_true, allowed_gaps().d_conv
    middle = (low_p + high_p) / 2, (low_d + high_d) / 2
    for part in (1e-3, 0.3, 0.7, 1 - 1e-3):
        assert fits(low_p + part * (high_p - low_p), low_d + part * (high_d - low_d))
    assert not fits(low_p - 1e-6, middle[1]) and not fits(high_p + 1e-6, middle[1])
    assert not fits(middle[0], low_d - 1e-6) and not fits(middle[0], high_d + 1e-6)


# ---- the readings ----------------------------------------------------------------------------


def test_the_label_as_printed_is_the_nearest_single_slip():
    nearest = nearest_readings().rows[0]
    assert nearest.slips == ("label [1, 0] taken as printed",)
    assert (round(nearest.p, 3), round(nearest.loss, 3)) == (0.589, 0.529)
    assert [round(loss, 3) for loss in (nearest.loss_before, *nearest.trained)] == [0.465, 0.989, 0.890]


def test_no_reading_gives_the_printed_figures():
    for each in nearest_readings(slips=4).rows:
        assert not (agrees(each.p, "0.581") and agrees(each.loss, "0.542")), each.description


def test_no_slip_is_the_step_done_right():
    right = next(each for each in nearest_readings().rows if not each.slips)
    assert right.loss == pytest.approx(0.4165, abs=1e-4) and right.trained[1] == pytest.approx(right.loss)


def test_readings_are_sorted_by_their_distance():
    for slips in (0, 1, 2):
        rows = nearest_readings(slips).rows
        assert all(len(each.slips) <= slips for each in rows)
        assert [each.distance for each in rows] == pytest.approx(sorted(each.distance for each in rows))
        assert all(each.distance == pytest.approx(math.dist((each.p, each.loss), (0.581, 0.542))) for each in rows)


def test_every_reading_keeps_the_printed_start_and_loss_is_minus_ln_p():
    for each in nearest_readings(2).rows:
        assert round(max(each.p_before, 1 - each.p_before), 3) == 0.628, each.description
        assert each.loss == pytest.approx(-math.log(each.p))


# ---- how it is shown -------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags with their attributes, whether they close, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("br", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("make", [audit, nearest_readings])
def test_shown_the_same_every_time(make):
    assert make().text == make().text and make().html == make().html
    assert repr(make()) == make().text and make()._repr_html_() == make().html


@pytest.mark.parametrize("make", [audit, lambda: nearest_readings(2, most=99)])
def test_the_text_fits_a_page(make):
    assert max(map(len, make().text.splitlines())) <= 100


def test_the_text_holds_every_figure_and_reason():
    text = " ".join(audit().text.split())
    for row in audit().rows:
        assert row.quantity.split()[0] in text
        assert row.verdict == HOLDS or row.reason in text


def test_the_html_is_a_whole_table_that_a_screen_reader_can_read():
    page = Page(audit().html)
    assert page.open == []
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert None not in scopes and scopes.count("row") == len(audit().rows) and scopes.count("col") == 5
    assert [tag for tag, _ in page.tags].count("caption") == 1
    assert not {"script", "link", "img"} & {tag for tag, _ in page.tags}
    assert "http" not in audit().html and "url(" not in audit().html


def test_the_html_says_each_verdict_in_a_word_beside_its_sign():
    page = Page(audit().where(verdict=WRONG).html)
    assert page.text.count("✗wrong") == audit().wrong


def test_a_row_reads_as_a_sentence():
    assert str(judge(BY_ID["conv_after"])) == ("D2, convolution's output after the step: printed 0.0987, "
                                               "recomputed 0.05133: wrong, expected wrong")
