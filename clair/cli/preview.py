"""`clair preview`: a few rows bought and shown with diffs, and what all of them would cost."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from clair.api import Interrupts, run_async
from clair.cli.display import shown
from clair.cli.options import generate_options, settings_from
from clair.cli.terminal import printable, word_diff
from clair.records import Outcome, Pair


@click.command()
@generate_options
@click.option("--rows", type=click.IntRange(1), default=5, show_default=True, help="rows to look at")
@click.option("--json", "as_json", is_flag=True, help="print outcomes and forecast as one JSON object on stdout")
def command(rows: int, as_json: bool, **options: Any) -> None:
    """Make the first few pairs, show them with colored word diffs, and forecast the cost of all rows.

    What it buys stays in the run folder's ledger: clair generate with the same options does not buy it again.
    """
    from clair.pipeline.forecast import forecast
    from clair.pipeline.progress import Progress
    from clair.pipeline.run import apreview, expected_rows

    settings = settings_from(options)
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
        _show(outcomes)
        click.echo(expected.as_text())
    if interrupts.count:
        raise SystemExit(130)


def _show(outcomes: list[Outcome]) -> None:
    from rich.console import Console
    from rich.rule import Rule

    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal  # in a file, a line of the answer stays one line
    for number, outcome in enumerate(outcomes, start=1):
        console.print(Rule(f"row {number}", align="left"), soft_wrap=False)
        for message in outcome.prompt:
            console.print(f"{message['role']}: {printable(message['content'])}", style="dim", markup=False)
        if isinstance(outcome, Pair):
            _show_pair(console, outcome)
        else:
            console.print(f"reject at {outcome.stage}: {outcome.reason}", style="yellow", markup=False)
            console.print(printable(outcome.detail), markup=False)
            if outcome.response is not None and outcome.revision is not None:
                console.print(word_diff(outcome.response, outcome.revision))
    console.print()


def _show_pair(console: Any, pair: Pair) -> None:
    contrast = pair.contrast
    console.print(word_diff(pair.rejected, pair.chosen))
    console.print(f"why: {printable(pair.rationale)}", style="italic", markup=False)
    console.print(
        f"pair ({pair.protocol}, {pair.spent.attempts} attempt(s)): {1 - contrast.word_similarity:.0%} of the words "
        f"changed in {contrast.edits} edit(s), Jaccard {contrast.jaccard:.2f}, "
        f"length ratio {contrast.length_ratio:.2f}",
        style="green",
        markup=False,
    )
