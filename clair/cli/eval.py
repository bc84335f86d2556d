"""`clair eval`: how many of the sandbox's problems a model gets right."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command()
@click.option("--model", required=True, help="model folder, hub id, endpoint (MODEL@URL) or sandbox")
@click.option("--baseline", help="a second model on the same problems")
@click.option("--split", type=click.Choice(["dev", "test", "align", "pretrain"]), default="test", show_default=True)
@click.option("-n", "count", type=click.IntRange(1), default=400, show_default=True, help="problems")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="print one JSON object on stdout")
def command(model: str, baseline: str | None, split: Any, count: int, seed: int, as_json: bool) -> None:
    """Score a model on the sandbox's problems: exact answers and single steps, greedy and sampled.

    Intervals are 95 % bootstrap intervals over the problems.
    """
    from clair.evaluation import evaluate

    scores = evaluate(model, baseline, split=split, n=count, seed=seed)
    click.echo(json.dumps(scores) if as_json else _table(scores, model, baseline))


def _table(scores: dict[str, Any], model: str, baseline: str | None) -> str:
    named = [(model, scores["model"])] + ([(baseline, scores["baseline"])] if baseline else [])
    width = max(len("model"), *(len(str(name)) for name, _ in named))
    lines = [
        f"{scores['n']} problems of the {scores['split']} split",
        f"{'model':<{width}}  greedy exact          steps   sampled exact         steps",
        *(f"{name!s:<{width}}  {_row(found)}" for name, found in named),
    ]
    if "gain" in scores:
        exact, low, high = (100 * scores["gain"][name] for name in ("exact", "low", "high"))
        lines.append(f"gain: {exact:+.1f} points greedy exact ({low:+.1f} to {high:+.1f})")
    families = scores["model"]["families"]
    lines.append("by family: " + ", ".join(f"{name} {share:.0%}" for name, share in families.items()))
    return "\n".join(lines)


def _row(found: dict[str, Any]) -> str:
    greedy = f"{found['exact']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
    sampled = f"{found['sampled_exact']:.1%} ({found['sampled_low']:.1%} to {found['sampled_high']:.1%})"
    return f"{greedy}  {found['steps']:.1%}  {sampled}  {found['sampled_steps']:.1%}"
