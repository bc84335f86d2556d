"""The rewrite protocol's parser. Replies are written for the test in shapes that real revisers use; no doubles."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.errors import RevisionError
from clair.records import Revision
from clair.revision.rewrite import marker_lines, parse

TOKEN = "3f9a02c1"
OPEN, CLOSE = marker_lines(TOKEN)
RESPONSE = "The sum of 2 and 2 is 5."


def read(reply: str, response: str = RESPONSE) -> Revision:
    return parse(reply, response=response, token=TOKEN)


def refused(reply: str, response: str = RESPONSE) -> str:
    with pytest.raises(RevisionError) as caught:
        read(reply, response)
    assert caught.value.stage == "parse"
    assert caught.value.feedback.endswith("nothing after the second one.")
    return caught.value.reason


@pytest.mark.parametrize(
    "reply",
    [
        f"Two and two make four.\n\n{OPEN}\nThe sum is 4.\n{CLOSE}",
        f"Two and two make four.\n{OPEN}\nThe sum is 4.\n{CLOSE}\n\nI hope this helps.",
        f"Two and two make four.\r\n{OPEN}\r\nThe sum is 4.\r\n{CLOSE}\r\n",
        f"Two and two make four.\n```\n{OPEN}\nThe sum is 4.\n{CLOSE}\n```",
        f"Two and two make four.\n**{OPEN}**\nThe sum is 4.\n  `{CLOSE}`  \n",
        f"Two and two make four.\n{OPEN}The sum is 4.{CLOSE}",
        f"{{teacher_reasoning}}: Two and two make four.\n{OPEN}\nThe sum is 4.\n{CLOSE}",
        f"**Teacher Reasoning:**\nTwo and two make four.\n{OPEN}\n\nThe sum is 4.\n\n{CLOSE}",
    ],
)
def test_the_answer_stands_between_the_marker_lines(reply: str) -> None:
    assert read(reply) == Revision("Two and two make four.", "The sum is 4.")


def test_marker_lines_named_in_the_reasoning_are_none() -> None:
    reply = f"I will write it between {OPEN} and {CLOSE}.\n{OPEN}\nThe sum is 4.\n{CLOSE}"
    assert read(reply).text == "The sum is 4."


def test_the_last_of_two_drafts_wins() -> None:
    reply = f"First try:\n{OPEN}\nIt is 3.\n{CLOSE}\nNo.\n{OPEN}\nIt is 4.\n{CLOSE}"
    assert read(reply).text == "It is 4."


def test_markers_of_another_request_or_protocol_are_text() -> None:
    other = "<revised-00000000>\n<<<<<<< SEARCH\n</revised-00000000>"
    assert read(f"ok\n{OPEN}\n{other}\n{CLOSE}").text == other


def test_bold_text_next_to_a_marker_on_the_same_line_is_kept() -> None:
    assert read(f"ok\n{OPEN}**It** is **4**{CLOSE}").text == "**It** is **4**"


def test_white_space_at_the_ends_is_that_of_the_response() -> None:
    reply = f"ok\n{OPEN}\n\nIt is 4. \n\n{CLOSE}"
    assert read(reply, "\n  It is 5.\t\n\n").text == "\n  It is 4.\t\n\n"


def test_line_endings_are_those_of_the_response() -> None:
    assert read(f"ok\n{OPEN}\na\nB\n{CLOSE}", "a\r\nb").text == "a\r\nB"
    assert read(f"ok\r\n{OPEN}\r\na\r\nB\r\n{CLOSE}", "a\nb").text == "a\nB"
    assert read(f"ok\n{OPEN}\na\r\nB\nc\n{CLOSE}", "a\r\nb\nc").text == "a\r\nB\nc"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (f"ok\n{OPEN}\nThe sum is", "unclosed_marker"),
        (f"ok\n{OPEN}\nThe sum is 4.\n{CLOSE}\nor rather\n{OPEN}\nThe sum", "unclosed_marker"),
        (f"ok\nThe sum is 4.\n{CLOSE}", "no_marker"),
        ("The sum is 4.", "no_marker"),
        ("", "no_marker"),
        (f"ok\n{OPEN}\n \n{CLOSE}", "empty"),
        ("ok\n{corrected_student_solution}:\n\n", "empty"),
    ],
)
def test_a_reply_without_a_whole_answer_is_refused(reply: str, reason: str) -> None:
    assert refused(reply) == reason


MARKERS = [
    "{corrected_student_solution}: ",
    "{corrected_student_solution}:\n",
    "{corrected_student_solution}\n\n",
    "{corrected_student_solution} :\n",
    "**{corrected_student_solution}**: ",
    "**{corrected_student_solution}:** ",
    "**{corrected_student_solution}**\n\n",
    "### {corrected_student_solution}\n\n",
    "## **Corrected Student Solution:**\n",
    "### Corrected Student Solution\n\n",
    "**Corrected Student Solution:**\n\n",
    "Corrected student solution: ",
    "{Corrected Student Solution}:\r\n",
    "__corrected_student_solution__:\n",
]


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize(
    "label", ["{teacher_reasoning}: ", "{teacher_reasoning}\n\n", "**{teacher_reasoning}**:\n", ""]
)
def test_the_shapes_of_the_reference_prompt_are_understood(label: str, marker: str) -> None:
    reply = f"{label}2 + 2 is 4.\n\n{marker}**The** sum is 4.\n\n- yes"
    assert read(reply) == Revision("2 + 2 is 4.", "**The** sum is 4.\n\n- yes")


def test_a_marker_with_a_colon_in_the_reasoning_is_prose() -> None:
    reply = (
        "{teacher_reasoning}: The {corrected_student_solution}: should be short.\n\n"
        "{corrected_student_solution}: The sum is 4."
    )
    assert read(reply) == Revision("The {corrected_student_solution}: should be short.", "The sum is 4.")


@pytest.mark.parametrize(
    "mention",
    [
        "Corrected student solution should be short.",
        "{corrected_student_solution} follows.",
        "- {corrected_student_solution}: to be short",
        "`{corrected_student_solution}`:",
        "```\n{corrected_student_solution}:\n```",
        "~~~text\n{corrected_student_solution}: x\n~~~",
    ],
)
def test_a_mention_in_prose_list_or_code_is_no_marker(mention: str) -> None:
    assert refused(f"ok\n{mention}\nmore") == "no_marker"
    assert read(f"ok\n{mention}\n\n{{corrected_student_solution}}:\nIt is 4.").text == "It is 4."


def test_the_last_top_level_marker_wins() -> None:
    reply = "Corrected student solution: should be short.\n\nCorrected student solution: It is 4."
    assert read(reply).text == "It is 4."


def test_a_marker_inside_a_line_of_the_response_is_text() -> None:
    response = "Use the {corrected_student_solution}: tag"
    reply = "fix.\n{corrected_student_solution}: Use the {corrected_student_solution}: label"
    assert read(reply, response) == Revision("fix.", "Use the {corrected_student_solution}: label")


def test_a_marker_line_that_the_response_brought_along_is_text() -> None:
    response = "Write\n{corrected_student_solution}: x\nthere"
    kept = "Write\n{corrected_student_solution}: y\nthere"
    assert read("fix.\n{corrected_student_solution}:\n" + kept, response) == Revision("fix.", kept)


@pytest.mark.parametrize(
    "reply",
    [
        "fix.\n{corrected_student_solution}:\nWrite\n\nthere",
        "fix.\n{corrected_student_solution}: a\n{corrected_student_solution}: b\n{corrected_student_solution}: c",
    ],
)
def test_markers_that_cannot_be_told_from_the_responses_own_are_refused(reply: str) -> None:
    assert refused(reply, "Write\n{corrected_student_solution}: x\nthere") == "no_marker"


body = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip())
noise = st.lists(
    st.sampled_from([OPEN, CLOSE, "{corrected_student_solution}", ":", "**", "```", "\n", "\r\n", " ", "#", "x", "🙂"])
    | st.text(max_size=5),
    max_size=30,
).map("".join)


@given(noise.filter(lambda text: TOKEN not in text), body.filter(lambda text: "\r\n" not in text), noise)
def test_what_is_written_between_the_marker_lines_is_read_back(before: str, answer: str, response: str) -> None:
    """The answer comes back whole: only white space at its ends and line endings follow the response."""
    revision = read(f"{before}\n{OPEN}\n{answer}\n{CLOSE}\n", response.replace("\r\n", "\n"))
    assert revision.text.strip() == answer.strip()


@given(noise, noise)
def test_any_reply_gives_text_from_the_reply_or_a_refusal(reply: str, response: str) -> None:
    with suppress(RevisionError):
        revision = read(reply, response)
        assert "".join(revision.text.split()) in "".join(reply.split())
        assert revision.rationale in reply
