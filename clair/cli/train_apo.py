"""`clair train-apo`: options to `TrainOptions`, one call of `clair.train.train`, a closing table."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clair.errors import UsageError
from clair.train.options import CONFIGS, OBJECTIVES, SANDBOX_DEFAULTS, TrainOptions
from clair.train.sharding import config_text

if TYPE_CHECKING:
    from clair.train import TrainResult

NEEDED = ("torch", "transformers", "accelerate", "peft", "safetensors")


def _print_config(context: click.Context, parameter: click.Parameter, name: str | None) -> None:
    """The file as it comes with clair; then the command is done."""
    del parameter
    if name is None or context.resilient_parsing:
        return
    click.echo(config_text(f"{name}.yaml"), nl=False)
    context.exit()


@click.command()
@click.argument("data")
@click.option("--model", required=True, help="model folder, hub id, or sandbox (its student and its settings)")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="new folder for the model")
@click.option("--eval-data", help="pairs to measure on, in the same forms as DATA")
@click.option("--objective", type=click.Choice(OBJECTIVES), help="loss  [default: apo_zero]")
@click.option("--beta", type=float, help="reward per nat of log-ratio  [default: 0.1]")
@click.option("--learning-rate", type=float, help="[default: 1e-6, with --lora-rank 1e-5]")
@click.option("--epochs", type=float, help="passes over the pairs  [default: 3; the paper: 18 at 2e-7]")
@click.option("--pairs-per-step", type=int, help="pairs in one update, over all devices  [default: 64]")
@click.option("--warmup", type=float, help="share of the steps in which the rate rises  [default: 0.1]")
@click.option("--max-grad-norm", type=float, help="gradient clipping  [default: 1.0]")
@click.option("--weight-decay", type=float, help="[default: 0]")
@click.option("--sft-weight", type=float, help="weight of an added likelihood loss on chosen  [default: 0]")
@click.option("--shared-weight", type=float, help="weight of tokens that both answers share  [default: 1]")
@click.option("--max-length", type=int, help="longest pair side in tokens; longer ones are dropped  [default: 2048]")
@click.option("--date", help="YYYY-MM-DD that a chat template prints, if it does  [default: of the run's start]")
@click.option("--tokens-per-row", type=int, help="tokens through the model at once  [default: CPU 1024, GPU 16384]")
@click.option("--dtype", type=click.Choice(["auto", "float32", "bfloat16"]), help="[default: auto]")
@click.option("--gradient-checkpointing/--no-gradient-checkpointing", default=None,
              help="recompute activations: less memory, more computing  [default: on]")  # fmt: skip
@click.option("--lora-rank", type=int, help="train an adapter of this rank in place of all weights")
@click.option("--load-in-4bit", is_flag=True, default=None, help="QLoRA: frozen weights in 4 bits (CUDA)")
@click.option("--sharding", help=f"share one model over GPUs: {', '.join(CONFIGS)}, or a JSON file")
@click.option("--print-config", type=click.Choice(CONFIGS), is_eager=True, expose_value=False, callback=_print_config,
              help="print a configuration for accelerate launch, and end")  # fmt: skip
@click.option("--seed", type=int, help="[default: 0]")
@click.option("--eval-every", type=int, help="steps between evaluations  [default: each epoch]")
@click.option("--save-every", type=int, help="steps between checkpoints  [default: each epoch]")
@click.option("--keep-checkpoints", type=int, help="[default: 1]")
@click.option("--log-every", type=int, help="steps between log lines  [default: 1]")
@click.option("--resume", is_flag=True, default=None, help="go on from the newest checkpoint in the output folder")
@click.option("--report-to", multiple=True, help="tracker that transformers knows, such as wandb (repeatable)")
@click.option("--reference-cache", type=click.Path(path_type=Path), help="folder for reference log-probs")
@click.option("--json", "as_json", is_flag=True, help="print one JSON summary on stdout")
def command(data: str, model: str, output: Path, as_json: bool, **options: Any) -> None:
    """Align a model on preference pairs with Anchored Preference Optimization.

    DATA is a run folder of clair generate, a Parquet or JSONL file, or a Hugging Face dataset id.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f"training needs {', '.join(missing)}: pip install 'clair[train]'")
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if model == "sandbox":
        from clair.sandbox.student import student_folder

        model = str(student_folder())
        given = {**SANDBOX_DEFAULTS, **given}
    is_first = os.environ.get("RANK", "0") == "0"
    logging.basicConfig(level=logging.INFO if is_first else logging.ERROR, format="%(message)s", stream=sys.stderr)
    from transformers.utils.logging import disable_progress_bar

    from clair.train import train

    disable_progress_bar()
    with _own_group():
        result = train(TrainOptions(data=data, model=model, output=output, **given))
    if is_first:
        click.echo(json.dumps(asdict(result), default=str) if as_json else _closing(result))


@contextmanager
def _own_group() -> Iterator[None]:
    """A process group that the training opened is left by it: gloo's threads may abort a process that ends inside."""
    from torch import distributed

    found = distributed.is_available() and distributed.is_initialized()
    yield
    if not found and distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _closing(result: TrainResult) -> str:
    first, last = result.first, result.last
    lines = [
        "",
        f"pairs     {result.pairs:,}" + (f" ({result.dropped:,} dropped)" if result.dropped else ""),
        f"steps     {result.steps:,} in {result.seconds:.0f} s, peak memory {result.peak_memory_mb:,.0f} MB",
    ]
    for name in ("loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "logps/chosen", "logps/rejected"):
        if name in first and name in last:
            lines.append(f"{name:<20}{first[name]:>10.3f} -> {last[name]:.3f}")
    lines.append(f"files     {result.output} (model, README.md, curves.html, metrics.jsonl)")
    return "\n".join(lines)
