"""Preference pairs by distilabel: TextGeneration samples the target, CLAIR revises. Runs in distilabel's environment.

python distilabel_clair.py PROMPTS URL OUT_FOLDER

Every call with the same folder uses its cache. The pairs are written to OUT_FOLDER/pairs.jsonl at the end.
"""

import json
import sys
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import CLAIR, TextGeneration

# A batch is what is in flight: 2,000 rows make eight. Smaller ones wait more often, larger ones cost more CPU.
BATCH = 250
COLUMNS = {"instruction": "prompt", "student_solution": "rejected", "revision": "chosen"}


def main(prompts: Path, url: str, out: Path) -> None:
    rows = [{"instruction": json.loads(line)["prompt"]} for line in prompts.read_text().splitlines()]
    with Pipeline(name="clair", cache_dir=out / "cache") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=BATCH)
        sample = TextGeneration(
            llm=_llm("target", url), input_batch_size=BATCH, output_mappings={"generation": "student_solution"}
        )
        revise = CLAIR(llm=_llm("reviser", url), input_batch_size=BATCH, input_mappings={"task": "instruction"})
        load >> sample >> revise
    pairs = pipeline.run(use_cache=True)["default"]["train"]
    pairs.select_columns(list(COLUMNS)).rename_columns(COLUMNS).to_json(out / "pairs.jsonl")


def _llm(model: str, url: str) -> OpenAILLM:
    return OpenAILLM(model=model, base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 4096})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
