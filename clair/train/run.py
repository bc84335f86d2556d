"""`train`: what `clair train-apo` does. Pairs and a model in, a folder with the aligned model out.

OUTPUT/
  config.json model.safetensors tokenizer.json ...   the model, loads like any other (LoRA: already merged)
  adapter/                 only with LoRA
  README.md                model card
  metrics.jsonl            every log entry
  curves.html              the same as curves
  train.json               settings and counts
  checkpoints/             for --resume
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from transformers.integrations import get_reporting_integration_callbacks

from clair.errors import ClairError, UsageError
from clair.train import sharding
from clair.train.batching import PairDataset
from clair.train.card import model_card
from clair.train.config import CHECKPOINTING, APOConfig
from clair.train.curves import curves_page
from clair.train.data import read_pairs
from clair.train.load import computes_in_bfloat16, load_model, load_tokenizer, lora_config, safe_model
from clair.train.meters import MetricsFile, peak_memory_mb
from clair.train.options import TrainOptions
from clair.train.readiness import from_first
from clair.train.reference import pair_key
from clair.train.tokenize import TokenReport, tokenize_pairs
from clair.train.trainer import APOTrainer

logger = logging.getLogger(__name__)

_FREE_TO_CHANGE = frozenset(
    {"resume", "output", "report_to", "reference_cache", "log_every", "save_every", "keep_checkpoints", "eval_every"}
)
"""Options that do not change what is learned, so that a resumed run may have others."""


@dataclass(frozen=True)
class TrainResult:
    """What a run did. `first` and `last` are the metrics of the first and the last logged step, `evaluation` of the
    last evaluation. `reference_rows` counts forward passes of the reference model: 0 if all was cached.
    """

    output: Path
    steps: int
    pairs: int
    dropped: int
    reference_rows: int
    seconds: float
    peak_memory_mb: float
    first: dict[str, float]
    last: dict[str, float]
    evaluation: dict[str, float]


def train(options: TrainOptions) -> TrainResult:
    """Train and write the model folder. Raises UsageError (settings, data) or ClairError (the run)."""
    output = options.output
    on_gpu = torch.cuda.is_available()
    is_first = os.environ.get("RANK", "0") == "0"
    if is_first:
        _check_output(options)
        _check_trackers(options)
    tokenizer = load_tokenizer(options.model)
    with _refusals():
        args = arguments(options, on_gpu=on_gpu)
    args.date = args.date or from_first(args, lambda: _date(options))
    data = _dataset(options.data, tokenizer, args)
    eval_data = None if options.eval_data is None else _dataset(options.eval_data, tokenizer, args)
    args.warmup_steps = _warmup_steps(options, len(data))
    settings = _settings(options, args, data)
    if is_first and options.resume:
        _check_same(output, settings)
    sharding.announce(args)
    model = load_model(options, on_gpu=on_gpu)
    if is_first:
        _check_disk(model, options)
        output.mkdir(parents=True, exist_ok=True)
        _write(output / "train.json", json.dumps(settings, indent=2))
    with _clear_errors(output):
        with _refusals():
            trainer = APOTrainer(
                model,
                args,
                train_dataset=data,
                eval_dataset=eval_data,
                processing_class=tokenizer,
                peft_config=lora_config(options),
                callbacks=[MetricsFile(output / "metrics.jsonl"), Narrator()],
            )
        trainer.remove_callback(PrinterCallback)
        trainer.remove_callback(ProgressCallback)
        trainer.train(resume_from_checkpoint=newest_checkpoint(output / "checkpoints") if options.resume else None)
        result = _result(trainer, options, data)
        _save(trainer, options, settings, result, data.report)
    return result


def arguments(options: TrainOptions, *, on_gpu: bool) -> APOConfig:
    """The Trainer's settings for these options, except the warm-up, which takes the data. Raises UsageError."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if options.pairs_per_step < 1 or options.pairs_per_step % world:
        raise UsageError(f"--pairs-per-step {options.pairs_per_step} does not divide evenly over {world} processes")
    if options.epochs <= 0:
        raise UsageError(f"--epochs must be positive, got {options.epochs}")
    per_device = options.pairs_per_step // world
    checkpointing: dict[str, Any] = {CHECKPOINTING: options.gradient_checkpointing}
    default_rate = 1e-5 if options.lora_rank else 1e-6
    return APOConfig(
        output_dir=str(options.output / "checkpoints"),
        objective=options.objective,
        beta=options.beta,
        sft_weight=options.sft_weight,
        shared_weight=options.shared_weight,
        max_length=options.max_length,
        date=options.date,
        tokens_per_row=options.tokens_per_row,
        reference_cache=None if options.reference_cache is None else str(options.reference_cache),
        learning_rate=default_rate if options.learning_rate is None else options.learning_rate,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=per_device,
        per_device_eval_batch_size=per_device,
        lr_scheduler_type="linear",
        max_grad_norm=options.max_grad_norm,
        weight_decay=options.weight_decay,
        bf16=computes_in_bfloat16(options, on_gpu=on_gpu),
        **checkpointing,
        use_cpu=not on_gpu,
        seed=options.seed,
        logging_steps=options.log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        eval_strategy="no" if options.eval_data is None else "steps" if options.eval_every else "epoch",
        eval_steps=options.eval_every,
        eval_on_start=options.eval_data is not None and not options.resume,
        save_strategy="steps" if options.save_every else "epoch",
        save_steps=options.save_every or 500,
        save_total_limit=options.keep_checkpoints,
        report_to=list(options.report_to) or "none",
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        **sharding.settings(options.sharding),
    )


