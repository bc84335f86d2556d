"""Refusals and failures of single requests by batch: which end their row, which the run, and what they cost.

Real: `clair.generate`, the `openai` client, HTTP, ledger, files. Doubles: the two models, and the server of the Batch
API (`tests.servers.batch`).
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clair.errors import EndpointUnusable
from clair.ledger import Ledger
from tests.engines.batch.conftest import by_batch, shards
from tests.pipeline.runs import pairs, reasons
from tests.servers import world
from tests.servers.batch import BatchServer, Ending
from tests.servers.chat import Fault, Reply, error

MODELS = ("target", "reviser")


def number_of(body: dict[str, Any]) -> int:
    """The row that a request is about."""
    found = re.search(r"about row (\d+)\.", " ".join(message["content"] for message in body["messages"]))
    assert found is not None
    return int(found[1])


def test_refusals_of_single_requests_end_their_rows_as_they_do_online(tmp_path: Path):
    refusals = {
        2: (400, {"error": {"message": "m", "code": "content_filter"}}),
        5: (400, {"error": {"message": "m", "code": "context_length_exceeded"}}),
        7: (400, {"error": {"message": "m", "type": "invalid_request_error"}}),
    }

    def answer(body: dict[str, Any]) -> Reply | Fault:
        if body["model"] == "reviser" and number_of(body) in refusals:
            status, said = refusals[number_of(body)]
            return Fault(status=status, body=said)
        return world.answer(body)

    with BatchServer(answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run", 10)
        again = by_batch(server, tmp_path / "run", 10, max_change=0.6)  # rows are derived again, and not asked again
    with BatchServer(answer, models=MODELS) as other:
        by_batch(other, tmp_path / "online", 10, engine="here")
    assert reasons(tmp_path / "run") == {
        2: ("revise", "content_filter"),
        5: ("revise", "context_too_long"),
        7: ("revise", "bad_request"),
    }
    assert shards(tmp_path / "run") == shards(tmp_path / "online")
    assert again.progress.bought == 0
    assert set(server.submitted.values()) == {1}


def test_what_fails_again_and_again_is_given_up_and_tried_again_by_the_next_command(tmp_path: Path):
    broken = {"now": True}

    def answer(body: dict[str, Any]) -> Reply | Fault:
        if body["model"] == "reviser" and broken["now"] and number_of(body) == 1:
            return Fault(status=500, body={"error": {"message": "the model crashed"}})
        return world.answer(body)

    with BatchServer(answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run", 3)
        assert reasons(tmp_path / "run") == {1: ("revise", "overloaded")}
        assert sorted(server.submitted.values()) == [1, 1, 3]
        broken["now"] = False
        by_batch(server, tmp_path / "run", 3)
    assert reasons(tmp_path / "run") == {}


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (401, "invalid_api_key", "Check the API key"),
        (429, "insufficient_quota", "no quota left; add credit"),
        (404, "model_not_found", "gone"),
    ],
)
def test_quota_key_and_model_errors_of_a_line_stop_the_run_and_keep_the_other_answers(
    tmp_path: Path, calm: dict[str, str], status: int, code: str, sentence: str
):
    said = (status, {"error": {"message": "gone", "code": code}})
    with BatchServer(world.answer, models=MODELS, endings=[Ending(failures={40: said})]) as server:
        with pytest.raises(EndpointUnusable, match=f"{sentence}.*the same command goes on"):
            by_batch(server, tmp_path / "run")
        assert 0 < len(pairs(tmp_path / "run")) < 54
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert set(server.executed.values()) == {1}


def test_a_failure_in_a_line_with_status_200_is_taken_as_it_is_meant_and_costs_what_it_states(tmp_path: Path):
    """The reviser's first four questions go wrong: a passing error, one that is charged, an answer that is broken off,
    and a prompt that is too long, which alone ends its row."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 0}
    said: list[dict[str, Any]] = [
        {"error": {"code": 502, "message": "upstream"}},
        {"error": {"code": 502, "message": "upstream"}, "usage": usage},
        {"choices": [{"message": {"content": "half"}, "finish_reason": "error"}], "usage": usage},
        {"error": {"code": 413, "message": "too long"}},
    ]
    ending = Ending(failures={place: (200, body) for place, body in enumerate(said)})
    with BatchServer(world.answer, models=MODELS, endings=[ending]) as server:
        done = by_batch(server, tmp_path / "run", 8, batch_prices={"reviser": (2.0, 20.0)})
    assert [reason for _, reason in reasons(tmp_path / "run").values()].count("context_too_long") == 1
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        unanswered = ledger.totals().by_stage["unanswered"]
    assert (unanswered.replies, unanswered.cost_usd) == (2, pytest.approx(0.004))
    assert "3 overloaded" in " ".join(done.progress.notes)


