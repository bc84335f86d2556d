"""Preference pairs from recorded answers, for the comparison of trainers.

real    GPT-4 revisions of UltraFeedback answers, recorded with the CLAIR reference prompt (they change most words)
made    Mistral-7B answers to AlpacaEval with strict small edits: a seeded program changes 5 to 20 % of the words in
        a few places, by replacing, inserting or leaving out runs of one to four words. They are what the `edits`
        protocol gives in length and overlap; they mean nothing.

The recordings lie in `../shared/data` beside the sources, or in the folder CLAIR_RECORDINGS names.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from clair.errors import RevisionError
from clair.revision.rewrite import parse

RECORDINGS = Path(os.environ.get("CLAIR_RECORDINGS") or Path(__file__).resolve().parents[3] / "shared" / "data")
REVISIONS = RECORDINGS / "ultrafeedback_gpt4_revisions.jsonl"
ANSWERS = RECORDINGS / "alpaca_eval_outputs.jsonl"
ANSWERED_BY = "Mistral-7B-Instruct-v0.2"

Record = dict[str, Any]


def missing() -> str | None:
    """Why there are no pairs here, or None."""
    absent = [path.name for path in (REVISIONS, ANSWERS) if not path.exists()]
    return f"{', '.join(absent)} not found in {RECORDINGS}" if absent else None


def real_pairs() -> list[Record]:
    """The recorded revisions, in the columns of a run folder."""
    pairs = []
    for record in _lines(REVISIONS):
        reply = record["reviser_completion"]["choices"][0]["message"]["content"]
        try:
            revision = parse(reply, response=record["student_solution"], token="0" * 16)
        except RevisionError as error:
            raise ValueError(f"the recorded revision of {record['task']!r:.60} cannot be read") from error
        pairs.append(_pair(record["task"], revision.text, record["student_solution"]))
    return pairs


def made_pairs(*, seed: int = 0) -> list[Record]:
    """One pair for each recorded answer, in the order of the recording."""
    rng = random.Random(seed)
    records = list(_lines(ANSWERS))
    return [
        _pair(record["instruction"], edited(answer, rng), answer)
        for record in records
        for answer in [record["outputs"][ANSWERED_BY]]
    ]


def edited(text: str, rng: random.Random) -> str:
    """`text` with 5 to 20 % of its words changed in a few places; all white space elsewhere stays."""
    pieces = text.split(" ")
    words = list(pieces)
    budget = max(1, round(len(pieces) * rng.uniform(0.05, 0.2)))
    while budget > 0:
        size = min(budget, rng.randint(1, 4))
        at = rng.randrange(len(pieces))
        new = [rng.choice(words) for _ in range(size)]
        kind = rng.choice(("replace", "insert", "leave out"))
        if kind == "replace":
            pieces[at : at + size] = new
        elif kind == "insert":
            pieces[at:at] = new
        elif len(pieces) > 2 * size:
            del pieces[at : at + size]
        budget -= size
    return " ".join(pieces) if pieces != words else f"{text} {rng.choice(words)}"


def _pair(prompt: str, chosen: str, rejected: str) -> Record:
    return {
        "prompt": [{"role": "user", "content": prompt}],
        "chosen": [{"role": "assistant", "content": chosen}],
        "rejected": [{"role": "assistant", "content": rejected}],
    }


def _lines(path: Path) -> list[Record]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
