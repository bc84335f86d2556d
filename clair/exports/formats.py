"""The formats: each is one pure function from a pair to the records of one loader, and one entry in a table.

    FORMATS["unpaired"].records(row)       # [{"prompt": .., "completion": .., "label": True}, {.., "label": False}]

A row is a pair as the dataset holds it: `prompt` a list of messages, `chosen` and `rejected` lists of one assistant
message. A record has exactly the keys that its loader reads. Nothing is cut, joined or retold on the way, except where
the format is text (`nemo-aligner`) or its loader would lose the answer otherwise (`axolotl`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from clair.errors import UsageError
from clair.records import Message

Row = dict[str, Any]
Record = dict[str, Any]
Type = Literal["string", "bool", "message", "messages", "ranked"]


@dataclass(frozen=True)
class Format:
    """One format. `columns` are the record's keys with their types; None: every column of the dataset.

    `unreadable` says why the loader would drop or misread a row (None: it reads it); such rows are left out and
    counted. `shuffled` mixes the records of a batch, for a trainer that reads them in file order. `source` is where
    the loader's reading rule was looked up.
    """

    about: str
    source: str
    records: Callable[[Row], list[Record]]
    columns: dict[str, Type] | None
    unreadable: Callable[[Row], str | None] | None = None
    shuffled: bool = False
    suffix: Literal[".jsonl", ".parquet"] = ".jsonl"


def explicit(row: Row) -> list[Record]:
    """The pair as it is."""
    return [row]


def conversations(row: Row) -> list[Record]:
    """Two whole conversations that differ in their last turn."""
    return [{side: [*row["prompt"], *row[side]] for side in ("chosen", "rejected")}]


def unpaired(row: Row) -> list[Record]:
    """Each answer alone, with a label that says whether it is wanted."""
    return [
        {"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"} for side in ("chosen", "rejected")
    ]


def sft(row: Row) -> list[Record]:
    """The chosen answer alone."""
    return [{"prompt": row["prompt"], "completion": row["chosen"]}]


def llama_factory(row: Row) -> list[Record]:
    """The history as `messages`, each answer as one message."""
    return [{"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0]}]


def axolotl(row: Row) -> list[Record]:
    """As `llama_factory`, without white space around the answers.

    The loader renders a chat, then searches it for the answer's text. Templates that trim (Llama 3's does) would make
    it search in vain and train on the last character.
    """
    return [{"messages": row["prompt"], **{side: _stripped(row[side][0]) for side in ("chosen", "rejected")}}]


def nemo_rl(row: Row) -> list[Record]:
    """The history as `context` and two ranked completions; the lower rank is preferred."""
    completions = [{"rank": rank, "completion": row[side]} for rank, side in enumerate(("chosen", "rejected"))]
    return [{"context": row["prompt"], "completions": completions}]


def nemo_aligner(row: Row) -> list[Record]:
    """Text in the extra_id template: each turn is `<extra_id_1>NAME`, a line break, the text."""
    system, turns = _split_system(row["prompt"])
    prompt = f"<extra_id_0>System\n{system}\n"
    for turn in turns:
        prompt += f"<extra_id_1>{turn['role'].capitalize()}\n{turn['content']}\n"
    return [
        {
            "prompt": f"{prompt}<extra_id_1>Assistant\n",
            "chosen_response": f"{row['chosen'][0]['content']}\n<extra_id_1>",
            "rejected_response": f"{row['rejected'][0]['content']}\n<extra_id_1>",
        }
    ]


def _stripped(message: Message) -> Message:
    return Message(role=message["role"], content=message["content"].strip())


def _split_system(prompt: list[Message]) -> tuple[str, list[Message]]:
    if prompt[0]["role"] == "system":
        return prompt[0]["content"], prompt[1:]
    return "", prompt


def _not_alternating(row: Row, asking: tuple[str, ...]) -> str | None:
    _, turns = _split_system(row["prompt"])
    expected = (asking, ("assistant",))
    if len(turns) % 2 == 1 and all(turn["role"] in expected[place % 2] for place, turn in enumerate(turns)):
        return None
    return "after an optional system turn, user and assistant turns do not alternate"


def _unreadable_for_llama_factory(row: Row) -> str | None:
    return _not_alternating(row, ("user", "tool"))


def _unreadable_for_nemo_aligner(row: Row) -> str | None:
    turns = (*row["prompt"], *row["chosen"], *row["rejected"])
    if any("<extra_id_" in turn["content"] for turn in turns):
        return "the text has a marker of the template (<extra_id_...)"
    return _not_alternating(row, ("user",))


_ANSWERS: dict[str, Type] = {"chosen": "message", "rejected": "message"}

FORMATS: dict[str, Format] = {
    "jsonl": Format(
        about="TRL's DPOTrainer: prompt, chosen, rejected and every other column of the dataset",
        source="TRL 1.16, docs/source/dataset_formats.md, preference with an explicit prompt, conversational",
        records=explicit,
        columns=None,
    ),
    "parquet": Format(
        about="the same as jsonl in Parquet: typed, smaller, safe from guessed types",
        source="TRL 1.16, docs/source/dataset_formats.md, preference with an explicit prompt, conversational",
        records=explicit,
        columns=None,
        suffix=".parquet",
    ),
    "conversations": Format(
        about="open-instruct, OpenRLHF: chosen and rejected with the full history",
        source="open-instruct 00440da, open_instruct/dataset_transformation.py (TRANSFORM_FNS); "
        "OpenRLHF 0008ea1, openrlhf/datasets/reward_dataset.py",
        records=conversations,
        columns={"chosen": "messages", "rejected": "messages"},
    ),
    "unpaired": Format(
        about="TRL's KTOTrainer: prompt, completion, label; two records of each pair",
        source="TRL 1.16, docs/source/dataset_formats.md, unpaired preference, conversational; "
        "trl/trainer/kto_trainer.py",
        records=unpaired,
        columns={"prompt": "messages", "completion": "messages", "label": "bool"},
        shuffled=True,
    ),
    "sft": Format(
        about="TRL's SFTTrainer: prompt, completion; the chosen answers alone",
        source="TRL 1.16, docs/source/dataset_formats.md, prompt-completion, conversational",
        records=sft,
        columns={"prompt": "messages", "completion": "messages"},
    ),
    "llama-factory": Format(
        about="LLaMA-Factory: a ranking dataset with its dataset_info.json",
        source="LLaMA-Factory 02e2fb3, src/llamafactory/data/converter.py (SharegptDatasetConverter); data/README.md",
        records=llama_factory,
        columns={"messages": "messages", **_ANSWERS},
        unreadable=_unreadable_for_llama_factory,
    ),
    "axolotl": Format(
        about="axolotl: rl: dpo with type: chat_template.default, and the YAML for it",
        source="axolotl 1377ccc, src/axolotl/prompt_strategies/dpo/chat_template.py (default); docs/rlhf.qmd",
        records=axolotl,
        columns={"messages": "messages", **_ANSWERS},
    ),
    "nemo": Format(
        about="NeMo-RL: PreferenceDataset, two ranked completions",
        source="NeMo-RL 0.6, docs/guides/dpo.md; nemo_rl/data/processors.py (preference_preprocessor)",
        records=nemo_rl,
        columns={"context": "messages", "completions": "ranked"},
    ),
    "nemo-aligner": Format(
        about="NeMo-Aligner: text in the extra_id template",
        source="NeMo-Aligner 0955252, docs/user-guide/dpo.rst; nemo_aligner/data/nlp/datasets.py (DPOModelDataset)",
        records=nemo_aligner,
        columns={"prompt": "string", "chosen_response": "string", "rejected_response": "string"},
        unreadable=_unreadable_for_nemo_aligner,
    ),
}

ALIASES = {"kto": "unpaired", "prompt-completion": "sft", "nemo-rl": "nemo"}
IMPLICIT = ("implicit", "string", "strings")


def format_name(name: str) -> str:
    """The format's name in the table. Raises UsageError for an unknown one and for the implicit string form."""
    if name in IMPLICIT:
        raise UsageError(
            f"--format {name}: the implicit string form is not offered. Without a prompt column, trainers take the "
            "longest common prefix of chosen and rejected for the prompt, and minimally edited answers share most of "
            "their text from the first word on: the answers would be eaten. Use jsonl (explicit prompt) or "
            "conversations (full history, compared turn by turn)"
        )
    name = ALIASES.get(name, name)
    if name not in FORMATS:
        raise UsageError(f"--format {name!r} is unknown; expected one of {', '.join((*FORMATS, *ALIASES))}")
    return name
