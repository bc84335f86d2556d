"""clair beside distilabel's CLAIR task and bespoke curator: the same prompts, the same server, one after the other.

    python -m tests.benchmarks.peers [--prompts 2000] [--runs 3] [--latency 0.05] [--only clair curator]

First whole runs, alternated; then runs whose processes are all killed (SIGKILL) after a quarter, a half and three
quarters of the requests, and the same command again. The models are a process of their own (`world`) that answers
every request after the latency and has no rate limit. Prints Markdown; needs Linux. The first call installs the peers.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
from datetime import date

from tests.benchmarks.measure import table
from tests.benchmarks.peers import report
from tests.benchmarks.peers.contenders import NAMES, contenders
from tests.benchmarks.peers.trial import STUCK_S, Crash, Whole, crash, whole

SHARES = (0.25, 0.5, 0.75)


def main() -> None:
    options = _options()
    # The contenders run in sessions of their own: a benchmark that is ended must end them, as it does on Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    entered = contenders(options.only)
    count, latency_s = options.prompts, options.latency
    command = " ".join(["python -m tests.benchmarks.peers", *sys.argv[1:]])
    where = f"Python {platform.python_version()}, {os.cpu_count()} cores"
    print(f"{date.today()}, `{command}`, {where}, {_load()}\n", flush=True)
    for contender in entered:
        print(f"- {contender.name}: {contender.setting}", flush=True)

    starts = {it.name: whole(it, 1, latency_s) for it in entered}
    wholes: dict[str, list[Whole]] = {it.name: [] for it in entered}
    for _ in range(options.runs):
        for contender in entered:
            wholes[contender.name].append(_told(contender.name, whole(contender, count, latency_s)))
    print(f"\n{count:,} prompts, {latency_s * 1000:.0f} ms a reply, medians of {options.runs} (least-most):\n")
    table(report.WHOLE, [report.whole_row(name, starts[name], runs) for name, runs in wholes.items()])
    print(f"\n{_load()}\n", flush=True)

    crashes: dict[str, list[Crash]] = {it.name: [] for it in entered}
    for share in SHARES:
        for contender in entered:
            found = crash(contender, count, latency_s, round(share * 2 * count))
            crashes[contender.name].append(_told(contender.name, found))
    table(report.CRASH, [report.crash_row(name, one) for name, runs in crashes.items() for one in runs])
    print(f"\nstuck: no request for {STUCK_S:.0f} s, then ended by the benchmark. {_load()}")


def _told(name: str, run: report.Run) -> report.Run:
    """Each run as it ends, on stderr."""
    print(f"{name}: {run}", file=sys.stderr, flush=True)
    return run


def _load() -> str:
    return f"load average {os.getloadavg()[0]:.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    return parser.parse_args()


if __name__ == "__main__":
    main()
