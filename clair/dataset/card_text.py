"""What a dataset card says below its front matter. A function per section, each a Markdown text."""

from __future__ import annotations

import json
from typing import Any

from clair.dataset.markdown import block, code, plain, table
from clair.dataset.run_json import clean, without_passwords
from clair.dataset.schema import PAIR_COLUMNS, REJECT_COLUMNS, Column
from clair.dataset.summary import Quartiles, RunFacts, RunSummary, Total

PAPER = "https://arxiv.org/abs/2408.06266"

LOADING = """\
from datasets import load_dataset

pairs = load_dataset("PATH_OR_REPO_ID", split="train")
rejects = load_dataset("PATH_OR_REPO_ID", "rejects", split="train", streaming=True)"""

LIMITS = """\
## Limits

- Everything but the prompts was written by models. No person checked the pairs; a revision may be wrong, and
  may be worse than what it revises.
- That the edits are few is measured. That they are improvements is the reviser's judgment.
- Small edits need an objective that anchors the likelihood of `chosen`, such as APO-zero. Plain DPO may lower
  it.
- `chosen` and `rejected` share most of their text, often from the first word on. A tool that takes their
  common prefix for the prompt would cut the answers: use the `prompt` column.
- The terms of the models that wrote the text, and the license of the prompts, apply."""

CITATION = """\
@article{doosterlinck2025anchored,
  title   = {Anchored Preference Optimization and Contrastive Revisions:
             Addressing Underspecification in Alignment},
  author  = {D'Oosterlinck, Karel and Xu, Winnie and Develder, Chris and Demeester, Thomas and
             Singh, Amanpreet and Potts, Christopher and Kiela, Douwe and Mehri, Shikib},
  journal = {Transactions of the Association for Computational Linguistics},
  volume  = {13},
  pages   = {442--460},
  year    = {2025},
  doi     = {10.1162/tacl_a_00748},
}"""

_CONTRAST_LABELS = {
    "words_changed": "share of words changed",
    "edits": "separate changed spans",
    "word_distance": "words changed",
    "char_similarity": "similarity in characters",
    "jaccard": "overlap of the word sets (Jaccard)",
    "shared_prefix": "share of words before the first change",
    "length_ratio": "words of chosen / words of rejected",
}


def body(summary: RunSummary) -> str:
    """All sections."""
    sections = (
        _head(summary),
        _making(summary),
        _funnel(summary),
        _contrast(summary),
        _lengths(summary),
        _cost(summary),
        _columns(),
        LIMITS,
        _citation(),
    )
    return "\n\n".join(sections) + "\n"


def _head(summary: RunSummary) -> str:
    facts = summary.facts
    return "\n\n".join(
        [
            f"# {plain(facts.name)}",
            f"{summary.pairs:,} preference pairs for {code(facts.target_model)}. {_nature(facts)} "
            f"Made with the recipe {code(facts.recipe)} of clair; the method is that of [CLAIR and APO]({PAPER}).",
            block(LOADING, "python"),
            "Prompts are explicit and conversational, the layout that TRL recommends. `rejects` are the "
            "rows that gave no pair, with the reason. (`load_dataset` opens a configuration without rows "
            "only as a stream.)",
        ]
    )


def _nature(facts: RunFacts) -> str:
    if facts.recipe != "clair":
        return "Each `chosen` is the better of two answers to the prompt."
    return (
        f"Each `rejected` is an answer to the prompt, each `chosen` the same answer after {code(facts.reviser_model)} "
        "improved it, so that the difference between the two is the improvement and little else."
    )


