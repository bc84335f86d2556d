"""The two ranks of `test_train_ranks.py`: they train tiny models, resume, and write losses and weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import socket
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from cpu_shards import shard_over_processes
from tiny_models import chat_rows, tiny_model, tiny_tokenizer

from clair.train import APOConfig, APOTrainer
from clair.train.sharding import settings

ADAM = {"optim": "adamw_torch", "max_grad_norm": 1.0}
CASES: dict[str, dict[str, Any]] = {
    "ddp apo_zero": {},
    "ddp kto": {"objective": "kto"},
    "fsdp apo_zero": {**ADAM},
    "fsdp kto, tied head": {"kind": "qwen3", "objective": "kto"},
    "fsdp lora": {**ADAM, "lora": True},
    "fsdp bfloat16": {"bf16": True, "num_train_epochs": 1},
}
RESUMED = ("ddp apo_zero", "fsdp apo_zero")


def make(folder: Path, world: int, *, sharded: bool, kind: str = "llama", lora: bool = False, **more: Any) -> Any:
    """A trainer of 2 epochs of 3 steps of 4, 4 and 1 pairs."""
    from peft import LoraConfig

    args = APOConfig(
        **{
            "output_dir": str(folder / "out"),
            "reference_cache": str(folder / f"reference-{world}"),
            "num_train_epochs": 2,
            "per_device_train_batch_size": 4 // world,
            "per_device_eval_batch_size": 4 // world,
            "learning_rate": 1e-2,
            "beta": 0.5,
            "optim": "sgd",
            "max_grad_norm": 1e9,
            "tokens_per_row": 80,
            "report_to": "none",
            "save_strategy": "no",
            "save_steps": 2,
            "use_cpu": True,
            "disable_tqdm": True,
            **(settings("fsdp2") if sharded else {}),
            **more,
        }
    )
    return APOTrainer(
        tiny_model(kind),
        args,
        train_dataset=chat_rows(9),
        eval_dataset=chat_rows(3, seed=7),
        processing_class=tiny_tokenizer(),
        peft_config=LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM") if lora else None,
    )


def found(trainer: Any) -> dict[str, Any]:
    """Losses and metrics of every step, evaluation loss and the whole final weights."""
    keys = ("loss", "rewards/chosen", "rewards/rejected", "logps/chosen", "grad_norm")
    weights = (p.full_tensor() if hasattr(p, "full_tensor") else p for p in trainer.model.parameters())
    return {
        "steps": [[entry[k] for k in keys] for entry in trainer.state.log_history if "rewards/chosen" in entry],
        "evaluation": trainer.evaluate()["eval_loss"],
        "weights": torch.cat([w.detach().flatten() for w in weights]).tolist(),
        "wrapped": type(trainer.model_wrapped).__name__,
    }


def run(folder: Path, world: int, case: str) -> dict[str, Any]:
    """What a case gives, and for some what it gives when it goes on from the checkpoint of step 4."""
    what = {"sharded": world > 1 and case.startswith("fsdp"), **CASES[case]}
    resumes = world > 1 and case in RESUMED
    trainer = make(folder, world, **what, **({"save_strategy": "steps"} if resumes else {}))
    trainer.train()
    result = found(trainer)
    if resumes:
        again = make(folder, world, **what)
        again.train(resume_from_checkpoint=str(folder / "out" / "checkpoint-4"))
        result["resumed"] = found(again)
        result["reference_rows"] = again.reference_rows
        again.save_model(str(folder / case))
        torch.distributed.barrier()
        if os.environ["RANK"] == "0":
            shutil.rmtree(folder / "out")
    return result


def work(rank: int, folder: Path) -> None:
    """All cases, as one of two ranks. Never waits long for a rank that is gone."""
    signal.alarm(240)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    results = {}
    for case in CASES:
        if case.startswith("fsdp") and not any(name.startswith("fsdp") for name in results):
            shard_over_processes()
        results[case] = run(folder, 2, case)
    if rank == 0:
        (folder / "found.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()


def main(folder: Path) -> None:
    """Both ranks from one process, so that everything is imported once."""
    torch.set_num_threads(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free.getsockname()[1]))
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=work, args=(rank, folder)) for rank in range(2)]
    for process in ranks:
        process.start()
    running = {process.sentinel: process for process in ranks}
    while running:
        for sentinel in wait(list(running)):
            if running.pop(sentinel).exitcode:
                for process in running.values():
                    process.terminate()
    sys.exit(any(process.exitcode for process in ranks))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
