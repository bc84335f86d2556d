"""Run folders for the tests of publishing: written by the real writers, from pairs whose contrast is measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from clair.contrast import measure
from clair.dataset.card import write_card
from clair.dataset.run_json import write_run_json
from clair.dataset.summary import RunFacts, Tally
from clair.dataset.writer import write_split
from clair.records import Pair, Reject
from tests.dataset.dataset_examples import FACTS, pair, reject

SETTINGS = {
    "max_change": 0.5,
    "min_char_similarity": None,
    "min_jaccard": None,
    "max_edits": None,
    "max_length_ratio": None,
}


def measured(number: int, **changes: Any) -> Pair:
    """An example pair with the figures that its texts have."""
    made = pair(number, **changes)
    return replace(made, contrast=measure(made.chosen, made.rejected))


def make_run(
    run_dir: Path,
    pairs: Iterable[Pair] | int = 3,
    rejects: Iterable[Reject] | int = 2,
    *,
    settings: dict[str, Any] | None = None,
    facts: RunFacts = FACTS,
    **sizes: int,
) -> Path:
    """A run folder with these pairs and rejects, or so many examples, and the files that must stay at home."""
    pairs = map(measured, range(pairs)) if isinstance(pairs, int) else pairs
    rejects = map(reject, range(100, 100 + rejects)) if isinstance(rejects, int) else rejects
    tally = Tally()
    write_split(tally.watch(pairs), run_dir, "pairs", **sizes)
    write_split(tally.watch(rejects), run_dir, "rejects")
    summary = tally.summary(replace(facts, settings={**SETTINGS, **(settings or {})}))
    write_card(run_dir, summary, tally.examples())
    write_run_json(run_dir, summary)
    for name in ("ledger.sqlite", "ledger.lock", "prompts.jsonl", "notes.txt", ".writing-run.json", "data/x.csv"):
        (run_dir / name).write_text("stays at home")
    return run_dir


PUBLISHED = ["README.md", "data/train-00000-of-00001.parquet", "rejects/train-00000-of-00001.parquet", "run.json"]
"""The files of an example run that go up."""
