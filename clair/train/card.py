"""The README.md of a trained model: front matter for the Hub, what was trained on what and how, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from clair.train.options import TrainOptions
from clair.train.tokenize import TokenReport

_ROWS = (
    ("loss", "loss"),
    ("reward of chosen", "rewards/chosen"),
    ("reward of rejected", "rewards/rejected"),
    ("margin", "rewards/margins"),
    ("pairs ranked right", "rewards/accuracies"),
    ("log-prob of chosen", "logps/chosen"),
    ("log-prob of rejected", "logps/rejected"),
)


def model_card(
    options: TrainOptions,
    settings: Mapping[str, Any],
    result: Mapping[str, Any],
    report: TokenReport,
    history: Sequence[Mapping[str, float]],
) -> str:
    """Markdown with front matter. `result` has the fields of `run.TrainResult`."""
    front: dict[str, Any] = {"library_name": "transformers", "tags": ["clair", "apo", options.objective]}
    if not Path(options.model).exists():
        front["base_model"] = options.model
    if not Path(options.data).exists():
        front["datasets"] = [options.data.partition(":")[0]]
    return "\n".join(
        [
            "---",
            yaml.safe_dump(front, sort_keys=False).strip(),
            "---",
            "",
            f"# {options.output.resolve().name}",
            "",
            f"`{_named(options.model)}` aligned with the `{options.objective}` objective of Anchored Preference "
            f"Optimization (arXiv 2408.06266) on {report.kept:,} preference pairs of `{_named(options.data)}`, "
            "by `clair train-apo`.",
            "",
            _usage(),
            "## Data",
            "",
            f"{report.given:,} pairs given, {report.kept:,} trained on. Left out: {report.too_long:,} longer "
            f"than {options.max_length:,} tokens, {report.same:,} with chosen and rejected the same, "
            f"{report.empty:,} empty.",
            "",
            "## Settings",
            "",
            _table(("setting", "value"), [(k, _named(str(v))) for k, v in settings.items() if v is not None]),
            "",
            "## Course",
            "",
            _course(result, history),
            "",
            f"{result['steps']:,} steps in {result['seconds']:,.0f} s, at most {result['peak_memory_mb']:,.0f} MB. "
            "Every step is in `metrics.jsonl`, the curves are in `curves.html`.",
            "",
        ]
    )


def _usage() -> str:
    return (
        "```python\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("PATH_OR_ID")\n'
        'tokenizer = AutoTokenizer.from_pretrained("PATH_OR_ID")\n'
        "```\n"
    )


def _course(result: Mapping[str, Any], history: Sequence[Mapping[str, float]]) -> str:
    evaluations = [entry for entry in history if "eval_loss" in entry]
    columns = [("first step", result["first"], ""), ("last step", result["last"], "")]
    if evaluations:
        columns += [("first evaluation", evaluations[0], "eval_"), ("last evaluation", evaluations[-1], "eval_")]
    rows = [(title, *(_number(values.get(prefix + name)) for _, values, prefix in columns)) for title, name in _ROWS]
    return _table(("", *(name for name, _, _ in columns)), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _named(source: str) -> str:
    """A path's last part: where things lie on a machine is nobody's business."""
    return Path(source).name if Path(source).is_absolute() or Path(source).exists() else source
