"""Problems: drawn by seed, kept apart by split, recognized again in text.

    for problem in problems("align", 1000, seed=0):
        print(problem.question)

Which split a problem belongs to follows from a hash of its family and numbers alone (not of names or wording), so
an evaluation problem cannot turn up in pretraining or alignment data in other words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Literal, get_args

from clair.errors import UsageError
from clair.sandbox.arithmetic import Arithmetic
from clair.sandbox.families import FAMILIES, Family
from clair.sandbox.wordings import Values

Split = Literal["pretrain", "align", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_UPPER_PERCENT: tuple[tuple[Split, int], ...] = (("pretrain", 70), ("align", 90), ("dev", 95), ("test", 100))


@dataclass(frozen=True)
class Problem:
    """One word problem: its family, the values given, and the question as asked."""

    family: Family
    given: Values
    question: str

    @property
    def key(self) -> str:
        """The content that makes it this problem: family and numbers."""
        return "|".join([self.family.name, *(self.given[name] for name in self.family.numbers)])

    @property
    def split(self) -> Split:
        """The split that owns this problem, however it is worded."""
        percent = int.from_bytes(hashlib.sha256(self.key.encode()).digest()[:4], "big") % 100
        return next(split for split, upper in _UPPER_PERCENT if percent < upper)

    @cached_property
    def solution(self) -> dict[str, str]:
        """Every value that a right answer states."""
        return self.family.solve(self.given, Arithmetic())


def problems(split: Split, n: int, *, seed: int = 0) -> Iterator[Problem]:
    """`n` distinct problems of one split, the families taking turns; the same for the same seed.

    UsageError for an unknown split, and where a family has no further problem to give.
    """
    if split not in SPLITS:
        raise UsageError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
    rng = Random(f"{split}/{seed}")  # noqa: S311 - drawing problems needs no secret
    seen: set[str] = set()
    families = list(FAMILIES.values())
    for index in range(n):
        problem = _fresh(families[index % len(families)], split, rng, seen)
        seen.add(problem.key)
        yield problem


def _fresh(family: Family, split: Split, rng: Random, seen: set[str]) -> Problem:
    for _ in range(10_000):
        problem = draw(family, rng)
        if problem.split == split and problem.key not in seen:
            return problem
    raise UsageError(f"the {family.name} problems of split {split!r} are used up after {len(seen)}: ask for fewer")


def draw(family: Family, rng: Random) -> Problem:
    """One problem of any split."""
    given = family.draw(rng)
    return Problem(family, given, rng.choice(family.questions).write(given))


def find_problem(text: str) -> Problem | None:
    """The problem that is asked first in `text`, which may be anything, or None."""
    found: list[tuple[int, Problem]] = []
    for family in FAMILIES.values():
        for question in family.questions:
            match = question.pattern.search(text)
            if match is None:
                continue
            problem = _checked(family, question.read(match[0]) or {}, match[0])
            if problem is not None:
                found.append((match.start(), problem))
    return min(found, key=lambda item: item[0])[1] if found else None


def _checked(family: Family, found: dict[str, tuple[str, ...]], question: str) -> Problem | None:
    """The problem if the values found agree with each other and can be solved."""
    if any(len(set(values)) > 1 for values in found.values()):
        return None
    problem = Problem(family, {name: values[0] for name, values in found.items()}, question)
    try:
        problem.solution  # noqa: B018 - solving is the check
    except (ValueError, KeyError, IndexError):
        return None
    return problem
