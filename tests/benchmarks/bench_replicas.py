"""One model on three servers, one of which is slow and one of which is killed and started again.

Each server is a process that serves so many requests at once and refuses others with 429, so its capacity is known.
Six hundred callers want answers all the time. What is shown: answers per second against the capacity of the servers
that live, the share of each server, and how soon the one that returned works again.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from clair.endpoints.endpoint import Endpoint
from clair.endpoints.spec import parse_spec
from clair.errors import RowFailure
from tests.benchmarks.measure import table

CALLERS = 600
KILLED_S, BACK_S, END_S = 25, 45, 75
SETTLE_S = 10
TICK_S = 0.25


@dataclass
class Server:
    """A server process that can be killed and started again on its port."""

    name: str
    slots: int
    latency_s: float
    url: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def capacity(self) -> float:
        """Answers per second."""
        return self.slots / self.latency_s

    def start(self) -> None:
        port = self.url.rpartition(":")[2].partition("/")[0] or "0"
        options = ["--port", port, "--latency", str(self.latency_s), "--slots", str(self.slots)]
        command = [sys.executable, "-m", "tests.servers.chat", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()


def main() -> None:
    servers = [Server("steady", 40, 0.5), Server("killed, back", 40, 0.5), Server("slow", 20, 1.0)]
    for server in servers:
        server.start()
    try:
        asyncio.run(measure(servers))
    finally:
        for server in servers:
            server.kill()


async def measure(servers: list[Server]) -> None:
    endpoint = await Endpoint.connect(parse_spec(f"m@{','.join(s.url for s in servers)}", env={}), env={})
    notes: list[str] = []
    endpoint.listen(notes.append)
    lost = 0

    async def caller() -> None:
        nonlocal lost
        body = endpoint.body(({"role": "user", "content": "hi"},), 0)
        while True:
            try:
                await endpoint.complete(body)
            except RowFailure:
                lost += 1

    callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
    ticks = await asyncio.gather(watch(endpoint), kill_and_start(servers[1]))
    for task in callers:
        task.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await endpoint.aclose()
    show(servers, ticks[0], ticks[1])
    refused = endpoint.stats.rate_limited / endpoint.stats.requests
    print(f"{endpoint.stats.requests:,} requests, {refused:.1%} refused with 429, {lost} questions lost. Notes:")
    print("\n".join(f"    {note}" for note in notes))


async def watch(endpoint: Endpoint) -> list[list[int]]:
    """How many answers each server has given, every `TICK_S` seconds."""
    began, ticks = time.monotonic(), []
    while len(ticks) <= END_S / TICK_S:
        ticks.append([replica.answers for replica in endpoint.stats.replicas])
        await asyncio.sleep(began + len(ticks) * TICK_S - time.monotonic())
    return ticks


async def kill_and_start(server: Server) -> float:
    """Seconds from the start at which the killed server listens again."""
    began = time.monotonic()
    await asyncio.sleep(KILLED_S)
    server.kill()
    await asyncio.sleep(began + BACK_S - time.monotonic())
    await asyncio.to_thread(server.start)
    return time.monotonic() - began


def show(servers: list[Server], ticks: list[list[int]], back_s: float) -> None:
    phases = [
        ("all three", SETTLE_S, KILLED_S, servers),
        ("one dead, first 5 s", KILLED_S, KILLED_S + 5, servers[::2]),
        ("one dead", KILLED_S + 5, BACK_S, servers[::2]),
        ("all again, first 10 s", back_s, back_s + SETTLE_S, servers),
        ("all again", back_s + SETTLE_S, END_S, servers),
    ]
    rows = []
    for name, start, end, alive in phases:
        first, last = ticks[round(start / TICK_S)], ticks[round(end / TICK_S)]
        answers = [after - before for before, after in zip(first, last, strict=True)]
        rate, capacity = sum(answers) / (end - start), sum(server.capacity for server in alive)
        shares = [f"{count / sum(answers):.0%}" for count in answers]
        rows.append([name, f"{rate:.0f}", f"{capacity:.0f}", f"{rate / capacity:.0%}", *shares])
    table(("phase", "answers/s", "capacity", "used", *(f"{s.name} ({s.capacity:.0f}/s)" for s in servers)), rows)
    wanted = 0.9 * servers[1].capacity
    first_s = seconds_until(ticks, back_s, lambda rate: rate > 0)
    full_s = seconds_until(ticks, back_s, lambda rate: rate >= wanted)
    print(f"\nThe server that returned answers after {first_s} s, at 90 % of its capacity after {full_s} s.")


def seconds_until(ticks: list[list[int]], start_s: float, is_it: Callable[[float], bool]) -> str:
    """When the second server's rate over one second is first so, after `start_s`."""
    second = round(1 / TICK_S)
    for number in range(round(start_s / TICK_S) + second, len(ticks)):
        if is_it(ticks[number][1] - ticks[number - second][1]):
            return f"{number * TICK_S - start_s:.1f}"
    return "more than " + f"{END_S - start_s:.1f}"


if __name__ == "__main__":
    main()
