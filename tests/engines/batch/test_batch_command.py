"""`clair generate --engine batch` as typed: what it prints, and its exit codes.

Real: the command in this process, HTTP, files. Doubles: the two models and the server of the Batch API.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clair.cli import main
from tests.servers import world
from tests.servers.batch import BatchServer

MODELS = ("target", "reviser")


def clair(server: BatchServer, folder: Path, *more: str, command: str = "generate") -> Result:
    prompts = world.write_prompts(folder / "prompts.jsonl", 12)
    models = ["--target", f"target@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
    words = [command, str(prompts), "-o", str(folder / "run"), *models, "--engine", "batch"]
    return CliRunner().invoke(main, [*words, "--batch-poll-s", "0.005", *more])


def test_detach_says_one_sentence_and_the_same_command_comes_to_the_closing_table(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS) as server:
        first = clair(server, tmp_path, "--detach")
        machine = json.loads(clair(server, tmp_path, "--detach", "--json").stdout)
        last = clair(server, tmp_path)
    assert (first.exit_code, last.exit_code) == (0, 0)
    assert first.stdout == (
        "11 requests are under way in 1 batch (batch_0001). The same command collects what has come back, and goes on "
        "from there.\n"
    )
    assert machine["waiting"] == "11 requests are under way in 1 batch (batch_0001)"
    assert re.search(r"rows +12 .*\npairs +11 \(92%\)", last.stdout)
    assert "batch batch_0001 completed: 11 of 11 answers" in last.stderr
    assert "batch batch_0002 submitted with 1 request\n" in last.stderr


def test_what_is_under_way_is_neither_previewed_online_nor_left_behind_by_a_fork(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS) as server:
        clair(server, tmp_path, "--detach")
        asked = server.count
        refused = [
            clair(server, tmp_path, command="preview"),
            clair(server, tmp_path, "--fork", str(tmp_path / "fork")),
        ]
        assert server.count == asked
    assert [done.exit_code for done in refused] == [2, 2]
    assert all("11 requests of" in done.stderr and "under way in batches" in done.stderr for done in refused)


@pytest.mark.parametrize("key", [None, "sk-wrong-123456"])
def test_a_wrong_key_and_a_missing_one_are_named_without_being_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("OPENAI_API_KEY", key)
    with BatchServer(world.answer, models=MODELS, api_key="sk-right-123456") as server:
        done = clair(server, tmp_path)
    assert done.exit_code == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert "sk-" not in done.stderr


def test_a_server_without_a_batch_api_is_named_before_anything_is_bought(tmp_path: Path):
    with BatchServer(world.answer, models=MODELS, batches=False) as server:
        done = clair(server, tmp_path)
    assert done.exit_code == 1
    assert server.count == 0
    said = f"clair: {server.base_url} has no Batch API (GET /batches answers 404). Leave out --engine batch"
    assert said in done.stderr
