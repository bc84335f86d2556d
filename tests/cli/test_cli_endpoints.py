"""Endpoints that cannot be used are found before any row: the message and the exit code.

Real: the command, HTTP, the server. Doubles: nothing else.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.servers import world
from tests.servers.chat import ChatServer, Fault

KEY = "sk-right-1234567890"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("sk-wrong-1234567890", "refused the API key in the environment variable OPENAI_API_KEY"),
        (None, "asks for an API key: set the environment variable OPENAI_API_KEY"),
    ],
)
def test_a_wrong_or_missing_key(call: Call, prompts: Path, tmp_path: Path, key: str | None, says: str):
    with ChatServer(world.answer, models=("target", "reviser"), api_key=KEY) as server:
        models = ["--target", f"target@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
        done = call("generate", prompts, "-o", tmp_path / "run", *models, env={"OPENAI_API_KEY": key})
        assert (done.exit_code, done.stdout, server.count) == (1, "", 0)
    assert says in done.stderr
    assert "sk-" not in done.output


def test_each_part_may_have_a_key_of_its_own(call: Call, prompts: Path, tmp_path: Path):
    with ChatServer(world.answer, models=("target", "reviser"), api_key=KEY) as server:
        models = ["--target", f"target@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
        keys = ["--target-key-env", "MINE", "--reviser-key-env", "THEIRS"]
        words = ["preview", prompts, "-o", tmp_path / "run", *models, *keys, "--rows", "1"]
        assert call(*words, env={"MINE": KEY, "THEIRS": KEY}).exit_code == 0
        done = call(*words, env={"MINE": KEY, "THEIRS": "sk-wrong"})
    assert done.exit_code == 1
    assert "THEIRS" in done.stderr


def test_an_unknown_model_with_the_list_of_those_served(call: Call, server: ChatServer, prompts: Path, tmp_path: Path):
    models = ["--target", f"tarket@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
    done = call("generate", prompts, "-o", tmp_path / "run", *models)
    assert (done.exit_code, server.count) == (1, 0)
    assert f"clair: {server.base_url} does not serve 'tarket'. It serves 'reviser', 'target'." in done.stderr


def test_a_url_alone_takes_the_only_model_and_lists_several(
    call: Call, server: ChatServer, prompts: Path, tmp_path: Path
):
    words = ["preview", prompts, "-o", tmp_path / "run", "--reviser", f"reviser@{server.base_url}", "--rows", "1"]
    several = call(*words, "--target", server.base_url)
    assert several.exit_code == 1
    assert "'reviser', 'target'" in several.stderr
    with ChatServer(world.answer, models=("target",)) as one:
        assert call(*words, "-o", tmp_path / "one", "--target", one.base_url).exit_code == 0
        assert one.bodies[0]["model"] == "target"


def test_nothing_listening(call: Call, prompts: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    models = ["--target", f"target@http://127.0.0.1:{port}/v1", "--reviser", f"reviser@http://127.0.0.1:{port}/v1"]
    done = call("generate", prompts, "-o", tmp_path / "run", *models)
    assert (done.exit_code, done.stdout) == (1, "")
    assert f"clair: Nothing answers at http://127.0.0.1:{port}/v1" in done.stderr


def test_a_server_that_lists_no_models_is_asked_all_the_same(call: Call, prompts: Path, tmp_path: Path):
    with ChatServer(world.answer, models_fault=Fault(status=404, body=b"not here")) as server:
        models = ["--target", f"target@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
        assert call("preview", prompts, "-o", tmp_path / "run", *models, "--rows", "1").exit_code == 0


def test_openai_without_a_key_is_a_wrong_command_line(call: Call, prompts: Path, tmp_path: Path):
    env = {"OPENAI_API_KEY": None, "OPENAI_BASE_URL": None}
    done = call("generate", prompts, "-o", tmp_path / "run", "--target", "gpt-x", "--reviser", "gpt-y", env=env)
    assert done.exit_code == 2
    assert "No API key for gpt-x@https://api.openai.com/v1: set the environment variable OPENAI_API_KEY" in done.stderr
