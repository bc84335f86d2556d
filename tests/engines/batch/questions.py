"""Numbered questions by batch, without recipes and files around them: what `BatchRun` does with the asks of a pass."""

from __future__ import annotations

import asyncio
from pathlib import Path

from clair.endpoints.batches import BatchApi
from clair.endpoints.client import find_key
from clair.endpoints.endpoint import Endpoint, Limits
from clair.endpoints.spec import parse_spec
from clair.engines.batch.answers import BatchAnswers
from clair.engines.batch.lane import Lane, LaneOptions
from clair.engines.batch.records import Records
from clair.engines.batch.settling import Settling
from clair.errors import RowFailure
from clair.ledger.store import Ledger
from clair.pipeline.answers import Stopping
from clair.pipeline.budget import Budget
from clair.pipeline.progress import Progress
from clair.records import Ask

POLL_S = 0.001


async def answer_all(url: str, run: Path, count: int, *, max_requests: int, times: int = 1) -> dict[int, str]:
    """One command: the answers to "question 0", "question 1", ..., those given up last tried once more.

    Each is asked so many `times`, all at once if that is more than one.
    """
    spec = parse_spec(f"m@{url}", env={})
    limits = Limits(backoff_s=POLL_S, timeout_s=30)
    run.mkdir(parents=True, exist_ok=True)
    with Ledger.open(run, create=True) as ledger:
        records, budget, progress = Records(run), Budget(None), Progress()
        endpoint = await Endpoint.connect(spec, limits=limits, env={})
        api = BatchApi(spec, find_key(spec, {}), limits=limits)
        try:
            await api.check()
            lane = Lane(
                "m",
                api,
                run_dir=run,
                records=records,
                budget=budget,
                options=LaneOptions(max_requests, None, POLL_S),
                pause=asyncio.sleep,
                note=progress.notes.append,
            )
            settling = Settling(lane, endpoint, records=records, ledger=ledger, budget=budget, progress=progress)
            answers = BatchAnswers(
                ledger=ledger,
                endpoints={"reviser": endpoint},
                budget=budget,
                progress=progress,
                lanes={"reviser": lane},
                records=records,
            )
            while True:
                for ended in await lane.ended():
                    await settling.settle(*ended)
                found, waiting = await _ask(answers, count, records, times)
                await lane.submit()
                if not waiting and not records.under_way():
                    return found
                await asyncio.sleep(POLL_S)
        finally:
            await endpoint.aclose()
            await api.aclose()
            records.close()


async def _ask(answers: BatchAnswers, count: int, records: Records, times: int) -> tuple[dict[int, str], bool]:
    found: dict[int, str] = {}
    waiting: list[int] = []

    async def one(number: int) -> None:
        ask = Ask("reviser", "revise", ({"role": "user", "content": f"question {number}"},))
        try:
            found[number] = (await answers.get(ask)).text
        except Stopping:
            waiting.append(number)
        except RowFailure:
            records.forgive()
            waiting.append(number)

    for number in range(count):
        if times == 1:
            await one(number)
    if times > 1:
        await asyncio.gather(*(one(number) for number in range(count) for _ in range(times)))
    return found, bool(waiting)
