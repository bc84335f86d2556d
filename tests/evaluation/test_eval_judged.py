"""Judged evaluations as a user runs them: counts, resume, budget, given answers, bad input.

Real: `evaluate_judged`, client, HTTP, ledger, files. Doubles: the three models, see `contest`.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clair.errors import BudgetExhausted, LedgerError, UsageError
from clair.evaluation import evaluate_judged
from clair.evaluation.judged import aevaluate
from clair.evaluation.settings import resolve
from tests.evaluation import contest
from tests.servers.chat import ChatServer, error

Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(contest.answer, models=contest.MODELS) as running:
        yield running


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    return contest.write_prompts(tmp_path / "prompts.jsonl")


@pytest.fixture
def evaluate(server: ChatServer, prompts: Path, tmp_path: Path) -> Evaluate:
    """40 prompts, judged into tmp_path/eval. An option of None is left out."""

    def call(**options: Any) -> dict[str, Any]:
        names = {"model": "new", "baseline": "old", "judge": "judge"}
        specs = {part: f"{name}@{server.base_url}" for part, name in names.items()}
        merged = {**specs, "prompts": prompts, "out": tmp_path / "eval", **options}
        return evaluate_judged(**{name: value for name, value in merged.items() if value is not None})

    return call


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "judgments.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_figure_of_a_known_contest(evaluate: Evaluate, server: ChatServer, tmp_path: Path):
    """Of 40 prompts 16 are won, 8 lost, 4 tied, 4 decided by place, 4 answered in the same words and 4 fail. Half of
    the 12 in the middle are wins too: 22 of 36. 64 verdicts: A once for each decided prompt, and twice by place."""
    found = evaluate()
    assert (found["model"], found["baseline"], found["judge"]) == ("new", "old", "judge")
    assert (found["prompts"], found["judged"], found["failed"], found["unfinished"]) == (40, 36, 4, 0)
    assert found["complete"] is True
    assert found["failures"] == [
        {"stage": "judge", "reason": "judge_unparsable", "prompts": 2},
        {"stage": "sample", "reason": "truncated", "prompts": 2},
    ]
    assert found["results"] == {"win": 16, "loss": 8, "tie": 4, "disagreement": 4, "identical": 4}
    assert found["win_rate"]["value"] == 22 / 36
    assert found["win_rate"]["low"] < 22 / 36 < found["win_rate"]["high"]
    assert found["position"] == {"verdicts": 64, "first": 0.5, "second": 0.375, "tie": 0.125, "disagreement": 0.125}
    words = found["length"]["model"]["words"], found["length"]["baseline"]["words"]
    assert words == (pytest.approx((32 * 5 + 4 * 3) / 36), 3.0)
    assert found["requests"] == {"sample": 80, "judge": 64 + 2 * 2 * 3}
    assert server.count == 156
    assert found == json.loads((tmp_path / "eval/eval.json").read_text())


def test_each_prompt_is_a_line_in_input_order_with_both_answers_and_both_verdicts(evaluate: Evaluate, tmp_path: Path):
    evaluate()
    found = lines(tmp_path / "eval")
    assert [row["source_index"] for row in found] == list(range(40))
    assert [row["result"] or "failed" for row in found] == [contest.RESULTS[n % 10] for n in range(40)]
    assert {key: found[4][key] for key in ("prompt", "model_answer", "baseline_answer", "verdicts", "reason")} == {
        "prompt": [{"role": "user", "content": "Question 4?"}],
        "model_answer": "bad 4 new and more",
        "baseline_answer": "good 4 old",
        "verdicts": [
            {"shown_first": "model", "winner": "baseline", "reasoning": "Compared."},
            {"shown_first": "baseline", "winner": "baseline", "reasoning": "Compared."},
        ],
        "reason": None,
    }
    assert [verdict["winner"] for verdict in found[6]["verdicts"]] == ["tie", "tie"]
    assert [verdict["winner"] for verdict in found[7]["verdicts"]] == ["model", "baseline"]
    assert (found[8]["verdicts"], found[8]["reason"]) == ([], None)
    assert (found[9]["reason"], found[9]["model_answer"], found[9]["baseline_answer"]) == (
        "judge_unparsable",
        "bad 9 new and more",
        "good 9 old",
    )
    assert (found[19]["stage"], found[19]["reason"]) == ("sample", "truncated")
    assert found[19]["detail"].startswith("the baseline's answer: the answer was cut off at max_tokens")
    assert (found[4]["prompt_tokens"], found[4]["completion_tokens"]) == (10 + 10 + 400, 20 + 10 + 10)


def test_a_judge_that_always_likes_the_first_answer_comes_out_at_half(evaluate: Evaluate, server: ChatServer):
    server.answer = contest.always_first
    found = evaluate()
    assert found["win_rate"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert found["position"]["first"] == found["position"]["disagreement"] == 1.0
    assert found["results"] == {"win": 0, "loss": 0, "tie": 0, "disagreement": 34, "identical": 4}


def test_the_same_command_again_asks_nothing_and_writes_the_same(
    evaluate: Evaluate, server: ChatServer, tmp_path: Path
):
    first = evaluate()
    files = {name: (tmp_path / "eval" / name).read_bytes() for name in ("eval.json", "judgments.jsonl")}
    asked = server.count
    assert evaluate() == first
    assert server.count == asked
    assert {name: (tmp_path / "eval" / name).read_bytes() for name in files} == files


def test_more_prompts_later_buy_only_those(evaluate: Evaluate, server: ChatServer):
    assert evaluate(limit=20)["prompts"] == 20
    assert server.count == 78
    assert evaluate()["prompts"] == 40
    assert server.count == 156


def test_given_answers_are_judged_without_asking_their_models(evaluate: Evaluate, server: ChatServer, tmp_path: Path):
    columns = {"model": None, "baseline": None, "model_column": "by_new", "baseline_column": "by_old"}
    found = evaluate(**columns)
    assert {body["model"] for body in server.bodies} == {"judge"}
    assert (found["model"], found["baseline"]) == ("column:by_new", "column:by_old")
    assert found["results"] == {"win": 16, "loss": 8, "tie": 4, "disagreement": 4, "identical": 4}
    assert found["failures"] == [{"stage": "judge", "reason": "judge_unparsable", "prompts": 4}]
    swapped = columns | {"model_column": "by_old", "baseline_column": "by_new"}
    other = evaluate(**swapped, out=tmp_path / "swapped")
    assert other["results"] == found["results"] | {"win": 8, "loss": 16}
    assert other["win_rate"]["value"] == pytest.approx(1 - found["win_rate"]["value"])
    assert other["length_controlled"]["value"] == pytest.approx(1 - found["length_controlled"]["value"])


def test_one_side_may_be_given_and_the_other_asked(evaluate: Evaluate, server: ChatServer):
    found = evaluate(baseline=None, baseline_column="by_old")
    assert Counter(body["model"] for body in server.bodies)["new"] == 40
    assert found["results"]["win"] == 16
    assert found["failures"] == [{"stage": "judge", "reason": "judge_unparsable", "prompts": 4}]


def test_the_budget_stops_it_with_what_is_finished_and_more_money_goes_on(
    evaluate: Evaluate, server: ChatServer, tmp_path: Path
):
    prices = dict.fromkeys(contest.MODELS, (1000.0, 1000.0))
    options = {"prices": prices, "max_tokens": 30, "judge_max_tokens": 30, "concurrency": 1}
    with pytest.raises(BudgetExhausted, match="Raise --max-cost"):
        evaluate(max_cost=8, **options)
    found = json.loads((tmp_path / "eval/eval.json").read_text())
    assert found["complete"] is False
    assert 0 < found["cost"]["usd"] <= 8
    assert found["judged"] + found["failed"] + found["unfinished"] == found["prompts"]
    assert evaluate(max_cost=1000, **options)["results"]["win"] == 16
    assert server.count == 156


def test_an_interrupt_drains_and_the_same_command_goes_on(evaluate: Evaluate, server: ChatServer, tmp_path: Path):
    """The server asks for the stop itself, at the 30th request."""
    stops: list[Callable[[], None]] = []

    def stopping(body: dict[str, Any]) -> Any:
        if server.count == 30:
            loop.call_soon_threadsafe(stops[0])
        return contest.answer(body)

    async def interrupted() -> dict[str, Any]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        return await aevaluate(settings, on_stop=stops.append)

    loop: Any = None
    names = (("model", "new"), ("baseline", "old"), ("judge", "judge"))
    specs = {part: f"{name}@{server.base_url}" for part, name in names}
    settings = resolve({**specs, "prompts": tmp_path / "prompts.jsonl", "out": tmp_path / "eval", "concurrency": 2})
    server.answer, server.latency_s = stopping, 0.01
    found = asyncio.run(interrupted())
    assert found["complete"] is False
    assert found["judged"] + found["failed"] + found["unfinished"] == found["prompts"]
    assert server.count < 60
    server.answer = contest.answer
    assert evaluate()["results"]["win"] == 16
    assert server.count == 156


def test_what_failed_in_transit_is_tried_again_by_the_next_invocation(evaluate: Evaluate, server: ChatServer):
    """The new model is overloaded at every prompt that ends in 0."""

    def overloaded(body: dict[str, Any]) -> Any:
        text = body["messages"][-1]["content"]
        return error(503) if body["model"] == "new" and text.endswith("0?") else contest.answer(body)

    server.answer = overloaded
    found = evaluate(max_retries=0)
    assert {"stage": "sample", "reason": "overloaded", "prompts": 4} in found["failures"]
    assert (found["judged"], found["results"]["win"]) == (32, 12)
    server.answer = contest.answer
    assert evaluate()["results"]["win"] == 16


def test_another_judge_in_the_same_folder_is_refused(evaluate: Evaluate, server: ChatServer):
    evaluate(limit=3)
    with pytest.raises(LedgerError, match=r"judge: .*judge@.* -> .*old@"):
        evaluate(limit=3, judge=f"old@{server.base_url}")


def test_a_bad_row_stops_it_before_anything_is_bought_or_is_a_failure(
    evaluate: Evaluate, prompts: Path, server: ChatServer
):
    with prompts.open("a", encoding="utf-8") as file:
        file.write('{"prompt": 7}\n{"prompt": "Question 0?", "by_new": "again"}\n')
    with pytest.raises(UsageError, match="1 of 42 rows cannot be used"):
        evaluate()
    assert server.count == 0
    found = evaluate(on_bad_row="reject")
    assert (found["prompts"], found["judged"], found["failed"]) == (42, 36, 6)
    assert {(it["reason"], it["prompts"]) for it in found["failures"]} >= {("bad_row", 1), ("duplicate_prompt", 1)}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": None}, "model is missing"),
        ({"baseline": None}, "baseline is missing"),
        ({"judge": None}, "judge is missing"),
        ({"prompts": None}, "prompts are missing"),
        ({"model_column": "by_new"}, "model and model_column exclude each other"),
        ({"model": None, "model_column": "x", "baseline": None, "baseline_column": "x"}, "are the same, 'x'"),
        ({"model": None, "model_column": "nothing"}, "no such column"),
        ({"wins": 3}, "unknown option 'wins': see clair eval --help"),
        ({"prompts": "sandbox", "model": None, "model_column": "x"}, "the sandbox's problems have no columns"),
        ({"max_cost": 1.0}, "--max-cost 1.0 cannot be kept"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_bought(
    evaluate: Evaluate, server: ChatServer, options: dict[str, Any], says: str
):
    with pytest.raises(UsageError, match=says):
        evaluate(**options)
    assert server.count == 0


def test_one_model_on_both_sides_is_refused(evaluate: Evaluate, server: ChatServer):
    with pytest.raises(UsageError, match="are the same model"):
        evaluate(baseline=f"new@{server.base_url}")


def test_a_folder_that_is_no_student_of_the_sandbox_has_to_be_served(evaluate: Evaluate, tmp_path: Path):
    with pytest.raises(UsageError, match=f"vllm serve {tmp_path}.* --model http://localhost:8000/v1"):
        evaluate(model=tmp_path)


def test_a_model_that_judges_itself_shares_its_limits(evaluate: Evaluate, server: ChatServer):
    """At three requests in flight the model and the judge together never have more."""
    server.answer = lambda body: "Fine.\n[[C]]" if "answer-A-" in body["messages"][-1]["content"] else (
        contest.answer(body)
    )  # fmt: skip
    server.latency_s = 0.05
    found = evaluate(judge=f"new@{server.base_url}", baseline=None, baseline_column="by_old", concurrency=3, limit=12)
    assert found["results"]["tie"] == 11
    assert server.max_in_flight <= 3
