"""The sections of a dataset card with figures: funnel, contrast, what else differs, cost. Each a Markdown text."""

from __future__ import annotations

from collections.abc import Sequence

from clair.dataset.audit import AuditFigures, Counted
from clair.dataset.markdown import code, table
from clair.dataset.quartiles import Quartiles
from clair.dataset.summary import RunSummary, Total

TOP = 8  # words and openings of each list that the card shows

MEANING = {
    "bad_row": "the input row could not be read",
    "duplicate_prompt": "the same prompt came earlier",
    "near_duplicate_prompt": "an earlier prompt says nearly the same",
    "contaminated": "it holds text of an evaluation set",
    "content_filter": "the provider refused to answer",
    "context_too_long": "the request does not fit the model",
    "bad_request": "the provider rejected the request",
    "refused": "the model refused to answer",
    "truncated": "the text was cut off at the token limit",
    "unfinished": "the model stopped for another reason",
    "empty": "no text came",
    "rate_limited": "too many requests, after every retry",
    "overloaded": "server errors, after every retry",
    "timeout": "no answer in time, after every retry",
    "connection": "no connection, after every retry",
    "malformed_body": "no chat completion, after every retry",
    "no_marker": "no revision could be found in the reply",
    "unclosed_marker": "the revision in the reply has no end",
    "sentinel_leaked": "a marker of the protocol is inside the revision",
    "talks_of_revision": "the revision speaks of being one",
    "unchanged": "the revision says the same as the response",
    "no_edit_block": "the reply has no edits",
    "malformed_edit": "an edit lacks a part",
    "search_not_found": "an edit names text that is not in the response",
    "search_ambiguous": "an edit names text that is there more than once",
    "edits_overlap": "two edits of the same words",
    "too_different": "more changed than the gate allows",
    "too_many_edits": "changed in more places than the gate allows",
    "length_ratio": "chosen is too long or too short beside rejected",
    "judge_tie": "the judge sees no difference, or not the same one in both orders",
    "judge_unparsable": "no verdict could be found in the judge's reply",
    "not_better": "the judge does not confirm that chosen is better",
}
"""Reason -> what it says about a row."""

_CONTRAST_LABELS = {
    "words_changed": "share of words changed",
    "edits": "separate changed spans",
    "word_distance": "words changed",
    "char_similarity": "similarity in characters",
    "jaccard": "overlap of the word sets (Jaccard)",
    "shared_prefix": "share of words before the first change",
    "length_ratio": "words of chosen / words of rejected",
}

_GATE = frozenset({"max_change", "min_char_similarity", "min_jaccard", "max_edits", "max_length_ratio"})
_QUARTILES = ("first quartile", "median", "third quartile")


def funnel(summary: RunSummary) -> str:
    """How the input rows ended."""
    rows = [["input rows", "", "", f"{summary.rows:,}", ""]]
    for it in summary.rejects:
        meaning = MEANING.get(it.reason, "")
        rows.append([code(it.stage), code(it.reason), meaning, f"-{it.rows:,}", _share(it.rows, summary.rows)])
    rows.append(["pairs", "", "", f"{summary.pairs:,}", _share(summary.pairs, summary.rows)])
    attempts = ", ".join(f"{number}: {pairs:,}" for number, pairs in summary.attempts.items()) or "none"
    protocols = ", ".join(f"{code(name)}: {pairs:,}" for name, pairs in summary.protocols.items()) or "none"
    return "\n\n".join(
        [
            "## Funnel",
            "Each input row ended as one pair or as one reject.",
            table(["stage", "reason", "meaning", "rows", "share"], rows),
            f"Pairs by number of replies that the reviser needed: {attempts}. Pairs by protocol: {protocols}.",
        ]
    )


