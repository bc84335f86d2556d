"""Two steps of TRL's DPOTrainer on a run folder as it stands; prints what it loaded and learned as JSON.

python -m tests.benchmarks.trl_two_steps RUN        (in the environment of trl_environment.py)
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import trl
from datasets import load_dataset
from transformers.utils.logging import disable_progress_bar
from trl import DPOConfig, DPOTrainer

from tests.benchmarks.trl_models import byte_pairs, save, small_llama


def main(run: str) -> None:
    disable_progress_bar()
    pairs = load_dataset(run, split="train")
    texts = (turn["content"] for row in pairs for name in ("prompt", "chosen", "rejected") for turn in row[name])
    tokenizer = byte_pairs(texts, vocabulary=4096)
    model = small_llama(tokenizer)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        name = str(save(Path(folder, "model"), tokenizer, model))
        trainer = DPOTrainer(name, args=_settings(folder), train_dataset=pairs)
        trainer.train()
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    wanted = ("loss", "grad_norm", "logps/chosen", "logps/rejected", "rewards/margins", "rewards/accuracies")
    report = {
        "trl": trl.__version__,
        "pairs": len(pairs),
        "columns": pairs.column_names,
        "steps": trainer.state.global_step,
        "history": [{name: entry[name] for name in wanted} for entry in history],
        "head_moved": (trainer.model.lm_head.weight - model.lm_head.weight).detach().abs().max().item(),
        "warnings": sorted({str(w.message).splitlines()[0] for w in caught if issubclass(w.category, UserWarning)}),
    }
    print(json.dumps(report))


def _settings(folder: str) -> DPOConfig:
    return DPOConfig(
        output_dir=folder,
        loss_type="apo_zero",
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
    main(sys.argv[1])
