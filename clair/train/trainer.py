"""`APOTrainer`: transformers' Trainer for preference pairs.

    trainer = APOTrainer(model, args=APOConfig(output_dir="out"), train_dataset=rows, processing_class=tokenizer)
    trainer.train()

`train_dataset` is a list of dicts or a `datasets.Dataset` with prompt, chosen and rejected (see `data.py`), or a
`PairDataset`. Checkpoints, resuming, schedules, trackers and sharding are the Trainer's. What differs: a batch is a
number of pairs that a step works off row by row, so memory depends on `tokens_per_row` and not on the batch size;
the loss is divided by the exact number of pairs in the step, over accumulation and ranks.

Before the first step it checks that packed rows give what single sequences give, computes or finds the reference
log-probs, and in the first step that policy and reference agree.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput

from clair.errors import ClairError, UsageError
from clair.train import attention, probe, reference
from clair.train.batching import Batch, Collator, EpochCallback, PairDataset, StepSampler, to_device
from clair.train.config import APOConfig
from clair.train.data import pairs_of
from clair.train.layout import PairTokens, Row
from clair.train.load import disable_dropout, safe_model
from clair.train.logps import prepare, score
from clair.train.meters import Cost, Meter
from clair.train.objectives import PairLoss
from clair.train.tokenize import tokenize_pairs

logger = logging.getLogger(__name__)

START_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.02, torch.float16: 0.01}
"""Largest difference of a completion's mean log-prob per token between policy and reference before training."""
_REFERENCE_WINDOW = 512


