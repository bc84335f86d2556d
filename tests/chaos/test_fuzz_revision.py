"""Fuzzing what revisers write, in both protocols, and the editing of texts. Pure functions, no doubles."""

from __future__ import annotations

from typing import get_args

from hypothesis import strategies as st

from clair.errors import RevisionError
from clair.records import Completion, Message, Protocol, Reason
from clair.revision import edits
from clair.revision.protocol import ask_again, first_ask, interpret
from clair.revision.rewrite import marker_lines
from clair.templates import Templates
from tests.chaos.fuzzing import fuzz, result_of

TOKEN = "3f9a02c1b7d4"
TEMPLATES = Templates.load(None)

PIECES = st.sampled_from(
    [
        *(
            "<<<<<<< SEARCH",
            "=======",
            ">>>>>>> REPLACE",
            "<<<<<<< SEARCH " + TOKEN,
            "======= " + TOKEN,
            ">>>>>>> REPLACE " + TOKEN,
        ),
        *(
            *marker_lines(TOKEN),
            "<revised-0000>",
            "</revised-0000>",
            "{corrected_student_solution}:",
            "{teacher_reasoning}:",
        ),
        *(
            "**Corrected Student Solution:**",
            "### Corrected Student Solution",
            "```",
            "```python",
            "~~~",
            "#",
            "{{response}}",
        ),
        *("\n", "\n", "\n", "\n\n", "\r\n", "\r", "\t", " ", "  ", "    ", "\u2028", "\x0b", "\x00", "\u200b"),
        *("the cat sat", "on the mat", "the", "cat", "a", "1 + 1 = 3", "“quoted”", "it’s", "e\u0301", "😀", "天気"),
        *("Here is the corrected version:", "I can't help with that.", "As the teacher, I", TOKEN),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=6), max_size=30).map("".join)
LINES = st.lists(PIECES | st.text(max_size=6), max_size=30).map("\n".join)


@st.composite
def _blocks(draw: st.DrawFn) -> tuple[str, str]:
    """A response, and a reply with blocks whose search texts mostly come from it."""
    response = draw(TEXTS | LINES)
    search, divider, replace = edits.marker_lines(response, TOKEN)
    parts = [draw(TEXTS)]
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(response)))
        words = response[start : start + draw(st.integers(0, 40))] if draw(st.integers(0, 3)) else draw(TEXTS)
        parts += [search, words, divider, draw(TEXTS), replace, *([draw(TEXTS)] if draw(st.booleans()) else [])]
    return response, "\n".join(parts)


PAIRS = _blocks() | st.tuples(TEXTS | LINES, TEXTS | LINES)
FINISHES = st.sampled_from(["stop"] * 6 + ["length", "content_filter", "tool_calls", "", "stop "])


@fuzz(
    pair=PAIRS,
    protocol=st.sampled_from(get_args(Protocol)),
    finish=FINISHES,
    refusal=st.none() | st.none() | TEXTS,
    talk=st.booleans(),
)
def test_a_reply_is_a_revision_or_refused_with_a_reason(
    pair: tuple[str, str], protocol: Protocol, finish: str, refusal: str | None, talk: bool
) -> None:
    """A revision says something new, holds no token of the request, and outside of its edits is the response."""
    response, reply = pair
    completion = Completion(text=reply, finish_reason=finish, refusal=refusal)
    found = result_of(
        lambda: interpret(protocol, completion, response=response, token=TOKEN, allow_talk=talk), RevisionError
    )
    if isinstance(found, RevisionError):
        assert found.reason in get_args(Reason)
        assert found.stage == "parse"
        assert found.feedback.strip()
        assert len(found.detail) < 2000
        ask_again((Message(role="user", content="?"),), reply, found.feedback)
        return
    assert finish == "stop"
    assert found.text.strip()
    assert found.text.split() != response.split()
    assert TOKEN in response or TOKEN not in found.text
    if protocol == "edits":
        assert_untouched_outside(response, found.text, found.edits)


REPEATED = st.tuples(st.lists(PIECES, min_size=1, max_size=3).map("".join), st.integers(1, 20_000))
LONG = st.lists(REPEATED, min_size=1, max_size=4).map(lambda parts: "".join(piece * count for piece, count in parts))


@fuzz(response=LONG | TEXTS, reply=LONG, protocol=st.sampled_from(get_args(Protocol)))
def test_long_and_monotonous_texts_take_no_more_than_seconds(response: str, reply: str, protocol: Protocol) -> None:
    """Patterns that go back and forth over a text show here; the bound is that of every example."""
    completion = Completion(text=reply, finish_reason="stop")
    result_of(lambda: interpret(protocol, completion, response=response, token=TOKEN), RevisionError)


def assert_untouched_outside(response: str, text: str, made: tuple[edits.Edit, ...]) -> None:
    """Walk along both texts: between two edits every character is the same, and the edits undone give the response."""
    at = place = 0
    for start, end, new_text in made:
        assert at <= start <= end <= len(response)
        same = response[at:start]
        assert text[place : place + len(same)] == same
        place += len(same)
        assert text[place : place + len(new_text)] == new_text
        place += len(new_text)
        at = end
    assert text[place:] == response[at:]
    assert edits.apply(text, edits.inverted(response, made)) == response


@st.composite
def _edits(draw: st.DrawFn) -> tuple[str, tuple[edits.Edit, ...]]:
    text = draw(st.text(max_size=60))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8, unique=True)))
    spans = zip(cuts[::2], cuts[1::2], strict=False)
    return text, tuple(edits.Edit(start, end, draw(st.text(max_size=8))) for start, end in spans)


@fuzz(drawn=_edits())
def test_edits_change_what_they_name_and_can_be_undone(drawn: tuple[str, tuple[edits.Edit, ...]]) -> None:
    text, made = drawn
    assert_untouched_outside(text, edits.apply(text, made), made)


HOSTILE = TEXTS.filter(lambda text: TOKEN not in text)


@fuzz(question=HOSTILE, response=HOSTILE, protocol=st.sampled_from(get_args(Protocol)))
def test_no_text_shown_to_a_reviser_can_pass_for_the_programs_own_marks(
    question: str, response: str, protocol: Protocol
) -> None:
    """Whatever prompt and response hold short of the token, lines with the token are as many as for harmless texts.

    The three marker lines carry it if the response itself has such a line, and then each of them does.
    """

    def marked(question: str, response: str) -> int:
        asked = first_ask(
            protocol,
            conversation=(Message(role="system", content=question), Message(role="user", content=question)),
            response=response,
            token=TOKEN,
            principles=(),
            templates=TEMPLATES,
        )
        lines = "\n".join(message["content"] for message in asked).split("\n")
        return sum(TOKEN in line for line in lines)

    own_lines = edits.marker_lines(response, TOKEN)
    assert len({TOKEN in line for line in own_lines}) == 1
    alike = "<<<<<<< SEARCH" if TOKEN in own_lines[0] else "words"
    assert marked(question, response) == marked("words", alike)
    if TOKEN not in own_lines[0]:
        assert not set(own_lines) & {line.removesuffix("\r").strip(" \t") for line in response.split("\n")}