def _making(summary: RunSummary) -> str:
    facts = summary.facts
    rows = [["target", code(facts.target_model)], ["reviser", code(facts.reviser_model)]]
    if facts.judge_model is not None:
        rows.append(["judge", code(facts.judge_model)])
    rows += [[f"template {code(name)}", f"sha256 {code(text)}"] for name, text in sorted(facts.templates.items())]
    rows += [[f"version of {code(name)}", code(text)] for name, text in sorted(facts.versions.items())]
    settings = [[code(key), code(_value(value))] for key, value in clean(facts.settings).items()]
    return "\n\n".join(
        [
            "## How it was made",
            block(without_passwords(facts.command), "bash"),
            table(["part", "identity"], rows),
            *([table(["setting", "value"], settings)] if settings else []),
        ]
    )


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _funnel(summary: RunSummary) -> str:
    rows = [["input rows", "", f"{summary.rows:,}", ""]]
    for it in summary.rejects:
        rows.append([code(it.stage), code(it.reason), f"-{it.rows:,}", _share(it.rows, summary.rows)])
    rows.append(["pairs", "", f"{summary.pairs:,}", _share(summary.pairs, summary.rows)])
    attempts = ", ".join(f"{number}: {pairs:,}" for number, pairs in summary.attempts.items()) or "none"
    protocols = ", ".join(f"{code(name)}: {pairs:,}" for name, pairs in summary.protocols.items()) or "none"
    return "\n\n".join(
        [
            "## Funnel",
            table(["stage", "reason", "rows", "share"], rows),
            f"Pairs by number of attempts: {attempts}. Pairs by protocol: {protocols}.",
        ]
    )


def _contrast(summary: RunSummary) -> str:
    if not summary.contrast:
        return "## Contrast\n\nNo pairs."
    rows = [[_CONTRAST_LABELS[name], *_cells(value)] for name, value in summary.contrast.items()]
    return "## Contrast\n\n" + table(["chosen beside rejected", *_QUARTILES], rows)


def _lengths(summary: RunSummary) -> str:
    lengths = summary.lengths
    if lengths is None:
        return "## Length\n\nNo pairs."
    rows = [["chosen", *_cells(lengths.chosen)], ["rejected", *_cells(lengths.rejected)]]
    return "\n\n".join(
        [
            "## Length",
            table(["words", *_QUARTILES], rows),
            f"Chosen is longer in {lengths.chosen_longer:.1%} of the pairs, shorter in "
            f"{lengths.chosen_shorter:.1%} and of the same length in {lengths.equal:.1%}. "
            "Far from balance, a model trained on the pairs may learn length instead of quality.",
        ]
    )


def _cost(summary: RunSummary) -> str:
    per_pair = summary.cost_per_pair_usd
    rows = [
        ["prompt tokens", _total(summary.prompt_tokens, ",.0f")],
        ["completion tokens", _total(summary.completion_tokens, ",.0f")],
        ["cost, US dollars", _total(summary.cost_usd, ",.4f")],
        ["cost per pair, rejects included", "unknown" if per_pair is None else f"{per_pair:,.6f}"],
    ]
    return "## Cost\n\n" + table(["what", "amount"], rows)


def _columns() -> str:
    return "\n\n".join(
        [
            "## Columns",
            "Configuration `default`:",
            _column_table(PAIR_COLUMNS),
            "Configuration `rejects`:",
            _column_table(REJECT_COLUMNS),
        ]
    )


def _column_table(columns: tuple[Column, ...]) -> str:
    types = {"messages": "list of {role, content}"}
    rows = [[f"`{column.name}`", types.get(column.type, column.type), column.about] for column in columns]
    return table(["column", "type", "meaning"], rows)


def _citation() -> str:
    method = f"The method is from [Anchored Preference Optimization and Contrastive Revisions]({PAPER})."
    return "\n\n".join(["## Citation", method, block(CITATION, "bibtex")])


_QUARTILES = ("first quartile", "median", "third quartile")


def _cells(value: Quartiles) -> list[str]:
    return [f"{it:.3g}" if abs(it) < 100 else f"{it:,.0f}" for it in (value.q1, value.median, value.q3)]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _total(total: Total, form: str) -> str:
    known = format(total.known, form)
    return known if not total.unknown_rows else f"unknown ({known} without {total.unknown_rows:,} rows)"
