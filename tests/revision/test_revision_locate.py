"""Finding search texts that are exact, differ in white space, or nearly right. Nothing is a double."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clair.errors import RevisionError
from clair.revision.edits import Block, apply, locate
from clair.revision.locate import Place, find
from clair.revision.whitespace import refit

PROSE = (
    "The quick brown fox jumps over the lazy dog near the river bank.\n"
    "It costs 12 dollars to feed the fox every day of the week.\n"
    "It costs 13 dollars to feed the dog every day of the month.\n"
)


def refused(search: str, response: str) -> str:
    with pytest.raises(RevisionError) as caught:
        find(search, response)
    return caught.value.reason


def found(search: str, response: str) -> str:
    place = find(search, response)
    assert place.exact == (response[place.start : place.end] == search)
    return response[place.start : place.end]


def edited(search: str, new: str, response: str) -> str:
    return apply(response, locate([Block(search, new)], response))


def test_the_exact_text_is_found_even_within_a_word() -> None:
    assert find("ick b", PROSE) == Place(6, 11, exact=True)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("quick  brown\nfox", "quick brown fox"),
        ("  bank. It costs 12 ", "bank.\nIt costs 12"),
        ("the\u00a0river bank.", "the river bank."),
    ],
)
def test_other_white_space_is_tolerated(search: str, expected: str) -> None:
    assert found(search, PROSE) == expected


def test_typographic_variants_are_tolerated() -> None:
    assert found('it\'s - "so"', "I say it’s – “so”!") == "it’s – “so”"


def test_tolerant_matches_do_not_cut_words() -> None:
    assert refused(" cat ", "concatenate") == "search_not_found"
    assert found(" cat ", "concatenate (cat)") == "cat"


def test_between_letters_of_a_script_without_spaces_no_word_is_cut() -> None:
    assert found('是"悉尼"', "首都是“悉尼”市") == "是“悉尼”"
    assert found("悉尼 市", "首都是悉尼\n市中心") == "悉尼\n市"


def test_tolerant_matches_must_be_unique() -> None:
    assert refused("a  b", "a b, a b") == "search_ambiguous"


@pytest.mark.parametrize(
    "search",
    [
        "The quick brown fox jumped over the lazy dog near the river bank.",
        "The quick fox jumps over the lazy dog near the river bank.",
        "The quick brown fox jumps over the lazy old dog near the river bank.",
    ],
)
def test_nearly_right_words_are_found_with_their_true_extent(search: str) -> None:
    assert found(search, PROSE) == PROSE.split("\n")[0]


@pytest.mark.parametrize(
    "search",
    [
        "A quick brown fox jumps over the lazy dog near the river bank.",
        "The quick red cat jumps over the lazy dog near the river bank.",
        "costs 14 dollars",
        "The quick brwon",
    ],
)
def test_less_is_not_enough(search: str) -> None:
    """A wrong end, too many wrong words, or too short to judge."""
    assert refused(search, PROSE) == "search_not_found"


def test_two_places_that_are_nearly_right_are_ambiguous() -> None:
    response = "Feed the fox 12 nuts every single day.\nFeed the fox 13 nuts every single day.\n"
    assert refused("Feed the fox 15 nuts every single day.", response) == "search_ambiguous"


def test_an_expensive_search_is_given_up() -> None:
    response = " ".join(f"v{i % 7}" for i in range(30_000))
    assert refused(" ".join([*(f"v{i % 7}" for i in range(500)), "other", "v0"]), response) == "search_not_found"


def test_indentation_that_the_search_left_out_is_given_to_the_new_lines() -> None:
    response = "def f():\n    if x:\n        return 1\n    return 2\n"
    assert edited("if x:\n    return 1", "if x:\n    y = 1\n\n    return y", response) == (
        "def f():\n    if x:\n        y = 1\n\n        return y\n    return 2\n"
    )


def test_indentation_that_cannot_be_told_is_refused() -> None:
    response = "def f():\n    if x:\n        return 1\n"
    with pytest.raises(RevisionError, match="indentation") as caught:
        locate([Block("if x: return 1", "if x:\n  return 2")], response)
    assert caught.value.reason == "search_not_found"
    assert edited("if x: return 1", "return x", response) == "def f():\n    return x\n"


def test_more_indentation_than_the_response_has_is_refused() -> None:
    with pytest.raises(RevisionError, match="indentation"):
        locate([Block("if x:\n      y = 1", "if x:\n      y = 2")], "if x:\n    y = 1\n")


@pytest.mark.parametrize(
    ("search", "new", "expected"),
    [
        ("    return t", "    t *= 2\n\n    return t", "class A:\n        t = 1\n        t *= 2\n\n        return t\n"),
        ("    return  t", "    t *= 2\n    return t", "class A:\n        t = 1\n        t *= 2\n        return t\n"),
        ("    return t", "    if t:\n      return t", "class A:\n        t = 1\n        if t:\n          return t\n"),
        ("    return t", "return t", "class A:\n        t = 1\n    return t\n"),
        ("    return t", "", "class A:\n        t = 1\n    \n"),
        ("    t = 1\n    return t", "    t = 2\n    return t", "class A:\n        t = 2\n        return t\n"),
        (
            "    t = 1\n        return t",
            "    t = 2\n        x\n        return t",
            "class A:\n        t = 2\n        x\n        return t\n",
        ),
        ("1\n        return t", "2\n        return t", "class A:\n        t = 2\n        return t\n"),
        ("return t", "return u", "class A:\n        t = 1\n        return u\n"),
    ],
)
def test_new_lines_get_the_part_of_the_indentation_that_the_search_left_out(
    search: str, new: str, expected: str
) -> None:
    assert edited(search, new, "class A:\n        t = 1\n        return t\n") == expected


def test_lists_tabs_and_words_within_a_line_keep_their_white_space() -> None:
    assert edited("  - b", "  - b\n    - c", "- a\n      - b\n- d") == "- a\n      - b\n        - c\n- d"
    assert edited("\tb", "\tb\n\tc", "a:\n\t\tb\r\n") == "a:\n\t\tb\n\t\tc\r\n"
    assert edited("\tb", "\tb\n\tc", "a:\n    \tb\n") == "a:\n    \tb\n    \tc\n"
    assert edited(" b", " b\n  c", "  a b\n") == "  a b\n  c\n"
    assert edited(" b  c", " b\n  c", "  a b c\n") == "  a b\n  c\n"
    assert edited(" b", " B\nc", "b") == "B\nc"


@pytest.mark.parametrize(
    ("search", "new"),
    [
        ("\treturn t", "\tt *= 2\n\treturn t"),
        ("            return t", "            t *= 2\n            return t"),
        ("    t = 1\n        return t", "        return t"),
        ("    t = 1\n", ""),
    ],
)
def test_an_indentation_that_is_not_the_response_s_is_refused(search: str, new: str) -> None:
    """Tabs for spaces, more than there is, lines that contradict each other, a remainder before the next line."""
    with pytest.raises(RevisionError, match="indentation") as caught:
        edited(search, new, "class A:\n        t = 1\n        return t\n")
    assert caught.value.reason == "search_not_found"


depths = st.integers(0, 3)
code = st.lists(depths, min_size=1, max_size=4).map(
    lambda lines: "\n".join(f"{'  ' * depth}line {number}" for number, depth in enumerate([0, *lines]))
)


@given(code, code, st.sampled_from(["", "  ", "    ", "\t"]), st.sampled_from(["", "  ", "\t"]), st.booleans())
def test_code_shown_less_deep_is_edited_as_if_it_were_shown_in_full(
    old: str, new: str, shown: str, left_out: str, one_line: bool
) -> None:
    """`shown` is the indentation that search and new text have of the place's own, `left_out` what they lack of it."""
    old = old.partition("\n")[0] if one_line else old
    search, new_text = indented(old, shown), indented(new, shown)
    before, after = "def f():\n", "\nend\n"
    response = before + indented(old, left_out + shown) + after
    if shown or not one_line:
        assert edited(search, new_text, response) == before + indented(new, left_out + shown) + after


