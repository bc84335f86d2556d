"""Where the words of a search text stand in the response: exactly once, or not at all.

    place = find(search, response)        # Place(start, end, exact); RevisionError: not found, or ambiguous

Three tries, each only if the one before found nothing: the exact text; the same words with other white space
or typographic variants of quotes and dashes; nearly the same words. The last is held to a high bar: the
first and last word must be right, at least `MIN_SIMILARITY` of the characters too, and nothing else in the
response may come near.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cached_property
from typing import NamedTuple

from rapidfuzz import fuzz

from clair.errors import RevisionError
from clair.words import words

MIN_SIMILARITY = 92.0  # per cent; on 25 characters this lets one be wrong, on 100 a short word
RIVAL_SIMILARITY = 85.0  # per cent; a second place as good as this makes the first one doubtful
MIN_WORDS, MIN_CHARS = 4, 24  # below this, nearly the same words mean something else
MAX_WORK = 40_000_000  # 64 character comparisons each: what all searches in one response may cost, under a second
COST_OF_ONE = 2000  # the fixed cost of looking at one candidate, in the same unit

_SAME = str.maketrans("‘’‛“”„‟‐‑‒–—―−", '\'\'\'""""-------')
_TRIES = 50


class Place(NamedTuple):
    """A half-open range of the response; `exact` if the search text is exactly what stands there."""

    start: int
    end: int
    exact: bool


class Haystack:
    """A response, prepared for several searches."""

    def __init__(self, response: str) -> None:
        self.response = response
        self._work_left = MAX_WORK

    def find(self, search: str) -> Place:
        """The only place of `search`. Raises RevisionError `search_not_found` or `search_ambiguous`."""
        start = self.response.find(search)
        if start >= 0:
            if self.response.find(search, start + 1) >= 0:
                raise _ambiguous(search)
            return Place(start, start + len(search), exact=True)
        places = self._same_words(search) or self._near(search)
        if not places:
            raise _not_found(search)
        if len(places) > 1:
            raise _ambiguous(search)
        return places[0]

    @cached_property
    def _words(self) -> list[re.Match[str]]:
        return list(re.finditer(r"\S+", self.response))

    @cached_property
    def _plain(self) -> str:
        return " ".join(word[0] for word in self._words).translate(_SAME)

    @cached_property
    def _plain_starts(self) -> list[int]:
        """Where each word begins in `_plain`."""
        starts, at = [], 0
        for word in self._words:
            starts.append(at)
            at += len(word[0]) + 1
        return starts

    @cached_property
    def _places_of_word(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for index, word in enumerate(self._plain.split(" ") if self._words else ()):
            places.setdefault(word, []).append(index)
        return places

    def _same_words(self, search: str) -> list[Place]:
        """Up to two places with the words of `search`, white space and typography aside."""
        wanted = _plain_words(search)
        found: list[Place] = []
        at = self._plain.find(wanted)
        for _ in range(_TRIES):
            if at < 0 or len(found) == 2:
                return found
            if self._stands_free(at, at + len(wanted)):
                found.append(Place(self._back(at), self._back(at + len(wanted) - 1) + 1, exact=False))
            at = self._plain.find(wanted, at + 1)
        return found

    def _near(self, search: str) -> list[Place]:
        """The best place of nearly the same words, if good enough, and a rival that makes it doubtful."""
        wanted = _plain_words(search)
        words = wanted.split(" ")
        if len(words) < MIN_WORDS or len(wanted) < MIN_CHARS:
            return []
        spans = self._spans(words)
        self._work_left -= len(spans) * (len(wanted) ** 2 // 64 + COST_OF_ONE)
        if self._work_left < 0:
            return []
        scored = sorted((-score, span) for span in spans if (score := self._likeness(wanted, span)))
        if not scored or -scored[0][0] < MIN_SIMILARITY:
            return []
        best_score, best = scored[0]
        rivals = [span for score, span in scored[1:] if score == best_score or span[1] < best[0] or span[0] > best[1]]
        return [
            Place(self._words[first].start(), self._words[last].end(), exact=False)
            for first, last in [best, *rivals[:1]]
        ]

    def _likeness(self, wanted: str, span: tuple[int, int]) -> float:
        """Per cent of characters that a stretch of words shares with `wanted`; 0 below `RIVAL_SIMILARITY`."""
        first, last = span
        end = self._plain_starts[last] + len(self._words[last][0])
        return fuzz.ratio(wanted, self._plain[self._plain_starts[first] : end], score_cutoff=RIVAL_SIMILARITY)

    def _spans(self, words: list[str]) -> list[tuple[int, int]]:
        """Stretches of about as many words that begin and end like the search text."""
        firsts, lasts = self._places_of_word.get(words[0], []), self._places_of_word.get(words[-1], [])
        slack = max(1, len(words) // 10)
        spans: list[tuple[int, int]] = []
        for first in firsts:
            low = bisect_left(lasts, first + len(words) - 1 - slack)
            high = bisect_right(lasts, first + len(words) - 1 + slack)
            spans += [(first, last) for last in lasts[low:high]]
            if len(spans) * COST_OF_ONE > MAX_WORK:
                break
        return spans

    def _stands_free(self, start: int, end: int) -> bool:
        """Whether no word of `_plain` is cut in two at either end."""
        text = self._plain
        neighbors = text[max(0, start - 1) : start + 1], text[end - 1 : end + 1]
        return not any(len(pair) == 2 and pair.isalnum() and len(words(pair)) == 1 for pair in neighbors)

    def _back(self, at: int) -> int:
        """The index in the response of a word's character at `at` in `_plain`."""
        word = bisect_right(self._plain_starts, at) - 1
        return self._words[word].start() + at - self._plain_starts[word]


def find(search: str, response: str) -> Place:
    """The only place of `search` in `response`. Raises RevisionError as `Haystack.find` does."""
    return Haystack(response).find(search)


def _plain_words(text: str) -> str:
    return " ".join(text.split()).translate(_SAME)


def quote(text: str) -> str:
    """The beginning of a text, for a message."""
    words = " ".join(text[:400].split())
    return repr(words if len(words) <= 80 else words[:79] + "…")


def _not_found(search: str) -> RevisionError:
    return RevisionError(
        "search_not_found",
        f"{quote(search)} is not in the response",
        feedback=f"The words to replace {quote(search)} do not occur in the answer. "
        "Copy them from it character for character.",
    )


def _ambiguous(search: str) -> RevisionError:
    return RevisionError(
        "search_ambiguous",
        f"{quote(search)} is in the response more than once",
        feedback=f"The words to replace {quote(search)} occur more than once in the answer. "
        "Take more of the words around them into the block.",
    )
