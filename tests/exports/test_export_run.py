"""From a run folder to an export: what goes in, what comes out, what is refused.

Real: run folders by the real writer, Parquet, the file system. No doubles.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clair.errors import ClairError, UsageError
from clair.exports import Exported, export
from clair.exports.formats import FORMATS
from clair.exports.rows import Pairs
from clair.records import Message
from tests.exports.examples import HARD, numbered, pair, read_lines, write_chains, write_run

MEASURE = """
import resource, sys
from clair.exports import export
export(sys.argv[1], "unpaired", sys.argv[2], test_share=0.05)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_export_says_what_it_wrote(tmp_path: Path):
    run = write_run(tmp_path / "run", [numbered(number) for number in range(20)])
    done = export(run, "kto", tmp_path / "out", test_share=0.2, seed=3)
    assert done == Exported(
        format="unpaired",
        run=str(run),
        out=str(tmp_path / "out"),
        pairs=20,
        records=done.records,
        left_out={},
        notes=(),
        files=("train.jsonl", "test.jsonl", "README.md", "export.json"),
    )
    assert sum(done.records.values()) == 40
    assert json.loads((tmp_path / "out/export.json").read_bytes()) == {
        "clair_export": 1,
        "format": "unpaired",
        "run": "run",
        "options": {"test_share": 0.2, "seed": 3, "pairs": "whole"},
        "pairs": 20,
        "records": done.records,
        "left_out": {},
        "files": ["README.md", "test.jsonl", "train.jsonl"],
    }


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_call_gives_the_same_bytes(name: str, tmp_path: Path):
    run = write_run(tmp_path / "run", [numbered(number) for number in range(30)])
    for out in ("one", "two", "two"):  # the last one replaces an export by itself
        export(run, name, tmp_path / out, test_share=0.3)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_both_answers_of_a_prompt_and_all_its_samples_are_on_one_side_whatever_the_format(tmp_path: Path):
    prompts = [(Message(role="user", content=f"Question {number % 25}"),) for number in range(100)]
    run = write_run(tmp_path / "run", [pair(number, prompt=prompt) for number, prompt in enumerate(prompts)])
    sides = {}
    for name, key in (("unpaired", "prompt"), ("llama-factory", "messages"), ("nemo", "context")):
        export(run, name, tmp_path / name, test_share=0.3)
        sides[name] = [
            {json.dumps(row[key]) for row in read_lines(tmp_path / name / f"{split}.jsonl")}
            for split in ("train", "test")
        ]
        assert sides[name][0] & sides[name][1] == set()
        assert sum(len(found) for found in sides[name]) == 25
    assert sides["unpaired"] == sides["llama-factory"] == sides["nemo"]


def test_the_side_does_not_depend_on_the_order_or_on_other_rows(tmp_path: Path):
    pairs = [numbered(number) for number in range(60)]
    export(write_run(tmp_path / "a", pairs), "sft", tmp_path / "one", test_share=0.3)
    export(write_run(tmp_path / "b", pairs[::-2]), "sft", tmp_path / "two", test_share=0.3)
    one, two = (
        {
            split: [json.dumps(row) for row in read_lines(tmp_path / out / f"{split}.jsonl")]
            for split in ("train", "test")
        }
        for out in ("one", "two")
    )
    for split in ("train", "test"):
        assert set(two[split]) <= set(one[split])


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("whole", ["a", "b", "c"]),
        ("steps", ["a1", "a2", "b", "c1"]),
        ("all", ["a", "a1", "a2", "b", "c1", "c"]),
    ],
)
def test_chains_as_whole_pairs_as_steps_or_as_both(pairs: Pairs, expected: list[str], tmp_path: Path):
    """b was revised in one step and has none of its own; the steps of c stand before it."""
    run = write_chains(tmp_path / "run", [("a", None), ("a1", "a"), ("a2", "a"), ("b", None), ("c1", "c"), ("c", None)])
    done = export(run, "jsonl", tmp_path / "out", pairs=pairs)
    assert [row["id"] for row in read_lines(tmp_path / "out/train.jsonl")] == expected
    assert done.pairs == len(expected)


@pytest.mark.parametrize("pairs", ["whole", "steps", "all"])
def test_a_run_from_before_there_were_chains_has_whole_pairs_only(pairs: Pairs, tmp_path: Path):
    run = write_run(tmp_path / "run", [pair(0), pair(1)])
    (path,) = (run / "data").iterdir()
    table = pq.read_table(path)
    pq.write_table(table.drop([name for name in ("parent_id", "step") if name in table.column_names]), path)
    assert export(run, "sft", tmp_path / "out", pairs=pairs).pairs == 2


def test_several_shards_are_read_in_order(tmp_path: Path):
    run = write_run(tmp_path / "run", [numbered(number) for number in range(9)], shard_bytes=1, group_rows=2)
    assert len(list((run / "data").iterdir())) == 5
    export(run, "jsonl", tmp_path / "out")
    assert [row["source_index"] for row in read_lines(tmp_path / "out/train.jsonl")] == list(range(9))


