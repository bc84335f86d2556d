"""Measured runs as rows of two Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TypeVar

from tests.benchmarks.peers.trial import Crash, Whole

Run = TypeVar("Run", Whole, Crash)

WHOLE = (
    "whole runs",
    "pairs/s",
    "CPU ms/pair",
    "start-up, CPU s",
    "CPU ms/pair beyond start-up",
    "peak RSS, MB",
    "peak PSS, MB",
    "processes",
    "most in flight",
    "server CPU, %",
    "requests",
    "pairs right",
)
CRASH = (
    "kill -9",
    "at request",
    "in flight then",
    "the same command again",
    "s",
    "pairs",
    "missing",
    "doubled",
    "wrong",
    "bought twice",
)


def whole_row(name: str, start: Whole, runs: Sequence[Whole]) -> tuple[str, ...]:
    """Medians. Start-up is a run of one prompt; the server's CPU is a share of one core while the run lasted."""
    return (
        name,
        _spread([run.found.pairs / run.usage.wall_s for run in runs]),
        _spread([1000 * run.usage.cpu_s / max(1, run.found.pairs) for run in runs], 1),
        f"{start.usage.cpu_s:.1f}",
        _spread([1000 * (run.usage.cpu_s - start.usage.cpu_s) / max(1, run.found.pairs) for run in runs], 1),
        _spread([run.usage.rss_mb for run in runs]),
        _spread([run.usage.pss_mb for run in runs]),
        _spread([run.usage.processes for run in runs]),
        _spread([run.seen.max_in_flight for run in runs]),
        _spread([100 * run.seen.cpu_s / run.usage.wall_s for run in runs]),
        _spread([run.seen.requests + run.seen.other for run in runs]),
        _spread([run.found.pairs - run.found.wrong - run.found.doubled for run in runs]),
    )


def crash_row(name: str, run: Crash) -> tuple[str, ...]:
    """One run that was killed; a stuck one has bought nothing twice yet, but all of it is lost."""
    lost = run.again.ending != "finished"
    return (
        name,
        f"{run.killed.requests:,}",
        f"{run.killed.dropped:,}",
        run.again.ending,
        f"{run.again.wall_s:.1f}",
        *(f"{figure:,}" for figure in run.found),
        f"all {run.killed.requests:,}, afresh" if lost else f"{run.seen.requests - run.seen.distinct:,}",
    )


def _spread(values: Sequence[float], digits: int = 0) -> str:
    middle, least, most = (f"{it:,.{digits}f}" for it in (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least}-{most})"
