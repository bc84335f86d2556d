"""`--engine ray` with Ray itself: two workers on this machine, one killed; an address where there is no cluster.

Real: Ray, its processes and death notices, the command, client, HTTP, ledger, files. Doubles: the two models
(`tests.servers.world`). The long form with several machines is tests/chaos/test_chaos_ray.py.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clair.api import generate
from clair.errors import UsageError
from clair.settings import resolve
from tests.engines.ray.nodes import QUIET, Counting
from tests.pipeline.conftest import no_process_is_left
from tests.pipeline.runs import arguments, digests, start
from tests.servers.world import write_prompts

__all__ = ["no_process_is_left"]

ROWS = 100
KEY = "sk-of-the-ray-test-0123456789"


def data(run: Path) -> dict[str, str]:
    return {name: digest for name, digest in digests(run).items() if name.endswith(".parquet")}


def workers_of(process: int) -> list[int]:
    """The processes of Ray's workers below a process, found by what Ray calls them."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    parents = {int(pid): int(parent) for pid, parent, *_ in rows}
    named = [int(pid) for pid, _, *name in rows if name and name[0].startswith("ray::Worker")]
    return [pid for pid in named if process in _above(pid, parents)]


def _above(pid: int, parents: dict[int, int]) -> list[int]:
    found = []
    while (pid := parents.get(pid, 0)) > 1:
        found.append(pid)
    return found


@pytest.fixture
def ray_folder() -> Iterator[str]:
    """Where Ray keeps logs and sockets. The path of a socket is at most 107 bytes long."""
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        yield folder


def test_a_killed_worker_costs_what_it_had_in_hand_and_the_dataset_is_that_of_one_process(
    tmp_path: Path, ray_folder: str
):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'clair[ray]'")
    prompts, counting = write_prompts(tmp_path / "prompts.jsonl", ROWS), Counting()
    with counting.server(0.05) as server:
        url = server.base_url
        generate(prompts=prompts, out=tmp_path / "here", target=f"target@{url}", reviser=f"reviser@{url}")
        once, again = counting.asked.total(), counting.asked_again
        counting.asked.clear()
        counting.wait_for = once // 3
        environment = {**QUIET, "OPENAI_API_KEY": KEY, "RAY_TMPDIR": ray_folder}
        many = ["--engine", "ray", "--workers", "2", "--concurrency", "8"]
        process = start(*arguments(prompts, tmp_path / "there", url, *many), env=environment)
        counting.wait_while(process)
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=150)
    assert process.returncode == 0, said
    assert data(tmp_path / "there") == data(tmp_path / "here")
    lost = [int(line.split("its ")[1].split()[0]) for line in said.splitlines() if "was lost" in line]
    assert len(lost) == 1
    assert counting.asked_again - again <= lost[0]
    written = [path for folder in (tmp_path, ray_folder) for path in Path(folder).rglob("*") if path.is_file()]
    assert any(path.name.startswith("raylet") for path in written)
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []


def test_without_ray_the_command_that_installs_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"needs Ray, which is not installed .*pip install 'clair\[ray\]'"):
        generate(out=tmp_path / "run", engine="ray", limit=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 2}, "workers has no meaning with --engine here"),
        ({"address": "auto", "engine": "batch"}, "address has no meaning with --engine batch"),
        ({"engine": "ray", "workers": 4, "concurrency": 3}, "cannot be shared by 4"),
        ({"engine": "ray", "workers": 0}, "workers"),
        ({"out": "s3://bucket/run"}, "a run folder is on a file system"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused_by_name(options: dict[str, Any], said: str):
    with pytest.raises(UsageError, match=said):
        resolve(options)


@pytest.mark.parametrize(
    ("address", "said"),
    [("ray://head:10001", "one of Ray Client's"), ("head:port", "expected HOST:PORT")],
)
def test_addresses_of_another_kind_are_refused_by_name(tmp_path: Path, address: str, said: str):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'clair[ray]'")
    with pytest.raises(UsageError, match=said):
        generate(out=tmp_path / "run", engine="ray", address=address, limit=1)


def test_an_address_where_nothing_answers_is_refused_before_anything_is_asked(tmp_path: Path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'clair[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UsageError, match=f"the Ray cluster at '{free}' does not answer"):
        generate(out=tmp_path / "run", engine="ray", address=free, limit=1)
