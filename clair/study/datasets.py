"""The datasets of a study: built by their recipes from the same prompts, cut down to the prompts that all have.

`intersection`, `split` and `contrast_of` are pure; `build` runs the recipes in the sandbox.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import fmean
from typing import Any

from clair.errors import ClairError
from clair.records import Pair
from clair.study.plan import StudySettings
from clair.study.store import Store

LEAST_PAIRS = 8
SEED = 0


def build(settings: StudySettings, store: Store, say: Callable[[str], None]) -> dict[str, Any]:
    """Build every dataset and store its pairs; returns counts and contrast (`pairs.json`). Resumes what is begun.

    Raises ClairError if hardly a prompt became a pair in all datasets; RunStopped as `generate` does.
    """
    stored = store.read("pairs.json")
    if stored is not None:
        found: dict[str, Any] = stored
        say(f"datasets: {found['shared']:,} shared prompts, from an earlier invocation")
        return found
    made = {name: _generated(name, settings, store, say) for name in settings.datasets}
    shared = intersection(made)
    count = len(next(iter(shared.values())))
    if count < LEAST_PAIRS:
        raise ClairError(
            f"only {count} of {settings.prompts} prompts became a pair in every dataset, at least {LEAST_PAIRS} are "
            "needed; ask for more with --prompts, in a new folder"
        )
    for name, pairs in shared.items():
        trained, held_out = split(pairs, every=settings.held_out_every)
        store.write_text(f"pairs/{name}.jsonl", _json_lines(trained))
        store.write_text(f"pairs/{name}-held-out.jsonl", _json_lines(held_out))
    found = {
        "prompts": settings.prompts,
        "pairs": {name: len(pairs) for name, pairs in made.items()},
        "shared": count,
        "trained": len(trained),
        "held_out": len(held_out),
        "contrast": {name: {**contrast_of(pairs), **_right(pairs)} for name, pairs in shared.items()},
    }
    store.write("pairs.json", found)
    return found


def intersection(datasets: Mapping[str, Sequence[Pair]]) -> dict[str, list[Pair]]:
    """Of each dataset the whole pairs whose prompts are in every dataset, in the order of the first one."""
    by_prompt: dict[str, dict[Hashable, Pair]] = {
        name: {prompt_key(pair): pair for pair in pairs if pair.parent_id is None} for name, pairs in datasets.items()
    }
    first, *others = by_prompt.values()
    shared = [key for key in first if all(key in other for other in others)]
    return {name: [pairs[key] for key in shared] for name, pairs in by_prompt.items()}


def prompt_key(pair: Pair) -> Hashable:
    """What makes two rows of different datasets rows of one prompt: the conversation."""
    return tuple((turn["role"], turn["content"]) for turn in pair.prompt)


def split(pairs: Sequence[Pair], *, every: int) -> tuple[list[Pair], list[Pair]]:
    """(trained, held out): each `every`-th pair is held out. The places are the same in every dataset."""
    trained = [pair for place, pair in enumerate(pairs) if (place + 1) % every]
    return trained, [pair for place, pair in enumerate(pairs) if not (place + 1) % every]


def contrast_of(pairs: Sequence[Pair]) -> dict[str, float]:
    """Means of the contrast figures over pairs; `words_changed` is 1 - word_similarity."""
    return {
        "words_changed": fmean(1 - pair.contrast.word_similarity for pair in pairs),
        "edits": fmean(pair.contrast.edits for pair in pairs),
        "char_distance": fmean(pair.contrast.char_distance for pair in pairs),
        "jaccard": fmean(pair.contrast.jaccard for pair in pairs),
        "shared_prefix": fmean(pair.contrast.shared_prefix for pair in pairs),
        "length_ratio": fmean(pair.contrast.length_ratio for pair in pairs),
    }


def _right(pairs: Sequence[Pair]) -> dict[str, float]:
    """Shares of chosen and rejected answers that the sandbox's exact checker finds right."""
    from clair.sandbox.answers import read_answer
    from clair.sandbox.problems import find_problem

    problems = [find_problem(pair.prompt[-1]["content"]) for pair in pairs]
    known = [(problem, pair) for problem, pair in zip(problems, pairs, strict=True) if problem is not None]
    return {
        "chosen_right": fmean(read_answer(problem, pair.chosen).score.exact for problem, pair in known),
        "rejected_right": fmean(read_answer(problem, pair.rejected).score.exact for problem, pair in known),
    }


def _generated(recipe: str, settings: StudySettings, store: Store, say: Callable[[str], None]) -> list[Pair]:
    from clair.api import generate
    from clair.dataset.reading import read_split

    folder = store.folder / "datasets" / recipe
    say(f"dataset {recipe}: asking {settings.prompts:,} prompts")
    generate(recipe=recipe, out=str(folder), limit=settings.prompts, seed=SEED)
    pairs = [pair for pair in read_split(folder, "pairs") if isinstance(pair, Pair)]
    say(f"dataset {recipe}: {len(pairs):,} pairs")
    return pairs


def _json_lines(pairs: Sequence[Pair]) -> str:
    """Rows for the trainer: prompt, chosen and rejected as messages."""
    rows = (
        {
            "prompt": list(pair.prompt),
            "chosen": [{"role": "assistant", "content": pair.chosen}],
            "rejected": [{"role": "assistant", "content": pair.rejected}],
        }
        for pair in pairs
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
