"""Ctrl-C, a second process, a changed setting: what the command does and says.

Real: the command as a process, signals, client, HTTP, server, ledger, files. Doubles: the two models.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.runs import arguments, clair, digests, pairs, reasons, start
from tests.servers import world
from tests.servers.chat import ChatServer, Reply, error

ROWS = 60


def test_ctrl_c_drains_commits_writes_what_is_finished_and_the_same_command_goes_on(tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", ROWS)
    with ChatServer(world.answer, models=("target", "reviser"), latency_s=0.2) as server:
        command = arguments(prompts, tmp_path / "run", server.base_url, "--concurrency", "4")
        process = start(*command)
        wait_until(lambda: server.count >= 30, process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
        assert process.returncode == 130
        assert server.count < ROWS
        assert f"clair: interrupted. What was bought is in {tmp_path / 'run'}; the same command resumes" in stderr
        assert "Traceback" not in stderr
        finished = len(pairs(tmp_path / "run")) + len(reasons(tmp_path / "run"))
        assert 5 <= finished < ROWS
        assert f"rows      {finished}\n" in stdout
        server.latency_s = 0.0
        done = clair(*command)
        assert done.returncode == 0
        assert f"rows      {ROWS} ({finished} from before)\n" in done.stdout
        assert set(Counter(map(question, server.bodies)).values()) == {1}
        assert clair(*arguments(prompts, tmp_path / "calm", server.base_url)).returncode == 0
    interrupted, calm = digests(tmp_path / "run"), digests(tmp_path / "calm")
    assert {name for name in calm if calm[name] != interrupted[name]} == {"README.md", "report.html", "run.json"}


@pytest.mark.parametrize("why", ["rate limit", "retries"])
def test_ctrl_c_does_not_wait_for_requests_that_are_not_on_the_wire(tmp_path: Path, why: str):
    """Dozens of rows wait: for a permit at one a minute, or for the end of a `Retry-After` of five minutes. SIGTERM is
    heard as Ctrl-C is.
    """
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", ROWS)
    with ChatServer(world.answer, models=("target", "reviser")) as server:
        if why == "retries":
            server.answer = lambda body: error(429, headers={"Retry-After": "300"})
        options = ["--rpm", "1"] if why == "rate limit" else []
        process = start(*arguments(prompts, tmp_path / "run", server.base_url, *options))
        wait_until(lambda: server.count > 0, process)
        time.sleep(0.5)
        asked = server.count
        process.send_signal(signal.SIGTERM if why == "retries" else signal.SIGINT)
        process.communicate(timeout=30)
        assert (process.returncode, server.count) == (130, asked)


def test_a_second_ctrl_c_leaves_at_once_and_leaves_the_dataset_as_it_was(tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", ROWS)
    with ChatServer(slow_after(5), models=("target", "reviser")) as server:
        short = arguments(prompts, tmp_path / "run", server.base_url, "--limit", "5")
        assert clair(*short).returncode == 0
        before = digests(tmp_path / "run")
        process = start(*short[:-2])
        wait_until(lambda: server.in_flight > 0, process)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None  # it drains
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (130, "")
    assert stderr.endswith("clair: interrupted\n")
    assert "Traceback" not in stderr
    assert digests(tmp_path / "run") == before


def test_a_second_process_on_the_same_run_is_refused_in_one_sentence(tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 3)
    with ChatServer(slow_after(0), models=("target", "reviser")) as server:
        command = arguments(prompts, tmp_path / "run", server.base_url)
        first = start(*command)
        wait_until(lambda: server.in_flight > 0, first)
        second = clair(*command)
        first.kill()
        first.communicate()
    assert (second.returncode, second.stdout) == (1, "")
    assert second.stderr.splitlines()[-1] == (
        f"clair: {tmp_path / 'run'} is in use by process {first.pid}. "
        "Wait until it ends or stop it, then run the same command again."
    )


def test_a_changed_setting_is_refused_and_fork_is_the_way_on(tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 3)
    with ChatServer(world.answer, models=("target", "reviser")) as server:
        command = arguments(prompts, tmp_path / "run", server.base_url)
        assert clair(*command).returncode == 0
        changed = [*command, "--reviser-temperature", "0.5"]
        refused = clair(*changed)
        assert (refused.returncode, server.count) == (1, 6)
        assert "  reviser_temperature: null -> 0.5\n" in refused.stderr
        assert "Traceback" not in refused.stderr
        forked = clair(*changed, "--fork", str(tmp_path / "new"), "--json")
        assert (forked.returncode, server.count) == (0, 9)
        assert json.loads(forked.stdout)["run"] == str(tmp_path / "new")
        again = clair(*changed, "--fork", str(tmp_path / "new"))
        assert again.returncode == 1
        assert "has a ledger already" in again.stderr
    assert len(pairs(tmp_path / "new")) == 3


def slow_after(rows: int) -> Any:
    """The world, whose answers take a minute from this row on."""

    def answer(body: dict[str, Any]) -> Any:
        reply = world.answer(body)
        slow = any(f"about row {number}." in str(body) for number in range(rows, ROWS))
        return Reply(reply.text, usage=reply.usage, latency_s=60.0) if slow and isinstance(reply, Reply) else reply

    return answer


def question(body: dict[str, Any]) -> str:
    return repr((body["model"], body["messages"]))


def wait_until(condition: Any, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
