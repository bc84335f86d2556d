"""`clair eval`: how good a model is, by exact scores in the sandbox or by a judge elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from clair.cli.options import given, options_of
from clair.errors import UsageError
from clair.evaluation.settings import EvalSettings, resolve

PROBLEMS = 400
EXACT = {"model", "baseline", "limit", "seed"}


@click.command()
@options_of(EvalSettings, without={"prices"})
@click.option("--split", type=click.Choice(["dev", "test", "align", "pretrain"]), help="exact scores: problems (test)")
@click.option("--fork", type=click.Path(path_type=Path), metavar="NEW", help="go on in NEW with the answers of --out")
@click.option("--json", "as_json", is_flag=True, help="print one JSON object on stdout")
def command(
    config: Path | None, split: Any, fork: Path | None, as_json: bool, judge: str | None, **options: Any
) -> None:
    """Score a model.

    Without --judge: exact answers and single steps on the sandbox's problems, greedy and sampled.

    With --judge: the judge compares the answers of --model and --baseline to --prompts, in both orders. Prints the win
    rate of the model over the baseline, raw and length-controlled, with 95 % bootstrap intervals over the prompts, and
    the judge's position bias. Prompts and answers are in the folder -o; the same command again resumes.
    """
    options = given(options)
    if judge is None and config is None:
        _exact(options, split, fork, as_json=as_json)
        return
    if split is not None:
        raise UsageError(f"--split {split} is for exact scores; the prompts that a judge sees are --prompts")
    settings = resolve(options | given({"judge": judge}), config)
    if fork is not None:
        from clair.ledger.forking import fork as fork_ledger

        fork_ledger(settings.folder, fork)
        settings = settings.model_copy(update={"out": str(fork)})
    _judged(settings, as_json=as_json)


def _exact(options: dict[str, Any], split: Any, fork: Path | None, *, as_json: bool) -> None:
    from clair.cli.scores import exact_table
    from clair.evaluation import evaluate

    for name in (options | given({"fork": fork})).keys() - EXACT:
        raise UsageError(f"--{name.replace('_', '-')} is for judged evaluation: add --judge SPEC")
    if "model" not in options:
        raise UsageError("--model is missing: a folder, a hub id, MODEL@URL or sandbox")
    model, baseline = options["model"], options.get("baseline")
    scores = evaluate(
        model, baseline, split=split or "test", n=options.get("limit", PROBLEMS), seed=options.get("seed", 0)
    )
    click.echo(json.dumps(scores) if as_json else exact_table(scores, model, baseline))


def _judged(settings: EvalSettings, *, as_json: bool) -> None:
    from clair.api import Interrupts, run_async
    from clair.cli.display import shown
    from clair.cli.scores import judged_table
    from clair.evaluation.judged import aevaluate
    from clair.pipeline.progress import Progress

    progress = Progress()
    interrupts = Interrupts()

    async def main() -> Any:
        with interrupts.caught():
            async with shown(progress):
                return await aevaluate(settings, progress=progress, on_stop=interrupts.on_stop)

    figures = run_async(main())
    click.echo(json.dumps(figures | {"bought": progress.bought}) if as_json else judged_table(figures, settings.out))
    if interrupts.count:
        click.echo(f"clair: interrupted. What was bought is in {settings.out}; the same command resumes", err=True)
        raise SystemExit(130)
