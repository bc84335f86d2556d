"""The folder of an export: what is replaced, what is refused, and what a kill or a full disk leaves behind.

Real: files, processes, signals. Doubles: a size limit of the process stands in for a full disk; where a test stops
between two renames, the stop is an exception.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.json
import pytest

from clair.errors import ClairError, UsageError
from clair.exports import export
from clair.exports.folder import MANIFEST, STAGING, JsonLines, Staging
from tests.exports.examples import numbered, pair, write_run

COMMAND = [sys.executable, "-m", "clair", "export"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", [numbered(number) for number in range(40)])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_earlier_export_is_replaced_and_nothing_of_it_stays(run: Path, tmp_path: Path):
    out = tmp_path / "out"
    export(run, "llama-factory", out, test_share=0.3)
    assert names(out) == {"train.jsonl", "test.jsonl", "dataset_info.json", "README.md", MANIFEST}
    export(run, "sft", out)
    assert names(out) == {"train.jsonl", "README.md", MANIFEST}


def test_files_that_are_not_of_the_export_are_never_touched(run: Path, tmp_path: Path):
    out = tmp_path / "out"
    export(run, "sft", out)
    (out / "notes.txt").write_text("mine")
    export(run, "parquet", out)
    assert names(out) == {"train.parquet", "README.md", MANIFEST, "notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("manifest", [None, "{}", "[1]", "not json", '{"clair_export": 2, "files": ["mine.txt"]}'])
def test_a_folder_with_something_else_in_it_is_refused(manifest: str | None, run: Path, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    if manifest is not None:
        (out / MANIFEST).write_text(manifest)
    before = names(out)
    with pytest.raises(
        UsageError, match=r"has files in it that are not an earlier export .* name a new folder with -o"
    ):
        export(run, "sft", out)
    assert names(out) == before


def test_the_run_folder_itself_is_refused(run: Path):
    with pytest.raises(UsageError, match="not an earlier export"):
        export(run, "sft", run)
    with pytest.raises(UsageError, match="not an earlier export"):
        export(run, "sft", run / "data")


def test_a_manifest_cannot_name_files_elsewhere(run: Path, tmp_path: Path):
    (tmp_path / "precious.txt").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / MANIFEST).write_text('{"clair_export": 1, "files": ["../precious.txt", "..", "/etc/passwd"]}')
    export(run, "sft", out)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_an_empty_folder_is_taken_and_a_file_is_refused(run: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert export(run, "sft", tmp_path / "empty").pairs == 40
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"is a file. An export is a folder"):
        export(run, "sft", tmp_path / "file")
    with pytest.raises(UsageError, match=r"looks like a file. An export is a folder: name one without .jsonl"):
        export(run, "sft", tmp_path / "out.jsonl")


def test_a_failure_leaves_an_earlier_export_as_it_was(run: Path, tmp_path: Path):
    out = tmp_path / "out"
    export(run, "sft", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    damaged = write_run(tmp_path / "damaged", [pair(0)])
    (path,) = (damaged / "data").iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ClairError):
        export(damaged, "sft", out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX")
def test_a_full_disk_is_an_error_that_leaves_nothing(run: Path, tmp_path: Path):
    limit = "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192));"
    code = limit + "from clair.cli import main; main(sys.argv[1:])"
    for name in ("sft", "parquet"):
        out = tmp_path / name
        command = [sys.executable, "-c", code, "export", str(run), "--format", name, "-o", str(out)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot write the export into" in done.stderr
        assert "Traceback" not in done.stderr
        assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
@pytest.mark.parametrize("earlier", [False, True])
def test_killed_while_writing_leaves_what_was_there_and_the_next_call_cleans_up(earlier: bool, tmp_path: Path):
    big = write_run(tmp_path / "big", [numbered(number) for number in range(8_000)])
    small = write_run(tmp_path / "small", [numbered(number) for number in range(3)])
    out = tmp_path / "out"
    if earlier:
        export(small, "sft", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()} if earlier else {}
    process = subprocess.Popen([*COMMAND, str(big), "--format", "jsonl", "-o", str(out)], stdout=subprocess.DEVNULL)
    written = out / STAGING / "train.jsonl"
    deadline = time.monotonic() + 60
    while not (written.exists() and written.stat().st_size > 100_000) and time.monotonic() < deadline:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert names(out) == {STAGING, *before}
    assert export(small, "nemo", out).pairs == 3
    assert names(out) == {"train.jsonl", "README.md", MANIFEST}


@pytest.mark.parametrize("stop_at", range(1, 8))
def test_stopped_between_any_two_steps_of_putting_in_place_never_leaves_a_mixture(
    stop_at: int, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    export(run, "llama-factory", out, test_share=0.3)
    old = {path.name: path.read_bytes() for path in out.iterdir()}
    export(run, "sft", tmp_path / "other", test_share=0.3)
    new = {path.name: path.read_bytes() for path in (tmp_path / "other").iterdir()}
    calls = 0

    class Killed(BaseException):
        pass

    def stopping(method):
        def step(self: Path, *args, **options):
            nonlocal calls
            if STAGING not in self.parts or method == os.replace:
                calls += 1
                if calls == stop_at:
                    raise Killed
            return method(self, *args, **options)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", stopping(os.replace))
        patch.setattr(Path, "unlink", stopping(lambda self, missing_ok=False: os.unlink(self)))
        with pytest.raises(Killed):
            export(run, "sft", out, test_share=0.3)
    data = {path.name: path.read_bytes() for path in out.iterdir() if path.name != MANIFEST}
    assert data.items() <= old.items() or data.items() <= new.items()
    export(run, "jsonl", out)
    assert names(out) == {"train.jsonl", "README.md", MANIFEST}


@pytest.mark.parametrize(
    "text",
    [
        *("2024-01-01", "2024-01-01 10", "2024-01-01T10", "2024-01-01 10:00", "2024-01-01T10:00:00"),
        *("2024-01-01 10:00:00Z", "2024-01-01T10Z", "2024-01-01 10:00:00+02:00", "2024-01-01T10:00+0200"),
        *("2024-01-01 10:00:00.5", "20240101", "2024-01", "2024", "10:00", "2024-1-1", " 2024-01-01", "1e5", ""),
    ],
)
def test_a_column_counts_as_dates_wherever_arrows_json_reader_sees_times(text: str, tmp_path: Path):
    """Arrow's reader, which `datasets` uses, is asked itself."""
    lines = JsonLines(tmp_path / "train.jsonl")
    lines.write([{"a": [{"b": text}], "c": "word"}] * 2)
    lines.close()
    found = pyarrow.json.read_json(tmp_path / "train.jsonl").schema.field("a").type.value_type.field("b").type
    assert lines.date_columns() == ([] if found == pyarrow.string() else ["a.b"])


def test_a_staging_folder_that_cannot_be_made_is_an_error(run: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ClairError, match="cannot write the export into"):
        export(run, "sft", tmp_path / "file/inside")


def test_leaving_without_publishing_removes_the_new_folder(tmp_path: Path):
    def interrupted() -> None:
        with Staging(tmp_path / "a/b") as staging:
            staging.path("train.jsonl").write_text("{}")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (tmp_path / "a/b").exists()
