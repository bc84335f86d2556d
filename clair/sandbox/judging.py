"""The teacher as judge and as critic: compares two answers, rates one, or says where one falls short.

    judgment = read_judgment(shown)          # None if something else is asked
    judgment.reply(problem, rng, flawed=False)

A flawed judge does what real ones do: it takes the answer that comes first, forgets the verdict, or is cut off.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple, Protocol

from clair.sandbox.answers import Score, read_answer
from clair.sandbox.problems import Problem
from clair.sandbox.reading import Reply, Shown
from clair.sandbox.teacher import correct, judge


class Judgment(Protocol):
    """A question about answers. `texts` are what is judged."""

    @property
    def texts(self) -> tuple[str, ...]: ...

    def reply(self, problem: Problem, rng: Random, *, flawed: bool) -> Reply: ...


class Comparison(NamedTuple):
    """Which of two answers is better?"""

    first: str
    second: str

    @property
    def texts(self) -> tuple[str, ...]:
        return self

    def reply(self, problem: Problem, rng: Random, *, flawed: bool) -> Reply:
        scores = [read_answer(problem, text).score for text in self]
        reasoning = f"Answer A {_described(scores[0])}. Answer B {_described(scores[1])}."
        label = {"first": "A", "second": "B", "tie": "C"}[judge(problem, *self)]
        if not flawed:
            return Reply(f"{reasoning}\n\n[[{label}]]", "stop")
        kind = rng.choice(("first", "no verdict", "truncated"))
        if kind == "first":
            return Reply("Answer A is the clearer one.\n\n[[A]]", "stop")
        return Reply(reasoning, "stop") if kind == "no verdict" else Reply(reasoning[: len(reasoning) // 2], "length")


class Rating(NamedTuple):
    """How good is an answer, from 1 to 10?"""

    answer: str

    @property
    def texts(self) -> tuple[str, ...]:
        return self

    def reply(self, problem: Problem, rng: Random, *, flawed: bool) -> Reply:
        score = read_answer(problem, self.answer).score
        reasoning = f"The answer {_described(score)}."
        if flawed:
            return Reply(reasoning, "stop") if rng.random() < 0.5 else Reply(reasoning[:12], "length")
        rating = 6 + round(4 * score.steps) if score.exact else 1 + round(3 * score.steps)
        return Reply(f"{reasoning}\n\n[[{rating}]]", "stop")


class Critique(NamedTuple):
    """Where does an answer fall short?"""

    answer: str

    @property
    def texts(self) -> tuple[str, ...]:
        return self

    def reply(self, problem: Problem, rng: Random, *, flawed: bool) -> Reply:
        del rng
        reasoning = correct(problem, self.answer).reasoning
        return Reply(reasoning[: len(reasoning) // 2], "length") if flawed else Reply(reasoning, "stop")


def read_judgment(shown: Shown) -> Judgment | None:
    """What is to be judged, None if a revision is asked for."""
    first, second, answer = (shown.block(name) for name in ("answer-A", "answer-B", "answer"))
    if first is not None and second is not None:
        return Comparison(first, second)
    if answer is None:
        return None
    if "rating" in shown.after("answer"):
        return Rating(answer)
    asks_for_text = shown.block("principle") is not None and shown.block("critique") is None
    return Critique(answer) if asks_for_text else None


def _described(score: Score) -> str:
    result = "gives the right result" if score.exact else "does not give the right result"
    return f"{result}, and {score.steps:.0%} of the steps are right"
