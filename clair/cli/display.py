"""Progress on stderr: a live panel on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from clair.pipeline.progress import Progress

LIVE_EVERY_S = 0.25
PLAIN_EVERY_S = 5.0


@asynccontextmanager
async def shown(progress: Progress) -> AsyncIterator[None]:
    """Show `progress` while the body runs."""
    task = asyncio.create_task(_live(progress) if sys.stderr.isatty() else _plain(progress))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _plain(progress: Progress) -> None:
    said = 0
    try:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            said = _say_notes(progress, said)
            click.echo(line(progress), err=True)
    finally:
        _say_notes(progress, said)
        if progress.rows:
            click.echo(line(progress), err=True)


def _say_notes(progress: Progress, said: int) -> int:
    for note in progress.notes[said:]:
        click.echo(note, err=True)
    return len(progress.notes)


async def _live(progress: Progress) -> None:
    from rich.console import Console
    from rich.live import Live

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        while True:
            live.update(panel(progress), refresh=True)
            await asyncio.sleep(LIVE_EVERY_S)


def line(progress: Progress) -> str:
    """One line that says where the run is."""
    total = "?" if progress.total is None else f"{progress.total:,}"
    parts = [
        f"rows {progress.rows:,}/{total}",
        f"{_pairs(progress)} ({_share(progress.acceptance)})",
        f"{progress.pairs_per_s:.1f} {progress.noun}/s",
        f"in flight {progress.requests_in_flight}",
        f"cost {money(progress.cost_usd, progress.cost_known)}",
    ]
    if progress.waiting is not None:
        parts.append(progress.waiting)
    elif progress.eta_s is not None:
        parts.append(f"ETA {duration(progress.eta_s)}")
    if progress.draining:
        parts.append("stopping: waiting for the requests in flight")
    return " · ".join(parts)


def panel(progress: Progress) -> Table:
    """The live view: a bar over two lines of figures."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=1.0, completed=progress.done or 0.0, width=40, pulse=progress.done is None)
    total = "?" if progress.total is None else f"{progress.total:,}"
    eta = "" if progress.eta_s is None else f"ETA {duration(progress.eta_s)}"
    grid.add_row(bar, f"{progress.rows:,} of {total} rows", eta)
    limits = ", ".join(f"{name} ≤ {limit}" for name, limit in progress.limits.items())
    grid.add_row(
        f"[green]{_pairs(progress)}[/] ({_share(progress.acceptance)}), {progress.pairs_per_s:.1f}/s",
        f"{progress.requests_in_flight} in flight ({limits})" if limits else f"{progress.requests_in_flight} in flight",
        f"cost {money(progress.cost_usd, progress.cost_known)}",
    )
    if progress.rejects:
        common = ", ".join(f"{reason} {count:,}" for reason, count in progress.rejects.most_common(4))
        grid.add_row(f"[yellow]{sum(progress.rejects.values()):,} rejects[/]", common, "")
    for note in (*progress.notes[-3:], *([progress.waiting] if progress.waiting else [])):
        grid.add_row("", note, "")
    if progress.draining:
        grid.add_row("[bold]stopping[/]", "waiting for the requests in flight; Ctrl-C again leaves at once", "")
    return grid


def _pairs(progress: Progress) -> str:
    wanted = "" if progress.target_pairs is None else f" of {progress.target_pairs:,}"
    return f"{progress.pairs:,}{wanted} {progress.noun}"


def money(usd: float | None, known: bool = True) -> str:
    """USD for a person; says so when a part of it is unknown."""
    if usd is None or (not known and not usd):
        return "unknown"
    text = f"${usd:,.2f}" if usd >= 1 else f"${usd:.4f}"
    return text if known else f"{text} + unknown"


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
