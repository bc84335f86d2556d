"""`clair generate`: settings from the command line, one call of the library, a closing table."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import click

from clair.api import Interrupts, run_async
from clair.cli.closing import closing
from clair.cli.display import shown
from clair.cli.options import generate_options, settings_from
from clair.settings import GenerateSettings

SANDBOX_LINE = (
    "No prompts and no models given: running in the built-in sandbox (a half-million-parameter student and an exact "
    "teacher; no key, no network, no GPU)."
)


@click.command()
@generate_options
@click.option("--fork", type=click.Path(path_type=Path), metavar="NEW", help="go on in NEW with the answers of --out")
@click.option("--dry-run", is_flag=True, help="forecast requests, tokens and cost; buy nothing")
@click.option("--json", "as_json", is_flag=True, help="print one JSON summary on stdout")
def command(fork: Path | None, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Make minimally contrastive preference pairs.

    PROMPTS is a file (.jsonl .json .csv .parquet .txt), a folder of these, or a Hugging Face dataset
    id[:config][/split]. The same command again resumes. Without PROMPTS and models it runs in the sandbox.
    """
    settings = settings_from(options)
    if settings.in_sandbox and settings.prompts == "sandbox" and not as_json:
        click.echo(SANDBOX_LINE, err=True)
    if dry_run:
        _forecast(settings, as_json=as_json)
        return
    if fork is not None:
        from clair.engines import refuse_batches_under_way
        from clair.ledger.forking import fork as fork_ledger

        refuse_batches_under_way(settings)
        fork_ledger(settings.run_dir, fork)
        settings = settings.model_copy(update={"out": str(fork)})
    _generate(settings, as_json=as_json)


def _generate(settings: GenerateSettings, *, as_json: bool) -> None:
    from clair.engines import agenerate_with
    from clair.pipeline.progress import Progress

    progress = Progress()
    interrupts = Interrupts()

    # A run makes millions of objects that live as long as a request and hardly any cycles; at thousands of requests in
    # flight, collecting at the default pace takes a third of the CPU time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)

    async def main() -> Any:
        with interrupts.caught():
            async with shown(progress):
                return await agenerate_with(settings, progress=progress, on_stop=interrupts.on_stop)

    summary = run_async(main())
    if as_json:
        from clair.dataset.run_json import run_dict

        figures = {**run_dict(summary), "run": settings.out, "bought": progress.bought}
        click.echo(json.dumps({**figures, "waiting": progress.waiting} if progress.waiting else figures))
    elif progress.waiting is None:
        click.echo(closing(settings, summary, progress))
    elif not interrupts.count:
        click.echo(f"{progress.waiting}. The same command collects what has come back, and goes on from there.")
    if interrupts.count:
        left = f"{progress.waiting}, without us" if progress.waiting else f"What was bought is in {settings.out}"
        click.echo(f"clair: interrupted. {left}; the same command resumes", err=True)
        raise SystemExit(130)


def _forecast(settings: GenerateSettings, *, as_json: bool) -> None:
    from clair.pipeline.forecast import forecast

    expected = forecast(settings)
    click.echo(json.dumps(expected.as_dict()) if as_json else expected.as_text())
