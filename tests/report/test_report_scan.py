"""One pass over a run folder. Real: the Parquet files, written and read; doubles: the rows in them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clair.dataset.audit import Counted
from clair.dataset.quartiles import Quartiles
from clair.dataset.schema import PAIR_SCHEMA
from clair.dataset.summary import Rejected
from clair.dataset.writer import write_split
from clair.errors import ClairError, UsageError
from clair.report import scan as scanning
from clair.report.scan import scan
from tests.dataset.dataset_examples import pair, reject
from tests.report.examples import measured, small_pairs, small_run, write_run


def rows_of(sample):
    return [json.loads(text) for text in sample.texts()]


def test_figures_of_a_small_run(tmp_path: Path):
    figures = scan(small_run(tmp_path)).figures
    assert (figures.rows, figures.pairs, figures.rejected, figures.step_pairs) == (13, 10, 3, 0)
    assert figures.rejects == (
        Rejected("gate", "length_ratio", 1, 1.5),
        Rejected("gate", "too_different", 1, 1.5),
        Rejected("sample", "truncated", 1, 1.5),
    )
    similarity, edits, ratio, prefix = (it.quartiles for it in figures.distributions)
    assert similarity == Quartiles(*map(pytest.approx, (0.225, 0.45, 0.675)))  # 0.0, 0.1, ... 0.9
    assert (edits, ratio, prefix) == (Quartiles(1, 1, 1), Quartiles(1, 1, 1), Quartiles(0, 0, 0))
    assert figures.audit.only_chosen_words[0] == Counted("new0", 10, 0)
    assert (figures.cost_usd.value, figures.cost_per_pair_usd) == (9.5, 0.95)


def test_rows_to_browse_hold_what_the_page_shows(tmp_path: Path):
    scanned = scan(small_run(tmp_path))
    first = rows_of(scanned.pairs)[0]
    assert first == {
        "id": f"{0:032x}",
        "number": 1,
        "prompt": [["user", "Tell me about alpha."]],
        "metadata": '{"level":1}',
        "source": "prompts.jsonl, record 0",
        "kind": "pair",
        "diff": [["word0", "new0"], " " + " ".join(f"word{place}" for place in range(1, 10))],
        "why": "off by one",
        "similarity": 0.9,
        "facts": [
            ["word similarity", "0.900"], ["edits", "1"], ["words changed", "1"], ["Jaccard", "0.818"],
            ["character similarity", "0.932"], ["shared prefix", "0.000"], ["length ratio", "1.000"],
            ["protocol", "edits"], ["attempts", "1"], ["cost", "$0.5000"],
        ],
    }  # fmt: skip
    (cut_off,) = rows_of(scanned.rejects["truncated"])
    assert {key: cut_off[key] for key in ("stage", "reason", "why", "similarity", "text", "number")} == {
        "stage": "sample", "reason": "truncated", "why": "78 % of the words changed", "similarity": None,
        "text": "Because.", "number": 3,
    }  # fmt: skip
    (other,) = rows_of(scanned.rejects["length_ratio"])
    assert (other["diff"], other["similarity"]) == ([["Because.", "Because it is."]], 0.0)


def test_large_runs_are_sampled_by_id_and_rare_reasons_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scanning, "PAIRS_SHOWN", 20)
    monkeypatch.setattr(scanning, "REJECTS_SHOWN", 5)
    rejects = [reject(1000 + n, reason="unchanged" if n else "too_many_edits") for n in range(60)]
    scanned = scan(write_run(tmp_path, map(pair, range(300)), rejects, group_rows=7, shard_bytes=5000))
    assert (len(scanned.pairs), scanned.pairs.seen, scanned.figures.pairs) == (20, 300, 300)
    assert {reason: (len(it), it.seen) for reason, it in scanned.rejects.items()} == {
        "unchanged": (5, 59), "too_many_edits": (1, 1),
    }  # fmt: skip
    numbers = [row["number"] for row in rows_of(scanned.pairs)]
    assert numbers == sorted(numbers)
    assert all(int(row["id"], 16) == row["number"] - 1 for row in rows_of(scanned.pairs))


def test_steps_of_chains_are_counted_apart_and_shown_with_their_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scanning, "PAIRS_SHOWN", 12)
    chains = []
    for number in range(0, 90, 3):
        chains.append(measured(number, "a b c d", "x y c d"))
        chains += [
            measured(number + step, "a b c d e e", "x b c d e e", parent_id=f"{number:032x}", step=step)
            for step in (1, 2)
        ]
    scanned = scan(write_run(tmp_path, chains, [reject(1000)]))
    figures = scanned.figures
    assert (figures.rows, figures.pairs, figures.step_pairs, figures.audit.pairs) == (31, 30, 60, 30)
    assert [sum(each.count for each in it.bins) for it in figures.distributions] == [30] * 4
    assert figures.cost_usd.value == 30 * 0.5 + 1.5
    shown = {row["id"]: row for row in rows_of(scanned.pairs)}
    steps = [row for row in shown.values() if "parent" in row]
    assert len(steps) == 8
    assert all(row["parent"] in shown for row in steps)
    assert {row["step"] for row in steps} == {1, 2}


def test_a_folder_without_the_newest_columns_or_rejects_is_read_as_well(tmp_path: Path):
    (path,) = write_split(small_pairs(), tmp_path, "pairs")
    table = pq.read_table(path)
    older = [name for name in table.column_names if name not in ("parent_id", "step")]
    pq.write_table(table.select(older), path)
    assert scan(tmp_path).figures.pairs == 10


def test_what_is_no_run_folder_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no pairs"):
        scan(tmp_path)
    (tmp_path / "data").mkdir()
    path = tmp_path / "data/train-00000-of-00001.parquet"
    pq.write_table(pa.table({"id": ["1"]}), path)
    with pytest.raises(UsageError, match="lacks the columns attempts, char_distance"):
        scan(tmp_path)
    path.write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(ClairError, match="cannot be read"):
        scan(tmp_path)


def test_answers_of_several_turns_are_refused(tmp_path: Path):
    (path,) = write_split([pair(1)], tmp_path, "pairs")
    (row,) = pq.read_table(path).to_pylist()
    row["chosen"] = [{"role": "assistant", "content": "a"}] * 2
    pq.write_table(pa.Table.from_pylist([row], schema=PAIR_SCHEMA), path)
    with pytest.raises(UsageError, match="'chosen' holds answers that are not exactly one turn"):
        scan(tmp_path)


def test_an_empty_run_has_figures_of_nothing(tmp_path: Path):
    scanned = scan(write_run(tmp_path, []))
    assert (scanned.figures.rows, scanned.figures.cost_per_pair_usd, len(scanned.pairs)) == (0, None, 0)
