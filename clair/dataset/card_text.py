"""What a dataset card says below its front matter. A function per section, each a Markdown text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from clair.dataset.card_figures import bias, contrast, cost, funnel
from clair.dataset.examples import example
from clair.dataset.markdown import block, code, plain, rejects_only, table
from clair.dataset.run_json import clean, without_passwords
from clair.dataset.schema import PAIR_COLUMNS, REJECT_COLUMNS, Column
from clair.dataset.summary import RunFacts, RunSummary
from clair.records import Pair

PAPER = "https://arxiv.org/abs/2408.06266"

LOADING = """\
from datasets import load_dataset

pairs = load_dataset("PATH_OR_REPO_ID", split="train")"""

LOADING_REJECTS = """\
rejects = load_dataset("PATH_OR_REPO_ID", "rejects", split="train", streaming=True)"""

LIMITS = """\
## Limits

- Everything but the prompts was written by models. No person checked the pairs; a revision may be wrong, and
  may be worse than what it revises.
- That the edits are few is measured. That they are improvements is a model's judgment.
- The data show what the target got wrong on these prompts. They teach another model less: its mistakes are others.
- Small edits need an objective that anchors the likelihood of `chosen`, such as APO-zero. Plain DPO may lower
  it.
- `chosen` and `rejected` share most of their text, often from the first word on. A tool that takes their
  common prefix for the prompt would cut the answers: use the `prompt` column.
- The texts were searched for keys and tokens before they were published with `clair publish`, not for names,
  addresses or anything else about persons, and not for harmful content. Prompts hold what their authors wrote."""

SANDBOX = """\
**This run was made in clair's built-in sandbox**: generated word problems, a student of half a million parameters and
a program that solves the problems exactly. It serves to try out tools and has nothing to teach to a language model."""

OPERATION = frozenset(
    """
    out config concurrency rpm tpm timeout_s max_retries breaker_s target_key_env reviser_key_env judge_key_env prices
    max_cost on_bad_row
    """.split()  # noqa: SIM905
)
"""Settings that say how the run was carried out and nothing about the data. run.json has them."""

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


def body(summary: RunSummary, examples: Sequence[Pair]) -> str:
    """All sections."""
    sections = (
        _head(summary),
        _examples(examples),
        _making(summary),
        funnel(summary),
        contrast(summary),
        bias(summary),
        cost(summary),
        _columns(),
        LIMITS,
        _license(summary.facts),
        _citation(),
    )
    return "\n\n".join(filter(None, sections)) + "\n"


def _head(summary: RunSummary) -> str:
    facts = summary.facts
    parts = [
        f"# {plain(facts.name)}",
        f"{summary.pairs:,} preference pairs for {code(facts.target_model)}. {_nature(facts)} "
        f"Made with the recipe {code(facts.recipe)} of clair, a tool for the method of [CLAIR and APO]({PAPER}).",
        *([SANDBOX] if facts.settings.get("target") == "sandbox" else []),
        block(LOADING, "python"),
        "Prompts are explicit and conversational, the layout that TRL recommends: its `DPOTrainer` takes the pairs as "
        "they are, and `clair train-apo` as well.",
        rejects_only(
            "`rejects` are the rows that gave no pair, with the reason. (`load_dataset` opens a configuration without "
            "rows only as a stream.)\n\n" + block(LOADING_REJECTS, "python")
        ),
    ]
    if summary.step_pairs:
        parts.append(
            f"Beside the whole pairs there are {summary.step_pairs:,} rows that are steps of chains: each makes one "
            "more edit of its whole pair, which `parent_id` names. Leave out the rows that have a `parent_id`, or the "
            "pairs that these name, and no edit counts twice."
        )
    return "\n\n".join(parts)


def _nature(facts: RunFacts) -> str:
    reviser, judge = code(facts.reviser_model), code(facts.judge_model or facts.reviser_model)
    better = "Each `chosen` is the better of two answers to the prompt"
    revised = f"Each `rejected` is an answer to the prompt, each `chosen` the same answer after {reviser}"
    little_else = "so that the difference between the two is the improvement and little else."
    sentences = {
        "clair": f"{revised} improved it, {little_else}",
        "constitutional": f"{revised} criticized it in the light of a principle and revised it, {little_else}",
        "worsen": f"Each `chosen` is an answer to the prompt, each `rejected` the same answer after {reviser} put "
        f"mistakes into it, {little_else}",
        "judge_on_policy": f"{better} by the same model, as {judge} judged them.",
        "judge_off_policy": f"{better} by different models, as {judge} judged them.",
        "stronger_preferred": f"Each `rejected` is the target's answer to the prompt, each `chosen` that of {reviser}.",
        "best_of_n": "Each `chosen` is the best of several answers to the prompt, each `rejected` the worst.",
    }
    return sentences.get(facts.recipe, f"{better}.")


def _examples(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    drawn = "Drawn by a hash of their ids, not picked. Long texts are cut where `[…]` stands."
    return "\n\n".join(["## Examples", drawn, *map(example, pairs)])


def _making(summary: RunSummary) -> str:
    facts = summary.facts
    rows = [
        ["prompts", code(str(facts.settings.get("prompts", "unknown")))],
        ["target", code(facts.target_model)],
        ["reviser", code(facts.reviser_model)],
    ]
    if facts.judge_model is not None:
        rows.append(["judge", code(facts.judge_model)])
    rows += [[f"template {code(name)}", f"sha256 {code(text)}"] for name, text in sorted(facts.templates.items())]
    rows += [[f"version of {code(name)}", code(text)] for name, text in sorted(facts.versions.items())]
    settings = [
        [code(key), code(_value(value))]
        for key, value in clean(facts.settings).items()
        if key not in OPERATION and value not in (None, [], {})
    ]
    return "\n\n".join(
        [
            "## How it was made",
            block(without_passwords(facts.command), "bash"),
            table(["part", "identity"], rows),
            *([table(["setting", "value"], settings)] if settings else []),
            "Not listed are settings without a value, and those of speed and limits; `run.json` has them all.",
        ]
    )


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _columns() -> str:
    rejects = "\n\n".join(["Configuration `rejects`:", _column_table(REJECT_COLUMNS)])
    parts = ["## Columns", "Configuration `default`:", _column_table(PAIR_COLUMNS), rejects_only(rejects)]
    return "\n\n".join(parts)


def _column_table(columns: tuple[Column, ...]) -> str:
    types = {"messages": "list of {role, content}"}
    rows = [[f"`{column.name}`", types.get(column.type, column.type), column.about] for column in columns]
    return table(["column", "type", "meaning"], rows)


def _license(facts: RunFacts) -> str:
    models = dict.fromkeys(filter(None, (facts.target_model, facts.reviser_model, facts.judge_model)))
    return (
        "## License\n\nThe license in the head of this card is that of the collection. The prompts keep the license of "
        "their source, which the column `source` names. The other text was written by "
        f"{' and '.join(map(code, models))}; the terms under which these models are offered apply to it, and may "
        "restrict what may be trained on it."
    )


def _citation() -> str:
    method = f"The method is from [Anchored Preference Optimization and Contrastive Revisions]({PAPER})."
    return "\n\n".join(["## Citation", method, block(CITATION, "bibtex")])
