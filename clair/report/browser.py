"""The browser of pairs and rejects, as far as it is markup: filters, an empty list and an empty detail for `app.js`."""

from __future__ import annotations

from clair.report.markup import Element, el
from clair.report.sample import SEED
from clair.report.scan import Scanned
from clair.report.sections import section
from clair.report.text import LIMIT

KEYS = (
    ("j", "next"),
    ("k", "previous"),
    ("/", "search"),
    ("p", "pairs"),
    ("r", "rejects"),
    ("a", "all"),
    ("d", "side by side"),
    ("Esc", "clear"),
)


def browser(scanned: Scanned) -> Element:
    """The section that `app.js` fills."""
    return section(
        "browse", "Pairs and rejects", stated(scanned),
        _filters(scanned),
        el("p", ((el("kbd", key), f" {about} ") for key, about in KEYS), class_="keys note"),
        el(
            "div",
            el("div", el("p", id="count", role="status", class_="note"),
               el("ul", id="list", role="listbox", tabindex="0", aria_label="Rows"), class_="picker"),
            el("article", id="detail", aria_label="Selected row", tabindex="-1"),
            class_="panes",
        ),
        el("noscript", el("p", "The figures above need no script; looking at single pairs does.")),
    )  # fmt: skip


def stated(scanned: Scanned) -> str:
    """What is shown of what there is, and how it was drawn."""
    shown = {"pairs": len(scanned.pairs), "rejects": sum(map(len, scanned.rejects.values()))}
    there = {"pairs": scanned.pairs.seen, "rejects": sum(it.seen for it in scanned.rejects.values())}
    cut = f"Texts are cut after {LIMIT:,} characters, visibly."
    if shown == there:
        return f"All {there['pairs']:,} pairs and all {there['rejects']:,} rejects. {cut}"
    return (
        f"A random sample of {shown['pairs']:,} of {there['pairs']:,} pairs and {shown['rejects']:,} of "
        f"{there['rejects']:,} rejects (by hash of the id, seed {SEED}; rejects by reason). {cut} The figures above "
        "are over all rows."
    )


def _filters(scanned: Scanned) -> Element:
    reasons = [el("option", "any reason", value="")]
    reasons += [el("option", name, value=name) for name in sorted(scanned.rejects)]
    return el(
        "form",
        _choice("kind", "show", [("all", "pairs and rejects"), ("pair", "pairs"), ("reject", "rejects")]),
        el("label", el("span", "reject reason"), el("select", reasons, id="reason")),
        el(
            "fieldset",
            el("legend", "word similarity, %"),
            _number("low", "at least", 0),
            el("span", "to", aria_hidden="true"),
            _number("high", "at most", 100),
        ),
        _choice(
            "order", "order",
            [("file", "as in the file"), ("most", "most changed first"), ("least", "least changed first")],
        ),
        el("label", el("span", "search"),
           el("input", type="search", id="search", placeholder="in all texts", autocomplete="off", spellcheck="false"),
           class_="grow"),
        el("button", "reset", type="reset"),
        id="filters",
        autocomplete="off",
        aria_label="Filters",
    )  # fmt: skip


def _choice(name: str, label: str, options: list[tuple[str, str]]) -> Element:
    return el("label", el("span", label), el("select", (el("option", text, value=it) for it, text in options), id=name))


def _number(name: str, label: str, start: int) -> Element:
    return el("input", type="number", id=name, aria_label=f"word similarity {label}, percent", min="0", max="100",
              step="5", value=start)  # fmt: skip
