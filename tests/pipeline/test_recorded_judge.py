"""Real text: recorded preferences between two models become pairs with the recorded orientation.

Real: the answers of the models, which of two was preferred, `clair.generate`, client, HTTP, ledger, files. Double: the
words around the verdict.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import clair
from tests.pipeline.runs import pairs, rejects
from tests.servers import verdicts
from tests.servers.chat import ChatServer

RECORDS = verdicts.load() or []
LLAMA, MISTRAL, GPT4 = (
    f"outputs.{name}" for name in ("Meta-Llama-3-8B-Instruct", "Mistral-7B-Instruct-v0.2", "gpt4_1106_preview")
)

pytestmark = pytest.mark.skipif(not RECORDS, reason=f"the recording is not at {verdicts.PATH}")


@pytest.mark.parametrize("columns", [(MISTRAL, GPT4), (GPT4, MISTRAL)])
def test_every_pair_has_the_recorded_orientation_whichever_column_comes_first(tmp_path: Path, columns: tuple[str, str]):
    with ChatServer(verdicts.judge(RECORDS), models=("judge",), keep_bodies=False) as server:
        summary = clair.generate(
            prompts=verdicts.PATH,
            out=tmp_path / "run",
            recipe="judge_off_policy",
            candidate_columns=columns,
            judge=f"judge@{server.base_url}",
        )
        assert server.count == 2 * len(RECORDS)
    assert (summary.rows, summary.pairs, rejects(tmp_path / "run")) == (400, 400, [])
    wins = 0
    for pair, record in zip(pairs(tmp_path / "run"), RECORDS, strict=True):
        better, worse = verdicts.preferred(record)
        assert pair["prompt"] == [{"role": "user", "content": record["instruction"]}]
        assert pair["chosen"] == [{"role": "assistant", "content": record["outputs"][better]}]
        assert pair["rejected"] == [{"role": "assistant", "content": record["outputs"][worse]}]
        assert (pair["reviser_model"], pair["target_model"]) == (f"column:outputs.{better}", f"column:outputs.{worse}")
        assert (pair["judge_model"], pair["rationale"]) == ("judge", "As recorded.")
        wins += better == "gpt4_1106_preview"
    assert wins == 338


def test_recorded_answers_of_a_weaker_and_a_stronger_model_become_pairs_without_a_request(tmp_path: Path):
    summary = clair.generate(
        prompts=verdicts.PATH,
        out=tmp_path / "run",
        recipe="stronger_preferred",
        response_column=LLAMA,
        stronger_column=GPT4,
    )
    assert (summary.rows, summary.pairs, summary.cost_usd.value) == (400, 400, 0.0)
    for pair, record in zip(pairs(tmp_path / "run"), RECORDS, strict=True):
        assert pair["chosen"][0]["content"] == record["outputs"]["gpt4_1106_preview"]
        assert pair["rejected"][0]["content"] == record["outputs"]["Meta-Llama-3-8B-Instruct"]
        assert (pair["target_model"], pair["reviser_model"]) == (f"column:{LLAMA}", f"column:{GPT4}")
    assert summary.contrast["words_changed"].median > 0.8
