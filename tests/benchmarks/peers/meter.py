"""Run a command as a session of its own and measure everything in it: CPU, memory, time.

usage = run(["python", "job.py"], env=..., cwd=..., log=..., stuck=lambda group: False)

Linux: reads /proc. A process belongs to the command if it is in its session, orphans included.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

EVERY_S = 0.05
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
MB = 2**20

ENDINGS = {0: "finished", -signal.SIGKILL: "killed"}


class Usage(NamedTuple):
    """What a command took and how it ended: finished, failed, killed or stuck.

    `rss_mb` counts shared pages once per process, `pss_mb` once.
    """

    ending: str
    wall_s: float
    cpu_s: float
    rss_mb: float
    pss_mb: float
    processes: int


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log: Path,
    stuck: Callable[[int], bool],
) -> Usage:
    """Run `command` to its end, or until `stuck`, asked with the process group about every 50 ms, says to end it.

    Output goes to `log`.
    """
    start = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=env, cwd=cwd, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    gauge = Gauge(process.pid)
    given_up = False
    try:
        while not given_up and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            gauge.read()
            given_up = stuck(process.pid)
            time.sleep(EVERY_S)
        wall_s = time.monotonic() - start
    finally:
        kill_session(process.pid)
    _, status, reaped = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ending = "stuck" if given_up else ENDINGS.get(process.returncode, "failed")
    # What nobody waited for is missing from the first, what ended between two readings from the second.
    cpu_s = max(reaped.ru_utime + reaped.ru_stime, gauge.cpu_s)
    return Usage(ending, wall_s, cpu_s, gauge.rss / MB, gauge.pss / MB, len(gauge.seen))


class Gauge:
    """The processes of a session over time: CPU as last seen of each, the largest sum of memory (within 2 %)."""

    def __init__(self, session: int) -> None:
        self.session = session
        self.seen: dict[int, float] = {}
        self.rss = 0
        self.pss = 0

    @property
    def cpu_s(self) -> float:
        return sum(self.seen.values())

    def read(self) -> None:
        pids = members(self.session)
        self.seen.update(pids)
        rss = sum(_rss(pid) for pid in pids)
        # The kernel walks all pages to tell the PSS: only worth it when there is a new peak.
        if rss > 1.02 * self.rss:
            self.rss = rss
            self.pss = max(self.pss, sum(_pss(pid) for pid in pids))


def members(session: int) -> dict[int, float]:
    """The processes of a session, with the CPU seconds of each so far."""
    found = {}
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session:
                # The second field is the program's name in brackets, which may itself hold brackets and blanks.
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    found[pid] = (int(fields[11]) + int(fields[12])) / TICKS
    return found


def kill_session(session: int) -> None:
    """SIGKILL to every process of the session, as losing the machine would."""
    while left := members(session):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _rss(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    return 0


def _pss(pid: int) -> int:
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return 0
