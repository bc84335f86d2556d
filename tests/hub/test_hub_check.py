"""Which runs are refused, and what is said about them. Real: the run folders, damaged by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clair.dataset.invariants import SeenIds
from clair.errors import ClairError, UsageError
from clair.hub.check import Counts, check_run
from clair.records import Message
from tests.dataset.dataset_examples import pair, reject
from tests.hub.runs import make_run, measured

KEY = "sk-Zq7mW2xN9cVb4TgHyR8kLpD3sFj6aQeU1oIiXwEnMvBtCz5Y"
SHARD = "data/train-00000-of-00001.parquet"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run")


def rewrite(run: Path, change, shard: str = SHARD) -> None:
    """Change the rows of a shard as somebody with other tools would."""
    table = pq.read_table(run / shard)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), run / shard)


def edit_json(run: Path, change) -> None:
    values = json.loads((run / "run.json").read_text())
    change(values)
    (run / "run.json").write_text(json.dumps(values))


def test_a_good_run_is_counted(run):
    assert check_run(run) == Counts(pairs=3, rejects=2)
    assert check_run(run, rejects=False) == Counts(pairs=3, rejects=2)


def test_a_run_without_pairs_or_rejects_is_good_too(tmp_path):
    assert check_run(make_run(tmp_path, 0, 0)) == Counts(0, 0)


def test_steps_of_chains_are_no_pairs_of_their_own(run):
    """The columns of chains, as `generate --chains` adds them."""
    table = pq.read_table(run / SHARD)
    rows = table.to_pylist()
    for row in rows:
        row["parent_id"] = None if row is rows[0] else rows[0]["id"]
    names = [*table.schema, *([] if "parent_id" in table.schema.names else [pa.field("parent_id", pa.string())])]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(names, table.schema.metadata)), run / SHARD)
    edit_json(run, lambda it: it["counts"].update(pairs=1, rows=3))
    assert check_run(run) == Counts(1, 2)


@pytest.mark.parametrize("name", ["run.json", "README.md", SHARD])
def test_a_folder_that_lacks_a_part_is_no_run(run, name):
    (run / name).unlink()
    with pytest.raises(UsageError, match="Expected a run folder made by `clair generate`"):
        check_run(run)


def test_damage_is_told_from_absence(run):
    (run / "run.json").write_text("{")
    with pytest.raises(ClairError, match=r"'.*run.json' cannot be read: .*writes its files again"):
        check_run(run)
    (run / "run.json").write_text("[]")
    with pytest.raises(ClairError, match="does not hold the settings"):
        check_run(run)


def test_damage_to_any_column_is_noticed(tmp_path):
    """Six bytes in the middle of each column's data; numbers too, which nothing but the checksum betrays."""
    run = make_run(tmp_path, 200)
    good = (run / SHARD).read_bytes()
    group = pq.read_metadata(run / SHARD).row_group(0)
    for index in range(group.num_columns):
        column = group.column(index)
        start = column.dictionary_page_offset or column.data_page_offset
        middle = start + column.total_compressed_size // 2
        (run / SHARD).write_bytes(good[:middle] + b"\xff" * 6 + good[middle + 6 :])
        with pytest.raises(ClairError):
            check_run(run)


def test_a_truncated_file_is_refused(run):
    (run / SHARD).write_bytes((run / SHARD).read_bytes()[:-10])
    with pytest.raises(ClairError, match="cannot be read"):
        check_run(run)


def test_a_missing_shard_is_noticed(tmp_path):
    run = make_run(tmp_path, 30, shard_bytes=4000, group_rows=5)
    shards = sorted((run / "data").glob("train-*"))
    assert len(shards) > 1
    shards[1].unlink()
    with pytest.raises(ClairError, match="not one set"):
        check_run(run)


def test_counts_that_disagree_are_refused(run):
    edit_json(run, lambda it: it["counts"].update(pairs=4))
    with pytest.raises(ClairError, match=r"run\.json counts 4 pairs, data/ holds 3"):
        check_run(run)
    edit_json(run, lambda it: it["counts"].update(pairs=3, rows=9))
    with pytest.raises(ClairError, match=r"run\.json counts 9 rows, and 5 ended as pairs and rejects"):
        check_run(run)
    edit_json(run, lambda it: it.pop("counts"))
    with pytest.raises(ClairError, match=r"run\.json does not say how many rejects"):
        check_run(run)


def test_a_card_that_promises_other_rows_is_refused(run):
    card = run / "README.md"
    text = card.read_text()
    card.write_text(text.replace("num_examples: 3", "num_examples: 30"))
    with pytest.raises(ClairError, match="the card promises 30 rows of 'default', its files hold 3"):
        check_run(run)
    card.write_text(re.sub("dataset_info:.*?---", "---", text, flags=re.DOTALL))
    with pytest.raises(ClairError, match="does not say how many rows"):
        check_run(run)


