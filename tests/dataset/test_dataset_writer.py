"""Shards on a real disk, read back with pyarrow. Outcomes are hand-made."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dataset_examples import pair, reject

from clair.dataset.invariants import SeenIds, duplicates
from clair.dataset.schema import PAIR_COLUMNS, PAIR_SCHEMA, REJECT_SCHEMA
from clair.dataset.writer import shards, write_split
from clair.errors import ClairError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def bytes_of(paths):
    return [path.read_bytes() for path in paths]


def test_a_pair_is_written_as_the_columns_say(tmp_path):
    (path,) = write_split([pair(7)], tmp_path, "pairs")
    assert path == tmp_path / "data" / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    assert table.schema.equals(PAIR_SCHEMA)
    assert table.to_pylist() == [
        {
            "id": "00000000000000000000000000000007",
            "prompt": [{"role": "user", "content": "What is 7 + 1?"}],
            "chosen": [{"role": "assistant", "content": "It is 8 ."}],
            "rejected": [{"role": "assistant", "content": "It is 7 ."}],
            "rationale": "off by one",
            "recipe": "clair",
            "protocol": "edits",
            "target_model": "small",
            "reviser_model": "large",
            "judge_model": None,
            "attempts": 1,
            "edits": 1,
            "word_distance": 1,
            "word_similarity": 0.75,
            "jaccard": 0.6,
            "char_distance": 3,
            "char_similarity": 0.8,
            "shared_prefix": 0.75,
            "length_ratio": 1.0,
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "cost_usd": 0.5,
            "source": "prompts.jsonl",
            "source_index": 7,
            "metadata": '{"level":1}',
            "parent_id": None,
            "step": None,
        }
    ]
    assert table.column_names == [column.name for column in PAIR_COLUMNS]


def test_a_reject_is_written_as_the_columns_say(tmp_path):
    (path,) = write_split([reject(2, prompt=(), response=None, revision=None)], tmp_path, "rejects")
    assert path == tmp_path / "rejects" / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    assert table.schema.equals(REJECT_SCHEMA)
    assert table.to_pylist() == [
        {
            "id": "00000000000000000000000000000002",
            "prompt": [],
            "stage": "gate",
            "reason": "too_different",
            "detail": "78 % of the words changed",
            "response": None,
            "revision": None,
            "attempts": 3,
            "cost_usd": 1.5,
            "source": "prompts.jsonl",
            "source_index": 2,
        }
    ]


def test_the_same_outcomes_give_the_same_bytes(tmp_path):
    first = write_split((pair(n) for n in range(50)), tmp_path / "a", "pairs", shard_bytes=5000, group_rows=7)
    second = write_split((pair(n) for n in range(50)), tmp_path / "b", "pairs", shard_bytes=5000, group_rows=7)
    assert len(first) > 1
    assert bytes_of(first) == bytes_of(second)


def test_shards_keep_the_order_and_carry_their_number(tmp_path):
    paths = write_split((pair(n) for n in range(50, 0, -1)), tmp_path, "pairs", shard_bytes=8000, group_rows=10)
    assert [path.name for path in paths] == [f"train-{n:05d}-of-{len(paths):05d}.parquet" for n in range(len(paths))]
    assert [n for path in paths for n in pq.read_table(path)["source_index"].to_pylist()] == list(range(50, 0, -1))
    assert shards(tmp_path, "pairs") == paths


def test_row_groups_are_bounded_by_rows_and_by_bytes(tmp_path):
    (by_rows,) = write_split((pair(n) for n in range(25)), tmp_path / "a", "pairs", group_rows=10)
    meta = pq.read_metadata(by_rows)
    assert [meta.row_group(index).num_rows for index in range(meta.num_row_groups)] == [10, 10, 5]
    outcomes = [pair(0), pair(1, chosen="x" * 5000), pair(2)]
    (by_bytes,) = write_split(outcomes, tmp_path / "b", "pairs", group_bytes=1000)
    meta = pq.read_metadata(by_bytes)
    assert [meta.row_group(index).num_rows for index in range(meta.num_row_groups)] == [1, 1, 1]


def test_files_are_zstd_with_page_index(tmp_path):
    (path,) = write_split([pair(1)], tmp_path, "pairs")
    column = pq.read_metadata(path).row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert column.has_column_index


def test_an_earlier_export_is_replaced_as_a_whole(tmp_path):
    write_split((pair(n) for n in range(50)), tmp_path, "pairs", shard_bytes=5000, group_rows=7)
    (tmp_path / "data" / "notes.txt").write_text("mine")
    (tmp_path / "data" / ".writing-00009.parquet").write_bytes(b"left by a crash")
    write_split([pair(1)], tmp_path, "pairs")
    assert names(tmp_path / "data") == ["notes.txt", "train-00000-of-00001.parquet"]
    write_split((pair(n) for n in range(20)), tmp_path, "pairs", shard_bytes=5000, group_rows=7)
    again = write_split((pair(n) for n in range(20)), tmp_path, "pairs", shard_bytes=5000, group_rows=7)
    assert names(tmp_path / "data") == ["notes.txt", *(path.name for path in again)]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (pair(3, chosen="It  is 3\n."), "same words"),
        (pair(3, chosen=" \n"), "empty answer"),
        (pair(3, rejected=""), "empty answer"),
        (pair(3, prompt=()), "no prompt"),
        (pair(1, chosen="something else"), "occurs twice"),
        (reject(3), "is a Reject"),
    ],
)
def test_a_broken_invariant_is_named_and_changes_nothing(tmp_path, bad, message):
    before = bytes_of(write_split([pair(9)], tmp_path, "pairs"))
    with pytest.raises(ClairError, match=message) as caught:
        write_split([pair(1), pair(2), bad], tmp_path, "pairs", shard_bytes=1)
    assert bad.id in str(caught.value)
    assert names(tmp_path / "data") == ["train-00000-of-00001.parquet"]
    assert bytes_of(shards(tmp_path, "pairs")) == before


def test_a_failing_stream_changes_nothing(tmp_path):
    def broken():
        yield pair(1)
        raise OSError("disk gone")

    before = bytes_of(write_split([pair(9)], tmp_path, "pairs"))
    with pytest.raises(OSError, match="disk gone"):
        write_split(broken(), tmp_path, "pairs")
    assert bytes_of(shards(tmp_path, "pairs")) == before
    assert names(tmp_path / "data") == ["train-00000-of-00001.parquet"]


def test_an_empty_split_has_the_schema_and_no_row_group(tmp_path):
    (path,) = write_split([], tmp_path, "rejects")
    assert pq.read_schema(path).equals(REJECT_SCHEMA, check_metadata=True)
    assert pq.read_metadata(path).num_row_groups == 0


def test_lone_surrogates_become_replacement_characters(tmp_path):
    (path,) = write_split([pair(1, rationale="a\ud800b", chosen="😀\udc00")], tmp_path, "pairs")
    row = pq.read_table(path).to_pylist()[0]
    assert row["rationale"] == "a\ufffdb"
    assert row["chosen"][0]["content"] == "😀\ufffd"


def test_a_shared_hash_alone_is_no_duplicate():
    seen = SeenIds()
    for row_id in ("a", "b", "c", "b"):
        seen.add(row_id)
    suspects = seen.suspects()
    assert len(suspects) == 1
    assert list(duplicates(["a", "b", "c", "b"], suspects)) == ["b"]
    assert list(duplicates(["a", "b", "c"], suspects)) == []


def test_unknown_costs_and_tokens_are_null_and_nothing_else_may_be(tmp_path):
    assert [field.name for field in PAIR_SCHEMA if field.nullable] == [
        "judge_model",
        "prompt_tokens",
        "completion_tokens",
        "cost_usd",
        "parent_id",
        "step",
    ]
    assert [field.name for field in REJECT_SCHEMA if field.nullable] == ["response", "revision", "cost_usd"]
    assert PAIR_SCHEMA.field("prompt").type.value_type == pa.struct(
        [pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)]
    )
