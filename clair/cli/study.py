"""`clair study`: options to settings, one call of `clair.study.run_study`, the result as tables."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from clair.errors import UsageError
from clair.study.plan import DATASETS, OBJECTIVES, QUICK, StudySettings

NEEDED = ("torch", "transformers", "accelerate", "peft", "safetensors")


@click.command()
@click.option("-o", "--out", default="clair-study", type=click.Path(path_type=Path), show_default=True,
              help="folder of the study; the same folder again resumes")  # fmt: skip
@click.option("--prompts", type=click.IntRange(1), help="prompts for every recipe  [default: 1300; --quick: 600]")
@click.option("--seeds", type=click.IntRange(1), help="trainings of each kind  [default: 3; --quick: 1]")
@click.option("--datasets", metavar="A,B", help=f"recipes to compare  [default: {','.join(DATASETS)}]")
@click.option(
    "--objectives", metavar="A,B", help=f"objectives; kto and ipo can be added  [default: {','.join(OBJECTIVES)}]"
)
@click.option("--quick", is_flag=True, help="fewer prompts and problems, one seed, one learning rate for all")
@click.option("--keep-models", is_flag=True, help="keep every trained model in the folder's models/")
@click.option("--json", "as_json", is_flag=True, help="print what study.json holds on stdout")
def command(
    out: Path,
    prompts: int | None,
    seeds: int | None,
    datasets: str | None,
    objectives: str | None,
    quick: bool,
    keep_models: bool,
    as_json: bool,
) -> None:
    """Compare datasets and objectives in the sandbox, as the paper does.

    Builds every dataset from the same prompts, keeps the prompts that became a pair in all of them, trains every
    objective from the same student on each, and scores the models on problems they have not seen. Half an hour on two
    cores, a few minutes with --quick. The same command again goes on where it was stopped.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"training needs {', '.join(missing)}: pip install 'clair[train]'")
    given: dict[str, Any] = {
        "prompts": prompts,
        "seeds": seeds,
        "datasets": None if datasets is None else _names(datasets),
        "objectives": None if objectives is None else _names(objectives),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = StudySettings(**{**(QUICK if quick else {}), **chosen})

    from transformers.utils.logging import disable_progress_bar

    from clair.study import run_study

    disable_progress_bar()
    study = run_study(settings, out, quick=quick, keep_models=keep_models, say=lambda line: click.echo(line, err=True))
    click.echo(json.dumps(study) if as_json else _closing(study, out))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _closing(study: dict[str, Any], out: Path) -> str:
    from clair.study.tables import about, claims_table, exact_note, exact_table

    return "\n\n".join(
        [
            about(study),
            exact_table(study).markdown(),
            exact_note(study),
            claims_table(study).markdown(),
            f"files: {out}/study.md, {out}/study.html, {out}/study.json",
        ]
    )
