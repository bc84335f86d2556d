"""A finished run that nothing has changed is left alone; whatever could change its result brings the full work back.

Real: `clair.generate`, client, HTTP, server, ledger, files. Doubles: what the two models say (`tests.servers.world`),
the Hub where a dataset id is named. `Engine.run` and `write_run_folder` are watched, not replaced.
"""

from __future__ import annotations

import importlib
import linecache
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import clair
from clair.api import generate, run_async
from clair.cli.closing import closing as closing_table
from clair.errors import EndpointUnusable
from clair.ledger import Ledger
from clair.ledger.sealing import signed
from clair.pipeline import finished, run
from clair.pipeline.engine import Engine
from clair.pipeline.finished import input_of, source_of
from clair.pipeline.progress import Progress
from clair.pipeline.run import apreview
from clair.settings import resolve
from clair.sources import hub
from clair.sources.record import Record
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import digests, pairs, write_jsonl
from tests.servers import world
from tests.servers.chat import ChatServer, Fault, Reply, error

ROWS = 20
SHARD = "data/train-00000-of-00001.parquet"


class Work:
    """Which of the two long stretches of work were done since the last look: visiting rows, writing the dataset."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._done: list[str] = []
        visit, write = Engine.run, run.write_run_folder

        async def visited(engine: Engine[Any]) -> None:
            self._done.append("rows")
            await visit(engine)

        def written(*values: Any) -> Any:
            self._done.append("files")
            return write(*values)

        monkeypatch.setattr(Engine, "run", visited)
        monkeypatch.setattr(run, "write_run_folder", written)

    def done(self) -> list[str]:
        done, self._done = self._done, []
        return done


ALL, NOTHING = ["rows", "files"], []


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


@pytest.fixture
def finished_run(generate_world: Generate, work: Work, tmp_path: Path) -> Path:
    """A finished run, about which nobody doubts."""
    generate_world(tmp_path / "run", ROWS)
    assert work.done() == ALL
    return tmp_path / "run"


def break_seal(run_dir: Path) -> None:
    """What opening the ledger does, whatever for."""
    Ledger.open(run_dir, create=False).close()


def test_a_finished_run_is_left_alone_and_says_what_a_full_resume_says(
    finished_run: Path, generate_world: Generate, work: Work, server: ChatServer
):
    bought, before = server.count, digests(finished_run)
    stood = (finished_run / SHARD).stat()
    short, full = Progress(), Progress()
    summary = generate_world(finished_run, ROWS, progress=short)
    assert (work.done(), server.count, digests(finished_run)) == (NOTHING, bought, before)
    assert (finished_run / SHARD).stat() == stood
    break_seal(finished_run)
    assert generate_world(finished_run, ROWS, progress=full) == summary
    assert work.done() == ALL
    settings = resolve({"prompts": "p.jsonl", "out": "run", "target": "t", "reviser": "r"})
    short.started_s = full.started_s
    assert closing_table(settings, summary, short) == closing_table(settings, summary, full)
    counted = ("rows", "resumed", "pairs", "rejects", "total", "bought", "cost_usd", "cost_known", "notes")
    assert [getattr(short, name) for name in counted] == [getattr(full, name) for name in counted]


CHANGES: tuple[dict[str, Any], ...] = (
    {"max_change": 0.4},
    {"max_attempts": 4},
    {"limit": 5},
    {"samples": 2},
    {"target_pairs": 3},
    {"concurrency": 3},
    {"chain": True},
    {"on_bad_row": "reject"},
    {"near_duplicates": 0.9},
    {},
)


def test_another_setting_makes_the_run_do_its_work_once(finished_run: Path, generate_world: Generate, work: Work):
    before = digests(finished_run)
    for changed in CHANGES:
        made = generate_world(finished_run, ROWS, **changed)
        assert work.done() == ALL, changed
        assert generate_world(finished_run, ROWS, **changed) == made
        assert work.done() == NOTHING, changed
    assert digests(finished_run)[SHARD] == before[SHARD]


def without_a_trace(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change a file's content so that its size and times stay."""
    stood, content = path.stat(), path.read_bytes()
    path.write_bytes(change(content))
    os.utime(path, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stood.st_size, stood.st_mtime_ns)
    assert path.read_bytes() != content


