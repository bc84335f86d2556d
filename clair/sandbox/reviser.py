"""The teacher in the reviser's chair: reads the prompts of `prompts/`, replies in the protocol that they ask for.

    reply = answer_as_teacher(messages, faults=0.04, seed=0)      # Reply(text, finish_reason)

Everything between the lines that carry the request's token is untrusted: the question may hold what looks like an
answer, and the other way round. A chat without an answer to revise is taken as a question for the teacher itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from clair.records import Message
from clair.sandbox.problems import Problem, find_problem
from clair.sandbox.teacher import Change, correct, own_answer

CANNOT = "I'm sorry, I cannot help with this: I only know the word problems of the sandbox."

_TOKEN = re.compile(r"^<(?:conversation|answer)-([0-9a-f]{8,})>$", re.MULTILINE)
_MARKERS = re.compile(
    r"^(<{5,9} SEARCH[^\n]*)\n.*?^(={5,9}[^\n]*)\n.*?^(>{5,9} REPLACE[^\n]*)$", re.MULTILINE | re.DOTALL
)


class Reply(NamedTuple):
    """The text of a chat completion and why it ends ("stop" or "length")."""

    text: str
    finish_reason: str


class Task(NamedTuple):
    """A request for a revision. `markers` are the three lines of an edit block, None in the rewrite protocol."""

    question: str
    response: str
    token: str
    markers: tuple[str, str, str] | None


def answer_as_teacher(messages: Sequence[Message], *, faults: float, seed: int) -> Reply:
    """The teacher's reply: a revision, or its own answer to a plain question.

    A share `faults` of first replies is flawed as real revisers' are; which ones follows from `seed` and the task.
    """
    task = read_task(messages)
    problem = find_problem(_last_user_text(messages) if task is None else task.question)
    if problem is None:
        return Reply(CANNOT, "stop")
    if task is None:
        return Reply(own_answer(problem), "stop")
    rng = Random(f"{seed}|{problem.key}|{task.response}")  # noqa: S311 - which replies are flawed
    is_first = all(message["role"] != "assistant" for message in messages)
    if is_first and rng.random() < faults:
        return _flawed(task, problem, rng)
    return Reply(_revision(task, problem), "stop")


def read_task(messages: Sequence[Message]) -> Task | None:
    """What the rendered prompt asks to revise, or None if it is no such prompt."""
    text = next((message["content"] for message in messages if message["role"] == "user"), "")
    found = _TOKEN.search(text)
    answer = found and _block("answer", found[1], text)
    if not found or answer is None:
        return None
    token = found[1]
    conversation = _block("conversation", token, text) or ""
    turn = conversation[conversation.rfind(f"<user-{token}>") :] if f"<user-{token}>" in conversation else conversation
    instructions = text[text.rindex(f"</answer-{token}>") :]
    markers = None if f"<revised-{token}>" in instructions else _MARKERS.search(instructions)
    return Task(turn, answer, token, (markers[1], markers[2], markers[3]) if markers else None)


def _block(name: str, token: str, text: str) -> str | None:
    found = re.search(rf"^<{name}-{token}>\n(.*?)\n</{name}-{token}>$", text, re.MULTILINE | re.DOTALL)
    return None if found is None else found[1]


def _last_user_text(messages: Sequence[Message]) -> str:
    return next((message["content"] for message in reversed(messages) if message["role"] == "user"), "")


def _revision(task: Task, problem: Problem) -> str:
    correction = correct(problem, task.response)
    return _written(task, correction.reasoning, correction.text, correction.changes)


def _written(task: Task, reasoning: str, text: str, changes: tuple[Change, ...]) -> str:
    """Reasoning and revision in the form of the protocol."""
    if task.markers is None:
        return f"{reasoning}\n\n<revised-{task.token}>\n{text}\n</revised-{task.token}>"
    search, divider, replace = task.markers
    blocks = [
        f"{search}\n{task.response[start:end]}\n{divider}\n{new}\n{replace}"
        for start, end, new in unmistakable(task.response, changes or (Change(0, 0, ""),))
    ]
    return "\n\n".join([reasoning, *blocks])


def _flawed(task: Task, problem: Problem, rng: Random) -> Reply:
    kind = rng.choice(("rewritten", "no marker", "truncated"))
    if kind == "rewritten":
        own = own_answer(problem)
        everything = (Change(0, len(task.response), own),)
        return Reply(_written(task, "I solved the problem anew.", own, everything), "stop")
    correction = correct(problem, task.response)
    if kind == "no marker":
        return Reply(f"{correction.reasoning}\n\n{correction.text}", "stop")
    whole = _written(task, correction.reasoning, correction.text, correction.changes)
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
