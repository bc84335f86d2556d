"""A study from settings to page; what is finished is found in its folder and not done again.

    study = run_study(StudySettings(), Path("clair-study"), say=print)

Order: the datasets and their intersection, the grid on the dev split, the final cells on the test split. A killed
study loses at most the cell it was in; the same call goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clair.errors import UsageError
from clair.study import cells, datasets, plan
from clair.study.claims import claims
from clair.study.page import study_page
from clair.study.plan import Cell, StudySettings
from clair.study.statistics import Arm, best_rates, score
from clair.study.store import Store
from clair.study.tables import study_markdown

Say = Callable[[str], None]


def run_study(
    settings: StudySettings, folder: Path, *, quick: bool = False, keep_models: bool = False, say: Say = lambda _: None
) -> dict[str, Any]:
    """Run or resume a study; returns what study.json holds, and writes it with study.md and study.html.

    `say` is given one line per finished piece. `quick` is only noted in the output. Raises UsageError for another
    study's folder, ClairError when it had to stop (the same call resumes).
    """
    _check_objectives(settings.objectives)
    with Store(folder, {**settings.identity, "student": _student_digest()}) as store:
        started = time.perf_counter()
        pairs = datasets.build(settings, store, say)
        students = {role: cells.student_result(role, settings, store) for role in ("grid", "test")}
        say(f"the student before: {_percent(students['test'])} of the test split right")
        say(f"{plan.number_of_cells(settings)} models to train and score, a line for each; finished ones are kept")
        work = Work(settings, store, keep_models=keep_models, say=say)
        grid = work.done(plan.grid_cells(settings))
        rates = chosen_rates(settings, grid)
        results = work.done(plan.final_cells(settings, rates))
        study = {
            "quick": quick,
            "settings": settings.values,
            "versions": _versions(),
            "seconds": round(time.perf_counter() - started, 1),
            "cells_trained": work.trained,
            "pairs": pairs,
            "students": students,
            "grid": [grid[cell] for cell in grid],
            "learning_rates": rates,
            "results": [results[cell] for cell in results],
            **figures(results, students["test"]["answers"]),
        }
        store.write("study.json", study)
        store.write_text("study.md", study_markdown(study))
        store.write_text("study.html", study_page(study))
    return study


class Work:
    """Cells to do, one after the other; tells how each ended and how long the rest will take."""

    def __init__(self, settings: StudySettings, store: Store, *, keep_models: bool, say: Say) -> None:
        self._settings, self._store, self._keep_models, self._say = settings, store, keep_models, say
        self._left = plan.number_of_cells(settings)
        self._total = self._left
        self._seconds: list[float] = []
        self.trained = 0

    def done(self, wanted: Sequence[Cell]) -> dict[Cell, dict[str, Any]]:
        """The results of all of `wanted`, each stored or trained now."""
        found = {}
        for cell in wanted:
            stored = self._store.result(cell.key)
            found[cell] = stored or self._trained(cell)
            self._left -= 1
            if stored is None:
                self._tell(cell, found[cell])
        return found

    def _trained(self, cell: Cell) -> dict[str, Any]:
        result = cells.run_cell(cell, self._settings, self._store, keep_model=self._keep_models)
        self._seconds.append(result["seconds"])
        self.trained += 1
        return result

    def _tell(self, cell: Cell, result: Mapping[str, Any]) -> None:
        pace = sum(self._seconds) / len(self._seconds)
        split = "dev" if cell.role == "grid" else "test"
        self._say(
            f"[{self._total - self._left}/{self._total}] {cell.title}: {_percent(result)} of the {split} split right, "
            f"{result['seconds']:.0f} s; about {_minutes(pace * self._left)} left"
        )


def chosen_rates(settings: StudySettings, grid: Mapping[Cell, Mapping[str, Any]]) -> dict[str, float]:
    """The learning rate of each objective: the best on the dev split, or the only one there is."""
    if not grid:
        return dict.fromkeys(settings.objectives, settings.grid[0])
    return best_rates({cell: result["exact"] for cell, result in grid.items()})


def figures(results: Mapping[Cell, Mapping[str, Any]], student: str) -> dict[str, Any]:
    """The summary of every arm, and the claims, as JSON values. Pure."""
    arms: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for cell, result in results.items():
        arms.setdefault((cell.dataset, cell.objective), []).append(result)
    answers: dict[tuple[str, str], Arm] = {name: [one["answers"] for one in runs] for name, runs in arms.items()}
    return {
        "summary": [_summary(name, runs, student) for name, runs in arms.items()],
        "claims": [{**it._asdict(), "difference": it.difference._asdict()} for it in claims(answers, student)],
    }


def _summary(name: tuple[str, str], runs: Sequence[Mapping[str, Any]], student: str) -> dict[str, Any]:
    found = score([one["answers"] for one in runs], student)
    moved = {side: sum(one["displacement"][side] for one in runs) / len(runs) for side in runs[0]["displacement"]}
    return {
        "dataset": name[0],
        "objective": name[1],
        "seeds": len(runs),
        "exact": found.exact,
        "std": found.std,
        "steps": sum(one["steps"] for one in runs) / len(runs),
        "gain": found.gain._asdict(),
        "displacement": moved,
    }


def _check_objectives(names: Sequence[str]) -> None:
    from clair.train.options import OBJECTIVES

    unknown = [name for name in names if name not in OBJECTIVES]
    if unknown:
        raise UsageError(f"unknown objective {unknown[0]!r}: expected some of {', '.join(OBJECTIVES)}")


def _student_digest() -> str:
    import hashlib

    from clair.sandbox.student import student_folder

    return hashlib.sha256((student_folder() / "model.safetensors").read_bytes()).hexdigest()[:16]


def _versions() -> dict[str, str]:
    from importlib import metadata
    from platform import python_version

    from clair import __version__

    names = ("torch", "transformers")
    return {"clair": __version__, "python": python_version(), **{name: metadata.version(name) for name in names}}


def _percent(result: Mapping[str, Any]) -> str:
    return f"{100 * result['exact']:.1f} %"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
