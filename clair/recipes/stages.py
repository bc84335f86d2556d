"""The stages that all recipes share: have the target answer, and look at the contrast of what came out.

Revisions are in `revising`, judgments in `judging`.
"""

from __future__ import annotations

from clair.contrast import check, measure
from clair.errors import RowFailure
from clair.recipes.base import Draft, Piece
from clair.records import RETRYABLE, Ask, Completion


def response_of(draft: Draft) -> Piece[str]:
    """The given response, or else the target's."""
    if draft.row.response is not None:
        return draft.row.response
    return (yield from sample(draft))


def sample(draft: Draft) -> Piece[str]:
    """Ask the target once; raise RowFailure unless it finished an answer."""
    (response,) = yield from sample_many(draft, 1, needed=1)
    return response


def sample_many(draft: Draft, count: int, *, needed: int) -> Piece[list[str]]:
    """The finished ones among `count` answers of the target, in the order of their sample indices.

    Raises the first failure if fewer than `needed` were finished, or if one says nothing about the row: the row is then
    tried again by the next run, with all its samples.
    """
    draft.stage = "sample"
    row = draft.row
    first = row.sample_index * count
    results = yield from draft.ask([Ask("target", "sample", row.messages, first + index) for index in range(count)])
    finished: list[str] = []
    failures: list[RowFailure] = []
    for result in results:
        try:
            finished.append(_finished(draft, result))
        except RowFailure as failure:
            failures.append(failure)
    passing = [failure for failure in failures if failure.reason in RETRYABLE]
    if passing or len(finished) < needed:
        raise (passing or failures)[0]
    draft.response = finished[0]
    return finished


def _finished(draft: Draft, result: Completion | RowFailure) -> str:
    if isinstance(result, RowFailure):
        raise result
    draft.response = draft.response or result.text or None
    return finished_text(result)


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


def gate(draft: Draft, chosen: str, rejected: str) -> None:
    """Raise RevisionError (stage "gate") if the gate refuses the contrast."""
    check(measure(chosen, rejected), draft.plan.gate)
