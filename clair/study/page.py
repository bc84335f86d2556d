"""study.html: a study's plots and tables on one page. No script, nothing loaded from anywhere, light and dark. Pure.

It looks like the report of a run, whose style it shares.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from clair.report.markup import Element, el, html
from clair.study import tables
from clair.study.plots import displacement_plot, exact_plot
from clair.study.tables import Table

_OWN_STYLE = """
.arms { width: 100%; height: auto; }
.arms text { fill: var(--soft); font-size: 12px; }
.arms text.group { fill: var(--ink); font-size: 13px; font-weight: 640; }
.arms .grid { stroke: var(--line); }
.arms .zero { stroke: var(--ink); stroke-dasharray: 4 3; }
.arms .interval { stroke: var(--accent); stroke-width: 3; stroke-opacity: .45; stroke-linecap: round; }
.arms .dot { fill: var(--accent); }
.arms .span { stroke: var(--rest); stroke-width: 3; }
.arms .chosen { fill: var(--chosen); }
.arms .rejected { fill: var(--rejected); }
.grown { padding: .5rem .6rem; }
.grown th, .grown td { padding: .35rem .6rem; text-align: left; vertical-align: top; }
.grown thead th:nth-child(n) { text-align: left; }
.grown tbody th { overflow-wrap: normal; min-width: 9.5rem; }
.grown tbody :is(th, td) { border-top: 1px solid var(--line); }
.card { overflow-x: auto; }
.key { color: var(--soft); font-size: .86rem; }
.key b.chosen { color: var(--chosen); } .key b.rejected { color: var(--rejected); }
"""


def study_page(study: Mapping[str, Any]) -> str:
    """The page as text. `study` is what study.json holds."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    page = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", http_equiv="Content-Security-Policy", content=policy),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("title", f"{tables.TITLE} · clair study"),
            el("style", style),
        ),
        el(
            "body",
            el("header", el("p", "clair study", class_="kicker"), el("h1", tables.TITLE)),
            el("main", _sections(study)),
        ),
        lang="en",
    )
    return f"<!doctype html>\n{html(page)}\n"


def _sections(study: Mapping[str, Any]) -> Iterator[Element]:
    yield el("section", el("p", tables.about(study), class_="about"))
    yield _section(
        "Exact answers on unseen problems",
        tables.exact_note(study),
        el("figure", exact_plot(study), el("p", "The dashed line is the student before training.", class_="key")),
        _table(tables.exact_table(study)),
    )
    yield _section("What the paper says", tables.CLAIMS_NOTE, _table(tables.claims_table(study)))
    yield _section("Contrast of the datasets", tables.CONTRAST_NOTE, _table(tables.contrast_table(study)))
    yield _section(
        "Displacement",
        tables.DISPLACEMENT_NOTE,
        el(
            "figure",
            displacement_plot(study),
            el("p", el("b", "chosen", class_="chosen"), " and ", el("b", "rejected", class_="rejected"), class_="key"),
        ),
        _table(tables.displacement_table(study)),
    )
    grid = _table(tables.grid_table(study)) if study["grid"] else None
    yield _section("Learning rates", tables.rates_text(study), grid)


def _section(title: str, about: str, *children: Element | None) -> Element:
    return el("section", el("h2", title), el("p", about, class_="about"), *children)


def _table(shown: Table) -> Element:
    return el(
        "div",
        el(
            "table",
            el("thead", el("tr", (el("th", text, scope="col") for text in shown.head))),
            el(
                "tbody",
                (el("tr", el("th", row[0], scope="row"), (el("td", text) for text in row[1:])) for row in shown.rows),
            ),
            class_="grown",
        ),
        class_="card",
    )


@cache
def _style() -> str:
    return files("clair.report").joinpath("style.css").read_text(encoding="utf-8").strip() + _OWN_STYLE
