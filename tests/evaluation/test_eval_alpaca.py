"""Real text: recorded preferences between Mistral-7B and GPT-4 on 400 AlpacaEval prompts, counted as a win rate.

Real: the answers, which of two was preferred, client, HTTP, ledger, files. Double: the words around the verdict.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from clair.evaluation import evaluate_judged
from tests.servers import verdicts
from tests.servers.chat import ChatServer

RECORDS = verdicts.load() or []
MISTRAL, GPT4 = "Mistral-7B-Instruct-v0.2", "gpt4_1106_preview"

pytestmark = pytest.mark.skipif(not RECORDS, reason=f"the recording is not at {verdicts.PATH}")


def test_the_win_rate_is_the_share_of_recorded_preferences(tmp_path: Path):
    """62 of 400 prefer Mistral, whose answers are shorter by 398 characters in the mean."""
    with ChatServer(verdicts.judge(RECORDS), models=("judge",), keep_bodies=False) as server:
        found = evaluate_judged(
            prompts=verdicts.PATH,
            model_column=f"outputs.{MISTRAL}",
            baseline_column=f"outputs.{GPT4}",
            judge=f"judge@{server.base_url}",
            out=tmp_path / "eval",
        )
        assert server.count == 800
    assert (found["prompts"], found["judged"]) == (400, 400)
    assert found["results"] == {"win": 62, "loss": 338, "tie": 0, "disagreement": 0, "identical": 0}
    assert found["win_rate"]["value"] == 0.155
    assert found["win_rate"]["low"] == pytest.approx(0.155 - 0.035, abs=0.01)
    assert found["win_rate"]["high"] == pytest.approx(0.155 + 0.035, abs=0.01)
    assert found["position"] == {"verdicts": 800, "first": 0.5, "second": 0.5, "tie": 0.0, "disagreement": 0.0}
    length = found["length"]
    for side, name in (("model", MISTRAL), ("baseline", GPT4)):
        characters = sum(len(record["outputs"][name]) for record in RECORDS)
        assert length[side]["characters"] == pytest.approx(characters / 400)
    assert found["length_controlled"]["length_effect"] > 0
    assert found["length_controlled"]["value"] > found["win_rate"]["value"]
