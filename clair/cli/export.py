"""`clair export`: one call of the library of the same name, a short table."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clair.cli.terminal import printable
from clair.exports.formats import ALIASES, FORMATS

if TYPE_CHECKING:
    from clair.exports import Exported


def _table() -> str:
    lines = [f"{name:<15} {known.about}" for name, known in FORMATS.items()]
    lines.append("also: " + ", ".join(f"{alias} = {name}" for alias, name in ALIASES.items()))
    return "\b\n" + "\n".join(lines)


@click.command(epilog=_table())
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", required=True, metavar="FORMAT", help="one of the formats below")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="folder; an earlier export is replaced"
)
@click.option("--test-share", type=float, default=0.0, show_default=True, help="share of prompts for a test file")
@click.option("--seed", type=int, default=0, show_default=True, help="other prompts in the test file")
@click.option(
    "--pairs",
    type=click.Choice(["whole", "steps", "all"]),
    default="whole",
    show_default=True,
    help="of revision chains: whole pairs, single steps, or both",
)
@click.option("--json", "as_json", is_flag=True, help="print one JSON summary on stdout")
def command(run: Path, format: str, out: Path, as_json: bool, **options: Any) -> None:
    """Write the pairs of RUN for another trainer.

    The same prompt is always on the same side of the train/test split, whatever the format. The folder gets a
    README.md that says how the trainer loads it.
    """
    from clair.exports import export

    done = export(run, format, out, **options)
    click.echo(json.dumps(asdict(done)) if as_json else printable(_closing(done)))


def _closing(done: Exported) -> str:
    records = ", ".join(f"{number:,} {split}" for split, number in done.records.items())
    lines = [
        f"{'format':<10}{done.format}: {FORMATS[done.format].about}",
        f"{'pairs':<10}{done.pairs:,}",
        f"{'records':<10}{records}",
        *(f"{'note':<10}{note}" for note in done.notes),
        f"{'files':<10}" + ", ".join(f"{done.out}/{name}" for name in done.files),
    ]
    return "\n".join(lines)
