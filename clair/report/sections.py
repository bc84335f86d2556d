"""The parts of the page above the browser: head, funnel, contrast, bias, cost. Each takes figures and gives elements.

`run` is run.json as a mapping; whatever is missing in it (an older version, a folder of another origin) is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clair.dataset.audit import AuditFigures, Counted
from clair.report.charts import bar, bin_name, described, histogram
from clair.report.figures import Distribution, Figures
from clair.report.markup import Child, Element, el
from clair.report.text import cut, dollars, visible

Run = Mapping[str, Any]


def head(figures: Figures, run: Run) -> Element:
    """Name, models and the figures that one asks for first."""
    models = run.get("models") or {}
    parts = [("recipe", run.get("recipe"))]
    parts += [(part, models.get(part)) for part in ("target", "reviser", "judge")]
    parts.append(("clair", (run.get("versions") or {}).get("clair")))
    changed, edits, *_ = (_median(it) for it in figures.distributions)
    length = figures.audit.length
    tiles = [
        ("input rows", f"{figures.rows:,}", None),
        ("pairs", f"{figures.pairs:,}", share(figures.pairs, figures.rows) + " of the rows"),
        ("words changed", "–" if changed is None else percent(1 - changed), "median pair"),
        ("edits", "–" if edits is None else f"{edits:g}", "median pair"),
        ("chosen is longer", percent(length.chosen_longer) if length else "–", "of the pairs"),
        ("cost per 1,000 pairs", dollars(figures.cost_per_pair_usd, times=1000), "rejects included"),
    ]
    return el(
        "header",
        el("p", "clair · preference pairs", class_="kicker"),
        el("h1", cut(str(run.get("name") or "run"), 200)),
        el("ul", (_fact(name, text) for name, text in parts if text), class_="facts"),
        el("dl", (_tile(*tile) for tile in tiles), class_="tiles"),
    )


def _fact(name: str, text: object) -> Element:
    return el("li", el("span", name), " ", el("b", cut(str(text), 200)))


def _tile(name: str, text: str, note: str | None) -> Element:
    return el("div", el("dt", name), el("dd", el("strong", text), el("small", note) if note else None))


def funnel(figures: Figures) -> Element:
    """From input rows to pairs, with what was lost and why; a reason is a button that shows its rows."""
    rows = figures.rows
    left = rows
    lines: list[Child] = [_step("input rows", rows, rows, [(0, 1 if rows else 0, "kept")])]
    for it in sorted(figures.rejects, key=lambda it: (_STAGES.get(it.stage, 9), -it.rows, it.reason)):
        left -= it.rows
        name = el("button", visible(it.reason), type="button", data_reason=visible(it.reason),
                  title="show these rows")  # fmt: skip
        parts = [(0, left / rows, "rest"), (left / rows, it.rows / rows, "lost")]
        lines.append(_step([el("small", visible(it.stage)), " ", name], -it.rows, rows, parts))
    lines.append(_step("pairs", figures.pairs, rows, [(0, figures.pairs / rows if rows else 0, "kept")], strong=True))
    steps = f"{figures.step_pairs:,} step pairs come on top: single steps on the way to a whole pair, counted " \
        "nowhere else on this page."  # fmt: skip
    return section(
        "funnel", "Funnel", "Every input row ends as exactly one pair or one reject.",
        el("table", el("caption", "From input rows to pairs", class_="unseen"), el("tbody", lines), class_="funnel"),
        el("p", steps) if figures.step_pairs else None,
        el("p", _made(figures), class_="note") if figures.pairs else None,
    )  # fmt: skip


_STAGES = {"sample": 0, "revise": 1, "parse": 2, "gate": 3, "judge": 4}


def _step(
    name: Child, count: int, rows: int, parts: list[tuple[float, float, str]], *, strong: bool = False
) -> Element:
    count_text = f"−{-count:,}" if count < 0 else f"{count:,}"
    part = share(abs(count), rows)
    return el(
        "tr",
        el("th", name, scope="row"),
        el("td", count_text, class_="number"),
        el("td", part, class_="number"),
        el("td", bar(*parts, label=f"{part} of the rows"), class_="wide"),
        class_="strong" if strong else None,
    )


def _made(figures: Figures) -> str:
    attempts = ", ".join(f"{number}: {pairs:,}" for number, pairs in figures.attempts.items())
    protocols = ", ".join(f"{visible(name)}: {pairs:,}" for name, pairs in figures.protocols.items())
    return f"Pairs by replies of the reviser that it took: {attempts}. By protocol: {protocols}."


def contrast(figures: Figures) -> Element:
    """The four histograms, each with its numbers as a table for those who cannot see it."""
    return section(
        "contrast", "Contrast", "How far chosen is from rejected. The smaller the change, the clearer what it teaches.",
        el("div", (_figure(it) for it in figures.distributions), class_="charts"),
    )  # fmt: skip


def _figure(it: Distribution) -> Element:
    rows = ([bin_name(it.axis, each), f"{each.count:,}"] for each in it.bins if each.count)
    return el(
        "figure",
        el("figcaption", el("b", it.axis.title), " ", el("small", it.axis.about)),
        histogram(it),
        el("p", described(it).partition(": ")[2], ".", class_="note"),
        el("details", el("summary", "as a table"), table((it.axis.title, "pairs"), rows)),
    )


def bias(audit: AuditFigures) -> Element:
    """What else differs between chosen and rejected."""
    missed = f"Counts of words may be up to {audit.missed:,} too low: there are more than the table holds."
    return section(
        "bias", "Bias audit", "What a model could learn from these pairs besides the improvement.",
        el(
            "div",
            _length(audit),
            _said("Talk of revising", audit.talks_of_revision, audit.talks_of_revision_ids,
                  "whose chosen answer speaks of being corrected or improved"),
            _said("Markers", audit.sentinels, audit.sentinel_ids, "whose chosen answer holds a marker of a protocol"),
            class_="cards",
        ),
        el(
            "div",
            _words("Words that lean to chosen", audit.only_chosen_words),
            _words("Words that lean to rejected", audit.only_rejected_words),
            _words("Openings that differ", audit.openings),
            class_="leaning",
        ),
        el("p", "Pairs in which a word is found only in that answer, without case and outer punctuation; openings are "
           "first four words. The largest difference comes first; what occurs in one pair is left out.", class_="note"),
        el("p", missed, class_="note") if audit.missed else None,
    )  # fmt: skip


def _length(audit: AuditFigures) -> Element:
    length = audit.length
    if length is None:
        return el("div", el("h3", "Length"), el("p", "No pairs."), class_="card")
    shares = (length.chosen_shorter, length.equal, length.chosen_longer)
    words = f"shorter in {percent(shares[0])}, equal in {percent(shares[1])}, longer in {percent(shares[2])}"
    q1, median, q3 = (signed(it) for it in (length.quartiles.q1, length.quartiles.median, length.quartiles.q3))
    return el(
        "div",
        el("h3", "Length"),
        el("p", el("strong", signed(length.mean)), " words, chosen − rejected, on average"),
        bar((0, shares[0], "rejected"), (shares[0], shares[1], "rest"), (1 - shares[2], shares[2], "chosen"),
            label=f"chosen is {words}"),
        el("p", f"Chosen is {words}. Quartiles: {q1}, {median}, {q3}.", class_="note"),
        class_="card",
    )  # fmt: skip


def _said(title: str, count: int, ids: Sequence[str], about: str) -> Element:
    links = [el("li", el("a", visible(it), href=f"#{visible(it)}")) for it in ids]
    whose = f" {'pair' if count == 1 else 'pairs'} {about}"
    return el(
        "div",
        el("h3", title),
        el("p", el("strong", f"{count:,}", class_="bad" if count else "good"), whose),
        el("ul", links, class_="ids") if links else None,
        class_="card",
    )


def _words(title: str, found: Sequence[Counted]) -> Element:
    top = max((max(it.chosen, it.rejected) for it in found), default=1)
    rows = [
        el(
            "tr",
            el("th", visible(it.text), scope="row"),
            el("td", f"{it.chosen:,}", class_="number chosen"),
            el("td", f"{it.rejected:,}", class_="number rejected"),
            el("td", bar((0, it.chosen / top, "chosen"), label=f"{it.chosen:,} chosen"),
               bar((0, it.rejected / top, "rejected"), label=f"{it.rejected:,} rejected"), class_="wide"),
        )
        for it in found[:12]
    ]  # fmt: skip
    names = ("", "chosen", "rejected", "")
    headings = el("tr", (el("th" if name else "td", name, scope="col" if name else None) for name in names))
    body = el("table", el("thead", headings), el("tbody", rows)) if rows else el("p", "None.", class_="note")
    return el("div", el("h3", title), body)


def cost(figures: Figures, run: Run) -> Element:
    """Tokens and dollars by stage, and what a pair cost."""
    stages = run.get("stages") or {}
    rows = [
        [visible(str(name)), *(count(it.get(key)) for key in ("requests", "prompt_tokens", "completion_tokens")),
         dollars(it.get("cost_usd"), known=it.get("known_usd"))]
        for name, it in stages.items()
    ]  # fmt: skip
    total = figures.cost_usd
    per_pair = figures.cost_per_pair_usd
    return section(
        "cost", "Cost", None,
        table(("stage", "requests", "tokens in", "tokens out", "US dollars"), rows, class_="stages")
        if rows else el("p", "This folder's run.json has no figures by stage.", class_="note"),
        el("p", "The rows of this dataset cost ", el("strong", dollars(total.value, known=total.known)),
           ", a pair ", el("strong", dollars(per_pair)), " with the rejects. The stages count all that the run ever "
           "bought, also for rows and attempts that are no part of it now.", class_="note"),
    )  # fmt: skip


def section(name: str, title: str, about: str | None, *children: Child) -> Element:
    """A part of the page with its heading."""
    intro = el("p", about, class_="about") if about else None
    return el("section", el("h2", title, id=f"{name}-title"), intro, children, id=name, aria_labelledby=f"{name}-title")


def table(names: Sequence[str], rows: Iterable[Sequence[str]], *, class_: str | None = None) -> Element:
    """A table whose first column names its rows; the others hold numbers."""
    lines = [
        el("tr", el("th", row[0], scope="row"), (el("td", cell, class_="number") for cell in row[1:])) for row in rows
    ]
    head_row = el("tr", (el("th", name, scope="col") for name in names))
    return el("div", el("table", el("thead", head_row), el("tbody", lines), class_=class_), class_="scroll")


def share(part: float, whole: float) -> str:
    """A part as a percentage."""
    return percent(part / whole) if whole else "–"


def percent(number: float) -> str:
    """A share as text; a tenth of a percent where it matters."""
    return f"{100 * number:.1f} %" if 0 < number < 0.1 or 0.995 <= number < 1 else f"{100 * number:.0f} %"


def signed(number: float) -> str:
    """A difference as text."""
    text = f"{number:+,.0f}" if abs(number) >= 100 else f"{number:+.3g}"
    return "0" if not number else text.replace("-", "−")


def count(number: int | None) -> str:
    """A whole number as text."""
    return "unknown" if number is None else f"{number:,}"


def _median(it: Distribution) -> float | None:
    return it.quartiles.median if it.quartiles else None
