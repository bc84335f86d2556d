"""A whole study, small: two datasets, two objectives, resumed after a kill.

Real: recipes, sandbox, student, trainer, scoring, files. A double: the kill, an exception where a cell would start.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from clair.cli import main
from clair.errors import ClairError, LedgerError, UsageError
from clair.study import StudySettings, cells, run_study
from clair.study.store import Store

SMALL = StudySettings(
    prompts=40,
    datasets=("clair", "stronger_preferred"),
    objectives=("sft", "apo_zero"),
    seeds=1,
    grid=(4e-4,),
    dev_problems=10,
    test_problems=20,
    epochs=1,
)
KEYS = [
    f"test-{dataset}-{objective}-0.0004-seed0"
    for dataset in ("clair", "stronger_preferred")
    for objective in ("sft", "apo_zero")
]


class Killed(BaseException):
    """Stands for the end of the process: nothing that handles errors sees it."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that was killed after its first cell, in the second, and then resumed."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cells, "greedy_scores", _killed_at(cells.greedy_scores, KEYS[1]))
        with pytest.raises(Killed):
            run_study(SMALL, folder)
    assert sorted(path.stem for path in (folder / "cells").iterdir()) == ["student-grid", "student-test", KEYS[0]]
    assert (folder / "models" / KEYS[1]).is_dir()
    said: list[str] = []
    study = run_study(SMALL, folder, say=said.append)
    assert study["cells_trained"] == 3
    assert [line.split("]")[0] for line in said if line.startswith("[")] == ["[2/4", "[3/4", "[4/4"]
    assert not any("asking" in line for line in said)
    return folder


def _killed_at(real, key):
    def scores(model, split, n):
        if model and model.endswith(key):
            raise Killed
        return real(model, split, n)

    return scores


def test_a_resumed_study_trains_nothing_twice(finished: Path):
    before = {path: path.stat().st_mtime_ns for path in (finished / "cells").iterdir()}
    study = run_study(SMALL, finished)
    assert study["cells_trained"] == 0
    assert {path: path.stat().st_mtime_ns for path in (finished / "cells").iterdir()} == before
    assert len(before) == 4 + 2


def test_every_dataset_has_the_same_prompts(finished: Path):
    prompts = {}
    for name in ("clair", "stronger_preferred"):
        for part in ("", "-held-out"):
            lines = (finished / "pairs" / f"{name}{part}.jsonl").read_text("utf-8").splitlines()
            prompts[name, part] = [json.loads(line)["prompt"] for line in lines]
    assert prompts["clair", ""] == prompts["stronger_preferred", ""]
    assert prompts["clair", "-held-out"] == prompts["stronger_preferred", "-held-out"]
    found = json.loads((finished / "pairs.json").read_text("utf-8"))
    assert found["pairs"]["stronger_preferred"] == 40
    assert found["pairs"]["clair"] == found["shared"] == found["trained"] + found["held_out"]
    assert found["contrast"]["clair"]["words_changed"] < found["contrast"]["stronger_preferred"]["words_changed"]


def test_the_result_is_written_with_every_arm_and_no_model_is_kept(finished: Path):
    study = json.loads((finished / "study.json").read_text("utf-8"))
    assert [(it["dataset"], it["objective"]) for it in study["summary"]] == [
        ("clair", "sft"),
        ("clair", "apo_zero"),
        ("stronger_preferred", "sft"),
        ("stronger_preferred", "apo_zero"),
    ]
    assert study["learning_rates"] == {"sft": 4e-4, "apo_zero": 4e-4}
    assert [len(one["answers"]) for one in study["results"]] == [20] * 4
    assert not (finished / "models").exists()
    assert "apo_zero" in (finished / "study.md").read_text("utf-8")
    assert "<script" not in (finished / "study.html").read_text("utf-8")


def test_only_the_first_cell_of_a_dataset_computes_the_reference(finished: Path):
    rows = [json.loads((finished / "cells" / f"{key}.json").read_text("utf-8"))["reference_rows"] for key in KEYS]
    assert rows[0] > 0
    assert rows[2] > 0
    assert rows[1] == rows[3] == 0


def test_changed_settings_are_refused_and_named(finished: Path):
    with pytest.raises(UsageError, match=r"other settings \(epochs: 1 -> 3; prompts: 40 -> 50\)"):
        run_study(StudySettings(**{**vars(SMALL), "prompts": 50, "epochs": 3}), finished)


def test_a_second_process_is_kept_out(finished: Path):
    settings = json.loads((finished / "settings.json").read_text("utf-8"))
    with Store(finished, settings), pytest.raises(LedgerError, match="is in use by process"):
        run_study(SMALL, finished)


def test_a_damaged_result_is_named(tmp_path: Path):
    store = Store(tmp_path / "study", {})
    store.write_text("cells/k.json", "{")
    with pytest.raises(ClairError, match=r"k\.json' cannot be read: .* Delete it"):
        store.result("k")


def test_another_folder_is_not_written_into(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no study"):
        run_study(SMALL, tmp_path)


def test_too_few_shared_prompts_stop_the_study(tmp_path: Path):
    settings = StudySettings(prompts=2, datasets=("stronger_preferred",), grid=(4e-4,), test_problems=1, dev_problems=1)
    with pytest.raises(ClairError, match="only 2 of 2 prompts became a pair in every dataset"):
        run_study(settings, tmp_path / "study")


def test_the_command_refuses_unknown_names(tmp_path: Path):
    for option, value, message in (
        ("--objectives", "sft,magic", "unknown objective 'magic'"),
        ("--datasets", "clair,best", "unknown dataset 'best'"),
        ("--datasets", "clair,clair", "different names"),
    ):
        done = CliRunner().invoke(main, ["study", "-o", str(tmp_path / "study"), option, value])
        assert done.exit_code == 2
        assert message in done.stderr
    assert not (tmp_path / "study").exists()