def contrast(summary: RunSummary) -> str:
    """How far chosen is from rejected."""
    if not summary.contrast:
        return "## Contrast\n\nNo pairs."
    rows = [[_CONTRAST_LABELS[name], *_cells(value)] for name, value in summary.contrast.items()]
    bounds = [f"{code(name)} {bound:g}" for name, bound in summary.facts.settings.items() if name in _GATE and bound]
    gate = [f"The bounds that each pair keeps: {', '.join(bounds)}."] if bounds else []
    return "\n\n".join(["## Contrast", *gate, table(["chosen beside rejected", *_QUARTILES], rows)])


def bias(summary: RunSummary) -> str:
    """What else differs between chosen and rejected: length, words, openings, talk of revising."""
    lengths, audit = summary.lengths, summary.audit
    if lengths is None or audit.length is None:
        return "## Bias\n\nNo pairs."
    rows = [
        ["words of chosen", *_cells(lengths.chosen)],
        ["words of rejected", *_cells(lengths.rejected)],
        ["chosen - rejected", *_cells(audit.length.quartiles)],
    ]
    return "\n\n".join(
        [
            "## Bias",
            "What a model could learn from the pairs besides the improvement.",
            table(["length", *_QUARTILES], rows),
            f"Chosen is longer in {lengths.chosen_longer:.1%} of the pairs, shorter in {lengths.chosen_shorter:.1%} "
            f"and of the same length in {lengths.equal:.1%}; {audit.length.mean:+.2f} words on average. Far from "
            "balance, a model may learn length instead of quality.",
            *_leaning(audit),
            f"Chosen answers that speak of being a revision: {audit.talks_of_revision:,}; that hold a marker of the "
            f"reviser's protocol: {audit.sentinels:,}.",
        ]
    )


def _leaning(audit: AuditFigures) -> list[str]:
    parts = []
    for title, found in (
        ("word that leans to chosen", audit.only_chosen_words),
        ("word that leans to rejected", audit.only_rejected_words),
        ("opening (first four words)", audit.openings),
    ):
        if found:
            parts.append(
                table([title, "pairs where only chosen has it", "where only rejected has it"], _counted(found))
            )
    if parts:
        missed = f" Counts may be up to {audit.missed:,} too low." if audit.missed else ""
        parts.append(f"The most uneven ones; words without case and outer punctuation, in two pairs at least.{missed}")
    return parts


def _counted(found: Sequence[Counted]) -> list[list[str]]:
    return [[code(it.text), f"{it.chosen:,}", f"{it.rejected:,}"] for it in found[:TOP]]


def cost(summary: RunSummary) -> str:
    """What the rows used, and what every stage of the run did."""
    per_pair = summary.cost_per_pair_usd
    rows = [
        ["prompt tokens", _total(summary.prompt_tokens, ",.0f")],
        ["completion tokens", _total(summary.completion_tokens, ",.0f")],
        ["cost, US dollars", _total(summary.cost_usd, ",.4f")],
        ["cost per pair, rejects included", "unknown" if per_pair is None else f"{per_pair:,.6f}"],
    ]
    parts = ["## Cost", table(["what", "amount"], rows)]
    if summary.stages:
        stages = [
            [
                code(name),
                f"{it.requests:,}",
                f"{it.prompt_tokens:,}",
                f"{it.completion_tokens:,}",
                _total(Total(it.known_usd, it.requests_without_cost), ",.4f", "requests"),
            ]
            for name, it in summary.stages.items()
        ]
        parts += [
            "All that the run bought, also for rows that are no part of it now:",
            table(["stage", "requests", "prompt tokens", "completion tokens", "US dollars"], stages),
        ]
    return "\n\n".join(parts)


def _cells(value: Quartiles) -> list[str]:
    return [f"{it:.3g}" if abs(it) < 100 else f"{it:,.0f}" for it in (value.q1, value.median, value.q3)]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _total(total: Total, form: str, parts: str = "rows") -> str:
    known = format(total.known, form)
    return known if not total.unknown_rows else f"unknown ({known} without {total.unknown_rows:,} {parts})"
