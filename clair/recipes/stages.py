"""The stages that recipes are made of: sample the target, have the reviser improve the answer."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

from clair.contrast import check, measure
from clair.errors import NotBought, RevisionError, RowFailure
from clair.recipes.base import Draft
from clair.records import Ask, Completion, Message, Protocol, Reason
from clair.revision.protocol import ask_again, choose, first_ask, interpret

FINAL: frozenset[Reason] = frozenset({"unchanged", "refused", "content_filter"})
"""Verdicts that are not asked about again: a reviser that finds nothing to improve, or will not answer, has answered.
Pressing it would buy noise."""


class Revised(NamedTuple):
    """An accepted revision and how it was answered."""

    text: str
    rationale: str
    protocol: Protocol


def sample(draft: Draft) -> Generator[list[Ask], list[Completion], str]:
    """Ask the target once; raise RowFailure unless it finished an answer."""
    draft.stage = "sample"
    (completion,) = yield [Ask("target", "sample", draft.row.messages, draft.row.sample_index)]
    draft.spend(completion)
    if completion.text:
        draft.response = completion.text
    return finished_text(completion)


def finished_text(completion: Completion) -> str:
    """The text of an answer that came to its end; RowFailure says why there is none."""
    if completion.refusal:
        raise RowFailure("refused", completion.refusal)
    if completion.finish_reason == "length":
        raise RowFailure("truncated", "the answer was cut off at max_tokens: raise it, or shorten the prompt")
    if completion.finish_reason == "content_filter":
        raise RowFailure("content_filter", "the provider's filter stopped the answer")
    if completion.finish_reason != "stop":
        raise RowFailure("unfinished", f"finish_reason is {completion.finish_reason!r}, not 'stop'")
    if not completion.text.strip():
        raise RowFailure("empty", "the answer has no text")
    return completion.text


def revise(draft: Draft, response: str) -> Generator[list[Ask], list[Completion], Revised]:
    """Have the reviser improve `response` until the gate accepts, at most `max_attempts` times."""
    draft.stage = "revise"
    dialog = _Dialog(draft, response)
    while True:
        try:
            (reply,) = yield [dialog.ask()]
        except NotBought:
            if dialog.failure is None:
                raise
            raise dialog.failure from None
        draft.spend(reply, attempt=True)
        try:
            return dialog.hear(reply)
        except RevisionError as failure:
            if failure.reason in FINAL or draft.spent.attempts >= draft.plan.max_attempts:
                raise


class _Dialog:
    """The chat with the reviser about one response; starts afresh when the protocol changes."""

    def __init__(self, draft: Draft, response: str) -> None:
        self.draft = draft
        self.response = response
        self.failed_edits = 0
        self.failure: RevisionError | None = None
        self._protocol: Protocol | None = None
        self._messages: tuple[Message, ...] = ()
        self._opening = 0
        self._reply = ""
        self._token = ""

    def ask(self) -> Ask:
        plan, row = self.draft.plan, self.draft.row
        protocol = choose(plan.protocol, self.response, failed_edits=self.failed_edits)
        if protocol == self._protocol and self.failure is not None:
            self._messages = ask_again(self._messages, self._reply, self.failure.feedback)
        else:
            self._protocol = protocol
            self._token = plan.token(f"{row.id}/{protocol}")
            self._messages = first_ask(
                protocol,
                conversation=row.messages,
                response=self.response,
                token=self._token,
                principles=plan.principles,
                templates=plan.templates,
            )
            self._opening = len(self._messages)
        attempt = self.draft.spent.attempts
        return Ask("reviser", "revise", self._messages, row.sample_index, attempt, self._opening)

    def hear(self, reply: Completion) -> Revised:
        """The revision in a reply, if the gate accepts it; RevisionError otherwise."""
        assert self._protocol is not None
        self._reply = reply.text
        try:
            revision = interpret(
                self._protocol,
                reply,
                response=self.response,
                token=self._token,
                allow_talk=self.draft.plan.allow_talk,
            )
            self.draft.revision = revision.text
            check(measure(revision.text, self.response), self.draft.plan.gate)
        except RevisionError as failure:
            self.failure = failure
            self.draft.revision = failure.revision or self.draft.revision
            self.failed_edits += self._protocol == "edits"
            raise
        return Revised(revision.text, revision.rationale, self._protocol)
