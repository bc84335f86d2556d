"""How the reviser is asked and how its reply becomes a revision: the one door to this package.

    protocol = choose("auto", response, failed_edits=0) messages = first_ask(protocol, conversation=...,
    response=response, token=token, principles=(), templates=...) revision = interpret(protocol, completion,
    response=response, token=token)        # or RevisionError messages = ask_again(messages, completion.text,
    error.feedback)                   # and interpret once more

`token` is 8 or more hexadecimal characters that nobody outside can guess, one per request: the texts shown
to the reviser stand between lines that carry it, so that nothing in them can pass for the end of one.
"""

from __future__ import annotations

from typing import Literal

from clair.errors import RevisionError
from clair.records import Completion, Message, Protocol, Revision
from clair.revision import edits, rewrite
from clair.revision.checks import check_finished, check_revision, refusal
from clair.revision.reasoning import after_reasoning
from clair.templates import Templates
from clair.words import words

ProtocolSetting = Literal["auto", "edits", "rewrite"]

SHORT_WORDS = 60  # below, one block (search text and marker lines) costs about as much as the whole answer
MAX_FAILED_EDITS = 2


def choose(setting: ProtocolSetting, response: str, *, failed_edits: int) -> Protocol:
    """The protocol for the next question about `response`, after `failed_edits` unusable `edits` replies."""
    if setting != "auto":
        return setting
    short = len(words(response)) < SHORT_WORDS
    return "rewrite" if short or failed_edits >= MAX_FAILED_EDITS else "edits"


def rewritten_by_white_space(response: str) -> bool:
    """Whether `auto` would have a response rewritten, that it has edited, if white space alone made words."""
    return len(response.split()) < SHORT_WORDS <= len(words(response))


def first_ask(
    protocol: Protocol,
    *,
    conversation: tuple[Message, ...],
    response: str,
    token: str,
    principles: tuple[str, ...],
    templates: Templates,
    principle: str = "",
    critique: str = "",
) -> tuple[Message, ...]:
    """The messages that ask for a revision of `response`, the answer to the last turn of `conversation`.

    `principle` and `critique` are for prompts that use them.
    """
    search_line, divider_line, replace_line = edits.marker_lines(response, token)
    return templates.of(protocol).render(
        conversation=shown(conversation, token),
        response=response,
        token=token,
        principles=listed(principles),
        principle=principle,
        critique=critique,
        search_line=search_line,
        divider_line=divider_line,
        replace_line=replace_line,
    )


def ask_again(previous: tuple[Message, ...], reply_text: str, feedback: str) -> tuple[Message, ...]:
    """The chat continued: the reply that could not be used, and what was wrong with it."""
    return (
        *previous,
        Message(role="assistant", content=reply_text if reply_text.strip() else "(no text)"),
        Message(
            role="user",
            content=f"{feedback}\n\nThis reply could not be used. Reply again in full, in the form asked "
            "for above; "
            "everything refers to the answer as it was first shown.",
        ),
    )


def interpret(
    protocol: Protocol, completion: Completion, *, response: str, token: str, allow_talk: bool = False
) -> Revision:
    """The revision in a reply: the reasoning, and the whole answer with its improvements.

    Reasoning of the model before its reply (`<think>`) is left out. Raises RevisionError, and nothing else, if there is
    no revision that can be used. `allow_talk` accepts revisions that speak of being one.
    """
    check_finished(completion)
    marks = rewrite.marks(token) if protocol == "rewrite" else edits.marks(response, token)
    reply = after_reasoning(completion.text, response=response, marks=marks)
    try:
        revision = _parse(protocol, reply, response, token)
    except RevisionError as error:
        refused = refusal(reply) if error.reason in ("no_marker", "no_edit_block") else None
        raise refused or error from None
    try:
        check_revision(revision.text, response=response, token=token, allow_talk=allow_talk)
    except RevisionError as error:
        error.revision = revision.text
        raise
    return revision


def _parse(protocol: Protocol, reply: str, response: str, token: str) -> Revision:
    if protocol == "rewrite":
        return rewrite.parse(reply, response=response, token=token)
    reply_edits = edits.parse(reply, response=response, token=token)
    return Revision(reply_edits.rationale, edits.apply(response, reply_edits.edits), reply_edits.edits)


def shown(conversation: tuple[Message, ...], token: str) -> str:
    """A single question as it is; anything longer turn by turn, each between lines with its role and the
    token.
    """
    if len(conversation) == 1 and conversation[0]["role"] == "user":
        return conversation[0]["content"]
    return "\n".join(f"<{turn['role']}-{token}>\n{turn['content']}\n</{turn['role']}-{token}>" for turn in conversation)


def listed(principles: tuple[str, ...]) -> str:
    """The user's principles as a paragraph of a prompt, nothing if there are none."""
    if not principles:
        return ""
    return "\n\nWhat better means here, above all:\n" + "\n".join(f"- {text.strip()}" for text in principles)
