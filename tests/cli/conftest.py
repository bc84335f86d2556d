"""A served world and the command called in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from clair.cli import main
from tests.servers import world
from tests.servers.chat import ChatServer

Call = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """The world's two models behind one real HTTP server."""
    with ChatServer(world.answer, models=("target", "reviser")) as running:
        yield running


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """The world's first 30 prompts."""
    return world.write_prompts(tmp_path / "prompts.jsonl", 30)


@pytest.fixture
def call() -> Call:
    """`clair WORDS...` in this process; stdout and stderr are kept apart."""
    return lambda *words, **options: CliRunner().invoke(main, [str(word) for word in words], **options)


@pytest.fixture
def models(server: ChatServer) -> list[str]:
    """The options that name the world's models."""
    return ["--target", f"target@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
