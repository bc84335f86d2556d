"""`clair show`: pairs and rejects of a run in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import click

from clair.cli.outcomes import show_outcomes
from clair.errors import UsageError
from clair.records import Outcome


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("row_id", metavar="[ID]", required=False)
@click.option("-n", "count", type=click.IntRange(1), default=5, show_default=True, help="rows to show")
@click.option("--rejects", is_flag=True, help="rejects in place of pairs")
def command(run: Path, row_id: str | None, count: int, rejects: bool) -> None:
    """Show the first pairs of a run, or the one with this ID: colored word diff, rationale, figures.

    RUN is a run folder; the beginning of an ID is enough.
    """
    from clair.dataset.reading import read_split, require_run

    require_run(run)
    if row_id is None:
        rows = read_split(run, "rejects" if rejects else "pairs")
        if not show_outcomes(islice(rows, count), ids=True):
            click.echo(f"no {'rejects' if rejects else 'pairs'} in {run}")
        return
    found = list(islice(_starting(row_id, chain(read_split(run, "pairs"), read_split(run, "rejects"))), count + 1))
    if not found:
        raise UsageError(f"no row of {str(run)!r} has an id that begins with {row_id!r}. report.html lists the ids.")
    if len(found) > count:
        raise UsageError(f"more than {count} ids begin with {row_id!r}. Give more of it, or a larger -n.")
    show_outcomes(found, ids=True)


def _starting(row_id: str, rows: Iterator[Outcome]) -> Iterator[Outcome]:
    for row in rows:
        if row.id == row_id:
            yield row
            return
        if row.id.startswith(row_id):
            yield row