def _warmup_steps(options: TrainOptions, n_pairs: int) -> int:
    return round(options.warmup * math.ceil(math.ceil(n_pairs / options.pairs_per_step) * options.epochs))


def newest_checkpoint(folder: Path) -> str | None:
    """The last complete checkpoint. One without a readable state was cut off while it was written: it is removed."""
    numbered = [(int(p.name.rpartition("-")[2]), p) for p in folder.glob("checkpoint-*") if p.name[11:].isdigit()]
    for _, path in sorted(numbered, reverse=True):
        try:
            json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            logger.warning("the checkpoint %s is incomplete and is removed", path)
            shutil.rmtree(path, ignore_errors=True)
        else:
            return str(path)
    return None


class Narrator(TrainerCallback):  # type: ignore[misc]
    """About twenty log lines over a run."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        del args, control, kwargs
        logs = logs or {}
        if not state.is_world_process_zero:
            return
        if "eval_loss" in logs:
            logger.info("evaluation: loss %.4f, accuracy %.3f", logs["eval_loss"], logs["eval_rewards/accuracies"])
        elif "learning_rate" in logs and state.global_step % max(1, state.max_steps // 20) == 0:
            logger.info(
                "step %d of %d: loss %.4f, reward of chosen %+.3f, of rejected %+.3f, %.0f tokens/s",
                state.global_step, state.max_steps, logs["loss"], logs["rewards/chosen"],
                logs["rewards/rejected"], logs["tokens_per_second/logical"],
            )  # fmt: skip


def _date(options: TrainOptions) -> str:
    """That of the run to resume, else today."""
    path = options.output / "train.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if options.resume and path.exists() else {}
    return str(stored.get("date") or date.today().isoformat())


def _dataset(source: str, tokenizer: Any, args: APOConfig) -> PairDataset:
    pairs, report = tokenize_pairs(read_pairs(source), tokenizer, max_length=args.max_length, date=args.date)
    data = PairDataset(pairs, report, with_baseline=args.objective == "kto")
    apart, shared = data.tokens()
    logger.info("%s: %d pairs, %d tokens, %.2f times fewer when shared", source, len(data), apart, apart / shared)
    return data


def _check_output(options: TrainOptions) -> None:
    output = options.output
    if output.is_file():
        raise UsageError(f"{str(output)!r} is a file; give a folder that does not exist yet")
    if output.is_dir() and any(output.iterdir()) and not options.resume:
        raise UsageError(f"{str(output)!r} is not empty; give a new folder, or --resume to go on with the run in it")


def _check_trackers(options: TrainOptions) -> None:
    """Make them once, before anything is written: one that is not installed says so when it is made."""
    if options.report_to in (("all",), ("none",)):
        return
    try:
        for tracker in get_reporting_integration_callbacks(list(options.report_to)):
            tracker()
    except (ValueError, RuntimeError, ImportError) as error:
        raise UsageError(f"--report-to {' '.join(options.report_to)}: {error}") from error


def _settings(options: TrainOptions, args: APOConfig, data: PairDataset) -> dict[str, Any]:
    """Everything that decides what is learned, as JSON values."""
    digest = hashlib.sha256(b"".join(pair_key(pair) for pair in data.pairs)).hexdigest()
    chosen = {k: v for k, v in asdict(options).items() if k not in _FREE_TO_CHANGE}
    return {**chosen, "date": args.date, "sharding": sharding.kind(options.sharding), "data_sha256": digest}


def _check_same(output: Path, settings: dict[str, Any]) -> None:
    path = output / "train.json"
    if not path.exists():
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    changed = [f"{k}: {stored.get(k)!r} -> {v!r}" for k, v in settings.items() if k in stored and stored[k] != v]
    if changed:
        raise UsageError(f"the run in {str(output)!r} has other settings ({'; '.join(changed)}); give a new folder")


def _check_disk(model: Any, options: TrainOptions) -> None:
    """A checkpoint holds trained weights and Adam's two moments; the new one is written before the old one goes."""
    total = 4 * sum(p.numel() for p in model.parameters())
    trained = total // 50 if options.lora_rank else total
    needed = total + 3 * trained * (options.keep_checkpoints + 1)
    parent = next(p for p in [options.output, *options.output.resolve().parents] if p.exists())
    free = shutil.disk_usage(parent).free
    if free < needed:
        raise ClairError(
            f"{str(options.output)!r} needs about {needed / 1e9:.1f} GB for model and checkpoints, and "
            f"{free / 1e9:.1f} GB are free; choose another disk, or --lora-rank"
        )


