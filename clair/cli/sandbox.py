"""`clair sandbox`: the built-in world as a server and as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.group()
def command() -> None:
    """The built-in world: word problems, a small student, an exact teacher."""


@command.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8399, show_default=True, help="0 is any free port")
@click.option("--student", type=click.Path(path_type=Path), help="model folder to serve as sandbox-student")
@click.option("--faults", type=click.FloatRange(0, 1), default=0.04, show_default=True, help="flawed teacher replies")
@click.option("--seed", type=int, default=0, show_default=True)
def serve(port: int, student: Path | None, faults: float, seed: int) -> None:
    """Serve sandbox-student and sandbox-teacher as an OpenAI-compatible server on the loopback address."""
    from clair.sandbox.server import serve as serve_forever

    def ready(base_url: str) -> None:
        click.echo(f"serving sandbox-student and sandbox-teacher at {base_url} (Ctrl-C ends)")

    serve_forever(port, student=student, faults=faults, seed=seed, on_ready=ready)


@command.command()
@click.option("--split", type=click.Choice(["pretrain", "align", "dev", "test"]), default="align", show_default=True)
@click.option("-n", "count", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
def problems(split: Any, count: int, seed: int) -> None:
    """Print problems as JSONL: prompt, family and solution."""
    from clair.sandbox.problems import problems as drawn

    for problem in drawn(split, count, seed=seed):
        record = {"prompt": problem.question, "family": problem.family.name, "solution": problem.solution}
        click.echo(json.dumps(record, ensure_ascii=False))
