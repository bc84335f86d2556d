"""The columns of the two splits: their types, their order and what they mean.

    record_batch(pair_columns(pairs), PAIR_SCHEMA)

The prompt and the two answers are lists of messages ("explicit prompt, conversational" in TRL's terms):
`chosen` and `rejected` hold one assistant turn each and never repeat the prompt. The implicit-prompt form
is not offered because trainers cut a common prefix off as the prompt, and minimally edited answers share
most of their text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from clair.records import Message, Outcome, Pair, Reject

Kind = Literal["pairs", "rejects"]
Type = Literal["string", "int64", "float64", "messages"]


class Column(NamedTuple):
    """One column. `about` is its line in the dataset card; `nullable` means that null says "unknown"."""

    name: str
    type: Type
    about: str
    nullable: bool = False


PAIR_COLUMNS = (
    Column("id", "string", "stable id of prompt, given response and sample index"),
    Column("prompt", "messages", "the conversation, ending with a user turn"),
    Column("chosen", "messages", "the better answer, one assistant turn"),
    Column("rejected", "messages", "the worse answer, one assistant turn"),
    Column("rationale", "string", "the reviser's reasoning, or the judge's (there A is `chosen` and B `rejected`)"),
    Column("recipe", "string", "how the pair was made"),
    Column(
        "protocol",
        "string",
        "how the reviser answered: `edits` or `rewrite`; else `direct`, or who decided: `judge` or `checker`",
    ),
    Column("target_model", "string", "the model whose answers are improved; `column:NAME` for a given answer"),
    Column("reviser_model", "string", "the model that revised it, or that wrote the answer beside it"),
    Column("judge_model", "string", "the model that judged, null without one", nullable=True),
    Column("attempts", "int64", "replies of the reviser that it took"),
    Column("edits", "int64", "separate changed spans"),
    Column("word_distance", "int64", "Levenshtein distance over words; in scripts without spaces a letter is one"),
    Column("word_similarity", "float64", "1 - distance / longer, in words"),
    Column("jaccard", "float64", "overlap of the two sets of words"),
    Column("char_distance", "int64", "Levenshtein distance over characters"),
    Column("char_similarity", "float64", "1 - distance / longer, in characters"),
    Column("shared_prefix", "float64", "share of rejected's words before the first change"),
    Column("length_ratio", "float64", "words of chosen / words of rejected"),
    Column("prompt_tokens", "int64", "tokens sent for this row, null if unknown", nullable=True),
    Column("completion_tokens", "int64", "tokens received for this row, null if unknown", nullable=True),
    Column("cost_usd", "float64", "price of this row in US dollars, null if unknown", nullable=True),
    Column("source", "string", "file or dataset of the prompt"),
    Column("source_index", "int64", "zero-based number of the record there"),
    Column("metadata", "string", "the input row's other columns, as JSON"),
    Column("parent_id", "string", "in a step of a chain, the id of its whole pair; null in whole pairs", nullable=True),
    Column("step", "int64", "in a step of a chain, its place from 1; null in whole pairs", nullable=True),
)

REJECT_COLUMNS = (
    Column("id", "string", "stable id of prompt, given response and sample index"),
    Column("prompt", "messages", "the conversation; empty if the input row could not be read"),
    Column("stage", "string", "where the row ended: `sample`, `revise`, `parse`, `gate` or `judge`"),
    Column("reason", "string", "why, from a closed set"),
    Column("detail", "string", "why, in words"),
    Column("response", "string", "the target's answer, if there was one", nullable=True),
    Column("revision", "string", "the last revision, if there was one", nullable=True),
    Column("attempts", "int64", "replies of the reviser that were used up"),
    Column("cost_usd", "float64", "price of this row in US dollars, null if unknown", nullable=True),
    Column("source", "string", "file or dataset of the prompt"),
    Column("source_index", "int64", "zero-based number of the record there"),
)

_MESSAGE = pa.struct([pa.field("role", pa.string(), False), pa.field("content", pa.string(), False)])
_ARROW: dict[Type, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "messages": pa.list_(pa.field("element", _MESSAGE, False)),
}


def card_features(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The columns as `features` of a dataset card's front matter."""
    return [_card_feature(column) for column in columns]


def _card_feature(column: Column) -> dict[str, Any]:
    if column.type != "messages":
        return {"name": column.name, "dtype": column.type}
    # New objects for each column: a shared one becomes a YAML alias, which `datasets` cannot load.
    return {"name": column.name, "list": [{"name": name, "dtype": "string"} for name in ("role", "content")]}


