"""run.json: what made the dataset, for programs.

    write_run_json(run_dir, summary)

The text depends on the summary alone. Passwords in URLs are cut out as a last line of defense; keeping
secrets out of the settings is the caller's part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from clair.dataset.quartiles import Quartiles
from clair.dataset.storage import replace_text
from clair.dataset.summary import RunSummary, StageSpent
from clair.records import Stage

_USERINFO = re.compile(r"(?<=//)[^/@\s]+@")
_PACKAGES = ("datasets", "httpx", "openai", "pyarrow", "rapidfuzz")


def write_run_json(run_dir: Path, summary: RunSummary) -> Path:
    """Write RUN/run.json; returns its path."""
    path = Path(run_dir) / "run.json"
    replace_text(path, run_json(summary))
    return path


def run_json(summary: RunSummary) -> str:
    """The summary as indented JSON with a line break at the end. Unknown figures are null."""
    return json.dumps(run_dict(summary), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def run_dict(summary: RunSummary) -> dict[str, Any]:
    """The summary as plain values, as in run.json and in the output of `--json`."""
    facts = summary.facts
    return {
        "name": facts.name,
        "command": without_passwords(facts.command),
        "recipe": facts.recipe,
        "models": {
            "target": facts.target_model,
            "reviser": facts.reviser_model,
            "judge": facts.judge_model,
        },
        "settings": clean(facts.settings),
        "templates": dict(sorted(facts.templates.items())),
        "versions": dict(sorted(facts.versions.items())),
        "license": facts.license,
        "finished_at": facts.finished_at,
        **_figures(summary),
    }


def _figures(summary: RunSummary) -> dict[str, Any]:
    lengths = summary.lengths
    return {
        "counts": {"rows": summary.rows, "pairs": summary.pairs, "rejects": summary.rejected},
        "step_pairs": summary.step_pairs,
        "rejects": [
            {"stage": it.stage, "reason": it.reason, "rows": it.rows, "cost_usd": it.cost_usd} for it in summary.rejects
        ],
        "contrast": {name: _quartiles(value) for name, value in summary.contrast.items()},
        "lengths": lengths
        and {
            "chosen_words": _quartiles(lengths.chosen),
            "rejected_words": _quartiles(lengths.rejected),
            "chosen_longer": lengths.chosen_longer,
            "chosen_shorter": lengths.chosen_shorter,
            "equal": lengths.equal,
        },
        "attempts": {str(number): rows for number, rows in summary.attempts.items()},
        "protocols": dict(summary.protocols),
        "tokens": {
            "prompt": _whole(summary.prompt_tokens.value),
            "completion": _whole(summary.completion_tokens.value),
        },
        "cost": {
            "usd": summary.cost_usd.value,
            "known_usd": summary.cost_usd.known,
            "rows_without_cost": summary.cost_usd.unknown_rows,
            "per_pair_usd": summary.cost_per_pair_usd,
        },
        "stages": {name: _stage(spent) for name, spent in sorted(summary.stages.items(), key=_in_order)},
    }


def _stage(spent: StageSpent) -> dict[str, Any]:
    return {
        "requests": spent.requests,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "cost_usd": None if spent.cost_usd is None else _dollars(spent.cost_usd),
        "known_usd": _dollars(spent.known_usd),
        "requests_without_cost": spent.requests_without_cost,
    }


def _dollars(usd: float) -> float:
    """To the billionth: the last bits of the ledger's sums depend on the order in which answers came."""
    return round(usd, 9)


def _in_order(item: tuple[str, StageSpent]) -> tuple[int, str]:
    stages = get_args(Stage)
    return (stages.index(item[0]) if item[0] in stages else len(stages), item[0])


def _quartiles(value: Quartiles) -> dict[str, float]:
    return {"q1": value.q1, "median": value.median, "q3": value.q3}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def clean(value: Any) -> Any:
    """Settings as JSON values: paths and the like as text, tuples as lists, no passwords in URLs."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): clean(item) for key, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return without_passwords(str(value))


def without_passwords(text: str) -> str:
    """The text with `user:password@` in URLs replaced by `***@`."""
    return _USERINFO.sub("***@", text)


def installed_versions() -> dict[str, str]:
    """Versions of clair, Python and of the packages that shape the output, for `RunFacts.versions`."""
    import platform

    from clair import __version__

    return {
        "clair": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
    }
