"""The text that the student learns from: problems of the pretraining split with worked answers by several writers.

First nearly all answers are right, so that the student acquires the skill; then many show a bad habit
(`arithmetic.BadHabits`), which hides the skill again. Alignment can bring it back, because it is there: an error of
missing skill could not be repaired by a few hundred preference pairs. This is a choice, not a finding.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from random import Random

from clair.sandbox.arithmetic import Arithmetic, BadHabits, Slips
from clair.sandbox.families import FAMILIES, Family
from clair.sandbox.problems import Problem, draw

OPENERS = ("Let us work it out step by step.", "Good question!", "Let me see.", "This can be solved in a few steps.")
CLOSERS = ("I hope this helps!", "That should be it.", "Feel free to check the numbers.")

TEACHER_SHARE = 0.03
OPENER_SHARE = 0.3
CLOSER_SHARE = 0.3
SLIP_CHANCE = 0.01
ECHOES_FIRST = 8000
ECHO_SHARE = 0.06
"""The first documents, and later a few of a hundred, only ask for some words back. Copying is what a small model learns
last: started this way, the loss after 600 steps of 32 documents was 0.25, and 0.47 without (one run each)."""
HABIT_CHANCE = {"bill": 0.6, "trip": 0.6, "week": 0.42, "stock": 0.48, "marks": 0.65}
"""Chance of the bad habit, by family: per document, or per field where the fields are independent. Set by trial so
that the student gets 40 to 50 % right."""


def write_answer(problem: Problem, values: dict[str, str], writer: int, opener: str = "", closer: str = "") -> str:
    """The worked answer with these values (right or wrong), in the words of one writer."""
    sentences = [step[writer].write(values) for step in problem.family.steps]
    return " ".join(part for part in (opener, *sentences, closer) if part)


def documents(seed: int, *, habits: bool) -> Iterator[tuple[str, str]]:
    """Endless (question, answer) pairs from the pretraining split."""
    rng = Random(f"corpus/{seed}/{habits}")  # noqa: S311 - a corpus needs no secret
    families = list(FAMILIES.values())
    for number in count(1):
        if not habits and rng.random() < (1.0 if number < ECHOES_FIRST else ECHO_SHARE):
            echo = _echo(families, rng)
            yield echo, echo
            continue
        problem = draw(rng.choice(families), rng)
        if problem.split != "pretrain":
            continue
        values = problem.family.solve(problem.given, _arithmetic(problem.family, rng, habits))
        yield problem.question, write_answer(problem, values, *_style(problem.family, rng))


def _echo(families: list[Family], rng: Random) -> str:
    """8 to 14 words of questions, in no order."""
    words: list[str] = []
    while len(words) < 14:
        question = draw(rng.choice(families), rng).question
        known = question.replace("?", "").replace(",", "").replace(".", "").split()
        words += rng.sample(known, min(6, len(known)))
    return " ".join(words[: rng.randint(8, 14)])


def _arithmetic(family: Family, rng: Random, habits: bool) -> Arithmetic:
    if not habits:
        return Slips(rng, SLIP_CHANCE)
    chance = HABIT_CHANCE[family.name]
    if family.independent:
        return BadHabits(rng, chance)
    return BadHabits(rng, 1.0) if rng.random() < chance else Slips(rng, SLIP_CHANCE)


def _style(family: Family, rng: Random) -> tuple[int, str, str]:
    if rng.random() < TEACHER_SHARE:
        return family.writers - 1, "", ""
    opener = rng.choice(OPENERS) if rng.random() < OPENER_SHARE else ""
    closer = rng.choice(CLOSERS) if rng.random() < CLOSER_SHARE else ""
    return rng.randrange(family.writers - 1), opener, closer