ID = pair(1).id


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda row: row.update(chosen=row["rejected"]), "chosen and rejected have the same words"),
        (lambda row: row["chosen"].append(row["chosen"][0]), "chosen is not one assistant turn"),
        (lambda row: row["rejected"][0].update(role="user"), "rejected is not one assistant turn"),
        (lambda row: row["rejected"][0].update(content=" \n"), "rejected is empty"),
        (lambda row: row["prompt"].clear(), "the prompt does not end with a user turn"),
        (lambda row: row["chosen"][0].update(content="x"), "word_distance is 4, the column says 1"),
        (lambda row: row.update(jaccard=0.9), "jaccard is 0.6, the column says 0.9"),
        (lambda row: row.update(id=pair(2).id), "the id occurs twice"),
    ],
)
def test_pairs_that_break_an_invariant_are_named(run, change, problem):
    rewrite(run, lambda rows: change(rows[1]))
    named = pair(2).id if "twice" in problem else ID
    with pytest.raises(ClairError, match=f"1 of the pairs break what the run promises:\n +{named}: {problem}\n"):
        check_run(run)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"max_change": 0.2}, "25 % of the words changed, at most 20 % may"),
        ({"max_edits": 0}, "1 separate places changed, at most 0 places may"),
        ({"min_jaccard": 0.9}, "60 % of all different words are in both answers"),
        ({"min_char_similarity": 0.99}, "of the characters were kept"),
    ],
)
def test_the_gate_of_the_run_is_applied_to_the_texts(tmp_path, settings, problem):
    run = make_run(tmp_path, settings=settings)
    with pytest.raises(ClairError, match=f"3 of the pairs break what the run promises:\n +{pair(0).id}: .*{problem}"):
        check_run(run)


def test_a_run_without_a_bound_on_the_words_keeps_all(tmp_path):
    far = measured(1, chosen="a b c", rejected="x y z")
    assert check_run(make_run(tmp_path / "any", [far], settings={"max_change": None})).pairs == 1
    with pytest.raises(ClairError, match="100 % of the words changed"):
        check_run(make_run(tmp_path / "gated", [far]))


def test_long_lists_are_cut(tmp_path):
    with pytest.raises(ClairError) as caught:
        check_run(make_run(tmp_path, 30, settings={"max_change": 0.2}))
    assert "30 of the pairs" in str(caught.value)
    assert "and 20 more" in str(caught.value)
    assert str(caught.value).count("% of the words changed") == 10


COLUMNS = {
    "prompt": {"prompt": (Message(role="user", content=f"My key is {KEY}"),)},
    "chosen": {"chosen": f"a {KEY} c", "rejected": "a b c"},
    "rejected": {"rejected": f"a {KEY} c", "chosen": "a b c"},
    "rationale": {"rationale": KEY},
    "metadata": {"metadata": json.dumps({"k": [KEY]})},
    "source": {"source": f"https://x/?key={KEY}"},
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_secret_is_found_in_every_column_of_a_pair(tmp_path, column):
    run = make_run(tmp_path, [measured(0), measured(1, **COLUMNS[column])])
    with pytest.raises(ClairError) as caught:
        check_run(run)
    assert f"row {ID} ({column}): openai sk-Z… (51 characters)" in str(caught.value)
    assert KEY[:5] not in str(caught.value)
    allowed = {ID} | ({"README.md"} if KEY in (run / "README.md").read_text() else set())
    assert check_run(run, allowed=allowed) == Counts(2, 2)


@pytest.mark.parametrize("column", ["detail", "response", "revision"])
def test_a_secret_is_found_in_rejects_unless_they_stay_at_home(tmp_path, column):
    run = make_run(tmp_path, 1, [reject(1, **{column: f"see {KEY}"})])
    with pytest.raises(ClairError, match=rf"row {ID} \({column}\): openai"):
        check_run(run)
    assert check_run(run, rejects=False) == Counts(1, 1)


@pytest.mark.parametrize("name", ["README.md", "run.json", "report.html"])
def test_a_secret_is_found_in_the_other_files(run, name):
    if name == "run.json":
        edit_json(run, lambda it: it["settings"].update(principle=[KEY]))
    else:
        with (run / name).open("a") as file:
            file.write(f"\n{KEY}\n")
    with pytest.raises(ClairError, match=f"{name}.*: openai"):
        check_run(run)
    assert check_run(run, allowed={name}) == Counts(3, 2)


def test_placeholders_are_no_secrets(tmp_path):
    text = "export OPENAI_API_KEY=sk-... # or sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
    run = make_run(tmp_path, [measured(1, chosen=f"{text} now", rejected=f"{text} then")])
    assert check_run(run).pairs == 1


def test_violations_and_secrets_are_told_together(tmp_path):
    run = make_run(tmp_path, [measured(1, rationale=KEY)], settings={"max_change": 0.1})
    with pytest.raises(ClairError) as caught:
        check_run(run)
    assert "1 of the pairs break" in str(caught.value)
    assert "1 texts hold what looks like a key" in str(caught.value)


def test_ids_are_compared_and_not_their_hashes(run, monkeypatch):
    """Every id a suspect: still only real duplicates are named."""
    monkeypatch.setattr(SeenIds, "suspects", lambda self: set(self._hashes))
    assert check_run(run) == Counts(3, 2)


def test_the_example_pairs_of_other_tests_would_be_refused(tmp_path):
    """Their figures are not those of their texts, which is what the check is for."""
    with pytest.raises(ClairError, match=r"word_similarity|char_distance|jaccard"):
        check_run(make_run(tmp_path, [replace(pair(1))]))
