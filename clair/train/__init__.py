"""The APO trainer: packed preference pairs, cached reference log-probs, exact losses, on `transformers.Trainer`.

    from clair.train import TrainOptions, train          one call: data in, model folder out
    from clair.train import APOConfig, APOTrainer        used like any other Trainer

    objectives   the losses, free functions of log-probs
    data         rows of a run folder, Parquet, JSONL or the Hub -> text pairs
    tokenize     text pairs -> token pairs
    layout       token pairs -> packed rows
    attention    what a token of a packed row may see
    logps        log-probs and their gradient, without logits
    reference    log-probs of the reference model, once, on disk
    readiness    everything before the first step
    sharding     models that no process holds whole
    trainer      the Trainer

Names are loaded on first use, so that importing `clair.train.options` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clair.train.config import APOConfig
    from clair.train.options import SANDBOX_DEFAULTS, TrainOptions
    from clair.train.run import TrainResult, train
    from clair.train.trainer import APOTrainer

__all__ = ["SANDBOX_DEFAULTS", "APOConfig", "APOTrainer", "TrainOptions", "TrainResult", "train"]

_HOME = {
    "APOConfig": "config",
    "APOTrainer": "trainer",
    "SANDBOX_DEFAULTS": "options",
    "TrainOptions": "options",
    "TrainResult": "run",
    "train": "run",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
