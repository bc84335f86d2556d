"""One invocation of a judged evaluation, from settings to its folder.

    figures = await aevaluate(resolve({...}))

    clair-eval/
      eval.json           win rates with intervals, position bias, counts, cost, settings
      judgments.jsonl     each prompt with both answers and both verdicts, or why it failed
      ledger.sqlite       every answer that was paid for

The same command resumes and buys nothing twice. Whatever stops it, both files are written with what is finished.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from clair.contrast import Gate
from clair.endpoints.endpoint import Endpoint
from clair.errors import EndpointUnusable
from clair.evaluation.folder import write_folder
from clair.evaluation.judgments import decode, encode
from clair.evaluation.models import Contender, contenders, open_models
from clair.evaluation.settings import FREE, EvalSettings
from clair.ledger.store import Ledger
from clair.pipeline.engine import Codec, Derivation, Engine
from clair.pipeline.naming import alike, name_models
from clair.pipeline.progress import Progress
from clair.pipeline.run import OnStop, answers_of, capacity_of, gauges_of
from clair.pipeline.site import Here
from clair.recipes.base import Plan
from clair.recipes.catalog import JUDGE
from clair.recipes.comparison import Judgment, comparison
from clair.records import Part, Row
from clair.settings import SANDBOX
from clair.templates import Templates

PARSER = 2  # raise it when the same reply gives another verdict: finished prompts are then read again, for free

Running = tuple[Ledger, Engine[Judgment]]


async def aevaluate(
    settings: EvalSettings, *, progress: Progress | None = None, on_stop: OnStop | None = None
) -> dict[str, Any]:
    """Run or resume; returns what eval.json holds.

    `on_stop` is given a function that asks to end early (used for Ctrl-C): requests in flight finish and are
    committed. Raises UsageError before anything is bought, RunStopped or LedgerError afterwards.
    """
    progress = progress or Progress()
    templates = Templates.load(Path(settings.judge_template) if settings.judge_template else None, names=JUDGE)
    async with _opened(settings, templates, progress, on_stop) as (ledger, engine):
        failure: Exception | None = None
        try:
            await engine.run()
        except Exception as stopped:
            failure = stopped
        complete = failure is None and not progress.draining
        figures = write_folder(settings, ledger, engine.plan, complete=complete)
        if failure is not None:
            raise failure
    return figures


@asynccontextmanager
async def _opened(
    settings: EvalSettings, templates: Templates, progress: Progress, on_stop: OnStop | None
) -> AsyncIterator[Running]:
    """Everything that an evaluation needs, in the order in which mistakes are cheapest to find."""
    found = contenders(settings)
    rows, progress.total = _input(settings)
    progress.noun = "judged"
    with Ledger.open(settings.folder, create=True) as ledger:
        ledger.check_settings(_identity(settings, found, templates), alike)
        async with AsyncExitStack() as stack:
            endpoints = await open_models(found, settings, stack)
            name_models(ledger, endpoints, progress)
            progress.gauges = gauges_of(endpoints)
            plan = _plan(settings, templates, found, endpoints, ledger.secret)
            answers = answers_of(settings.max_cost, ledger, endpoints, progress)
            engine = Engine(
                rows,
                site=Here(comparison, plan, answers, capacity=capacity_of(endpoints)),
                codec=Codec(encode, decode),
                plan=plan,
                ledger=ledger,
                derivation=Derivation(plan.gate, plan.allow_talk, PARSER, settings.max_attempts),
                progress=progress,
                refuse=lambda _: None,
            )
            if on_stop is not None:
                on_stop(engine.stop)
            try:
                yield ledger, engine
            except EndpointUnusable as stopped:
                kept = f"What was bought is in {settings.out}; the same command goes on from there."
                raise EndpointUnusable(f"{stopped} {kept}") from stopped


def _input(settings: EvalSettings) -> tuple[Iterator[Row], int | None]:
    """The prompts, and how many there are if that can be told. Raises UsageError at a bad one."""
    assert settings.prompts is not None
    if settings.prompts == SANDBOX:
        from clair.sandbox.rows import DEFAULT_PROMPTS, problem_rows

        count = settings.limit or DEFAULT_PROMPTS
        return problem_rows(limit=count, seed=settings.seed or 0, split="test"), count
    from clair.sources import check_rows, read_rows

    how: dict[str, Any] = {
        "prompt_column": settings.prompt_column,
        "answer_columns": settings.answer_columns,
        "limit": settings.limit,
        "on_bad_row": settings.on_bad_row,
    }
    rows = read_rows(settings.prompts, **how)
    return rows, check_rows(settings.prompts, **how)


def _identity(settings: EvalSettings, found: dict[Part, Contender], templates: Templates) -> dict[str, object]:
    """All that decides what is asked, for the ledger to compare on resume."""
    values = settings.model_dump(mode="json", exclude=set(FREE))
    for name, part in _OPTIONS.items():
        values[name] = found[part].spec.identity if part in found else None
    return {**values, "templates": dict(templates.sha256)}


_OPTIONS: dict[str, Part] = {"model": "target", "baseline": "baseline", "judge": "judge"}


def _plan(
    settings: EvalSettings,
    templates: Templates,
    found: dict[Part, Contender],
    endpoints: dict[Part, Endpoint],
    secret: bytes,
) -> Plan:
    # A folder is called by its name: the student in it has the same model name as any other.
    names = {part: str(found[part].folder or endpoint.model) for part, endpoint in endpoints.items()}
    return Plan(
        target_model=names.get("target", f"column:{settings.model_column}"),
        reviser_model=names.get("baseline", f"column:{settings.baseline_column}"),
        judge_model=names["judge"],
        protocol="auto",
        templates=templates,
        principles=settings.principle,
        gate=Gate(),
        allow_talk=False,
        max_attempts=settings.max_attempts,
        token=lambda content: hmac.new(secret, content.encode(), hashlib.sha256).hexdigest()[:12],
        columns=settings.columns,
    )
