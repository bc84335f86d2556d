"""Each export read by its loader's documented rule, written down here again in our own words.

Real: the run folder, the export, `datasets`, Jinja (through transformers' dependency) for chat templates. Doubles: the
loaders; each test names the loader, its version or commit and the file in which the rule stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from datasets import load_dataset

from clair.exports import export
from clair.exports.formats import FORMATS
from tests.exports.examples import HARD, Rows, numbered, pair, read_lines, write_run

Chat = list[dict[str, str]]
Template = Callable[..., str]

PAIRS = [pair(number) for number in range(8)]


def history(number: int) -> Chat:
    return [dict(turn) for turn in PAIRS[number].prompt]


def answer(text: str) -> Chat:
    return [{"role": "assistant", "content": text}]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", PAIRS)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def json_rows(path: Path) -> Rows:
    """As every loader below reads a local file: the `json` builder, whose split is always called train."""
    return load_dataset("json", data_files=str(path), split="train").to_list()  # type: ignore[no-any-return]


def chatml(chat: Chat, *, ask: bool = False) -> str:
    """A chat template that writes the turns as they are."""
    text = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in chat)
    return text + ("<|im_start|>assistant\n" if ask else "")


def trimming(chat: Chat, *, ask: bool = False) -> str:
    """A chat template that trims, as that of Llama 3 does."""
    text = "".join(f"<|{turn['role']}|>\n\n{turn['content'].strip()}<|eot|>" for turn in chat)
    return text + ("<|assistant|>\n\n" if ask else "")


@pytest.mark.parametrize("name", FORMATS)
def test_load_dataset_opens_the_folder_with_types_and_both_splits(name: str, tmp_path: Path):
    """`datasets` 5.2: README.md's front matter names files, features and counts; counts are verified on loading."""
    run = write_run(tmp_path / "run", [numbered(number) for number in range(60)])
    done = export(run, name, tmp_path / "out", test_share=0.2)
    loaded = load_dataset(str(tmp_path / "out"))
    assert {split: rows.num_rows for split, rows in loaded.items()} == done.records
    assert set(loaded) == {"train", "test"}
    for rows in loaded.values():
        assert "null" not in str(rows.features)  # a column without a single value keeps its type
        held = [text for row in rows for text in texts(row)]
        assert any(HARD in text for text in held)


def test_a_data_file_cut_short_is_refused_by_load_dataset(run: Path, tmp_path: Path):
    export(run, "sft", tmp_path / "out")
    lines = (tmp_path / "out/train.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out/train.jsonl").write_bytes(b"".join(lines[:-1]))
    with pytest.raises(datasets.exceptions.DatasetsError, match="num_examples=7"):
        load_dataset(str(tmp_path / "out"))


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in texts(item)]


def test_jsonl_and_parquet_are_the_dataset_as_it_is(run: Path, tmp_path: Path):
    """TRL 1.16, docs/source/dataset_formats.md: `prompt`, `chosen`, `rejected` as lists of messages; `DPOTrainer`
    removes other columns."""
    export(run, "jsonl", tmp_path / "lines")
    export(run, "parquet", tmp_path / "parquet")
    own = load_dataset("parquet", data_files=str(run / "data/*.parquet"), split="train")
    assert load_dataset(str(tmp_path / "lines"), split="train").to_list() == own.to_list()
    found = load_dataset(str(tmp_path / "parquet"), split="train")
    assert (found.to_list(), found.features) == (own.to_list(), own.features)
    assert json_rows(tmp_path / "lines/train.jsonl")[3]["chosen"] == answer(PAIRS[3].chosen)


def test_conversations_for_open_instruct(run: Path, tmp_path: Path):
    """open-instruct 00440da, open_instruct/dataset_transformation.py (the transform that is registered as
    preference_tulu_tokenize_and_truncate_v1): a local `.jsonl` goes through the `json` builder; `chosen` and `rejected`
    are non-empty lists of messages that differ in their last one only, which is what is trained on."""
    export(run, "conversations", tmp_path / "out")
    for number, row in enumerate(json_rows(tmp_path / "out/train.jsonl")):
        assert row["chosen"][:-1] == row["rejected"][:-1] == history(number)
        assert row["chosen"][-1:] == answer(PAIRS[number].chosen)
        assert row["rejected"][-1:] == answer(PAIRS[number].rejected)


@pytest.mark.parametrize("template", [chatml, trimming])
def test_conversations_for_openrlhf(run: Path, tmp_path: Path, template: Template):
    """OpenRLHF 0008ea1, openrlhf/datasets/reward_dataset.py: without a prompt key, the prompt is the template over
    `chosen[:-1]` with the generation prompt, and the answers are what whole conversations have beyond its length."""
    export(run, "conversations", tmp_path / "out")
    for number, row in enumerate(json_rows(tmp_path / "out/train.jsonl")):
        prompt = template(row["chosen"][:-1], ask=True)
        rejected = template(row["rejected"])
        assert rejected.startswith(prompt)
        end = template(answer("")).removeprefix(template([], ask=True))
        expected = PAIRS[number].rejected if template is chatml else PAIRS[number].rejected.strip()
        assert rejected[len(prompt) :] == expected + end


