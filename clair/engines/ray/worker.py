"""One worker: drives the rows that the driver hands it, with connections of its own. Runs as a Ray actor.

It is the pipeline of one process but for its ledger, which is with the driver: an answer that was paid for goes there
and is looked into when it is durable there. So a worker holds nothing that could be lost with it but the requests in
flight, needs no storage, and may be started anywhere.
"""

from __future__ import annotations

import asyncio
import gc
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

import clair
from clair.endpoints.endpoint import Endpoint
from clair.endpoints.naming import is_same_model
from clair.engines.ray.leave import LeaveAnswers
from clair.engines.ray.mail import Mail, Pace
from clair.engines.ray.messages import Doubt, Ended, Keep, Keys, Order, Report, Settled, Start, Work
from clair.errors import ClairError, RunStopped, UsageError
from clair.ledger.store import StoredReply
from clair.pipeline.answers import Answers, Stopping
from clair.pipeline.budget import Budget
from clair.pipeline.checker import Checker
from clair.pipeline.parts import open_parts
from clair.pipeline.planning import plan_of
from clair.pipeline.progress import Progress
from clair.pipeline.run import capacity_of, gauges_of
from clair.pipeline.site import Here
from clair.recipes.catalog import RECIPES
from clair.records import Pair, Part


class RemoteLedger:
    """The ledger as a worker sees it: the answers that came with its rows; what is put goes to the driver."""

    def __init__(self, mail: Mail) -> None:
        self._mail = mail
        self._known: dict[bytes, StoredReply] = {}
        self._rows: Counter[bytes] = Counter()

    def learn(self, known: Mapping[bytes, StoredReply]) -> None:
        """Answers that came with a row."""
        self._known.update(known)
        self._rows.update(known.keys())

    def forget(self, known: Mapping[bytes, StoredReply]) -> None:
        """The row is done. What came with another one as well stays for that."""
        self._rows.subtract(known.keys())
        for key in known:
            if not self._rows[key]:
                del self._known[key], self._rows[key]

    def get(self, key: bytes) -> StoredReply | None:
        """The answer under this key, if it came with a row."""
        return self._known.get(key)

    async def put(
        self,
        key: bytes,
        *,
        stage: str,
        model: str,
        raw: bytes,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        cost_usd: float | None,
        reserved_usd: float | None = None,
    ) -> None:
        """Keep a paid answer; returns when it is durable with the driver."""
        await self._mail.ask(
            lambda number: Keep(
                number, key, stage, model, raw, prompt_tokens, completion_tokens, cost_usd, reserved_usd
            )
        )

    async def doubt(self, usd: float | None, *, count: int = 1) -> None:
        """Count requests as unanswered; returns when that is durable with the driver."""
        await self._mail.ask(lambda number: Doubt(number, usd, count))


class Worker:
    """The actor. The driver calls `open` once, then `give` and `take` as long as there is work."""

    def __init__(self) -> None:
        self._mail = Mail()
        self._pace = Pace()
        self._ledger = RemoteLedger(self._mail)
        self._stack = AsyncExitStack()
        self._rows: set[asyncio.Task[None]] = set()
        self._progress = Progress()
        self._said_usd = 0.0

    async def open(self, work: Work, keys: Keys) -> ClairError | None:
        """Open the models; None, or why that is impossible."""
        try:
            if work.version != clair.__version__:
                raise UsageError(f"clair {clair.__version__} is installed, and the driver has {work.version}")
            await self._open(work, keys)
        except ClairError as failure:
            return failure
        # As in the command: a run makes millions of objects that live as long as a request, and hardly any cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)
        return None

    async def _open(self, work: Work, keys: Keys) -> None:
        settings = work.settings
        checker = Checker(settings.checker) if settings.checker else None
        if checker is not None and checker.version != work.checker:
            raise UsageError(f"the checker {settings.checker} is not the driver's: {checker.version} != {work.checker}")
        self._endpoints = await open_parts(settings, self._stack, env=keys.env)
        for part, endpoint in self._endpoints.items():
            if not is_same_model(endpoint.where, work.names[part]):
                raise UsageError(f"the {part} of a worker is {endpoint.where!r} and not {work.names[part]!r}")
            endpoint.identity = work.names[part]
        plan = plan_of(
            settings,
            templates=work.templates,
            constitution=work.constitution,
            endpoints=self._endpoints,
            secret=keys.secret,
        )
        self._site: Here[Pair] = Here(
            RECIPES[settings.recipe].run,
            plan,
            self._answers(settings.max_cost, self._endpoints, asks_leave=work.asks_leave),
            capacity=capacity_of(self._endpoints),
            checker=checker,
        )

    def _answers(self, max_cost: float | None, endpoints: dict[Part, Endpoint], *, asks_leave: bool) -> Answers:
        if asks_leave:
            return LeaveAnswers(
                mail=self._mail,
                ledger=self._ledger,
                endpoints=endpoints,
                budget=Budget(max_cost),
                progress=self._progress,
            )
        return Answers(ledger=self._ledger, endpoints=endpoints, budget=Budget(None), progress=self._progress)

    async def give(self, orders: Sequence[Order]) -> None:
        """Take orders."""
        for order in orders:
            if isinstance(order, Start):
                task = asyncio.get_running_loop().create_task(self._drive(order))
                self._rows.add(task)
                task.add_done_callback(self._rows.discard)
            elif isinstance(order, Settled):
                for number in order.numbers:
                    self._mail.settle(number, order.refusal)
            else:
                self._site.stop()

    async def take(self) -> Report:
        """What there is to say, once there is something."""
        await self._pace.wait()
        events = await self._mail.collect()
        self._pace.sent(len(events))
        spent_usd, self._said_usd = self._progress.cost_usd - self._said_usd, self._progress.cost_usd
        return Report(
            events,
            capacity=self._site.capacity(),
            gauges={
                part: (stats.in_flight, stats.limit)  # type: ignore[misc]
                for part, stats in gauges_of(self._endpoints).items()
            },
            cost_usd=spent_usd,
            cost_known=self._progress.cost_known,
        )

    async def _drive(self, order: Start) -> None:
        self._ledger.learn(order.known)
        try:
            outcome = await self._site.drive(order.row, finished_before=order.finished_before)
            ended = Ended(order.ticket, outcome)
        except (ClairError, Stopping) as failure:
            ended = Ended(order.ticket, None, failure)
        except Exception as mistake:
            ended = Ended(order.ticket, None, RunStopped(_shown(mistake)))
        finally:
            self._ledger.forget(order.known)
        self._mail.post(ended)


def _shown(mistake: Exception) -> str:
    """A mistake in this program, with where it happened: its own class may not be known to the driver."""
    return "a worker failed:\n" + "".join(traceback.format_exception(mistake))
