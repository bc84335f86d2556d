"""Contrast figures and the gate. Nothing is a double; naive implementations are the reference."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.contrast import Gate, Span, check, diff_spans, measure
from clair.errors import RevisionError
from clair.records import Contrast
from clair.words import words

sentences = st.lists(st.sampled_from(["a", "b", "c", "dé", "🙂"]), max_size=12).map(" ".join)
texts = sentences | st.text(alphabet=st.sampled_from("ab \u3000\n\r\té🙂\u202e\u200b猫。かกำ"), max_size=25)


def levenshtein(one: str | list[str], other: str | list[str]) -> int:
    """The textbook recurrence."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        previous, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (left != right))
    return row[-1]


def contrast(**changed: float) -> Contrast:
    figures = {
        "word_distance": 0, "word_similarity": 1.0, "jaccard": 1.0, "char_distance": 0, "char_similarity": 1.0,
        "shared_prefix": 1.0, "length_ratio": 1.0, "edits": 0,
    }  # fmt: skip
    return Contrast(**{**figures, **changed})  # type: ignore[arg-type]


def test_figures_worked_by_hand() -> None:
    """dog -> cat, the -> a, today added; "cat" for "dog" and "a" for "the" cost 3 characters each, " today" 6."""
    assert measure("The cat sat on a mat today", "The dog sat on the mat") == Contrast(
        word_distance=3,
        word_similarity=1 - 3 / 7,
        jaccard=4 / 9,
        char_distance=12,
        char_similarity=1 - 12 / 26,
        shared_prefix=1 / 6,
        length_ratio=7 / 6,
        edits=3,
    )


def test_an_identical_pair_has_no_contrast() -> None:
    assert measure("a b\nc", "a b\nc") == contrast()


def test_white_space_counts_for_characters_only() -> None:
    assert measure("a\r\n\u3000b", "a b ") == contrast(char_distance=4, char_similarity=1 - 4 / 5)


def test_in_a_text_without_spaces_a_small_edit_is_small() -> None:
    """尼 -> 墨, 本 added, of 14 different letters and signs; the first 7 and 13 in all are the same."""
    assert measure("澳洲的首都是悉墨本，在东南部。", "澳洲的首都是悉尼，在东南部。") == Contrast(
        word_distance=2,
        word_similarity=1 - 2 / 15,
        jaccard=13 / 16,
        char_distance=2,
        char_similarity=1 - 2 / 15,
        shared_prefix=7 / 14,
        length_ratio=15 / 14,
        edits=1,
    )
    assert diff_spans("首都是悉尼，在 mat 上", "首都是堪培拉，在 a mat 上") == [
        Span("equal", "首都是", "首都是"),
        Span("changed", "悉尼", "堪培拉"),
        Span("equal", "，在", "，在"),
        Span("changed", "", " a"),
        Span("equal", " mat 上", " mat 上"),
    ]


def test_neighboring_changed_words_are_one_edit_and_distant_ones_two() -> None:
    assert measure("a X Y d e", "a b c d e").edits == 1
    assert measure("a X c Y e", "a b c d e").edits == 2
    assert measure("a d e", "a b c d e").edits == 1
    assert measure("a b c d e f g", "a b c d e").edits == 1


def test_characters_are_code_points() -> None:
    figures = measure("é👍🏽", "e👍")
    assert (figures.char_distance, figures.word_distance) == (2, 1)


def test_texts_without_words() -> None:
    assert measure("", "") == contrast()
    assert measure("", " \n") == contrast(char_distance=2, char_similarity=0.0)
    nothing = {"word_similarity": 0.0, "jaccard": 0.0, "char_similarity": 0.0, "shared_prefix": 0.0, "edits": 1}
    assert measure("a b", "") == contrast(word_distance=2, char_distance=3, length_ratio=2.0, **nothing)
    assert measure("", "a b") == contrast(word_distance=2, char_distance=3, length_ratio=0.0, **nothing)


@given(texts, texts)
def test_figures_agree_with_naive_implementations(chosen: str, rejected: str) -> None:
    figures = measure(chosen, rejected)
    new, old = words(chosen), words(rejected)
    assert figures.word_distance == levenshtein(new, old)
    assert figures.char_distance == levenshtein(chosen, rejected)
    assert figures.word_similarity == 1 - figures.word_distance / max(len(new), len(old), 1)
    assert figures.char_similarity == 1 - figures.char_distance / max(len(chosen), len(rejected), 1)
    union = set(new) | set(old)
    assert figures.jaccard == (len(set(new) & set(old)) / len(union) if union else 1)
    if old:
        prefix = next((i for i, word in enumerate(old) if new[i : i + 1] != [word]), len(old))
        assert figures.shared_prefix == prefix / len(old)
        assert figures.length_ratio == len(new) / len(old)
    assert (figures.edits > 0) == (new != old)
    assert figures.edits <= figures.word_distance