def test_conversations_for_trl(run: Path, tmp_path: Path):
    """TRL 1.16, trl/data_utils.py (extract_prompt): without `prompt`, the messages that both sides begin with are the
    prompt. Turn by turn, no answer is eaten; with strings in place of messages, this rule cuts into the answer."""
    export(run, "conversations", tmp_path / "out")
    for number, row in enumerate(json_rows(tmp_path / "out/train.jsonl")):
        assert common(row["chosen"], row["rejected"]) == len(history(number))
    said = PAIRS[0]
    question = "Name a prime above 10. "
    assert common(question + said.chosen, question + said.rejected) == len(question + "It is 1")


def common(one: Any, other: Any) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def test_unpaired_for_trl(run: Path, tmp_path: Path):
    """TRL 1.16, docs/source/dataset_formats.md: `prompt` and `completion` as messages and a boolean `label`."""
    export(run, "unpaired", tmp_path / "out")
    rows = load_dataset("json", data_files=str(tmp_path / "out/train.jsonl"), split="train")
    assert rows.column_names == ["prompt", "completion", "label"]
    assert rows.features["label"].dtype == "bool"
    expected = [
        {"prompt": history(number), "completion": answer(text), "label": label}
        for number, it in enumerate(PAIRS)
        for text, label in ((it.chosen, True), (it.rejected, False))
    ]
    assert sorted(rows.to_list(), key=repr) == sorted(expected, key=repr)


def test_unpaired_is_mixed_for_a_trainer_that_reads_in_file_order(tmp_path: Path):
    """TRL 1.16, trl/trainer/kto_trainer.py: rows are read in order, and the estimate of the KL term gives each row
    of a batch the completion of the row before. Side by side, the two answers of a prompt would stand in for each
    other."""
    run = write_run(tmp_path / "run", [numbered(number) for number in range(300)])
    export(run, "unpaired", tmp_path / "out")
    rows = json_rows(tmp_path / "out/train.jsonl")
    assert sum(a["prompt"] == b["prompt"] for a, b in pairwise(rows)) < 6  # 300 if the pairs were left together
    batches = [[row["label"] for row in rows[start : start + 8]] for start in range(0, 600, 8)]
    assert sum(len(set(labels)) == 2 for labels in batches) > 70  # of 75


def test_sft_for_trl(run: Path, tmp_path: Path):
    """TRL 1.16, docs/source/dataset_formats.md: prompt-completion, both as messages."""
    export(run, "sft", tmp_path / "out")
    assert json_rows(tmp_path / "out/train.jsonl") == [
        {"prompt": history(number), "completion": answer(it.chosen)} for number, it in enumerate(PAIRS)
    ]


def test_llama_factory(run: Path, tmp_path: Path):
    """LLaMA-Factory 02e2fb3, src/llamafactory/data: parser.py takes columns and tags from dataset_info.json (a tag that
    is not named is none); converter.py (SharegptDatasetConverter) takes a first system turn away, wants user or
    observation at even places and assistant or function at odd ones, an odd number of turns for a ranking dataset, and
    `chosen` and `rejected` as one message each; processor/pairwise.py drops other rows."""
    chains = [pair(20, prompt=PAIRS[3].prompt[:2] + PAIRS[3].prompt[1:])]  # two assistant turns in a row
    done = export(write_run(tmp_path / "odd", [*PAIRS, *chains]), "llama-factory", tmp_path / "out")
    folder = tmp_path / "out"
    entries = json.loads((folder / "dataset_info.json").read_bytes())
    assert list(entries) == ["clair_train"]
    entry = entries["clair_train"]
    assert (entry["formatting"], entry["ranking"]) == ("sharegpt", True)
    tags, columns = entry["tags"], entry["columns"]
    rows = json_rows(folder / entry["file_name"])
    assert done.left_out == {"after an optional system turn, user and assistant turns do not alternate": 1}
    assert len(rows) == len(PAIRS)
    for number, row in enumerate(rows):
        turns = row[columns["messages"]]
        system, turns = (turns[0], turns[1:]) if turns[0][tags["role_tag"]] == tags["system_tag"] else (None, turns)
        asking = (tags["user_tag"], tags["observation_tag"])
        answering = (tags["assistant_tag"], tags["function_tag"])
        for place, turn in enumerate(turns):
            assert turn[tags["role_tag"]] in (answering if place % 2 else asking)
        assert len(turns) % 2 == 1
        for name, text in (("chosen", PAIRS[number].chosen), ("rejected", PAIRS[number].rejected)):
            message = row[columns[name]]
            assert isinstance(message, dict)
            assert message[tags["role_tag"]] in answering
            assert message[tags["content_tag"]] == text
        assert [*([system] if system else []), *turns] == history(number)


