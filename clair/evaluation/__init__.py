"""`clair eval`: how good a model is, by exact scores in the sandbox or by a judge elsewhere.

    from clair.evaluation import evaluate, evaluate_judged
    scores = evaluate("aligned", baseline="sandbox", split="test", n=400)
    figures = evaluate_judged(model="m@http://localhost:8000/v1", baseline_column="b", judge="gpt-5", prompts="p.jsonl")

`exact.py` scores answers to the sandbox's problems. A judged evaluation is `judged.py` (one invocation), `settings.py`,
`models.py` (who is asked), `judgments.py` and `folder.py` (what comes out), `winrate.py` (the statistics).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clair.evaluation.exact import evaluate

if TYPE_CHECKING:
    from clair.pipeline.progress import Progress

__all__ = ["evaluate", "evaluate_judged"]


def evaluate_judged(
    *, config: str | Path | None = None, progress: Progress | None = None, **options: Any
) -> dict[str, Any]:
    """Win rate of a model over a baseline, by a judge; every setting of `EvalSettings` is a keyword.

    Returns what eval.json holds. Ctrl-C drains, commits and raises KeyboardInterrupt. Raises UsageError before
    anything is bought, RunStopped or LedgerError when it had to stop (the same call resumes).
    """
    from clair.api import Interrupts, run_async
    from clair.evaluation.judged import aevaluate
    from clair.evaluation.settings import resolve

    settings = resolve(options, Path(config) if config else None)
    interrupts = Interrupts()

    async def main() -> dict[str, Any]:
        with interrupts.caught():
            return await aevaluate(settings, progress=progress, on_stop=interrupts.on_stop)

    figures = run_async(main())
    if interrupts.count:
        raise KeyboardInterrupt
    return figures
