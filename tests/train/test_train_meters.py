"""Speed and work: which time and which weights count. The clock is doubled, the models are real and tiny."""

from __future__ import annotations

import pytest
import torch
from tiny_models import VOCABULARY, tiny_model
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

from clair.train import meters
from clair.train.layout import PairTokens, shared_row
from clair.train.meters import Cost, Meter

CPU = torch.device("cpu")


def test_time_counts_from_run_to_pause_and_starts_again_with_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 s and 2 s of training with 10 s of something else between and after them; 5 + 5 tokens in 7 places."""
    now = [100.0]
    monkeypatch.setattr(meters.time, "perf_counter", lambda: now[0])
    row = shared_row([PairTokens((1, 2, 3), (4, 5), (6, 7))], reference=[[0.0] * 4])
    meter, cost = Meter(), Cost(backbone=1.0, head=1.0, peak_flops=None)
    for expected in (5, 1):
        now[0] += 10
        for seconds in (3, 2) if expected == 5 else (1,):
            meter.run()
            now[0] += seconds
            meter.run()
            meter.pause()
            now[0] += 10
        meter.add(row, torch.zeros(2), torch.zeros(1), 0.1)
        report = meter.report(lambda tensor: tensor, CPU, cost)
        assert report["tokens_per_second/logical"] == 10 / expected
        assert report["tokens_per_second/computed"] == row.tokens_computed / expected


def test_apples_gpus_have_no_float64() -> None:
    assert (meters.sum_dtype(torch.device("mps")), meters.sum_dtype(CPU)) == (torch.float32, torch.float64)


def test_a_token_goes_through_few_of_a_mixture_s_experts() -> None:
    """2 of 64: 1/32 of their weights; everything else counts whole, and a dense model is as before."""
    config = Qwen3MoeConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, num_experts=64, num_experts_per_tok=2, moe_intermediate_size=16,
    )  # fmt: skip
    model = Qwen3MoeForCausalLM(config)
    experts = sum(p.numel() for name, p in model.named_parameters() if ".experts." in name)
    ends = 2 * VOCABULARY * 32
    rest = sum(p.numel() for p in model.parameters()) - experts - ends
    assert experts == 2 * 64 * 3 * 32 * 16
    assert Cost.of(model, devices=1, device=CPU).backbone == 6 * (rest + experts / 32)
    dense = tiny_model()
    expected = 6 * (sum(p.numel() for p in dense.parameters()) - ends)
    assert Cost.of(dense, devices=1, device=CPU).backbone == expected
