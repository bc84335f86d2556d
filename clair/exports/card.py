"""The texts beside the data: README.md, and the files that LLaMA-Factory and axolotl want.

The front matter of README.md makes `datasets.load_dataset(FOLDER)` find the splits with their types and count the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import yaml

from clair.dataset.card import size_category
from clair.dataset.markdown import block, code
from clair.exports.formats import FORMATS, Type

_HOW = {
    "jsonl": """\
from datasets import load_dataset
from trl import DPOTrainer

data = load_dataset("FOLDER")
trainer = DPOTrainer(MODEL, train_dataset=data["train"])""",
    "conversations": """\
open-instruct: FOLDER/train.jsonl in the mixer list, transform preference_tulu_tokenize_and_truncate_v1
OpenRLHF:      --dataset FOLDER/train.jsonl --apply_chat_template --chosen_key chosen --rejected_key rejected""",
    "unpaired": """\
from datasets import load_dataset
from trl import KTOTrainer

data = load_dataset("FOLDER")
trainer = KTOTrainer(MODEL, train_dataset=data["train"])  # more than one record per device""",
    "sft": """\
from datasets import load_dataset
from trl import SFTTrainer

data = load_dataset("FOLDER")
trainer = SFTTrainer(MODEL, train_dataset=data["train"])  # the loss is on the completion alone""",
    "llama-factory": """\
stage: dpo
dataset_dir: FOLDER
dataset: clair_train""",
    "axolotl": "FOLDER/axolotl.yaml has the lines for your configuration; paths are relative to where axolotl starts.",
    "nemo": """\
data:
  train:
    dataset_name: PreferenceDataset
    data_path: FOLDER/train.jsonl""",
    "nemo-aligner": """\
model.data.data_prefix={train: [FOLDER/train.jsonl], validation: [...], test: [...]}

For models with the extra_id template. Models with another one need other text around the turns.""",
}
_HOW["parquet"] = _HOW["jsonl"]

_WITH_TEST = {
    "llama-factory": "\neval_dataset: clair_test",
    "nemo": "\n  validation:\n    dataset_name: PreferenceDataset\n    data_path: FOLDER/test.jsonl",
}

_OPENAI_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


def extra_files(name: str, splits: Mapping[str, str]) -> dict[str, str]:
    """Files that the format's loader wants beside the data. `splits`: split -> file name."""
    if name == "llama-factory":
        return {"dataset_info.json": _dataset_info(splits)}
    if name == "axolotl":
        return {"axolotl.yaml": _axolotl(splits)}
    return {}


def _dataset_info(splits: Mapping[str, str]) -> str:
    entries = {
        f"clair_{split}": {
            "file_name": file,
            "formatting": "sharegpt",
            "ranking": True,
            "columns": {"messages": "messages", "chosen": "chosen", "rejected": "rejected"},
            "tags": _OPENAI_TAGS,
        }
        for split, file in splits.items()
    }
    return json.dumps(entries, indent=2) + "\n"


def _axolotl(splits: Mapping[str, str]) -> str:
    config: dict[str, Any] = {"rl": "dpo"}
    for split, file in splits.items():
        config["datasets" if split == "train" else "test_datasets"] = [
            {
                "path": file,
                "ds_type": "json",
                "split": "train",  # what the JSON loader calls the rows of any single file
                "type": "chat_template.default",
                "field_messages": "messages",
                "field_chosen": "chosen",
                "field_rejected": "rejected",
                "message_property_mappings": {"role": "role", "content": "content"},
                "roles": {role: [role] for role in ("user", "assistant", "system", "tool")},
            }
        ]
    return yaml.safe_dump(config, sort_keys=False)


def readme(
    name: str,
    *,
    run: str,
    schema: pa.Schema,
    files: Mapping[str, str],
    records: Mapping[str, int],
    sizes: Mapping[str, int],
    facts: list[str],
) -> str:
    """README.md. `files`, `records` and `sizes` (bytes) are by split, `schema` has the run's columns, `facts` are
    items of a list."""
    front = {
        "size_categories": [size_category(sum(records.values()))],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": file} for split, file in files.items()],
            }
        ],
        "dataset_info": {
            "config_name": "default",
            "features": _features(name, schema),
            "splits": [{"name": split, "num_bytes": sizes[split], "num_examples": records[split]} for split in files],
            "download_size": sum(sizes.values()),
            "dataset_size": sum(sizes.values()),
        },
    }
    how = _HOW[name] + (_WITH_TEST.get(name, "") if "test" in files else "")
    parts = [
        f"# {code(run)} as {code(name)}",
        f"{FORMATS[name].about}.",
        block(how) + "\n\nFOLDER is this folder.",
        "\n".join(f"- {fact}" for fact in facts),
        f"The reading rule was looked up in: {FORMATS[name].source}. Written by `clair export`.",
    ]
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n" + "\n\n".join(parts) + "\n"


def _features(name: str, schema: pa.Schema) -> list[dict[str, Any]]:
    columns = FORMATS[name].columns
    if columns is None:
        return [_feature(field.name, field.type) for field in schema]
    return [_feature(column, _ARROW[kind]) for column, kind in columns.items()]


_MESSAGE = pa.struct({"role": pa.string(), "content": pa.string()})
_ARROW: dict[Type, pa.DataType] = {
    "string": pa.string(),
    "bool": pa.bool_(),
    "message": _MESSAGE,
    "messages": pa.list_(_MESSAGE),
    "ranked": pa.list_(pa.struct({"rank": pa.int64(), "completion": pa.list_(_MESSAGE)})),
}


def _feature(name: str, of: pa.DataType) -> dict[str, Any]:
    if pa.types.is_list(of):
        return {"name": name, "list": _fields(of.value_type)}
    if pa.types.is_struct(of):
        return {"name": name, "struct": _fields(of)}
    return {"name": name, "dtype": {"double": "float64"}.get(str(of), str(of))}


def _fields(of: pa.StructType) -> list[dict[str, Any]]:
    return [_feature(field.name, field.type) for field in of]
