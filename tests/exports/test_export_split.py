"""Which side a prompt falls on. Pure; nothing is a double."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.errors import UsageError
from clair.exports.split import check_share, side
from clair.records import Message

MESSAGE = st.builds(Message, role=st.sampled_from(["system", "user", "assistant"]), content=st.text())
PROMPT = st.lists(MESSAGE, min_size=1, max_size=4)
SHARE = st.floats(0, 1, exclude_max=True)


@given(prompt=PROMPT, seed=st.integers(), low=SHARE, high=SHARE)
def test_a_larger_share_keeps_the_prompts_of_a_smaller_one(prompt: list[Message], seed: int, low: float, high: float):
    low, high = sorted((low, high))
    sides = (side(prompt, share=low, seed=seed), side(prompt, share=high, seed=seed))
    assert sides != ("test", "train")


@given(prompt=PROMPT, seed=st.integers())
def test_nothing_is_on_the_test_side_without_a_share(prompt: list[Message], seed: int):
    assert side(prompt, share=0, seed=seed) == "train"


def test_the_side_of_a_known_prompt_stays_what_it_is():
    """`printf '[0, [["user", "prompt 1"]]]' | sha256sum` begins with 4a66a747: 0.290629 of the range."""
    prompt = [Message(role="user", content="prompt 1")]
    assert [side(prompt, share=share, seed=0) for share in (0.29062, 0.29064)] == ["train", "test"]


def test_about_the_share_of_many_prompts_is_on_the_test_side_and_another_seed_draws_others():
    prompts = [[Message(role="user", content=str(number))] for number in range(4000)]
    one, two = ([side(prompt, share=0.1, seed=seed) == "test" for prompt in prompts] for seed in (1, 2))
    assert 330 < sum(one) < 470  # 400, give or take 3.7 standard deviations
    assert 330 < sum(two) < 470
    assert sum(a and b for a, b in zip(one, two, strict=True)) < 80  # 40 of them by chance


@given(prompt=PROMPT)
def test_a_list_and_a_tuple_of_the_same_messages_are_the_same_prompt(prompt: list[Message]):
    assert side(prompt, share=0.5, seed=0) == side(tuple(prompt), share=0.5, seed=0)


@pytest.mark.parametrize("share", [-0.1, 1.0, 5, float("nan")])
def test_a_share_out_of_range_is_refused(share: float):
    with pytest.raises(UsageError, match=r"--test-share .* must be at least 0 and below 1, such as 0.05"):
        check_share(share)
