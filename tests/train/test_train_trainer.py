"""The trainer on real tiny models: exact steps, start-up checks, the reference cache, LoRA, KTO, evaluation."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig
from tiny_models import chat_rows, tiny_model, tiny_tokenizer
from transformers import PrinterCallback

from clair.errors import ClairError, UsageError
from clair.train import APOConfig, APOTrainer, meters, readiness
from clair.train.reference import pair_key

ROWS = chat_rows(11)


def make_trainer(
    folder: Path, *, rows: Any = ROWS, model: Any = None, more: dict[str, Any] | None = None, **settings: Any
) -> APOTrainer:
    config = {
        "output_dir": str(folder / "out"),
        "reference_cache": str(folder / "reference"),
        "num_train_epochs": 1,
        "per_device_train_batch_size": 4,
        "learning_rate": 1e-2,
        "beta": 0.5,
        "lr_scheduler_type": "constant",
        "optim": "sgd",
        "max_grad_norm": 1e9,
        "report_to": "none",
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        **settings,
    }
    trainer = APOTrainer(
        tiny_model() if model is None else model,
        APOConfig(**config),
        train_dataset=rows,
        processing_class=tiny_tokenizer(),
        **(more or {}),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def weights(trainer: APOTrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def steps(trainer: APOTrainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "rewards/chosen" in entry]


def test_row_size_and_accumulation_do_not_change_a_run(tmp_path: Path) -> None:
    """4 pairs per step as one batch in one row, in many rows, as 2 x 2 and as 4 x 1: the same losses and weights."""
    runs = []
    for batch, accumulate, budget in ((4, 1, 4096), (4, 1, 60), (2, 2, 4096), (1, 4, 4096)):
        trainer = make_trainer(
            tmp_path, per_device_train_batch_size=batch, gradient_accumulation_steps=accumulate, tokens_per_row=budget
        )
        trainer.train()
        assert trainer._owns_its_gradients
        runs.append((weights(trainer), [entry["loss"] for entry in steps(trainer)]))
    for other_weights, losses in runs[1:]:
        assert losses == pytest.approx(runs[0][1], abs=1e-5)
        assert (other_weights - runs[0][0]).abs().max() < 1e-5
    assert len(runs[0][1]) == 3


def test_the_first_step_starts_at_one_and_training_separates_the_pair(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, num_train_epochs=4, learning_rate=5e-3, optim="adamw_torch")
    trainer.train()
    first, last = steps(trainer)[0], steps(trainer)[-1]
    assert first["loss"] == pytest.approx(1.0, abs=1e-5)
    assert first["rewards/chosen"] == pytest.approx(0.0, abs=1e-4)
    assert last["rewards/chosen"] > 0 > last["rewards/rejected"]
    assert last["rewards/margins"] == pytest.approx(last["rewards/chosen"] - last["rewards/rejected"], abs=1e-4)
    assert last["rewards/accuracies"] == 1.0
    assert set(last) >= {
        "logps/chosen",
        "logps/rejected",
        "tokens_per_second/logical",
        "share_ratio",
        "fill_ratio",
        "peak_memory_mb",
    }


def test_other_settings_need_no_reference_pass(tmp_path: Path) -> None:
    """Learning rate, objective, beta, epochs, order and a subset of the data: 0 forward passes of the reference."""
    first = make_trainer(tmp_path)
    first.get_ready()
    assert first.reference_rows > 0
    changes: tuple[dict[str, Any], ...] = (
        {"learning_rate": 1e-4},
        {"objective": "dpo"},
        {"beta": 2.0},
        {"num_train_epochs": 2},
        {"seed": 5},
        {"rows": ROWS[3:7]},
        {"tokens_per_row": 64},
    )
    for change in changes:
        again = make_trainer(tmp_path, **change)
        again.get_ready()
        assert again.reference_rows == 0, change
    other = make_trainer(tmp_path, model=tiny_model(seed=9))
    other.get_ready()
    assert other.reference_rows == first.reference_rows


def test_an_interrupted_reference_pass_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the sixth of ten windows: the next run computes the last five, and finds what one run would have."""
    monkeypatch.setattr(readiness, "_REFERENCE_WINDOW", 4)
    rows = chat_rows(40)
    trainer = make_trainer(tmp_path, rows=rows)
    original, sixth = trainer.collator.rows, trainer.train_dataset.pairs[20:24]

    def interrupted(pairs: Any, *args: Any) -> Any:
        if pairs == sixth:
            raise KeyboardInterrupt
        return original(pairs, *args)

    trainer.collator.rows = interrupted
    with pytest.raises(KeyboardInterrupt):
        trainer.get_ready()
    again, undisturbed = make_trainer(tmp_path, rows=rows), make_trainer(tmp_path / "other", rows=rows)
    again.get_ready()
    undisturbed.get_ready()
    assert (again.reference_rows, undisturbed.reference_rows) == (5, 10)
    for i in range(40):
        left, right = again.train_dataset[i], undisturbed.train_dataset[i]
        assert left.reference.tolist() == right.reference.tolist()


