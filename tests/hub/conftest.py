"""A local Hub and the real client, which speaks plain HTTP to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import disable_progress_bars

from clair.hub.publish import Published, publish
from tests.hub.runs import make_run
from tests.servers.hub import HubServer

TOKEN = "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"


class Slept(list[float]):
    """Seconds that were waited for; nothing sleeps."""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer(token=TOKEN) as running:
        yield running


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with three pairs and two rejects."""
    return make_run(tmp_path / "run")


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> Slept:
    """What clair and, in its own retries, the client waited for."""
    waits = Slept()
    monkeypatch.setattr(huggingface_hub.utils._http.time, "sleep", waits.append)
    return waits


@pytest.fixture
def send(hub: HubServer, slept: Slept, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Published]:
    """`publish` to me/pairs on the local Hub."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    disable_progress_bars()

    def call(run_dir: Path, repo: str = "me/pairs", **options: Any) -> Published:
        given = {"license": "cc-by-4.0", "endpoint": hub.url, "sleep": slept.append, **options}
        return publish(run_dir, repo, **given)

    yield call
    huggingface_hub.close_session()