@contextlib.contextmanager
def _clear_errors(output: Path) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ClairError(
            "out of GPU memory; lower --tokens-per-row, or train an adapter with --lora-rank 16"
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        if shutil.disk_usage(output).free < 1 << 20:
            raise ClairError(
                f"the disk of {str(output)!r} is full; free some space and run again with --resume"
            ) from error
        raise


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """A setting that transformers or peft does not take is the user's to mend."""
    try:
        yield
    except (ValueError, ImportError) as error:
        raise UsageError(f"the settings are not accepted: {error}") from error


def _result(trainer: APOTrainer, options: TrainOptions, data: PairDataset) -> TrainResult:
    history: list[dict[str, float]] = trainer.state.log_history
    steps = [entry for entry in history if "rewards/chosen" in entry]
    evaluations = [entry for entry in history if "eval_loss" in entry]
    return TrainResult(
        output=options.output,
        steps=trainer.state.global_step,
        pairs=len(data),
        dropped=data.report.given - data.report.kept,
        reference_rows=trainer.reference_rows,
        seconds=sum(entry.get("train_runtime", 0.0) for entry in history),
        peak_memory_mb=peak_memory_mb(trainer.args.device),
        first=steps[0] if steps else {},
        last=steps[-1] if steps else {},
        evaluation=evaluations[-1] if evaluations else {},
    )


def _save(
    trainer: APOTrainer, options: TrainOptions, settings: dict[str, Any], result: TrainResult, report: TokenReport
) -> None:
    """The model folder: into a folder beside it first, then file by file, `config.json` last."""
    partial = options.output / ".saving"
    if trainer.args.should_save:
        shutil.rmtree(partial, ignore_errors=True)
    trainer.save_model(str(partial / "adapter" if options.lora_rank else partial))
    if not trainer.args.should_save:
        return
    if options.lora_rank:
        _merge(trainer, options, partial)
    for name in ("training_args.bin", "adapter/training_args.bin"):
        (partial / name).unlink(missing_ok=True)
    history = trainer.state.log_history
    card = model_card(options, settings, asdict(result), report, history)
    _write(partial / "README.md", card)
    _write(partial / "curves.html", curves_page(history, title=f"{options.objective} on {options.data}"))
    _write(partial / "train.json", json.dumps({**settings, "result": {**asdict(result), "output": None}}, indent=2))
    shutil.rmtree(options.output / "adapter", ignore_errors=True)
    for path in sorted(partial.iterdir(), key=lambda p: p.name == "config.json"):
        os.replace(path, options.output / path.name)
    partial.rmdir()


def _merge(trainer: APOTrainer, options: TrainOptions, partial: Path) -> None:
    """Adapter and base as one model, from a fresh copy of the base, which under QLoRA was held in 4 bits."""
    from peft import PeftModel

    merged = PeftModel.from_pretrained(safe_model(options.model), str(partial / "adapter")).merge_and_unload()
    merged.save_pretrained(partial)
    trainer.processing_class.save_pretrained(partial)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)
