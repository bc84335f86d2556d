"""Rows of every layout become text pairs, or one clear error. Files are real, in a temporary folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clair.errors import UsageError
from clair.train.data import TextPair, pairs_of, read_pairs, text_pair

USER = {"role": "user", "content": "why?"}
GOOD = {"role": "assistant", "content": "because"}
BAD = {"role": "assistant", "content": "dunno"}
CHAT = TextPair((USER,), GOOD, BAD)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, CHAT),
        ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, CHAT),
        ({"prompt": "why?", "chosen": [USER, GOOD], "rejected": [USER, BAD], "rational": "x"}, CHAT),
        ({"prompt": "why?", "chosen": [GOOD], "rejected": [BAD]}, CHAT),
        ({"prompt": [USER], "chosen": GOOD, "rejected": BAD}, CHAT),
        ({"prompt": [USER], "chosen": "because", "rejected": "dunno"}, CHAT),
        ({"prompt": "The sky is", "chosen": " blue", "rejected": " red"}, TextPair("The sky is", " blue", " red")),
        ({"chosen": "The sky is blue", "rejected": "The sky is red"}, TextPair("The sky is", " blue", " red")),
    ],
    ids=["explicit", "implicit", "clair_32k", "prompt_text", "bare_message", "answer_text", "plain", "plain_implicit"],
)
def test_every_layout_gives_the_same_pair(row: dict[str, Any], expected: TextPair) -> None:
    assert text_pair(row) == expected


CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
THOUGHT = {**GOOD, "reasoning_content": "hm"}
CALLED = (USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "sun", "name": "weather"})


def test_messages_stay_whole_in_memory_and_from_parquet(tmp_path: Path) -> None:
    """Calls, names, thoughts and tools; None, with which a table fills the keys that a message lacks, is left out."""
    row = {"prompt": list(CALLED), "chosen": [THOUGHT], "rejected": [BAD], "tools": [TOOL]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "pairs.parquet")
    expected = TextPair(CALLED, THOUGHT, BAD, (TOOL,))
    assert [text_pair(row), text_pair({**row, "tools": json.dumps([TOOL])})] == [expected, expected]
    assert read_pairs(str(tmp_path)) == [expected]
    assert text_pair({**row, "tools": None}) == expected._replace(tools=())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": [USER], "chosen": GOOD, "rejected": BAD, "tools": 7},
            "tools must be a list of function schemas, got",
        ),
        ({"prompt": [USER], "chosen": GOOD, "rejected": BAD, "tools": "{"}, "row: tools is text and not JSON"),
        ({"prompt": "a", "chosen": "b", "rejected": "c", "tools": [TOOL]}, "tools belong to a chat, and the row is"),
        ({"prompt": [{**USER, "content": None}], "chosen": GOOD, "rejected": BAD}, "expected a message with role and"),
        ({"prompt": "a", "chosen": "b"}, "row: no column 'rejected'; it has chosen, prompt"),
        ({}, "row: no column 'chosen'; it has no columns"),
        ({"prompt": [USER], "chosen": [USER], "rejected": [BAD]}, "chosen must be one assistant message, got user"),
        ({"prompt": [USER], "chosen": [GOOD, USER, GOOD], "rejected": [BAD]}, "got assistant, user, assistant"),
        ({"chosen": [USER, GOOD], "rejected": [{**USER, "content": "how?"}, BAD]}, "must be the same conversation"),
        ({"prompt": [USER], "chosen": [{"role": "assistant"}], "rejected": [BAD]}, "expected a message with role"),
        ({"prompt": [USER], "chosen": 7, "rejected": [BAD]}, "chosen must be text or a list of messages, got int"),
        ({"chosen": "yes", "rejected": "no"}, "without a prompt, chosen and rejected must begin with the same words"),
    ],
)
def test_an_unusable_row_says_what_is_wrong(row: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        text_pair(row)


ROW = {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}


def test_a_run_folder_is_read_shard_by_shard(tmp_path: Path) -> None:
    """data/train-*.parquet in order; other columns and the rejects are left alone."""
    (tmp_path / "data").mkdir()
    for i in range(2):
        table = pa.Table.from_pylist([{**ROW, "id": "x", "chosen": [{**GOOD, "content": f"answer {i}"}]}])
        pq.write_table(table, tmp_path / "data" / f"train-0000{i}-of-00002.parquet")
    assert [pair.chosen["content"] for pair in read_pairs(str(tmp_path))] == ["answer 0", "answer 1"]


def test_json_lines_are_read_and_empty_lines_skipped(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n\n{json.dumps(ROW)}\n")
    assert read_pairs(str(path)) == [CHAT, CHAT]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    bad_json, text, broken = tmp_path / "a.jsonl", tmp_path / "a.txt", tmp_path / "a.parquet"
    bad_json.write_text(json.dumps(ROW) + "\n{oops\n")
    text.write_text("hello")
    broken.write_text("no parquet")
    for path, message in (
        (bad_json, "line 2 is not JSON"),
        (text, r"a.txt' is neither a folder, nor .parquet, nor .jsonl"),
        (broken, "cannot be read as Parquet"),
        (tmp_path / "sub", "holds no Parquet files; a run folder has data/train"),
    ):
        (tmp_path / "sub").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=message):
            read_pairs(str(path))


def test_no_rows_at_all_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_text("")
    with pytest.raises(UsageError, match=r"empty.jsonl holds no pairs"):
        read_pairs(str(path))
    with pytest.raises(UsageError, match="the given rows, row 1: no column 'chosen'"):
        pairs_of([ROW, {}])
