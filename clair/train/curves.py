"""The curves of a run as one HTML page: inline SVG, no script, nothing loaded from anywhere, light and dark.

    html = curves_page(history, title="apo_zero on RUN")

`history` is what `metrics.jsonl` holds, one mapping per log entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

Point = tuple[float, float]

WIDTH, HEIGHT = 460, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 12, 30


class Chart(NamedTuple):
    """One chart: its title, the metrics it shows with their names in the legend, and what zero means in it."""

    title: str
    series: tuple[tuple[str, str], ...]
    note: str = ""


CHARTS = (
    Chart("Loss", (("loss", "training"), ("eval_loss", "evaluation"))),
    Chart(
        "Rewards",
        (("rewards/chosen", "chosen"), ("rewards/rejected", "rejected"), ("eval_rewards/chosen", "chosen, evaluation"),
         ("eval_rewards/rejected", "rejected, evaluation")),
        "beta times the log-ratio to the reference; 0 is the untrained model",
    ),
    Chart("Reward margin", (("rewards/margins", "training"), ("eval_rewards/margins", "evaluation"))),
    Chart("Pairs ranked right", (("rewards/accuracies", "training"), ("eval_rewards/accuracies", "evaluation"))),
    Chart(
        "Log-prob of an answer",
        (("logps/chosen", "chosen"), ("logps/rejected", "rejected"), ("eval_logps/chosen", "chosen, evaluation"),
         ("eval_logps/rejected", "rejected, evaluation")),
        "sum over its tokens, in nats",
    ),
    Chart("Gradient norm", (("grad_norm", "before clipping"),)),
    Chart("Learning rate", (("learning_rate", "learning rate"),)),
    Chart(
        "Tokens per second",
        (("tokens_per_second/logical", "as if nothing were shared"), ("tokens_per_second/computed", "computed")),
    ),
    Chart("Peak memory, MB", (("peak_memory_mb", "this process or GPU"),)),
)  # fmt: skip

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #667; --line: #dde; --page: #fff;
  --c0: #1668c4; --c1: #c2500e; --c2: #5a9be0; --c3: #e08a4e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6ea; --soft: #99a; --line: #334; --page: #16171b;
  --c0: #66aaf5; --c1: #f2935a; --c2: #3f78b8; --c3: #b3683a; } }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; } figcaption small { font-weight: 400; color: var(--soft); }
svg { width: 100%; height: auto; display: block; } text { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--line); } polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); }
.s2 { stroke: var(--c2); stroke-dasharray: 5 3; } .s3 { stroke: var(--c3); stroke-dasharray: 5 3; }
circle { stroke: none; } .s0 circle, circle.s0 { fill: var(--c0); } circle.s1 { fill: var(--c1); }
circle.s2 { fill: var(--c2); } circle.s3 { fill: var(--c3); }
ul { display: flex; flex-wrap: wrap; gap: 0 1.2rem; margin: 0; padding: 0; list-style: none; color: var(--soft);
  font-size: .85rem; }
li svg { display: inline-block; width: 1.6rem; height: .6rem; margin-right: .35rem; }
"""


def curves_page(history: Sequence[Mapping[str, float]], *, title: str) -> str:
    """The page as text. Metrics that never appear, and charts without any, are left out."""
    figures = [figure for chart in CHARTS if (figure := _figure(chart, history))]
    body = "\n".join(figures) or "<p>No step was logged.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n<main>\n{body}\n</main></body></html>\n"
    )


def points_of(history: Sequence[Mapping[str, float]], metric: str) -> list[Point]:
    """(step, value) of every entry that has `metric` as a finite number."""
    found: list[Point] = []
    for entry in history:
        value = entry.get(metric)
        if isinstance(value, int | float) and math.isfinite(value):
            found.append((float(entry.get("step", 0)), float(value)))
    return found


def _figure(chart: Chart, history: Sequence[Mapping[str, float]]) -> str:
    curves = [(i % 4, name, points_of(history, metric)) for i, (metric, name) in enumerate(_styled(chart))]
    curves = [curve for curve in curves if curve[2]]
    if not curves:
        return ""
    legend = "".join(
        f'<li><svg viewBox="0 0 32 12"><polyline class="s{style}" points="0,6 32,6"/></svg>'
        f"{escape(name)}: {_short(points[-1][1])}</li>"
        for style, name, points in curves
    )
    note = f"<small>: {escape(chart.note)}</small>" if chart.note else ""
    label = escape(f"{chart.title}: {', '.join(name for _, name, _ in curves)}", quote=True)
    return (
        f"<figure><figcaption>{escape(chart.title)}{note}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{_plot([(style, name, points) for style, name, points in curves])}</svg><ul>{legend}</ul></figure>"
    )


def _styled(chart: Chart) -> tuple[tuple[str, str], ...]:
    """Evaluation curves take the dashed styles 2 and 3: a chart of one training curve gets an unused second place."""
    training = [pair for pair in chart.series if not pair[0].startswith("eval_")]
    evaluation = [pair for pair in chart.series if pair[0].startswith("eval_")]
    gap = [("", "")] * (2 - len(training)) if evaluation else []
    return (*training, *gap, *evaluation)


def _plot(curves: Sequence[tuple[int, str, list[Point]]]) -> str:
    xs = [x for _, _, points in curves for x, _ in points]
    ys = [y for _, _, points in curves for _, y in points]
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(y_ticks[0], *ys), max(y_ticks[-1], *ys)

    def place(point: Point) -> Point:
        x = (point[0] - x_low) / ((x_high - x_low) or 1)
        y = (point[1] - y_low) / ((y_high - y_low) or 1)
        return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    parts: list[str] = []
    for y in y_ticks:
        at = place((x_low, y))[1]
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_short(y)}</text>')
    for x in x_ticks:
        if x_low <= x <= x_high:
            parts.append(
                f'<text x="{place((x, y_low))[0]:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{_short(x)}</text>'
            )
    for style, name, points in curves:
        tip = f"<title>{escape(name)}</title>"
        if len(points) > 1:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, points))
            parts.append(f'<polyline class="s{style}" points="{line}">{tip}</polyline>')
        x, y = place(points[-1])
        parts.append(f'<circle class="s{style}" cx="{x:.1f}" cy="{y:.1f}" r="2.5">{tip}</circle>')
    return "".join(parts)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers that span [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _short(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.2e}"