@pytest.mark.parametrize("harm", ["deleted", "changed"])
def test_a_file_that_is_gone_or_changed_comes_back(finished_run: Path, generate_world: Generate, work: Work, harm: str):
    before = digests(finished_run)
    for name in before:
        if harm == "deleted":
            (finished_run / name).unlink()
        else:
            without_a_trace(finished_run / name, lambda old: old[:-9] + bytes([old[-9] ^ 1]) + old[-8:])
        generate_world(finished_run, ROWS)
        assert (work.done(), digests(finished_run)) == (ALL, before), name
    assert len(before) == 5
    generate_world(finished_run, ROWS)
    assert work.done() == NOTHING


def test_a_shard_that_somebody_added_goes(finished_run: Path, generate_world: Generate, work: Work):
    before = digests(finished_run)
    (finished_run / "data/train-00001-of-00002.parquet").write_bytes((finished_run / SHARD).read_bytes())
    generate_world(finished_run, ROWS)
    assert (work.done(), digests(finished_run)) == (ALL, before)


def test_a_changed_input_is_read_again(
    finished_run: Path, generate_world: Generate, work: Work, server: ChatServer, tmp_path: Path
):
    """Size and times of the file stay; row 7 asks about another row."""
    bought = server.count
    prompts = tmp_path / f"prompts-{ROWS}.jsonl"
    given = {"prompts": str(prompts), "target": f"target@{server.base_url}", "reviser": f"reviser@{server.base_url}"}
    without_a_trace(prompts, lambda old: old.replace(b"about row 7.", b"about row 8."))
    summary = generate(**given, out=str(finished_run))
    assert (work.done(), server.count) == (ALL, bought)
    assert [(it.reason, it.rows) for it in summary.rejects if it.reason == "duplicate_prompt"] == [
        ("duplicate_prompt", 1)
    ]


def test_a_bad_row_in_a_changed_input_is_found(finished_run: Path, work: Work, server: ChatServer, tmp_path: Path):
    prompts = tmp_path / f"prompts-{ROWS}.jsonl"
    prompts.write_text(prompts.read_text() + "{}\n")
    given = {"prompts": str(prompts), "target": f"target@{server.base_url}", "reviser": f"reviser@{server.base_url}"}
    with pytest.raises(clair.ClairError, match="line 21"):
        generate(**given, out=str(finished_run))


def test_an_input_that_changes_while_it_is_read_is_not_trusted(
    generate_world: Generate, work: Work, server: ChatServer, tmp_path: Path
):
    """The rows were read from the old content, so the next invocation must look at the new one."""
    prompts = tmp_path / "prompts.jsonl"

    def while_asked(body: dict[str, Any]) -> Reply | Fault:
        write_jsonl(prompts, [{"prompt": "Tell me about row 2."}])
        return world.answer(body)

    write_jsonl(prompts, [{"prompt": "Tell me about row 1."}])
    server.answer = while_asked
    assert generate_world(tmp_path / "run", prompts=str(prompts)).pairs == 1
    server.answer = world.answer
    generate_world(tmp_path / "run", prompts=str(prompts))
    assert work.done() == [*ALL, *ALL]
    assert [row["prompt"][0]["content"] for row in pairs(tmp_path / "run")] == ["Tell me about row 2."]


def another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clair, "__version__", "0.0.0")


def another_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PARSER", run.PARSER + 1)


def another_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "_source", lambda: "edited")


def another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished, "_versions", lambda: {"datasketch": "9"})


def test_another_program_does_the_work_again(
    finished_run: Path, generate_world: Generate, work: Work, monkeypatch: pytest.MonkeyPatch
):
    for change in (another_version, another_parser, another_source, another_package):
        change(monkeypatch)
        generate_world(finished_run, ROWS)
        assert work.done() == ALL, change


