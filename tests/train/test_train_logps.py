"""Packed rows against a plain implementation: one sequence at a time, the model's own logits, autograd throughout.

Real transformers models of four architectures.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from tiny_models import KINDS, VOCABULARY, tiny_model
from torch import Tensor
from transformers import Llama4ForCausalLM, Llama4TextConfig

from clair.errors import ClairError
from clair.train import attention, logps
from clair.train.layout import PairTokens, Row, padded_row, shared_row
from clair.train.objectives import PairLoss

OBJECTIVES = ("apo_zero", "apo_down", "dpo", "ipo")


def make_pairs() -> list[PairTokens]:
    """Three pairs, longer than the sliding window of 5: a common prefix, none, and a branch that ends at once."""
    rng = random.Random(3)

    def some(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(6, VOCABULARY) for _ in range(n))

    first = some(4)
    return [
        PairTokens(some(7), (*first, *some(5)), (*first, *some(6))),
        PairTokens(some(3), some(9), some(4)),
        PairTokens(some(5), (*first, 9), first),
    ]


PAIRS = make_pairs()


def plain_logps(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> Tensor:
    logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1)[range(len(completion)), list(completion)]


def plain_loss(model: Any, pairs: list[PairTokens], reference: Any, loss: PairLoss) -> tuple[Tensor, Tensor]:
    """(loss, log-prob sums [2 n]) by separate forward passes of policy and reference."""
    both = [(pair.prompt, completion) for pair in pairs for completion in (pair.chosen, pair.rejected)]
    sums = torch.stack([plain_logps(model, *sequence).sum() for sequence in both])
    with torch.no_grad():
        anchors = torch.stack([plain_logps(reference, *sequence).sum() for sequence in both])
    return loss(sums, anchors, torch.tensor([float(len(c)) for _, c in both])).sum(), sums


def prepared(model: Any, backend: attention.Backend, max_logits: int = 1 << 27) -> Any:
    if backend != "padded":
        attention.use_tree(model)
    logps.prepare(model, backend=backend, max_logits=max_logits)
    return model


def rows_of(backend: attention.Backend, reference: Any) -> list[Row]:
    rows = [padded_row(pair) for pair in PAIRS] if backend == "padded" else [shared_row(PAIRS)]
    prepared(reference, backend)
    for row in rows:
        row.reference = reference(row=row)["logps"]
    return rows


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("backend", ["sdpa", "padded"])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_equals_separate_in_logps_loss_and_gradient(
    kind: str, backend: attention.Backend, objective: str
) -> None:
    policy, anchor = tiny_model(kind, seed=1), tiny_model(kind, seed=2)
    loss = PairLoss(objective, beta=0.3)
    expected, sums = plain_loss(policy, PAIRS, anchor, loss)
    expected.backward()
    gradients = {name: p.grad for name, p in policy.named_parameters()}
    policy.zero_grad()
    prepared(policy, backend)
    outputs = []
    for row in rows_of(backend, anchor):
        outputs.append(policy(row=row, pair_loss=loss))
        outputs[-1]["loss"].backward()
    assert torch.cat([o["sums"] for o in outputs]).tolist() == pytest.approx(sums.tolist(), rel=1e-4)
    assert sum(o["loss"].item() for o in outputs) == pytest.approx(expected.item(), rel=1e-4)
    for name, parameter in policy.named_parameters():
        largest = gradients[name].abs().max()
        assert (parameter.grad - gradients[name]).abs().max() <= 1e-4 * largest, name


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3"])
def test_a_pair_in_pieces_gives_the_same_gradient(kind: str) -> None:
    """Room for 3 tokens of logits at a time against room for all; untied, tied and soft-capped heads."""
    gradients = []
    for max_logits in (1 << 27, 3 * VOCABULARY):
        model = prepared(tiny_model(kind, seed=1), "sdpa", max_logits)
        (row,) = rows_of("sdpa", tiny_model(kind, seed=2))
        model(row=row, pair_loss=PairLoss("apo_down", 0.3))["loss"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-5 * gradients[0].abs().max()


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gemma3"])
def test_gradients_added_in_place_equal_those_that_autograd_adds(kind: str) -> None:
    """Two rows, scaled, untied and tied heads; compared with rows whose gradients autograd hands on."""
    gradients = []
    for in_place in (False, True):
        model = tiny_model(kind, seed=1)
        attention.use_tree(model)
        logps.prepare(model, backend="sdpa", add_in_place=in_place)
        (row,) = rows_of("sdpa", tiny_model(kind, seed=2))
        for scale in (0.25, 0.5):
            model(row=row, pair_loss=PairLoss("dpo", 0.3), scale=scale)["loss"].backward()
        assert not any(p.grad.is_sparse for p in model.parameters())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-6 * gradients[0].abs().max()


def test_a_loss_changed_after_the_gradient_was_added_is_an_error() -> None:
    model = tiny_model(seed=1)
    attention.use_tree(model)
    logps.prepare(model, backend="sdpa", add_in_place=True)
    (row,) = rows_of("sdpa", tiny_model(seed=2))
    loss = model(row=row, pair_loss=PairLoss())["loss"]
    with pytest.raises(RuntimeError, match="was changed after"):
        (loss * 0.5).backward()


def test_a_frozen_head_gets_no_gradient_and_any_other_use_of_the_model_dense_ones() -> None:
    model = tiny_model(seed=1)
    attention.use_tree(model)
    model.get_output_embeddings().weight.requires_grad_(False)
    logps.prepare(model, backend="sdpa", add_in_place=True)
    (row,) = rows_of("sdpa", tiny_model(seed=2))
    model(row=row, pair_loss=PairLoss())["loss"].backward()
    assert model.get_output_embeddings().weight.grad is None
    model.zero_grad()
    model(input_ids=torch.tensor([[5, 6, 7]])).logits.sum().backward()
    assert not model.get_input_embeddings().weight.grad.is_sparse


def test_weights_in_half_precision_get_dense_gradients_from_autograd() -> None:
    model = tiny_model(seed=1).to(torch.bfloat16)
    attention.use_tree(model)
    logps.prepare(model, backend="sdpa", add_in_place=True)
    (row,) = rows_of("sdpa", tiny_model(seed=2))
    model(row=row, pair_loss=PairLoss())["loss"].backward()
    assert not any(p.grad.is_sparse for p in model.parameters())


def test_checkpointing_does_not_change_the_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = prepared(tiny_model("qwen3", seed=1), "sdpa").train()
        if checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable()
        (row,) = rows_of("sdpa", tiny_model("qwen3", seed=2))
        model(row=row, pair_loss=PairLoss())["loss"].backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.equal(*gradients)


def test_an_identical_pair_leaves_the_weights_alone() -> None:
    """Exactly zero, at weights where policy and reference differ."""
    model = prepared(tiny_model(seed=1), "sdpa")
    row = shared_row([PairTokens((5, 6), (7, 8, 9), (7, 8, 9))], reference=[[-1.0, -2.0, -3.0]])
    model(row=row, pair_loss=PairLoss("apo_zero"))["loss"].backward()
    assert all(not p.grad.any() for p in model.parameters())


def test_token_weights_scale_tokens_before_they_are_summed() -> None:
    """Weight 0 on all but one token of each answer: the loss is that of the two single tokens."""
    model = prepared(tiny_model(seed=1), "sdpa")
    pair = PairTokens((5, 6), (7, 8), (9, 10))
    anchor = [-1.0, -2.0, -3.0, -4.0]
    row = shared_row([pair], weights=[[0.0, 1.0, 1.0, 0.0]], reference=[anchor])
    found = model(row=row)["logps"]
    loss = model(row=row, pair_loss=PairLoss("dpo", 1.0))["loss"]
    margin = (found[1] + 2.0) - (found[2] + 3.0)
    assert loss.item() == pytest.approx(torch.nn.functional.softplus(-margin).item(), rel=1e-5)


def test_the_group_borders_of_the_head() -> None:
    """Pairs of 3, 4, 9 and 2 tokens: at most 7 at once, the long pair alone."""
    assert list(logps.groups((3, 7, 16, 18), 7)) == [(0, 2, 0, 7), (2, 3, 7, 16), (3, 4, 16, 18)]
    assert list(logps.groups((), 7)) == []


def test_a_prepared_model_still_generates_as_before() -> None:
    model = tiny_model("mistral")
    ids = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
    before = model.generate(ids, max_new_tokens=5, do_sample=False)
    after = prepared(model, "sdpa").generate(ids, max_new_tokens=5, do_sample=False)
    assert before.tolist() == after.tolist()


def test_a_copy_of_a_prepared_model_computes_with_its_own_weights() -> None:
    model = prepared(tiny_model(), "sdpa")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert model(input_ids=torch.tensor([[5, 6, 7]])).logits.any()
    assert not twin(input_ids=torch.tensor([[5, 6, 7]])).logits.any()
    assert not twin(row=shared_row(PAIRS))["logps"].diff().any()


def test_a_model_that_is_its_own_base_model_gives_its_hidden_states() -> None:
    """Llama4ForCausalLM, alone of its text model."""
    small = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2}
    config = Llama4TextConfig(**small, **heads, intermediate_size_mlp=48, eos_token_id=1, pad_token_id=0)
    torch.manual_seed(0)
    model = Llama4ForCausalLM(config).eval()
    pair = PAIRS[1]
    expected = [plain_logps(model, pair.prompt, c) for c in (pair.chosen, pair.rejected[pair.shared :])]
    found = prepared(model, "padded")(row=padded_row(pair))["logps"]
    assert (found - torch.cat(expected)).abs().max() < 1e-4


def test_scaled_logits_are_understood() -> None:
    """Granite divides its logits by `logits_scaling`."""
    assert logps.head_of(tiny_model(logits_scaling=4.0)).scale == 0.25
    assert logps.head_of(tiny_model("gemma3")).cap == 5.0


def test_a_head_that_is_not_plain_is_refused() -> None:
    model = tiny_model()
    model.lm_head = torch.nn.Linear(32, VOCABULARY, bias=True)
    with pytest.raises(ClairError, match="the output head of llama has a bias"):
        logps.prepare(model, backend="sdpa")
    model.lm_head = torch.nn.Sequential()
    with pytest.raises(ClairError, match="the output head of llama is Sequential, but only a plain linear head"):
        logps.prepare(model, backend="sdpa")
