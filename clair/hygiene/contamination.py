"""Prompts that hold text of an evaluation set.

    sets = EvaluationSets.read(["test.jsonl", "owner/benchmark:main/test"])
    sets.find(row)          # Overlap(words="a train leaves ...", source="test.jsonl", place="line 7") or None

The rule is GPT-3's (arXiv 2005.14165, appendix C), on words as `words` defines them. Indexed is every text in a record,
whatever its column, however deep:

- a text of 13 words or more by each 13 words in a row,
- a text of 8 to 12 words as a whole,
- a shorter one as a whole, and only a last user turn that says just that matches it.

Looked at are all turns of a prompt but system ones (the setup is often the same in training and in evaluation), and
given answers by their 13 words in a row. Answers that are sampled later are not. Memory: 16 bytes per different run of
words, four times that while the sets are read. A prompt of 45 words takes 0.1 ms.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clair.errors import UsageError
from clair.hygiene.words import Numbers, fingerprints, words
from clair.records import Row
from clair.sources import read_records

LONG = 13
"""Words in a row that two texts do not share by chance."""

SHORT = 8
"""The fewest words that count as a quotation inside a longer text; GPT-3 takes 8 to 13, by evaluation set."""


class Overlap(NamedTuple):
    """The words that a row shares with a record of an evaluation set, and where that record is."""

    words: str
    source: str
    place: str


class EvaluationSets:
    """The runs of words of one or more evaluation sets. Made by `read`, or from records for tests."""

    def __init__(self, texts: Iterable[tuple[str, str, str]]) -> None:
        """Index (source, place, text) triples."""
        runs: dict[int, tuple[array[int], array[int]]] = {}
        self._places: list[tuple[str, str]] = []
        for source, place, text in texts:
            if not self._places or self._places[-1] != (source, place):
                self._places.append((source, place))
            for size, numbers in _phrases(words(text)):
                held, where = runs.setdefault(size, (array("Q"), array("Q")))
                held.frombytes(numbers.tobytes())
                where.extend([len(self._places) - 1] * len(numbers))
        self._index = {size: _sorted(*found) for size, found in runs.items()}

    @classmethod
    def read(cls, sets: Sequence[str]) -> EvaluationSets:
        """Index files, folders or dataset ids, all that `sources` reads.

        Raises:
            UsageError: one does not exist, has a record that cannot be read, or holds no text.
        """
        return cls(text for name in sets for text in _texts(name))

    def find(self, row: Row) -> Overlap | None:
        """The first run of words that the row shares with an evaluation set."""
        turns = [words(message["content"]) for message in row.messages if message["role"] != "system"]
        for turn in turns:
            if found := self._search(turn, [size for size in self._index if size >= SHORT]):
                return found
        if turns and len(turns[-1]) < SHORT and (found := self._search(turns[-1], [len(turns[-1])])):
            return found
        answers = (row.response or "", *row.answers)
        return next((found for answer in answers if (found := self._search(words(answer), [LONG]))), None)

    def _search(self, text: Sequence[str], sizes: Sequence[int]) -> Overlap | None:
        for size, numbers in sorted(fingerprints(text, sizes).items(), reverse=True):
            if size not in self._index:
                continue
            known, where = self._index[size]
            nearest = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
            hits = np.flatnonzero(known[nearest] == numbers)
            if len(hits):
                start = int(hits[0])
                return Overlap(" ".join(text[start : start + size]), *self._places[int(where[nearest[start]])])
        return None


def _phrases(text: Sequence[str]) -> Iterator[tuple[int, Numbers]]:
    size = min(len(text), LONG)
    if size:
        yield size, fingerprints(text, {size})[size]


def _sorted(held: array[int], where: array[int]) -> tuple[Numbers, npt.NDArray[np.uint64]]:
    """Different numbers in order, each with the first place that has it."""
    known, first = np.unique(np.frombuffer(held, dtype=np.uint64), return_index=True)
    return known, np.frombuffer(where, dtype=np.uint64)[first]


def _texts(name: str) -> Iterator[tuple[str, str, str]]:
    nothing = True
    for record in read_records(name):
        if record.value is None:
            raise UsageError(f"--decontaminate {name!r}: {record.explain(record.problem or '')}.")
        for text in _strings(record.value):
            nothing = False
            yield record.source, record.place, text
    if nothing:
        raise UsageError(f"--decontaminate {name!r} holds no text to compare prompts with.")


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
