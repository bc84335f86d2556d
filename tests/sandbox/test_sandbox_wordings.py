"""Sentences with slots. Nothing is doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clair.sandbox.families import FAMILIES
from clair.sandbox.wordings import Wording

SUM = Wording("Together that is {c1} + {c2} = {total} dollars.")


def test_writes_and_reads_the_same_values() -> None:
    text = SUM.write({"c1": "12", "c2": "30", "total": "42"})
    assert text == "Together that is 12 + 30 = 42 dollars."
    assert SUM.read(text) == {"c1": ("12",), "c2": ("30",), "total": ("42",)}


def test_reads_every_occurrence_of_a_slot() -> None:
    twice = Wording("{who} pays, and {who} gets {n} back.")
    assert twice.read("Ida pays, and Leo gets 4 back.") == {"who": ("Ida", "Leo"), "n": ("4",)}


def test_literal_text_has_to_match_exactly() -> None:
    assert SUM.read("Together that is 12 + 30 = 42 dollars") is None
    assert SUM.read("So together that is 12 + 30 = 42 dollars.") is None


def test_lists_are_read_as_one_value() -> None:
    assert Wording("Sorted: {sorted_list}.").read("Sorted: 4, 17, 20.") == {"sorted_list": ("4, 17, 20",)}


@given(st.text())
def test_any_text_can_be_read(text: str) -> None:
    for family in FAMILIES.values():
        for step in family.steps:
            for wording in step:
                wording.read(text)
