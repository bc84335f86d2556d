"""What an `APOTrainer` does before its first step: choose the layout, check it, find the reference log-probs.

A model that every process holds whole is made ready before the Trainer wraps it. A sharded one (`sharding.py`) is
made ready after that, when training begins: no process could hold it, and the reference must be computed with the
arithmetic of the policy. Only its weights are hashed before, while the first process has them all; so the reference
of a sharded run is found in the cache like any other.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from torch import Tensor
from transformers import TrainerCallback

from clair.errors import ClairError, UsageError
from clair.train import attention, probe, reference
from clair.train.batching import Collator, PairDataset
from clair.train.layout import PairTokens, Row
from clair.train.load import first_line
from clair.train.logps import prepare

logger = logging.getLogger(__name__)
_Found = TypeVar("_Found")

START_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02, torch.float16: 0.01}
"""Largest difference of a completion's mean log-prob per token between policy and reference before training."""
_REFERENCE_WINDOW = 512


def from_first(args: Any, compute: Callable[[], _Found]) -> _Found:
    """What `compute` gives in the first process, in every process of these `TrainingArguments`."""
    found: list[Any] = [compute() if args.process_index == 0 else None]
    if args.world_size > 1:
        broadcast_object_list(found)
    value: _Found = found[0]
    return value


