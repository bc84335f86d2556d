"""Train or test, by a hash of the prompt: the same prompt always falls on the same side.

    side(row["prompt"], share=0.05, seed=0)      # "train" or "test"

The side depends on the messages of the prompt, the seed and the share alone: not on the order, the other rows, the
format or the answers. What is in the test split at a small share is in it at a larger one too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from clair.errors import UsageError
from clair.records import Message

Side = Literal["train", "test"]


def side(prompt: Sequence[Message], *, share: float, seed: int) -> Side:
    """The side of a prompt; over many prompts, about `share` of them fall on "test"."""
    if share == 0:
        return "train"
    content = json.dumps([seed, [[turn["role"], turn["content"]] for turn in prompt]])
    place = int.from_bytes(hashlib.sha256(content.encode("ascii")).digest()[:8], "big") / 2**64
    return "test" if place < share else "train"


def check_share(share: float) -> None:
    """Raises UsageError unless 0 <= share < 1."""
    if not 0 <= share < 1:
        raise UsageError(f"--test-share {share:g} must be at least 0 and below 1, such as 0.05")
