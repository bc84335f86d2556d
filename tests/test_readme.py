"""Every code block of the README runs: `console` blocks as shell commands, `python` blocks as programs, in order.

Real: the commands, the sandbox, server and client. Doubles: the models behind http://localhost:8000/v1 and behind the
names of OpenAI models, which are one local server here. What a block prints is not compared, but it must succeed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.chat import ChatServer

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN_ONLY = {"text", "yaml", "json", "make"}  # output, files and the set-up commands that make this very test run


def _blocks() -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in BLOCK.finditer(README.read_text(encoding="utf-8"))]


def _models() -> tuple[str, ...]:
    text = README.read_text(encoding="utf-8")
    return tuple(sorted(set(re.findall(r"--(?:target|reviser) ([\w./-]+)", text) + re.findall(r'"([\w./-]+)@http', text)
                            + re.findall(r'reviser="([\w.-]+)"', text))))  # fmt: skip


def answer(body: dict[str, Any]) -> str:
    """A target that answers at some length, and a reviser that changes one word."""
    asked = body["messages"][-1]["content"]
    shown = re.search(r"<answer-(\w+)>\n(.*)\n</answer-\1>", asked, re.DOTALL)
    if shown is None:
        return "The answer to this is " + " ".join(f"part{number}" for number in range(80)) + "."
    return f"One word is wrong.\n<<<<<<< SEARCH\nThe answer\n=======\nThe short answer\n>>>>>>> REPLACE\n{shown[1][:0]}"


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer(answer, models=_models()) as running:
        yield running


def test_the_readme_has_no_block_of_an_unknown_kind():
    assert {kind for kind, _ in _blocks()} <= {"console", "python"} | SHOWN_ONLY


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_block_of_the_readme_runs(server: ChatServer, tmp_path: Path):
    prompts = ("Name three primes.", "Why is the sky blue?", "Write a haiku.")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OPENAI_BASE_URL": server.base_url,
        "OPENAI_API_KEY": "sk-readme",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    for kind, text in _blocks():
        for command in _commands(kind, text.replace("http://localhost:8000/v1", server.base_url)):
            done = subprocess.run(
                command,
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def _commands(kind: str, text: str) -> list[list[str]]:
    if kind == "python":
        return [[sys.executable, "-W", "ignore", "-c", text]]
    if kind != "console":
        return []
    joined = text.replace("\\\n", " ")
    return [["bash", "-c", line[2:]] for line in joined.splitlines() if line.startswith("$ ")]