class APOTrainer(Trainer):  # type: ignore[misc]
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
        if args.n_gpu > 1:
            raise UsageError("several GPUs in one process (DataParallel) are not supported; start with `torchrun`")
        if isinstance(model, str):
            model = safe_model(model)
        if peft_config is not None:
            from peft import get_peft_model

            model = get_peft_model(model, peft_config)
        disable_dropout(model)
        train_set = self._dataset(train_dataset, processing_class, args)
        eval_set = None if eval_dataset is None else self._dataset(eval_dataset, processing_class, args)
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
        if self.is_deepspeed_enabled:
            raise UsageError("DeepSpeed is not supported; shard with FSDP (`accelerate launch --use_fsdp`)")
        self.model_accepts_loss_kwargs = True
        self.collator = collator
        self.pair_loss: PairLoss = args.pair_loss()
        self.reference_rows = 0
        self._meter = Meter()
        self._cost = Cost.of(self.causal_model, devices=self.args.world_size, device=self.args.device)
        self._spare_row: Row | None = None
        self._ready = False
        self._samplers: list[StepSampler] = []
        self.add_callback(EpochCallback(self._samplers))

    def _dataset(self, data: Any, tokenizer: Any, args: APOConfig) -> PairDataset:
        if isinstance(data, PairDataset):
            return data
        if tokenizer is None:
            raise UsageError("pass the tokenizer as processing_class")
        pairs, report = tokenize_pairs(pairs_of(data), tokenizer, max_length=args.max_length)
        return PairDataset(pairs, report, with_baseline=args.objective == "kto")

    @property
    def causal_model(self) -> Any:
        """The causal language model inside of wrappers and adapters."""
        model = self.accelerator.unwrap_model(self.model, keep_torch_compile=False)
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    # Before the first step

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As `Trainer.train`, after the start-up checks and the reference pass."""
        self.get_ready()
        return super().train(*args, **kwargs)

    def get_ready(self) -> None:
        """Choose and check the layout and attach the reference log-probs; once. The weights are those given."""
        if self._ready:
            return
        with self._whole_model_on_device(), self._eval_mode():
            self._choose_layout()
            for data in (self.train_dataset, self.eval_dataset):
                for dataset in data.values() if isinstance(data, dict) else [data]:
                    if dataset is not None and not dataset.has_reference:
                        self._attach_reference(dataset)
        shortest = min(self.train_dataset.pairs, key=lambda pair: pair.tree_length)
        nothing = np.zeros(shortest.listed_length, dtype=np.float32)
        self._spare_row = self.collator.rows([shortest], [nothing])[0]
        self._ready = True

    @contextlib.contextmanager
    def _whole_model_on_device(self) -> Iterator[None]:
        """FSDP leaves the model on the CPU until training starts; the reference pass needs it whole on the device."""
        before = next(self.model.parameters()).device
        if before != self.args.device:
            self.model.to(self.args.device)
        yield
        if before != self.args.device:
            self.model.to(before)

    @contextlib.contextmanager
    def _eval_mode(self) -> Iterator[None]:
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
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
        """One process, nothing sharded, no loss scaling: nobody waits for a gradient to be handed on."""
        return self.args.world_size == 1 and not (self.is_fsdp_enabled or self.args.fp16)

    def _choose_layout(self) -> None:
        model, device = self.causal_model, self.args.device
        half = self._dtype != torch.float32
        backend, why = attention.choose(model, device=device, half=half, max_length=self.args.max_length)
        if self.args.layout != "auto":
            backend, why = self.args.layout, "as set"
        own_attention = model.config._attn_implementation
        tolerance = probe.TOLERANCE[self._dtype]
        for candidate in dict.fromkeys((backend, "padded")):
            model.set_attn_implementation(own_attention if candidate == "padded" else attention.NAME)
            prepare(model, backend=candidate, add_in_place=self._owns_its_gradients)
            self.collator.backend = candidate
            try:
                gap = probe.difference(self.model, self.collator, self.train_dataset.pairs, device)
            except attention.CannotFollow as error:
                gap, why = math.inf, str(error)
            if gap <= tolerance:
                log = logger.warning if candidate == "padded" and self.args.layout == "auto" else logger.info
                log("layout: %s (%s); largest difference to single sequences %.1e nats", candidate, why, gap)
                return
            why = f"{why}; with {candidate} a log-prob was off by {gap:.2g} nats"
        raise ClairError(
            f"the log-probs computed for {model.config.model_type} differ from the model's own by {gap:.2g} nats "
            f"(allowed {tolerance}); this architecture cannot be trained with clair"
        )

    def _attach_reference(self, dataset: PairDataset) -> None:
        folder = Path(self.args.reference_cache) if self.args.reference_cache else reference.default_folder()
        numerics = f"{self.collator.backend} {self._dtype} {self.args.device.type}"
        name = reference.model_key(self.causal_model, numerics=numerics)
        pairs = dataset.scored_pairs()
        known = reference.load(folder, name)
        todo = reference.missing(pairs, known)
        logger.info("reference log-probs: %d of %d pairs are cached", len(pairs) - len(todo), len(pairs))
        if todo:
            known |= self._reference_logps(todo)
            if self.args.should_save:
                try:
                    reference.store(folder, name, known)
                except (OSError, SafetensorError) as error:
                    logger.warning("the reference cache cannot be written to %s: %s", folder, error)
        dataset.attach(known)

    def _reference_logps(self, pairs: Sequence[PairTokens]) -> dict[bytes, reference.Logps]:
        """Log-probs of the listed tokens of each pair under the reference; the ranks share the work."""
        mine = pairs[self.args.process_index :: self.args.world_size]
        model = self.accelerator.unwrap_model(self.model)
        found: list[tuple[bytes, reference.Logps]] = []
        without_adapter = model.disable_adapter if hasattr(model, "disable_adapter") else contextlib.nullcontext
        with without_adapter():
            for start in range(0, len(mine), _REFERENCE_WINDOW):
                window = mine[start : start + _REFERENCE_WINDOW]
                for members, row in zip(self.collator.groups(window), self.collator.rows(window), strict=True):
                    logps = model(row=row.to(self.args.device))["logps"].float().cpu().numpy()
                    self.reference_rows += 1
                    starts = (0, *row.bounds[:-1])
                    values = [logps[a:b].copy() for a, b in zip(starts, row.bounds, strict=True)]
                    found += zip((reference.pair_key(window[i]) for i in members), values, strict=True)
                logger.info("reference log-probs: %d of %d pairs", min(start + len(window), len(mine)), len(mine))
        if self.args.world_size > 1:
            found = gather_object(found)
        return dict(found)

    # A step

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
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    output = model(row=row, pair_loss=pair_loss, scale=scale if i < len(rows) else 0.0)
                self.accelerator.backward(output["loss"])
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

    def _spare_rows(self, mine: int) -> list[Row]:
        """Rows without weight, so that a rank without pairs joins in, and FSDP ranks run equally many rows."""
        wanted = max(mine, 1)
        if self.is_fsdp_enabled:
            counts = self.accelerator.gather(torch.tensor([wanted], device=self.args.device))
            wanted = int(counts.max())
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

    def _check_start(self, row: Row, sums: Tensor) -> None:
        """Before any update policy and reference are one model; anything else means that their inputs differ."""
        if self.state.global_step or not self._starts_at_reference():
            return
        assert row.reference is not None
        ratio = (sums - (row.branches * row.reference).sum(1)) / row.lengths.clamp(min=1)
        worst = float(ratio.abs().nan_to_num(nan=math.inf).max())
        if worst > START_TOLERANCE[self._dtype]:
            cache = self.args.reference_cache or reference.default_folder()
            raise ClairError(
                f"before training, policy and reference differ by {worst:.2g} nats per token; the loss would start "
                f"from a wrong place. Delete the reference cache {cache} "
                "and try again; if it stays, this model is not deterministic"
            )

    def _starts_at_reference(self) -> bool:
        adapters = (p for n, p in self.model.named_parameters() if "lora_B" in n)
        return not any(bool(p.any()) for p in adapters)

    # Evaluation and reports

    def evaluation_loop(
        self, dataloader: Any, description: str, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any
    ) -> EvalLoopOutput:
        """Means over pairs of loss, rewards and log-probs on `dataloader`."""
        del args, kwargs, description
        self.get_ready()
        dataset: PairDataset = dataloader.dataset
        if not dataset.has_reference:
            self._attach_late(dataset)
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

    def _attach_late(self, dataset: PairDataset) -> None:
        if self.state.global_step and not hasattr(self.model, "disable_adapter"):
            raise UsageError("pass the evaluation data when the trainer is made: its reference is the untrained model")
        with self._eval_mode():
            self._attach_reference(dataset)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the pair metrics to training logs."""
        if "learning_rate" in logs:
            if not math.isfinite(logs.get("grad_norm", 0.0)):
                raise ClairError(
                    f"the gradient is {logs['grad_norm']} in step {self.state.global_step}; go on from the last "
                    "checkpoint with a lower learning rate, or train in float32 (--dtype float32)"
                )
            report = self._meter.report(self._sum_over_ranks, self.args.device, self._cost)
            report.pop("loss", None)
            logs = {**logs, **report}
        super().log(logs, start_time)

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