def test_llama_factory_names_both_splits(tmp_path: Path):
    """LLaMA-Factory data/README.md: `dataset` and `eval_dataset` are names in dataset_info.json."""
    run = write_run(tmp_path / "run", [numbered(number) for number in range(60)])
    done = export(run, "llama-factory", tmp_path / "out", test_share=0.2)
    entries = json.loads((tmp_path / "out/dataset_info.json").read_bytes())
    counts = {name: len(json_rows(tmp_path / "out" / entry["file_name"])) for name, entry in entries.items()}
    assert counts == {"clair_train": done.records["train"], "clair_test": done.records["test"]}


@pytest.mark.parametrize("template", [chatml, trimming])
def test_axolotl(run: Path, tmp_path: Path, template: Template):
    """axolotl 1377ccc, src/axolotl/prompt_strategies/dpo/chat_template.py (default): fields and roles from the YAML;
    the answer is rendered behind a dummy user turn, and what is trained on begins where its text is first found there
    (at the last character if it is not found); white space at the end is cut. utils/data/shared.py: a path that is a
    file is read by the builder `ds_type`."""
    export(run, "axolotl", tmp_path / "out")
    config = yaml.safe_load((tmp_path / "out/axolotl.yaml").read_text(encoding="utf-8"))
    assert config["rl"] == "dpo"
    (entry,) = config["datasets"]
    assert (entry["type"], entry["ds_type"]) == ("chat_template.default", "json")
    of = {source: role for role, sources in entry["roles"].items() for source in sources}
    end = template(answer("")).removeprefix(template([], ask=True)).rstrip()
    dummy = {"role": "user", "content": "[[dummy_message]]"}
    for number, row in enumerate(json_rows(tmp_path / "out" / entry["path"])):
        assert [{**turn, "role": of[turn["role"]]} for turn in row[entry["field_messages"]]] == history(number)
        for name, text in (("chosen", PAIRS[number].chosen), ("rejected", PAIRS[number].rejected)):
            message = row[entry[f"field_{name}"]]
            rendered = template([dummy, {**message, "role": of[message["role"]]}])
            assert rendered[rendered.find(message["content"]) :].rstrip() == text.strip() + end


def test_axolotl_warns_of_answers_that_a_template_may_hold_too(tmp_path: Path):
    run = write_run(tmp_path / "run", [pair(0), pair(1, chosen="28", rejected="twenty-seven or twenty-six")])
    (note,) = export(run, "axolotl", tmp_path / "out").notes
    assert note.startswith("in 1 pair an answer is shorter than 20 characters.")
    assert note in (tmp_path / "out/README.md").read_text(encoding="utf-8")


def test_nemo_rl(run: Path, tmp_path: Path):
    """NeMo-RL 0.6, docs/guides/dpo.md and nemo_rl/data/processors.py (preference_preprocessor): a file ending in
    `.json` or `.jsonl` goes through the `json` builder; exactly two completions with different ranks, the lower one is
    chosen; each conversation is `context` followed by the completion's messages, the last one a single answer."""
    export(run, "nemo", tmp_path / "out")
    for number, row in enumerate(json_rows(tmp_path / "out/train.jsonl")):
        assert len(row["completions"]) == 2
        chosen, rejected = sorted(row["completions"], key=lambda completion: completion["rank"])
        assert chosen["rank"] < rejected["rank"]
        assert row["context"] + chosen["completion"] == history(number) + answer(PAIRS[number].chosen)
        assert row["context"] + rejected["completion"] == history(number) + answer(PAIRS[number].rejected)


def test_nemo_aligner(run: Path, tmp_path: Path):
    """NeMo-Aligner 0955252, docs/user-guide/dpo.rst and nemo_aligner/data/nlp/datasets.py (DPOModelDataset): one JSON
    object per line with the texts `prompt`, `chosen_response`, `rejected_response`; the model sees prompt + response.
    Turns are separated by `<extra_id_1>`, the system turn, empty or not, comes first behind `<extra_id_0>`."""
    export(run, "nemo-aligner", tmp_path / "out")
    for number, row in enumerate(read_lines(tmp_path / "out/train.jsonl")):
        for name, text in (("chosen", PAIRS[number].chosen), ("rejected", PAIRS[number].rejected)):
            seen = row["prompt"] + row[f"{name}_response"]
            assert parsed(seen) == [turn for turn in history(number) if turn["content"]] + answer(text)


def parsed(text: str) -> Chat:
    system, *turns = text.removeprefix("<extra_id_0>System\n").removesuffix("\n<extra_id_1>").split("\n<extra_id_1>")
    chat = [{"role": name.lower(), "content": said} for name, said in (turn.split("\n", 1) for turn in turns)]
    return [{"role": "system", "content": system}, *chat] if system else chat
