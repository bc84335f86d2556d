"""A run by batch: passes over the input until no question is left open.

    summary = await agenerate_by_batch(settings)

Each pass is an ordinary one: rows are read, rows that are finished are passed by, the others are driven through their
recipe from the ledger. A question that has no answer yet is submitted, or asked online if its part is; at the end of
the pass the batches are waited for, or left to themselves with `detach`. The same command goes on from either.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from clair.endpoints.batches import BatchApi
from clair.endpoints.client import find_key
from clair.engines.batch.answers import BatchAnswers
from clair.engines.batch.lane import Lane, LaneOptions, counted
from clair.engines.batch.records import Records, requests_under_way
from clair.engines.batch.settling import Settling
from clair.engines.batch.upload_file import remove_leftovers
from clair.errors import UsageError
from clair.pipeline.answers import Stopping
from clair.pipeline.folder import write_run_folder
from clair.pipeline.parts import limits_of, spec_of
from clair.pipeline.progress import Progress
from clair.pipeline.run import Opened, capacity_of, engine_of, finished_of, hygiene_of, opened_run
from clair.pipeline.site import Here
from clair.recipes.catalog import RECIPES
from clair.records import Pair, Part

if TYPE_CHECKING:
    from clair.dataset.summary import RunSummary
    from clair.pipeline.engine import Engine
    from clair.pipeline.run import OnStop
    from clair.settings import GenerateSettings


async def agenerate_by_batch(
    settings: GenerateSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> RunSummary:
    """`clair.pipeline.run.agenerate` for `--engine batch`. `progress.waiting` says what is still at the provider.

    With `detach` it returns once everything that can be submitted is; a stop leaves the batches as they are.
    """
    progress = progress or Progress()
    async with opened_run(settings, progress, under_way=requests_under_way) as opened, AsyncExitStack() as stack:
        finished = finished_of(opened)
        if (summary := finished.untouched()) is not None:
            progress.resume(summary)
            return summary
        run = await _open(opened, stack)
        if on_stop is not None:
            on_stop(run.stop)
        failure: Exception | None = None
        try:
            await run.passes()
        except Exception as stopped:
            failure = stopped
        summary = finished.unwritten() or write_run_folder(settings, opened.ledger, opened.plan)
        if failure is not None:
            raise failure
        if run.complete:
            finished.seal(summary)
    return summary


class BatchSite(Here[Pair]):
    """This process, but a row is driven only as far as answers reach. A pass that has no more room starts no row."""

    def __init__(self, opened: Opened, answers: BatchAnswers, online: bool) -> None:
        super().__init__(
            RECIPES[opened.settings.recipe].run,
            opened.plan,
            answers,
            capacity=capacity_of(opened.endpoints) if online else lambda: 64,
            checker=opened.checker,
        )
        self._batch_answers = answers

    @property
    def stopping(self) -> bool:
        """Whether no further row is to start in this pass."""
        return self._batch_answers.stopping or self._batch_answers.full


class BatchRun:
    """The passes of one invocation. `complete` once every row has ended."""

    def __init__(
        self, opened: Opened, records: Records, settlings: dict[Lane, Settling], answers: BatchAnswers
    ) -> None:
        self.opened = opened
        self.records = records
        self.settlings = settlings
        self._answers = answers
        self._site = BatchSite(opened, answers, online=len(opened.settings.by_batch) < len(opened.endpoints))
        self._engine: Engine[Pair] | None = None
        self._stopped = asyncio.Event()
        self.complete = False
        self._claimed = False
        self._resumed: int | None = None

    def stop(self) -> None:
        """Submit nothing more and wait for nothing: the batches go on without us."""
        self._stopped.set()
        self._answers.stop()
        if self._engine is not None:
            self._engine.stop()

    async def pause(self, seconds: float) -> None:
        """Wait. Raises Stopping if the run is stopped meanwhile."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
        if self._stopped.is_set():
            raise Stopping

    async def passes(self) -> None:
        """Go on until every question is answered, or all that can be is under way and `detach` is set.

        However it ends, the rows that are finished are claimed, for the dataset to be written.
        """
        try:
            await self._go_on()
        except Stopping:
            if not self._claimed:
                await self._one_pass()
        except Exception:
            # What the last batches brought is in the ledger: let it become rows, without buying anything.
            if self._engine is None:
                self._answers.closed = True
                await self._one_pass()
            raise
        finally:
            self.opened.progress.waiting = self._waiting()

    async def _go_on(self) -> None:
        settings, answers = self.opened.settings, self._answers
        while True:
            await self._settle()
            await self._one_pass()
            await self._submit_rest()
            if self._stopped.is_set():
                return
            if not self.records.under_way():
                if answers.short_usd is not None:
                    raise answers.budget.exhausted(answers.short_usd)
                self.records.forgive()
                self.complete = True
                return
            if self._leaves:
                return
            self.opened.progress.waiting = self._waiting()
            while self.records.under_way() and not await self._settle():
                if self._leaves:
                    return
                await self.pause(settings.batch_poll_s)

    @property
    def _leaves(self) -> bool:
        """Whether to leave now: not while it is open whether a batch still exists."""
        return self.opened.settings.detach and not any(lane.is_looking for lane in self.settlings)

    async def _settle(self) -> bool:
        """Take the batches that have ended to their end; whether there was one."""
        some = False
        for lane, settling in self.settlings.items():
            for submission, job in await lane.ended():
                await settling.settle(submission, job)
                some = True
        return some

    async def _one_pass(self) -> None:
        self._answers.begin_pass()
        opened, progress = self.opened, self.opened.progress
        progress.begin_pass()
        self._engine = engine_of(opened, self._site)
        # The rows that a pass has seen are known to its rules; the next pass has its own.
        self.opened = dataclasses.replace(opened, hygiene=hygiene_of(opened.settings))
        self._claimed = True
        try:
            await self._engine.run()
            self._engine = None
        except BaseException:
            self._drop()
            raise
        finally:
            self._resumed = progress.resumed if self._resumed is None else self._resumed
            progress.resumed = self._resumed

    async def _submit_rest(self) -> None:
        if self._answers.stopping:
            self._drop()
        for lane in self.settlings:
            await lane.submit()

    def _drop(self) -> None:
        for lane in self.settlings:
            lane.drop()

    def _waiting(self) -> str | None:
        """What is at the provider, as a sentence without its end."""
        submissions = self.records.under_way()
        if not submissions:
            return None
        requests = sum(submission.requests for submission in submissions)
        names = [submission.batch_id or f"tag {submission.tag}" for submission in submissions]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        verb = "is" if requests == 1 else "are"
        return f"{counted(requests, 'request')} {verb} under way in {counted(len(names), 'batch', 'es')} ({shown})"


