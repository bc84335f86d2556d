"""The three that are measured: the command of each, its environment, and the pairs that it left.

A command is the whole job and takes no notice of an earlier one but through its folder: the same command again is
what its user would do after a crash.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from clair import __version__
from tests.benchmarks.peers import environments, world

PROGRAMS = Path(__file__).parent / "programs"
ROOT = Path(__file__).resolve().parents[3]
CONCURRENCY = 256
NAMES = ("clair", "distilabel", "curator")


class Contender(NamedTuple):
    """One way to make the pairs. `command` takes prompts, the server's URL and a folder; `pairs` reads the folder."""

    name: str
    setting: str
    command: Callable[[Path, str, Path], list[str]]
    pairs: Callable[[Path], Iterable[tuple[str, str, str]]]


class Found(NamedTuple):
    """The pairs at the end, against those that there should be."""

    pairs: int
    missing: int
    doubled: int
    wrong: int


def contenders(names: Sequence[str]) -> list[Contender]:
    """Those named, with their environments made."""
    makers = {"clair": _clair, "distilabel": _distilabel, "curator": _curator}
    return [makers[name]() for name in names]


def environment(folder: Path) -> dict[str, str]:
    """Environment variables: a home of its own in `folder`, nothing sent to anybody, little printed."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return {
        **os.environ,
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
        "OPENAI_API_KEY": "none",
        "PYTHONPATH": str(ROOT),
        "TELEMETRY_ENABLED": "false",
        "DISTILABEL_LOG_LEVEL": "WARNING",
    }


def check(contender: Contender, folder: Path, count: int) -> Found:
    """Compare the pairs in `folder` with what the two models say to prompts 0 to `count` - 1."""
    wanted = {world.prompt(n): (world.rejected(n), world.chosen(n)) for n in range(count)}
    seen: Counter[str] = Counter()
    wrong = 0
    for prompt, rejected, chosen in contender.pairs(folder):
        seen[prompt] += 1
        wrong += wanted.get(prompt) != (rejected, chosen)
    return Found(seen.total(), len(wanted.keys() - seen.keys()), seen.total() - len(seen), wrong)


def _clair() -> Contender:
    def command(prompts: Path, url: str, out: Path) -> list[str]:
        models = ["--target", f"target@{url}", "--reviser", f"reviser@{url}", "--concurrency", str(CONCURRENCY)]
        options = ["--protocol", "rewrite", "--json", "-o", str(out / "run")]
        return [sys.executable, "-m", "clair", "generate", str(prompts), *models, *options]

    def pairs(out: Path) -> Iterable[tuple[str, str, str]]:
        for path in sorted(out.glob("run/data/*.parquet")):
            for row in pq.read_table(path, columns=["prompt", "rejected", "chosen"]).to_pylist():
                yield row["prompt"][-1]["content"], row["rejected"][-1]["content"], row["chosen"][-1]["content"]

    setting = f"`clair generate --protocol rewrite --concurrency {CONCURRENCY}`"
    return Contender(f"clair {__version__}", setting, command, pairs)


def _distilabel() -> Contender:
    name = f"distilabel {environments.version('distilabel', 'distilabel')} CLAIR"
    client = f"openai {environments.version('distilabel', 'openai')}"
    setting = (
        f"`TextGeneration` >> `CLAIR`, `OpenAILLM` ({client}), batches of 250, `use_cache=True`, log level WARNING"
    )
    return _peer("distilabel", name, setting)


def _curator() -> Contender:
    name = f"curator {environments.version('curator', 'bespokelabs-curator')}"
    setting = "two `curator.LLM`, backend openai, `max_concurrent_requests=256`, no rate limit, cache on, telemetry off"
    return _peer("curator", name, setting)


def _peer(short: str, name: str, setting: str) -> Contender:
    interpreter = environments.python(short)

    def command(prompts: Path, url: str, out: Path) -> list[str]:
        return [str(interpreter), str(PROGRAMS / f"{short}_clair.py"), str(prompts), url, str(out)]

    return Contender(name, setting, command, _from_jsonl)


def _from_jsonl(out: Path) -> Iterable[tuple[str, str, str]]:
    path = out / "pairs.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for row in map(json.loads, lines):
        if row["chosen"] is not None:
            yield row["prompt"], row["rejected"], row["chosen"]
