"""The tables of a study and the sentences around them, and study.md made of them. Pure.

`study` is what study.json holds. The page shows the same tables and sentences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from clair.dataset import markdown

Study = Mapping[str, Any]

TITLE = "Datasets and objectives, compared in the sandbox"
CLAIMS_NOTE = (
    "Not decided: the 95 % interval of the difference holds zero. The best rival is taken from the same scores, which "
    "favors it a little."
)
CONTRAST_NOTE = "Means over the shared pairs. Whether an answer is right, an exact checker says."
DISPLACEMENT_NOTE = (
    "Change of the log-prob of a whole held-out answer by training, in nats; mean over seeds. Ranked right: share of "
    "held-out pairs whose chosen answer gained more than the rejected one."
)

CONTRAST = (
    ("words changed", "words_changed", "{:.0%}"),
    ("edits", "edits", "{:.1f}"),
    ("characters changed", "char_distance", "{:.0f}"),
    ("Jaccard", "jaccard", "{:.2f}"),
    ("shared prefix", "shared_prefix", "{:.0%}"),
    ("length ratio", "length_ratio", "{:.2f}"),
    ("chosen right", "chosen_right", "{:.0%}"),
    ("rejected right", "rejected_right", "{:.0%}"),
)
"""Title, name in study.json and format of the contrast table's columns: means over the shared pairs."""


class Table(NamedTuple):
    """Column titles and rows of texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As a Markdown table."""
        return markdown.table(self.head, self.rows)


def study_markdown(study: Study) -> str:
    """study.md as text."""
    parts = [
        f"# {TITLE}",
        about(study),
        "## Exact answers on unseen problems",
        exact_table(study).markdown(),
        exact_note(study),
        "## What the paper says",
        claims_table(study).markdown(),
        CLAIMS_NOTE,
        "## Contrast of the datasets",
        contrast_table(study).markdown(),
        CONTRAST_NOTE,
        "## Displacement",
        displacement_table(study).markdown(),
        DISPLACEMENT_NOTE,
        "## Learning rates",
        rates_text(study),
    ]
    if study["grid"]:
        parts.append(grid_table(study).markdown())
    return "\n\n".join(parts) + "\n"


def about(study: Study) -> str:
    """What was compared, in a paragraph."""
    pairs, settings = study["pairs"], study["settings"]
    made = ", ".join(f"{name} {count:,}" for name, count in pairs["pairs"].items())
    text = (
        f"{pairs['prompts']:,} prompts became pairs as follows: {made}. All datasets are cut to the "
        f"{pairs['shared']:,} prompts that all of them have: {pairs['trained']:,} pairs to train on, "
        f"{pairs['held_out']:,} held out. Every "
        f"model starts from the bundled student: {settings['epochs']:g} epochs, {settings['pairs_per_step']} pairs a "
        f"step, beta {settings['beta']:g}; {seeds_text(settings['seeds'])}."
    )
    return text if not study["quick"] else f"{text} {quick_text(study)}"


def quick_text(study: Study) -> str:
    """What `--quick` left out."""
    settings = study["settings"]
    rate = f"no grid: every objective has the learning rate {settings['grid'][0]:g}" if not study["grid"] else "a grid"
    return (
        f"This is --quick ({settings['prompts']:,} prompts, {seeds_text(settings['seeds'])}, {rate}, "
        f"{settings['test_problems']} problems): a look, not a result."
    )


def seeds_text(seeds: int) -> str:
    """How many seeds, in words."""
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def exact_table(study: Study) -> Table:
    """Datasets by objectives: mean, standard deviation over seeds, interval of the gain."""
    objectives = names(study, "objective")
    rows = [
        [dataset, *(_exact_cell(_arm(study, dataset, objective)) for objective in objectives)]
        for dataset in names(study, "dataset")
    ]
    return Table(["dataset", *objectives], rows)


def exact_note(study: Study) -> str:
    """How to read the exact table."""
    return (
        f"The student before training: {100 * study['students']['test']['exact']:.1f} %. Greedy answers to "
        f"{study['settings']['test_problems']} problems of the test split, each right or wrong. Mean ± standard "
        "deviation over seeds (one seed has none); in parentheses the gain in points with its 95 % interval, by "
        "resampling problems and seeds."
    )


def claims_table(study: Study) -> Table:
    """What the paper says, what was measured, the verdict."""
    rows = [[it["says"], it["measured"], gain_text(it["difference"]), it["verdict"]] for it in study["claims"]]
    return Table(["the paper", "here", "difference, points", "verdict"], rows)


def contrast_table(study: Study) -> Table:
    """Datasets by contrast figures."""
    rows = [
        [name, *(form.format(found[key]) for _, key, form in CONTRAST)]
        for name, found in study["pairs"]["contrast"].items()
    ]
    return Table(["dataset", *(title for title, _, _ in CONTRAST)], rows)


def displacement_table(study: Study) -> Table:
    """Per arm: how far chosen and rejected moved, and how many held-out pairs are ranked right."""
    rows = [
        [
            it["dataset"],
            it["objective"],
            f"{it['displacement']['chosen']:+.2f}",
            f"{it['displacement']['rejected']:+.2f}",
            f"{it['displacement']['chosen'] - it['displacement']['rejected']:+.2f}",
            f"{it['displacement']['accuracy']:.0%}",
        ]
        for it in study["summary"]
    ]
    return Table(["dataset", "objective", "chosen", "rejected", "margin", "ranked right"], rows)


def rates_text(study: Study) -> str:
    """Which learning rates were taken, and why."""
    rates = ", ".join(f"{name} {rate:g}" for name, rate in study["learning_rates"].items())
    if not study["grid"]:
        return f"Not chosen: {rates}."
    grid = sorted(study["settings"]["grid"])
    at_edge = [name for name, rate in study["learning_rates"].items() if rate in (grid[0], grid[-1])]
    edge = f" At an end of the grid, so perhaps not the best: {', '.join(at_edge)}." if at_edge else ""
    return (
        f"Per objective the best mean over the datasets on {study['settings']['dev_problems']} problems of the dev "
        f"split: {rates}.{edge}"
    )


def grid_table(study: Study) -> Table:
    """Dev scores of every dataset, objective and rate."""
    rates = study["settings"]["grid"]
    found = {(it["dataset"], it["objective"], it["learning_rate"]): it["exact"] for it in study["grid"]}
    arms = list(dict.fromkeys((it["dataset"], it["objective"]) for it in study["grid"]))
    rows = [[*arm, *(f"{100 * found[arm[0], arm[1], rate]:.1f} %" for rate in rates)] for arm in arms]
    return Table(["dataset", "objective", *(f"{rate:g}" for rate in rates)], rows)


def _exact_cell(arm: Mapping[str, Any] | None) -> str:
    if arm is None:
        return ""
    std = "" if arm["std"] is None else f" ± {100 * arm['std']:.1f}"
    return f"{100 * arm['exact']:.1f}{std} ({gain_text(arm['gain'])})"


def gain_text(found: Mapping[str, float]) -> str:
    """A difference of shares with its interval, in points."""
    mean, low, high = (100 * found[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f}, {low:+.1f} to {high:+.1f}"


def names(study: Study, kind: str) -> Sequence[str]:
    """The datasets or objectives of a study (`kind`), in order."""
    return list(dict.fromkeys(it[kind] for it in study["summary"]))


def _arm(study: Study, dataset: str, objective: str) -> Mapping[str, Any] | None:
    return next((it for it in study["summary"] if (it["dataset"], it["objective"]) == (dataset, objective)), None)
