"""Fuzzing input files in every format, as prompts and as evaluation sets. Real files; no doubles."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from clair.errors import UsageError
from clair.hygiene import Hygiene
from clair.sources import check_rows, read_rows
from clair.sources.files import READERS
from tests.chaos.fuzzing import JSON, fuzz, mutated

NAMES = st.sampled_from(["prompt", "messages", "question", "instruction", "input", "text", "response", "a.b"])
TURNS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "system", "assistant", "?"]) | JSON,
            "content": st.text(max_size=9) | JSON,
            "from": JSON,
        },
    ),
    max_size=3,
)
RECORDS = st.dictionaries(NAMES, st.text(max_size=20) | TURNS | JSON, max_size=4)

LINES = st.lists(RECORDS | JSON, max_size=6).map(lambda found: "\n".join(map(json.dumps, found)).encode())
ARRAYS = st.lists(RECORDS | JSON, max_size=6).map(lambda found: json.dumps(found).encode())
CSV = st.lists(st.lists(NAMES | st.text(max_size=9), max_size=4).map(",".join), max_size=5).map(
    lambda rows: "\n".join(rows).encode("utf-8", "replace")
)
NESTED = st.sampled_from(
    [b"[" * 5000, b'{"prompt":' * 5000, b'{"prompt": ' + b"9" * 5000 + b"}", b'{"prompt": "\\ud800"}', b"\xef\xbb\xbf"]
)


def _parquet(texts: list[str | None], group: int) -> bytes:
    file = io.BytesIO()
    clean = [text and text.encode("utf-8", "replace").decode() for text in texts]
    pq.write_table(pa.table({"prompt": pa.array(clean, pa.string())}), file, row_group_size=group)
    return file.getvalue()


PARQUET = st.builds(_parquet, st.lists(st.none() | st.text(max_size=20), max_size=6), st.integers(1, 4))
DATA = mutated(LINES) | mutated(ARRAYS) | mutated(CSV) | NESTED | st.binary(max_size=300)


@fuzz(data=DATA | mutated(PARQUET), ending=st.sampled_from(list(READERS)))
def test_a_file_of_any_bytes_gives_rows_or_a_usage_error(data: bytes, ending: str) -> None:
    assert_read(data, ending)


@fuzz(data=mutated(PARQUET))
def test_a_damaged_parquet_file_gives_rows_or_a_usage_error(data: bytes) -> None:
    assert_read(data, ".parquet")


def assert_read(data: bytes, ending: str) -> None:
    """What is read can be sent and stored; both passes over the file agree; an evaluation set is read whole or not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{ending}"
        path.write_bytes(data)
        try:
            rows = list(read_rows(str(path), on_bad_row="reject"))
        except UsageError as error:
            str(error).encode("utf-8")
        else:
            assert check_rows(str(path), on_bad_row="reject") == len(rows)
            for row in rows:
                json.dumps([row.messages, row.metadata, row.problem], ensure_ascii=False).encode("utf-8")
                json.loads(row.metadata)
                assert (row.problem is None) == bool(row.messages)
                assert row.problem is not None or row.messages[-1]["role"] == "user"
        with contextlib.suppress(UsageError):
            hygiene = Hygiene(near_duplicates=0.5, decontaminate=[str(path)])
            for row in read_rows(str(path), on_bad_row="reject"):
                verdict = hygiene.verdict(row)
                assert verdict is None or len(verdict.detail) < 1000