class Readiness:
    """The start of an `APOTrainer`; the attributes declared here are the trainer's."""

    args: Any
    accelerator: Any
    model: Any
    state: Any
    train_dataset: PairDataset
    eval_dataset: Any
    collator: Collator
    reference_rows: int
    is_fsdp_enabled: bool
    is_deepspeed_enabled: bool
    _spare_row: Row | None = None
    _ready = False
    _weights: str | None = None
    _reference = ""
    _at_reference = False
    _has_new_adapter = False

    @property
    def causal_model(self) -> Any:
        """The causal language model inside of wrappers and adapters."""
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    @property
    def is_sharded(self) -> bool:
        """Whether FSDP or DeepSpeed wraps the model, so that the processes must run equally many rows."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled)

    def look_at_weights(self) -> None:
        """Name the reference after the weights given; once, and before they are sharded."""
        if self._weights is None:
            model = self.model
            adapters = [p for n, p in model.named_parameters() if "lora_B" in n]
            found = from_first(
                self.args, lambda: (reference.weights_key(self.causal_model), not any(bool(p.any()) for p in adapters))
            )
            self._weights, self._at_reference = found[0], found[1] or self._has_new_adapter

    def get_ready(self) -> None:
        """Choose and check the layout, once, and attach the reference log-probs. The weights are those given."""
        if not self._ready:
            self.look_at_weights()
            with self._eval_mode():
                self._choose_layout()
            shortest = min(self.train_dataset.pairs, key=lambda pair: pair.tree_length)
            nothing = np.zeros(shortest.listed_length, dtype=np.float32)
            self._spare_row = self.collator.rows([shortest], [nothing])[0]
            self._reference = self._reference_name()
            self._ready = True
        for data in (self.train_dataset, self.eval_dataset):
            for dataset in data.values() if isinstance(data, dict) else [data]:
                if dataset is not None:
                    self.attach_reference(dataset)

    def _most(self, count: int) -> int:
        """The largest `count` of all processes."""
        if self.args.world_size == 1:
            return count
        return int(self.accelerator.gather(torch.tensor([count], device=self.args.device)).max())

    @contextlib.contextmanager
    def _eval_mode(self) -> Iterator[None]:
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad(), contextlib.nullcontext() if self.is_sharded else self.accelerator.autocast():
            yield
        self.model.train(was_training)

    @property
    def _dtype(self) -> torch.dtype:
        """Precision of the forward pass."""
        if self.args.bf16:
            return torch.bfloat16
        if self.args.fp16:
            return torch.float16
        dtype: torch.dtype = next(p.dtype for p in self.model.parameters() if p.is_floating_point())
        return dtype

    @property
    def _owns_its_gradients(self) -> bool:
        """Nothing wraps the model, no loss scaling: nobody waits for a gradient to be handed on.

        A launcher that starts a single process has it wrapped as well.
        """
        return bool(self.accelerator.distributed_type == DistributedType.NO and not self.args.fp16)

    def _choose_layout(self) -> None:
        model, device = self.causal_model, self.args.device
        half = self._dtype != torch.float32
        first, why = attention.choose(model, device=device, half=half, max_length=self.args.max_length)
        if self.args.layout != "auto":
            first, why = self.args.layout, "as set"
        own_attention = model.config._attn_implementation
        tolerance = probe.TOLERANCE[self._dtype]
        failure: BaseException | None = None
        for candidate in attention.candidates(first):
            model.set_attn_implementation(own_attention if candidate == "padded" else attention.NAME)
            prepare(model, backend=candidate, add_in_place=self._owns_its_gradients)
            self.collator.backend = candidate
            gap, failure = self._probe()
            if gap <= tolerance:
                is_expected = candidate == first and (candidate != "padded" or self.args.layout == "padded")
                log = logger.info if is_expected else logger.warning
                log("layout: %s (%s); largest difference to single sequences %.1e nats", candidate, why, gap)
                return
            problem = f"a log-prob was off by {gap:.2g} nats" if failure is None else first_line(failure)
            why = f"{why}; with {candidate}: {problem}"
        raise ClairError(
            f"the log-probs computed for {model.config.model_type} differ from the model's own, or cannot be computed "
            f"({why}; allowed are {tolerance} nats); this architecture cannot be trained with clair"
        ) from failure

    def _probe(self) -> tuple[float, BaseException | None]:
        """(largest difference in nats, None), or infinity and what the layout's kernel raised.

        A sharded model runs backward in steps only: it could not go on after one that failed.
        """
        what = (self.model, self.collator, self.train_dataset.pairs, self.args.device)
        try:
            gap = probe.difference(*what)
            if not self.is_sharded:
                probe.run_backward(*what)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except attention.UNFIT as error:
            return math.inf, error
        return gap, None

    def _reference_name(self) -> str:
        assert self._weights is not None
        sharded = " sharded" if self.is_sharded and self._dtype != torch.float32 else ""
        numerics = f"{self.collator.backend} {self._dtype} {self.args.device.type}{sharded}"
        return reference.model_key(self._weights, numerics=numerics)

    def attach_reference(self, dataset: PairDataset) -> None:
        """Give `dataset` the log-probs of this trainer's reference, unless it has them. Raises UsageError."""
        name = self._reference
        if dataset.reference_name == name:
            return
        folder = Path(self.args.reference_cache) if self.args.reference_cache else reference.default_folder()
        pairs = dataset.scored_pairs()
        known = from_first(self.args, lambda: reference.load(folder, name))
        todo = reference.missing(pairs, known)
        logger.info("reference log-probs: %d of %d pairs are cached", len(pairs) - len(todo), len(pairs))
        if todo:
            if not self._has_reference_model:
                raise UsageError(
                    f"the reference log-probs of {len(todo)} pairs are not in {folder}, and their model, the untrained "
                    "one, is gone; pass the evaluation data when the trainer is made, or resume with the cache of the "
                    "start"
                )
            with self._eval_mode(), reference.Additions(folder if self.args.should_save else None, name) as additions:
                known |= self._reference_logps(todo, additions)
        dataset.attach(known, name)

    @property
    def _has_reference_model(self) -> bool:
        """The weights are still those given, or an adapter can be taken off them."""
        return hasattr(self.model, "disable_adapter") or (self._at_reference and not self.state.global_step)

    def _reference_logps(
        self, pairs: Sequence[PairTokens], additions: reference.Additions
    ) -> dict[bytes, reference.Logps]:
        """Log-probs of the listed tokens of each pair under the reference, window by window."""
        model = self.accelerator.unwrap_model(self.model)
        found: dict[bytes, reference.Logps] = {}
        size = _REFERENCE_WINDOW * self.args.world_size
        with model.disable_adapter() if hasattr(model, "disable_adapter") else contextlib.nullcontext():
            for start in range(0, len(pairs), size):
                window = self._window_logps(model, pairs[start : start + size])
                additions.add(window)
                found |= window
                logger.info("reference log-probs: %d of %d pairs", len(found), len(pairs))
        return found

    def _window_logps(self, model: Any, pairs: Sequence[PairTokens]) -> dict[bytes, reference.Logps]:
        """Of some pairs; the ranks share the work, and each gets all of it."""
        mine = pairs[self.args.process_index :: self.args.world_size]
        groups, rows = self.collator.groups(mine), self.collator.rows(mine)
        # Agreed on before the first row: the ranks of a sharded model talk to each other within every one.
        spare = self._most(len(rows)) - len(rows) if self.is_sharded else 0
        found: list[tuple[bytes, reference.Logps]] = []
        for members, row in zip(groups, rows, strict=True):
            logps = model(row=row.to(self.args.device))["logps"].float().cpu().numpy()
            starts = (0, *row.bounds[:-1])
            values = [logps[a:b].copy() for a, b in zip(starts, row.bounds, strict=True)]
            found += zip((reference.pair_key(mine[i]) for i in members), values, strict=True)
        for _ in range(spare):
            assert self._spare_row is not None
            model(row=self._spare_row.to(self.args.device))
        self.reference_rows += len(rows)
        return dict(gather_object(found) if self.args.world_size > 1 else found)

    def _check_start(self, row: Row, sums: Tensor) -> None:
        """Before any update policy and reference are one model; anything else means that their inputs differ."""
        if self.state.global_step or not self._at_reference:
            return
        assert row.reference is not None
        ratio = (sums - (row.branches * row.reference).sum(1)) / row.lengths.clamp(min=1)
        worst = float(ratio.abs().nan_to_num(nan=math.inf).max())
        if worst > START_TOLERANCE[self._dtype]:
            cache = self.args.reference_cache or reference.default_folder()
            raise ClairError(
                f"before training, policy and reference differ by {worst:.2g} nats per token; the loss would start "
                f"from a wrong place. Delete the reference cache {cache} "
                "and try again; if it stays, this model is not deterministic, or its adapter does not start as its base"
            )


class ReadyCallback(TrainerCallback):  # type: ignore[misc]
    """Makes a sharded trainer ready when training begins; the others already are."""

    def __init__(self, trainer: Readiness) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        del args, state, control, kwargs
        self.trainer.get_ready()
