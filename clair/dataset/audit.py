"""What a model could learn from the pairs besides the improvement: length, stock words, talk of revising, markers.

    audit = Audit()
    for pair in pairs: audit.add(pair)
    figures = audit.figures()

Memory is bounded whatever the number of pairs: lengths are kept as counts of differences, words and openings in
tables that drop their rarest entries when they are full (`AuditFigures.missed` bounds what that hides).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import filterfalse

from clair.dataset.quartiles import Quartiles, counted_quartiles
from clair.errors import RevisionError
from clair.records import Pair
from clair.revision.checks import check_revision
from clair.words import words

TOP = 20
EXAMPLES = 5
OPENING_WORDS = 4
MIN_PAIRS = 2  # what occurs in a single pair is no pattern
TABLE_SIZE = 50_000
LONGEST_WORD = 40  # characters; what is longer is a URL or data
LONGEST_TALK = 20_000  # characters of new text that are searched for talk of revising


@dataclass(frozen=True)
class Counted:
    """A word or an opening, and in how many pairs it is found only in chosen and only in rejected."""

    text: str
    chosen: int
    rejected: int


@dataclass(frozen=True)
class LengthBias:
    """Words of chosen minus words of rejected; the three shares of pairs add up to 1."""

    mean: float
    quartiles: Quartiles
    chosen_longer: float
    chosen_shorter: float
    equal: float


@dataclass(frozen=True, kw_only=True)
class AuditFigures:
    """The audit of a set of pairs.

    The word lists hold at most 20 words that lean to their side, the largest lean (difference of the two counts)
    first; words are compared without case and outer punctuation. `openings` are first four words of pairs whose
    answers open differently, the largest lean to either side first. `talks_of_revision` and `sentinels` count pairs
    whose chosen answer says what a reviser might say ("the corrected version") or holds a marker of a protocol, where
    rejected does not. Counts are at most `missed` too low, and exact where that is 0.
    """

    pairs: int
    length: LengthBias | None
    only_chosen_words: tuple[Counted, ...]
    only_rejected_words: tuple[Counted, ...]
    openings: tuple[Counted, ...]
    talks_of_revision: int
    talks_of_revision_ids: tuple[str, ...]
    sentinels: int
    sentinel_ids: tuple[str, ...]
    missed: int = 0


class Audit:
    """Collects the figures while pairs pass by, in any order."""

    def __init__(self, *, table_size: int = TABLE_SIZE) -> None:
        self._differences: Counter[int] = Counter()
        self._words, self._openings = _Table(table_size), _Table(table_size)
        self._found: dict[str, int] = {"talks_of_revision": 0, "sentinel_leaked": 0}
        self._examples: dict[str, list[str]] = {name: [] for name in self._found}

    def add(self, pair: Pair) -> None:
        """Count one pair."""
        self.add_texts(pair.id, chosen=pair.chosen, rejected=pair.rejected)

    def add_texts(self, pair_id: str, *, chosen: str, rejected: str) -> None:
        """Count one pair, given as texts."""
        chosen_words, rejected_words = words(chosen), words(rejected)
        self._differences[len(chosen_words) - len(rejected_words)] += 1
        self._words.add(*_only_in_one(set(chosen_words), set(rejected_words)))
        openings = [_opening(words) for words in (chosen_words, rejected_words)]
        if openings[0] != openings[1]:
            self._openings.add(openings[:1], openings[1:])
        reason = _complaint(chosen, rejected)
        if reason in self._found:
            self._found[reason] += 1
            if len(self._examples[reason]) < EXAMPLES:
                self._examples[reason].append(pair_id)

    def figures(self) -> AuditFigures:
        """The figures so far."""
        words, openings = self._words.common(), self._openings.common()
        return AuditFigures(
            pairs=self._differences.total(),
            length=self._length() if self._differences else None,
            only_chosen_words=_top(it for it in words if it.chosen > it.rejected),
            only_rejected_words=_top(it for it in words if it.rejected > it.chosen),
            openings=_top(openings),
            talks_of_revision=self._found["talks_of_revision"],
            talks_of_revision_ids=tuple(self._examples["talks_of_revision"]),
            sentinels=self._found["sentinel_leaked"],
            sentinel_ids=tuple(self._examples["sentinel_leaked"]),
            missed=max(self._words.missed, self._openings.missed),
        )

    def _length(self) -> LengthBias:
        counts = self._differences
        pairs = counts.total()
        longer = sum(count for difference, count in counts.items() if difference > 0)
        shorter = sum(count for difference, count in counts.items() if difference < 0)
        return LengthBias(
            mean=sum(difference * count for difference, count in counts.items()) / pairs,
            quartiles=counted_quartiles(counts),
            chosen_longer=longer / pairs,
            chosen_shorter=shorter / pairs,
            equal=(pairs - longer - shorter) / pairs,
        )


class _Table:
    """Counts of texts on two sides. When full it drops its rarer half; `missed` is the largest count so dropped, added
    up, and so the most by which a count can be too low.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[str, list[int]] = {}
        self.missed = 0

    def add(self, chosen: Iterable[str], rejected: Iterable[str]) -> None:
        for side, texts in enumerate((chosen, rejected)):
            for text in texts:
                found = self._counts.get(text)
                if found is None:
                    found = self._counts[text] = [0, 0]
                found[side] += 1
        if len(self._counts) > self._size:
            self._drop()

    def _drop(self) -> None:
        # By count, then text: sets come in an order that differs between runs, and the figures must not.
        ordered = sorted(self._counts.items(), key=lambda item: (-max(item[1]), item[0]))
        kept = self._size // 2
        self.missed += max(ordered[kept][1])
        self._counts = dict(ordered[:kept])

    def common(self) -> list[Counted]:
        return [Counted(text, *sides) for text, sides in self._counts.items() if max(sides) >= MIN_PAIRS]