def test_a_server_that_refuses_max_tokens_gets_the_same_questions_again_under_the_other_name(
    tmp_path: Path, calm: dict[str, str]
):
    def answer(body: dict[str, Any]) -> str | Reply | Fault:
        if body["model"] == "reviser" and "max_tokens" in body:
            return error(400, "use the other", code="unsupported_parameter", param="max_tokens")
        return world.answer(body)

    with BatchServer(answer, models=MODELS) as server:
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm
    assert max(server.submitted.values()) == 2


@pytest.mark.parametrize("status", [403, 200], ids=["in its line", "in a line with status 200"])
def test_a_prompt_that_the_server_will_not_have_ends_its_row_where_others_are_answered(tmp_path: Path, status: int):
    said = status, {"error": {"code": 403, "message": "blocked"}}
    with BatchServer(world.answer, models=MODELS, endings=[Ending(failures={2: said})]) as server:
        by_batch(server, tmp_path / "run", 8)
    assert [end for end in reasons(tmp_path / "run").values() if end[1] == "content_filter"] == [
        ("revise", "content_filter")
    ]
    assert sorted(server.submitted.values())[-1] == 1


def test_a_batch_of_which_nothing_may_be_asked_stops_the_run_and_ends_no_row(tmp_path: Path, calm: dict[str, str]):
    refused = Ending(failures={place: (403, {"error": {"message": "no access"}}) for place in range(99)})
    with BatchServer(world.answer, models=MODELS, endings=[refused]) as server:
        with pytest.raises(EndpointUnusable, match=r"HTTP 403: no access. Check the API key"):
            by_batch(server, tmp_path / "run")
        by_batch(server, tmp_path / "run")
    assert shards(tmp_path / "run") == calm


def test_bad_questions_that_are_alone_in_a_batch_end_their_rows_if_the_server_has_answered_others(tmp_path: Path):
    """The second asks of a run, in the batch after the others: nothing else is left that it could answer."""
    bad = Ending(failures={place: (400, {"error": {"message": "too many turns"}}) for place in range(99)})
    with BatchServer(world.answer, models=MODELS, endings=[Ending(), bad]) as server:
        done = by_batch(server, tmp_path / "run")
        assert [len(batch.lines) for batch in server.made.values()] == [58, 8]
    assert done.summary.rows == 60
    assert Counter(reasons(tmp_path / "run").values())["revise", "bad_request"] == 8


def test_a_charged_refusal_that_is_read_twice_counts_once(tmp_path: Path):
    """The last answer of the other file is cut off, so both are read again; that answer is in doubt as well."""
    usage = {"prompt_tokens": 1000, "completion_tokens": 0}
    said = {"error": {"code": 403, "message": "blocked"}, "usage": usage}
    ending = Ending(failures={0: (200, said)}, cut=30)
    with BatchServer(world.answer, models=MODELS, endings=[ending]) as server:
        by_batch(server, tmp_path / "run", 8)
    with Ledger.open(tmp_path / "run", create=False) as ledger:
        assert ledger.totals().by_stage["unanswered"].replies == 2
