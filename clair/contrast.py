"""How far a chosen answer is from the rejected one, and whether that is near enough to be kept.

    contrast = measure(chosen, rejected)
    check(contrast, Gate(max_change=0.5))             # RevisionError with feedback if too much changed
    for span in diff_spans(rejected, chosen): ...     # for a terminal or a page

Words are those of `clair.words`. Distances are Levenshtein distances (insertions, deletions and
substitutions count one each), computed by rapidfuzz; 300 words take about 0.03 ms, two texts of 20,000
characters about 20 ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

from clair.errors import RevisionError
from clair.records import Contrast, Reason
from clair.words import pieces, words

_SLACK = 1e-9  # a bound given as 1.5 must let 3 words beside 2 pass in either direction


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a pair must satisfy. Bounds are inclusive; None means no bound.

    `max_change` bounds 1 - word_similarity, `max_edits` the number of separate changed spans,
    `max_length_ratio` the ratio of the numbers of words in both directions (2.0 lets chosen be twice or half
    as long).
    """

    max_change: float = 0.5
    min_char_similarity: float | None = None
    min_jaccard: float | None = None
    max_edits: int | None = None
    max_length_ratio: float | None = None


class Span(NamedTuple):
    """A stretch of words that is the same in both texts, or changed; white space before a word belongs to
    it.
    """

    kind: Literal["equal", "changed"]
    rejected: str
    chosen: str

    @property
    def shown(self) -> str:
        """An equal span as one text. The first word of a text has no white space before it, which the same word
        further on in the other text has.
        """
        return self.rejected if self.rejected[:1].isspace() else self.chosen


def measure(chosen: str, rejected: str) -> Contrast:
    """The figures of one pair, as `records.Contrast` documents them.

    Texts without words count as follows: similarities and jaccard of two of them are 1; `shared_prefix` is 1
    if the other has no words either, else 0; `length_ratio` treats a rejected without words as one word (1
    if both are).
    """
    chosen_words, rejected_words = words(chosen), words(rejected)
    opcodes = Levenshtein.opcodes(rejected_words, chosen_words)
    word_distance = sum(max(o.src_end - o.src_start, o.dest_end - o.dest_start) for o in opcodes if o.tag != "equal")
    char_distance = Levenshtein.distance(rejected, chosen)
    chosen_set, rejected_set = set(chosen_words), set(rejected_words)
    return Contrast(
        word_distance=word_distance,
        word_similarity=_similarity(word_distance, len(chosen_words), len(rejected_words)),
        jaccard=_share(len(chosen_set & rejected_set), len(chosen_set | rejected_set)),
        char_distance=char_distance,
        char_similarity=_similarity(char_distance, len(chosen), len(rejected)),
        shared_prefix=_shared_prefix(rejected_words, chosen_words),
        length_ratio=len(chosen_words) / max(1, len(rejected_words)) if chosen_words or rejected_words else 1.0,
        edits=sum(changed for changed, _ in groupby(opcodes, lambda o: o.tag != "equal")),
    )


def check(contrast: Contrast, gate: Gate) -> None:
    """Return if the contrast is minimal enough; otherwise raise RevisionError (stage "gate").

    The reason is that of the first bound that does not hold; detail and feedback name all of them with
    figures.
    """
    violations = _violations(contrast, gate)
    if violations:
        detail = "; ".join(text for _, text in violations)
        raise RevisionError(violations[0][0], detail, stage="gate", feedback=_feedback(violations, detail))


def diff_spans(rejected: str, chosen: str) -> list[Span]:
    """The two texts as alternating equal and changed spans, compared by words.

    Joining `rejected` (or `chosen`) over the spans gives that text back, white space included.
    """
    old, new = pieces(rejected), pieces(chosen)
    opcodes = Levenshtein.opcodes([piece.strip() for piece in old], [piece.strip() for piece in new])
    spans = []
    for changed, group in groupby(opcodes, lambda o: o.tag != "equal"):
        run = list(group)
        spans.append(
            Span(
                "changed" if changed else "equal",
                "".join(old[run[0].src_start : run[-1].src_end]),
                "".join(new[run[0].dest_start : run[-1].dest_end]),
            )
        )
    return spans


def _similarity(distance: int, one: int, other: int) -> float:
    return 1 - distance / max(one, other, 1)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _shared_prefix(rejected: list[str], chosen: list[str]) -> float:
    if not rejected:
        return 0.0 if chosen else 1.0
    same = 0
    for old, new in zip(rejected, chosen, strict=False):
        if old != new:
            break
        same += 1
    return same / len(rejected)


def _violations(contrast: Contrast, gate: Gate) -> list[tuple[Reason, str]]:
    found: list[tuple[Reason, str]] = []
    if contrast.word_similarity < 1 - gate.max_change:
        changed = _percent(1 - contrast.word_similarity)
        found.append(("too_different", f"{changed} of the words changed, at most {_percent(gate.max_change)} may"))
    for value, least, what in (
        (contrast.char_similarity, gate.min_char_similarity, "of the characters were kept"),
        (contrast.jaccard, gate.min_jaccard, "of all different words are in both answers"),
    ):
        if least is not None and value < least:
            found.append(("too_different", f"{_percent(value)} {what}, at least {_percent(least)} must be"))
    if gate.max_edits is not None and contrast.edits > gate.max_edits:
        places = "place" if gate.max_edits == 1 else "places"
        found.append(
            (
                "too_many_edits",
                f"{contrast.edits} separate places changed, at most {gate.max_edits} {places} may",
            )
        )
    if gate.max_length_ratio is not None and _too_long_or_short(contrast.length_ratio, gate.max_length_ratio):
        found.append(
            (
                "length_ratio",
                f"the new answer has {contrast.length_ratio:.3g} times the words of the old one, "
                f"between {1 / gate.max_length_ratio:.3g} and {gate.max_length_ratio:.3g} times is allowed",
            )
        )
    return found


def _too_long_or_short(ratio: float, limit: float) -> bool:
    return ratio > limit + _SLACK or ratio * limit < 1 - _SLACK


def _feedback(violations: list[tuple[Reason, str]], detail: str) -> str:
    reasons = {reason for reason, _ in violations}
    wishes = {
        "too_different": "keep everything else word for word",
        "too_many_edits": "make only the edits that matter most and keep everything else word for word",
        "length_ratio": "keep about the length of the answer",
    }
    wish = "; ".join(text for reason, text in wishes.items() if reason in reasons)
    return f"{detail[0].upper()}{detail[1:]}; {wish}."


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