def test_a_wrong_reference_stops_the_first_step(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.get_ready()
    data = trainer.train_dataset
    shifted = {pair_key(p): np.full(p.listed_length, -1.0, np.float32) for p in data.pairs}
    data.attach(shifted, data.reference_name)
    before = weights(trainer)
    with pytest.raises(ClairError, match=r"before training, policy and reference differ by .* nats per token"):
        trainer.train()
    assert torch.equal(weights(trainer), before)


def test_a_model_that_ignores_the_tree_falls_back_to_padded_rows(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tree attention is replaced by one that sees the whole row; the probe notices."""
    from clair.train import attention

    def sees_everything(query: Any, key: Any, value: Any, *args: Any) -> Any:
        both = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
        return torch.nn.functional.scaled_dot_product_attention(query, *both, is_causal=True).transpose(1, 2)

    monkeypatch.setattr(attention, "sdpa_paths", sees_everything)
    trainer = make_trainer(tmp_path)
    with caplog.at_level(logging.WARNING):
        trainer.train()
    assert trainer.collator.backend == "padded"
    assert caplog.text.count("layout: padded") == 1
    assert steps(trainer)[0]["share_ratio"] == 1.0
    assert steps(trainer)[0]["fill_ratio"] < 1.0


def test_a_head_with_arithmetic_of_its_own_is_refused(tmp_path: Path) -> None:
    class Louder(torch.nn.Module):
        def forward(self, logits: torch.Tensor) -> torch.Tensor:
            return 2 * logits

    model = tiny_model()
    model.lm_head.register_forward_hook(lambda module, args, output: Louder()(output))
    with pytest.raises(ClairError, match="the log-probs computed for llama differ from the model's own"):
        make_trainer(tmp_path, model=model).get_ready()


def test_shared_and_padded_rows_train_alike(tmp_path: Path) -> None:
    runs = []
    for layout in ("sdpa", "padded"):
        trainer = make_trainer(tmp_path, layout=layout)
        trainer.train()
        runs.append(weights(trainer))
    assert (runs[0] - runs[1]).abs().max() < 1e-5


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")
def test_lora_trains_the_adapter_against_its_base(tmp_path: Path) -> None:
    """The reference is the base model: the same cache as full fine-tuning, loss 1 at the start, base untouched."""
    make_trainer(tmp_path).get_ready()
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = make_trainer(
        tmp_path, num_train_epochs=3, optim="adamw_torch", more={"peft_config": config}, gradient_checkpointing=True
    )
    trainer.train()
    assert trainer.reference_rows == 0
    assert steps(trainer)[0]["loss"] == pytest.approx(1.0, abs=1e-5)
    assert steps(trainer)[-1]["rewards/margins"] > 1
    base = trainer.causal_model.state_dict()
    untouched = tiny_model().state_dict()
    same = {k: torch.equal(base[k.replace("proj.weight", "proj.base_layer.weight")], v) for k, v in untouched.items()}
    assert all(same.values())


def test_kto_trains_with_a_baseline_from_other_prompts(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, objective="kto", num_train_epochs=4, learning_rate=5e-3, optim="adamw_torch")
    trainer.train()
    assert steps(trainer)[0]["loss"] == pytest.approx(0.5, abs=1e-5)
    assert steps(trainer)[-1]["rewards/margins"] > 1
    data = trainer.train_dataset
    assert list(data.baselines[0].chosen) == list(data.pairs[1].chosen)


def test_sft_raises_chosen_and_weights_single_out_the_edit(tmp_path: Path) -> None:
    for settings in ({"objective": "sft"}, {"shared_weight": 0.0}, {"sft_weight": 1.0}):
        trainer = make_trainer(tmp_path, num_train_epochs=4, learning_rate=5e-3, optim="adamw_torch", **settings)
        trainer.train()
        assert steps(trainer)[-1]["rewards/chosen"] > 1, settings


def test_time_outside_of_training_does_not_slow_the_reported_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference pass and every evaluation take 1000 s more, on a clock that is doubled."""
    now = [0.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    evaluation = {"eval_strategy": "steps", "eval_steps": 1}
    trainer = make_trainer(tmp_path, more={"eval_dataset": chat_rows(2, seed=3)}, **evaluation)
    slow, step = {n: getattr(trainer, n) for n in ("_reference_logps", "evaluation_loop")}, trainer.training_step

    def taking(seconds: int, call: Any) -> Any:
        def later(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            now[0] += seconds
            return result

        return later

    for name, method in slow.items():
        setattr(trainer, name, taking(1000, method))
    trainer.training_step = taking(2, step)
    trainer.train()
    for entry in steps(trainer):
        assert 10 < entry["tokens_per_second/logical"] < 1000


def test_arguments_without_effect_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="compute_metrics would have no effect: logits are never held"):
        make_trainer(tmp_path, more={"compute_metrics": lambda prediction: {}})
    pairs = make_trainer(tmp_path).train_dataset
    with pytest.raises(UsageError, match="objective 'kto' needs a PairDataset made with with_baseline=True"):
        make_trainer(tmp_path, rows=pairs, objective="kto")


def test_a_loss_that_is_no_number_stops_before_the_update(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.get_ready()
    with torch.no_grad():
        trainer.model.lm_head.weight[3] = float("nan")
    trainer._check_start = lambda row, sums: None
    with pytest.raises(ClairError, match="the loss is nan in step 1; nothing was saved"):
        trainer.train()


def test_a_gradient_that_is_no_number_stops_the_run_in_a_step_that_is_not_logged(tmp_path: Path) -> None:
    """The only step: no loss after it would tell."""
    trainer = make_trainer(tmp_path, rows=ROWS[:4], logging_steps=100, save_strategy="epoch")
    trainer.model.model.layers[0].mlp.down_proj.weight.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(ClairError, match="the gradient is nan in step 1; go on from the last checkpoint"):
        trainer.train()
    assert not list((tmp_path / "out").glob("checkpoint-*"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "orpo"}, "objective 'orpo' is unknown"),
        ({"layout": "flex"}, "layout 'flex' is unknown; choose auto, sdpa, varlen or padded"),
        ({"shared_weight": 2.0}, "shared_weight must lie between 0 and 1, got 2.0"),
        ({"max_length": 1}, "max_length must be at least 2 tokens, got 1"),
    ],
)
def test_unusable_settings_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_trainer(tmp_path, **settings)
