"""Each file format, with the oddities that real files have. Files are real."""

from __future__ import annotations

import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clair.errors import UsageError
from clair.sources import read_rows
from clair.sources.tables import PARQUET_BATCH

BOM = b"\xef\xbb\xbf"


def read(path, content, **options):
    path.write_bytes(content)
    rows = read_rows(str(path), on_bad_row="reject", **options)
    return [row.messages[-1]["content"] if row.problem is None else row.problem for row in rows]


def test_text_has_a_prompt_per_line(tmp_path):
    content = BOM + "one\r\n\n  two \u2028 still two\n\xa0\nthree".encode()
    assert read(tmp_path / "p.txt", content) == [
        "one",
        "  two \u2028 still two",
        "p.txt, line 4: the prompt is empty",
        "three",
    ]


def test_a_line_of_text_that_is_not_utf8_is_bad(tmp_path):
    assert read(tmp_path / "p.txt", b"one\n\xff\n") == ["one", "p.txt, line 2: not UTF-8 (byte 1)"]


def test_jsonl_with_bom_and_crlf(tmp_path):
    assert read(tmp_path / "p.jsonl", BOM + b'{"prompt": "a"}\r\n{"prompt": "b"}\r\n') == ["a", "b"]


def test_json_arrays_pretty_or_not(tmp_path):
    records = [{"prompt": "a"}, 5, {"prompt": "b"}]
    expected = ["a", "p.json, element 2: expected a JSON object, got a number", "b"]
    assert read(tmp_path / "p.json", json.dumps(records).encode()) == expected
    assert read(tmp_path / "p.json", BOM + b"\n" + json.dumps(records, indent=2).encode()) == expected


def test_jsonl_under_the_name_json(tmp_path):
    assert read(tmp_path / "p.json", b'{"prompt": "a"}\nbroken\n{"prompt": "b"}\n') == [
        "a",
        "p.json, line 2: not JSON (Expecting value at column 1)",
        "b",
    ]


def test_one_pretty_printed_object_is_one_record(tmp_path):
    assert read(tmp_path / "p.json", json.dumps({"prompt": "a"}, indent=2).encode()) == ["a"]


def test_a_broken_array_is_refused_as_a_whole(tmp_path):
    with pytest.raises(UsageError, match=r"p\.json starts like a JSON array, but is not JSON \(.* at line 2, column"):
        read(tmp_path / "p.json", b'[{"prompt": "a"},\n{"prompt": ]')


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 100_000 + "]" * 100_000])
def test_json_beyond_pythons_limits_is_a_bad_row(tmp_path, value):
    content = b'{"prompt": "a"}\n{"prompt": "b", "n": ' + value.encode() + b"}\n"
    _, problem = read(tmp_path / "p.jsonl", content)
    assert problem.startswith("p.jsonl, line 2: not JSON that can be read")


def test_deep_metadata_is_a_bad_row_and_no_crash(tmp_path):
    content = b'{"prompt": "a"}\n{"prompt": "b", "n": ' + b"[" * 700 + b"]" * 700 + b"}\n"
    first, second = read(tmp_path / "p.jsonl", content)
    assert (first, second) in {("a", "b"), ("a", "p.jsonl, line 2: nested too deeply")}


def test_csv_with_quotes_and_line_breaks(tmp_path):
    content = BOM + b'prompt,level\r\n"one, ""two""\r\nlines",1\r\n\r\nthree,2\r\n'
    path = tmp_path / "p.csv"
    path.write_bytes(content)
    rows = list(read_rows(str(path)))
    assert [row.messages[0]["content"] for row in rows] == ['one, "two"\r\nlines', "three"]
    assert [row.metadata for row in rows] == ['{"level":"1"}', '{"level":"2"}']


def test_bad_csv_rows_are_named_by_line(tmp_path):
    content = b'prompt,level\n"a\nb",1\nc\nd,2,3\n\xff,1\n"e"f,1\ng,\x00\nh,1\n'
    problems = read(tmp_path / "p.csv", content)
    assert problems[:5] == [
        "a\nb",
        "p.csv, line 4: expected 2 fields as in the header, got 1",
        "p.csv, line 5: expected 2 fields as in the header, got 3",
        "p.csv, line 6: not UTF-8",
        "p.csv, line 7: not CSV (',' expected after '\"')",
    ]
    assert problems[-1] == "h"


def test_csv_without_a_usable_header_is_refused(tmp_path):
    with pytest.raises(UsageError, match="holds no prompts"):
        read(tmp_path / "p.csv", b"")
    with pytest.raises(UsageError, match=r"p\.csv, line 1: the header is not CSV"):
        read(tmp_path / "p.csv", b'"prompt"x\n1\n')


def test_a_csv_prompt_may_be_long(tmp_path):
    assert read(tmp_path / "p.csv", b"prompt\n" + b"x" * 200_000 + b"\n") == ["x" * 200_000]


def test_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"p\.csv: the header in line 1 names 'a' more than once"):
        read(tmp_path / "p.csv", b"prompt,a,a\nx,1,2\n")
    pq.write_table(pa.table([["x"], ["y"]], names=["prompt", "prompt"]), tmp_path / "p.parquet")
    with pytest.raises(UsageError, match=r"p\.parquet: the schema names 'prompt' more than once"):
        list(read_rows(str(tmp_path / "p.parquet")))


def test_parquet_with_messages_and_values_that_json_lacks(tmp_path):
    day = datetime.datetime(2025, 1, 2, 3, 4, 5)
    table = pa.table(
        {
            "messages": [[{"role": "user", "content": "hi"}]],
            "at": [day],
            "score": [float("nan")],
            "blob": [b"\xff\x00"],
            "note": [b"text"],
        }
    )
    pq.write_table(table, tmp_path / "p.parquet")
    (row,) = read_rows(str(tmp_path / "p.parquet"))
    assert row.messages == ({"role": "user", "content": "hi"},)
    assert row.metadata == '{"at":"2025-01-02T03:04:05","blob":"<2 bytes>","note":"text","score":null}'


def test_parquet_in_batches(tmp_path):
    count = 2 * PARQUET_BATCH + 5
    pq.write_table(pa.table({"prompt": [str(n) for n in range(count)]}), tmp_path / "p.parquet")
    rows = list(read_rows(str(tmp_path / "p.parquet")))
    assert [row.messages[0]["content"] for row in rows] == [str(n) for n in range(count)]
    assert [row.source_index for row in rows] == list(range(count))


def test_parquet_with_bytes_that_are_not_text(tmp_path):
    bad = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    pq.write_table(pa.table({"prompt": bad}), tmp_path / "p.parquet")
    rows = list(read_rows(str(tmp_path / "p.parquet"), on_bad_row="reject"))
    assert [row.problem for row in rows] == [None, "p.parquet, row 2: not UTF-8", None]


def test_parquet_with_a_column_name_that_is_not_text_is_refused(tmp_path):
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "whole.parquet", store_schema=False)
    damaged = (tmp_path / "whole.parquet").read_bytes().replace(b"prompt", b"pro\x80pt")
    with pytest.raises(UsageError, match=r"p\.parquet cannot be read as Parquet"):
        read(tmp_path / "p.parquet", damaged)


def test_what_is_not_parquet_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"p\.parquet cannot be read as Parquet"):
        read(tmp_path / "p.parquet", b"nonsense")
