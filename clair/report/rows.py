"""Rows of the Parquet files as what the page's browser shows, in JSON that no HTML parser can misread."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from clair.contrast import measure
from clair.report.text import LIMIT, cut, diff, dollars, visible

SHORT = 4_000  # characters of a rationale, a turn of the prompt or the metadata
TURNS = 12

Row = Mapping[str, Any]

_ESCAPES = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def island(value: Any) -> str:
    """JSON without any character that means something in HTML or ends a line in JavaScript."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def pair_row(row: Row, number: int) -> dict[str, Any]:
    """A pair as the browser wants it. `number` is its place in the file, from 1."""
    found = {
        **_common(row, number),
        "kind": "pair",
        "diff": diff(_answer(row["rejected"]), _answer(row["chosen"])),
        "why": cut(row["rationale"], SHORT),
        "similarity": round(row["word_similarity"], 4),
        "facts": [[label, form.format(row[name])] for name, label, form in _FACTS] + [_cost(row)],
    }
    if row.get("parent_id") is not None:
        found |= {"parent": visible(row["parent_id"]), "step": row.get("step")}
    return found


def reject_row(row: Row, number: int) -> dict[str, Any]:
    """A reject as the browser wants it: a diff where it has two texts, else the one it has."""
    response, revision = row.get("response"), row.get("revision")
    found = {
        **_common(row, number),
        "kind": "reject",
        "stage": visible(row["stage"]),
        "reason": visible(row["reason"]),
        "why": cut(row["detail"], SHORT),
        "similarity": None,
        "facts": [["attempts", str(row["attempts"])], _cost(row)],
    }
    if response is not None and revision is not None:
        found["diff"] = diff(response, revision)
        if max(len(response), len(revision)) <= LIMIT:
            found["similarity"] = round(measure(revision, response).word_similarity, 4)
    elif response is not None:
        found["text"] = cut(response)
    return found


_FACTS = (
    ("word_similarity", "word similarity", "{:.3f}"),
    ("edits", "edits", "{}"),
    ("word_distance", "words changed", "{}"),
    ("jaccard", "Jaccard", "{:.3f}"),
    ("char_similarity", "character similarity", "{:.3f}"),
    ("shared_prefix", "shared prefix", "{:.3f}"),
    ("length_ratio", "length ratio", "{:.3f}"),
    ("protocol", "protocol", "{}"),
    ("attempts", "attempts", "{}"),
)


def _common(row: Row, number: int) -> dict[str, Any]:
    turns = row["prompt"]
    shown = [[visible(turn["role"]), cut(turn["content"], SHORT)] for turn in turns[-TURNS:]]
    found = {"id": visible(row["id"]), "number": number, "prompt": shown}
    if len(turns) > TURNS:
        found["earlier"] = len(turns) - TURNS
    if row.get("metadata") not in (None, "", "{}"):
        found["metadata"] = cut(row["metadata"], SHORT)
    return {**found, "source": f"{cut(row['source'], 200)}, record {row['source_index']}"}


def _answer(messages: Any) -> str:
    return str(messages[0]["content"])


def _cost(row: Row) -> list[str]:
    return ["cost", dollars(row.get("cost_usd"))]
