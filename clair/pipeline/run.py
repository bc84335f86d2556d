"""One invocation of a generation run, from settings to run folder.

    summary = await agenerate(resolve({...}))

Order of things: read and check the input, take the run folder's lock, compare settings with the earlier invocation's,
probe the endpoints, drive the rows, write the dataset from the ledger. Whatever stops the run on the way, the dataset
of what is finished is written before the error is raised; only a canceled run leaves the dataset as it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from clair.dataset.codec import decode_outcome, encode_outcome
from clair.errors import EndpointUnusable
from clair.hygiene import Hygiene
from clair.ledger.store import Ledger
from clair.pipeline.answers import Answers
from clair.pipeline.budget import Budget
from clair.pipeline.checker import Checker
from clair.pipeline.engine import Codec, Derivation, Engine
from clair.pipeline.folder import write_run_folder
from clair.pipeline.parts import open_parts
from clair.pipeline.planning import constitution_of, identity, plan_of, templates_of
from clair.pipeline.progress import Progress
from clair.recipes.base import Plan
from clair.recipes.catalog import RECIPES
from clair.settings import SANDBOX, GenerateSettings

if TYPE_CHECKING:
    from clair.dataset.summary import RunSummary
    from clair.endpoints.endpoint import Endpoint, Stats
    from clair.records import Outcome, Pair, Part, Row

OnStop = Callable[[Callable[[], None]], None]

PARSER = 2  # raise it when the same reply gives another revision: finished rows are then parsed again, for free


async def agenerate(
    settings: GenerateSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> RunSummary:
    """Run or resume; returns the figures of what the run folder holds now.

    `on_stop` is given a function that asks the run to end early (used for Ctrl-C): requests in flight finish and are
    committed. Raises UsageError before anything is bought, RunStopped or LedgerError afterwards.
    """
    progress = progress or Progress()
    async with _opened(settings, progress, on_stop) as (ledger, engine, capacity):
        failure: Exception | None = None
        try:
            await engine.run(capacity)
        except Exception as stopped:
            failure = stopped
        summary = write_run_folder(settings, ledger, engine.plan)
        if failure is not None:
            raise failure
    return summary


async def apreview(
    settings: GenerateSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> list[Outcome]:
    """Finish the first rows (`settings.limit`) and return how they ended, in input order.

    What it buys stays in the run's ledger; the dataset in the run folder is left as it is.
    """
    async with _opened(settings, progress or Progress(), on_stop) as (ledger, engine, capacity):
        await engine.run(capacity)
        outcomes = [decode_outcome(body) for kind in ("pair", "reject") for body in ledger.outcomes(kind)]
    return sorted(outcomes, key=lambda outcome: (outcome.source, outcome.source_index))


@asynccontextmanager
async def _opened(
    settings: GenerateSettings, progress: Progress, on_stop: OnStop | None
) -> AsyncIterator[tuple[Ledger, Engine[Pair], Callable[[], int]]]:
    """Everything that a run needs, in the order in which mistakes are cheapest to find."""
    templates, constitution = templates_of(settings), constitution_of(settings)
    checker = Checker(settings.checker) if settings.checker else None
    rows = read_input(settings)  # what does not exist is found out here
    progress.total, progress.target_pairs = expected_rows(settings), settings.target_pairs
    hygiene = Hygiene(near_duplicates=settings.near_duplicates, decontaminate=settings.decontaminate)
    with Ledger.open(settings.run_dir, create=True) as ledger:
        ledger.check_settings(identity(settings, templates, constitution))
        async with AsyncExitStack() as stack:
            endpoints = await open_parts(settings, stack)
            progress.gauges = gauges_of(endpoints)
            plan = plan_of(
                settings, templates=templates, constitution=constitution, endpoints=endpoints, secret=ledger.secret
            )
            engine = _engine(settings, rows, hygiene, plan, checker, ledger, endpoints, progress)
            if on_stop is not None:
                on_stop(engine.stop)
            try:
                yield ledger, engine, capacity_of(endpoints)
            except EndpointUnusable as stopped:
                kept = f"What was bought is in {settings.out}; the same command goes on from there."
                raise EndpointUnusable(f"{stopped} {kept}") from stopped


def read_input(settings: GenerateSettings) -> Iterator[Row]:
    """The rows of this run, streamed."""
    if settings.prompts == SANDBOX:
        from clair.sandbox.rows import problem_rows

        return problem_rows(
            limit=settings.limit,
            samples=settings.samples,
            seed=settings.seed or 0,
            candidates=bool(settings.candidate_columns),
        )
    from clair.sources import read_rows

    return read_rows(
        settings.prompts,
        prompt_column=settings.prompt_column,
        response_column=settings.response_column,
        answer_columns=settings.answer_columns,
        samples=settings.samples,
        limit=settings.limit,
        on_bad_row=settings.on_bad_row,
    )


def expected_rows(settings: GenerateSettings) -> int | None:
    """How many rows there will be, None if only reading to the end could tell. Raises UsageError at a bad row."""
    if settings.prompts == SANDBOX:
        return (settings.limit or 200) * settings.samples
    from clair.sources import check_rows

    return check_rows(
        settings.prompts,
        prompt_column=settings.prompt_column,
        response_column=settings.response_column,
        answer_columns=settings.answer_columns,
        samples=settings.samples,
        limit=settings.limit,
        on_bad_row=settings.on_bad_row,
    )


def _engine(
    settings: GenerateSettings,
    rows: Iterator[Row],
    hygiene: Hygiene,
    plan: Plan,
    checker: Checker | None,
    ledger: Ledger,
    endpoints: dict[Part, Endpoint],
    progress: Progress,
) -> Engine[Pair]:
    return Engine(
        rows,
        recipe=RECIPES[settings.recipe].run,
        codec=Codec(encode_outcome, decode_outcome),
        plan=plan,
        answers=answers_of(settings.max_cost, ledger, endpoints, progress),
        ledger=ledger,
        derivation=Derivation(
            plan.gate, plan.allow_talk, PARSER, settings.max_attempts, checker.version if checker else None
        ),
        progress=progress,
        refuse=hygiene.verdict,
        target_pairs=settings.target_pairs,
        checker=checker,
    )


def answers_of(max_cost: float | None, ledger: Ledger, endpoints: dict[Part, Endpoint], progress: Progress) -> Answers:
    """Where questions are answered, within `max_cost` USD for all that the ledger ever paid."""
    totals = ledger.totals()
    budget = Budget(max_cost, spent_usd=totals.cost_usd)
    progress.cost_usd, progress.cost_known = totals.cost_usd, not totals.unknown_cost
    if max_cost is not None and totals.unbounded > 0:
        progress.notes.append(f"{totals.unbounded} earlier requests have no known cost; --max-cost cannot count them")
    return Answers(ledger=ledger, endpoints=endpoints, budget=budget, progress=progress)


def gauges_of(endpoints: dict[Part, Endpoint]) -> dict[str, Stats]:
    """What each model shows of itself; one that is asked in two roles is shown in the first."""
    gauges: dict[str, Stats] = {}
    for part, endpoint in endpoints.items():
        if all(endpoint.stats is not stats for stats in gauges.values()):
            gauges[part] = endpoint.stats
    return gauges


def capacity_of(endpoints: dict[Part, Endpoint]) -> Callable[[], int]:
    """Rows that may be in flight: enough to keep every endpoint at its present limit while some rows are committed."""
    gauges = gauges_of(endpoints)
    return lambda: 8 + sum(stats.limit for stats in gauges.values()) * 5 // 4
