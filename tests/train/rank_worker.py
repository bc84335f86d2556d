"""One rank of `test_train_ranks.py`, started by torchrun: trains a tiny model and writes losses and weights."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from tiny_models import chat_rows, tiny_model, tiny_tokenizer

from clair.train import APOConfig, APOTrainer


def run(folder: Path, world: int, objective: str) -> dict[str, Any]:
    """Losses and metrics of every step, evaluation loss and final weights."""
    args = APOConfig(
        output_dir=str(folder / "out"),
        reference_cache=str(folder / f"reference-{world}"),
        num_train_epochs=2,
        per_device_train_batch_size=4 // world,
        per_device_eval_batch_size=4 // world,
        learning_rate=1e-2,
        beta=0.5,
        objective=objective,
        optim="sgd",
        max_grad_norm=1e9,
        tokens_per_row=80,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    held_out = chat_rows(3, seed=7)
    trainer = APOTrainer(
        tiny_model(), args, train_dataset=chat_rows(9), eval_dataset=held_out, processing_class=tiny_tokenizer()
    )
    trainer.train()
    keys = ("loss", "rewards/chosen", "rewards/rejected", "logps/chosen")
    return {
        "steps": [[entry[k] for k in keys] for entry in trainer.state.log_history if "rewards/chosen" in entry],
        "evaluation": trainer.evaluate()["eval_loss"],
        "weights": torch.cat([p.detach().flatten() for p in trainer.causal_model.parameters()]).tolist(),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = {objective: run(Path(sys.argv[1]), 2, objective) for objective in sys.argv[2:]}
    if os.environ["RANK"] == "0":
        (Path(sys.argv[1]) / "found.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
