"""The machine under the run fails: disk, permissions, the ledger's last page, a rival process, the clock.

Afterwards the same command ends complete, or says in one sentence why not and exits with 1. Real: all but the models;
whoever is attacked is a process of its own.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.attacks import (
    IN_FLIGHT,
    SEEDS,
    Hostile,
    assert_whole,
    bought_twice,
    finish,
    hostile_command,
    launch,
    refused_in_one_sentence,
    run_here,
)
from tests.pipeline.test_crash import settle, wait_for_requests
from tests.servers import world
from tests.servers.chat import ChatServer

ROWS = 40
PAGE = 4096


@pytest.fixture
def shop() -> Iterator[tuple[ChatServer, Counter[str]]]:
    """A server without malice, and how often each question was answered."""
    calm = Hostile(0, share=0.0, capacities=(10_000.0,))
    with ChatServer(calm.answer, models=("target", "reviser"), latency_s=0.05, keep_bodies=False) as server:
        yield server, calm.answered


@pytest.mark.parametrize("seed", SEEDS)
def test_a_file_size_limit_in_the_middle_stops_the_run_and_loses_nothing(
    shop: tuple[ChatServer, Counter[str]], tmp_path: Path, seed: int
):
    """The portable form of a full disk: from some moment on no file may grow beyond a limit."""
    server, answered = shop
    command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), tmp_path / "run", server)
    chance = random.Random(seed)
    process = launch(command)
    wait_for_requests(server, process, chance.randrange(5, 40))
    most = chance.randrange(8, 64) * 1024
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))
    code, stderr = finish(process)
    assert refused_in_one_sentence(code, stderr), stderr
    assert "free space" in stderr or "ake room" in stderr
    ends_whole(command, answered)


def test_a_full_disk_stops_the_run_and_loses_nothing(shop: tuple[ChatServer, Counter[str]], tmp_path: Path):
    server, answered = shop
    run = tmp_path / "run"
    run.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(run)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        (run / "filler").write_bytes(bytes(850 * 1024))
        command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), run, server)
        code, stderr = finish(launch(command))
        assert refused_in_one_sentence(code, stderr), stderr
        assert "free space" in stderr or "ake room" in stderr
        subprocess.run(["mount", "-o", "remount,size=30m", str(run)], check=True)
        (run / "filler").unlink()
        ends_whole(command, answered)
    finally:
        subprocess.run(["umount", str(run)], check=True)


def test_write_permission_taken_away_stops_the_run_and_loses_nothing(
    shop: tuple[ChatServer, Counter[str]], tmp_path: Path
):
    server, answered = shop
    run = tmp_path / "run"
    command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), run, server)
    through = bound_by_permissions()
    process = launch(command, through=through)
    wait_for_requests(server, process, 30)
    run.chmod(stat.S_IRUSR | stat.S_IXUSR)
    code, stderr = finish(process)
    assert refused_in_one_sentence(code, stderr), stderr
    assert "see to your permissions" in stderr
    code, stderr = finish(launch(command, through=through))
    assert refused_in_one_sentence(code, stderr), stderr
    assert "your permissions" in stderr
    run.chmod(stat.S_IRWXU)
    ends_whole(command, answered, lost=0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_last_page_is_refused_or_does_not_matter(
    shop: tuple[ChatServer, Counter[str]], tmp_path: Path, seed: int
):
    """Of a finished ledger. A copy of it that was set aside brings everything back."""
    server, answered = shop
    run, copy = tmp_path / "run", tmp_path / "copy"
    command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), run, server)
    run_here(command)
    shutil.copytree(run, copy)
    asked = server.count
    size = (run / "ledger.sqlite").stat().st_size
    overwrite(run / "ledger.sqlite", size - PAGE, random.Random(seed).randbytes(PAGE))
    code, stderr = finish(launch(command))
    assert refused_in_one_sentence(code, stderr), stderr
    assert "is damaged" in stderr
    shutil.rmtree(run)
    copy.rename(run)
    ends_whole(command, answered)
    assert server.count == asked


@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_end_of_the_log_loses_at_most_what_was_last_committed(
    shop: tuple[ChatServer, Counter[str]], tmp_path: Path, seed: int
):
    """Of the write-ahead log that a kill leaves: what is damaged does not count as written."""
    server, answered = shop
    run = tmp_path / "run"
    command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), run, server)
    process = launch(command)
    wait_for_requests(server, process, 50)
    process.send_signal(signal.SIGKILL)
    finish(process)
    settle(server)
    log = run / "ledger.sqlite-wal"
    overwrite(log, log.stat().st_size - PAGE, random.Random(seed).randbytes(PAGE))
    ends_whole(command, answered, lost=2 * IN_FLIGHT)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_two_clients_on_one_run_one_works_and_one_is_refused(
    shop: tuple[ChatServer, Counter[str]], tmp_path: Path, seed: int
):
    server, answered = shop
    server.latency_s = 0.5  # so that they do overlap
    command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), tmp_path / "run", server)
    first = launch(command)
    time.sleep(random.Random(seed).uniform(0.0, 0.5))
    ends = [finish(process) for process in (launch(command), first)]
    assert sorted(code for code, _ in ends) == [0, 1]
    (refused,) = (end for end in ends if end[0] == 1)
    assert refused_in_one_sentence(*refused)
    assert "is in use by process" in refused[1]
    assert_whole(tmp_path / "run", ROWS)
    assert bought_twice(answered) == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_that_is_set_back_again_and_again_changes_nothing(
    shop: tuple[ChatServer, Counter[str]], tmp_path: Path, seed: int
):
    server, answered = shop
    (tmp_path / "sitecustomize.py").write_text(BACKWARDS.format(seed=seed))
    command = hostile_command(world.write_prompts(tmp_path / "prompts.jsonl", ROWS), tmp_path / "run", server)
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    process = launch(command, env=env)
    wait_for_requests(server, process, 40)
    process.send_signal(signal.SIGINT)
    code, stderr = finish(process)
    assert code == 130, stderr
    code, stderr = finish(launch(command, env=env))
    assert code == 0, stderr
    assert_ended_whole(command, answered, lost=0)
    assert (tmp_path / "set-back").exists()


BACKWARDS = """
import pathlib, random, time
real, chance, behind = time.time, random.Random({seed}), [0.0]

def set_back():
    if chance.random() < 0.2:
        behind[0] += chance.uniform(1.0, 1e6)
        (pathlib.Path(__file__).parent / "set-back").touch()
    return real() - behind[0]

time.time = set_back
time.time_ns = lambda: int(set_back() * 1e9)
"""


def ends_whole(command: list[str], answered: Counter[str], *, lost: int = IN_FLIGHT) -> None:
    """The same command again completes the run; at most `lost` answers have been bought twice."""
    run_here(command)
    assert_ended_whole(command, answered, lost=lost)


def assert_ended_whole(command: list[str], answered: Counter[str], *, lost: int) -> None:
    assert_whole(Path(command[command.index("-o") + 1]), ROWS)
    assert bought_twice(answered) <= lost


def overwrite(path: Path, offset: int, junk: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(junk)


def bound_by_permissions() -> list[str]:
    """What a command is started through so that permissions hold for it: root may write anywhere."""
    if os.geteuid() != 0:
        return []
    through = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*through, "true"], check=False).returncode != 0:
        pytest.skip("root cannot be bound by permissions here")
    return through
