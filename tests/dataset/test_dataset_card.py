"""The card, and the run folder as `datasets` and `huggingface_hub` see it.

Both libraries are real and offline; the outcomes are hand-made, the other files of the folder are stand-ins.
"""

from __future__ import annotations

from dataclasses import replace

import datasets
import pytest
import yaml
from dataset_examples import FACTS, pair, reject
from huggingface_hub import DatasetCard

from clair.dataset.card import card, size_category, write_card
from clair.dataset.loading import load_split
from clair.dataset.markdown import block, code, plain
from clair.dataset.run_json import write_run_json
from clair.dataset.schema import PAIR_COLUMNS, PAIR_SCHEMA, REJECT_COLUMNS
from clair.dataset.summary import Tally
from clair.dataset.writer import write_split
from clair.errors import UsageError


@pytest.fixture(autouse=True)
def _offline(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def make_run(run_dir, pairs, rejects, facts=FACTS, **sizes):
    tally = Tally()
    write_split(tally.watch(pairs), run_dir, "pairs", **sizes)
    write_split(tally.watch(rejects), run_dir, "rejects")
    summary = tally.summary(facts)
    write_card(run_dir, summary, tally.examples())
    write_run_json(run_dir, summary)
    (run_dir / "ledger.sqlite").write_bytes(b"SQLite format 3\0")
    (run_dir / "report.html").write_text("<p>")
    (run_dir / "extra.json").write_text('{"a": 1}')
    return summary


MESSAGES = datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})


def features_of(columns):
    return datasets.Features(
        {it.name: MESSAGES if it.type == "messages" else datasets.Value(it.type) for it in columns}
    )


def test_load_dataset_takes_the_folder_as_it_stands(tmp_path):
    make_run(tmp_path / "run", [pair(1), pair(2)], [reject(3)])
    pairs = datasets.load_dataset(str(tmp_path / "run"))
    assert list(pairs) == ["train"]
    assert pairs["train"].features == features_of(PAIR_COLUMNS)
    assert pairs["train"]["id"][:] == [pair(1).id, pair(2).id]
    rejects = datasets.load_dataset(str(tmp_path / "run"), "rejects", split="train")
    assert rejects.features == features_of(REJECT_COLUMNS)
    assert rejects["reason"][:] == ["too_different"]


def test_load_dataset_reads_all_shards_in_order(tmp_path):
    make_run(tmp_path / "run", [pair(n) for n in range(30)], [], shard_bytes=4000, group_rows=5)
    assert len(list((tmp_path / "run" / "data").iterdir())) > 1
    loaded = datasets.load_dataset(str(tmp_path / "run"), split="train")
    assert loaded["source_index"][:] == list(range(30))


def test_rows_are_in_the_explicit_conversational_layout(tmp_path):
    """What TRL checks: prompt, chosen and rejected are message lists, and the answers do not repeat the prompt."""
    make_run(tmp_path / "run", [pair(1)], [])
    row = datasets.load_dataset(str(tmp_path / "run"), split="train")[0]
    assert row["prompt"] == [{"role": "user", "content": "What is 1 + 1?"}]
    assert row["chosen"] == [{"role": "assistant", "content": "It is 2 ."}]
    assert row["rejected"] == [{"role": "assistant", "content": "It is 1 ."}]


def test_an_empty_split_streams_and_loads_with_its_features(tmp_path):
    make_run(tmp_path / "run", [], [])
    for config, kind, columns in (("default", "pairs", PAIR_COLUMNS), ("rejects", "rejects", REJECT_COLUMNS)):
        streamed = datasets.load_dataset(str(tmp_path / "run"), config, split="train", streaming=True)
        assert streamed.features == features_of(columns)
        assert list(streamed) == []
        loaded = load_split(tmp_path / "run", kind)
        assert (loaded.features, len(loaded)) == (features_of(columns), 0)


def test_an_empty_rejects_split_does_not_hinder_the_pairs(tmp_path):
    make_run(tmp_path / "run", [pair(1)], [])
    assert len(datasets.load_dataset(str(tmp_path / "run"), split="train")) == 1


def test_load_split_equals_load_dataset(tmp_path):
    make_run(tmp_path / "run", [pair(1), pair(2)], [reject(3)])
    loaded = datasets.load_dataset(str(tmp_path / "run"), split="train")
    assert load_split(tmp_path / "run").to_list() == loaded.to_list()
    with pytest.raises(UsageError, match="holds no pairs"):
        load_split(tmp_path / "nothing")


def test_shards_name_their_features_for_those_who_load_them_without_the_card():
    assert datasets.Features.from_arrow_schema(PAIR_SCHEMA) == features_of(PAIR_COLUMNS)


