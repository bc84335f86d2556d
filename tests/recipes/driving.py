"""Recipes driven by hand: a function stands for all models, and what was asked is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from clair.contrast import Gate
from clair.recipes.base import Plan
from clair.recipes.catalog import RECIPES, prompts_of
from clair.records import Ask, Check, Completion, Outcome, Row, Usage
from clair.templates import Templates

TOKEN = "3f9a02c1"
Question = Ask | Check
Answer = Callable[[Any], Any]
"""From a question to a text, a Completion, a RowFailure or, for a Check, a number."""


def row(**changes: Any) -> Row:
    """The row "2 + 2?" with an id of its own."""
    plain = Row(
        id="row",
        ordinal=0,
        messages=({"role": "user", "content": "2 + 2?"},),
        sample_index=0,
        source="p.jsonl",
        source_index=0,
        metadata='{"sum":4}',
    )
    return replace(plain, **changes)


def plan(recipe: str, **changes: Any) -> Plan:
    """A plan with an open gate; the token of every request is TOKEN."""
    names = prompts_of(recipe, verify=changes.get("verify", False), checked=changes.get("checked", False))
    plain = Plan(
        target_model="small",
        reviser_model="large",
        judge_model="fair",
        protocol="edits",
        templates=Templates.load(names=names),
        principles=(),
        gate=Gate(max_change=1.0),
        allow_talk=False,
        max_attempts=3,
        token=lambda content: TOKEN,
        columns=("one", "two"),
    )
    return replace(plain, **changes)


def drive(
    recipe: str, answer: Answer, *, of: Row | None = None, **changes: Any
) -> tuple[Outcome, list[list[Question]]]:
    """How the row ends, and the questions in the groups in which they were asked. 2 tokens in, 1 out, 1 dollar each."""
    steps = RECIPES[recipe].run(of or row(), plan(recipe, **changes))
    asked: list[list[Question]] = []
    try:
        questions = next(steps)
        while True:
            asked.append(list(questions))
            questions = steps.send([_result(answer(question)) for question in questions])
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome, asked


def completion(text: str, finish_reason: str = "stop", refusal: str | None = None) -> Completion:
    """An answer for a dollar."""
    return Completion(text, finish_reason, refusal, usage=Usage(2, 1), cost_usd=1.0)


def _result(said: Any) -> Any:
    return completion(said) if isinstance(said, str) else said


def asked_text(ask: Ask) -> str:
    """The last thing that a model is told."""
    return ask.messages[-1]["content"]


def block(name: str, ask: Ask) -> str:
    """What a rendered prompt shows under a name."""
    text = ask.messages[1]["content"]
    return text.partition(f"<{name}-{TOKEN}>\n")[2].partition(f"\n</{name}-{TOKEN}>")[0]


def edit(search: str, new: str) -> str:
    """A reviser's reply with one block."""
    return f"Because.\n\n<<<<<<< SEARCH\n{search}\n=======\n{new}\n>>>>>>> REPLACE"
