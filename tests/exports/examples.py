"""Runs for the tests of the exports: pairs that loaders find hard, written by the real writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clair.dataset.writer import write_split
from clair.records import Contrast, Message, Pair, Spent

Rows = list[dict[str, Any]]

HARD = (
    'zwei\nZeilen,\r\n\ttab "quotes" \\ \u2028 \u2029 \u0085 \x1f '
    "\N{ZERO WIDTH JOINER}\N{PILE OF POO} \u6c34 </s> {{x}} %s"
)
"""Line ends of every kind, a control character, characters outside of the first plane, what templates react to."""

CHATS: tuple[tuple[Message, ...], ...] = (
    (Message(role="user", content="Name a prime above 10."),),
    (Message(role="system", content="Answer\nbriefly."), Message(role="user", content=HARD)),
    (
        Message(role="system", content=HARD),
        Message(role="user", content="Name a prime."),
        Message(role="assistant", content=" Two. \n"),
        Message(role="user", content="A larger one?"),
    ),
    (
        Message(role="user", content="Hello."),
        Message(role="assistant", content="Hello!"),
        Message(role="user", content="Name a prime above 10."),
    ),
)

_CONTRAST = Contrast(1, 0.75, 0.6, 3, 0.8, 0.75, 1.0, 1)


def pair(number: int, **changes: Any) -> Pair:
    """A pair; its prompt is one of CHATS in turn, its answers hold HARD."""
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "prompt": CHATS[number % len(CHATS)],
        "chosen": f"It is {number + 11}. {HARD}\n",
        "rejected": f"It is {number + 12}. {HARD}\n",
        "rationale": "not a prime",
        "recipe": "clair",
        "protocol": "edits",
        "target_model": "small",
        "reviser_model": "large",
        "judge_model": None,
        "contrast": _CONTRAST,
        "spent": Spent(attempts=1, prompt_tokens=10, completion_tokens=5, cost_usd=None),
        "source": "prompts.jsonl",
        "source_index": number,
        "metadata": '{"level":1}',
    }
    return Pair(**{**values, **changes})


def numbered(number: int) -> Pair:
    """A pair whose prompt no other pair has."""
    return pair(number, prompt=(Message(role="user", content=f"Which prime follows {number}?"),))


def write_run(folder: Path, pairs: list[Pair], **options: Any) -> Path:
    """A run folder that holds these pairs."""
    write_split(pairs, folder, "pairs", **options)
    return folder


def write_chains(folder: Path, parents: list[tuple[str, str | None]]) -> Path:
    """A run of (id, id of the whole pair or None), in this order."""
    write_run(folder, [pair(n, id=name) for n, (name, _) in enumerate(parents)])
    (path,) = (folder / "data").iterdir()
    table = pq.read_table(path)
    for name, values, of in (
        ("parent_id", [parent for _, parent in parents], pa.string()),
        ("step", [None if parent is None else 1 for _, parent in parents], pa.int64()),
    ):
        if name in table.column_names:
            table = table.drop([name])
        table = table.append_column(pa.field(name, of), pa.array(values, of))
    pq.write_table(table, path)
    return folder


def read_lines(path: Path) -> Rows:
    """The records of a JSONL file, read as binary lines, the way `datasets` and Python's own iteration do."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
