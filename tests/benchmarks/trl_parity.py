"""Loss, log-probs and gradients of `APOTrainer` beside those of TRL's DPOTrainer: same weights, same pairs.

python -m tests.benchmarks.trl_parity           (in the environment of trl_environment.py)

Both start from the same text pairs and do their own tokenizing; the policy is the reference plus noise, so that no
value is at its trivial point. Four architectures, two of them with sliding windows shorter than the texts, by four
objectives, float32. Exits 1 if a value is off by more than 1e-4 of its size.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers.utils.logging import disable_progress_bar
from trl import DPOConfig, DPOTrainer

from clair.train import APOConfig, APOTrainer
from tests.benchmarks.measure import table
from tests.train.tiny_models import KINDS, chat_rows, tiny_model, tiny_tokenizer

OBJECTIVES = {"apo_zero": "apo_zero", "apo_down": "apo_down", "dpo": "sigmoid", "ipo": "ipo"}
TOLERANCE = 1e-4
BETA = 0.3
PAIRS = 6


class Step(NamedTuple):
    """What one training step saw and did. `logps`: mean of chosen, mean of rejected; `layout`: clair's backend."""

    layout: str
    loss: float
    logps: tuple[float, float]
    gradients: dict[str, torch.Tensor]


def main() -> None:
    disable_progress_bar()
    warnings.simplefilter("ignore")
    rows = chat_rows(PAIRS, seed=1)
    results: list[tuple[object, ...]] = []
    worst = 0.0
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            reference = tiny_model(kind)
            policy = noisy(reference)
            for ours, theirs in OBJECTIVES.items():
                a = clair_step(policy, reference, rows, ours, Path(name))
                b = trl_step(policy, reference, rows, theirs, Path(name))
                off = (_off(a.loss, b.loss), max(map(_off, a.logps, b.logps)), gradient_gap(a.gradients, b.gradients))
                worst = max(worst, *off)
                results.append(
                    (kind, a.layout, ours, f"{a.loss:.6f}", f"{b.loss:.6f}", *(f"{value:.1e}" for value in off))
                )
    table(
        ("model", "layout", "objective", "clair's loss", "TRL's loss", "loss off", "log-probs off", "gradients off"),
        results,
    )
    print(f"\nlargest relative difference {worst:.1e}, allowed {TOLERANCE:.0e}")
    if not worst <= TOLERANCE:
        sys.exit("parity with TRL is broken")


def noisy(model: Any) -> Any:
    """A copy with every weight moved a little."""
    policy = copy.deepcopy(model)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return policy


def clair_step(policy: Any, reference: Any, rows: list[dict[str, Any]], objective: str, folder: Path) -> Step:
    """One step of APOTrainer: made with the reference, whose weights are then replaced by the policy's."""
    model = copy.deepcopy(reference)
    args = APOConfig(
        output_dir=str(folder), objective=objective, beta=BETA, use_cpu=True, report_to="none", bf16=False,
        per_device_train_batch_size=PAIRS, reference_cache=str(folder / "reference"),
    )  # fmt: skip
    trainer = APOTrainer(model, args, train_dataset=rows, processing_class=tiny_tokenizer())
    trainer.get_ready()
    model.load_state_dict(policy.state_dict())
    trainer.state.global_step = 1  # past the check that policy and reference agree
    batch = trainer.collator([trainer.train_dataset[i] for i in range(PAIRS)])
    loss = trainer.training_step(model, batch, torch.tensor(float(PAIRS)))
    report = trainer._meter.report(lambda tensor: tensor, torch.device("cpu"))
    return Step(
        trainer.collator.backend, float(loss), (report["logps/chosen"], report["logps/rejected"]), _gradients(model)
    )


def trl_step(policy: Any, reference: Any, rows: list[dict[str, Any]], loss_type: str, folder: Path) -> Step:
    """One step of DPOTrainer with an explicit reference model."""
    model = copy.deepcopy(policy)
    args = DPOConfig(
        output_dir=str(folder), loss_type=loss_type, beta=BETA, use_cpu=True, report_to="none", bf16=False,
        per_device_train_batch_size=PAIRS,
    )  # fmt: skip
    trainer = DPOTrainer(
        model,
        copy.deepcopy(reference),
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer(),
    )
    inputs = trainer.data_collator([trainer.train_dataset[i] for i in range(PAIRS)])
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.training_step(model, inputs)
    seen = trainer._metrics["train"]
    return Step("rows", float(loss), (seen["logps/chosen"][-1], seen["logps/rejected"][-1]), _gradients(model))


def _gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def gradient_gap(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> float:
    """Largest difference of an element, by the largest element of the same tensor."""
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    return max(float((ours[n] - theirs[n]).abs().max() / theirs[n].abs().max()) for n in theirs)


def _off(ours: float, theirs: float) -> float:
    return abs(ours - theirs) / abs(theirs)


if __name__ == "__main__":
    main()
