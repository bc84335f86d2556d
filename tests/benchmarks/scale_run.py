"""One `clair generate` whose models answer at once, in this process; prints what it took as JSON.

    python -m tests.benchmarks.scale_run PROMPTS OUT CONCURRENCY

Real: reading the input, hygiene, recipe, engine, ledger, dataset, card, report. Left out: the client and HTTP, that
is, everything below `Endpoint.complete`; `bench_generate` measures those.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from clair.api import run_async
from clair.endpoints.charge import Allow, free
from clair.endpoints.reply import Reply, parse_reply
from clair.pipeline.progress import Progress
from clair.pipeline.run import agenerate
from clair.records import Message, Part
from clair.settings import GenerateSettings, resolve
from tests.servers import world
from tests.servers.chat import _completion

EVERY_S = 0.5


class Instant:
    """What the pipeline knows of an endpoint, with an answer that is there at once."""

    def __init__(self, model: str, concurrency: int) -> None:
        self.model = model
        self.identity = self.where = f"{model}@http://localhost/v1"
        self.stats = SimpleNamespace(in_flight=0, limit=concurrency)

    def body(self, messages: Sequence[Message], sample_index: int) -> dict[str, object]:
        return {"model": self.model, "messages": [dict(message) for message in messages]}

    async def complete(self, body: dict[str, Any], allow: Allow = free) -> Reply:
        async with allow() as charge:
            answer = world.answer(body)
            assert not hasattr(answer, "status")
            raw = json.dumps(_completion(body, answer, 0)).encode()  # type: ignore[arg-type]
            reply = Reply(raw, parse_reply(raw, None))
            charge.usd, charge.answered = None, True
            return reply

    def worst_cost_usd(self, body: Mapping[str, Any]) -> float | None:
        return None

    def drain(self) -> None:
        """Nothing waits here."""

    def listen(self, note: Callable[[str], None]) -> None:
        """There is nothing to note."""


def rss_mb() -> float:
    """Memory of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


class Curve:
    """Memory by rows finished, sampled by a thread while `with` lasts; `written` are samples after the last row."""

    def __init__(self, progress: Progress) -> None:
        self.samples: list[tuple[float, int, float]] = []
        self._progress = progress
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(EVERY_S):
            self.samples.append((time.monotonic(), self._progress.rows, rss_mb()))

    def __enter__(self) -> Curve:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def main(prompts: str, out: str, concurrency: int) -> None:
    async def instant_parts(settings: GenerateSettings, stack: AsyncExitStack) -> dict[Part, Any]:
        return {"target": Instant("target", concurrency), "reviser": Instant("reviser", concurrency)}

    settings = resolve(
        {"prompts": prompts, "out": out, "target": "m@http://localhost/v1", "reviser": "r@http://localhost/v1"}
    )
    progress = Progress()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)  # as the command does
    began, cpu = time.monotonic(), time.process_time()
    with Curve(progress) as curve:
        summary = run_async(agenerate(settings, progress=progress, open_endpoints=instant_parts))
    ended = time.monotonic()
    driven = next((at for at, rows, _ in curve.samples if rows == summary.rows), ended)
    print(
        json.dumps(
            {
                "rows": summary.rows,
                "pairs": summary.pairs,
                "wall_s": ended - began,
                "driving_s": driven - began,
                "writing_s": ended - driven,
                "cpu_s": time.process_time() - cpu,
                "curve": [(rows, mb) for _, rows, mb in curve.samples],
                "bought": progress.bought,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
