"""The last thing `clair generate` prints: what came out, what it cost, where it is, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clair.cli.display import duration, money

if TYPE_CHECKING:
    from clair.dataset.summary import RunSummary
    from clair.pipeline.progress import Progress
    from clair.settings import GenerateSettings


def closing(settings: GenerateSettings, summary: RunSummary, progress: Progress) -> str:
    """The closing table as text."""
    lines = [
        "",
        _line("rows", f"{summary.rows:,}" + (f" ({progress.resumed:,} from before)" if progress.resumed else "")),
        _line("pairs", f"{summary.pairs:,}" + (f" ({summary.pairs / summary.rows:.0%})" if summary.rows else "")),
        *([_line("steps", f"{summary.step_pairs:,} (one pair for each edit)")] if summary.step_pairs else []),
        _line("rejects", f"{summary.rejected:,}"),
        *(_line("", f"{reject.rows:>6,}  {reject.reason} ({reject.stage})") for reject in summary.rejects),
    ]
    if summary.contrast:
        lines.append(_line("contrast", _contrast(summary)))
    lines += [
        _line("tokens", f"{_count(summary.prompt_tokens.value)} in, {_count(summary.completion_tokens.value)} out"),
        _line("cost", _cost(summary)),
        _line("time", f"{duration(progress.elapsed_s)}, {progress.bought:,} requests"),
        _line("files", ", ".join(f"{settings.out}/{name}" for name in ("data", "rejects", "README.md", "report.html"))),
        "",
        *_next(settings, summary),
    ]
    return "\n".join(lines)


def _line(name: str, value: str) -> str:
    return f"{name:<10}{value}"


def _contrast(summary: RunSummary) -> str:
    median = {name: figure.median for name, figure in summary.contrast.items()}
    return (
        f"median {median['words_changed']:.0%} of the words changed in {median['edits']:.0f} "
        f"edit{'' if median['edits'] == 1 else 's'}, Jaccard {median['jaccard']:.2f}, "
        f"length ratio {median['length_ratio']:.2f}"
    )


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"


def _cost(summary: RunSummary) -> str:
    total = summary.cost_usd
    text = money(total.known, known=total.value is not None)
    if summary.cost_per_pair_usd is not None:
        text += f", {money(1000 * summary.cost_per_pair_usd)} per 1,000 pairs"
    return text


def _next(settings: GenerateSettings, summary: RunSummary) -> list[str]:
    if not summary.pairs:
        return [f"No pairs. The rejects say why: clair show {settings.out} --rejects -n 1"]
    model = "sandbox" if settings.in_sandbox else "MODEL"
    return [
        _line("read", f"python -c \"import datasets; print(datasets.load_dataset({settings.out!r})['train'][0])\""),
        _line("next", f"clair train-apo {settings.out} --model {model} -o aligned"),
    ]
