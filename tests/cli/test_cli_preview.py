"""`clair preview` and `clair doctor`: what they show, what they buy, and that model text cannot drive a terminal.

Real: the command, HTTP, server, ledger. Doubles: the two models.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.cli.conftest import Call
from tests.pipeline.runs import clair, digests, pairs
from tests.servers import world
from tests.servers.chat import ChatServer, Reply


def test_a_preview_shows_rows_with_diffs_and_a_measured_forecast(
    call: Call, prompts: Path, models: list[str], tmp_path: Path
):
    done = call("preview", prompts, "-o", tmp_path / "run", *models, "--rows", "2")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("row 1 ──")
    assert lines[1] == "user: Tell me about row 0."
    assert " word0x34 [-wrong0-] {+right0+} word0x36 " in lines[2]
    assert lines[3:5] == [
        "why: Row 0 has one mistake.",
        "pair (edits, 1 attempt(s)): 1% of the words changed in 1 edit(s), Jaccard 0.97, length ratio 1.00",
    ]
    assert lines[-7:-3] == ["forecast", "rows      30", "requests  60", "tokens    6,000 in, 3,000 out"]
    assert lines[-1] == "basis     measured on 2 finished rows"


def test_what_a_preview_buys_is_not_bought_again(
    call: Call, server: ChatServer, prompts: Path, models: list[str], tmp_path: Path
):
    found = json.loads(call("preview", prompts, "-o", tmp_path / "run", *models, "--json").stdout)
    assert [outcome["source_index"] for outcome in found["outcomes"]] == [0, 1, 2, 3, 4]
    assert server.count == 11
    assert not (tmp_path / "run/data").exists()
    assert clair("generate", str(prompts), "-o", str(tmp_path / "run"), *models).returncode == 0
    assert set(Counter(repr((body["model"], body["messages"])) for body in server.bodies).values()) == {1}


def test_a_preview_leaves_the_dataset_as_it_is(call: Call, prompts: Path, models: list[str], tmp_path: Path):
    clair("generate", str(prompts), "-o", str(tmp_path / "run"), *models)
    before = digests(tmp_path / "run")
    assert call("preview", prompts, "-o", tmp_path / "run", *models, "--rows", "1").exit_code == 0
    assert digests(tmp_path / "run") == before


def test_a_bad_row_far_down_ends_a_preview_before_anything_is_bought(
    call: Call, server: ChatServer, prompts: Path, models: list[str], tmp_path: Path
):
    prompts.write_text(prompts.read_text() + '{"prompt": 5}\n')
    done = call("preview", prompts, "-o", tmp_path / "run", *models)
    assert (done.exit_code, server.count) == (2, 0)
    assert "line 31" in done.stderr


def test_control_characters_of_models_and_prompts_are_shown_and_not_obeyed(
    call: Call, server: ChatServer, models: list[str], tmp_path: Path
):
    evil = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202egnp.exe"

    def answer(body: dict[str, Any]) -> Reply:
        text = f"{world.response(0)} {evil}"
        if body["model"] == "target":
            return Reply(text)
        return Reply(f"Because {evil}\n\n<<<<<<< SEARCH\nwrong0\n=======\nright0 {evil}\n>>>>>>> REPLACE")

    server.answer = answer
    prompts = tmp_path / "evil.jsonl"
    prompts.write_text(json.dumps({"prompt": f"Tell me about row 0. {evil}"}) + "\n")
    done = call("preview", prompts, "-o", tmp_path / "run", *models, color=True)
    assert done.exit_code == 0
    for character in "\x07\r\x9b\u202e":
        assert character not in done.stdout
    assert "\x1b]" not in done.stdout
    assert "\x1b[2J" not in done.stdout
    assert done.stdout.count(r"\x1b]0;owned\x07\x1b[2J\x0d\x9b31m\x202egnp.exe") >= 4
    assert call("generate", prompts, "-o", tmp_path / "run", *models, color=True).exit_code == 0
    (pair,) = pairs(tmp_path / "run")
    assert pair["chosen"][0]["content"].count(evil) == 2  # the dataset has the text as it is


def test_a_server_cannot_drive_the_terminal_by_its_error_messages(
    call: Call, server: ChatServer, prompts: Path, models: list[str], tmp_path: Path
):
    server.models = ("\x1b[2Jsomething",)
    done = call("generate", prompts, "-o", tmp_path / "run", *models)
    assert done.exit_code == 1
    assert "\x1b" not in done.output


def test_doctor_says_what_is_there_and_whether_endpoints_answer(call: Call, server: ChatServer):
    done = call("doctor", "--endpoint", f"target@{server.base_url}")
    assert done.exit_code == 0
    assert f"endpoint        target@{server.base_url}: ok" in done.stdout.splitlines()
    done = call("doctor", "--endpoint", f"nobody@{server.base_url}", "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 1
    assert set(found) == {"python", "packages", "gpu", "keys", "endpoints"}
    assert "does not serve 'nobody'. It serves 'reviser', 'target'." in found["endpoints"][f"nobody@{server.base_url}"]
    assert server.count == 0


def test_doctor_says_which_keys_are_set_and_not_what_they_are(call: Call):
    env = {"OPENAI_API_KEY": "sk-secret", "HF_TOKEN": None, "MY_KEY": "sk-other"}
    done = call("doctor", "--key-env", "MY_KEY", env=env)
    assert [line.split(maxsplit=1) for line in done.stdout.splitlines()[-3:]] == [
        ["OPENAI_API_KEY", "set"],
        ["MY_KEY", "set"],
        ["HF_TOKEN", "not set"],
    ]
    assert "sk-" not in done.output
