"""The run folder, written from the ledger: shards, card, run.json, report. A pure function of what the ledger holds."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from clair.dataset.card import write_card
from clair.dataset.chain import with_steps
from clair.dataset.codec import decode_outcome
from clair.dataset.run_json import installed_versions, write_run_json
from clair.dataset.schema import as_written
from clair.dataset.summary import RunFacts, RunSummary, StageSpent, Tally
from clair.dataset.writer import write_split
from clair.errors import ClairError
from clair.ledger.store import Ledger
from clair.report.scan import Scan
from clair.report.write import write_report
from clair.settings import PLACE, REVISING, GenerateSettings

if TYPE_CHECKING:
    from clair.recipes.base import Plan
    from clair.records import Outcome


def write_run_folder(settings: GenerateSettings, ledger: Ledger, plan: Plan) -> RunSummary:
    """Write data/, rejects/, README.md, run.json and report.html for the rows of this pass; returns their figures.

    Raises ClairError if the folder cannot be written; what was paid for is in the ledger all the same.
    """
    tally, scan = Tally(), Scan()
    try:
        pairs = _outcomes(ledger, "pair")
        pairs = map(as_written, with_steps(pairs) if settings.chain else pairs)
        write_split(_seen(pairs, tally, scan), settings.run_dir, "pairs")
        rejects = map(as_written, _outcomes(ledger, "reject"))
        write_split(_seen(rejects, tally, scan), settings.run_dir, "rejects")
        summary = tally.summary(facts_of(settings, plan), stages=_stages(ledger))
        write_card(settings.run_dir, summary, tally.examples())
        write_run_json(settings.run_dir, summary)
        write_report(settings.run_dir, scan.scanned(summary.audit))
    except OSError as error:
        raise ClairError(
            f"cannot write the dataset into {settings.out!r}: {error.strerror or error}. Every answer is in its "
            "ledger; make room or see to your permissions, and run the same command again"
        ) from error
    return summary


def command_line(settings: GenerateSettings) -> str:
    """The command that makes this run: settings that are not the defaults, in the order of the model."""
    words = ["clair", "generate"]
    said = settings.model_dump(mode="json", exclude_defaults=True, exclude=set(PLACE))
    if settings.recipe not in REVISING:  # the default there is another, 1.0
        said |= {"max_change": None if settings.max_change == 1.0 else settings.max_change}
    for name, value in said.items():
        if name == "prompts":
            words.append(str(value))
        elif name == "prices" or value is None:
            continue  # only a config file can say these
        elif isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{name.replace('_', '-')}")
        else:
            for item in value if isinstance(value, list) else [value]:
                words += [f"--{name.replace('_', '-')}", str(item)]
    return shlex.join(words)


def _outcomes(ledger: Ledger, kind: str) -> Iterator[Outcome]:
    return map(decode_outcome, ledger.outcomes("pair" if kind == "pair" else "reject"))


def _seen(outcomes: Iterator[Outcome], tally: Tally, scan: Scan) -> Iterator[Outcome]:
    """The outcomes unchanged; card and report have then seen them, and need not read them back."""
    for outcome in tally.watch(outcomes):
        scan.add(outcome)
        yield outcome


def _stages(ledger: Ledger) -> dict[str, StageSpent]:
    return {stage: StageSpent(*spending) for stage, spending in ledger.totals().by_stage.items()}


def facts_of(settings: GenerateSettings, plan: Plan) -> RunFacts:
    """What is said of the run in its card and in run.json, besides its figures."""
    return RunFacts(
        name=settings.run_dir.resolve().name,
        command=command_line(settings),
        recipe=settings.recipe,
        target_model=plan.target_model,
        reviser_model=plan.reviser_model,
        judge_model=plan.judge_model,
        settings=settings.model_dump(mode="json", exclude=set(PLACE)),
        templates=dict(plan.templates.sha256),
        versions=installed_versions(),
    )
