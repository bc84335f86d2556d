"""The audit's figures, worked by hand. Everything is real."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from dataset_examples import pair
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.dataset.audit import Audit, AuditFigures, Counted, LengthBias
from clair.dataset.quartiles import Quartiles, counted_quartiles


def audit_of(*texts, **options):
    """The figures of (chosen, rejected) texts; ids count from 0."""
    audit = Audit(**options)
    for number, (chosen, rejected) in enumerate(texts):
        audit.add(pair(number, chosen=chosen, rejected=rejected))
    return audit.figures()


def test_no_pairs_have_no_figures():
    assert Audit().figures() == AuditFigures(
        pairs=0,
        length=None,
        only_chosen_words=(),
        only_rejected_words=(),
        openings=(),
        talks_of_revision=0,
        talks_of_revision_ids=(),
        sentinels=0,
        sentinel_ids=(),
    )


def test_length_bias():
    figures = audit_of(("a b c d", "a"), ("a b", "a c"), ("a", "a b"), ("a b c", "a b"))
    assert figures.pairs == 4
    assert figures.length == LengthBias(0.75, Quartiles(-0.25, 0.5, 1.5), 0.5, 0.25, 0.25)


def test_words_count_once_a_pair_without_case_and_punctuation():
    figures = audit_of(
        ("Certainly, certainly! The cat.", "the dog"),
        ("Certainly the dog", "The dog!"),
        ("the bird", "the dog's"),
        ("the “bird”", "the dog's"),
        ("once", "often"),
    )
    assert figures.only_chosen_words == (Counted("bird", 2, 0), Counted("certainly", 2, 0))
    assert figures.only_rejected_words == (Counted("dog's", 0, 2),)


def test_a_word_that_moves_both_ways_leans_by_the_difference():
    figures = audit_of(("x but", "x"), ("y but", "y"), ("z but", "z"), ("x", "x but"), ("y or", "y"), ("y", "y or"))
    assert figures.only_chosen_words == (Counted("but", 3, 1),)
    assert figures.only_rejected_words == ()


def test_openings_are_the_first_four_words_where_they_differ():
    figures = audit_of(
        ("As an expert I say yes", "Well I say yes so"),
        ("As an expert I say no", "Well I say no so"),
        ("As an expert I", "Well I say yes"),
        ("same four words here now", "same four words here then"),
    )
    assert figures.openings == (Counted("As an expert I", 3, 0), Counted("Well I say yes", 0, 2))


def test_talk_of_revising_and_markers_count_where_only_chosen_has_them():
    talk, marker = "Here is the corrected version of it.", "{corrected_student_solution}"
    figures = audit_of(
        ("It is 4.\n" + talk, "It is 5."),
        ("It is 4.\n" + talk, "It is 5.\n" + talk),
        (marker + " It is 4.", "It is 5."),
        (f"He says {marker} is 4", f"He says {marker} is 5"),
    )
    assert (figures.talks_of_revision, figures.talks_of_revision_ids) == (1, (f"{0:032x}",))
    assert (figures.sentinels, figures.sentinel_ids) == (1, (f"{2:032x}",))


def test_at_most_five_ids_are_kept():
    figures = audit_of(*[(f"Here is the corrected answer: {n}", str(-n)) for n in range(1, 9)])
    assert figures.talks_of_revision == 8
    assert figures.talks_of_revision_ids == tuple(f"{n:032x}" for n in range(5))


def test_a_full_table_drops_what_is_rare_and_says_what_that_may_hide():
    texts = [(f"common rare{n}", "x") for n in range(40)]
    exact, bounded = audit_of(*texts), audit_of(*texts, table_size=10)
    assert exact.missed == 0
    assert bounded.missed > 0
    assert bounded.only_chosen_words == exact.only_chosen_words == (Counted("common", 40, 0),)


@settings(deadline=None, max_examples=200)
@given(*[st.lists(st.sampled_from(("a", "A", "a,", "ab", "AB.", "b", "“b”", "--", "c"))).map(" ".join)] * 2)
def test_words_of_one_side_are_the_difference_of_bare_sets(chosen, rejected):
    def bare(text):
        return {word.strip(".,-“”").lower() for word in text.split()} - {""}

    audit = Audit()
    for number in range(2):
        audit.add_texts(str(number), chosen=chosen, rejected=rejected)
    figures = audit.figures()
    assert {it.text for it in figures.only_chosen_words} == bare(chosen) - bare(rejected)
    assert {it.text for it in figures.only_rejected_words} == bare(rejected) - bare(chosen)


def test_the_order_of_pairs_changes_nothing():
    texts = [(f"a{n % 3} b{n % 5} c", f"c d{n % 2}") for n in range(30)]
    found, backwards = audit_of(*texts), audit_of(*texts[::-1])
    assert found == backwards
    assert found.only_rejected_words == (Counted("d0", 0, 15), Counted("d1", 0, 15))


def test_a_megabyte_without_spaces_is_no_word():
    figures = audit_of(*[("x" * 10**6 + " yes", "no")] * 2)
    assert figures.only_chosen_words == (Counted("yes", 2, 0),)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(-1000, 1000), min_size=1))
def test_quartiles_of_counts_are_numpys(values):
    found = counted_quartiles(Counter(values))
    assert [found.q1, found.median, found.q3] == pytest.approx(np.quantile(values, [0.25, 0.5, 0.75]))
