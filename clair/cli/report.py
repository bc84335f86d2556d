"""`clair report`: the page of a run, written again."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from clair.errors import ClairError


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--open", "open_it", is_flag=True, help="open the page in the browser")
def command(run: Path, open_it: bool) -> None:
    """Write RUN/report.html: one page that shows what a run made, for any browser, without network.

    RUN is a run folder; one that was published and downloaded again will do, too.
    """
    from clair.report.write import write_report

    path = write_report(run)
    click.echo(str(path))
    if open_it and not webbrowser.open(path.resolve().as_uri()):
        raise ClairError(f"no browser could be started. Open {str(path)!r} yourself.")
