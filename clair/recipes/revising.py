"""The stage in which the reviser edits a text, asked again with feedback until its reply can be used.

The templates of the plan say what the edits are for: to make the answer better, worse, or as a critique asks.
"""

from __future__ import annotations

from typing import NamedTuple

from clair.contrast import check, measure
from clair.errors import NotBought, RevisionError
from clair.recipes.base import Draft, Piece
from clair.records import Ask, Completion, Edit, Message, Protocol, Reason
from clair.revision.protocol import (
    MAX_FAILED_EDITS,
    ask_again,
    choose,
    first_ask,
    interpret,
    rewritten_by_white_space,
)

FINAL: frozenset[Reason] = frozenset({"unchanged", "refused", "content_filter"})
"""Verdicts that are not asked about again: a reviser that finds nothing to improve, or will not answer, has answered.
Pressing it would buy noise."""


class Task(NamedTuple):
    """A text to edit. The gate compares the result with `beside`, the text itself if None, unless not `gated`.

    `number` tells several tasks of one row apart; `principle` and `critique` are for templates that use them.
    """

    text: str
    beside: str | None = None
    gated: bool = True
    number: int = 0
    principle: str = ""
    critique: str = ""


class Revised(NamedTuple):
    """An accepted revision, how it was answered, and the edits if the reviser named them."""

    text: str
    rationale: str
    protocol: Protocol
    edits: tuple[Edit, ...]


def revise(draft: Draft, task: Task) -> Piece[Revised]:
    """Have the reviser edit the text until the gate accepts, asked at most `max_attempts` times."""
    draft.stage = "revise"
    dialog = _Dialog(draft, task)
    while True:
        try:
            reply = yield from draft.ask_one(dialog.ask(), attempt=True)
        except NotBought:
            if dialog.rewrites_instead():
                continue
            if dialog.failure is None:
                raise
            raise dialog.failure from None
        try:
            return dialog.hear(reply)
        except RevisionError as failure:
            if failure.reason in FINAL or dialog.attempts >= draft.plan.max_attempts:
                raise


class _Dialog:
    """The chat with the reviser about one text; starts afresh when the protocol changes."""

    def __init__(self, draft: Draft, task: Task) -> None:
        self.draft = draft
        self.task = task
        self.attempts = 0
        self.failed_edits = 0
        self.failure: RevisionError | None = None
        self._protocol: Protocol | None = None
        self._messages: tuple[Message, ...] = ()
        self._opening = 0
        self._reply = ""
        self._token = ""
        self._maybe_rewritten = draft.plan.protocol == "auto" and rewritten_by_white_space(task.text)

    def rewrites_instead(self) -> bool:
        """Whether the reply may be one to a rewrite, in a ledger of when white space alone made words; it is looked for
        next, once."""
        looks, self._maybe_rewritten = self._maybe_rewritten and not self.attempts, False
        if looks:
            self.failed_edits = MAX_FAILED_EDITS
        return looks

    def ask(self) -> Ask:
        plan, row, task = self.draft.plan, self.draft.row, self.task
        protocol = choose(plan.protocol, task.text, failed_edits=self.failed_edits)
        if protocol == self._protocol and self.failure is not None:
            self._messages = ask_again(self._messages, self._reply, self.failure.feedback)
        else:
            self._protocol = protocol
            self._token = plan.token(f"{row.id}/{protocol}" + (f"/{task.number}" if task.number else ""))
            self._messages = first_ask(
                protocol,
                conversation=row.messages,
                response=task.text,
                token=self._token,
                principles=plan.principles,
                templates=plan.templates,
                principle=task.principle,
                critique=task.critique,
            )
            self._opening = len(self._messages)
        attempt = max(self.attempts, int(self._maybe_rewritten))  # not 0: a finished row is not asked anew
        return Ask("reviser", "revise", self._messages, row.sample_index, attempt, self._opening)

    def hear(self, reply: Completion) -> Revised:
        """The revision in a reply, if the gate accepts it; RevisionError otherwise."""
        assert self._protocol is not None
        task = self.task
        self.attempts += 1
        self._reply = reply.text
        try:
            revision = interpret(
                self._protocol,
                reply,
                response=task.text,
                token=self._token,
                allow_talk=self.draft.plan.allow_talk,
            )
            self.draft.revision = revision.text
            if task.gated:
                beside = task.text if task.beside is None else task.beside
                check(measure(revision.text, beside), self.draft.plan.gate)
        except RevisionError as failure:
            self.failure = failure
            self.draft.revision = failure.revision or self.draft.revision
            self.failed_edits += self._protocol == "edits"
            raise
        return Revised(revision.text, revision.rationale, self._protocol, revision.edits)
