"""The sandbox's own problems as rows of a generation run, the input of `clair generate` without prompts."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from clair.records import Message, Row
from clair.sandbox.arithmetic import BadHabits, Slips
from clair.sandbox.corpus import write_answer
from clair.sandbox.problems import Problem, Split, problems
from clair.sources.canonical import canonical_json, short_hash

DEFAULT_PROMPTS = 200
SLIP_CHANCE = 0.1  # per operation: about a third of the careful answers have a mistake
HABIT_CHANCE = 0.7


def problem_rows(
    *,
    limit: int | None = None,
    samples: int = 1,
    seed: int = 0,
    candidates: bool = False,
    split: Split = "align",
) -> Iterator[Row]:
    """`limit` problems of a split (200 if None), each `samples` times; the family and key go into the metadata.

    With `candidates` each has two given answers, of a careful and of a hasty writer of the student's corpus.
    """
    count = DEFAULT_PROMPTS if limit is None else limit
    for index, problem in enumerate(problems(split, count, seed=seed)):
        for sample_index in range(samples):
            answers = given_answers(problem, seed=seed) if candidates else ()
            ordinal = index * samples + sample_index
            yield _row(problem, f"sandbox/{split}", index, sample_index, answers, ordinal=ordinal)


def given_answers(problem: Problem, *, seed: int) -> tuple[str, str]:
    """A worked answer with a slip now and then, and one by a writer with bad habits; neither is always better."""
    rng = Random(f"{seed}/{problem.key}")  # noqa: S311 - a draw needs no secret
    careful = problem.family.solve(problem.given, Slips(rng, SLIP_CHANCE))
    hasty = problem.family.solve(problem.given, BadHabits(rng, HABIT_CHANCE))
    return write_answer(problem, careful, 0), write_answer(problem, hasty, 1)


def _row(
    problem: Problem, source: str, index: int, sample_index: int, answers: tuple[str, ...], *, ordinal: int
) -> Row:
    messages = (Message(role="user", content=problem.question),)
    given = [sorted(answers)] if answers else []
    return Row(
        id=short_hash([messages, None, sample_index, *given]),
        ordinal=ordinal,
        messages=messages,
        sample_index=sample_index,
        source=source,
        source_index=index,
        metadata=canonical_json({"family": problem.family.name, "key": problem.key}),
        answers=answers,
    )
