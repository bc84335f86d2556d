"""A recorded judge: preferences between two models' answers, served again over real HTTP.

    records = verdicts.load()                   # None where the recording is not at hand
    with ChatServer(verdicts.judge(records), models=("judge",)) as server: ...

The recording lies beside the repository, not in it: 400 AlpacaEval prompts with the answers of four models, and which
of two answers AlpacaEval's own judge preferred. Only the preference is recorded; the reply around it is a double.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[3] / "shared/data/alpaca_eval_outputs.jsonl"

Record = dict[str, Any]


def load() -> list[Record] | None:
    """The records (`instruction`, `outputs` by model, the preference), None if the file is not there."""
    if not PATH.is_file():
        return None
    return [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]


def preferred(record: Record) -> tuple[str, str]:
    """The models of the preferred answer and of the other."""
    said = record["judge_mistral_vs_gpt4"]
    names = said["output_1"], said["output_2"]
    return names if said["preference"] == 1 else names[::-1]


def judge(records: list[Record]) -> Callable[[Record], str]:
    """A judge that finds the recorded preference by the question and the answers that it is shown."""
    by_question = {record["instruction"]: record for record in records}

    def answer(body: Record) -> str:
        text = body["messages"][-1]["content"]
        record = by_question[_block("conversation", text)]
        shown = {letter: _block(f"answer-{letter}", text) for letter in "AB"}
        better, worse = (record["outputs"][name] for name in preferred(record))
        assert sorted(shown.values()) == sorted([better, worse])
        return f"As recorded.\n\n[[{'A' if shown['A'] == better else 'B'}]]"

    return answer


def _block(name: str, text: str) -> str:
    found = re.search(rf"^<{name}-(\w+)>\n(.*?)\n</{name}-\1>$", text, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return found[2]
