"""`APOTrainer`: transformers' Trainer for preference pairs.

    trainer = APOTrainer(model, args=APOConfig(output_dir="out"), train_dataset=rows, processing_class=tokenizer)
    trainer.train()

`train_dataset` is a list of dicts or a `datasets.Dataset` with prompt, chosen and rejected (see `data.py`), or a
`PairDataset`; so is `eval_dataset`, which may also be a dict of them, and what `evaluate` and `predict` are given.
Checkpoints, resuming, schedules, trackers and sharding are the Trainer's. What differs: a batch is a
number of pairs that a step works off row by row, so memory depends on `tokens_per_row` and not on the batch size;
the loss is divided by the exact number of pairs in the step, over accumulation and ranks.

Before the first step it checks that packed rows give what single sequences give, computes or finds the reference
log-probs, and in the first step that policy and reference agree.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from datetime import date
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput

from clair.errors import ClairError, UsageError
from clair.train import sharding
from clair.train.batching import Batch, Collator, EpochCallback, PairDataset, StepSampler, to_device
from clair.train.config import APOConfig
from clair.train.data import pairs_of
from clair.train.layout import Row
from clair.train.load import disable_dropout, safe_model, with_adapter
from clair.train.logps import score
from clair.train.meters import Cost, Meter
from clair.train.objectives import PairLoss
from clair.train.readiness import Readiness, ReadyCallback, from_first
from clair.train.tokenize import tokenize_pairs

logger = logging.getLogger(__name__)

_WITHOUT_EFFECT = ("compute_metrics", "preprocess_logits_for_metrics", "compute_loss_func")
"""Arguments of `Trainer` that need logits, which are never held, or replace the loss."""


class APOTrainer(Readiness, Trainer):  # type: ignore[misc]
    """See the module. Raises UsageError for settings and data, ClairError for a model or run that cannot work."""

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        model: Any,
        args: APOConfig,
        *,
        train_dataset: Any,
        eval_dataset: Any = None,
        processing_class: Any = None,
        peft_config: Any = None,
        **kwargs: Any,
    ) -> None:
        refused = [name for name in _WITHOUT_EFFECT if kwargs.get(name) is not None]
        if refused:
            raise UsageError(
                f"{', '.join(refused)} would have no effect: logits are never held, and the loss is args.objective; "
                "read the metrics of evaluate(), or add a TrainerCallback"
            )
        if args.n_gpu > 1:
            raise UsageError("several GPUs in one process (DataParallel) are not supported; start with `torchrun`")
        if isinstance(model, str):
            model = safe_model(model)
        model = with_adapter(model, peft_config)
        disable_dropout(model)
        args.date = args.date or from_first(args, lambda: date.today().isoformat())
        train_set = self._dataset(train_dataset, processing_class, args)
        eval_set = None if eval_dataset is None else self._datasets(eval_dataset, processing_class, args)
        collator = Collator(
            tokens_per_row=args.tokens_per_row or (16384 if args.device.type == "cuda" else 1024),
            backend="padded",
            shared_weight=args.shared_weight,
        )
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_set,
            eval_dataset=eval_set,
            processing_class=processing_class,
            data_collator=collator,
            **kwargs,
        )
        sharding.check(self)
        self.model_accepts_loss_kwargs = True
        self.collator = collator
        self.pair_loss: PairLoss = args.pair_loss()
        self.reference_rows = 0
        self._has_new_adapter = peft_config is not None
        self._meter = Meter()
        self._cost = Cost.of(self.causal_model, devices=self.args.world_size, device=self.args.device)
        self._samplers: list[StepSampler] = []
        self.add_callback(EpochCallback(self._samplers))
        if self.is_sharded:
            self.add_callback(ReadyCallback(self))

    def _datasets(self, data: Any, tokenizer: Any, args: APOConfig) -> PairDataset | dict[str, PairDataset]:
        if isinstance(data, dict):
            return {name: self._dataset(part, tokenizer, args) for name, part in data.items()}
        return self._dataset(data, tokenizer, args)

    def _dataset(self, data: Any, tokenizer: Any, args: APOConfig) -> PairDataset:
        if isinstance(data, PairDataset):
            if args.objective == "kto" and data.baselines is None:
                raise UsageError("objective 'kto' needs a PairDataset made with with_baseline=True")
            return data
        if tokenizer is None:
            raise UsageError("pass the tokenizer as processing_class")
        pairs, report = tokenize_pairs(pairs_of(data), tokenizer, max_length=args.max_length, date=args.date)
        return PairDataset(pairs, report, with_baseline=args.objective == "kto")

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As `Trainer.train`, after the start-up checks and the reference pass."""
        self.look_at_weights()
        if not self.is_sharded:
            self.get_ready()
        self._meter = Meter()
        try:
            return super().train(*args, **kwargs)
        finally:
            self._at_reference = self._at_reference and not self.state.global_step

    # A step

    def autocast_smart_context_manager(
        self, cache_enabled: bool | None = True
    ) -> contextlib.AbstractContextManager[Any]:
        """The precision of a forward pass.

        transformers leaves it to accelerate, which wraps the forward of a model once and only when training begins:
        not for evaluation before, and not for a model that another Trainer had. Sharding sets its own.
        """
        del cache_enabled
        if self.is_sharded:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self.accelerator.autocast()
        return context

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: torch.device) -> Tensor:
        """Pairs in the whole step: all micro-batches, all ranks."""
        return self._sum_over_ranks(torch.tensor(float(sum(b["n_pairs"] for b in batch_samples)), device=device))

    def _sum_over_ranks(self, value: Tensor) -> Tensor:
        if self.args.world_size == 1:
            return value
        total: Tensor = self.accelerator.reduce(value, reduction="sum")
        return total

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | None = None) -> Tensor:
        """Forward and backward over the rows of a micro-batch; returns its share of the step's mean loss."""
        self._meter.run()
        model.train()
        batch = to_device(inputs, self.args.device)
        assert num_items_in_batch is not None
        scale = self.args.world_size / num_items_in_batch.clamp(min=1)
        pair_loss = self._with_baseline(model, batch)
        rows: list[Row] = batch["rows"]
        spare = self._spare_rows(len(rows))
        share = torch.zeros((), device=self.args.device)
        for i, row in enumerate([*rows, *spare]):
            is_last = i + 1 == len(rows) + len(spare)
            with self._between_updates(model, is_last=is_last):
                with self.compute_loss_context_manager():
                    output = model(row=row, pair_loss=pair_loss, scale=scale if i < len(rows) else 0.0)
                self._backward(output["loss"], is_last=is_last)
            if i < len(rows):
                self._check_start(row, output["sums"])
                self._meter.add(row, output["sums"], output["losses"], self.args.beta)
                share += output["loss"].detach()
        if not torch.isfinite(share):
            raise ClairError(
                f"the loss is {share.item()} in step {self.state.global_step + 1}; nothing was saved since the last "
                "checkpoint. Lower the learning rate, or train in float32 (--dtype float32)"
            )
        return share

    def _between_updates(self, model: nn.Module, *, is_last: bool) -> contextlib.AbstractContextManager[Any]:
        """Gradients are exchanged once, with the last row. Sharded ones with every row: no process could hold all."""
        if is_last or self.is_sharded:
            return contextlib.nullcontext()
        context: contextlib.AbstractContextManager[Any] = self.accelerator.no_sync(model)
        return context

    def _backward(self, loss: Tensor, *, is_last: bool) -> None:
        if not self.is_deepspeed_enabled:
            self.accelerator.backward(loss)
            return
        # DeepSpeed makes its update inside of backward, so it must know which one ends the step.
        ends_step = is_last and self.accelerator.sync_gradients
        engine = self.accelerator.deepspeed_engine_wrapped
        engine.backward(loss, sync_gradients=ends_step, scale_wrt_gas=False)

    def _spare_rows(self, mine: int) -> list[Row]:
        """Rows without weight, so that a rank without pairs joins in, and sharded ranks run equally many rows."""
        wanted = self._most(max(mine, 1)) if self.is_sharded else max(mine, 1)
        if wanted == mine:
            return []
        assert self._spare_row is not None
        return [self._spare_row.to(self.args.device)] * (wanted - mine)

    @torch.no_grad()
    def _with_baseline(self, model: nn.Module, batch: Batch) -> PairLoss:
        """The loss of this micro-batch: KTO first needs its KL baseline, from all ranks (arXiv 2402.01306, eq. 8)."""
        if self.pair_loss.objective != "kto":
            return self.pair_loss
        kl = torch.zeros(2, device=self.args.device)
        for row, logps in self._scored(model, batch["baseline_rows"]):
            assert row.reference is not None
            kl += torch.stack([(logps - row.reference).sum(), logps.new_tensor(float(row.n_pairs))])
        total, count = self._sum_over_ranks(kl).tolist()
        pair_loss: PairLoss = self.args.pair_loss(kl=max(0.0, total / max(count, 1)))
        return pair_loss

    @torch.no_grad()
    def _scored(self, model: nn.Module, rows: list[Row]) -> Iterator[tuple[Row, Tensor]]:
        """Each row with the log-probs of its listed tokens.

        DDP is unwrapped, for its forward talks to the other ranks, which may have more rows or fewer.
        """
        bare = model if self.is_fsdp_enabled else self.accelerator.unwrap_model(model)
        spare = self._spare_rows(len(rows)) if self.is_fsdp_enabled else []
        for i, row in enumerate([*rows, *spare]):
            with self.compute_loss_context_manager():
                logps = bare(row=row)["logps"]
            if i < len(rows):
                yield row, logps

    # Evaluation and reports

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """As `Trainer`'s, for rows as well; by default for the data the trainer was made with."""
        if eval_dataset is not None and not isinstance(eval_dataset, str):
            eval_dataset = self._dataset(eval_dataset, self.processing_class, self.args)
        return super().get_eval_dataloader(eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        """As `Trainer`'s, for rows as well."""
        return super().get_test_dataloader(self._dataset(test_dataset, self.processing_class, self.args))

    def evaluation_loop(
        self, dataloader: Any, description: str, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any
    ) -> EvalLoopOutput:
        """Means over pairs of loss, rewards and log-probs on `dataloader`."""
        del args, kwargs, description
        if self.is_sharded and not self._ready:
            raise UsageError("a sharded model is evaluated during or after train(), not before")
        self.get_ready()
        dataset: PairDataset = dataloader.dataset
        self.attach_reference(dataset)
        model = self._wrap_model(self.model, training=False)
        model.eval()
        meter = Meter()
        for inputs in dataloader:
            batch = to_device(inputs, self.args.device)
            pair_loss = self._with_baseline(model, batch)
            for row, logps in self._scored(model, batch["rows"]):
                sums, losses = score(row, logps, pair_loss)
                meter.add(row, sums, losses, self.args.beta)
        metrics = meter.report(self._sum_over_ranks, self.args.device)
        return EvalLoopOutput(
            predictions=None,
            label_ids=None,
            metrics={f"{metric_key_prefix}_{name}": value for name, value in metrics.items()},
            num_samples=len(dataset),
        )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the whole model to `output_dir`. Only checkpoints may be sharded."""
        if _internal_call or not self.is_fsdp_enabled:
            super().save_model(output_dir, _internal_call=_internal_call)
        else:
            self._save(output_dir, state_dict=self.accelerator.get_state_dict(self.model))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the pair metrics to training logs."""
        if "learning_rate" in logs:
            report = self._meter.report(self._sum_over_ranks, self.args.device, self._cost)
            report.pop("loss", None)
            logs = {**logs, **report}
        super().log(logs, start_time)

    def _maybe_log_save_evaluate(self, tr_loss: Tensor, grad_norm: Any, *args: Any, **kwargs: Any) -> None:
        """After each update. A gradient that is no number has spoiled the weights, whether it is logged or not."""
        spoiled = grad_norm is not None and not math.isfinite(grad_norm)
        if spoiled and not self.accelerator.optimizer_step_was_skipped:
            raise ClairError(
                f"the gradient is {float(grad_norm)} in step {self.state.global_step}; go on from the last "
                "checkpoint with a lower learning rate, or train in float32 (--dtype float32)"
            )
        self._meter.pause()
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *args, **kwargs)
        self._meter.run()

    def floating_point_ops(self, inputs: Any) -> float:
        """FLOPs of forward and backward over a batch, see `meters.Cost`."""
        rows = inputs["rows"]
        body = sum(row.tokens_computed for row in rows)
        return float(self._cost.backbone * body + self._cost.head * sum(len(row.targets) for row in rows))

    def _get_train_sampler(self, train_dataset: Any = None) -> StepSampler:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        sampler = StepSampler(len(dataset), block=self.args.train_batch_size * self.args.world_size, seed=seed)
        self._samplers[:] = [sampler]
        return sampler

    def _get_eval_sampler(self, eval_dataset: Any) -> StepSampler:
        block = self.args.eval_batch_size * self.args.world_size
        return StepSampler(len(eval_dataset), block=block, seed=None)
