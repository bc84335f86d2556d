"""Recorded models: a target's answers and GPT-4's CLAIR revisions of them, served again over real HTTP.

    records = replay.load()                     # None where the recording is not at hand
    with ChatServer(replay.answers(records), models=("target", "gpt-4")) as server: ...

The recording lies beside the repository, not in it: 12 UltraFeedback tasks with the answer of a weak model and the
whole completion that `gpt-4-0125-preview` gave to the reference prompt of the paper's authors.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.servers.chat import Fault, Reply

PATH = Path(__file__).resolve().parents[3] / "shared/data/ultrafeedback_gpt4_revisions.jsonl"

Record = dict[str, Any]


def load() -> list[Record] | None:
    """The records (`task`, `student_solution`, `reviser_completion`), None if the file is not there."""
    if not PATH.is_file():
        return None
    return [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]


def write_prompts(path: Path, records: list[Record]) -> Path:
    """The tasks as prompts."""
    lines = (json.dumps({"prompt": record["task"]}) for record in records)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def answers(records: list[Record]) -> Callable[[Record], Reply | Fault]:
    """What the two recorded models say: the target by task, the reviser by the answer that it is shown."""

    def answer(body: Record) -> Reply | Fault:
        asked = [message["content"] for message in body["messages"] if message["role"] == "user"]
        if body["model"] == "target":
            (found,) = (record for record in records if record["task"] == asked[-1])
            return Reply(found["student_solution"])
        (found,) = (record for record in records if record["student_solution"] in asked[0])
        return Fault(body=found["reviser_completion"])

    return answer


def revision(record: Record) -> str:
    """The revised answer, cut out of the recorded reply by hand: all 12 have one marker, some with a colon."""
    text = record["reviser_completion"]["choices"][0]["message"]["content"]
    _, marker, rest = text.partition("{corrected_student_solution}")
    assert marker
    return str(rest.removeprefix(":").strip())
