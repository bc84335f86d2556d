"""Write the inputs of `bench_train`: pairs that fit, a tokenizer made from them, and model folders.

python -m tests.benchmarks.trl_inputs FOLDER REAL MADE LONGEST VOCABULARY...    (environment of trl_environment.py)

FOLDER/pairs.jsonl holds the pairs of the first step, which warms up (short made ones of another seed), then the
measured ones in a fixed order, all of at most LONGEST tokens; FOLDER/VOCABULARY are models of one shape that differ
in the size of their vocabulary only. Prints counts as JSON.
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
TOKENIZER = 32_000
LLAMA = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
}


def main(folder: Path, n_real: int, n_made: int, longest: int, vocabularies: list[int]) -> None:
    disable_progress_bar()
    real, made = real_pairs(), made_pairs()
    texts = (turn["content"] for row in real + made for turns in row.values() for turn in turns)
    tokenizer = byte_pairs(texts, TOKENIZER)
    real, made = fitting(real, tokenizer, longest), fitting(made, tokenizer, longest)
    warm_up = sorted(made_pairs(seed=1), key=lambda row: len(row["rejected"][0]["content"]))[STEP : 2 * STEP]
    random.Random(1).shuffle(made)
    measured = real[:n_real] + made[:n_made]
    random.Random(2).shuffle(measured)
    with (folder / "pairs.jsonl").open("w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in warm_up + measured)
    for vocabulary in vocabularies:
        save(folder / str(vocabulary), tokenizer, small_llama(tokenizer, vocab_size=vocabulary, **LLAMA))
    tokens, _ = tokenize_pairs(pairs_of(measured), tokenizer, max_length=longest)
    apart, shared = (sum(getattr(pair, name) for pair in tokens) for name in ("unshared_length", "tree_length"))
    counts = {"pairs": len(measured), "real": len(real[:n_real]), "made": len(made[:n_made])}
    print(json.dumps({**counts, "tokens": apart, "shared": shared}))


def fitting(rows: list[Record], tokenizer: Any, longest: int) -> list[Record]:
    """The rows whose two texts have at most `longest` tokens each."""
    return [row for row in rows if max(_length(row, name, tokenizer) for name in ("chosen", "rejected")) <= longest]


def _length(row: Record, answer: str, tokenizer: Any) -> int:
    return len(tokenizer.apply_chat_template([*row["prompt"], *row[answer]], return_dict=True)["input_ids"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:5]), [int(v) for v in sys.argv[5:]])