@given(texts, texts)
def test_spans_rebuild_both_texts_alternate_and_agree_with_the_figures(chosen: str, rejected: str) -> None:
    spans = diff_spans(rejected, chosen)
    assert "".join(span.rejected for span in spans) == rejected
    assert "".join(span.chosen for span in spans) == chosen
    assert all(one.kind != other.kind for one, other in pairwise(spans))
    for span in spans:
        assert span.kind == "changed" or words(span.rejected) == words(span.chosen)
    if chosen.strip() and rejected.strip():
        assert sum(span.kind == "changed" for span in spans) == measure(chosen, rejected).edits


def test_spans_keep_white_space_with_the_word_after_it() -> None:
    assert diff_spans("The dog  sat\non the mat\n", "The cat sat on the mat now") == [
        Span("equal", "The", "The"),
        Span("changed", " dog", " cat"),
        Span("equal", "  sat\non the mat\n", " sat on the mat"),
        Span("changed", "", " now"),
    ]
    assert diff_spans("", "") == []


def test_an_equal_span_is_shown_with_the_white_space_that_one_side_has() -> None:
    """ "b" opens the chosen answer and follows a space in the rejected one."""
    removed, kept = diff_spans("a b", "b")
    assert (removed.rejected + kept.shown, kept.chosen) == ("a b", "b")


@pytest.mark.parametrize(
    ("figures", "gate"),
    [
        (contrast(word_similarity=0.5), Gate(max_change=0.5)),
        (contrast(word_similarity=1 - 3 / 10), Gate(max_change=0.3)),
        (contrast(word_similarity=0.0), Gate(max_change=1.0)),
        (contrast(char_similarity=0.8), Gate(min_char_similarity=0.8)),
        (contrast(jaccard=0.25), Gate(min_jaccard=0.25)),
        (contrast(edits=3), Gate(max_edits=3)),
        (contrast(length_ratio=1.5), Gate(max_length_ratio=1.5)),
        (contrast(length_ratio=2 / 3), Gate(max_length_ratio=1.5)),
        (contrast(length_ratio=1 / 3), Gate(max_length_ratio=3)),
        (contrast(word_similarity=0.6, char_similarity=0, jaccard=0, edits=99, length_ratio=9), Gate()),
    ],
)
def test_bounds_are_inclusive_and_none_is_no_bound(figures: Contrast, gate: Gate) -> None:
    check(figures, gate)


@pytest.mark.parametrize(
    ("figures", "gate", "reason", "detail", "wish"),
    [
        (
            contrast(word_similarity=0.22), Gate(), "too_different",
            "78 % of the words changed, at most 50 % may", "; keep everything else word for word.",
        ),
        (
            contrast(char_similarity=0.7), Gate(min_char_similarity=0.8), "too_different",
            "70 % of the characters were kept, at least 80 % must be", "; keep everything else word for word.",
        ),
        (
            contrast(edits=4), Gate(max_edits=1), "too_many_edits",
            "4 separate places changed, at most 1 place may",
            "; make only the edits that matter most and keep everything else word for word.",
        ),
        (
            contrast(length_ratio=0.4), Gate(max_length_ratio=2.0), "length_ratio",
            "the new answer has 0.4 times the words of the old one, between 0.5 and 2 times is allowed",
            "; keep about the length of the answer.",
        ),
    ],
)  # fmt: skip
def test_a_violation_says_what_was_measured_and_what_to_do(
    figures: Contrast, gate: Gate, reason: str, detail: str, wish: str
) -> None:
    with pytest.raises(RevisionError) as caught:
        check(figures, gate)
    assert (caught.value.reason, caught.value.stage, caught.value.detail) == (reason, "gate", detail)
    assert caught.value.feedback == detail[0].upper() + detail[1:] + wish


def test_several_violations_are_told_at_once_under_the_first_ones_reason() -> None:
    with pytest.raises(RevisionError) as caught:
        check(contrast(word_similarity=0.1, jaccard=0.1, edits=9), Gate(min_jaccard=0.5, max_edits=2))
    assert caught.value.reason == "too_different"
    assert caught.value.feedback == (
        "90 % of the words changed, at most 50 % may; "
        "10 % of all different words are in both answers, at least 50 % must be; "
        "9 separate places changed, at most 2 places may; keep everything else word for word; "
        "make only the edits that matter most and keep everything else word for word."
    )
