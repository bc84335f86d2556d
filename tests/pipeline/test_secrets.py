"""No API key in any file of a run or in any output, whatever a server sends back.

Real: the command as a process, client, HTTP, server, ledger, files. Doubles: the models, of which some are malicious:
they repeat the key that they were sent.
"""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.runs import arguments, clair, pairs, rejects
from tests.servers import world
from tests.servers.chat import ChatServer, Fault, error

KEY = "sk-Zq7mW2xN9cVb4TgHyR8kLpD3sFj6aQeU1oIiXwEnMvBtCz5Y0rGdKhSuPfAl"
PART = 10  # so many characters of it would help to recognize or to guess it
ENV = {"OPENAI_API_KEY": KEY, "HF_TOKEN": "", "OPENAI_BASE_URL": ""}

LEAKS: list[Fault] = [
    error(400, f"Your request with Authorization: Bearer {KEY} is bad"),
    error(400, "x" * 280 + KEY),  # cut in the middle of the key
    error(500, f"key {KEY}", code=KEY, type=KEY),
    error(429, KEY, headers={"Retry-After": "0", "X-Key": KEY}),
    Fault(body=f"<html>{KEY}</html>".encode()),
    Fault(body=b"y" * 60 + KEY.encode()),
    Fault(body={"error": {"message": KEY, "param": KEY}}),
    Fault(body=f'{{"choices": [], "{KEY}": 1}}'.encode(), cut_after=20),
    Fault(status=418, body=KEY.encode()),
]
"""The n-th is the answer to row n."""


def leaking(body: dict[str, Any]) -> Any:
    for number, fault in enumerate(LEAKS):
        if f"about row {number}." in str(body):
            return fault
    return world.answer(body)


def assert_no_key(where: str, data: bytes) -> None:
    for start in range(len(KEY) - PART + 1):
        part = KEY[start : start + PART].encode()
        assert part not in data, (where, data[max(0, data.index(part) - 200) :][:400])


def assert_no_key_in(run: Path) -> None:
    """In no file, and in nothing that the ledger holds compressed."""
    files = [path for path in run.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert_no_key(str(path), path.read_bytes())
    with closing(sqlite3.connect(run / "ledger.sqlite")) as ledger:
        for table, column in (("replies", "raw"), ("outcomes", "body")):
            for (packed,) in ledger.execute(f"SELECT {column} FROM {table}"):
                assert_no_key(table, zlib.decompress(packed))


def test_a_run_on_a_server_that_repeats_the_key(tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 20)
    with ChatServer(leaking, models=("target", "reviser"), api_key=KEY) as server:
        done = clair(*arguments(prompts, tmp_path / "run", server.base_url, "--max-retries", "0"), env=ENV)
        assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert done.returncode == 0
    assert [row["source_index"] for row in rejects(tmp_path / "run")][: len(LEAKS)] == list(range(len(LEAKS)))
    assert len(pairs(tmp_path / "run")) == 20 - len(LEAKS) - 2
    for row in (*rejects(tmp_path / "run"), *pairs(tmp_path / "run")):  # columns are compressed in the files
        assert_no_key("a row", repr(row).encode())
    assert_no_key("stdout", done.stdout.encode())
    assert_no_key("stderr", done.stderr.encode())
    assert_no_key_in(tmp_path / "run")


@pytest.mark.parametrize(
    ("fault", "answered"),
    [
        (error(401, f"the key {KEY} has expired"), 10),
        (error(403, "x" * 280 + KEY), 0),
        (error(402, KEY, code=KEY), 10),
    ],
)
def test_a_run_that_ends_because_of_the_key(tmp_path: Path, fault: Fault, answered: int):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 20)
    with ChatServer(world.answer, models=("target", "reviser"), api_key=KEY) as server:
        server.answer = lambda body: fault if server.count > answered else world.answer(body)
        done = clair(*arguments(prompts, tmp_path / "run", server.base_url, "--concurrency", "2"), env=ENV)
    assert done.returncode == 1
    assert_no_key("stderr", done.stderr.encode())
    assert_no_key("stdout", done.stdout.encode())
    assert_no_key_in(tmp_path / "run")


@pytest.mark.parametrize(
    "fault", [error(401, f"wrong key: {KEY}"), error(400, "x" * 280 + KEY), Fault(body=KEY.encode())]
)
def test_a_probe_that_fails(tmp_path: Path, fault: Fault):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 2)
    with ChatServer(world.answer, models_fault=fault) as server:
        words = arguments(prompts, tmp_path / "run", server.base_url, "--target", server.base_url)
        done = clair(*words, env=ENV)
        doctor = clair("doctor", "--endpoint", server.base_url, "--json", env=ENV)
    assert (done.returncode, doctor.returncode) == (1, 1)
    assert_no_key("output", (done.stdout + done.stderr + doctor.stdout + doctor.stderr).encode())
    assert_no_key_in(tmp_path / "run")
