"""A served world and a short way to run `clair generate` in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from clair.api import generate
from clair.dataset.summary import RunSummary
from tests.pipeline.runs import STARTED
from tests.servers import world
from tests.servers.chat import ChatServer


class Generate(Protocol):
    def __call__(self, run: Path, rows: int = 60, **options: Any) -> RunSummary: ...


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    """A test that fails leaves no command running."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """The world's two models behind one real HTTP server."""
    with ChatServer(world.answer, models=("target", "reviser")) as running:
        yield running


@pytest.fixture
def generate_world(server: ChatServer, tmp_path: Path) -> Generate:
    """`clair.generate` against the world."""

    def call(run: Path, rows: int = 60, **options: Any) -> RunSummary:
        prompts = world.write_prompts(tmp_path / f"prompts-{rows}.jsonl", rows)
        given = {
            "prompts": str(prompts),
            "target": f"target@{server.base_url}",
            "reviser": f"reviser@{server.base_url}",
            "out": str(run),
        }
        return generate(**{**given, **options})

    return call
