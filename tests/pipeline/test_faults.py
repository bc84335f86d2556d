"""Servers that misbehave in the middle of a run: every row ends as a pair or as the right reject, nothing is lost.

Real: `clair.generate`, the `openai` client, HTTP, server, ledger, files. Doubles: what the two models say. Each faulty
answer concerns one row of one run, while the other rows go on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from clair.errors import EndpointUnusable
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import pairs, reasons, rejects
from tests.servers import world
from tests.servers.chat import ChatServer, Fault, Reply, error

HTML = Fault(body=b"<html><body>502 Bad Gateway</body></html>", headers={"Content-Type": "text/html"})
CUT = Fault(body=json.dumps({"choices": [{"message": {"content": "half"}}]}).encode(), cut_after=30)
STALL_S = 60.0

IN_TRANSIT: dict[str, tuple[Fault | Reply, str]] = {
    "429 with Retry-After": (error(429, headers={"Retry-After": "0"}), "rate_limited"),
    "429 without": (error(429), "rate_limited"),
    "500": (error(500), "overloaded"),
    "503 in HTML": (Fault(status=503, body=b"<html>busy</html>"), "overloaded"),
    "dead socket": (Fault(reset=True), "connection"),
    "half a body": (CUT, "malformed_body"),
    "HTML": (HTML, "malformed_body"),
    "no choices": (Fault(body={"choices": []}), "malformed_body"),
    "an error with status 200": (Fault(body={"error": {"message": "overloaded"}}), "malformed_body"),
    "an upstream error with status 200": (Fault(body={"error": {"code": 502}}), "overloaded"),
    "broken off upstream": (Reply("half", finish_reason="error"), "overloaded"),
    "content null": (Reply(None, usage=None), "malformed_body"),
    "a stall": (Fault(stall_s=STALL_S), "timeout"),
}
"""Faults that may pass, and the reason of a row for which they do not."""

ANSWERS: dict[str, tuple[Fault | Reply, str]] = {
    "cut off": (Reply("It is", finish_reason="length"), "truncated"),
    "refusal": (Reply(None, refusal="I can't help with that."), "refused"),
    "filtered": (Reply("", finish_reason="content_filter"), "content_filter"),
    "tool call": (Reply("It", finish_reason="tool_calls"), "unfinished"),
    "no text": (Reply("  \n"), "empty"),
    "nothing but reasoning": (Reply(None), "empty"),
    "too long": (error(400, code="context_length_exceeded"), "context_too_long"),
    "filtered prompt": (error(400, code="content_filter"), "content_filter"),
    "bad request": (error(422, "no such thing"), "bad_request"),
}
"""Answers that are answers: the row ends with this reason and is not asked again."""


def row_of(body: dict[str, Any]) -> int:
    found = re.search(r"about row (\d+)\.", " ".join(message["content"] for message in body["messages"]))
    assert found is not None
    return int(found[1])


def faulty(faults: list[Fault | Reply], part: str, *, times: int) -> Any:
    """The world; row 2n of `part` meets the n-th fault so many times. Rows with odd numbers are fine."""
    met: Counter[int] = Counter()

    def answer(body: dict[str, Any]) -> Fault | Reply:
        number = row_of(body)
        met[number] += body["model"] == part
        if body["model"] == part and number % 2 == 0 and number // 2 < len(faults) and met[number] <= times:
            return faults[number // 2]
        return calm(body)

    return answer


def calm(body: dict[str, Any]) -> Reply | Fault:
    """The world without its own rejects and re-asks."""
    number = row_of(body)
    if body["model"] == "target":
        return Reply(world.response(number), usage=world.USAGE)
    edit = f"<<<<<<< SEARCH\nwrong{number}\n=======\nright{number}\n>>>>>>> REPLACE"
    return Reply(f"One mistake.\n\n{edit}", usage=world.USAGE)


@pytest.mark.parametrize("part", ["target", "reviser"])
def test_every_fault_that_passes_ends_as_a_pair(
    server: ChatServer, generate_world: Generate, tmp_path: Path, part: str
):
    faults = [fault for fault, _ in IN_TRANSIT.values()]
    server.answer = faulty(faults, part, times=1)
    rows = 2 * len(faults)
    generate_world(tmp_path / "run", rows, timeout_s=5.0)
    assert [row["chosen"][0]["content"] for row in pairs(tmp_path / "run")] == [world.revision(n) for n in range(rows)]
    assert server.count == 2 * rows + len(faults)


@pytest.mark.parametrize("part", ["target", "reviser"])
def test_every_fault_that_stays_ends_as_a_reject_with_its_reason(
    server: ChatServer, generate_world: Generate, tmp_path: Path, part: str
):
    named = {**IN_TRANSIT, **ANSWERS}
    server.answer = faulty([fault for fault, _ in named.values()], part, times=99)
    rows = 2 * len(named)
    generate_world(tmp_path / "run", rows, timeout_s=5.0, max_retries=0, max_attempts=1)
    found = {row["source_index"] // 2: row["reason"] for row in rejects(tmp_path / "run")}
    assert dict(zip(named, (found.get(index, "pair") for index in range(len(named))), strict=True)) == {
        name: reason for name, (_, reason) in named.items()
    }
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == list(range(1, rows, 2))
    stages = {stage for stage, _ in reasons(tmp_path / "run").values()}
    assert stages == ({"sample"} if part == "target" else {"revise", "parse"})


@pytest.mark.parametrize("name", ["cut off", "refusal", "no text"])
def test_the_reviser_is_asked_again_after_a_reply_that_it_could_do_better(
    server: ChatServer, generate_world: Generate, tmp_path: Path, name: str
):
    """A refusal is an answer: it is not asked about again."""
    server.answer = faulty([ANSWERS[name][0]], "reviser", times=1)
    summary = generate_world(tmp_path / "run", 1)
    assert (summary.pairs, server.count) == ((0, 2) if name == "refusal" else (1, 3))


@pytest.mark.parametrize(("part", "first"), [("reviser", 0), ("target", 10)])
def test_rows_that_a_wrongly_started_server_refused_are_asked_again_when_it_is_mended(
    server: ChatServer, generate_world: Generate, tmp_path: Path, part: str, first: int
):
    """Answers of the other model, or of an earlier invocation, are in the ledger by then."""
    if first:
        server.answer = calm
        generate_world(tmp_path / "run", 30, limit=first)
    server.answer = lambda body: error(400, "max_tokens is too large") if body["model"] == part else calm(body)
    with pytest.raises(EndpointUnusable, match="requests were all refused; the last one: HTTP 400: max_tokens is too"):
        generate_world(tmp_path / "run", 30)
    server.answer = calm
    assert generate_world(tmp_path / "run", 30).pairs == 30
    assert rejects(tmp_path / "run") == []


def test_a_burst_of_errors_from_everyone_passes(server: ChatServer, generate_world: Generate, tmp_path: Path):
    seen: Counter[str] = Counter()

    def burst(body: dict[str, Any]) -> Reply | Fault:
        seen["asked"] += 1
        return error(500) if 20 <= seen["asked"] < 50 else calm(body)

    server.answer = burst
    assert generate_world(tmp_path / "run", 60).pairs == 60


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (error(401, "bad key"), "HTTP 401: bad key. Check the API key"),
        (error(429, "no money", code="insufficient_quota"), "no quota left"),
        (error(404, "no such model", code="model_not_found"), "HTTP 404: no such model"),
    ],
)
def test_what_no_request_can_get_past_stops_the_run_and_loses_nothing(
    server: ChatServer, generate_world: Generate, tmp_path: Path, fault: Fault, says: str
):
    good = Counter[str]()

    def failing(body: dict[str, Any]) -> Reply | Fault:
        if good["answered"] >= 40:
            return fault
        good["answered"] += 1
        return calm(body)

    server.answer = failing
    with pytest.raises(EndpointUnusable) as stopped:
        generate_world(tmp_path / "run", 60, concurrency=5)
    assert says in str(stopped.value)
    assert f"What was bought is in {tmp_path / 'run'}; the same command goes on from there." in str(stopped.value)
    kept = len(pairs(tmp_path / "run"))
    assert 10 <= kept < 40
    assert rejects(tmp_path / "run") == []
    server.answer = calm
    before = server.count
    assert generate_world(tmp_path / "run", 60, concurrency=5).pairs == 60
    assert server.count - before == 2 * 60 - good["answered"]


def test_an_endpoint_that_only_fails_opens_the_circuit(server: ChatServer, generate_world: Generate, tmp_path: Path):
    server.answer = lambda _: error(503, "warming up")
    with pytest.raises(EndpointUnusable, match=r"no request succeeded for \d+ s \(\d+ failed\).*warming up"):
        generate_world(tmp_path / "run", 20, breaker_s=1.0)
    server.answer = calm
    assert generate_world(tmp_path / "run", 20).pairs == 20