def _schema(columns: Sequence[Column]) -> pa.Schema:
    # `datasets` takes its feature types from this key; its old and new versions understand the list form.
    text = {"dtype": "string", "_type": "Value"}
    features = {
        column.name: [{"role": text, "content": text}]
        if column.type == "messages"
        else {"dtype": column.type, "_type": "Value"}
        for column in columns
    }
    return pa.schema(
        [pa.field(column.name, _ARROW[column.type], column.nullable) for column in columns],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )


COLUMNS: dict[Kind, tuple[Column, ...]] = {"pairs": PAIR_COLUMNS, "rejects": REJECT_COLUMNS}
PAIR_SCHEMA: pa.Schema = _schema(PAIR_COLUMNS)
REJECT_SCHEMA: pa.Schema = _schema(REJECT_COLUMNS)
SCHEMAS: dict[Kind, pa.Schema] = {"pairs": PAIR_SCHEMA, "rejects": REJECT_SCHEMA}


def pair_columns(pairs: Iterable[Pair]) -> dict[str, list[Any]]:
    """Column values of pairs, for `PAIR_SCHEMA`."""
    return _transpose(PAIR_COLUMNS, map(pair_values, pairs))


def reject_columns(rejects: Iterable[Reject]) -> dict[str, list[Any]]:
    """Column values of rejects, for `REJECT_SCHEMA`."""
    return _transpose(REJECT_COLUMNS, map(reject_values, rejects))


def _transpose(columns: Sequence[Column], rows: Iterable[dict[str, Any]]) -> dict[str, list[Any]]:
    held = list(rows)
    return {column.name: [row[column.name] for row in held] for column in columns}


def pair_values(pair: Pair) -> dict[str, Any]:
    """A row of the split `pairs`, as it is read from its files."""
    contrast = pair.contrast
    return {
        **_shared_values(pair),
        "chosen": [Message(role="assistant", content=unicode_text(pair.chosen))],
        "rejected": [Message(role="assistant", content=unicode_text(pair.rejected))],
        "rationale": unicode_text(pair.rationale),
        "recipe": pair.recipe,
        "protocol": pair.protocol,
        "target_model": unicode_text(pair.target_model),
        "reviser_model": unicode_text(pair.reviser_model),
        "judge_model": None if pair.judge_model is None else unicode_text(pair.judge_model),
        "edits": contrast.edits,
        "word_distance": contrast.word_distance,
        "word_similarity": contrast.word_similarity,
        "jaccard": contrast.jaccard,
        "char_distance": contrast.char_distance,
        "char_similarity": contrast.char_similarity,
        "shared_prefix": contrast.shared_prefix,
        "length_ratio": contrast.length_ratio,
        "prompt_tokens": pair.spent.prompt_tokens,
        "completion_tokens": pair.spent.completion_tokens,
        "metadata": unicode_text(pair.metadata),
        "parent_id": pair.parent_id,
        "step": pair.step,
    }


def reject_values(reject: Reject) -> dict[str, Any]:
    """A row of the split `rejects`, as it is read from its files."""
    return {
        **_shared_values(reject),
        "stage": reject.stage,
        "reason": reject.reason,
        "detail": unicode_text(reject.detail),
        "response": None if reject.response is None else unicode_text(reject.response),
        "revision": None if reject.revision is None else unicode_text(reject.revision),
    }


def _shared_values(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.id,
        "prompt": [
            Message(role=message["role"], content=unicode_text(message["content"])) for message in outcome.prompt
        ],
        "attempts": outcome.spent.attempts,
        "cost_usd": outcome.spent.cost_usd,
        "source": unicode_text(outcome.source),
        "source_index": outcome.source_index,
    }


def as_written(outcome: Outcome) -> Outcome:
    """The outcome with its texts as the files will hold them."""
    values = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    texts = {name: unicode_text(value) for name, value in values.items() if isinstance(value, str)}
    prompt = tuple(Message(role=turn["role"], content=unicode_text(turn["content"])) for turn in outcome.prompt)
    same = prompt == outcome.prompt and all(text == values[name] for name, text in texts.items())
    return outcome if same else replace(outcome, prompt=prompt, **texts)  # type: ignore[arg-type]


def unicode_text(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot hold and models do produce, replaced by U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
