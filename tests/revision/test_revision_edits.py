"""The edits protocol: reading blocks, locating them, making the edits. Nothing is a double."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from clair.errors import RevisionError
from clair.revision.edits import Block, Edit, apply, locate, marker_lines, parse, read_blocks
from clair.revision.whitespace import indentation_before

TOKEN = "3f9a02c1"
RESPONSE = "Tom pays 5 dollars.\n\nHe gets 3 dollars  back.\nHe is happy.\n"


def block(search: str, new: str, response: str = RESPONSE) -> str:
    opening, divider, closing = marker_lines(response, TOKEN)
    new_lines = f"{new}\n" if new else ""
    return f"{opening}\n{search}\n{divider}\n{new_lines}{closing}\n"


def revised(reply: str, response: str = RESPONSE) -> str:
    return apply(response, parse(reply, response=response, token=TOKEN).edits)


def refused(reply: str, response: str = RESPONSE) -> RevisionError:
    with pytest.raises(RevisionError) as caught:
        parse(reply, response=response, token=TOKEN)
    assert caught.value.stage == "parse"
    return caught.value


def test_blocks_become_located_edits_and_the_rest_is_reasoning() -> None:
    reply = f"{{teacher_reasoning}}: 3 is wrong.\n\n{block('3', '4')}\nAnd:\n{block('He is happy.', 'Tom is.')}"
    parsed = parse(reply, response=RESPONSE, token=TOKEN)
    assert parsed.rationale == "3 is wrong.\n\n\nAnd:"
    assert parsed.edits == (Edit(29, 30, "4"), Edit(46, 58, "Tom is."))
    assert apply(RESPONSE, parsed.edits) == "Tom pays 5 dollars.\n\nHe gets 4 dollars  back.\nTom is.\n"
    assert apply(RESPONSE, parsed.edits[:1]) == RESPONSE.replace("3", "4")


@pytest.mark.parametrize(
    ("search", "new", "expected"),
    [
        ("5 dollars", "7 euros", "Tom pays 7 euros.\n\nHe gets 3 dollars  back.\nHe is happy.\n"),
        ("Tom pays 5 dollars.", "Tom owes 5.", "Tom owes 5.\n\nHe gets 3 dollars  back.\nHe is happy.\n"),
        (" happy", "", "Tom pays 5 dollars.\n\nHe gets 3 dollars  back.\nHe is.\n"),
        ("back.\nHe is happy.", "back.", "Tom pays 5 dollars.\n\nHe gets 3 dollars  back.\n"),
        ("dollars.\n\nHe", "dollars. He", "Tom pays 5 dollars. He gets 3 dollars  back.\nHe is happy.\n"),
        ("3 dollars", "3\nor 4\n\ndollars", "Tom pays 5 dollars.\n\nHe gets 3\nor 4\n\ndollars  back.\nHe is happy.\n"),
    ],
)
def test_searches_within_a_line_of_whole_lines_and_over_lines(search: str, new: str, expected: str) -> None:
    assert revised(block(search, new)) == expected


@pytest.mark.parametrize(
    "reply",
    [
        "```\n" + block("3", "4") + "```\n",
        "```diff\n" + block("3", "4") + "\n```",
        block("3", "4").replace("\n", "\r\n"),
        block("3", "4").replace("<<<<<<< SEARCH", "  <<<<<< SEARCH ").replace("=======", "======"),
        "The rule:\n=======\nok\n" + block("3", "4"),
    ],
)
def test_fences_line_endings_and_sloppy_markers_are_tolerated(reply: str) -> None:
    assert revised(reply) == RESPONSE.replace("3", "4")


def test_an_emptied_fence_leaves_the_reasoning() -> None:
    text, blocks = read_blocks(f"Wrong.\n\n```text\n{block('3', '4')}```\n\nDone.", marker_lines(RESPONSE, TOKEN))
    assert (text, blocks) == ("Wrong.\n\n\n\nDone.", [Block("3", "4")])


@pytest.mark.parametrize("line", ["<<<<<<< SEARCH", "=======", "  =====", ">>>>>>> REPLACE\r"])
def test_a_response_with_a_marker_line_gets_markers_with_the_token(line: str) -> None:
    response = f"Git shows\n{line}\nhere"
    assert marker_lines(response, TOKEN) == (
        f"<<<<<<< SEARCH {TOKEN}",
        f"======= {TOKEN}",
        f">>>>>>> REPLACE {TOKEN}",
    )
    assert revised(block(f"{line}\nhere", f"=======\n{line}", response), response) == f"Git shows\n=======\n{line}"
    plain = "<<<<<<< SEARCH\nhere\n=======\nthere\n>>>>>>> REPLACE"
    assert refused(plain, response).reason == "no_edit_block"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("The answer is fine.", "no_edit_block"),
        ("", "no_edit_block"),
        (block("", "x"), "malformed_edit"),
        (block(" \n ", "x"), "malformed_edit"),
        (block("3", "4").replace("=======\n", ""), "malformed_edit"),
        (block("3", "Title\n=======\n4"), "malformed_edit"),
        (block("3", "4").replace(">>>>>>> REPLACE\n", block("5", "6")), "malformed_edit"),
        (block("3", "4") + ">>>>>>> REPLACE", "malformed_edit"),
        (block("3", "4").replace(">>>>>>> REPLACE\n", ""), "unclosed_marker"),
        (block("3", "4") + "<<<<<<< SEARCH\nTom", "unclosed_marker"),
        (block("Jane pays", "x"), "search_not_found"),
        (block("He", "She"), "search_ambiguous"),
        (block("gets 3", "x") + block("3 dollars", "y"), "edits_overlap"),
        (block("gets 3", "x") + block("gets 3", "y"), "edits_overlap"),
    ],
)
def test_a_reply_with_unusable_blocks_is_refused(reply: str, reason: str) -> None:
    assert refused(reply).reason == reason


def test_overlapping_occurrences_are_ambiguous() -> None:
    assert refused(block("aa", "b", "aaa"), "aaa").reason == "search_ambiguous"


def test_edits_that_touch_do_not_overlap() -> None:
    assert revised(block("gets 3", "has 4") + block(" dollars  back", " left")).split("\n")[2] == "He has 4 left."


def test_edits_are_located_on_the_original() -> None:
    assert revised(block("Tom", "He gets 3") + block("He gets 3", "Tom")).split("\n")[0] == "He gets 3 pays 5 dollars."


def test_a_block_that_changes_nothing_is_no_edit() -> None:
    assert parse(block("3", "3") + block("5", "6"), response=RESPONSE, token=TOKEN).edits == (Edit(9, 10, "6"),)


def test_a_block_given_twice_is_one() -> None:
    assert parse(block("3", "4") * 2, response=RESPONSE, token=TOKEN).edits == (Edit(29, 30, "4"),)
    assert refused(block("Jane", "x") * 2).feedback == refused(block("Jane", "x")).feedback


def test_all_problems_are_told_at_once_under_the_first_ones_reason() -> None:
    error = refused(block("Jane", "x") + block("He", "y"))
    assert error.reason == "search_not_found"
    assert error.feedback == (
        "The words to replace 'Jane' do not occur in the answer. Copy them from it character for character. "
        "The words to replace 'He' occur more than once in the answer. Take more of the words around them into "
        "the block."
    )


def test_what_is_not_edited_stays_byte_for_byte() -> None:
    response = (
        "Caf\u00e9 \r\n\r\n\u05e9\u05dc\u05d5\u05dd\u200f \u202eabc\u202c  \t\r\n"
        "\U0001f469\u200d\U0001f52c 2+2=5\u2028\x0c\r\nend  "
    )
    assert revised(block("2+2=5", "2+2=4", response), response) == response.replace("5", "4")
    assert revised(block("2+2=5", "2+2=4\nso", response), response) == response.replace("5", "4\r\nso")


def test_an_edit_over_lines_finds_them_in_a_response_with_other_line_endings() -> None:
    assert revised(block("a\nb", "a\nB", "x\r\na\r\nb\r\n"), "x\r\na\r\nb\r\n") == "x\r\na\r\nB\r\n"
    assert revised(block("a\nb", "a\nB").replace("\n", "\r\n"), "x\na\nb\n") == "x\na\nB\n"


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("ab \n\t\r🙂é\u202e"), max_size=60)
marks = st.sampled_from(
    ["<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE\n", f"<<<<<<< SEARCH {TOKEN}\n", f"======= {TOKEN}\n", "```\n"]
)


@given(st.data(), texts)
def test_rendered_edits_are_read_located_and_made(data: st.DataObject, response: str) -> None:
    """Any response, any disjoint edits of places whose text is unique: the result is the one made by slicing.

    But for places within an indentation, whose new lines are indented.
    """
    cuts = sorted(data.draw(st.lists(st.integers(0, len(response)), unique=True, max_size=6)))
    places = list(zip(cuts[::2], cuts[1::2], strict=False))
    news = [data.draw(texts.map(lambda text: text.replace("\r", ""))) for _ in places]
    assume(places)
    for start, end in places:
        assume(response[start:end].strip())
        assume(response.find(response[start:end]) == response.rfind(response[start:end]))
        assume(response.find(response[start:end], start + 1) < 0)
        assume(not (response[start] in " \t" and indentation_before(response, start)))
    assume("\r\n" not in response)
    reply = "because\n" + "".join(
        block(response[start:end], new, response) for (start, end), new in zip(places, news, strict=True)
    )
    expected, at = "", 0
    for (start, end), new in zip(places, news, strict=True):
        expected += response[at:start] + new
        at = end
    assert revised(reply, response) == expected + response[at:]


@given(st.lists(marks | texts, max_size=12).map("".join), texts)
def test_any_reply_is_parsed_or_refused_and_nothing_outside_the_edits_changes(reply: str, response: str) -> None:
    try:
        edits = parse(reply, response=response, token=TOKEN).edits
    except RevisionError:
        return
    result = apply(response, edits)
    at = shift = 0
    for edit in edits:
        assert result[at + shift : edit.start + shift] == response[at : edit.start]
        shift += len(edit.new_text) - (edit.end - edit.start)
        at = edit.end
    assert result[at + shift :] == response[at:]


@given(st.lists(st.tuples(texts, texts), max_size=4), texts)
def test_located_edits_are_sorted_disjoint_and_change_something(pairs: list[tuple[str, str]], response: str) -> None:
    blocks = [Block(search, new) for search, new in pairs if search.strip()]
    try:
        edits = locate(blocks, response)
    except RevisionError:
        return
    ends = [0, *(edit.end for edit in edits)]
    assert all(end <= edit.start < edit.end for end, edit in zip(ends, edits, strict=False))
    assert all(response[edit.start : edit.end] != edit.new_text for edit in edits)
