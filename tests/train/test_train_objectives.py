"""Losses by value and gradient, worked by hand. Nothing is doubled."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from clair.errors import UsageError
from clair.train import objectives
from clair.train.objectives import PairLoss

NATS = st.floats(-30, 30)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def loss_and_gradient(name: str, reward_chosen: float, reward_rejected: float) -> tuple[float, float, float]:
    """Loss and its derivatives by the two rewards, at beta 0.5 and nonzero reference log-probs."""
    beta, ref_chosen, ref_rejected = 0.5, -7.0, -11.0
    chosen = torch.tensor([ref_chosen + reward_chosen / beta], dtype=torch.float64, requires_grad=True)
    rejected = torch.tensor([ref_rejected + reward_rejected / beta], dtype=torch.float64, requires_grad=True)
    references = torch.tensor([ref_chosen], dtype=torch.float64), torch.tensor([ref_rejected], dtype=torch.float64)
    loss: Tensor = getattr(objectives, name)(chosen, rejected, *references, beta)
    loss.sum().backward()
    gradients = [0.0 if x.grad is None else x.grad.item() / beta for x in (chosen, rejected)]
    return loss.item(), gradients[0], gradients[1]


def near(*values: float) -> object:
    return pytest.approx(values, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "rewards", "expected"),
    [
        # (1 - s(2)) + s(-2) = 2 * 0.1192; derivatives -s'(2) and s'(-2) with s'(2) = 0.10499
        ("apo_zero", (2.0, -2.0), (0.2384, -0.1050, 0.1050)),
        # (1 - s(-2)) + s(-2) = 1; both at s'(-2)
        ("apo_zero", (-2.0, -2.0), (1.0, -0.1050, 0.1050)),
        # s(2) + 1 - s(4) = 0.8808 + 0.0180; s'(2) - s'(4), s'(4) with s'(4) = 0.01766
        ("apo_down", (2.0, -2.0), (0.8988, 0.0873, 0.0177)),
        # s(-2) + 1 - s(0) = 0.1192 + 0.5; 0.1050 - 0.25, 0.25
        ("apo_down", (-2.0, -2.0), (0.6192, -0.1450, 0.2500)),
        # log(1 + e^-4) = 0.01815; -(1 - s(4)) = -0.01799
        ("dpo", (2.0, -2.0), (0.0181, -0.0180, 0.0180)),
        ("dpo", (-1.0, 1.0), (2.1269, -0.8808, 0.8808)),
        # half of apo_zero
        ("apo_zero_unpaired", (2.0, -2.0), (0.1192, -0.0525, 0.0525)),
        # ((1 - s(2)) + (1 - s(2))) / 2
        ("kto", (2.0, -2.0), (0.1192, -0.0525, 0.0525)),
    ],
)
def test_value_and_gradient_by_reward(
    name: str, rewards: tuple[float, float], expected: tuple[float, float, float]
) -> None:
    assert loss_and_gradient(name, *rewards) == near(*expected)


def test_ipo_pulls_the_margin_to_one_over_two_beta() -> None:
    """Margin 3 at beta 0.25: (3 - 2)^2 = 1, derivative 2 by chosen and -2 by rejected."""
    chosen = torch.tensor([-1.0], requires_grad=True)
    rejected = torch.tensor([-5.0], requires_grad=True)
    loss = objectives.ipo(chosen, rejected, torch.tensor([-2.0]), torch.tensor([-3.0]), 0.25)
    loss.sum().backward()
    assert (loss.item(), chosen.grad.item(), rejected.grad.item()) == (1.0, 2.0, -2.0)


def test_kto_shifts_both_rewards_by_its_baseline() -> None:
    """beta 1, baseline 0.5: (1 - s(2 - 0.5) + 1 - s(0.5 + 1)) / 2 = 1 - s(1.5)."""
    loss = objectives.kto(
        torch.tensor([2.0]), torch.tensor([-1.0]), torch.tensor([0.0]), torch.tensor([0.0]), 1.0, kl=0.5
    )
    assert loss.item() == pytest.approx(1 - sigmoid(1.5))


def test_sft_looks_at_chosen_only() -> None:
    one = torch.tensor([-3.0])
    assert objectives.sft(one, one * 9, one * 5, one * 7, 0.1).tolist() == [3.0]


@pytest.mark.parametrize(
    ("objective", "expected"),
    [
        ("apo_zero", 1.0), ("apo_down", 1.0), ("dpo", math.log(2)), ("ipo", 25.0), ("kto", 0.5),
        ("apo_zero_unpaired", 0.5), ("sft", None),
    ],
)  # fmt: skip
def test_loss_of_every_pair_at_the_start(objective: str, expected: float | None) -> None:
    """Policy = reference: the loss is a constant that does not depend on the pairs."""
    loss = PairLoss(objective, 0.1)
    assert loss.loss_at_start == (None if expected is None else pytest.approx(expected))
    if expected is not None:
        logps = torch.tensor([-10.0, -20.0, -3.0, -4.0])
        lengths = torch.tensor([5.0, 6.0, 2.0, 2.0])
        assert loss(logps, logps, lengths).tolist() == pytest.approx([expected, expected])


@given(logp=NATS, reference=NATS)
def test_an_identical_pair_has_no_gradient_under_apo_zero(logp: float, reference: float) -> None:
    """Chosen and rejected are one text, so one number; its two contributions cancel to the last bit."""
    same = torch.tensor([logp], requires_grad=True)
    anchor = torch.tensor([reference])
    objectives.apo_zero(same, same, anchor, anchor, 0.1).sum().backward()
    assert same.grad.item() == 0.0


@given(rewards=st.tuples(NATS, NATS))
def test_apo_zero_always_pushes_chosen_up_and_rejected_down(rewards: tuple[float, float]) -> None:
    loss, by_chosen, by_rejected = loss_and_gradient("apo_zero", *rewards)
    assert 0 <= loss <= 2
    assert by_chosen <= 0 <= by_rejected


def test_per_token_objectives_divide_by_length() -> None:
    """SFT of 8 nats over 4 tokens is 2, IPO sees mean log-ratios 1/2 and -1/3: (5/6 - 1)^2 at beta 0.5."""
    logps, reference = torch.tensor([-8.0, -9.0]), torch.tensor([-10.0, -8.0])
    lengths = torch.tensor([4.0, 3.0])
    assert PairLoss("sft")(logps, reference, lengths).tolist() == [2.0]
    assert PairLoss("ipo", 0.5)(logps, reference, lengths).tolist() == pytest.approx([(5 / 6 - 1) ** 2])


def test_sft_weight_adds_the_mean_negative_log_prob_of_chosen() -> None:
    """apo_zero at the start is 1; 0.5 times 8 nats over 4 tokens adds 1."""
    logps = torch.tensor([-8.0, -9.0])
    assert PairLoss("apo_zero", sft_weight=0.5)(logps, logps, torch.tensor([4.0, 3.0])).tolist() == [2.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "apo"}, "objective 'apo' is unknown; choose one of apo_zero, apo_down"),
        ({"beta": 0.0}, "beta must be a positive number, got 0.0"),
        ({"beta": math.nan}, "beta must be a positive number, got nan"),
    ],
)
def test_unusable_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PairLoss(**settings)
