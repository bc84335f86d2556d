"""Evaluation in every form, and trainers that share a model, a data set or themselves: one reference, one precision."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest
import torch
from accelerate import Accelerator
from test_train_trainer import make_trainer, steps
from tiny_models import chat_rows, tiny_model

from clair.errors import UsageError
from clair.train import APOTrainer


def test_evaluation_is_the_mean_over_pairs_whatever_the_batches(tmp_path: Path) -> None:
    found = []
    for batch in (2, 5):
        trainer = make_trainer(tmp_path, more={"eval_dataset": chat_rows(7, seed=3)}, per_device_eval_batch_size=batch)
        trainer.train()
        found.append(trainer.evaluate())
    for name in ("eval_loss", "eval_rewards/chosen", "eval_logps/rejected", "eval_rewards/accuracies"):
        assert found[0][name] == pytest.approx(found[1][name], abs=1e-5)


def dtypes_of(trainer: APOTrainer) -> set[torch.dtype]:
    """What the last layer computes in from now on."""
    found: set[torch.dtype] = set()
    layer = trainer.causal_model.model.layers[-1].mlp.down_proj
    layer.register_forward_hook(lambda module, args, output: found.add(output.dtype))
    return found


def test_bfloat16_is_bfloat16_in_an_evaluation_before_training(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, bf16=True, more={"eval_dataset": chat_rows(4, seed=3)})
    trainer.get_ready()
    found = dtypes_of(trainer)
    assert trainer.evaluate()["eval_rewards/chosen"] == pytest.approx(0.0, abs=1e-6)
    assert found == {torch.bfloat16}


@pytest.mark.parametrize("first", ["apo", "plain"])
def test_bfloat16_is_bfloat16_for_a_model_that_another_trainer_had(tmp_path: Path, first: str) -> None:
    """As in a notebook, or after supervised fine-tuning: the model object is the same."""
    model = tiny_model()
    if first == "apo":
        make_trainer(tmp_path, model=model, bf16=True).train()
    else:
        Accelerator(mixed_precision="bf16", cpu=True).prepare(model)
    trainer = make_trainer(tmp_path, model=model, bf16=True)
    found = dtypes_of(trainer)
    trainer.train()
    assert found == {torch.bfloat16}
    assert steps(trainer)[0]["rewards/chosen"] == pytest.approx(0.0, abs=1e-6)


def test_evaluation_takes_rows_in_every_form(tmp_path: Path) -> None:
    """A dict of sets when the trainer is made; a list or a `datasets.Dataset` later, a reference pass included."""
    few, others = chat_rows(3, seed=3), chat_rows(4, seed=4)
    trainer = make_trainer(tmp_path, more={"eval_dataset": {"few": few, "others": datasets.Dataset.from_list(others)}})
    every = trainer.evaluate()
    assert every["eval_few_loss"] == every["eval_others_loss"] == pytest.approx(1.0, abs=1e-5)
    for name, rows in (("few", few), ("others", others)):
        expected = every[f"eval_{name}_logps/chosen"]
        assert trainer.evaluate(rows)["eval_logps/chosen"] == expected
        assert trainer.evaluate(datasets.Dataset.from_list(rows))["eval_logps/chosen"] == expected
        assert trainer.predict(datasets.Dataset.from_list(rows)).metrics["test_logps/chosen"] == expected
    late = trainer.evaluate(chat_rows(2, seed=5))
    assert late["eval_loss"] == pytest.approx(1.0, abs=1e-5)


def test_only_evaluation_data_with_a_known_reference_is_taken_after_training(tmp_path: Path) -> None:
    given = chat_rows(3, seed=4)
    trainer = make_trainer(tmp_path, more={"eval_dataset": given})
    trainer.train()
    assert trainer.evaluate(given)["eval_loss"] == trainer.evaluate()["eval_loss"]
    with pytest.raises(UsageError, match="pass the evaluation data when the trainer is made"):
        trainer.evaluate(chat_rows(3, seed=5))


def test_token_pairs_used_with_two_models_follow_each_one_s_own_reference(tmp_path: Path) -> None:
    """Trainers that take turns on one `PairDataset`: always against the model of the trainer that is asked."""
    first = make_trainer(tmp_path)
    pairs = first.train_dataset
    second = make_trainer(tmp_path, rows=pairs, model=tiny_model(seed=9), more={"eval_dataset": pairs})
    first.get_ready()
    assert second.evaluate()["eval_rewards/chosen"] == pytest.approx(0.0, abs=1e-4)
    for trainer in (first, second):
        trainer.train()
        assert steps(trainer)[0]["loss"] == pytest.approx(1.0, abs=1e-5)


def test_a_second_training_goes_on_against_the_same_reference(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, num_train_epochs=4, learning_rate=5e-3, optim="adamw_torch")
    trainer.train()
    assert steps(trainer)[0]["rewards/chosen"] == pytest.approx(0.0, abs=1e-4)
    trainer.train()
    assert steps(trainer)[0]["rewards/chosen"] > 1
