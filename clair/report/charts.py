"""Charts as inline SVG: histograms with their median, and bars for tables. No script, nothing loaded.

Each chart is a `role="img"` with a name that says in words what it shows.
"""

from __future__ import annotations

from clair.report.figures import Axis, Bin, Distribution
from clair.report.markup import Element, el

WIDTH, HEIGHT = 520, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 22, 28, 28
GAP = 0.14  # of a bin's width


def histogram(distribution: Distribution) -> Element:
    """The bins as columns over a labeled axis, with a line at the median."""
    bins = distribution.bins
    ceiling = _nice(max((it.count for it in bins), default=0))
    step = (WIDTH - LEFT - RIGHT) / len(bins)
    return el(
        "svg",
        (_grid(ceiling * part / 2, ceiling) for part in range(3)),
        (_column(distribution.axis, place, it, step, ceiling) for place, it in enumerate(bins)),
        _ticks(distribution, step),
        _median(distribution, step),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        class_="histogram",
        aria_label=described(distribution),
    )


def described(distribution: Distribution) -> str:
    """The distribution in a sentence."""
    axis, quartiles = distribution.axis, distribution.quartiles
    if quartiles is None:
        return f"{axis.title}: No pairs"
    q1, median, q3 = (value(axis, it) for it in (quartiles.q1, quartiles.median, quartiles.q3))
    return f"{axis.title}: Half of the pairs lie between {q1} and {q3}, the median is {median}"


def bar(*parts: tuple[float, float, str], label: str) -> Element:
    """A row of a bar table: (start, length, class) as shares of the width."""
    rects = (
        el("rect", x=f"{100 * start:.3f}%", width=f"{100 * length:.3f}%", height="100%", class_=kind)
        for start, length, kind in parts
    )
    return el("svg", rects, class_="bar", role="img", aria_label=label, width="100%", height="12")


def value(axis: Axis, number: float) -> str:
    """A value of a figure as text."""
    if axis.percent:
        return f"{100 * number:.3g} %"
    return f"{number:.3g}" if abs(number) < 1000 else f"{number:,.0f}"


def bin_name(axis: Axis, it: Bin) -> str:
    """What a bin holds, in words."""
    if it.low is None and it.high is not None:
        return f"below {value(axis, it.high)}"
    assert it.low is not None
    if it.high is None:
        return f"{value(axis, it.low)} or more"
    return value(axis, it.low) if axis.whole else f"{value(axis, it.low)} to {value(axis, it.high)}"


def _grid(count: float, ceiling: int) -> list[Element]:
    y = _y(count, ceiling)
    line = el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="base" if not count else "grid")
    return [line, el("text", _thousands(count), x=LEFT - 8, y=f"{y + 4:.1f}", text_anchor="end")]


def _column(axis: Axis, place: int, it: Bin, step: float, ceiling: int) -> Element | None:
    if not it.count:
        return None
    y = min(_y(it.count, ceiling), HEIGHT - BOTTOM - 1.5)  # a single pair among 200,000 is still seen
    return el(
        "rect",
        el("title", f"{bin_name(axis, it)}: {it.count:,}"),
        x=f"{LEFT + step * (place + GAP / 2):.2f}",
        y=f"{y:.2f}",
        width=f"{step * (1 - GAP):.2f}",
        height=f"{HEIGHT - BOTTOM - y:.2f}",
        rx="1.5",
    )


def _ticks(distribution: Distribution, step: float) -> list[Element]:
    """Labels under the axis: whole numbers under their columns, bounds under the edges between two columns."""
    axis, bins = distribution.axis, distribution.bins
    found = []
    every = 5 if len(bins) >= 15 else 2
    for place, it in enumerate(bins):
        if axis.whole:
            shown = place == 0 or it.high is None or ((place + 1) % every == 0 and place < len(bins) - 2)
            text = f"{it.low:.0f}{'+' if it.high is None else ''}"
            x = LEFT + step * (place + 0.5)
        else:
            shown = it.low is not None and (place - axis.open_low) % every == 0
            text, x = _short(axis, it.low or 0.0), LEFT + step * place
        if shown:
            found.append(_tick(x, text))
    if not axis.whole and bins and bins[-1].high is not None:
        found.append(_tick(LEFT + step * len(bins), _short(axis, bins[-1].high)))
    return found


def _tick(x: float, text: str) -> Element:
    return el("text", text, x=f"{x:.1f}", y=HEIGHT - BOTTOM + 18, text_anchor="middle")


def _short(axis: Axis, number: float) -> str:
    return f"{100 * number:.0f}%" if axis.percent else f"{number:g}"


def _median(distribution: Distribution, step: float) -> list[Element]:
    if distribution.quartiles is None:
        return []
    median = distribution.quartiles.median
    x = LEFT + step * position(distribution, median)
    anchor = "start" if x < LEFT + 50 else "end" if x > WIDTH - RIGHT - 50 else "middle"
    text = f"median {value(distribution.axis, median)}"
    return [
        el("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=TOP - 6, y2=HEIGHT - BOTTOM, class_="median"),
        el("text", text, x=f"{x:.1f}", y=TOP - 10, text_anchor=anchor, class_="median"),
    ]


def position(distribution: Distribution, number: float) -> float:
    """Where a value stands on the axis, in columns from the left; in the middle of an open column."""
    for place, it in enumerate(distribution.bins):
        last = place == len(distribution.bins) - 1
        if (it.high is None or number < it.high or last) and (it.low is None or it.low <= number):
            if it.low is None or it.high is None or distribution.axis.whole:
                return place + 0.5
            return place + min(1.0, (number - it.low) / (it.high - it.low))
    return 0.0


def _y(count: float, ceiling: int) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * count / ceiling


def _thousands(count: float) -> str:
    return f"{count / 1000:g}k" if count >= 10_000 else f"{count:,.0f}"


def _nice(count: int) -> int:
    """The next number of one round digit, even so that half of it is a whole number, too."""
    power: int = 10 ** max(0, len(str(max(count, 1))) - 1)
    return next(digit * power for digit in (2, 4, 6, 8, 10) if digit * power >= count)
