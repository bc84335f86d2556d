"""One invocation of a generation run, from settings to run folder.

    summary = await agenerate(resolve({...}))

Order of things: read and check the input, take the run folder's lock, compare settings with the earlier invocation's,
probe the endpoints, drive the rows, write the dataset from the ledger. Whatever stops the run on the way, the dataset
of what is finished is written before the error is raised; only a canceled run leaves the dataset as it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clair.dataset.codec import decode_outcome, encode_outcome
from clair.errors import EndpointUnusable
from clair.hygiene import Hygiene
from clair.ledger.store import Ledger
from clair.pipeline.answers import Answers
from clair.pipeline.budget import Budget
from clair.pipeline.checker import Checker
from clair.pipeline.engine import Codec, Derivation, Engine
from clair.pipeline.finished import Finished, input_of, known_total
from clair.pipeline.folder import facts_of, write_run_folder
from clair.pipeline.naming import alike, name_models
from clair.pipeline.parts import open_parts
from clair.pipeline.planning import constitution_of, identity, plan_of, templates_of
from clair.pipeline.progress import Progress
from clair.pipeline.site import Here, Site
from clair.recipes.base import Plan
from clair.recipes.catalog import RECIPES
from clair.records import Pair, Part
from clair.settings import SANDBOX, GenerateSettings
from clair.templates import Templates

if TYPE_CHECKING:
    from pathlib import Path

    from clair.dataset.summary import RunSummary
    from clair.endpoints.endpoint import Endpoint, Stats
    from clair.records import Outcome, Row

OnStop = Callable[[Callable[[], None]], None]
OpenEndpoints = Callable[[GenerateSettings, AsyncExitStack], "Awaitable[dict[Part, Endpoint]]"]

PARSER = 3  # raise it when the same reply gives another revision: finished rows are then parsed again, for free


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a run holds when its first row is about to start: all that a site may need.

    `input` names the content of the input, see `clair.pipeline.finished`.
    """

    settings: GenerateSettings
    templates: Templates
    constitution: tuple[str, ...]
    checker: Checker | None
    hygiene: Hygiene
    ledger: Ledger
    endpoints: dict[Part, Endpoint]
    plan: Plan
    answers: Answers
    progress: Progress
    input: str | None = None


OpenSite = Callable[[Opened], Awaitable[Site[Pair]]]


async def here(opened: Opened) -> Here[Pair]:
    """Rows are driven in this process."""
    return Here(
        RECIPES[opened.settings.recipe].run,
        opened.plan,
        opened.answers,
        capacity=capacity_of(opened.endpoints),
        checker=opened.checker,
    )


async def agenerate(
    settings: GenerateSettings,
    *,
    progress: Progress | None = None,
    on_stop: OnStop | None = None,
    open_endpoints: OpenEndpoints = open_parts,
    open_site: OpenSite = here,
) -> RunSummary:
    """Run or resume; returns the figures of what the run folder holds now.

    `on_stop` is given a function that asks the run to end early (used for Ctrl-C): requests in flight finish and are
    committed. `open_endpoints` opens the models that are asked, `open_site` where rows are driven. Raises UsageError
    before anything is bought, RunStopped or LedgerError afterwards.
    """
    progress = progress or Progress()
    async with _opened(settings, progress, on_stop, open_endpoints, open_site) as (opened, engine, site):
        finished = finished_of(opened)
        if (summary := finished.untouched()) is not None:
            progress.resume(summary)
            return summary
        failure: Exception | None = None
        try:
            await engine.run()
        except Exception as stopped:
            failure = stopped
        await site.aclose()  # before the figures are read: nobody who drives rows spends anything any more
        summary = finished.unwritten() or write_run_folder(settings, opened.ledger, engine.plan)
        if failure is not None:
            raise failure
        if not site.stopping:  # all rows that it read have ended, but not all were read
            finished.seal(summary)
    return summary


