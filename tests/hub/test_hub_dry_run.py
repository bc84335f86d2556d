"""The folder of a dry run. Real: files and `datasets`; no network is there to be asked."""

from __future__ import annotations

import datasets
import pytest

from clair.errors import ClairError, UsageError
from clair.hub.publish import write_publication
from tests.hub.runs import PUBLISHED, make_run, measured


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def write(run, folder, **options):
    return write_publication(run, folder, **{"repo": "me/pairs", "license": "mit", **options})


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_folder_is_what_would_go_up(run, tmp_path):
    done = write(run, tmp_path / "up")
    assert files_of(tmp_path / "up") == PUBLISHED
    assert dict(done.files) == {name: (tmp_path / "up" / name).stat().st_size for name in PUBLISHED}
    assert (done.commit, done.url) == (None, None)
    pairs = datasets.load_dataset(str(tmp_path / "up"), split="train")
    assert pairs["id"][:] == [measured(number).id for number in range(3)]
    assert len(datasets.load_dataset(str(tmp_path / "up"), "rejects", split="train")) == 2


def test_a_folder_of_an_earlier_dry_run_is_replaced(run, tmp_path):
    write(run, tmp_path / "up")
    write(make_run(tmp_path / "big", 30, shard_bytes=4000, group_rows=5), tmp_path / "up", rejects=False)
    again = files_of(tmp_path / "up")
    assert "data/train-00000-of-00001.parquet" not in again
    assert not [name for name in again if name.startswith("rejects/")]
    assert len(datasets.load_dataset(str(tmp_path / "up"), split="train")) == 30


def test_a_folder_with_other_files_is_refused(run, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up" / "mine.txt").write_text("x")
    with pytest.raises(UsageError, match=r"holds other files \(mine.txt\)"):
        write(run, tmp_path / "up")
    with pytest.raises(UsageError, match="holds other files"):
        write(run, run)
    with pytest.raises(UsageError, match="is a file"):
        write(run, tmp_path / "up" / "mine.txt")


def test_what_may_not_go_up_is_not_written(tmp_path):
    run = make_run(tmp_path / "run", settings={"max_change": 0.1})
    with pytest.raises(ClairError, match="not fit to be published"):
        write(run, tmp_path / "up")
    assert not (tmp_path / "up").exists()
