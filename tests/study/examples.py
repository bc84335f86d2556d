"""A study's figures made by hand: two datasets, two objectives, one seed or two."""

from __future__ import annotations

from typing import Any

CONTRAST = {
    "words_changed": 0.1,
    "edits": 1.5,
    "char_distance": 4.0,
    "jaccard": 0.9,
    "shared_prefix": 0.5,
    "length_ratio": 1.0,
    "chosen_right": 1.0,
    "rejected_right": 0.25,
}


def study(**changes: Any) -> dict[str, Any]:
    """What study.json holds, as far as tables and page read it."""
    return {
        "quick": False,
        "settings": {
            "prompts": 100, "seeds": 2, "epochs": 2, "pairs_per_step": 16, "beta": 3.0, "dev_problems": 20,
            "test_problems": 40, "grid": [1e-4, 4e-4],
        },
        "pairs": {
            "prompts": 100, "pairs": {"clair": 60, "stronger_preferred": 100}, "shared": 60, "trained": 53,
            "held_out": 7, "contrast": {"clair": CONTRAST, "stronger_preferred": {**CONTRAST, "words_changed": 0.75}},
        },
        "students": {"test": {"exact": 0.5}},
        "learning_rates": {"sft": 1e-4, "dpo": 4e-4},
        "grid": [
            {"dataset": dataset, "objective": objective, "learning_rate": rate, "exact": 0.6}
            for dataset in ("clair", "stronger_preferred")
            for objective in ("sft", "dpo")
            for rate in (1e-4, 4e-4)
        ],
        "summary": [arm("clair", "sft", 0.7), arm("clair", "dpo", 0.65), arm("stronger_preferred", "sft", 0.55),
                    arm("stronger_preferred", "dpo", 0.4, std=None)],
        "claims": [
            {
                "says": "CLAIR is the best dataset", "measured": "clair x sft 70.0 %",
                "difference": {"mean": 0.15, "low": 0.05, "high": 0.25}, "verdict": "as in the paper",
            }
        ],
        **changes,
    }  # fmt: skip


def arm(dataset: str, objective: str, exact: float, std: float | None = 0.02) -> dict[str, Any]:
    """The summary of one arm; the student is at 0.5, the interval 0.1 to either side."""
    gain = exact - 0.5
    return {
        "dataset": dataset,
        "objective": objective,
        "seeds": 2,
        "exact": exact,
        "std": std,
        "steps": 0.8,
        "gain": {"mean": gain, "low": gain - 0.1, "high": gain + 0.1},
        "displacement": {"chosen": 1.5, "rejected": -2.25, "accuracy": 0.75},
    }
