"""Real text: what `clair generate` makes of recorded answers and recorded GPT-4 revisions.

Real: the texts of both models, `clair.generate`, client, HTTP, ledger, files. Double: the server replays them. The
figures are compared with distances computed here, from their definitions, without a library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import clair
from tests.pipeline.runs import digests, pairs, rejects
from tests.servers import replay
from tests.servers.chat import ChatServer

RECORDS = replay.load() or []

pytestmark = pytest.mark.skipif(not RECORDS, reason=f"the recording is not at {replay.PATH}")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(replay.answers(RECORDS), models=("target", "gpt-4")) as running:
        yield running


def generate(server: ChatServer, folder: Path, **options: Any) -> Path:
    prompts = replay.write_prompts(folder / "tasks.jsonl", RECORDS)
    models = {"target": f"target@{server.base_url}", "reviser": f"gpt-4@{server.base_url}"}
    clair.generate(prompts=prompts, out=folder / "run", protocol="rewrite", **models, **options)
    return folder / "run"


def test_with_the_gate_open_all_are_parsed_and_measured_as_their_definitions_say(server: ChatServer, tmp_path: Path):
    run = generate(server, tmp_path, max_change=1.0, allow_talk=True)
    assert rejects(run) == []
    found = pairs(run)
    assert len(found) == 12
    for pair, record in zip(found, RECORDS, strict=True):
        chosen, rejected = replay.revision(record), record["student_solution"]
        assert pair["prompt"] == [{"role": "user", "content": record["task"]}]
        assert pair["chosen"] == [{"role": "assistant", "content": chosen}]
        assert pair["rejected"] == [{"role": "assistant", "content": rejected}]
        new, old = chosen.split(), rejected.split()
        words = distance(new, old)
        assert pair["word_distance"] == words
        assert pair["word_similarity"] == pytest.approx(1 - words / max(len(new), len(old)), abs=1e-12)
        characters = distance(chosen, rejected)
        assert pair["char_distance"] == characters
        assert pair["char_similarity"] == pytest.approx(1 - characters / max(len(chosen), len(rejected)), abs=1e-12)
        assert pair["jaccard"] == pytest.approx(len(set(new) & set(old)) / len(set(new) | set(old)), abs=1e-12)
        assert pair["length_ratio"] == pytest.approx(len(new) / len(old), abs=1e-12)
        assert pair["rationale"].startswith(("The ", "To "))
        usage = record["reviser_completion"]["usage"]
        assert (pair["prompt_tokens"], pair["completion_tokens"]) == (
            10 + usage["prompt_tokens"],
            5 + usage["completion_tokens"],
        )


def test_the_default_gate_refuses_them_with_figures_and_keeps_the_text(server: ChatServer, tmp_path: Path):
    run = generate(server, tmp_path)
    found = rejects(run)
    assert (len(found), pairs(run)) == (12, [])
    refused = {row["source_index"]: (row["stage"], row["reason"]) for row in found}
    talks = {index for index, verdict in refused.items() if verdict == ("parse", "talks_of_revision")}
    assert len(talks) == 1
    assert {verdict for index, verdict in refused.items() if index not in talks} == {("gate", "too_different")}
    for row, record in zip(found, RECORDS, strict=True):
        assert row["response"] == record["student_solution"]
        assert row["revision"] == replay.revision(record)
        assert row["attempts"] == 3
        if row["source_index"] not in talks:
            new, old = replay.revision(record).split(), record["student_solution"].split()
            changed = distance(new, old) / max(len(new), len(old))
            assert row["detail"] == f"{100 * changed:.3g} % of the words changed, at most 50 % may"


def test_opening_the_gate_afterwards_costs_nothing(server: ChatServer, tmp_path: Path):
    generate(server, tmp_path)
    bought = server.count
    opened = generate(server, tmp_path, max_change=1.0, allow_talk=True)
    assert server.count == bought == 12 + 36
    (tmp_path / "at once").mkdir()
    at_once = generate(server, tmp_path / "at once", max_change=1.0, allow_talk=True)
    assert digests(opened)["data/train-00000-of-00001.parquet"] == digests(at_once)["data/train-00000-of-00001.parquet"]


def distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein's distance by his recurrence, row by row; numpy works on a whole row at once."""
    ids = {item: number for number, item in enumerate({*one, *other})}
    columns = np.array([ids[item] for item in other])
    places = np.arange(len(other) + 1)
    row = places
    for item in one:
        best = np.append(row[0] + 1, np.minimum(row[1:] + 1, row[:-1] + (columns != ids[item])))
        row = np.minimum.accumulate(best - places) + places  # an insertion costs one for each place to the right
    return int(row[-1])


def test_the_distance_used_here_is_right():
    assert [distance(*texts) for texts in (("kitten", "sitting"), ("abc", "abc"), ("", "ab"), ("ab", ""))] == [
        3,
        0,
        2,
        2,
    ]
