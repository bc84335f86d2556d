"""A split as a `datasets.Dataset` and as a stream. Real: the writer's files, `datasets`. No doubles."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq
import pytest
from dataset_examples import pair, reject
from datasets import Dataset, Features, IterableDataset

from clair import builders
from clair.dataset.schema import SCHEMAS
from clair.dataset.writer import write_split
from clair.errors import UsageError

Kind = Literal["pairs", "rejects"]
ROWS = {"pairs": [pair(number) for number in range(7)], "rejects": [reject(number) for number in range(7)]}


@pytest.mark.parametrize("kind", ["pairs", "rejects"])
def test_a_stream_has_the_rows_and_the_types_of_the_dataset(kind: Kind, tmp_path: Path):
    write_split(ROWS[kind], tmp_path, kind, shard_bytes=1, group_rows=3)
    whole, stream = builders.load(tmp_path, kind), builders.load(tmp_path, kind, streaming=True)
    assert isinstance(whole, Dataset)
    assert isinstance(stream, IterableDataset)
    assert stream.features == whole.features == Features.from_arrow_schema(SCHEMAS[kind])
    assert list(stream) == whole.to_list()
    assert len(whole) == 7


@pytest.mark.parametrize("kind", ["pairs", "rejects"])
def test_an_empty_split_is_typed_too(kind: Kind, tmp_path: Path):
    write_split([], tmp_path, kind)
    stream = builders.load(tmp_path, kind, streaming=True)
    assert stream.features == builders.load(tmp_path, kind).features == Features.from_arrow_schema(SCHEMAS[kind])
    assert (list(stream), builders.load(tmp_path, kind).num_rows) == ([], 0)


def test_a_run_without_a_column_of_today_loads_with_the_columns_it_has(tmp_path: Path):
    (path,) = write_split(ROWS["pairs"], tmp_path, "pairs")
    pq.write_table(pq.read_table(path).drop(["metadata"]), path)
    for found in (builders.load(tmp_path), builders.load(tmp_path, streaming=True)):
        assert "metadata" not in found.features
        assert next(iter(found))["chosen"] == [{"role": "assistant", "content": "It is 1 ."}]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_folder_that_is_no_run_is_refused(streaming: bool, tmp_path: Path):
    with pytest.raises(UsageError, match=r"holds no pairs. Expected a run folder made by `clair generate`"):
        builders.load(tmp_path, streaming=streaming)  # type: ignore[call-overload]
