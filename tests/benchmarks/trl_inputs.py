"""Write the inputs of `bench_train`: pairs that fit, a tokenizer made from them, and model folders.

python -m tests.benchmarks.trl_inputs FOLDER REAL MADE WIDTH LAYERS VOCABULARY...   (environment of trl_environment.py)

FOLDER/pairs.jsonl holds the warm-up pairs of the first step, then the measured ones in a fixed order;
FOLDER/VOCABULARY are models that differ in the size of their vocabulary only. Prints counts as JSON.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from clair.train.data import pairs_of
from clair.train.tokenize import tokenize_pairs
from tests.benchmarks.trl_models import byte_pairs, save, small_llama
from tests.benchmarks.trl_pairs import Record, made_pairs, real_pairs

STEP = 8
MAX_LENGTH = 1024
"""TRL's default: longer texts are cut there and dropped by clair, so neither gets any."""
TOKENIZER = 32_000
HEAD_WIDTH = 64


def main(folder: Path, n_real: int, n_made: int, width: int, layers: int, vocabularies: list[int]) -> None:
    disable_progress_bar()
    real, made = real_pairs(), made_pairs()
    tokenizer = byte_pairs(
        (turn["content"] for row in real + made for turns in row.values() for turn in turns), TOKENIZER
    )
    made = fitting(made, tokenizer)
    random.Random(1).shuffle(made)
    measured = fitting(real, tokenizer)[:n_real] + made[:n_made]
    random.Random(2).shuffle(measured)
    warm_up = made[-STEP:]
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in warm_up + measured)
    for vocabulary in vocabularies:
        model = small_llama(
            tokenizer,
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=width * 11 // 4,
            num_hidden_layers=layers,
            num_attention_heads=width // HEAD_WIDTH,
            num_key_value_heads=width // HEAD_WIDTH // 2,
        )
        save(folder / str(vocabulary), tokenizer, model)
    tokens, _ = tokenize_pairs(pairs_of(measured), tokenizer, max_length=MAX_LENGTH)
    apart, shared = (sum(getattr(pair, name) for pair in tokens) for name in ("unshared_length", "tree_length"))
    print(json.dumps({"pairs": len(measured), "tokens": apart, "shared": shared, "tokenizer": len(tokenizer)}))


def fitting(rows: list[Record], tokenizer: Any) -> list[Record]:
    """The rows whose two texts fit into MAX_LENGTH."""
    return [row for row in rows if max(_length(row, name, tokenizer) for name in ("chosen", "rejected")) <= MAX_LENGTH]


def _length(row: Record, answer: str, tokenizer: Any) -> int:
    return len(tokenizer.apply_chat_template([*row["prompt"], *row[answer]], return_dict=True)["input_ids"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:6]), [int(v) for v in sys.argv[6:]])
