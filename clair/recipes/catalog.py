"""All recipes by name, and the prompts that each one asks with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from clair.recipes.base import Plan, Steps
from clair.recipes.best_of_n import best_of_n
from clair.recipes.clair import clair
from clair.recipes.constitutional import constitutional
from clair.recipes.judge_off_policy import judge_off_policy
from clair.recipes.judge_on_policy import judge_on_policy
from clair.recipes.stronger_preferred import stronger_preferred
from clair.recipes.worsen import worsen
from clair.records import Row
from clair.templates import Reading


class Recipe(NamedTuple):
    """What makes the pairs of a row, and the built-in prompts it uses: how the reply is read -> name of the file."""

    run: Callable[[Row, Plan], Steps]
    prompts: Mapping[Reading, str]


JUDGE: Mapping[Reading, str] = {"verdict": "judge"}

RECIPES: Mapping[str, Recipe] = {
    "clair": Recipe(clair, {"rewrite": "rewrite", "edits": "edits"}),
    "judge_on_policy": Recipe(judge_on_policy, JUDGE),
    "judge_off_policy": Recipe(judge_off_policy, JUDGE),
    "stronger_preferred": Recipe(stronger_preferred, {}),
    "worsen": Recipe(worsen, {"rewrite": "worsen-rewrite", "edits": "worsen-edits"}),
    "constitutional": Recipe(
        constitutional,
        {"critique": "critique", "rewrite": "constitutional-rewrite", "edits": "constitutional-edits"},
    ),
    "best_of_n": Recipe(best_of_n, {"score": "score", "verdict": "judge"}),
}


def prompts_of(recipe: str, *, verify: bool = False, checked: bool = False) -> dict[Reading, str]:
    """The prompts that a run asks with: `verify` adds the judge's, and a checker asks nothing."""
    if checked:
        return {}
    return {**RECIPES[recipe].prompts, **(JUDGE if verify else {})}
