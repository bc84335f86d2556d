"""Run a command and say what it took: CPU seconds, wall seconds, peak memory of that process alone."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Cost(NamedTuple):
    """What one process used. `output` is what it printed on stdout."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str
    code: int


def run(command: Sequence[str]) -> Cost:
    """Run `command` to its end; stderr passes through."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    return Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.monotonic() - start,
        peak_mb=usage.ru_maxrss / 1024,
        output=output,
        code=process.returncode,
    )


@contextlib.contextmanager
def server(*arguments: str) -> Iterator[str]:
    """A server module of `tests.servers` as its own process; yields the base URL that it prints first."""
    process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=10)
        if process.stdout is not None:
            process.stdout.close()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row) + " |")
