"""The teacher in the other direction: a right value of an answer becomes wrong, and so does what follows from it.

worse = worsen(problem, text, rng)           # a Correction whose text scores lower, without changes if none is found
"""

from __future__ import annotations

from random import Random

from clair.sandbox.answers import Reading, read_answer
from clair.sandbox.arithmetic import BadHabits, Slips
from clair.sandbox.problems import Problem
from clair.sandbox.teacher import Change, Correction, apply
from clair.sandbox.wordings import Values

TRIES = 20


def worsen(problem: Problem, text: str, rng: Random) -> Correction:
    """Put a mistake into `text`, an answer of unknown origin: first a bad habit is tried, then slips of the pen."""
    reading = read_answer(problem, text)
    for attempt in range(TRIES):
        arithmetic = BadHabits(rng, 1.0) if attempt == 0 else Slips(rng, 0.3)
        changes = _changes(reading, problem.family.solve(problem.given, arithmetic))
        worse = apply(text, changes)
        if changes and read_answer(problem, worse).score < reading.score:
            return Correction(worse, changes, _reasoning(text, changes))
    return Correction(text, (), "Nothing in this answer is right, so no step can be made wrong.")


def _changes(reading: Reading, wrong: Values) -> tuple[Change, ...]:
    """The values that are right in the answer and different in the `wrong` solution."""
    solution = reading.problem.solution
    changes = []
    for sentence in reading.sentences:
        wording = sentence.wording
        match = wording.pattern.fullmatch(reading.text, sentence.start, sentence.end) if wording else None
        if wording is not None and match is not None:
            changes += [
                Change(*match.span(group), wrong[slot])
                for group, slot in enumerate(wording.slots, 1)
                if match[group] == solution[slot] != wrong[slot]
            ]
    return tuple(sorted(changes))


def _reasoning(text: str, changes: tuple[Change, ...]) -> str:
    points = (f'"{new}" in place of "{text[start:end]}"' for start, end, new in changes)
    return f"A plausible slip, carried through: {', '.join(points)}."
