"""`clair preview`: a few rows bought and shown with diffs, and what all of them would cost."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from clair.api import Interrupts, run_async
from clair.cli.display import shown
from clair.cli.options import generate_options, settings_from
from clair.cli.outcomes import show_outcomes
from clair.records import Outcome


@click.command()
@generate_options
@click.option("--rows", type=click.IntRange(1), default=5, show_default=True, help="rows to look at")
@click.option("--json", "as_json", is_flag=True, help="print outcomes and forecast as one JSON object on stdout")
def command(rows: int, as_json: bool, **options: Any) -> None:
    """Make the first few pairs, show them with colored word diffs, and forecast the cost of all rows.

    What it buys stays in the run folder's ledger: clair generate with the same options does not buy it again. It asks
    online and from this process, whatever the engine.
    """
    from clair.engines import refuse_batches_under_way
    from clair.pipeline.forecast import forecast
    from clair.pipeline.progress import Progress
    from clair.pipeline.run import apreview, expected_rows

    settings = settings_from(options)
    refuse_batches_under_way(settings)
    expected_rows(settings)  # a bad row anywhere ends the command before anything is bought
    few = settings.model_copy(update={"limit": min(rows, settings.limit or rows)})
    progress = Progress()
    interrupts = Interrupts()

    async def main() -> list[Outcome]:
        with interrupts.caught():
            async with shown(progress):
                return await apreview(few, progress=progress, on_stop=interrupts.on_stop)

    outcomes = run_async(main())
    expected = forecast(settings, finished=outcomes)
    if as_json:
        found = {"outcomes": [asdict(outcome) for outcome in outcomes], "forecast": expected.as_dict()}
        click.echo(json.dumps(found))
    else:
        show_outcomes(outcomes)
        click.echo(expected.as_text())
    if interrupts.count:
        raise SystemExit(130)
