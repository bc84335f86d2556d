"""Rows that are turned away by hygiene: nothing is bought for them, and the rules may change between invocations.

Real: `clair.generate`, client, HTTP, server, ledger, files. Doubles: what the two models say (`tests.servers.world`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clair.errors import UsageError
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import digests, pairs, reasons, rejects, write_jsonl
from tests.servers.chat import ChatServer

FILLER = "Please write a long and careful text with all that you know and leave nothing out."
CONTAMINATED = ("sample", "contaminated")
NEAR = ("sample", "near_duplicate_prompt")


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Ten prompts; 3 and 7 differ in one sign from 2 and 6, and 8 is 0 again."""
    texts = [f"Tell me about row {n}. {FILLER} It is about number {n} and {n} alone." for n in range(10)]
    texts[3], texts[7], texts[8] = texts[2].replace(" alone.", " alone!"), texts[6] + " Thanks", texts[0]
    return write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": text} for text in texts])


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """Rows 1 and 4 as an evaluation set has them."""
    held = [f"tell me ABOUT row {n} - {FILLER.upper()} it is about: number {n}, and {n} alone" for n in (1, 4)]
    return write_jsonl(tmp_path / "test.jsonl", [{"q": text, "n": 1} for text in held[:1]] + [{"q": held[1]}])


def strict(evaluation: Path) -> dict[str, Any]:
    return {"near_duplicates": 0.9, "decontaminate": (str(evaluation),)}


def only_shared_with(*numbers: int, folder: Path) -> Path:
    """An evaluation set that holds no words in a row that all prompts have."""
    texts = [f"about row {n}. Please write a long and careful text with all that" for n in numbers]
    return write_jsonl(folder / "short.jsonl", [{"q": text} for text in texts])


def test_a_refused_prompt_costs_nothing_and_names_its_reason(
    server: ChatServer, generate_world: Generate, prompts: Path, tmp_path: Path
):
    run, evaluation = tmp_path / "run", only_shared_with(1, 4, folder=tmp_path)
    summary = generate_world(run, prompts=str(prompts), **strict(evaluation))
    assert (summary.pairs, summary.rejected) == (5, 5)
    duplicate = ("sample", "duplicate_prompt")
    assert reasons(run) == {1: CONTAMINATED, 3: NEAR, 4: CONTAMINATED, 7: NEAR, 8: duplicate}
    first = rejects(run)[0]
    assert first["detail"] == (
        'shares "about row 1 please write a long and careful text with all that" with short.jsonl, line 1'
    )
    assert (first["cost_usd"], first["attempts"], first["response"]) == (0.0, 0, None)
    assert rejects(run)[1]["detail"].endswith("to prompts.jsonl, source_index 2")
    asked = {body["messages"][0]["content"] for body in server.bodies if body["model"] == "target"}
    assert len(asked) == server.count // 2 == 5


def test_text_that_all_prompts_share_makes_all_of_them_contaminated(
    server: ChatServer, generate_world: Generate, prompts: Path, evaluation: Path, tmp_path: Path
):
    summary = generate_world(tmp_path / "run", prompts=str(prompts), decontaminate=(str(evaluation),))
    assert (summary.pairs, server.count) == (0, 0)


def test_rules_may_come_and_go_and_nothing_is_bought_twice(
    server: ChatServer, generate_world: Generate, prompts: Path, tmp_path: Path
):
    """A row that an earlier invocation finished and that is refused now keeps what it cost."""
    run, evaluation = tmp_path / "run", only_shared_with(1, 4, folder=tmp_path)
    generate_world(run, prompts=str(prompts))
    bought, open_to_all = server.count, digests(run)
    generate_world(run, prompts=str(prompts), **strict(evaluation))
    assert [row["source_index"] for row in pairs(run)] == [0, 2, 5, 6, 9]
    assert [row["attempts"] for row in rejects(run)] == [1, 1, 1, 1, 0]
    refused = digests(run)
    generate_world(run, prompts=str(prompts), **strict(evaluation))
    assert (server.count, digests(run)) == (bought, refused)
    generate_world(run, prompts=str(prompts), near_duplicates=0.9)
    assert reasons(run) == {3: NEAR, 7: NEAR, 8: ("sample", "duplicate_prompt")}
    generate_world(run, prompts=str(prompts))
    assert (server.count, digests(run)) == (bought, open_to_all)


def test_a_row_that_was_refused_from_the_start_is_bought_when_the_rule_goes(
    server: ChatServer, generate_world: Generate, prompts: Path, tmp_path: Path
):
    run, evaluation = tmp_path / "run", only_shared_with(1, 4, folder=tmp_path)
    generate_world(run, prompts=str(prompts), decontaminate=(str(evaluation),))
    bought = server.count
    generate_world(run, prompts=str(prompts))
    assert server.count == bought + 4
    assert reasons(run) == {8: ("sample", "duplicate_prompt")}


def test_a_tightened_gate_buys_no_attempts_for_a_row_that_was_refused_in_between(
    server: ChatServer, generate_world: Generate, prompts: Path, tmp_path: Path
):
    run, evaluation = tmp_path / "run", only_shared_with(1, 4, folder=tmp_path)
    generate_world(run, prompts=str(prompts))
    bought = server.count
    generate_world(run, prompts=str(prompts), decontaminate=(str(evaluation),))
    assert generate_world(run, prompts=str(prompts), max_change=1 / 80).pairs == 0
    assert server.count == bought


def test_an_evaluation_set_that_is_not_there_stops_before_anything_is_bought(
    server: ChatServer, generate_world: Generate, prompts: Path, tmp_path: Path
):
    with pytest.raises(UsageError, match=r"no file or folder .*absent\.jsonl"):
        generate_world(tmp_path / "run", prompts=str(prompts), decontaminate=(str(tmp_path / "absent.jsonl"),))
    assert server.count == 0
    assert not (tmp_path / "run").exists()


def test_samples_of_one_prompt_share_its_verdict(
    server: ChatServer, generate_world: Generate, prompts: Path, tmp_path: Path
):
    generate_world(tmp_path / "run", prompts=str(prompts), samples=2, near_duplicates=0.9)
    assert [row["source_index"] for row in rejects(tmp_path / "run")] == [3, 3, 7, 7, 8, 8]
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == [n for n in (0, 1, 2, 4, 5, 6, 9) for _ in "ab"]