def test_every_line_is_one_line_for_every_reader(tmp_path: Path):
    export(write_run(tmp_path / "run", [pair(1)]), "jsonl", tmp_path / "out")
    text = (tmp_path / "out/train.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == 1  # splits at U+2028, U+2029 and U+0085 too
    assert HARD in json.loads(text)["chosen"][0]["content"]


def test_dates_are_refused_because_json_readers_would_rewrite_them(tmp_path: Path):
    pairs = [pair(number, chosen=f"2024-03-{number + 10}", rejected=f"2024-04-{number + 10}") for number in range(3)]
    run = write_run(tmp_path / "run", pairs)
    with pytest.raises(
        ClairError, match=r"In the train split every text of 'chosen.content' is a date. .* --format parquet"
    ):
        export(run, "jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(run, "parquet", tmp_path / "out")
    from datasets import load_dataset

    found = load_dataset(str(tmp_path / "out"), split="train")
    assert [row[0]["content"] for row in found["chosen"]] == ["2024-03-10", "2024-03-11", "2024-03-12"]
    mixed = write_run(tmp_path / "mixed", [*pairs, pair(7)])
    assert export(mixed, "jsonl", tmp_path / "lines").pairs == 4


def test_a_share_too_small_for_the_prompts_is_said(tmp_path: Path):
    done = export(write_run(tmp_path / "run", [pair(0)]), "sft", tmp_path / "out", test_share=0.01)
    assert done.records == {"train": 1}
    assert done.notes == ("no test file: none of the prompts fell on the test side, there are too few for this share",)
    assert not (tmp_path / "out/test.jsonl").exists()


def test_a_train_side_without_rows_is_refused(tmp_path: Path):
    with pytest.raises(
        UsageError, match=r"Of 1 pair of .* every one falls on the test side. Choose a lower --test-share"
    ):
        export(write_run(tmp_path / "run", [pair(0)]), "sft", tmp_path / "out", test_share=0.999)


def test_an_unknown_kind_of_pairs_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="--pairs 'half' is unknown; expected one of whole, steps, all"):
        export(tmp_path, "sft", tmp_path / "out", pairs="half")  # type: ignore[arg-type]


def test_parquet_groups_rows_for_readers(tmp_path: Path):
    run = write_run(tmp_path / "run", [numbered(number) for number in range(1200)], group_rows=100)
    done = export(run, "parquet", tmp_path / "out", test_share=0.05)
    for split, rows in done.records.items():
        found = pq.read_metadata(tmp_path / "out" / f"{split}.parquet")
        assert (found.num_rows, found.num_row_groups) == (rows, {"train": 2, "test": 1}[split])


def test_a_run_without_pairs_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no pairs to export"):
        export(write_run(tmp_path / "run", []), "sft", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_the_loader_could_not_read_at_all_is_refused(tmp_path: Path):
    run = write_run(tmp_path / "run", [pair(0, prompt=(Message(role="user", content="a"),) * 2)])
    with pytest.raises(UsageError, match=r"No pair of .* can be written as llama-factory \(1 left out: after an"):
        export(run, "llama-factory", tmp_path / "out")


def test_no_folder_and_a_folder_that_is_no_run_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="There is no folder"):
        export(tmp_path / "nothing", "sft", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="Expected a run folder made by `clair generate`"):
        export(tmp_path / "empty", "sft", tmp_path / "out")


def test_parquet_that_holds_no_pairs_is_refused(tmp_path: Path):
    run = write_run(tmp_path / "run", [pair(0)])
    (path,) = (run / "data").iterdir()
    pq.write_table(pq.read_table(path).drop(["chosen"]), path)
    with pytest.raises(UsageError, match="has no column chosen; expected pairs made by `clair generate`"):
        export(run, "sft", tmp_path / "out")


def test_a_missing_shard_is_refused(tmp_path: Path):
    run = write_run(tmp_path / "run", [numbered(number) for number in range(9)], shard_bytes=1, group_rows=2)
    (run / "data/train-00002-of-00005.parquet").unlink()
    with pytest.raises(ClairError, match=r"holds 4 of the files of 'train-00000-of-00005.parquet'"):
        export(run, "sft", tmp_path / "out")


@pytest.mark.parametrize("place", [0, 4, 100, 300, 600, 900, -4, -100, -500])
def test_a_damaged_file_is_an_error_with_its_name_or_changes_nothing(place: int, tmp_path: Path):
    run = write_run(tmp_path / "run", [numbered(number) for number in range(50)])
    export(run, "sft", tmp_path / "before")
    (path,) = (run / "data").iterdir()
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    error = None
    try:
        export(run, "sft", tmp_path / "out")
    except ClairError as caught:
        error = str(caught)
    if error is None:
        assert contents(tmp_path / "out") == contents(tmp_path / "before")
    else:
        assert str(path) in error
        assert not (tmp_path / "out").exists()


def test_a_file_cut_short_is_an_error_with_what_to_do(tmp_path: Path):
    run = write_run(tmp_path / "run", [pair(0)])
    (path,) = (run / "data").iterdir()
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ClairError, match=r"cannot be read .* writes its files again from the ledger, without buying"):
        export(run, "sft", tmp_path / "out")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_run(tmp_path: Path):
    """Peak memory of a process that exports 2,000 and 40,000 pairs; the larger file is 60 MB larger."""
    peaks = []
    for rows in (2_000, 40_000):
        run = write_run(tmp_path / f"run{rows}", [numbered(number) for number in range(rows)])
        command = [sys.executable, "-c", MEASURE, str(run), str(tmp_path / f"out{rows}")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] < peaks[0] + 60
