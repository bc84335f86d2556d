"""A target, a reviser and a judge with known behavior, for the runs of every recipe over real HTTP.

Prompts are "Tell me about row N."; an answer is some words, of which those with "wrong" are mistakes. The k-th sample
of a row (told by the request's seed) has `(N + k) % 3` mistakes; the reviser mends one of them, or makes one; the judge
counts them. Row N % 10 decides about the rest, see `judge_says`. All models are doubles; server, client and files are
real.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.servers.chat import Fault, Reply

MODELS = ("target", "reviser", "judge")
PLACES = (3, 7, 11)
USAGE = {"target": (10, 20), "reviser": (100, 50), "judge": (200, 5)}


def write_prompts(path: Path, count: int) -> Path:
    """`count` prompts as JSONL, each with two given answers: `one` and `two`."""
    lines = (
        json.dumps({"prompt": f"Tell me about row {n}.", "one": response(n, 0), "two": response(n, 1), "n": n})
        for n in range(count)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def response(number: int, sample: int, mistakes: int | None = None) -> str:
    """The target's answer: 15 words, of which `(number + sample) % 3` are wrong."""
    wrong = PLACES[: (number + sample) % 3 if mistakes is None else mistakes]
    return " ".join(f"{'wrong' if place in wrong else 'word'}{number}x{place}" for place in range(15))


def answer(body: dict[str, Any]) -> Reply | Fault:
    """What the models say to a request; the target's requests must carry a seed."""
    model, messages = body["model"], body["messages"]
    text = "\n".join(message["content"] for message in messages)
    found = re.search(r"about row (\d+)\.", text)
    assert found is not None, text
    number = int(found[1])
    first = all(message["role"] != "assistant" for message in messages)
    if model == "target":
        return Reply(response(number, body["seed"]), usage=USAGE[model])
    said = judge_says(number, text, first) if model == "judge" else _reviser(number, text)
    return Reply(said, usage=USAGE[model])


def judge_says(number: int, text: str, first: bool) -> str:
    """Fewer mistakes are better. Row 7 of ten: whatever is shown first; 8: no verdict at first; 9: never one."""
    if number % 10 == 9 or (number % 10 == 8 and first):
        return "Hard to say."
    if "answer-A-" not in text:
        return f"Counted.\n[[{9 - 3 * _block('answer', text).count('wrong')}]]"
    one, two = (_block(f"answer-{name}", text).count("wrong") for name in "AB")
    label = "A" if one < two or number % 10 == 7 else "B" if two < one else "C"
    return f"Counted.\n[[{label}]]"


def _reviser(number: int, text: str) -> str:
    shown = _block("answer", text)
    if not shown:
        return response(number, 0, mistakes=0)
    if "Write the critique only" in text:
        return f"{shown.count('wrong')} mistakes."
    kind = "worse" if " worse with the smallest edits" in text else "better"
    place = next((p for p in PLACES if (f"wrong{number}x{p}" in shown.split()) == (kind == "better")), None)
    words = shown.split()
    if place is not None:
        words[place] = f"{'word' if kind == 'better' else 'wrong'}{number}x{place}"
    return f"One word.\n\n**Corrected Student Solution:**\n\n{' '.join(words)}"


def _block(name: str, text: str) -> str:
    found = re.search(rf"<{name}-(\w+)>\n(.*?)\n</{name}-\1>", text, re.DOTALL)
    return found[2] if found else ""
