"""Which cells a study has. Pure; worked by hand."""

from __future__ import annotations

import pytest

from clair.errors import UsageError
from clair.study.plan import QUICK, Cell, StudySettings, final_cells, grid_cells, number_of_cells

TWO = StudySettings(datasets=("clair", "stronger_preferred"), objectives=("sft", "dpo"), seeds=2, grid=(1e-4, 4e-4))


def test_the_grid_has_every_dataset_objective_and_rate_once():
    assert [cell.key for cell in grid_cells(TWO)] == [
        "grid-clair-sft-0.0001-seed0",
        "grid-clair-sft-0.0004-seed0",
        "grid-clair-dpo-0.0001-seed0",
        "grid-clair-dpo-0.0004-seed0",
        "grid-stronger_preferred-sft-0.0001-seed0",
        "grid-stronger_preferred-sft-0.0004-seed0",
        "grid-stronger_preferred-dpo-0.0001-seed0",
        "grid-stronger_preferred-dpo-0.0004-seed0",
    ]


def test_one_rate_needs_no_grid():
    assert grid_cells(StudySettings(**QUICK)) == []
    assert number_of_cells(StudySettings(**QUICK)) == 16


def test_final_cells_take_the_chosen_rate_and_finish_one_seed_before_the_next():
    cells = final_cells(TWO, {"sft": 1e-4, "dpo": 4e-4})
    assert cells == [
        Cell("test", dataset, objective, rate, seed)
        for seed in (0, 1)
        for dataset in ("clair", "stronger_preferred")
        for objective, rate in (("sft", 1e-4), ("dpo", 4e-4))
    ]
    assert number_of_cells(TWO) == 8 + 8


def test_the_default_is_the_papers_comparison():
    settings = StudySettings()
    assert (len(grid_cells(settings)), number_of_cells(settings)) == (4 * 4 * 3, 4 * 4 * 3 + 4 * 4 * 3)


def test_what_only_adds_cells_may_change_on_resume_and_nothing_else():
    assert set(vars(TWO)) - set(TWO.identity) == {"seeds", "objectives", "grid"}


def test_a_cell_says_what_it_is():
    assert Cell("test", "clair", "dpo", 4e-4, 2).title == "clair x dpo at 0.0004, seed 2"
    assert Cell("grid", "clair", "dpo", 1e-3, 0).title == "clair x dpo at 0.001"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"prompts": 0}, "prompts must be at least 1, got 0"),
        ({"datasets": ("clair", "clair")}, "datasets must be different names, at least one, got clair, clair"),
        ({"objectives": ()}, "objectives must be different names, at least one, got none"),
        ({"datasets": ("worsen",)}, "unknown dataset 'worsen'"),
    ],
)
def test_settings_without_meaning_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        StudySettings(**values)
