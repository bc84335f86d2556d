"""Preference pairs by bespoke curator: one LLM samples the target, a second one revises. Runs in curator's environment.

python curator_clair.py PROMPTS URL OUT_FOLDER

Every call with the same folder uses its cache. The pairs are written to OUT_FOLDER/pairs.jsonl at the end.
"""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# The tokenizer that curator would otherwise download; litellm, which it depends on, brings it along.
TOKENIZERS = Path(find_spec("litellm").submodule_search_locations[0], "litellm_core_utils", "tokenizers")
os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(TOKENIZERS))

from bespokelabs import curator  # noqa: E402
from datasets import Dataset  # noqa: E402

CONCURRENCY = 256
NO_LIMIT = 10**12  # its default is 200 requests and 100,000 tokens a minute
MARKER = "**Corrected Student Solution:**"
REVISE = """Improve the student's answer to the task with the smallest edits; copy everything else word for word.
First reason about what to change, then write the whole improved answer after the line {marker}

Task: {prompt}

Student's answer: {rejected}"""


class Target(curator.LLM):
    """Answers the prompt."""

    def prompt(self, row: dict[str, Any]) -> str:
        return row["prompt"]

    def parse(self, row: dict[str, Any], reply: str) -> dict[str, Any]:
        return {"prompt": row["prompt"], "rejected": reply}


class Reviser(curator.LLM):
    """Improves the answer."""

    def prompt(self, row: dict[str, Any]) -> str:
        return REVISE.format(marker=MARKER, **row)

    def parse(self, row: dict[str, Any], reply: str) -> dict[str, Any]:
        rationale, _, chosen = reply.partition(MARKER)
        return {**row, "chosen": chosen.strip(), "rationale": rationale.strip()}


def main(prompts: Path, url: str, out: Path) -> None:
    rows = Dataset.from_list([json.loads(line) for line in prompts.read_text().splitlines()])
    params = {
        "base_url": url,
        "api_key": "none",
        "max_concurrent_requests": CONCURRENCY,
        "max_requests_per_minute": NO_LIMIT,
        "max_tokens_per_minute": NO_LIMIT,
    }
    cache = str(out / "cache")
    sampled = Target(model_name="target", backend="openai", backend_params=params)(rows, working_dir=cache)
    revised = Reviser(model_name="reviser", backend="openai", backend_params=params)(sampled, working_dir=cache)
    revised.dataset.to_json(out / "pairs.jsonl")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
