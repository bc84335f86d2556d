"""`APOConfig`: the settings of an `APOTrainer`, as fields of transformers' `TrainingArguments`."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainingArguments

from clair.errors import UsageError
from clair.train.objectives import PairLoss
from clair.train.sharding import check_settings, recomputes

CHECKPOINTING = next(
    name
    for name in ("activation_checkpointing", "gradient_checkpointing")
    if name in TrainingArguments.__dataclass_fields__
)
"""What the installed transformers calls it: 5.23 renamed the field."""


@dataclass
class APOConfig(TrainingArguments):  # type: ignore[misc]
    """`TrainingArguments` and what APO needs. Batch sizes count pairs: however many rows they make, a step is exact.

    Activations are recomputed in the backward pass (as in TRL's trainers) unless FSDP's configuration does it.
    `options.TrainOptions` gives the reasons and sources of the defaults.
    """

    learning_rate: float = field(default=1e-6, metadata={"help": "Learning rate."})
    logging_steps: float = field(default=1, metadata={"help": "Steps between log lines."})
    gradient_checkpointing: bool | None = field(
        default=None,
        metadata={"help": "Recompute activations; transformers 5.23 has activation_checkpointing instead."},
    )
    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "Every weight has a gradient."})
    objective: str = field(default="apo_zero", metadata={"help": "Name of a loss in clair.train.objectives."})
    beta: float = field(default=0.1, metadata={"help": "Reward per nat of log-ratio."})
    sft_weight: float = field(default=0.0, metadata={"help": "Weight of an added loss on chosen alone."})
    shared_weight: float = field(default=1.0, metadata={"help": "Weight of tokens that chosen and rejected share."})
    max_length: int = field(default=2048, metadata={"help": "Longest prompt plus completion in tokens."})
    tokens_per_row: int | None = field(
        default=None, metadata={"help": "Tokens through the model at once; by default 1,024 on CPU, 16,384 on GPU."}
    )
    date: str | None = field(
        default=None, metadata={"help": "Date (YYYY-MM-DD) that a chat template prints; by default today's."}
    )
    reference_cache: str | None = field(default=None, metadata={"help": "Folder for reference log-probs."})
    layout: str = field(
        default="auto", metadata={"help": "auto, sdpa, varlen, or padded (nothing shared, for comparison)."}
    )

    def __post_init__(self) -> None:
        undecided = self.gradient_checkpointing is None and getattr(self, CHECKPOINTING) is None
        super().__post_init__()
        if undecided:
            # Both, for transformers keeps the old name as a copy of the new one.
            self.gradient_checkpointing = not recomputes(self)
            setattr(self, CHECKPOINTING, self.gradient_checkpointing)
        self.pair_loss()
        if self.layout not in ("auto", "sdpa", "varlen", "padded"):
            raise UsageError(f"layout {self.layout!r} is unknown; choose auto, sdpa, varlen or padded")
        if not 0 <= self.shared_weight <= 1:
            raise UsageError(f"shared_weight must lie between 0 and 1, got {self.shared_weight!r}")
        if self.max_length < 2:
            raise UsageError(f"max_length must be at least 2 tokens, got {self.max_length!r}")
        self.date = None if self.date is None else _day(self.date)
        self.remove_unused_columns = False
        check_settings(self)

    def pair_loss(self, **changes: Any) -> PairLoss:
        """The loss these settings ask for. Raises UsageError."""
        settings = {"objective": self.objective, "beta": self.beta, "sft_weight": self.sft_weight}
        return PairLoss(**{**settings, **changes})


def _day(text: str) -> str:
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise UsageError(f"date must be a day as YYYY-MM-DD, got {text!r}") from error
