"""The teacher in the reviser's chair: reads the prompts of `prompts/`, replies in the protocol that they ask for.

    reply = answer_as_teacher(messages, faults=0.04, seed=0)      # Reply(text, finish_reason)

It makes an answer right, or wrong where the prompt asks for that; what asks for a judgment goes to `judging`. A chat
without an answer to work on is taken as a question for the teacher itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from clair.records import Message
from clair.sandbox.judging import read_judgment
from clair.sandbox.problems import Problem, find_problem
from clair.sandbox.reading import Reply, is_first, last_user_text, read_shown
from clair.sandbox.teacher import Change, Correction, correct, own_answer
from clair.sandbox.worsener import worsen

CANNOT = "I'm sorry, I cannot help with this: I only know the word problems of the sandbox."

_MARKERS = re.compile(
    r"^(<{5,9} SEARCH[^\n]*)\n.*?^(={5,9}[^\n]*)\n.*?^(>{5,9} REPLACE[^\n]*)$", re.MULTILINE | re.DOTALL
)


class Task(NamedTuple):
    """A request for a revision. `markers` are the three lines of an edit block, None in the rewrite protocol."""

    question: str
    response: str
    token: str
    markers: tuple[str, str, str] | None
    worse: bool = False


def answer_as_teacher(messages: Sequence[Message], *, faults: float, seed: int) -> Reply:
    """The teacher's reply: a revision, a judgment, or its own answer to a plain question.

    A share `faults` of first replies is flawed as those of real models are; which ones follows from `seed` and what is
    shown. Its own answers are always right.
    """
    shown = read_shown(messages)
    judgment = read_judgment(shown) if shown else None
    task = None if judgment else read_task(messages)
    question = last_user_text(messages) if shown is None or not (judgment or task) else shown.question
    problem = find_problem(question)
    if problem is None:
        return Reply(CANNOT, "stop")
    if judgment is not None:
        rng = Random("|".join([str(seed), problem.key, *judgment.texts]))  # noqa: S311 - which replies are flawed
        return judgment.reply(problem, rng, flawed=is_first(messages) and rng.random() < faults)
    if task is None:
        return Reply(own_answer(problem), "stop")
    rng = Random(f"{seed}|{problem.key}|{task.response}")  # noqa: S311 - which replies are flawed
    flawed = is_first(messages) and rng.random() < faults
    changed = worsen(problem, task.response, rng) if task.worse else correct(problem, task.response)
    return _flawed(task, problem, changed, rng) if flawed else Reply(_written(task, changed), "stop")


def read_task(messages: Sequence[Message]) -> Task | None:
    """What the rendered prompt asks to revise, or None if it is no such prompt."""
    shown = read_shown(messages)
    answer = shown and shown.block("answer")
    if shown is None or answer is None:
        return None
    instructions = shown.after("answer", "critique")
    markers = None if f"<revised-{shown.token}>" in instructions else _MARKERS.search(instructions)
    return Task(
        shown.question,
        answer,
        shown.token,
        (markers[1], markers[2], markers[3]) if markers else None,
        worse=" worse " in instructions,
    )


def _written(task: Task, correction: Correction) -> str:
    """Reasoning and revision in the form of the protocol."""
    if task.markers is None:
        return f"{correction.reasoning}\n\n<revised-{task.token}>\n{correction.text}\n</revised-{task.token}>"
    search, divider, replace = task.markers
    blocks = [
        f"{search}\n{task.response[start:end]}\n{divider}\n{new}\n{replace}"
        for start, end, new in unmistakable(task.response, correction.changes or (Change(0, 0, ""),))
    ]
    return "\n\n".join([correction.reasoning, *blocks])


def _flawed(task: Task, problem: Problem, correction: Correction, rng: Random) -> Reply:
    kind = rng.choice(("rewritten", "no marker", "truncated"))
    if kind == "rewritten":
        own = own_answer(problem)
        everything = (Change(0, len(task.response), own),)
        return Reply(_written(task, Correction(own, everything, "I solved the problem anew.")), "stop")
    if kind == "no marker":
        return Reply(f"{correction.reasoning}\n\n{correction.text}", "stop")
    whole = _written(task, correction)
    return Reply(whole[: int(len(whole) * rng.uniform(0.3, 0.8))], "length")


def unmistakable(response: str, changes: Sequence[Change]) -> list[Change]:
    """The same changes, each widened to whole words that occur once in the response, touching ones joined."""
    widened = [_widen(response, change) for change in changes]
    joined: list[Change] = []
    for change in sorted(widened):
        if joined and change.start < joined[-1].end:
            joined[-1] = _join(response, joined[-1], change, changes)
        else:
            joined.append(change)
    return joined


def _widen(response: str, change: Change) -> Change:
    start, end, new = change
    words = [match.span() for match in re.finditer(r"\S+", response)]
    if not words:
        return Change(0, len(response), new)
    first = max((i for i, (a, _) in enumerate(words) if a <= start), default=0)
    last = max((i for i, (a, _) in enumerate(words) if a < end), default=first)
    last = max(first, last)
    if end and response[end - 1].isspace() and last + 1 < len(words):
        last += 1
    left = True
    while not _occurs_once(response, response[words[first][0] : words[last][1]]):
        if (left and first > 0) or last + 1 == len(words):
            first -= 1
        else:
            last += 1
        left = not left
    low, high = min(start, words[first][0]), max(end, words[last][1])
    return Change(low, high, response[low:start] + new + response[end:high])


def _join(response: str, before: Change, after: Change, changes: Sequence[Change]) -> Change:
    """One change for two whose words overlap, made of the original changes that lie within."""
    start, end = before.start, max(before.end, after.end)
    parts, at = [], start
    for low, high, new in changes:
        if start <= low and high <= end:
            parts += [response[at:low], new]
            at = high
    return Change(start, end, "".join([*parts, response[at:end]]))


def _occurs_once(response: str, words: str) -> bool:
    return response.find(words, response.find(words) + 1) < 0
