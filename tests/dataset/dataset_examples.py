"""Outcomes for the tests of the dataset; the figures of a pair's contrast are worked by hand, not measured."""

from __future__ import annotations

from typing import Any

from clair.dataset.summary import RunFacts
from clair.records import Contrast, Message, Pair, Reject, Spent

CONTRAST = Contrast(
    word_distance=1,
    word_similarity=0.75,
    jaccard=0.6,
    char_distance=3,
    char_similarity=0.8,
    shared_prefix=0.75,
    length_ratio=1.0,
    edits=1,
)

FACTS = RunFacts(
    name="run",
    command="clair generate prompts.jsonl -o run --target small --reviser large",
    recipe="clair",
    target_model="small",
    reviser_model="large",
    settings={"max_change": 0.5, "principle": ("be brief",)},
    templates={"edits": "ab12", "rewrite": "cd34"},
    versions={"clair": "0.1.0"},
)


def pair(number: int, **changes: Any) -> Pair:
    """A pair whose id is the number in 32 hex digits."""
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "prompt": (Message(role="user", content=f"What is {number} + 1?"),),
        "chosen": f"It is {number + 1} .",
        "rejected": f"It is {number} .",
        "rationale": "off by one",
        "recipe": "clair",
        "protocol": "edits",
        "target_model": "small",
        "reviser_model": "large",
        "judge_model": None,
        "contrast": CONTRAST,
        "spent": Spent(attempts=1, prompt_tokens=10, completion_tokens=5, cost_usd=0.5),
        "source": "prompts.jsonl",
        "source_index": number,
        "metadata": '{"level":1}',
    }
    return Pair(**{**values, **changes})


def reject(number: int, **changes: Any) -> Reject:
    """A reject that ended at the gate."""
    values: dict[str, Any] = {
        "id": f"{number:032x}",
        "prompt": (Message(role="user", content="Why?"),),
        "stage": "gate",
        "reason": "too_different",
        "detail": "78 % of the words changed",
        "response": "Because.",
        "revision": "Since it is so.",
        "spent": Spent(attempts=3, prompt_tokens=30, completion_tokens=15, cost_usd=1.5),
        "source": "prompts.jsonl",
        "source_index": number,
    }
    return Reject(**{**values, **changes})
