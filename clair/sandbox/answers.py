"""Reading a worked answer of unknown origin: which sentence is which step, and are its values right?

    reading = read_answer(problem, text)
    reading.score           # Score(exact=False, steps=0.75)

Sentences are aligned to steps in order (dynamic programming): one that a writer's wording matches counts most, one
that merely resembles a step's sentence counts by its words in common.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from rapidfuzz.distance import Levenshtein

from clair.sandbox.arithmetic import DAYS
from clair.sandbox.problems import Problem
from clair.sandbox.wordings import Wording

_SENTENCE = re.compile(r"\S.*?(?:[.!?](?=\s)|$)", re.DOTALL)
_VALUE = re.compile(rf"\d+:\d+|\d+|{'|'.join(DAYS)}")
RESEMBLES = 0.5  # share of words in common from which a sentence can stand for a step
_MATCH = 2.0  # worth of a sentence in a known wording, before its right values are counted


class Score(NamedTuple):
    """`exact`: what was asked for is answered right, in sentences without mistake. `steps`: share of the steps that
    are right, 0 to 1."""

    exact: bool
    steps: float


class Sentence(NamedTuple):
    """`text[start:end]`, the step it stands for (None: none) and the wording it follows (None: only resembles)."""

    start: int
    end: int
    step: int | None
    wording: Wording | None


@dataclass(frozen=True)
class Reading:
    """An answer with its sentences assigned to the steps of the problem."""

    problem: Problem
    text: str
    sentences: tuple[Sentence, ...]

    @cached_property
    def writer(self) -> int:
        """The writer whose wordings occur most; the first one if none does."""
        steps = self.problem.family.steps
        votes = [0] * self.problem.family.writers
        for sentence in self.sentences:
            if sentence.step is not None and sentence.wording is not None:
                votes[steps[sentence.step].index(sentence.wording)] += 1
        return votes.index(max(votes))

    @cached_property
    def strays(self) -> tuple[Sentence, ...]:
        """Sentences with values in them that stand for no step."""
        return tuple(s for s in self.sentences if s.step is None and _VALUE.search(self.words(s)))

    @cached_property
    def right(self) -> bool:
        """Whether nothing has to be changed: every step stated, every value right, nothing else claimed."""
        return self.score == Score(exact=True, steps=1.0) and not self.strays

    @cached_property
    def score(self) -> Score:
        """Exactness of the answer and share of right steps.

        An answer in none of the known wordings is judged by the last values it names, which must be those asked
        for, in their order; its steps are then all right or all wrong.
        """
        if not any(sentence.wording for sentence in self.sentences):
            exact = self._ends_right()
            return Score(exact, float(exact))
        solution, answer = self.problem.solution, set(self.problem.family.answer)
        right_steps, right_answers = 0, set()
        for sentence in self.sentences:
            if sentence.wording is None:
                continue
            found = sentence.wording.read(self.words(sentence)) or {}
            if all(set(values) == {solution[name]} for name, values in found.items()):
                right_steps += 1
                right_answers |= found.keys() & answer
        exact = right_answers == answer and not self.strays
        return Score(exact, right_steps / len(self.problem.family.steps))

    def words(self, sentence: Sentence) -> str:
        """The text of a sentence."""
        return self.text[sentence.start : sentence.end]

    def _ends_right(self) -> bool:
        wanted = [self.problem.solution[name] for name in self.problem.family.answer]
        named = [value for value in _VALUE.findall(self.text) if _kind(value) == _kind(wanted[0])]
        return named[-len(wanted) :] == wanted


def read_answer(problem: Problem, text: str) -> Reading:
    """Assign the sentences of `text`, which may be anything, to the steps of the problem."""
    spans = [match.span() for match in _SENTENCE.finditer(text)]
    likeness = [[_likeness(problem, text[a:b], step) for step in problem.family.steps] for a, b in spans]
    chosen = _align([[worth for worth, _ in row] for row in likeness])
    return Reading(
        problem,
        text,
        tuple(
            Sentence(a, b, step, None if step is None else row[step][1])
            for (a, b), step, row in zip(spans, chosen, likeness, strict=True)
        ),
    )


def resemblance(left: str, right: str) -> float:
    """Share of words in place, 0 to 1."""
    return Levenshtein.normalized_similarity(left.split(), right.split())


def _kind(value: str) -> str:
    return "time" if ":" in value else "number" if value.isdigit() else "day"


def _likeness(problem: Problem, sentence: str, step: tuple[Wording, ...]) -> tuple[float, Wording | None]:
    """How much a sentence speaks for a step, 0 if not at all, and the wording that it follows."""
    for wording in step:
        found = wording.read(sentence)
        if found is not None:
            right = sum(set(values) == {problem.solution[name]} for name, values in found.items())
            return _MATCH + right / len(found), wording
    best = max(resemblance(sentence, wording.write(problem.solution)) for wording in step)
    return (best if best >= RESEMBLES else 0.0), None


def _align(worth: list[list[float]]) -> list[int | None]:
    """For each sentence its step, or None: the assignment in order whose worth is largest."""
    rows, columns = len(worth), len(worth[0]) if worth else 0
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            taken = worth[i][j] + best[i + 1][j + 1] if worth[i][j] else 0.0
            best[i][j] = max(taken, best[i + 1][j], best[i][j + 1])
    chosen: list[int | None] = [None] * rows
    i = j = 0
    while i < rows and j < columns:
        if worth[i][j] and best[i][j] == worth[i][j] + best[i + 1][j + 1]:
            chosen[i], i, j = j, i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return chosen
