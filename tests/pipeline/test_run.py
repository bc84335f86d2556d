"""Whole runs: every row ends as it must, with the right figures, and exactly the right questions are asked.

Real: `clair.generate`, client, HTTP, server, ledger, files. Doubles: what the two models say (`tests.servers.world`).
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset

import clair
from clair.errors import UsageError
from tests.pipeline.conftest import Generate
from tests.pipeline.runs import pairs, reasons, rejects, write_jsonl
from tests.servers import world
from tests.servers.chat import ChatServer


def test_every_row_ends_as_one_pair_or_one_reject_in_input_order(generate_world: Generate, tmp_path: Path):
    summary = generate_world(tmp_path / "run", 60)
    expected = [world.expected_kind(number) for number in range(60)]
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == [
        number for number, kind in enumerate(expected) if kind == "pair"
    ]
    stages = {"truncated": "sample", "too_different": "gate", "unchanged": "parse"}
    assert reasons(tmp_path / "run") == {
        number: (stages[kind], kind) for number, kind in enumerate(expected) if kind != "pair"
    }
    assert (summary.rows, summary.pairs, summary.rejected) == (60, expected.count("pair"), 60 - expected.count("pair"))
    assert {(it.stage, it.reason): it.rows for it in summary.rejects} == {
        (stages[kind], kind): count for kind, count in Counter(expected).items() if kind != "pair"
    }
    figures = json.loads((tmp_path / "run/run.json").read_text())
    assert figures["counts"] == {"rows": 60, "pairs": 54, "rejects": 6}


def test_the_columns_of_a_pair_are_those_worked_out_by_hand(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", 4, prices={"target": (1.0, 2.0), "reviser": (10.0, 40.0)})
    first = pairs(tmp_path / "run")[0]
    assert len(first.pop("id")) == 32
    # 70 words: ten of 7 characters, 59 of 8, one of 6, and 69 spaces make 617; wrong0 -> right0 takes 5 edits.
    assert len(world.response(0)) == 617
    assert first == {
        "prompt": [{"role": "user", "content": "Tell me about row 0."}],
        "chosen": [{"role": "assistant", "content": world.revision(0)}],
        "rejected": [{"role": "assistant", "content": world.response(0)}],
        "rationale": "Row 0 has one mistake.",
        "recipe": "clair",
        "protocol": "edits",
        "target_model": "target",
        "reviser_model": "reviser",
        "judge_model": None,
        "attempts": 1,
        "edits": 1,
        "word_distance": 1,
        "word_similarity": pytest.approx(69 / 70),
        "jaccard": pytest.approx(69 / 71),
        "char_distance": 5,
        "char_similarity": pytest.approx(1 - 5 / 617),
        "shared_prefix": 35 / 70,
        "length_ratio": 1.0,
        "prompt_tokens": 200,
        "completion_tokens": 100,
        "cost_usd": pytest.approx((100 * 1 + 50 * 2 + 100 * 10 + 50 * 40) / 1e6),
        "source": "prompts-4.jsonl",
        "source_index": 0,
        "metadata": '{"topic":"t0"}',
        "parent_id": None,
        "step": None,
    }


def test_the_folder_loads_with_datasets_as_it_stands(generate_world: Generate, tmp_path: Path):
    generate_world(tmp_path / "run", 20)
    cache = str(tmp_path / "cache")
    found = load_dataset(str(tmp_path / "run"), split="train", cache_dir=cache)
    assert found.to_list() == pairs(tmp_path / "run")
    assert load_dataset(str(tmp_path / "run"), "rejects", split="train", cache_dir=cache).num_rows == 2


def test_a_refused_revision_is_asked_for_again_with_the_figures(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", 4, protocol="edits")
    asked = [body["messages"] for body in server.bodies if "row 3." in str(body) and body["model"] == "reviser"]
    first, second = asked
    assert second[: len(first)] == first
    reply, feedback = second[len(first) :]
    assert reply["role"] == "assistant"
    assert reply["content"].startswith("Row 3 has one mistake.\n\n<<<<<<< SEARCH\nword3x0 ")
    assert feedback["role"] == "user"
    assert feedback["content"].startswith(
        "100 % of the words changed, at most 50 % may; keep everything else word for word."
    )
    assert [row["attempts"] for row in pairs(tmp_path / "run")] == [1, 1, 1, 2]


def test_attempts_end_at_max_attempts_and_rewrite_follows_two_failed_edits(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    generate_world(tmp_path / "run", 20)
    asked = [body["messages"] for body in server.bodies if "row 19." in str(body) and body["model"] == "reviser"]
    assert [("SEARCH" in str(messages), len(messages)) for messages in asked] == [(True, 2), (True, 4), (False, 2)]
    refused = rejects(tmp_path / "run")[1]
    assert (refused["source_index"], refused["attempts"], refused["reason"]) == (19, 3, "too_different")
    assert refused["detail"] == "100 % of the words changed, at most 50 % may"
    assert refused["response"] == world.response(19)
    assert refused["revision"] == " ".join(f"new19x{place}" for place in range(70))


@pytest.mark.parametrize("protocol", ["edits", "rewrite"])
def test_a_fixed_protocol_is_the_only_one_asked(
    server: ChatServer, generate_world: Generate, tmp_path: Path, protocol: str
):
    generate_world(tmp_path / "run", 12, protocol=protocol)
    asked = ["SEARCH" in str(body["messages"]) for body in server.bodies if body["model"] == "reviser"]
    assert set(asked) == {protocol == "edits"}
    assert {row["protocol"] for row in pairs(tmp_path / "run")} == {protocol}
    assert [row["chosen"][0]["content"] for row in pairs(tmp_path / "run")] == [
        world.revision(number) for number in range(11)
    ]


def test_samples_are_separate_rows_with_seeds_of_their_own(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    summary = generate_world(tmp_path / "run", 4, samples=2, seed=40)
    assert summary.rows == 8
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len({row["id"] for row in pairs(tmp_path / "run")}) == 8
    seeds = Counter(body["seed"] for body in server.bodies if body["model"] == "target")
    assert seeds == {40: 4, 41: 4}


def test_limit_reads_no_further(server: ChatServer, generate_world: Generate, tmp_path: Path):
    assert generate_world(tmp_path / "run", 60, limit=5).rows == 5
    assert sum(body["model"] == "target" for body in server.bodies) == 5


@pytest.mark.parametrize("concurrency", [1, 7, None])
def test_target_pairs_takes_the_shortest_stretch_of_the_input_that_holds_them(
    server: ChatServer, generate_world: Generate, tmp_path: Path, concurrency: int | None
):
    """Row 11 is a reject, so 12 pairs take rows 0 to 12."""
    summary = generate_world(tmp_path / "run", 60, target_pairs=12, concurrency=concurrency)
    assert (summary.pairs, summary.rejected) == (12, 1)
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == [*range(11), 12]
    assert sum(body["model"] == "target" for body in server.bodies) == 13
    bought = server.count
    assert generate_world(tmp_path / "run", 60, target_pairs=12, concurrency=concurrency).pairs == 12
    assert server.count == bought
    assert generate_world(tmp_path / "run", 60, target_pairs=13, concurrency=concurrency).pairs == 13
    assert sum(body["model"] == "target" for body in server.bodies) == 14


def test_target_pairs_beyond_the_input_takes_all_of_it(generate_world: Generate, tmp_path: Path):
    assert generate_world(tmp_path / "run", 12, target_pairs=500).rows == 12


def test_a_prompt_that_comes_again_is_a_reject_and_is_not_asked_again(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    records = [{"prompt": f"Tell me about row {number}."} for number in (0, 1, 0, 2, 0)]
    prompts = write_jsonl(tmp_path / "twice.jsonl", records)
    generate_world(tmp_path / "run", prompts=str(prompts))
    assert [row["source_index"] for row in pairs(tmp_path / "run")] == [0, 1, 3]
    duplicate = ("sample", "duplicate_prompt")
    assert reasons(tmp_path / "run") == {2: duplicate, 4: duplicate}
    assert server.count == 6
    generate_world(tmp_path / "run", prompts=str(prompts))
    assert reasons(tmp_path / "run") == {2: duplicate, 4: duplicate}


def test_a_bad_row_stops_before_anything_is_bought_or_becomes_a_reject(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    prompts = tmp_path / "bad.jsonl"
    good = json.dumps({"prompt": "Tell me about row 0."})
    prompts.write_text(f'{good}\n{{"prompt": \n{json.dumps({"prompt": ""})}\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"2 of 3 rows[\s\S]*bad\.jsonl, line 2[\s\S]*line 3: the prompt is empty"):
        generate_world(tmp_path / "run", prompts=str(prompts))
    assert server.count == 0
    assert not (tmp_path / "run").exists()
    summary = generate_world(tmp_path / "run", prompts=str(prompts), on_bad_row="reject", samples=2)
    assert (summary.pairs, summary.rejected) == (2, 2)
    assert reasons(tmp_path / "run") == {1: ("sample", "bad_row"), 2: ("sample", "bad_row")}
    assert [row["prompt"] for row in rejects(tmp_path / "run")] == [[], []]


def test_given_responses_are_revised_and_the_target_is_not_asked(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    records = [{"prompt": f"Tell me about row {n}.", "answer": world.response(n), "n": n} for n in (0, 1)]
    prompts = write_jsonl(tmp_path / "answered.jsonl", records)
    generate_world(tmp_path / "run", prompts=str(prompts), response_column="answer", target=None)
    assert {body["model"] for body in server.bodies} == {"reviser"}
    assert [
        (row["rejected"][0]["content"], row["target_model"], row["prompt_tokens"], row["metadata"])
        for row in pairs(tmp_path / "run")
    ] == [(world.response(n), "column:answer", 100, f'{{"n":{n}}}') for n in (0, 1)]


def test_a_conversation_goes_to_the_target_as_it_is_and_to_the_reviser_as_a_transcript(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Tell me about row 5."},
    ]
    prompts = write_jsonl(tmp_path / "chat.jsonl", [{"messages": messages}])
    generate_world(tmp_path / "run", prompts=str(prompts))
    to_target, to_reviser = server.bodies
    assert to_target["messages"] == messages
    shown = to_reviser["messages"][-1]["content"]
    places = [shown.index(text) for text in ("Be brief.", "Hello", "Hi.", "Tell me about row 5.", world.response(5))]
    assert places == sorted(places)
    (pair,) = pairs(tmp_path / "run")
    assert pair["prompt"] == messages
    assert pair["chosen"] == [{"role": "assistant", "content": world.revision(5)}]


def test_principles_template_and_sampling_reach_the_requests(
    server: ChatServer, generate_world: Generate, tmp_path: Path
):
    own = tmp_path / "own.md"
    own.write_text(
        "---\nprotocol: edits\nfields: conversation, response, principles, search_line, divider_line, replace_line\n"
        "---\n<<user>>\nMY TEMPLATE{{principles}}\n{{conversation}}\n{{response}}\n"
        "{{search_line}}\n{{divider_line}}\n{{replace_line}}\n"
    )
    generate_world(
        tmp_path / "run",
        1,
        template=str(own),
        principle=("Be exact.", "Be kind."),
        temperature=0.7,
        top_p=0.9,
        max_tokens=300,
        reviser_temperature=0.1,
        reviser_max_tokens=900,
    )
    to_target, to_reviser = server.bodies
    assert {name: value for name, value in to_target.items() if name != "messages"} == {
        "model": "target",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 300,
    }
    (message,) = to_reviser["messages"]
    assert message["content"].startswith(
        "MY TEMPLATE\n\nWhat better means here, above all:\n- Be exact.\n- Be kind.\nTell me about row 0.\n"
    )
    assert (to_reviser["temperature"], to_reviser["max_tokens"]) == (0.1, 900)


def test_paths_may_be_paths(server: ChatServer, tmp_path: Path):
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 1)
    models: dict[str, Any] = {"target": f"target@{server.base_url}", "reviser": f"reviser@{server.base_url}"}
    assert clair.generate(prompts=prompts, out=tmp_path / "run", **models).pairs == 1