async def apreview(
    settings: GenerateSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> list[Outcome]:
    """Finish the first rows (`settings.limit`) and return how they ended, in input order.

    What it buys stays in the run's ledger; the dataset in the run folder is left as it is. It is bought online, and at
    that price, whatever the engine.
    """
    settings = settings.model_copy(update={"engine": "here"})
    async with _opened(settings, progress or Progress(), on_stop, open_parts, here) as (opened, engine, _):
        await engine.run()
        outcomes = [decode_outcome(body) for kind in ("pair", "reject") for body in opened.ledger.outcomes(kind)]
    return sorted(outcomes, key=lambda outcome: (outcome.source, outcome.source_index))


@asynccontextmanager
async def _opened(
    settings: GenerateSettings,
    progress: Progress,
    on_stop: OnStop | None,
    open_endpoints: OpenEndpoints,
    open_site: OpenSite,
) -> AsyncIterator[tuple[Opened, Engine[Pair], Site[Pair]]]:
    """A run and the engine that makes it in one pass."""
    async with opened_run(settings, progress, open_endpoints) as opened, AsyncExitStack() as stack:
        site = await open_site(opened)
        stack.push_async_callback(site.aclose)
        engine = engine_of(opened, site)
        if on_stop is not None:
            on_stop(engine.stop)
        yield opened, engine, site


@asynccontextmanager
async def opened_run(
    settings: GenerateSettings,
    progress: Progress,
    open_endpoints: OpenEndpoints = open_parts,
    *,
    under_way: Callable[[Path], int] = lambda _: 0,
) -> AsyncIterator[Opened]:
    """Everything that a run needs, in the order in which mistakes are cheapest to find.

    `under_way` says how many answers are bought and have not come, once nobody else can change that.
    """
    templates, constitution = templates_of(settings), constitution_of(settings)
    checker = Checker(settings.checker) if settings.checker else None
    read_input(settings)  # what does not exist is found out here
    input = input_of(settings)
    total = known_total(settings.run_dir, input)
    progress.total = expected_rows(settings) if total is None else total
    progress.target_pairs = settings.target_pairs
    hygiene = hygiene_of(settings)
    with Ledger.open(settings.run_dir, create=True) as ledger:
        waiting = under_way(settings.run_dir)
        ledger.check_settings(identity(settings, templates, constitution), alike, under_way=waiting)
        async with AsyncExitStack() as stack:
            endpoints = await open_endpoints(settings, stack)
            name_models(ledger, endpoints, progress)
            progress.gauges = gauges_of(endpoints)
            opened = Opened(
                settings=settings,
                templates=templates,
                constitution=constitution,
                checker=checker,
                hygiene=hygiene,
                ledger=ledger,
                endpoints=endpoints,
                plan=plan_of(
                    settings, templates=templates, constitution=constitution, endpoints=endpoints, secret=ledger.secret
                ),
                answers=answers_of(settings.max_cost, ledger, endpoints, progress),
                progress=progress,
                input=input,
            )
            try:
                yield opened
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


def hygiene_of(settings: GenerateSettings) -> Hygiene:
    """What refuses rows before anything is asked about them. It remembers those it has seen: one for each pass."""
    return Hygiene(near_duplicates=settings.near_duplicates, decontaminate=settings.decontaminate)


def engine_of(opened: Opened, site: Site[Pair]) -> Engine[Pair]:
    """What drives the rows through one pass, from the first one on."""
    settings, plan = opened.settings, opened.plan
    return Engine(
        read_input(settings),
        site=site,
        codec=Codec(encode_outcome, decode_outcome),
        plan=plan,
        ledger=opened.ledger,
        derivation=derivation_of(opened),
        progress=opened.progress,
        refuse=opened.hygiene.verdict,
        target_pairs=settings.target_pairs,
    )


def derivation_of(opened: Opened) -> Derivation:
    """What outcomes come from besides the answers."""
    plan, checker = opened.plan, opened.checker
    return Derivation(
        plan.gate, plan.allow_talk, PARSER, opened.settings.max_attempts, checker.version if checker else None
    )


def finished_of(opened: Opened) -> Finished:
    """What is known of the run before its first row starts."""
    return Finished(
        opened.settings,
        opened.ledger,
        facts_of(opened.settings, opened.plan),
        derivation=derivation_of(opened).text,
        input=opened.input,
        total=opened.progress.total,
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