async def _open(opened: Opened, stack: AsyncExitStack) -> BatchRun:
    """The run with a lane for each model that goes by batch. Raises UsageError, EndpointUnusable."""
    settings, progress = opened.settings, opened.progress
    remove_leftovers(settings.run_dir)
    records = Records(settings.run_dir)
    stack.callback(records.close)
    lanes: dict[Part, Lane] = {}
    settlings: dict[Lane, Settling] = {}
    answers = BatchAnswers(
        ledger=opened.ledger,
        endpoints=opened.endpoints,
        budget=opened.answers.budget,
        progress=progress,
        lanes=lanes,
        records=records,
    )
    run = BatchRun(opened, records, settlings, answers)
    for part in [part for part in opened.endpoints if part in settings.by_batch]:
        name = _name(part, opened)
        known = {lane.name: lane for lane in settlings}
        lanes[part] = known.get(name) or await _open_lane(name, part, run, stack)
    _take_over(records, {lane.name for lane in settlings}, opened)
    progress.gauges = {**progress.gauges, **{part: lane for part, lane in lanes.items() if part in progress.gauges}}
    return run


def _name(part: Part, opened: Opened) -> str:
    urls = spec_of(part, opened.settings).base_urls
    if len(urls) > 1:
        raise UsageError(f"the {part} is served at {len(urls)} places; a batch goes to one: give one base URL")
    return f"{opened.endpoints[part].model}@{urls[0]}"


async def _open_lane(name: str, part: Part, run: BatchRun, stack: AsyncExitStack) -> Lane:
    opened, records = run.opened, run.records
    settings, budget, progress = opened.settings, opened.answers.budget, opened.progress
    spec = spec_of(part, settings)
    limits = dataclasses.replace(limits_of(settings), backoff_s=min(1.0, settings.batch_poll_s))
    api = BatchApi(spec, find_key(spec, os.environ), limits=limits, pause=run.pause)
    stack.push_async_callback(api.aclose)
    await api.check()
    lane = Lane(
        name,
        api,
        run_dir=settings.run_dir,
        records=records,
        budget=budget,
        options=LaneOptions(settings.batch_requests, settings.batch_tokens, settings.batch_poll_s),
        pause=run.pause,
        note=progress.notes.append,
    )
    run.settlings[lane] = Settling(
        lane,
        opened.endpoints[part],
        records=records,
        ledger=opened.ledger,
        budget=budget,
        progress=progress,
    )
    return lane


def _take_over(records: Records, lanes: set[str], opened: Opened) -> None:
    """What earlier invocations left under way is ours: it must have a lane, and is reserved in the budget."""
    for submission in records.under_way():
        if submission.lane not in lanes:
            raise UsageError(
                f"{submission.requests:,} requests to {submission.lane} are under way in a batch of this run. Run the "
                "command that submitted them again to collect them first"
            )
        opened.answers.budget.hold(submission.worst_usd)
