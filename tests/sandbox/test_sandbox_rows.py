"""Problems as rows of a run. Nothing is doubled."""

from __future__ import annotations

import json

from clair.sandbox.problems import problems
from clair.sandbox.rows import problem_rows


def test_rows_are_alignment_problems_in_order_with_samples() -> None:
    rows = list(problem_rows(limit=3, samples=2, seed=4))
    questions = [problem.question for problem in problems("align", 3, seed=4)]
    assert [row.messages[0]["content"] for row in rows[::2]] == questions
    assert [(row.ordinal, row.sample_index, row.source_index) for row in rows] == [
        (0, 0, 0), (1, 1, 0), (2, 0, 1), (3, 1, 1), (4, 0, 2), (5, 1, 2),
    ]  # fmt: skip
    assert len({row.id for row in rows}) == 6
    assert json.loads(rows[0].metadata)["family"] == "bill"


def test_two_hundred_by_default() -> None:
    assert sum(1 for _ in problem_rows()) == 200
