"""The nouns of clair: plain, frozen values that every other module passes around.

A `Row` comes in; a recipe turns it into `Ask`s; each is answered by a `Completion`; the row ends as exactly one
`Pair` or one `Reject`. Nothing here does I/O or imports anything heavy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypedDict


class Message(TypedDict):
    """One chat turn. `role` is "system", "user", "assistant" or "tool", as in the OpenAI chat format."""

    role: str
    content: str


Stage = Literal["sample", "revise", "parse", "gate", "judge"]
Part = Literal["target", "reviser", "judge", "baseline"]
Protocol = Literal["rewrite", "edits"]

Reason = Literal[
    # sample, or any other stage that calls a model
    "bad_row",  # the input row cannot be used (only with --on-bad-row reject)
    "duplicate_prompt",  # the same prompt (and sample index) came earlier in the input
    "near_duplicate_prompt",  # an earlier prompt says nearly the same (--near-duplicates)
    "contaminated",  # the prompt or a given answer holds text of an evaluation set (--decontaminate)
    "content_filter",  # the provider refused to answer
    "context_too_long",  # the request does not fit the model
    "bad_request",  # the provider rejected this request for another reason
    "refused",  # the model refused to answer
    "truncated",  # finish_reason "length": the text is cut off
    "unfinished",  # any other finish_reason than "stop", or `<think>` without `</think>` in a reply that is parsed
    "empty",  # no text
    "rate_limited",  # still 429 after every retry
    "overloaded",  # still 5xx after every retry
    "timeout",  # still no answer in time after every retry
    "connection",  # still no connection, or it broke, after every retry
    "malformed_body",  # still not a chat completion after every retry
    # parse
    "no_marker",  # no revision could be found in the reply
    "unclosed_marker",  # an opening marker without its end
    "sentinel_leaked",  # a marker of the protocol inside the revision
    "talks_of_revision",  # the revision speaks of being one
    "unchanged",  # the revision says the same as the response
    "no_edit_block",  # no search/replace block in the reply
    "malformed_edit",  # a search/replace block without its parts
    "search_not_found",  # a search text that does not occur in the response
    "search_ambiguous",  # a search text that occurs more than once
    "edits_overlap",  # two edits of the same words
    # gate
    "too_different",  # more words changed than --max-change allows
    "too_many_edits",
    "length_ratio",  # chosen is too long or too short beside rejected
    # judge
    "judge_tie",  # the judge sees no difference, or another one when the answers change places
    "judge_unparsable",  # no verdict could be found in the judge's reply
    "not_better",  # the judge does not confirm, in both orders, that chosen is better (--verify)
]

RETRYABLE: frozenset[Reason] = frozenset({"rate_limited", "overloaded", "timeout", "connection", "malformed_body"})
"""Reasons that say nothing about the row: running the same command again tries these rows again."""


@dataclass(frozen=True, slots=True)
class Row:
    """One unit of work: a prompt and a sample index.

    `messages` ends with a user turn. `response` is an answer that already exists (then sampling is skipped).
    `answers` are further given answers, in the order in which their columns were named. `ordinal` is the place in the
    output order; `source` and `source_index` say where the row came from (file name or dataset id, and the zero-based
    record number there). `metadata` is a JSON object as text. A row that could not be read carries `problem` and
    becomes a reject with reason `bad_row`.
    """

    id: str
    ordinal: int
    messages: tuple[Message, ...]
    sample_index: int
    source: str
    source_index: int
    response: str | None = None
    metadata: str = "{}"
    problem: str | None = None
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reported them; None where it did not."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of a model, parsed from the raw body of an HTTP 200 reply. `cost_usd` is None if unknown."""

    text: str
    finish_reason: str
    refusal: str | None = None
    usage: Usage = Usage()
    cost_usd: float | None = None
    model: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """One question a recipe puts to a model. `sample_index` separates equal questions.

    `attempt` counts re-asks from 0. A re-ask continues the chat after the first `opening` messages with the model's
    reply and our feedback; the feedback is a function of the reply and of gate settings, so it is left out of
    `identity_messages`, and an answer bought under another gate is found again.
    """

    part: Part
    stage: Stage
    messages: tuple[Message, ...]
    sample_index: int = 0
    attempt: int = 0
    opening: int | None = None

    @property
    def identity_messages(self) -> tuple[Message, ...]:
        """The messages that tell this question from all others."""
        if self.opening is None:
            return self.messages
        replies = (message for message in self.messages[self.opening :] if message["role"] == "assistant")
        return (*self.messages[: self.opening], *replies)


class Check(NamedTuple):
    """One answer for the user's checker, in place of a question to a model. `metadata` is a JSON object as text."""

    messages: tuple[Message, ...]
    answer: str
    metadata: str


class Edit(NamedTuple):
    """`text[start:end]` becomes `new_text`."""

    start: int
    end: int
    new_text: str


@dataclass(frozen=True, slots=True)
class Contrast:
    """How far chosen is from rejected. Words are those of `clair.words`; characters are code points.

    `word_distance` and `char_distance` are Levenshtein distances; the similarities are 1 - distance / longer.
    `jaccard` is over the two sets of words, `shared_prefix` the share of rejected's words before the first
    change, `length_ratio` is words of chosen / words of rejected, `edits` the number of separate changed spans.
    """

    word_distance: int
    word_similarity: float
    jaccard: float
    char_distance: int
    char_similarity: float
    shared_prefix: float
    length_ratio: float
    edits: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a row used: reviser attempts, tokens and USD (None where a server did not say), and answers of any model."""

    attempts: int = 0
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    cost_usd: float | None = 0.0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Pair:
    """An accepted row: the column set of the dataset, see `dataset/schema.py` for types.

    `edits` are the reviser's own edits that make `chosen` out of `rejected`, empty where it wrote the text out. A step
    of a chain has the id of its whole pair in `parent_id` and its place, from 1, in `step`.
    """

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    rationale: str
    recipe: str
    protocol: str
    target_model: str
    reviser_model: str
    judge_model: str | None
    contrast: Contrast
    spent: Spent
    source: str
    source_index: int
    metadata: str = "{}"
    edits: tuple[Edit, ...] = ()
    parent_id: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """A row turned away. `response` and `revision` hold what there was when it ended, else None."""

    id: str
    prompt: tuple[Message, ...]
    stage: Stage
    reason: Reason
    detail: str
    response: str | None
    revision: str | None
    spent: Spent
    source: str
    source_index: int


Outcome = Pair | Reject


@dataclass(frozen=True, slots=True)
class Revision:
    """What a protocol made of a reviser's reply: the reasoning, the whole revised text, the edits if it named them."""

    rationale: str
    text: str
    edits: tuple[Edit, ...] = ()


@dataclass(slots=True)
class Counts:
    """The funnel. `rows == pairs + sum(rejects.values())` when a run is complete."""

    rows: int = 0
    pairs: int = 0
    rejects: dict[str, int] = field(default_factory=dict)
