"""What a study compares: its settings, its cells, and the key under which each cell is kept. Pure.

A cell is one model trained and scored. Cells of the grid are scored on the dev split and choose a learning rate for
each objective; the others are scored on the test split and are the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

from clair.errors import UsageError

Dataset = Literal["clair", "judge_on_policy", "judge_off_policy", "stronger_preferred"]
DATASETS: tuple[str, ...] = get_args(Dataset)
OBJECTIVES = ("sft", "dpo", "apo_zero", "apo_down")
"""The paper's objectives without KTO, which `--objectives` can add."""

GRID = (5e-5, 1.5e-4, 4e-4)
"""Learning rates tried: the sandbox's own 4e-4, about 2.7 times less and 8 times less. At 1e-3 every
objective but sft is far worse."""
SANDBOX_RATE = (4e-4,)

Role = Literal["grid", "test"]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """What decides a study's figures. Raises UsageError for values that make none."""

    prompts: int = 1300
    """Prompts that every recipe is asked for; about a fifth becomes a pair in all four."""
    datasets: tuple[str, ...] = DATASETS
    objectives: tuple[str, ...] = OBJECTIVES
    seeds: int = 3
    """Trainings of each dataset and objective; a seed decides the order of the pairs."""
    grid: tuple[float, ...] = GRID
    """Learning rates; with one of them nothing has to be chosen, and no cell of the grid is trained."""
    dev_problems: int = 200
    test_problems: int = 400
    epochs: float = 2
    pairs_per_step: int = 16
    """Half of the sandbox's default: an intersection has few pairs, and 8 steps would compare nothing."""
    beta: float = 3.0
    held_out_every: int = 8
    """Each so-manieth pair is never trained on: its log-probs show the displacement."""

    def __post_init__(self) -> None:
        for name in ("prompts", "seeds", "dev_problems", "test_problems", "pairs_per_step"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        for name, known in (("datasets", DATASETS), ("objectives", None)):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise UsageError(f"{name} must be different names, at least one, got {', '.join(values) or 'none'}")
            unknown = [value for value in values if known and value not in known]
            if unknown:
                raise UsageError(f"unknown dataset {unknown[0]!r}: expected some of {', '.join(DATASETS)}")

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that may not change while a study is resumed, as JSON values.

        Seeds, objectives and learning rates may: each makes cells of its own, and none depends on the others.
        """
        return {name: value for name, value in self.values.items() if name not in ("seeds", "objectives", "grid")}

    @property
    def values(self) -> dict[str, Any]:
        """All settings as JSON values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


QUICK: Mapping[str, Any] = {"prompts": 600, "seeds": 1, "grid": SANDBOX_RATE, "test_problems": 200}
"""What `--quick` changes."""


class Cell(NamedTuple):
    """One training and its evaluation."""

    role: Role
    dataset: str
    objective: str
    learning_rate: float
    seed: int

    @property
    def key(self) -> str:
        """The name under which its result is kept, fit for a file name."""
        return f"{self.role}-{self.dataset}-{self.objective}-{self.learning_rate:g}-seed{self.seed}"

    @property
    def title(self) -> str:
        """The cell in a progress line."""
        seed = "" if self.role == "grid" else f", seed {self.seed}"
        return f"{self.dataset} x {self.objective} at {self.learning_rate:g}{seed}"


def grid_cells(settings: StudySettings) -> list[Cell]:
    """The cells that choose learning rates: every dataset, objective and rate once; none if there is one rate."""
    if len(settings.grid) == 1:
        return []
    return [
        Cell("grid", dataset, objective, rate, 0)
        for dataset in settings.datasets
        for objective in settings.objectives
        for rate in settings.grid
    ]


def final_cells(settings: StudySettings, rates: Mapping[str, float]) -> list[Cell]:
    """The cells of the result, at each objective's rate; the first seed of everything comes first."""
    return [
        Cell("test", dataset, objective, rates[objective], seed)
        for seed in range(settings.seeds)
        for dataset in settings.datasets
        for objective in settings.objectives
    ]


def number_of_cells(settings: StudySettings) -> int:
    """All cells of both roles."""
    return len(grid_cells(settings)) + settings.seeds * len(settings.datasets) * len(settings.objectives)
