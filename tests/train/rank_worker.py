"""The processes of `test_train_ranks.py`: they train tiny models, resume, and write losses and weights.

Two are the ranks of every case. A third is a launcher's only process.
"""

from __future__ import annotations

import contextlib
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
from accelerate.commands.config.config_args import load_config_from_file
from cpu_shards import shard_over_processes
from tiny_models import chat_rows, tiny_model, tiny_tokenizer

from clair.cli import main as clair
from clair.train import APOConfig, APOTrainer
from clair.train.sharding import config_text, settings

ADAM = {"optim": "adamw_torch", "max_grad_norm": 1.0}
CASES: dict[str, dict[str, Any]] = {
    "ddp apo_zero": {},
    "ddp bfloat16": {"bf16": True, "num_train_epochs": 1},
    "ddp kto": {"objective": "kto", "num_train_epochs": 1},
    "fsdp apo_zero": {**ADAM},
    "fsdp kto, tied head": {"kind": "qwen3", "objective": "kto", "num_train_epochs": 1},
    "fsdp lora": {**ADAM, "lora": True, "num_train_epochs": 1},
    "fsdp bfloat16": {"bf16": True, "num_train_epochs": 1, "launched": True},
}
ALONE = ("ddp apo_zero",)
RESUMED = ("ddp apo_zero", "fsdp apo_zero")


def launch(folder: Path) -> None:
    """Tell accelerate what `accelerate launch` would, with the configuration that comes with clair."""
    path = folder / f"{os.environ['RANK']}.yaml"
    path.write_text(config_text("fsdp2.yaml"))
    config = load_config_from_file(str(path))
    os.environ.update(ACCELERATE_USE_FSDP="true", ACCELERATE_MIXED_PRECISION=config.mixed_precision)
    os.environ.update({key.upper(): str(value) for key, value in config.fsdp_config.items()})


def make(folder: Path, world: int, *, sharded: bool, kind: str = "llama", lora: bool = False, **more: Any) -> Any:
    """A trainer of 2 epochs, or as many as a case says, of 3 steps of 4, 4 and 1 pairs."""
    from peft import LoraConfig

    args = APOConfig(
        **{
            "output_dir": str(folder / f"out-{world}"),
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
    if what.pop("launched", False):
        what["sharded"] = False
        launch(folder)
    resumes = world > 1 and case in RESUMED
    trainer = make(folder, world, **what, **({"save_strategy": "steps"} if resumes else {}))
    trainer.train()
    result = found(trainer)
    if resumes:
        again = make(folder, world, **what)
        again.train(resume_from_checkpoint=str(folder / "out-2" / "checkpoint-4"))
        result["resumed"] = found(again)
        result["reference_rows"] = again.reference_rows
        again.save_model(str(folder / case))
        torch.distributed.barrier()
        if os.environ["RANK"] == "0":
            shutil.rmtree(folder / "out-2")
    return result


def command(folder: Path, rank: int, world: int) -> None:
    """`clair train-apo` in the environment that torchrun gives to its processes."""
    arguments = ["train-apo", str(folder / "pairs.jsonl"), "--model", str(folder / "model")]
    arguments += ["--pairs-per-step", "4", "--epochs", "1", "--learning-rate", "1e-3", "--json"]
    arguments += ["--reference-cache", str(folder / f"cache-{world}"), "-o", str(folder / f"command-{world}")]
    with (folder / f"printed-{world}-{rank}").open("w") as printed, contextlib.redirect_stdout(printed):
        clair(arguments, standalone_mode=False)


def work(rank: int, world: int, port: int, folder: Path) -> None:
    """All cases of one process. Never waits long for a rank that is gone."""
    signal.alarm(240)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world))
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    results = {}
    for case in CASES if world > 1 else ALONE:
        if case.startswith("fsdp") and not any(name.startswith("fsdp") for name in results):
            command(folder, rank, world)
            shard_over_processes()
        results[case] = run(folder, world, case)
    if rank == 0:
        (folder / f"found-{world}.json").write_text(json.dumps(results))
    if world == 1:
        command(folder, rank, world)
    torch.distributed.destroy_process_group()


def main(folder: Path) -> None:
    """All processes from one, so that everything is imported once."""
    torch.set_num_threads(1)
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    (folder / "pairs.jsonl").write_text("\n".join(map(json.dumps, chat_rows(8))))
    with socket.socket() as for_two, socket.socket() as for_one:
        for free in (for_two, for_one):
            free.bind(("127.0.0.1", 0))
        two, one = (free.getsockname()[1] for free in (for_two, for_one))
    fork = multiprocessing.get_context("fork")
    ranks = [fork.Process(target=work, args=(*who, folder)) for who in ((0, 2, two), (1, 2, two), (0, 1, one))]
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
