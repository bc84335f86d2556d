"""The folder of a judged evaluation, written from its ledger: judgments.jsonl and eval.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clair.dataset.run_json import clean, installed_versions
from clair.dataset.storage import replace_text
from clair.errors import ClairError
from clair.evaluation.judgments import Tally, decode, line
from clair.evaluation.settings import EvalSettings
from clair.ledger.store import Ledger
from clair.recipes.base import Plan


def write_folder(settings: EvalSettings, ledger: Ledger, plan: Plan, *, complete: bool) -> dict[str, Any]:
    """Write both files; returns what eval.json holds. `complete` says whether all prompts were visited.

    Raises ClairError if the folder cannot be written; what was paid for is in the ledger all the same.
    """
    tally = Tally()
    try:
        _write_judgments(settings.folder / "judgments.jsonl", ledger, tally)
        figures = _figures(settings, ledger, plan, tally, complete=complete)
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False)
        replace_text(settings.folder / "eval.json", text + "\n")
    except OSError as error:
        raise ClairError(
            f"cannot write into {settings.out!r}: {error.strerror or error}. Every answer is in its ledger; make room "
            "and run the same command again"
        ) from error
    return figures


def _write_judgments(path: Path, ledger: Ledger, tally: Tally) -> None:
    unfinished = path.with_suffix(".jsonl.tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        for body in ledger.outcomes():
            outcome = decode(body)
            tally.add(outcome)
            file.write(json.dumps(line(outcome)) + "\n")
    unfinished.replace(path)


def _figures(settings: EvalSettings, ledger: Ledger, plan: Plan, tally: Tally, *, complete: bool) -> dict[str, Any]:
    counts, totals = ledger.counts(), ledger.totals()
    finished = counts.pairs + sum(counts.rejects.values())
    return {
        "model": plan.target_model,
        "baseline": plan.reviser_model,
        "judge": plan.judge_model,
        "complete": complete,
        "prompts": counts.rows,
        "unfinished": counts.rows - finished,
        **tally.figures(seed=settings.seed or 0),
        "cost": {
            "usd": None if totals.unknown_cost else round(totals.cost_usd, 9),
            "known_usd": round(totals.cost_usd, 9),
            "requests_without_cost": totals.unknown_cost,
        },
        "requests": {stage: spending.replies for stage, spending in sorted(totals.by_stage.items())},
        "settings": clean(settings.model_dump(mode="json")),
        "templates": dict(sorted(plan.templates.sha256.items())),
        "versions": installed_versions(),
    }