def indented(text: str, indent: str) -> str:
    return "\n".join(indent + line for line in text.split("\n"))


def test_white_space_around_the_search_is_taken_off_the_new_text_too() -> None:
    assert edited("   b", "   B", "a\n\tb\n") == "a\n\tB\n"
    assert edited("b\n\n\n", "B\n\n\n", "a\nb\n\nc") == "a\nB\n\nc"
    assert refit("  X ", search="   a   ", found="a") == "X"


words = st.lists(
    st.sampled_from(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]),
    min_size=8,
    max_size=40,
)
spaces = st.sampled_from([" ", "  ", "\n", "\t", "\r\n", " \n "])


@given(st.data(), words)
def test_a_stretch_of_words_with_any_white_space_is_found_where_it_is(data: st.DataObject, tokens: list[str]) -> None:
    numbered = [f"{token}{index}" for index, token in enumerate(tokens)]
    response = "".join(token + data.draw(spaces) for token in numbered)
    first = data.draw(st.integers(0, len(numbered) - 1))
    last = data.draw(st.integers(first, len(numbered) - 1))
    search = "".join(token + data.draw(spaces) for token in numbered[first : last + 1])
    assert found(search, response).split() == numbered[first : last + 1]


@given(st.text(max_size=80), st.text(min_size=1, max_size=40))
def test_whatever_is_found_has_nearly_the_words_searched_for(response: str, search: str) -> None:
    assume(search.strip())
    try:
        text = found(search, response)
    except RevisionError as error:
        assert (error.reason == "search_ambiguous") >= (response.count(search) > 1)  # noqa: PT017
    else:
        assert text
