"""Train one epoch over the pairs of `trl_inputs` in one way; print CPU seconds by phase as JSON.

python -m tests.benchmarks.trl_variant NAME MODEL PAIRS       (in the environment of trl_environment.py)

Every way makes steps of 8 pairs in float32 with AdamW and reads the pairs in the order of the file (sorted by
length where its name says so). The first step warms up and is not counted. CPU seconds are those of the whole
process: `start_up` (imports, model, tokenizing, the first step), `reference` (for all pairs, the few short ones of
the first step too), `training`; `system` is the part of all of it that the kernel used, mostly for fresh memory.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, TrainerCallback
from transformers.utils.logging import disable_progress_bar

from tests.benchmarks.trl_inputs import STEP

MAX_LENGTH = 1024
"""TRL's default: longer texts are cut there and dropped by clair, so neither gets any."""
COMMON: dict[str, Any] = {
    "num_train_epochs": 1, "max_length": MAX_LENGTH, "beta": 0.1, "use_cpu": True, "bf16": False, "report_to": "none",
    "save_strategy": "no", "logging_steps": 10, "disable_tqdm": True, "learning_rate": 1e-6, "max_grad_norm": 1.0,
}  # fmt: skip
TRL: dict[str, dict[str, Any]] = {
    "trl": {},
    "trl-precomputed": {"precompute_ref_log_probs": True},
    "trl-lean": {"precompute_ref_log_probs": True, "gradient_checkpointing": False, "per_device_train_batch_size": 2},
}
SORTED = {"trl-lean"}


class Clock(TrainerCallback):
    """Process time after the first step, at the last, and around the reference pass."""

    def __init__(self) -> None:
        self.reference = 0.0
        self.warm = self.last = 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.last = time.process_time()
        if state.global_step == 1:
            self.warm = self.last


def main(name: str, model: str, pairs: Path) -> None:
    disable_progress_bar()
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    if name in SORTED:
        rows = rows[:STEP] + sorted(rows[STEP:], key=lambda row: -len(row["chosen"][0]["content"]))
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = (
            clair_trainer(model, rows, folder, clock, checkpointing=name != "clair-activations")
            if name.startswith("clair")
            else trl_trainer(name, model, rows, folder, clock)
        )
        trainer.add_callback(clock)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    print(json.dumps({
        "start_up": clock.warm - clock.reference,
        "reference": clock.reference,
        "training": clock.last - clock.warm,
        "system": os.times().system,
        "pairs": len(rows) - STEP,
        "steps": trainer.state.global_step,
        "loss": trainer.state.log_history[-1]["train_loss"],
    }))  # fmt: skip


def trl_trainer(name: str, model: str, rows: list[dict[str, Any]], folder: str, clock: Clock) -> Any:
    """A DPOTrainer with the settings of this variant, which times its reference pass."""
    from trl import DPOConfig, DPOTrainer

    class Timed(DPOTrainer):
        def _precompute_ref_logps(self, *args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            data = super()._precompute_ref_logps(*args, **kwargs)
            clock.reference += time.process_time() - start
            return data

    changes = TRL[name]
    at_once = changes.get("per_device_train_batch_size", STEP)
    settings = {"per_device_train_batch_size": STEP, "gradient_accumulation_steps": STEP // at_once, **changes}
    args = DPOConfig(
        output_dir=folder, loss_type="apo_zero", train_sampling_strategy="sequential", **COMMON, **settings
    )
    return Timed(model, args=args, train_dataset=Dataset.from_list(rows))


def clair_trainer(model: str, rows: list[dict[str, Any]], folder: str, clock: Clock, *, checkpointing: bool) -> Any:
    """An APOTrainer with its own defaults, reading in order, after its timed start."""
    from clair.train import APOConfig, APOTrainer
    from clair.train.batching import StepSampler
    from clair.train.config import CHECKPOINTING

    class InOrder(APOTrainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> StepSampler:
            return StepSampler(len(rows), block=STEP, seed=None)

    args = APOConfig(
        output_dir=folder,
        per_device_train_batch_size=STEP,
        reference_cache=f"{folder}/reference",
        **{CHECKPOINTING: checkpointing},
        **COMMON,
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    trainer = InOrder(AutoModelForCausalLM.from_pretrained(model), args, train_dataset=rows, processing_class=tokenizer)
    start = time.process_time()
    trainer.get_ready()
    clock.reference = time.process_time() - start
    return trainer


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
