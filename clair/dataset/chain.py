"""Chains: a whole pair taken apart into one pair per edit, each step from the text before to the text after.

    for pair in with_steps(pairs): ...        # every pair, followed by its steps

Pairs of adjacent steps were found to be better training data than the whole revision beside the answer (arXiv
2512.23693). The edits are made from left to right: in step k, rejected is the text after k - 1 edits and chosen the
text after k. They are the reviser's own blocks, or else the stretches of words that differ. A step that changes only
white space, or leaves no words, is joined to its neighbor, and a pair with one step has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from clair.contrast import diff_spans, measure
from clair.records import Edit, Outcome, Pair, Spent
from clair.words import words


def with_steps(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """The outcomes, each pair followed by its steps; one pair at a time is held."""
    for outcome in outcomes:
        yield outcome
        if isinstance(outcome, Pair):
            yield from steps(outcome)


def steps(pair: Pair) -> list[Pair]:
    """The steps of a whole pair, linked to it by `parent_id` and `step`; they cost nothing on top of it."""
    texts = stages(pair.rejected, pair.chosen, pair.edits)
    if len(texts) < 3:
        return []
    return [
        replace(
            pair,
            id=f"{pair.id}-s{number}",
            rejected=before,
            chosen=after,
            contrast=measure(after, before),
            spent=Spent(attempts=pair.spent.attempts),
            edits=(),
            parent_id=pair.id,
            step=number,
        )
        for number, (before, after) in enumerate(pairwise(texts), start=1)
    ]


def stages(rejected: str, chosen: str, edits: Sequence[Edit] = ()) -> list[str]:
    """The texts on the way from rejected to chosen, both included; neighbors differ in more than white space."""
    texts = [rejected]
    done, at = "", 0
    for start, end, new_text in sorted(edits) or _differences(rejected, chosen):
        done += rejected[at:start] + new_text
        at = end
        text = done + rejected[at:]
        if text.strip() and words(text) != words(texts[-1]):
            texts.append(text)
    texts[-1] = chosen if len(texts) > 1 else texts[-1]
    return texts


def _differences(rejected: str, chosen: str) -> list[Edit]:
    edits, at = [], 0
    for span in diff_spans(rejected, chosen):
        end = at + len(span.rejected)
        if span.rejected != span.chosen:
            edits.append(Edit(at, end, span.chosen))
        at = end
    return edits
