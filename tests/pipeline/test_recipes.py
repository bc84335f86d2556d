"""Whole runs of every recipe: counts and costs add up, nothing is bought twice, settings that matter are kept apart.

Real: `clair.generate`, client, HTTP, server, ledger, files. Doubles: what the three models say (`tests.servers.jury`).
"""

from __future__ import annotations

import asyncio
import importlib
import json
import linecache
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest

from clair import builders
from clair.api import generate
from clair.dataset.summary import RunSummary
from clair.errors import EndpointUnusable, LedgerError, RunStopped, UsageError
from clair.settings import RecipeName
from tests.pipeline.runs import clair, digests, pairs, reasons, rejects, start
from tests.servers import jury
from tests.servers.chat import ChatServer, error

ROWS = 30
PRICES = {"target": (1.0, 1.0), "reviser": (10.0, 10.0), "judge": (100.0, 100.0)}
USD = {"target": 30e-6, "reviser": 1.5e-3, "judge": 0.0205}
STAGE = {"target": "sample", "reviser": "revise", "judge": "judge"}
EXTRA: dict[str, dict[str, Any]] = {
    "judge_off_policy": {"candidate_columns": "one,two"},
    "constitutional": {"rounds": 2},
    "best_of_n": {"candidates": 3},
}
RECIPES: tuple[str, ...] = get_args(RecipeName)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(jury.answer, models=jury.MODELS) as running:
        yield running


def options(server: ChatServer, tmp_path: Path, recipe: str, rows: int = ROWS, **more: Any) -> dict[str, Any]:
    named = {part: f"{part}@{server.base_url}" for part in jury.MODELS}
    prompts = jury.write_prompts(tmp_path / f"prompts-{rows}.jsonl", rows)
    common = {"prompts": prompts, "out": tmp_path / "run", "recipe": recipe, "seed": 0, "prices": PRICES}
    return {**common, **named, **EXTRA.get(recipe, {}), **more}


def make(server: ChatServer, tmp_path: Path, recipe: str, rows: int = ROWS, **more: Any) -> RunSummary:
    return generate(**options(server, tmp_path, recipe, rows, **more))


