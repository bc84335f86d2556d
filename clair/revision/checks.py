"""What makes a reply unusable whatever the protocol: not finished, refused, marked, or talking about itself.

    check_finished(completion)                         # before parsing
    raise refusal(completion.text) or error            # after parsing failed
    check_revision(text, response=..., token=...)      # on the whole revised answer

Everything is judged only on text that the response did not already contain: an answer about proofreading may
say "the corrected version". Each verdict is a RevisionError with its own reason and feedback for the
reviser.
"""

from __future__ import annotations

import re

from clair.errors import RevisionError
from clair.records import Completion
from clair.words import words

REFUSAL_HEAD = 300  # characters: a refusal says so at once; the same words further down are part of a discussion

_APOLOGY = r"(?:i['’]?m|i am) (?:(?:really|very|so) )?sorry\b|sorry\b|i apologi[sz]e\b|unfortunately\b|as an ai\b"
_CANNOT = r"(?:i (?:can ?not|can['’]?t|won['’]?t|will not)|(?:i['’]?m|i am) (?:unable|not able) to)"
_VERB = (
    r"(?:assist|help|comply|fulfil+|provide|create|produce|generate|write|revise|edit|improve|engage|continue"
    r"|participate|support|answer|discuss|do)"
)
_REFUSAL = re.compile(
    rf"\W{{0,8}}(?:(?:{_APOLOGY}).{{0,80}}?\b)?"
    rf"(?:{_CANNOT} (?:be able to |\w{{1,20}}ly )?{_VERB}\b|i (?:must|have to) (?:decline|refuse)\b)",
    re.IGNORECASE | re.DOTALL,
)

_MADE = r"(?:corrected|revised|edited|improved|rewritten|updated|amended|worsened|degraded)"
_ANSWER = r"(?:answer|response|solution|reply)"
_SOME = r"(?:\w+ ){0,2}?"
_OPENS = r"(?:^|(?<=[.!?:] ))"
_TALK = re.compile(
    "|".join(
        (
            rf"\bhere(?:['’]s| is| are) (?:the|my|an?|your) {_SOME}{_MADE} {_SOME}(?:version|text|{_ANSWER})\b",
            rf"\b(?:the|this|my|our) (?:\w+ )?{_MADE} {_ANSWER}\b",
            r"\b(?:the|your|my) original (?:answer|response|reply)\b",
            rf"\bthe (?:original )?student['’]s {_ANSWER}\b",
            rf"\b(?:i|we)(?:['’]ve| have)? (?:\w+ly )?{_MADE} (?:the|your|this|my) {_SOME}{_ANSWER}\b",
            rf"{_OPENS}as (?:the|your|an?) (?:teacher|reviser|reviewer|editor)(?=,| (?:i|my|we|here)\b)",
            rf"{_OPENS}as the teacher\b",
            rf"^[\W_]{{0,8}}{_MADE} (?:version|text|{_ANSWER})[\W_]{{0,8}}?(?::|$)",
        )
    ),
    re.IGNORECASE | re.MULTILINE,
)
_GIVEAWAYS = (
    *("corrected", "revise", "review", "edit", "improved", "rewritten", "updated", "amended", "worsened", "degraded"),
    *("original", "student", "teacher", "search", "replace"),
)
"""Each match of the patterns has one of these words: most answers are spared the patterns, which take a millisecond."""

_PROTOCOL_WORDS = re.compile(
    r"\{/?(?:corrected[ _]student[ _]solution|teacher[ _]reasoning|student[ _]solution)\}"
    r"|\b(?:corrected_student_solution|teacher_reasoning)\b"
    r"|^[ \t]*<{5,9}[ \t]*SEARCH\b|^[ \t]*>{5,9}[ \t]*REPLACE\b",
    re.IGNORECASE | re.MULTILINE,
)


def check_finished(completion: Completion) -> None:
    """Raise RevisionError unless the reply came to its own end and was not refused by model or provider."""
    reason = completion.finish_reason
    if reason == "content_filter":
        raise RevisionError(
            "content_filter",
            "the provider's filter stopped the reply",
            feedback="The reply was stopped by a content filter. Leave out what is not needed for the edits.",
        )
    if completion.refusal:
        raise _refused(completion.refusal)
    if reason == "length":
        raise RevisionError(
            "truncated",
            "the reply was cut off at its token limit",
            feedback="The reply was cut off because it was too long. Keep the reasoning short.",
        )
    if reason != "stop":
        raise RevisionError(
            "unfinished",
            f"finish_reason is {reason!r}, not 'stop'",
            feedback="The reply did not come to its end. Write it again as plain text, all of it.",
        )
    if not completion.text.strip():
        raise RevisionError("empty", "the reply has no text", feedback="The reply was empty.")


def refusal(text: str) -> RevisionError | None:
    """The verdict on a reply without usable revision if it reads like a refusal, else None."""
    return _refused(text) if _REFUSAL.match(text.strip()[:REFUSAL_HEAD]) else None


def check_revision(text: str, *, response: str, token: str, allow_talk: bool = False) -> None:
    """Raise RevisionError if the revised answer is empty, unchanged, marked or speaks of being a revision.

    `allow_talk` lets the last pass: texts about editing, teaching or art history speak so with good reason.
    """
    if not text.strip():
        raise RevisionError(
            "empty",
            "the revised answer has no text",
            feedback="The new answer was empty. Give its text.",
        )
    if words(text) == words(response):
        raise RevisionError(
            "unchanged",
            "the revised answer has the same words as the response",
            feedback="The answer came back unchanged. Make the single small edit that is worth most.",
        )
    if token and token in text and token not in response:
        raise _leaked(token)
    lower = text.lower()
    if any(word in lower for word in _GIVEAWAYS):
        _check_markers(text, _plain(response))
        if not allow_talk:
            _check_talk(text, _plain(response))


def _check_markers(text: str, known: str) -> None:
    for found in _PROTOCOL_WORDS.finditer(text):
        if _plain(found[0]) not in known:
            raise _leaked(found[0].strip())


def _check_talk(text: str, known: str) -> None:
    for found in _TALK.finditer(text):
        phrase = _plain(found[0]).strip(" *_#:")
        if phrase not in known:
            raise RevisionError(
                "talks_of_revision",
                f"the revised answer says {phrase[:80]!r}",
                feedback=f"The new answer says {phrase[:80]!r}. It must read as the first and only answer to "
                "the user, without any word about being edited.",
            )


def _refused(text: str) -> RevisionError:
    return RevisionError(
        "refused",
        f"the reviser refused: {' '.join(text[:400].split())[:200]}",
        feedback="Editing this answer was refused. If it can be made safer or better by a small edit, make that edit.",
    )


def _leaked(marker: str) -> RevisionError:
    return RevisionError(
        "sentinel_leaked",
        f"the revised answer contains the marker {marker[:80]!r}",
        feedback=f"The new answer contains {marker[:80]!r}. Markers must stand outside of the answer's text.",
    )


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("’", "'").split())
