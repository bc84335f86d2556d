"""A study as Markdown: study.md, and what `clair study` prints. Pure.

`study` is what study.json holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clair.dataset.markdown import table

Study = Mapping[str, Any]

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


def study_markdown(study: Study) -> str:
    """study.md as text."""
    parts = [
        "# Datasets and objectives, compared in the sandbox",
        about(study),
        "## Exact answers on unseen problems",
        exact_table(study),
        exact_note(study),
        "## Against the paper",
        claims_table(study),
        "A claim is open where the 95 % interval of the difference holds zero.",
        "## Contrast of the datasets",
        contrast_table(study),
        "Means over the shared pairs; the last two columns are the exact checker's.",
        "## Displacement",
        displacement_table(study),
        "Change of the log-prob of whole held-out answers by training, in nats; mean over seeds.",
        "## Learning rates",
        rates_text(study),
    ]
    if study["grid"]:
        parts.append(grid_table(study))
    return "\n\n".join(parts) + "\n"


def about(study: Study) -> str:
    """What was compared, in a paragraph."""
    pairs, settings = study["pairs"], study["settings"]
    made = ", ".join(f"{name} {count:,}" for name, count in pairs["pairs"].items())
    text = (
        f"{pairs['prompts']:,} prompts became pairs as follows: {made}. All datasets are cut to the {pairs['shared']:,} "
        f"prompts that all of them have: {pairs['trained']:,} pairs to train on, {pairs['held_out']:,} held out. Every "
        f"model starts from the bundled student: {settings['epochs']:g} epochs, {settings['pairs_per_step']} pairs a "
        f"step, beta {settings['beta']:g}; {seeds_text(settings['seeds'])}."
    )
    return text if not study["quick"] else f"{text} {quick_text(study)}"


def quick_text(study: Study) -> str:
    """What `--quick` left out."""
    settings = study["settings"]
    rate = f"no grid: every objective has the learning rate {settings['grid'][0]:g}" if not study["grid"] else "a grid"
    return (
        f"This is `--quick` ({settings['prompts']:,} prompts, {seeds_text(settings['seeds'])}, {rate}, "
        f"{settings['test_problems']} problems): a look, not a result."
    )


def seeds_text(seeds: int) -> str:
    """How many seeds, in words."""
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def exact_table(study: Study) -> str:
    """Datasets by objectives: mean, standard deviation over seeds, interval of the gain."""
    objectives = _names(study, "objective")
    rows = [
        [dataset, *(_exact_cell(_arm(study, dataset, objective)) for objective in objectives)]
        for dataset in _names(study, "dataset")
    ]
    return table(["dataset", *objectives], rows)


def exact_note(study: Study) -> str:
    """How to read the exact table."""
    return (
        f"The student before training: {100 * study['students']['test']['exact']:.1f} %. Greedy answers to "
        f"{study['settings']['test_problems']} problems of the test split, all right or wrong. Mean ± standard deviation "
        "over seeds (one seed has none); in parentheses the gain in points with its 95 % interval, by resampling "
        "problems and seeds."
    )


def claims_table(study: Study) -> str:
    """What the paper says, what was measured, the verdict."""
    rows = [
        [it["says"], it["measured"], _gain(it["difference"]), f"**{it['verdict']}**" if _against(it) else it["verdict"]]
        for it in study["claims"]
    ]
    return table(["the paper", "here", "difference, points", "verdict"], rows)


def contrast_table(study: Study) -> str:
    """Datasets by contrast figures."""
    rows = [
        [name, *(form.format(found[key]) for _, key, form in CONTRAST)]
        for name, found in study["pairs"]["contrast"].items()
    ]
    return table(["dataset", *(title for title, _, _ in CONTRAST)], rows)


def displacement_table(study: Study) -> str:
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
    return table(["dataset", "objective", "chosen", "rejected", "margin", "ranked right"], rows)


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


def grid_table(study: Study) -> str:
    """Dev scores of every dataset, objective and rate."""
    rates = study["settings"]["grid"]
    found = {(it["dataset"], it["objective"], it["learning_rate"]): it["exact"] for it in study["grid"]}
    arms = list(dict.fromkeys((it["dataset"], it["objective"]) for it in study["grid"]))
    rows = [[*arm, *(f"{100 * found[*arm, rate]:.1f} %" for rate in rates)] for arm in arms]
    return table(["dataset", "objective", *(f"{rate:g}" for rate in rates)], rows)


def _exact_cell(arm: Mapping[str, Any] | None) -> str:
    if arm is None:
        return ""
    std = "" if arm["std"] is None else f" ± {100 * arm['std']:.1f}"
    return f"{100 * arm['exact']:.1f}{std} ({_gain(arm['gain'])})"


def _gain(found: Mapping[str, float]) -> str:
    mean, low, high = (100 * found[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f}, {low:+.1f} to {high:+.1f}"


def _against(claim: Mapping[str, Any]) -> bool:
    return bool(claim["verdict"] == "against the paper")


def _names(study: Study, kind: str) -> Sequence[str]:
    return list(dict.fromkeys(it[kind] for it in study["summary"]))


def _arm(study: Study, dataset: str, objective: str) -> Mapping[str, Any] | None:
    return next((it for it in study["summary"] if (it["dataset"], it["objective"]) == (dataset, objective)), None)