@pytest.mark.parametrize("recipe", RECIPES)
def test_counts_and_costs_add_up_and_the_same_again_buys_nothing(server: ChatServer, tmp_path: Path, recipe: str):
    summary = make(server, tmp_path, recipe)
    assert (summary.rows, len(pairs(tmp_path / "run")) + len(rejects(tmp_path / "run"))) == (ROWS, ROWS)
    assert summary.pairs > 5
    asked = Counter(body["model"] for body in server.bodies)
    figures = json.loads((tmp_path / "run/run.json").read_text())
    assert {stage: spent["requests"] for stage, spent in figures["stages"].items()} == {
        STAGE[model]: count for model, count in asked.items()
    }
    for model, count in asked.items():
        assert figures["stages"][STAGE[model]]["cost_usd"] == pytest.approx(count * USD[model])
    assert figures["cost"]["usd"] == pytest.approx(sum(count * USD[model] for model, count in asked.items()))
    assert {row["judge_model"] for row in pairs(tmp_path / "run")} == {"judge" if "judge" in asked else None}
    assert {row["recipe"] for row in pairs(tmp_path / "run")} == {recipe}
    bought, before = server.count, digests(tmp_path / "run")
    make(server, tmp_path, recipe)
    assert (server.count, digests(tmp_path / "run")) == (bought, before)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_was_stopped_ends_like_one_that_was_not_and_buys_nothing_twice(
    server: ChatServer, tmp_path: Path, recipe: str
):
    calm = make(server, tmp_path, recipe, out=tmp_path / "calm")
    bought = server.count

    def until_half(body: dict[str, Any]) -> Any:
        return jury.answer(body) if server.count < bought // 2 else error(401)

    server.bodies.clear()
    server.count, server.answer = 0, until_half
    with pytest.raises(EndpointUnusable):
        make(server, tmp_path, recipe, concurrency=2)
    refused = server.count - (bought // 2 - 1)
    server.answer = jury.answer
    resumed = make(server, tmp_path, recipe)
    assert server.count == bought + refused
    assert (resumed.pairs, resumed.rejects) == (calm.pairs, calm.rejects)
    assert [
        digests(tmp_path / name)[f"{kind}/train-00000-of-00001.parquet"]
        for name in ("run", "calm")
        for kind in ("data", "rejects")
    ][:2] == [digests(tmp_path / "calm")[f"{kind}/train-00000-of-00001.parquet"] for kind in ("data", "rejects")]


def test_who_wins_and_why_there_is_no_pair_is_what_the_mistakes_say(server: ChatServer, tmp_path: Path):
    """Sample k of row N has (N + k) % 3 mistakes, so the two never tie; the second is better where N % 3 == 2."""
    make(server, tmp_path, "judge_on_policy")
    found = pairs(tmp_path / "run")
    good = [n for n in range(ROWS) if n % 10 not in (7, 9)]
    assert [row["source_index"] for row in found] == good
    for row, n in zip(found, good, strict=True):
        better, worse = (1, 0) if n % 3 == 2 else (0, 1)
        assert row["chosen"][0]["content"] == jury.response(n, better)
        assert row["rejected"][0]["content"] == jury.response(n, worse)
    assert reasons(tmp_path / "run") == {
        n: ("judge", "judge_tie" if n % 10 == 7 else "judge_unparsable") for n in range(ROWS) if n not in good
    }


def test_the_columns_of_given_answers_say_who_won(server: ChatServer, tmp_path: Path):
    make(server, tmp_path, "judge_off_policy")
    assert {body["model"] for body in server.bodies} == {"judge"}
    for row in pairs(tmp_path / "run"):
        second = row["source_index"] % 3 == 2
        won, lost = ("two", "one") if second else ("one", "two")
        assert (row["reviser_model"], row["target_model"]) == (f"column:{won}", f"column:{lost}")
        assert row["metadata"] == json.dumps({"n": row["source_index"]}, separators=(",", ":"))


def test_a_judge_that_is_not_named_is_the_reviser(server: ChatServer, tmp_path: Path):
    server.answer = lambda body: jury.answer({**body, "model": "judge"} if "[[A]]" in str(body["messages"]) else body)
    make(server, tmp_path, "clair", judge=None, verify=True, judge_max_tokens=77, reviser_max_tokens=99, rows=6)
    longest = Counter((body["model"], body.get("max_tokens")) for body in server.bodies if body["model"] != "target")
    assert set(longest) == {("reviser", 77), ("reviser", 99)}
    assert {row["judge_model"] for row in pairs(tmp_path / "run")} == {"reviser"}


def test_what_the_judge_does_not_confirm_is_no_pair(server: ChatServer, tmp_path: Path):
    make(server, tmp_path, "worsen", verify=True)
    assert len(pairs(tmp_path / "run")) == len([n for n in range(ROWS) if n % 10 not in (7, 9)])
    assert reasons(tmp_path / "run")[7] == ("judge", "not_better")
    assert reasons(tmp_path / "run")[9] == ("judge", "judge_unparsable")


def test_nothing_is_asked_where_everything_is_given(server: ChatServer, tmp_path: Path):
    given = {"response_column": "two", "stronger_column": "one", "target": None, "reviser": None, "judge": None}
    summary = make(server, tmp_path, "stronger_preferred", **given)
    assert (summary.pairs, summary.rejected, server.paths) == (ROWS, 0, [])
    first = pairs(tmp_path / "run")[0]
    assert (first["target_model"], first["reviser_model"], first["protocol"]) == ("column:two", "column:one", "direct")
    assert (first["chosen"][0]["content"], first["cost_usd"]) == (jury.response(0, 0), 0.0)


def test_a_checker_decides_for_free_and_editing_it_decides_anew(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "jury_checks.py"
    source.write_text("def few(messages, answer, metadata):\n    return -answer.count('wrong')\n")
    given = {"checker": "jury_checks:few", "judge": None, "reviser": None}
    make(server, tmp_path, "best_of_n", **given)
    assert {body["model"] for body in server.bodies} == {"target"}
    assert {row["chosen"][0]["content"].count("wrong") for row in pairs(tmp_path / "run")} == {0}
    assert {row["rejected"][0]["content"].count("wrong") for row in pairs(tmp_path / "run")} == {2}
    assert {(row["protocol"], row["judge_model"]) for row in pairs(tmp_path / "run")} == {("checker", None)}
    bought = server.count
    source.write_text("def few(messages, answer, metadata):\n    return answer.count('wrong')  # the other way round\n")
    monkeypatch.delitem(sys.modules, "jury_checks")
    importlib.invalidate_caches()
    linecache.clearcache()
    make(server, tmp_path, "best_of_n", **given)
    assert {row["chosen"][0]["content"].count("wrong") for row in pairs(tmp_path / "run")} == {2}
    assert server.count == bought


@pytest.mark.parametrize(
    ("body", "said"),
    [("raise KeyError('x')", r"raised KeyError\('x'\)"), ("return 'good'", "returned 'good'"), ("return 1e999", "inf")],
)
def test_a_checker_that_fails_stops_the_run_and_is_named(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, said: str
):
    monkeypatch.chdir(tmp_path)
    name = f"failing{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"def score(messages, answer, metadata):\n    {body}\n")
    with pytest.raises(RunStopped, match=rf"checker {name}:score.*{said}.*same command again"):
        make(server, tmp_path, "best_of_n", checker=f"{name}:score", judge=None, reviser=None)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"recipe": "best_of_n", "checker": "no_such_module:x", "judge": None}, "no_such_module"),
        ({"recipe": "best_of_n", "checker": "json", "judge": None}, "expected module:function"),
        ({"recipe": "judge_on_policy", "verify": True}, "verify has no meaning in the recipe judge_on_policy"),
        ({"recipe": "judge_on_policy", "response_column": "one"}, "response_column has no meaning"),
        ({"recipe": "clair", "candidate_columns": "one,two"}, "candidate_columns has no meaning"),
        ({"recipe": "best_of_n", "chain": True}, "chain has no meaning"),
        ({"recipe": "judge_off_policy", "candidate_columns": "one"}, "two given answers"),
        ({"recipe": "judge_off_policy", "candidate_columns": "one,none"}, "answer column 'none': no such column"),
        ({"recipe": "judge_on_policy", "judge": None, "reviser": None}, "judge is missing"),
        ({"recipe": "constitutional", "principles": "nowhere.txt"}, "cannot read the principles 'nowhere.txt'"),
        ({"recipe": "clair", "judge_template": "judge"}, "a question that this recipe does not ask"),
    ],
)
def test_what_does_not_fit_the_recipe_is_refused_before_anything_is_asked(
    server: ChatServer, tmp_path: Path, changed: dict[str, Any], said: str
):
    if changed.get("judge_template"):
        changed = {**changed, "judge_template": str(Path(__file__).parents[2] / "prompts/judge.md")}
    with pytest.raises(UsageError, match=said):
        generate(**{**options(server, tmp_path, "clair"), **changed})
    assert server.paths == []


