"""The page as text: sections, the rows to browse as JSON, style and script, and the policy that forbids all else.

The Content-Security-Policy allows exactly the page's own script and style, by their hashes: no other script, style,
image, font, frame, form or connection has any effect, wherever it may come from.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from clair.report import sections
from clair.report.browser import browser
from clair.report.markup import Element, el, html
from clair.report.scan import Scanned
from clair.report.text import cut


def report_page(scanned: Scanned, run: sections.Run) -> str:
    """The whole page. `run` is run.json, empty if there is none."""
    style, script = _asset("style.css"), _asset("app.js")
    policy = f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; base-uri 'none'; " \
        "form-action 'none'"  # fmt: skip
    title = cut(str(run.get("name") or "run"), 200)
    page = el(
        "html",
        el(
            "head",
            el("meta", charset="utf-8"),
            el("meta", http_equiv="Content-Security-Policy", content=policy),
            el("meta", name="viewport", content="width=device-width, initial-scale=1"),
            el("meta", name="color-scheme", content="light dark"),
            el("meta", name="referrer", content="no-referrer"),
            el("title", f"{title} · clair report"),
            el("style", style),
        ),
        el(
            "body",
            el("a", "Skip to the pairs", href="#browse", class_="skip"),
            sections.head(scanned.figures, run),
            _navigation(),
            el(
                "main",
                sections.funnel(scanned.figures),
                sections.contrast(scanned.figures),
                sections.bias(scanned.figures.audit),
                sections.cost(scanned.figures, run),
                browser(scanned),
            ),
            el("script", type="application/json", id="rows"),
            el("script", script),
        ),
        lang="en",
    )
    # The rows are megabytes, so they are put into the text. No text before them can hold the mark: its ">" is escaped.
    before, mark, after = html(page).partition('id="rows">')
    return f"<!doctype html>\n{before}{mark}{_rows(scanned)}{after}\n"


def _navigation() -> Element:
    names = ("funnel", "contrast", "bias", "cost", "browse")
    return el("nav", (el("a", name, href=f"#{name}") for name in names), aria_label="Sections")


def _rows(scanned: Scanned) -> str:
    texts = scanned.pairs.texts()
    for _, sample in sorted(scanned.rejects.items()):
        texts += sample.texts()
    return f"[{','.join(texts)}]"


@cache
def _asset(name: str) -> str:
    return files("clair.report").joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
