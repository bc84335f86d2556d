"""What `clair eval` prints: exact scores, or win rates, as tables."""

from __future__ import annotations

from typing import Any

from clair.cli.display import money
from clair.cli.terminal import printable


def exact_table(scores: dict[str, Any], model: str, baseline: str | None) -> str:
    """Exact scores in the sandbox."""
    named = [(model, scores["model"])] + ([(baseline, scores["baseline"])] if baseline else [])
    width = max(len("model"), *(len(str(name)) for name, _ in named))
    lines = [
        f"{scores['n']} problems of the {scores['split']} split",
        f"{'model':<{width}}  greedy exact          steps   sampled exact         steps",
        *(f"{name!s:<{width}}  {_exact_row(found)}" for name, found in named),
    ]
    if "gain" in scores:
        exact, low, high = (100 * scores["gain"][name] for name in ("exact", "low", "high"))
        lines.append(f"gain: {exact:+.1f} points greedy exact ({low:+.1f} to {high:+.1f})")
    families = scores["model"]["families"]
    lines.append("by family: " + ", ".join(f"{name} {share:.0%}" for name, share in families.items()))
    return "\n".join(lines)


def _exact_row(found: dict[str, Any]) -> str:
    greedy = f"{found['exact']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
    sampled = f"{found['sampled_exact']:.1%} ({found['sampled_low']:.1%} to {found['sampled_high']:.1%})"
    return f"{greedy}  {found['steps']:.1%}  {sampled}  {found['sampled_steps']:.1%}"


def judged_table(figures: dict[str, Any], out: str) -> str:
    """Win rates by a judge, with what to doubt about them."""
    counts = f"{figures['judged']:,} of {figures['prompts']:,} prompts judged"
    lines = [
        printable(f"{figures['model']} against {figures['baseline']}, judged by {figures['judge']}: {counts}"),
        _line("win rate", _rate(figures["win_rate"])),
        _line("at equal lengths", _controlled(figures)),
        _line("results", _results(figures["results"])),
        _line("position", _position(figures["position"])),
        _line("mean length", " and ".join(_length(*item) for item in figures["length"].items())),
    ]
    lines += [_line("failed", f"{it['prompts']:,} {it['reason']} ({it['stage']})") for it in figures["failures"]]
    cost = figures["cost"]
    return "\n".join(
        [
            *lines,
            _line("cost", money(cost["known_usd"], known=cost["usd"] is not None)),
            _line("files", f"{out}/eval.json, {out}/judgments.jsonl"),
        ]
    )


_RESULTS = {
    "win": "won",
    "loss": "lost",
    "tie": "tied",
    "disagreement": "tied because the orders disagree",
    "identical": "of the same words",
}


def _results(results: dict[str, int]) -> str:
    shown = {name: count for name, count in results.items() if count or name in ("win", "loss")}
    return ", ".join(f"{count:,} {_RESULTS[name]}" for name, count in shown.items())


def _line(name: str, value: str) -> str:
    return f"{name:<18}{value}"


def _rate(rate: dict[str, float] | None) -> str:
    return "none" if rate is None else f"{rate['value']:.1%} ({rate['low']:.1%} to {rate['high']:.1%})"


def _controlled(figures: dict[str, Any]) -> str:
    if figures["win_rate"] and figures["length_controlled"] is None:
        return "unknown: all answers differ in length by the same amount"
    return _rate(figures["length_controlled"])


def _position(position: dict[str, Any]) -> str:
    if not position["verdicts"]:
        return "nothing was asked"
    return (
        f"{position['first']:.0%} of the verdicts for the answer shown first, {position['second']:.0%} for the second, "
        f"{position['tie']:.0%} ties; the orders disagree on {position['disagreement']:.0%} of the prompts"
    )


def _length(name: str, found: dict[str, float | None]) -> str:
    words, characters = found["words"], found["characters"]
    if words is None or characters is None:
        return f"{name} unknown"
    return f"{name} {words:,.0f} words ({characters:,.0f} characters)"
