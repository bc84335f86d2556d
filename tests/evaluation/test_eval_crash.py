"""kill -9 in the middle of a judged evaluation: nothing lost, at most what was in flight bought twice.

Real: the command as a process, SIGKILL, client, HTTP, ledger, files. Doubles: the three models, see `contest`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

from tests.evaluation import contest
from tests.pipeline.runs import clair, start
from tests.servers.chat import ChatServer

CONCURRENCY = 4
PROMPTS_IN_FLIGHT = 8 + 3 * CONCURRENCY * 5 // 4
"""Of each prompt at most two answers are not committed yet: on the wire, or on their way to the disk."""


def test_a_killed_evaluation_goes_on_where_it_was(tmp_path: Path):
    prompts = contest.write_prompts(tmp_path / "prompts.jsonl", 80)
    with ChatServer(contest.answer, models=contest.MODELS, latency_s=0.05) as server:
        names = (("--model", "new"), ("--baseline", "old"), ("--judge", "judge"))
        specs = [word for option, name in names for word in (option, f"{name}@{server.base_url}")]
        command = ["eval", *specs, "--prompts", str(prompts), "-o", str(tmp_path / "eval"), "--json"]
        process = start(*command, "--concurrency", str(CONCURRENCY))
        wait_for(server, process, 120)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        assert process.returncode == -signal.SIGKILL
        server.latency_s = 0.0
        done = clair(*command)
        assert done.returncode == 0, done.stderr
        asked = Counter(json.dumps([body["model"], body["messages"]]) for body in server.bodies)
    assert sum(asked.values()) - len(asked) <= 2 * PROMPTS_IN_FLIGHT
    assert len(asked) == 160 + 128 + 4 * 2 * 3
    found = json.loads(done.stdout)
    assert found["results"] == {"win": 32, "loss": 16, "tie": 8, "disagreement": 8, "identical": 8}
    assert (found["prompts"], found["judged"], found["failed"], found["complete"]) == (80, 72, 8, True)
    assert len((tmp_path / "eval/judgments.jsonl").read_text().splitlines()) == 80


def wait_for(server: ChatServer, process: subprocess.Popen[str], count: int) -> None:
    deadline = time.monotonic() + 60
    while server.count < count:
        assert process.poll() is None, "the command ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)
