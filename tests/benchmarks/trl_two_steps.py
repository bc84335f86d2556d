"""Two steps of one of TRL's trainers on a folder as it stands; prints what it loaded and learned as JSON.

python -m tests.benchmarks.trl_two_steps DPOTrainer FOLDER        (in the environment of trl_environment.py)

FOLDER is a run folder or an export; the trainer is DPOTrainer, KTOTrainer or SFTTrainer.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import trl
from datasets import load_dataset
from transformers.utils.logging import disable_progress_bar

from tests.benchmarks.trl_models import byte_pairs, save, small_llama

FIGURES = {
    "DPOTrainer": ("logps/chosen", "logps/rejected", "rewards/margins", "rewards/accuracies"),
    "KTOTrainer": ("kl", "logps/chosen", "logps/rejected", "rewards/margins"),
    "SFTTrainer": ("mean_token_accuracy", "num_tokens"),
}
LOSSES = {"DPOTrainer": {"loss_type": "apo_zero"}}


def main(trainer_name: str, folder: str) -> None:
    disable_progress_bar()
    rows = load_dataset(folder, split="train")
    tokenizer = byte_pairs((text for row in rows for text in _texts(row)), vocabulary=4096)
    model = small_llama(tokenizer)
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        name = str(save(Path(scratch, "model"), tokenizer, model))
        trainer = getattr(trl, trainer_name)(name, args=_settings(trainer_name, scratch), train_dataset=rows)
        trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    wanted = ("loss", "grad_norm", *FIGURES[trainer_name])
    report = {
        "trl": trl.__version__,
        "rows": len(rows),
        "columns": rows.column_names,
        "steps": trainer.state.global_step,
        "history": [{name: entry[name] for name in wanted} for entry in history],
        "head_moved": (trainer.model.lm_head.weight - model.lm_head.weight).detach().abs().max().item(),
        "warnings": sorted({str(w.message).splitlines()[0] for w in caught if issubclass(w.category, UserWarning)}),
    }
    print(json.dumps(report))


def _texts(row: Mapping[str, Any]) -> Iterator[str]:
    for name in ("prompt", "chosen", "rejected", "completion"):
        yield from (turn["content"] for turn in row.get(name, ()))


def _settings(trainer_name: str, scratch: str) -> Any:
    config = getattr(trl, trainer_name.replace("Trainer", "Config"))
    return config(
        output_dir=scratch,
        **LOSSES.get(trainer_name, {}),
        max_steps=2,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        disable_tqdm=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
