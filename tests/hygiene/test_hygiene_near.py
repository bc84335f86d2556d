"""Near-duplicates: which of two prompts goes, by which measure. Real: MinHash; no doubles."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.hygiene.near import CROWDED, NearDuplicates, Neighbor, bands_and_rows
from clair.records import Message
from tests.hygiene.rows import count, row, turns


def test_the_similarity_is_exact_and_the_first_one_stays():
    """20 words are 16 runs of five. One other word at the end changes one run of them: 15 / 17."""
    near = NearDuplicates(0.8)
    assert near.find(row(count(1, 20), 3)) is None
    assert near.find(row(count(1, 19) + " other", 4)) == Neighbor(15 / 17, "prompts.jsonl", 3)
    assert near.find(row(count(1, 10) + " other " + count(12, 20), 5)) is None  # 11 / 21


def test_the_threshold_itself_counts():
    assert NearDuplicates(15 / 17).find(row(count(1, 20))) is None
    near = NearDuplicates(15 / 17)
    near.find(row(count(1, 20)))
    assert near.find(row(count(1, 19) + " other", 1)) is not None
    stricter = NearDuplicates(15 / 17 + 1e-9)
    stricter.find(row(count(1, 20)))
    assert stricter.find(row(count(1, 19) + " other", 1)) is None


def test_case_and_punctuation_make_a_prompt_similar_and_equality_does_not():
    """Rows of one prompt with several given answers stay together."""
    near = NearDuplicates(1.0)
    assert near.find(row("Name three rivers.", 0, response="one")) is None
    assert near.find(row("Name three rivers.", 1, response="another")) is None
    assert near.find(row("name THREE rivers", 2)) == Neighbor(1.0, "prompts.jsonl", 0)
    assert near.find(row("name THREE rivers", 3)) == Neighbor(1.0, "prompts.jsonl", 0)


def test_short_prompts_are_compared_as_a_whole():
    near = NearDuplicates(0.5)
    assert near.find(row("Name three rivers.", 0)) is None
    assert near.find(row("Name four rivers.", 1)) is None
    assert near.find(row("Name three rivers now.", 2)) is None


def test_other_system_messages_make_other_prompts_and_equal_ones_do_not_count():
    near = NearDuplicates(0.7)
    assert near.find(row(count(1, 20), 0, system="Answer in French.")) is None
    assert near.find(row(count(1, 20), 1, system="Answer in Greek.")) is None
    assert near.find(row(count(1, 20) + " more", 2, system="Answer in Greek.")) == Neighbor(16 / 17, "prompts.jsonl", 1)
    assert near.find(row("Why?", 3, system=count(1, 500))) is None
    assert near.find(row("How?", 4, system=count(1, 500))) is None


def test_runs_of_words_do_not_cross_turns():
    near = NearDuplicates(1.0)
    one = turns(Message(role="user", content="a b c"), Message(role="user", content="d e f"))
    assert near.find(one) is None
    assert near.find(turns(Message(role="user", content="a b c d e f"), place=1)) is None


def test_a_prompt_without_words_is_never_a_duplicate():
    near = NearDuplicates(0.1)
    assert [near.find(row(text, place)) for place, text in enumerate(["😀", "😀😀", "???"])] == [None] * 3


def test_patterns_by_the_thousand_take_bounded_work():
    """All share 21 of their about 31 runs: 0.51. Kept prompts per band, and so comparisons, stay bounded."""
    near = NearDuplicates(0.7)
    found = [near.find(row(count(1, 25) + f" a{n} b{n} c{n} d{n} e{n}", n)) for n in range(1000)]
    assert found == [None] * 1000
    assert max(map(len, near._more.values())) == CROWDED


def test_nearly_all_duplicates_at_the_threshold_are_found():
    """60 words are 56 runs; ten new words at the end change 10 of them: 46 / 66, the threshold."""
    random.seed(7)
    near = NearDuplicates(46 / 66)
    found = 0
    for place in range(0, 600, 2):
        text = [f"{random.getrandbits(40):x}" for _ in range(70)]
        assert near.find(row(" ".join(text[:60]), place)) is None
        found += near.find(row(" ".join(text[:50] + text[60:]), place + 1)) == Neighbor(46 / 66, "prompts.jsonl", place)
    assert found >= 291  # 297 are expected, with a standard deviation of 1.7


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_bands_keep_the_promise_or_are_all_there_is(threshold: float):
    bands, rows = bands_and_rows(threshold)
    assert bands <= 20
    missed = (1 - threshold**rows) ** bands
    assert missed <= 0.01 or rows == 1


@given(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), max_size=12), st.sampled_from([0.3, 0.7, 1]))
def test_what_is_dropped_is_similar_to_something_kept(prompts: list[list[str]], threshold: float):
    """And another pass over the same prompts comes to the same verdicts, equal prompts to equal ones."""
    texts = [" ".join(prompt) for prompt in prompts]
    near, again = NearDuplicates(threshold), NearDuplicates(threshold)
    found = [near.find(row(text, place)) for place, text in enumerate(texts)]
    assert [again.find(row(text, place)) for place, text in enumerate(texts)] == found
    for place, neighbor in enumerate(found):
        if neighbor is None:
            continue
        assert neighbor.source_index < place
        assert found[neighbor.source_index] is None
        assert _jaccard(texts[place], texts[neighbor.source_index]) == neighbor.similarity >= threshold


def _jaccard(one: str, other: str) -> float:
    first, second = _runs(one.split()), _runs(other.split())
    return len(first & second) / len(first | second)


def _runs(words: list[str]) -> set[tuple[str, ...]]:
    size = min(5, len(words))
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}
