"""The two plots of a study as inline SVG: exact answers with intervals, and displacement. Pure.

One row per dataset and objective, grouped by objective. Each plot is a `role="img"` with a name that says what it
shows; every mark has a tooltip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clair.report.markup import Element, el
from clair.study.tables import gain_text, names
from clair.train.curves import ticks

WIDTH = 720
LEFT, RIGHT, TOP, BOTTOM = 178, 20, 26, 30
ROW, GAP = 22, 34

Arm = Mapping[str, Any]
Place = Callable[[float], float]


def exact_plot(study: Mapping[str, Any]) -> Element:
    """Share of right answers per arm with the interval of its gain, and a line at the untrained student."""
    student = study["students"]["test"]["exact"]
    ends = [student + arm["gain"][end] for arm in study["summary"] for end in ("low", "high")]
    low, high = _span([student, *ends])

    def marks(arm: Arm, y: float, place: Place) -> Iterator[Element]:
        left, right = (place(student + arm["gain"][end]) for end in ("low", "high"))
        tip = f"{arm['dataset']} x {arm['objective']}: {100 * arm['exact']:.1f} % ({gain_text(arm['gain'])} points)"
        yield el("line", el("title", tip), x1=_n(left), x2=_n(right), y1=_n(y), y2=_n(y), class_="interval")
        yield el("circle", el("title", tip), cx=_n(place(arm["exact"])), cy=_n(y), r="4.5", class_="dot")

    return _plot(study, marks, low, high, zero=student, percent=True, label="Exact answers after training")


def displacement_plot(study: Mapping[str, Any]) -> Element:
    """Change of the log-probs of chosen and rejected per arm, and a line at no change."""
    values = [arm["displacement"][side] for arm in study["summary"] for side in ("chosen", "rejected")]
    low, high = _span([0.0, *values])

    def marks(arm: Arm, y: float, place: Place) -> Iterator[Element]:
        chosen, rejected = (arm["displacement"][side] for side in ("chosen", "rejected"))
        yield el("line", x1=_n(place(rejected)), x2=_n(place(chosen)), y1=_n(y), y2=_n(y), class_="span")
        for side, value in (("rejected", rejected), ("chosen", chosen)):
            tip = f"{arm['dataset']} x {arm['objective']}: {side} {value:+.2f} nats"
            yield el("circle", el("title", tip), cx=_n(place(value)), cy=_n(y), r="4.5", class_=side)

    return _plot(study, marks, low, high, zero=0.0, percent=False, label="Change of held-out log-probs by training")


def _plot(
    study: Mapping[str, Any],
    marks: Callable[[Arm, float, Place], Iterator[Element]],
    low: float,
    high: float,
    *,
    zero: float,
    percent: bool,
    label: str,
) -> Element:
    groups = [
        (name, [arm for arm in study["summary"] if arm["objective"] == name]) for name in names(study, "objective")
    ]
    height = TOP + sum(GAP + ROW * len(arms) for _, arms in groups) + BOTTOM

    def place(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    return el(
        "svg",
        (_tick(place, value, height, percent=percent) for value in ticks(low, high) if low <= value <= high),
        el("line", x1=_n(place(zero)), x2=_n(place(zero)), y1=TOP - 8, y2=height - BOTTOM, class_="zero"),
        _rows(groups, marks, place),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        class_="arms",
        aria_label=f"{label}. The figures are in the table below.",
    )


def _rows(
    groups: Sequence[tuple[str, Sequence[Arm]]], marks: Callable[[Arm, float, Place], Iterator[Element]], place: Place
) -> Iterator[Element]:
    y = float(TOP)
    for objective, arms in groups:
        yield el("text", objective, x=8, y=_n(y + 14), class_="group")
        y += GAP
        for arm in arms:
            yield el("text", arm["dataset"], x=LEFT - 12, y=_n(y + 4), text_anchor="end")
            yield from marks(arm, y, place)
            y += ROW


def _tick(place: Place, value: float, height: int, *, percent: bool) -> Element:
    x = _n(place(value))
    text = f"{100 * value:.3g} %" if percent else f"{value:+.3g}" if value else "0"
    return el(
        "g",
        el("line", x1=x, x2=x, y1=TOP - 8, y2=height - BOTTOM, class_="grid"),
        el("text", text, x=x, y=height - 10, text_anchor="middle"),
    )


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The range of an axis: the values with a little room; never empty."""
    room = 0.05 * (max(values) - min(values)) or 0.05
    return min(values) - room, max(values) + room


def _n(value: float) -> str:
    return f"{value:.1f}"