def _top(found: Iterable[Counted]) -> tuple[Counted, ...]:
    leaning = (it for it in found if it.chosen != it.rejected)
    ordered = sorted(leaning, key=lambda it: (-abs(it.chosen - it.rejected), -max(it.chosen, it.rejected), it.text))
    return tuple(ordered[:TOP])


def _only_in_one(chosen: set[str], rejected: set[str]) -> tuple[set[str], set[str]]:
    """The bare words of each side that the other has not. Most words of a pair are shared and bare already: only those
    that are not are looked at one by one.
    """
    shared = chosen & rejected
    new, old = _bare_words(chosen - shared), _bare_words(rejected - shared)
    dressed = {*filterfalse(str.isalnum, shared), *filterfalse(str.islower, shared)}
    both = shared | _bare_words(dressed)
    return new - old - both, old - new - both


def _bare_words(words: Iterable[str]) -> set[str]:
    bare = {_bare(word) for word in words if len(word) <= LONGEST_WORD}
    bare.discard("")
    return bare


@lru_cache(maxsize=1 << 16)
def _bare(word: str) -> str:
    """The word without case and without what is no letter or digit at its ends."""
    if word.isalnum():
        return word.lower()
    kept = [index for index, char in enumerate(word) if char.isalnum()]
    return word[kept[0] : kept[-1] + 1].lower() if kept else ""


def _opening(words: list[str]) -> str:
    return " ".join(word[:LONGEST_WORD] for word in words[:OPENING_WORDS])


def _complaint(chosen: str, rejected: str) -> str | None:
    """The verdict of the revision checks on the lines that only chosen has: the whole text takes far longer."""
    old = set(rejected.splitlines())
    new = "\n".join(line for line in chosen.splitlines() if line not in old)[:LONGEST_TALK]
    try:
        check_revision(new, response=rejected, token="")
    except RevisionError as error:
        return error.reason
    return None