def test_a_program_is_named_by_all_its_sources(tmp_path: Path):
    """A file more, another name or another byte is another program; what Python writes beside them is not."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/a.py").write_text("a = 1")
    (tmp_path / "app.js").write_text("a = 1")
    names = [source_of(tmp_path)]
    (tmp_path / "inner/a.pyc").write_text("")
    assert [source_of(tmp_path)] == names
    for change in (
        lambda: (tmp_path / "inner/a.py").write_text("a = 2"),
        lambda: (tmp_path / "app.js").write_text("a = 2"),
        lambda: (tmp_path / "app.js").rename(tmp_path / "app.css"),
        (tmp_path / "b.py").touch,
    ):
        change()
        names.append(source_of(tmp_path))
    assert len(set(names)) == 5


def preview(run_dir: Path, given: dict[str, Any]) -> None:
    run_async(apreview(resolve({**given, "out": str(run_dir), "limit": 3})))


def older_clair(run_dir: Path, given: dict[str, Any]) -> None:
    """One that knows of no seals opens the ledger, and leaves the seal where it is."""
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE meta SET value = value + 1 WHERE key = 'opened_at'")


def foreign_seal(run_dir: Path, given: dict[str, Any]) -> None:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE meta SET value = ? WHERE key = 'seal'", (signed(b'{"of": "another kind"}'),))


def no_seal(run_dir: Path, given: dict[str, Any]) -> None:
    with closing(sqlite3.connect(run_dir / "ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE meta SET value = 'text' WHERE key = 'seal'")


@pytest.mark.parametrize("meanwhile", [preview, older_clair, foreign_seal, no_seal])
def test_whoever_had_the_ledger_open_meanwhile_leaves_no_seal_that_counts(
    finished_run: Path,
    generate_world: Generate,
    work: Work,
    server: ChatServer,
    tmp_path: Path,
    meanwhile: Callable[[Path, dict[str, Any]], None],
):
    urls = {"target": f"target@{server.base_url}", "reviser": f"reviser@{server.base_url}"}
    meanwhile(finished_run, {"prompts": str(tmp_path / f"prompts-{ROWS}.jsonl"), **urls})
    work.done()
    before = digests(finished_run)
    generate_world(finished_run, ROWS)
    assert (work.done(), digests(finished_run)) == (ALL, before)


def test_rejects_that_say_nothing_about_the_row_are_no_end(
    generate_world: Generate, work: Work, server: ChatServer, tmp_path: Path
):
    def busy(body: dict[str, Any]) -> Reply | Fault:
        return error(503) if "row 2." in str(body) else world.answer(body)

    server.answer = busy
    generate_world(tmp_path / "run", 5, max_retries=0)
    server.answer = world.answer
    assert generate_world(tmp_path / "run", 5, max_retries=0).pairs == 5
    assert work.done() == [*ALL, *ALL]


def test_a_run_that_was_stopped_is_not_finished(
    generate_world: Generate, work: Work, server: ChatServer, tmp_path: Path
):
    def broke(body: dict[str, Any]) -> Reply | Fault:
        return error(401) if "row 7." in str(body) else world.answer(body)

    server.answer = broke
    with pytest.raises(EndpointUnusable, match="401"):
        generate_world(tmp_path / "run", ROWS)
    server.answer = world.answer
    generate_world(tmp_path / "run", ROWS)
    assert work.done() == [*ALL, *ALL]


@pytest.mark.parametrize("rows_before", [0, 5])
def test_a_run_that_is_interrupted_before_its_next_row_is_not_finished(
    generate_world: Generate, server: ChatServer, tmp_path: Path, rows_before: int
):
    """Every row that it has claimed has ended; those that it never read have not."""
    prompts = world.write_prompts(tmp_path / f"prompts-{ROWS}.jsonl", ROWS)
    models = {"target": f"target@{server.base_url}", "reviser": f"reviser@{server.base_url}"}
    settings = resolve({"prompts": str(prompts), "out": str(tmp_path / "run"), **models})
    if rows_before:
        run_async(apreview(settings.model_copy(update={"limit": rows_before})))
    stopped = run_async(run.agenerate(settings, on_stop=lambda stop: stop()))
    assert stopped.rows == rows_before
    assert generate_world(tmp_path / "run", ROWS).rows == ROWS


def test_an_evaluation_set_that_grew_is_read_again(
    generate_world: Generate, work: Work, server: ChatServer, tmp_path: Path
):
    evaluation = write_jsonl(tmp_path / "eval.jsonl", [{"question": "nothing of the kind"}])
    options = {"decontaminate": str(evaluation)}
    generate_world(tmp_path / "run", ROWS, **options)
    generate_world(tmp_path / "run", ROWS, **options)
    assert work.done() == ALL
    write_jsonl(evaluation, [{"question": "Tell me about row 4."}])
    summary = generate_world(tmp_path / "run", ROWS, **options)
    assert work.done() == ALL
    assert [it.rows for it in summary.rejects if it.reason == "contaminated"] == [1]


def test_a_checker_that_was_edited_is_asked_again(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two invocations in one process would see one module, so the second one's is loaded anew."""
    monkeypatch.syspath_prepend(str(tmp_path))
    prompts = write_jsonl(tmp_path / "p.jsonl", [{"prompt": "Say a.", "one": "a", "two": "b"}])
    given = {"prompts": str(prompts), "out": str(tmp_path / "run"), "recipe": "best_of_n"}
    given |= {"candidate_columns": "one,two", "checker": "own_checker:score"}
    for number, better in enumerate(("a", "a", "b")):
        (tmp_path / "own_checker.py").write_text(
            f"def score(messages, answer, metadata): return answer == {better!r}\n"
        )
        monkeypatch.delitem(sys.modules, "own_checker", raising=False)
        linecache.clearcache()
        importlib.invalidate_caches()
        generate(**given)
        assert work.done() == ALL, number
        assert [row["chosen"][0]["content"] for row in pairs(tmp_path / "run")] == [better]


