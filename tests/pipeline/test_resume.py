"""The same command again: nothing is bought twice, gates are free to change, kinds of data are never mixed.

Real: `clair.generate`, client, HTTP, server, ledger, files. Doubles: what the two models say (`tests.servers.world`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clair.errors import EndpointUnusable, LedgerError
from clair.ledger import fork
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import digests, pairs, reasons
from tests.servers import world
from tests.servers.chat import ChatServer, Fault, Reply, error

ROWS = 60


def test_the_same_again_buys_nothing_and_leaves_the_same_bytes(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", ROWS)
    bought, before = server.count, digests(tmp_path / "run")
    generate_world(tmp_path / "run", ROWS)
    assert server.count == bought
    assert digests(tmp_path / "run") == before


def test_two_runs_of_the_same_prompts_differ_in_nothing_but_their_name(generate_world: Generate, tmp_path: Path):
    generate_world(tmp_path / "one", ROWS, concurrency=1)
    generate_world(tmp_path / "two", ROWS, concurrency=50)
    one, two = digests(tmp_path / "one"), digests(tmp_path / "two")
    assert {name for name in one if one[name] != two[name]} == {"README.md", "report.html", "run.json"}


def test_a_gate_may_be_tightened_and_loosened_for_free(server: ChatServer, generate_world: Generate, tmp_path: Path):
    """One word of 70 is changed. Tightened below that, every pair goes; opened wide, row 3's first reply is a pair."""
    run = tmp_path / "run"
    generate_world(run, ROWS)
    bought, before = server.count, digests(run)
    assert generate_world(run, ROWS, max_change=1 / 80).pairs == 0
    assert set(reasons(run).values()) >= {("gate", "too_different")}
    loose = generate_world(run, ROWS, max_change=1.0)
    assert (loose.pairs, loose.rows) == (56, ROWS)  # all but truncated and unchanged
    assert {row["attempts"] for row in pairs(run)} == {1}
    assert next(row for row in pairs(run) if row["source_index"] == 3)["word_distance"] == 70
    generate_world(run, ROWS)
    assert server.count == bought
    assert digests(run) == before


def test_more_attempts_are_bought_and_fewer_are_free(server: ChatServer, generate_world: Generate, tmp_path: Path):
    run = tmp_path / "run"
    assert generate_world(run, 20, max_attempts=1).pairs == 16
    assert reasons(run) == {
        3: ("gate", "too_different"),
        11: ("sample", "truncated"),
        13: ("gate", "too_different"),
        19: ("gate", "too_different"),
    }
    bought = server.count
    generate_world(run, 20, max_attempts=3)
    assert server.count == bought + 4  # one for each of rows 3 and 13, two for row 19
    after, wide = server.count, digests(run)
    assert generate_world(run, 20, max_attempts=1).pairs == 16
    generate_world(run, 20, max_attempts=3)
    assert (server.count, digests(run)) == (after, wide)


def test_a_changed_setting_that_would_mix_data_is_refused_by_name(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", 10)
    bought, before = server.count, digests(tmp_path / "run")
    with pytest.raises(LedgerError, match=r"temperature: null -> 0\.5[\s\S]*--fork"):
        generate_world(tmp_path / "run", 10, temperature=0.5)
    with pytest.raises(LedgerError, match=r'protocol: "auto" -> "rewrite"'):
        generate_world(tmp_path / "run", 10, protocol="rewrite")
    own = tmp_path / "own.md"
    own.write_text(
        "---\nprotocol: rewrite\nfields: conversation, response\n---\n<<user>>\n{{conversation}}{{response}}"
    )
    with pytest.raises(LedgerError, match=r"template: null[\s\S]*templates: "):
        generate_world(tmp_path / "run", 10, template=str(own))
    assert (server.count, digests(tmp_path / "run")) == (bought, before)


@pytest.mark.parametrize(
    "changed",
    [
        {"samples": 2},
        {"limit": 5},
        {"concurrency": 2},
        {"timeout_s": 60.0},
        {"max_cost": 1.0},
        {"on_bad_row": "reject"},
    ],
)
def test_settings_that_mix_nothing_may_change(
    server: ChatServer, generate_world: Generate, tmp_path: Path, changed: dict[str, Any]
):
    prices = {"target": (0.0, 0.0), "reviser": (0.0, 0.0)}
    generate_world(tmp_path / "run", 10, prices=prices)
    bought = server.count
    generate_world(tmp_path / "run", 10, prices=prices, **changed)
    assert server.count == bought * changed.get("samples", 1)


def test_a_fork_goes_on_with_the_answers_of_the_old_run(server: ChatServer, generate_world: Generate, tmp_path: Path):
    """The reviser's temperature changes, so the target's answers are reused and the revisions are bought."""
    generate_world(tmp_path / "run", 10)
    before = digests(tmp_path / "run")
    server.bodies.clear()
    fork(tmp_path / "run", tmp_path / "new")
    generate_world(tmp_path / "new", 10, reviser_temperature=0.5)
    assert {(body["model"], body["temperature"]) for body in server.bodies} == {("reviser", 0.5)}
    assert len(server.bodies) == 11
    assert digests(tmp_path / "run") == before
    assert [row["chosen"] for row in pairs(tmp_path / "new")] == [row["chosen"] for row in pairs(tmp_path / "run")]


@pytest.mark.parametrize("part", ["target", "reviser"])
def test_rejects_that_say_nothing_about_the_row_are_tried_again(
    server: ChatServer, generate_world: Generate, tmp_path: Path, part: str
):
    def busy(body: dict[str, Any]) -> Reply | Fault:
        ours = body["model"] == part and "row 2." in str(body)
        return error(503) if ours else world.answer(body)

    server.answer = busy
    generate_world(tmp_path / "run", 5, max_retries=0)
    stage = "sample" if part == "target" else "revise"
    assert reasons(tmp_path / "run") == {2: (stage, "overloaded")}
    server.answer = world.answer
    server.bodies.clear()
    assert generate_world(tmp_path / "run", 5, max_retries=0).pairs == 5
    assert [body["model"] for body in server.bodies] == ["target", "reviser"][part == "reviser" :]


def test_a_stopped_run_never_holds_pairs_that_the_new_gate_refuses(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    """Everything passed an open gate; then gate and attempts change and the first new request stops the run."""
    run = tmp_path / "run"
    assert generate_world(run, ROWS, max_change=1.0, max_attempts=1).pairs == 56
    server.answer = lambda body: error(401)
    with pytest.raises(EndpointUnusable, match="401"):
        generate_world(run, ROWS)
    assert max(row["word_distance"] for row in pairs(run)) == 1
    assert len(pairs(run)) + len(reasons(run)) == ROWS
    server.answer = world.answer
    generate_world(run, ROWS)
    generate_world(tmp_path / "fresh", ROWS)
    assert [digests(folder)["data/train-00000-of-00001.parquet"] for folder in (run, tmp_path / "fresh")] == (
        [digests(run)["data/train-00000-of-00001.parquet"]] * 2
    )


def test_a_smaller_input_gives_a_smaller_dataset_and_the_rest_is_kept(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", 20)
    bought, before = server.count, digests(tmp_path / "run")
    assert generate_world(tmp_path / "run", 20, limit=4).rows == 4
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == [0, 1, 2, 3]
    generate_world(tmp_path / "run", 20)
    assert (server.count, digests(tmp_path / "run")) == (bought, before)
