"""A model "new", a baseline "old" and a "judge" with known behavior, for judged evaluations over real HTTP.

Prompts are "Question N?". The last digit of N decides how the judge sees the two answers, see `RESULTS`; so every count
of an evaluation can be worked out by hand. The models are doubles; server, client, ledger and files are real.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.servers.chat import Reply

MODELS = ("new", "old", "judge")
RESULTS = ("win", "win", "win", "win", "loss", "loss", "tie", "disagreement", "identical", "failed")
USAGE = {"new": (10, 20), "old": (10, 10), "judge": (200, 5)}


def write_prompts(path: Path, count: int = 40) -> Path:
    """`count` prompts as JSONL, with the answers of both models as columns."""
    lines = (
        json.dumps({"prompt": f"Question {n}?", "by_new": text_of("new", n), "by_old": text_of("old", n)})
        for n in range(count)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def text_of(model: str, number: int) -> str:
    """An answer: good or bad, as the digit says. The new model writes 5 words, the old one 3."""
    result = RESULTS[number % 10]
    if result == "identical":
        return f"Same {number}  answer." if model == "new" else f"Same {number} answer."
    good = result == "tie" or (result == "win") == (model == "new")
    return f"{'good' if good else 'bad'} {number} {model}" + (" and more" if model == "new" else "")


def answer(body: dict[str, Any]) -> Reply:
    """What a model says to a request. The old model is cut off at every second prompt that ends in 9."""
    model, text = body["model"], body["messages"][-1]["content"]
    if model == "judge":
        return Reply(verdict(shown(body)), usage=USAGE[model])
    number = int(re.fullmatch(r"Question (\d+)\?", text)[1])  # type: ignore[index]
    finish = "length" if model == "old" and number % 20 == 19 else "stop"
    return Reply(text_of(model, number), finish_reason=finish, usage=USAGE[model])


def verdict(answers: tuple[str, str]) -> str:
    """The judge's reply to two answers in the order shown: never a verdict where the digit is 9."""
    result = RESULTS[int(answers[0].split()[1]) % 10]
    if result == "failed":
        return "Hard to say."
    one, two = (text.startswith("good") for text in answers)
    label = "A" if result == "disagreement" or one > two else "B" if two > one else "C"
    return f"Compared.\n[[{label}]]"


def always_first(body: dict[str, Any]) -> Reply:
    """The same models with a judge that likes what it sees first."""
    return Reply("The first one.\n[[A]]") if body["model"] == "judge" else answer(body)


def shown(body: dict[str, Any]) -> tuple[str, str]:
    """The answers A and B that the judge was shown at first."""
    text = next(message["content"] for message in body["messages"] if message["role"] == "user")
    found = [re.search(rf"^<answer-{name}-(\w+)>\n(.*?)\n</answer-{name}-\1>$", text, re.M | re.S) for name in "AB"]
    one, two = (match[2] for match in found if match)
    return one, two