def test_changed_principles_are_refused_by_their_content(server: ChatServer, tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text("# mine\n\nBe brief.\n")
    make(server, tmp_path, "constitutional", principles=str(own), rows=3)
    moved = own.rename(tmp_path / "moved.txt")
    make(server, tmp_path, "constitutional", principles=str(moved), rows=3)
    moved.write_text("Be long.\n")
    with pytest.raises(LedgerError, match="principles: "):
        make(server, tmp_path, "constitutional", principles=str(moved), rows=3)


def test_gates_of_comparing_recipes_are_open_unless_a_bound_is_given(server: ChatServer, tmp_path: Path):
    """One or two of 15 words differ between two samples."""
    make(server, tmp_path, "judge_on_policy")
    wide = len(pairs(tmp_path / "run"))
    bought = server.count
    make(server, tmp_path, "judge_on_policy", max_change=0.1)
    assert {row["word_distance"] for row in pairs(tmp_path / "run")} == {1}
    assert ("gate", "too_different") in reasons(tmp_path / "run").values()
    make(server, tmp_path, "judge_on_policy", max_change=0.5)
    assert (len(pairs(tmp_path / "run")), server.count) == (wide, bought)
    command = json.loads((tmp_path / "run/run.json").read_text())["command"]
    assert "--max-change 0.5" in command
    make(server, tmp_path, "judge_on_policy")
    assert "--max-change" not in json.loads((tmp_path / "run/run.json").read_text())["command"]


def test_a_chain_can_be_added_and_taken_away_for_free(server: ChatServer, tmp_path: Path):
    """Two rounds mend up to two words; only rows with two mistakes have a chain, of two steps."""
    plain = make(server, tmp_path, "constitutional")
    bought, before = server.count, digests(tmp_path / "run")
    chained = make(server, tmp_path, "constitutional", chain=True)
    assert (chained.rows, chained.pairs, chained.rejects) == (plain.rows, plain.pairs, plain.rejects)
    assert (chained.step_pairs, plain.step_pairs) == (20, 0)
    assert chained.cost_usd == plain.cost_usd
    found = pairs(tmp_path / "run")
    assert [(row["source_index"], row["parent_id"] is None, row["step"]) for row in found[:5]] == [
        (1, True, None),
        (2, True, None),
        (2, False, 1),
        (2, False, 2),
        (4, True, None),
    ]
    whole, one, two = found[1:4]
    assert (one["parent_id"], one["id"], two["id"]) == (whole["id"], f"{whole['id']}-s1", f"{whole['id']}-s2")
    assert whole["rejected"] == one["rejected"]
    assert one["chosen"] == two["rejected"]
    assert two["chosen"] == whole["chosen"]
    assert (whole["word_distance"], one["word_distance"], two["word_distance"]) == (2, 1, 1)
    assert json.loads((tmp_path / "run/run.json").read_text())["step_pairs"] == 20
    make(server, tmp_path, "constitutional", chain=False)
    assert (server.count, digests(tmp_path / "run")) == (bought, before)


@pytest.mark.parametrize("recipe", RECIPES)
def test_target_pairs_and_max_cost_hold(server: ChatServer, tmp_path: Path, recipe: str):
    summary = make(server, tmp_path, recipe, target_pairs=4)
    assert summary.pairs == 4
    spent = summary.cost_usd.known
    with pytest.raises(RunStopped, match="--max-cost"):
        make(server, tmp_path, recipe, max_cost=spent + 1e-9)
    figures = json.loads((tmp_path / "run/run.json").read_text())
    assert sum(stage["known_usd"] for stage in figures["stages"].values()) <= spent + 1e-9


def test_a_ledger_from_before_these_settings_still_opens(server: ChatServer, tmp_path: Path):
    make(server, tmp_path, "clair", rows=4)
    with closing(sqlite3.connect(tmp_path / "run/ledger.sqlite")) as ledger:
        (settings,) = ledger.execute("SELECT value FROM meta WHERE key = 'settings'").fetchone()
    known = set(json.loads(settings))
    assert not known & {"verify", "rounds", "candidates", "checker", "judge_max_tokens", "chain", "principles"}
    assert {"target", "reviser", "seed", "recipe", "templates", "protocol"} <= known
    with pytest.raises(LedgerError, match="verify: null -> true"):
        make(server, tmp_path, "clair", rows=4, verify=True)


@pytest.mark.parametrize("recipe", RECIPES)
async def test_every_recipe_has_builders_of_its_name(server: ChatServer, tmp_path: Path, recipe: str):
    given = options(server, tmp_path, recipe, 6)
    del given["recipe"]
    found = await getattr(builders, f"a{recipe}")(**given)
    assert found.num_rows == len(pairs(tmp_path / "run")) > 0
    assert set(found["recipe"]) == {recipe}
    bought = server.count
    again = await asyncio.to_thread(lambda: getattr(builders, recipe)(**given))
    assert (again.to_list(), server.count) == (found.to_list(), bought)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, recipe: str):
    """SIGKILL in the middle: the second run buys again at most what was in flight, and ends like a calm one."""
    rows, concurrency = 60, 4
    with ChatServer(jury.answer, models=jury.MODELS, latency_s=0.02) as server:
        given = options(server, tmp_path, recipe, rows)
        words = [
            "generate",
            str(given["prompts"]),
            "--recipe",
            recipe,
            "--seed",
            "0",
            "--concurrency",
            str(concurrency),
        ]
        for part in jury.MODELS:
            words += [f"--{part}", given[part]]
        for name, value in EXTRA.get(recipe, {}).items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        assert clair(*words, "-o", str(tmp_path / "calm")).returncode == 0
        calm = server.count
        process = start(*words, "-o", str(tmp_path / "run"))
        deadline = time.monotonic() + 60
        while server.count < calm + calm // 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)
        assert clair(*words, "-o", str(tmp_path / "run")).returncode == 0
        in_flight = (8 + 3 * concurrency * 5 // 4) * 3
        assert calm <= server.count - calm <= calm + in_flight
    killed, unhurt = digests(tmp_path / "run"), digests(tmp_path / "calm")
    for kind in ("data", "rejects"):
        assert killed[f"{kind}/train-00000-of-00001.parquet"] == unhurt[f"{kind}/train-00000-of-00001.parquet"]