@pytest.fixture
def dataset(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prompts of a dataset on the Hub."""
    prompts = [f"Tell me about row {number}." for number in range(ROWS)]

    def stream(dataset: hub.DatasetId) -> Iterator[Record]:
        return (Record(str(dataset), n, f"row {n + 1}", {"prompt": text}) for n, text in enumerate(prompts))

    monkeypatch.setattr(hub, "stream", stream)
    return prompts


def test_rows_of_a_dataset_id_are_always_visited_and_files_written_if_they_differ(
    generate_world: Generate, work: Work, dataset: list[str], tmp_path: Path
):
    """Nobody knows what the Hub has until it is read."""
    first = generate_world(tmp_path / "run", prompts="owner/name")
    assert work.done() == ALL
    before = digests(tmp_path / "run")
    assert generate_world(tmp_path / "run", prompts="owner/name") == first
    assert (work.done(), digests(tmp_path / "run")) == (["rows"], before)
    assert generate_world(tmp_path / "run", prompts="owner/name") == first
    assert work.done() == ["rows"]
    dataset[0], dataset[1] = dataset[1], dataset[0]
    generate_world(tmp_path / "run", prompts="owner/name")
    assert work.done() == ALL
    (tmp_path / "run" / SHARD).unlink()
    generate_world(tmp_path / "run", prompts="owner/name")
    assert work.done() == ALL
    assert (tmp_path / "run" / SHARD).exists()


def test_the_sandboxs_problems_are_an_input_that_is_known():
    """They follow from the settings. An evaluation set of that name is a dataset id."""
    assert input_of(resolve({"limit": 4})) == input_of(resolve({"limit": 4})) != input_of(resolve({"limit": 5}))
    assert input_of(resolve({"decontaminate": "sandbox"})) is None
