"""One cell of a study: a model trained on a dataset with an objective, and its greedy answers scored."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clair.study.plan import Cell, StudySettings
from clair.study.store import Store

if TYPE_CHECKING:
    from clair.sandbox.problems import Split
    from clair.train.options import Objective

NEVER = 10**9  # steps between checkpoints: a cell lasts seconds and is the unit of resuming
PROBLEM_SEED = 0


def run_cell(cell: Cell, settings: StudySettings, store: Store, *, keep_model: bool = False) -> dict[str, Any]:
    """Train and score; stores and returns the result.

    `answers` are right (1) and wrong (0) problem by problem, `exact` and `steps` their shares. `displacement` is what
    training did to held-out pairs: mean change of an answer's log-prob, in nats, and `accuracy`, how many of them it
    ranks right. Raises ClairError as `train` does.
    """
    started = time.perf_counter()
    folder = store.model_folder(cell.key)
    trained = _train(cell, settings, store, folder)
    seconds_train = time.perf_counter() - started
    split: Split = "dev" if cell.role == "grid" else "test"
    scores = greedy_scores(str(folder), split, settings.dev_problems if cell.role == "grid" else settings.test_problems)
    result = {
        **cell._asdict(),
        **scores,
        **trained,
        "seconds": round(time.perf_counter() - started, 2),
        "seconds_train": round(seconds_train, 2),
    }
    if not keep_model:
        store.forget_model(cell.key)
    store.keep(cell.key, result)
    return result


def student_result(role: str, settings: StudySettings, store: Store) -> dict[str, Any]:
    """The untrained student's scores on the dev (`grid`) or test split; computed once."""
    key = f"student-{role}"
    found = store.result(key)
    if found is None:
        split: Split = "dev" if role == "grid" else "test"
        found = greedy_scores(None, split, settings.dev_problems if role == "grid" else settings.test_problems)
        store.keep(key, found)
    return found


def greedy_scores(model: str | None, split: Split, n: int) -> dict[str, Any]:
    """`answers`, `exact` and `steps` of a model folder (None: the bundled student) on `n` problems of a split."""
    from clair.records import Message
    from clair.sandbox.problems import problems
    from clair.sandbox.scoring import local_model, score_answers

    asked = list(problems(split, n, seed=PROBLEM_SEED))
    conversations = [[Message(role="user", content=problem.question)] for problem in asked]
    scores = score_answers(asked, local_model(model)(conversations, 0.0, PROBLEM_SEED))
    return {
        "answers": "".join("1" if it.exact else "0" for it in scores),
        "exact": sum(it.exact for it in scores) / n,
        "steps": sum(it.steps for it in scores) / n,
    }


def _train(cell: Cell, settings: StudySettings, store: Store, folder: Path) -> dict[str, Any]:
    from clair.sandbox.student import student_folder
    from clair.train import SANDBOX_DEFAULTS, TrainOptions, train

    result = train(
        TrainOptions(
            data=str(store.folder / "pairs" / f"{cell.dataset}.jsonl"),
            eval_data=str(store.folder / "pairs" / f"{cell.dataset}-held-out.jsonl"),
            model=str(student_folder()),
            output=folder,
            objective=cast("Objective", cell.objective),
            beta=settings.beta,
            learning_rate=cell.learning_rate,
            epochs=settings.epochs,
            pairs_per_step=settings.pairs_per_step,
            max_length=SANDBOX_DEFAULTS["max_length"],
            seed=cell.seed,
            save_every=NEVER,
            reference_cache=store.folder / "reference",
        )
    )
    found = result.evaluation
    return {
        "training_steps": result.steps,
        "reference_rows": result.reference_rows,
        "displacement": {
            # A reward is beta times the change of the log-prob since the reference, whatever the objective.
            "chosen": found["eval_rewards/chosen"] / settings.beta,
            "rejected": found["eval_rewards/rejected"] / settings.beta,
            "accuracy": found["eval_rewards/accuracies"],
        },
    }