def test_a_card_that_does_not_match_the_shards_is_noticed(tmp_path):
    """The state after a kill between writing the shards and the card."""
    make_run(tmp_path / "run", [pair(1), pair(2)], [])
    write_split([pair(1)], tmp_path / "run", "pairs")
    with pytest.raises(datasets.exceptions.NonMatchingSplitsSizesError):
        datasets.load_dataset(str(tmp_path / "run"))


def test_the_front_matter_is_what_the_hub_reads(tmp_path):
    make_run(tmp_path, [pair(1)], [reject(2)])
    data = DatasetCard.load(tmp_path / "README.md").data.to_dict()
    assert data["tags"] == ["synthetic", "preference", "dpo", "apo", "clair", "trl"]
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["text-generation"]
    assert data["annotations_creators"] == ["machine-generated"]
    assert "license" not in data
    assert data["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "train", "path": "data/train-*.parquet"}],
            "default": True,
        },
        {"config_name": "rejects", "data_files": [{"split": "train", "path": "rejects/train-*.parquet"}]},
    ]
    assert [info["splits"][0]["num_examples"] for info in data["dataset_info"]] == [1, 1]
    size = (tmp_path / "data" / "train-00000-of-00001.parquet").stat().st_size
    assert data["dataset_info"][0]["download_size"] == size


def test_a_given_license_is_in_the_card(tmp_path):
    make_run(tmp_path, [pair(1)], [], facts=replace(FACTS, license="cc-by-4.0"))
    assert DatasetCard.load(tmp_path / "README.md").data.license == "cc-by-4.0"


def test_the_body_tells_how_the_data_were_made(tmp_path):
    summary = make_run(tmp_path, [pair(1), pair(2)], [reject(3)])
    text = (tmp_path / "README.md").read_text()
    for expected in (
        "2 preference pairs for `small`",
        "clair generate prompts.jsonl -o run --target small --reviser large",
        "| template `edits` | sha256 `ab12` |",
        '| `principle` | `["be brief"]` |',
        "| input rows |  |  | 3 |  |",
        "| `gate` | `too_different` | more changed than the gate allows | -1 | 33.3% |",
        "| pairs |  |  | 2 | 66.7% |",
        "| share of words changed | 0.25 | 0.25 | 0.25 |",
        "Chosen is longer in 0.0% of the pairs, shorter in 0.0% and of the same length in 100.0%; +0.00 words",
        "| cost, US dollars | 2.5000 |",
        "| cost per pair, rejects included | 1.250000 |",
        "https://arxiv.org/abs/2408.06266",
    ):
        assert expected in text
    tally = Tally()
    assert list(tally.watch([pair(2), pair(1)]))
    assert text == card(tmp_path, summary, tally.examples())
    for column in PAIR_COLUMNS + REJECT_COLUMNS:
        assert f"| `{column.name}` |" in text


def test_other_recipes_claim_less_and_name_their_judge(tmp_path):
    make_run(tmp_path, [pair(1)], [], facts=replace(FACTS, recipe="best_of_n", judge_model="strict"))
    text = (tmp_path / "README.md").read_text()
    assert "each `rejected` the worst. Made with the recipe `best_of_n` of clair" in text
    assert "| judge | `strict` |" in text


NASTY = "x`| y\n---\nlicense: mit\n# <script>alert(1)</script> [a](b) ``` {{z}} \u202e"


def test_text_of_models_and_users_stays_text(tmp_path):
    facts = replace(
        FACTS, name=NASTY, target_model=NASTY, command=NASTY, settings={NASTY: NASTY}, templates={NASTY: "1"}
    )
    make_run(tmp_path, [pair(1)], [], facts=facts)
    text = (tmp_path / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    data = yaml.safe_load(front)
    assert "license" not in data
    assert data["pretty_name"] == NASTY.replace("\n", " ").replace("\u202e", "\ufffd")
    assert DatasetCard.load(tmp_path / "README.md").data.pretty_name == data["pretty_name"]
    assert len(datasets.load_dataset(str(tmp_path), split="train")) == 1
    assert "\u202e" not in body
    assert body.count("\n# ") == 2  # the title, and the one inside the fenced command


def test_code_spans_and_blocks_cannot_be_ended_by_their_text():
    assert code("a`b") == "``a`b``"
    assert code("`a") == "`` `a ``"
    assert code("a|b\nc") == r"`a\|b c`"
    assert code("") == "(empty)"
    assert block("```\nx") == "````\n```\nx\n````"
    assert plain("<b>*x*</b>") == r"\<b\>\*x\*\</b\>"


@pytest.mark.parametrize(
    ("rows", "name"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (123_456, "100K<n<1M"), (10**9, "n>1B"), (10**12, "n>1T")],
)
def test_size_categories(rows, name):
    assert size_category(rows) == name
