"""The sandbox's own problems as rows of a generation run, the input of `clair generate` without prompts."""

from __future__ import annotations

from collections.abc import Iterator

from clair.records import Message, Row
from clair.sandbox.problems import Problem, problems
from clair.sources.canonical import canonical_json, short_hash

DEFAULT_PROMPTS = 200


def problem_rows(*, limit: int | None = None, samples: int = 1, seed: int = 0) -> Iterator[Row]:
    """`limit` alignment problems (200 if None), each `samples` times; the family and key go into the metadata."""
    count = DEFAULT_PROMPTS if limit is None else limit
    for index, problem in enumerate(problems("align", count, seed=seed)):
        for sample_index in range(samples):
            yield _row(problem, index, sample_index, ordinal=index * samples + sample_index)


def _row(problem: Problem, index: int, sample_index: int, *, ordinal: int) -> Row:
    messages = (Message(role="user", content=problem.question),)
    return Row(
        id=short_hash([messages, None, sample_index]),
        ordinal=ordinal,
        messages=messages,
        sample_index=sample_index,
        source="sandbox/align",
        source_index=index,
        metadata=canonical_json({"family": problem.family.name, "key": problem.key}),
    )
