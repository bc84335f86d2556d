"""A served world with a Batch API, and a short way to run `clair generate --engine batch` in this process."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clair.api import generate
from clair.dataset.summary import RunSummary
from clair.pipeline.progress import Progress
from tests.pipeline.runs import digests
from tests.servers import world
from tests.servers.batch import BatchServer

POLL_S = 0.005


class Done(NamedTuple):
    """What a run returned and what it said on the way."""

    summary: RunSummary
    progress: Progress


ByBatch = Callable[..., Done]


def by_batch(server: BatchServer | str, run: Path, rows: int = 60, **options: Any) -> Done:
    """`clair.generate` with the reviser by batch, unless the options say other. `server` may be its base URL."""
    url = server if isinstance(server, str) else server.base_url
    run.parent.mkdir(parents=True, exist_ok=True)
    prompts = run.parent / f"prompts-{rows}.jsonl"
    if not prompts.exists():
        world.write_prompts(prompts, rows)
    progress = Progress()
    given = {
        "prompts": str(prompts),
        "target": f"target@{url}",
        "reviser": f"reviser@{url}",
        "out": str(run),
        "engine": "batch",
        "batch_poll_s": POLL_S,
    }
    merged = {**given, **options}
    if merged["engine"] != "batch":
        merged = {name: value for name, value in merged.items() if not name.startswith("batch_")}
    return Done(generate(**merged, progress=progress), progress)


def online(run: Path, rows: int = 60, **options: Any) -> dict[str, str]:
    """The shards of the same run made online, as digests."""
    with BatchServer(world.answer, models=("target", "reviser")) as server:
        by_batch(server, run, rows, engine="here", **options)
    return shards(run)


def shards(run: Path) -> dict[str, str]:
    """Digests of the files that hold the rows."""
    return {name: digest for name, digest in digests(run).items() if name.endswith(".parquet")}


@pytest.fixture(scope="session", autouse=True)
def certificates_are_read_once() -> Iterator[None]:
    """Each client reads them all, 0.06 s of CPU. Nothing here speaks TLS."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", functools.cache(ssl.create_default_context))
        yield


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The shards of the world's first 60 rows, made online."""
    return online(tmp_path_factory.mktemp("online") / "run")
