"""A run whose servers change: replicas come and go, what was paid for stays.

Real: `clair.generate`, client, HTTP, servers, ledger, files. Doubles: what the two models say (`tests.servers.world`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from clair.api import generate
from clair.errors import LedgerError
from clair.ledger import fork
from tests.pipeline.runs import digests, pairs
from tests.servers import world
from tests.servers.chat import ChatServer

BOTH = ("target", "reviser")


def serve(**options: Any) -> ChatServer:
    return ChatServer(world.answer, models=BOTH, **options)


def run_on(folder: Path, *servers: ChatServer, rows: int = 20, **options: Any) -> Any:
    urls = ",".join(server.base_url for server in servers)
    prompts = world.write_prompts(folder.parent / f"prompts-{rows}.jsonl", rows)
    models = {"target": f"target@{urls}", "reviser": f"reviser@{urls}"}
    return generate(prompts=str(prompts), out=str(folder), **{**models, **options})


def forget_names(folder: Path) -> None:
    """Make the ledger one of before names and guards were kept: its keys are made of the identities all the same."""
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as connection:
        assert connection.execute("DELETE FROM meta WHERE key IN ('names', 'guard', 'guarded')").rowcount == 3
        connection.commit()


@pytest.mark.parametrize("old_ledger", [False, True])
def test_a_finished_run_buys_nothing_on_other_servers(tmp_path: Path, old_ledger: bool) -> None:
    """One server, then two, then two others: the answers are those of the models and not of the servers."""
    run = tmp_path / "run"
    with serve() as a, serve() as b, serve() as c:
        run_on(run, a)
        if old_ledger:
            forget_names(run)
        before = digests(run)["data/train-00000-of-00001.parquet"]
        for servers in ((a, b), (c, b), (c,)):
            run_on(run, *servers, max_change=0.6)
        run_on(run, a)
        assert (b.count, c.count) == (0, 0)
        assert digests(run)["data/train-00000-of-00001.parquet"] == before


def test_rows_in_work_when_a_server_dies_go_on_on_others_and_on_other_servers_later(tmp_path: Path) -> None:
    """Half of the input on two servers, one of which dies; all of it on a third: each question is asked of one only."""
    run = tmp_path / "run"
    with serve(latency_s=0.005) as a, contextlib.ExitStack() as running, serve() as c:
        b = running.enter_context(serve(latency_s=0.005))
        killer = threading.Thread(target=_close_after, args=(b, 30, running))
        killer.start()
        assert run_on(run, a, b, rows=120, limit=60, max_retries=0).rows == 60
        killer.join(timeout=20)
        asked, at_the_death = a.count + b.count, b.max_in_flight
        assert run_on(run, c, rows=120).rows == 120
        with serve() as alone:
            run_on(tmp_path / "alone", alone, rows=120)
    assert pairs(run) == pairs(tmp_path / "alone")
    assert alone.count <= asked + c.count <= alone.count + at_the_death


def _close_after(server: ChatServer, requests: int, running: contextlib.ExitStack) -> None:
    while server.count < requests:
        threading.Event().wait(0.005)
    running.close()


def test_another_model_on_the_same_server_is_refused(tmp_path: Path) -> None:
    with ChatServer(world.answer, models=(*BOTH, "other")) as server:
        run_on(tmp_path / "run", server, rows=10)
        with pytest.raises(LedgerError, match=r'target: "target@http.* -> "other@http'):
            run_on(tmp_path / "run", server, rows=10, target=f"other@{server.base_url}")


def test_another_model_behind_a_url_alone_is_refused_once_it_is_known(tmp_path: Path) -> None:
    with serve() as both, ChatServer(world.answer, models=("target",)) as target:
        run_on(tmp_path / "run", both, rows=10, target=target.base_url)
        with ChatServer(world.answer, models=("target",)) as moved:
            run_on(tmp_path / "run", both, rows=10, target=moved.base_url)
            assert moved.count == 0
        with (
            ChatServer(world.answer, models=("other",)) as other,
            pytest.raises(LedgerError, match=r"the target was 'target@http.*' until now and is 'other@http.*'"),
        ):
            run_on(tmp_path / "run", both, rows=10, target=other.base_url)


def test_a_fork_finds_its_answers_on_other_servers(tmp_path: Path) -> None:
    with serve() as a, serve() as b:
        run_on(tmp_path / "run", a, rows=10)
        fork(tmp_path / "run", tmp_path / "new")
        run_on(tmp_path / "new", b, rows=10)
        assert b.count == 0
        assert pairs(tmp_path / "new") == pairs(tmp_path / "run")
