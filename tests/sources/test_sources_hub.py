"""Dataset ids. `datasets` is real and offline: it opens a folder in the working directory under the same name."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clair.errors import RunStopped, UsageError
from clair.sources import check_rows, read_rows
from clair.sources.hub import DatasetId, _records, parse_dataset_id


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def on_the_hub(tmp_path):
    """A dataset `owner/name` with two configurations and two splits."""
    for config in ("easy", "hard"):
        folder = tmp_path / "owner" / "name" / config
        folder.mkdir(parents=True)
        for split in ("train", "test"):
            table = pa.table({"question": [f"{config} {split} {n}" for n in range(3)], "n": range(3)})
            pq.write_table(table, folder / f"{split}.parquet")
    (tmp_path / "owner" / "name" / "README.md").write_text(
        "---\nconfigs:\n"
        + "".join(f"- config_name: {config}\n  data_dir: {config}\n" for config in ("easy", "hard"))
        + "---\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", DatasetId("owner/name", None, "train")),
        ("owner/name:config", DatasetId("owner/name", "config", "train")),
        ("owner/name:config/test", DatasetId("owner/name", "config", "test")),
        ("owner/name/test", DatasetId("owner/name", None, "test")),
        ("owner/my.name-1:v0.1-a", DatasetId("owner/my.name-1", "v0.1-a", "train")),
        ("squad", DatasetId("squad", None, "train")),
        ("gsm8k:main/test", DatasetId("gsm8k", "main", "test")),
        ("./owner/name", None),
        ("/owner/name", None),
        ("owner/name/", None),
        ("owner/name/a/b", None),
        ("owner/name:", None),
        ("a b", None),
        ("", None),
    ],
)
def test_ids(text, expected):
    assert parse_dataset_id(text) == expected


def test_a_configuration_and_a_split_are_streamed(on_the_hub):
    rows = list(read_rows("owner/name:hard/test", limit=2))
    assert [row.messages[0]["content"] for row in rows] == ["hard test 0", "hard test 1"]
    assert [(row.source, row.source_index, row.metadata) for row in rows] == [
        ("owner/name:hard/test", 0, '{"n":0}'),
        ("owner/name:hard/test", 1, '{"n":1}'),
    ]
    assert check_rows("owner/name:hard/test") is None


def test_a_missing_split_names_those_there_are(on_the_hub):
    with pytest.raises(UsageError, match=r"no split 'dev'; it has (test, train|train, test)"):
        read_rows("owner/name:hard/dev")


def test_a_missing_configuration_names_those_there_are(on_the_hub):
    with pytest.raises(UsageError, match=r"easy.*hard"):
        read_rows("owner/name:medium")


def test_a_local_path_wins_over_an_id(on_the_hub, tmp_path):
    (tmp_path / "owner" / "name" / "prompts.txt").write_text("local\n")
    assert [row.source for row in read_rows("owner/name")] == ["prompts.txt"]


def test_what_is_neither_path_nor_dataset_is_refused():
    with pytest.raises(UsageError, match=r"'nobody/nothing' cannot be opened: .*no local file or folder"):
        read_rows("nobody/nothing")
    for path in ("missing.jsonl", "folder/missing.csv", "./x"):
        with pytest.raises(UsageError, match="There is no file or folder"):
            read_rows(path)


def test_a_stream_that_breaks_off_stops_the_run_and_can_be_resumed():
    def broken():
        yield {"prompt": "a"}
        raise ConnectionError("reset")

    records = _records(DatasetId("owner/name"), broken())
    assert next(records).value == {"prompt": "a"}
    with pytest.raises(RunStopped, match="broke off after row 1: reset"):
        next(records)
