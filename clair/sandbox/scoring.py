"""How good a model is at the sandbox's problems: exact answers and single steps, greedy and sampled.

    evaluate("my-aligned-student", "sandbox", n=400)
    # {"split": "test", "n": 400, "seed": 0, "model": {"exact": 0.61, "steps": ..., "low": ..., "high": ...}, ...}

The problems asked are the same for every model that is scored with the same split, n and seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from clair.errors import UsageError
from clair.records import Message
from clair.sandbox.answers import Score, read_answer
from clair.sandbox.problems import Problem, Split, problems

SANDBOX = "sandbox"
RESAMPLES = 1000
INTERVAL = 0.95

Conversations = Sequence[Sequence[Message]]
Answerer = Callable[[Conversations, float, int], Sequence[str]]
"""(conversations, temperature, seed) -> one answer each. Temperature is 0 (greedy) or 1; sample i may use seed + i."""


def evaluate(
    model: str | Path | Answerer,
    baseline: str | Path | Answerer | None = None,
    *,
    split: Split = "test",
    n: int = 400,
    seed: int = 0,
) -> dict[str, Any]:
    """Score `model`, and `baseline` on the same problems, with 95 % bootstrap intervals over the problems.

    A model is a folder or hub id, "sandbox" for the bundled student, or a function that answers. Per model:
    `exact`, `steps` (greedy, shares), `low`, `high` (interval of `exact`), `sampled_exact`, `sampled_steps` (at
    temperature 1), `sampled_low`, `sampled_high` and `families` (greedy exact by family). With a baseline also
    `gain`: `exact` (difference, paired), `low`, `high`. Raises UsageError.
    """
    if n < 1:
        raise UsageError(f"n must be at least 1, got {n}")
    asked = list(problems(split, n, seed=seed))
    greedy, report = _measured(model, asked, seed)
    result: dict[str, Any] = {"split": split, "n": n, "seed": seed, "model": report}
    if baseline is not None:
        baseline_greedy, result["baseline"] = _measured(baseline, asked, seed)
        gains = [a.exact - b.exact for a, b in zip(greedy, baseline_greedy, strict=True)]
        low, high = bootstrap(gains, seed=seed)
        result["gain"] = {"exact": fmean(gains), "low": low, "high": high}
    return result


def score_answers(asked: Sequence[Problem], answers: Sequence[str]) -> list[Score]:
    """One score per problem and its answer."""
    return [read_answer(problem, answer).score for problem, answer in zip(asked, answers, strict=True)]


def bootstrap(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean: percentiles over resamples with replacement."""
    rng = Random(f"bootstrap/{seed}")  # noqa: S311 - resampling needs no secret
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(RESAMPLES))
    tail = (1 - INTERVAL) / 2
    return means[int(tail * RESAMPLES)], means[int((1 - tail) * RESAMPLES) - 1]


def local_model(path: str | Path | None) -> Answerer:
    """The answering function of a model folder or hub id; None is the bundled student. Raises UsageError."""
    from clair.sandbox.student import PromptTooLong, Sample, Student

    student = Student.load(path)

    def answer(conversations: Conversations, temperature: float, seed: int) -> Sequence[str]:
        samples = [
            Sample(messages, temperature=temperature, seed=seed + index, max_tokens=256)
            for index, messages in enumerate(conversations)
        ]
        try:
            return [made.text for made in student.generate(samples)]
        except PromptTooLong as error:
            raise UsageError(f"the model at {str(path)!r} is too small for the sandbox: {error}") from error

    return answer


def _measured(model: str | Path | Answerer, asked: Sequence[Problem], seed: int) -> tuple[list[Score], dict[str, Any]]:
    """The greedy scores, and the report over greedy and sampled answers."""
    answer = model if callable(model) else local_model(None if model == SANDBOX else model)
    conversations = [[Message(role="user", content=problem.question)] for problem in asked]
    greedy = score_answers(asked, answer(conversations, 0.0, seed))
    sampled = score_answers(asked, answer(conversations, 1.0, seed))
    low, high = bootstrap([score.exact for score in greedy], seed=seed)
    sampled_low, sampled_high = bootstrap([score.exact for score in sampled], seed=seed)
    families: dict[str, list[bool]] = defaultdict(list)
    for problem, score in zip(asked, greedy, strict=True):
        families[problem.family.name].append(score.exact)
    return greedy, {
        "exact": fmean(score.exact for score in greedy),
        "steps": fmean(score.steps for score in greedy),
        "low": low,
        "high": high,
        "sampled_exact": fmean(score.exact for score in sampled),
        "sampled_steps": fmean(score.steps for score in sampled),
        "sampled_low": sampled_low,
        "sampled_high": sampled_high,
        "families": {name: fmean(values) for name, values in families.items()},
    }
