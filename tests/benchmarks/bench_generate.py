"""`clair generate` under load: throughput, CPU per pair and memory, beside the bare client making the same requests.

A pair is two requests. The bare client is `openai` over aiohttp without pipeline, ledger or dataset: what is
above it is what clair costs.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.measure import Cost, run, server, table
from tests.servers.world import write_prompts

ROWS = 10_000
CONCURRENCY = 256


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        prompts = write_prompts(Path(folder, "prompts.jsonl"), ROWS)
        with server("tests.servers.world", "--latency", "0.02") as url:
            idle = generate(prompts, url, Path(folder, "idle"), 1, "--limit", "1")
            ours = generate(prompts, url, Path(folder, "run"), CONCURRENCY)
            again = generate(prompts, url, Path(folder, "run"), CONCURRENCY)
            bare = run([sys.executable, "-m", "tests.benchmarks.bare_client", url, str(ROWS), str(CONCURRENCY)])
        rows = [_row(f"clair generate, {ROWS:,} rows", ours, idle.cpu_s), _row("the same again (resume)", again, 0.0)]
        rows.append(_row(f"bare openai client, {2 * ROWS:,} requests", bare, idle.cpu_s))
        table(("20 ms latency, 256 in flight", "wall s", "CPU s", "CPU ms/pair", "pairs/s", "peak MB"), rows)
        print()
        with server("tests.servers.world", "--latency", "1") as url:
            wide = generate(prompts, url, Path(folder, "wide"), 4096)
        print(f"4,096 in flight, 1 s latency: {_counts(wide)}, {wide.wall_s:.1f} s, peak {wide.peak_mb:.0f} MB")


def generate(prompts: Path, url: str, out: Path, concurrency: int, *more: str) -> Cost:
    command = [sys.executable, "-m", "clair", "generate", str(prompts), "-o", str(out), "--json"]
    command += ["--target", f"target@{url}", "--reviser", f"reviser@{url}", "--concurrency", str(concurrency)]
    return run([*command, *more])


def _row(name: str, cost: Cost, start_up_s: float) -> tuple[object, ...]:
    per_pair = (cost.cpu_s - start_up_s) * 1000 / ROWS
    return (name, cost.wall_s, cost.cpu_s, per_pair, ROWS / cost.wall_s, cost.peak_mb)


def _counts(cost: Cost) -> str:
    counts = json.loads(cost.output)["counts"]
    return f"{counts['rows']:,} rows, {counts['pairs']:,} pairs, rejects {counts['rejects']}"
