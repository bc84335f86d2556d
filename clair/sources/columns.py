"""Which column holds the prompt and which the response, and how they are taken out of a record.

By convention the prompt is a conversation in `messages`, `conversations`, `conversation` or `prompt`, or a
text in `prompt`, `instruction` (with a non-empty alpaca `input` after a blank line), `question`, `query`,
`problem`, `task` or, only if there is nothing else, `text`. Two of them in one record are ambiguous: the
user names one. The column of the response does not count where another one is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

from clair.errors import UsageError
from clair.records import Message
from clair.sources.canonical import metadata_json
from clair.sources.chat import check_text, to_messages
from clair.sources.record import BadRow, kind, printable

CHAT_COLUMNS = ("messages", "conversations", "conversation", "prompt")
TEXT_COLUMNS = ("prompt", "instruction", "question", "query", "problem", "task")
LAST_RESORT = "text"


class Layout(NamedTuple):
    """The columns of one source. `response` is None where responses are to be sampled; `answers` hold further ones.

    Names may be paths with dots, and the keys may hold dots themselves: `outputs.Mistral-7B-v0.2`.
    """

    prompt: str
    response: str | None = None
    answers: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether the response is the last turn of the prompt's own conversation."""
        return self.response == self.prompt


class Content(NamedTuple):
    """What a record holds for us."""

    messages: tuple[Message, ...]
    response: str | None
    metadata: str
    answers: tuple[str, ...] = ()


def decide(
    records: Sequence[Mapping[str, Any]],
    *,
    prompt_column: str | None,
    response_column: str | None,
    answer_columns: tuple[str, ...] = (),
) -> Layout:
    """The layout of a source from its first records (at least one).

    Raises:
        UsageError: a named column is in none of them, or the convention finds no prompt column or several.
    """
    prompt = prompt_column or _by_convention(records, {response_column, *answer_columns})
    response = response_column
    if response == "messages" and prompt in CHAT_COLUMNS and not _occurs(records, "messages"):
        response = prompt
    named = [("--prompt-column", prompt), ("--response-column", response)]
    for option, column in named + [("answer column", column) for column in answer_columns]:
        if column is not None and not _occurs(records, column):
            raise UsageError(f"{option} {column!r}: no such column. Columns found: {_describe(records[0])}.")
    return Layout(prompt, response, answer_columns)


def _by_convention(records: Sequence[Mapping[str, Any]], taken: Set[str | None]) -> str:
    for record in records:
        candidates = _candidates(record)
        candidates = [name for name in candidates if name not in taken] or candidates
        if len(candidates) > 1:
            raise UsageError(
                f"More than one column could hold the prompt: {', '.join(candidates)}. "
                f"Name one with --prompt-column. Columns found: {_describe(record)}."
            )
        if candidates:
            return candidates[0]
    for record in records:
        if isinstance(record.get(LAST_RESORT), str) and LAST_RESORT not in taken:
            return LAST_RESORT
    raise UsageError(
        f"No column holds a prompt by a usual name ({', '.join(dict.fromkeys(CHAT_COLUMNS + TEXT_COLUMNS))}, "
        f"{LAST_RESORT}). Name it with --prompt-column. Columns found: {_describe(records[0])}."
    )


def _candidates(record: Mapping[str, Any]) -> list[str]:
    chat = [name for name in CHAT_COLUMNS if isinstance(record.get(name), list)]
    return chat + [name for name in TEXT_COLUMNS if isinstance(record.get(name), str)]


def _describe(record: Mapping[str, Any]) -> str:
    return printable(", ".join(f"{name} ({kind(value)})" for name, value in record.items()) or "none")


def _occurs(records: Sequence[Mapping[str, Any]], column: str) -> bool:
    return any(find_keys(record, column) is not None for record in records)


def extract(record: Mapping[str, Any], layout: Layout) -> Content:
    """The conversation up to a user turn, the given response, and all other columns as JSON.

    Raises:
        BadRow: something is missing, empty, of the wrong type or cannot be sent.
    """
    messages = _prompt(record, layout.prompt)
    used = [layout.prompt]
    response = None
    if layout.shared:
        messages, response = messages[:-1], _last_answer(messages)
    elif layout.response is not None:
        used.append(layout.response)
        response = _response(_value(record, layout.response))
    answers = tuple(_answer(record, column) for column in layout.answers)
    used += layout.answers
    _check_prompt(messages, layout)
    check_text([message["content"] for message in messages] + ([] if response is None else [response]) + [*answers])
    if _alpaca_input(record, layout.prompt):
        used.append("input")
    return Content(messages, response, metadata_json(_without(record, used)), answers)


def _answer(record: Mapping[str, Any], column: str) -> str:
    """A further given answer; what is wrong with it is said with the name of its column."""
    value = _value(record, column)
    try:
        return _response(value)
    except BadRow as bad:
        raise BadRow(f"column {column!r}: {bad}") from None


def _prompt(record: Mapping[str, Any], column: str) -> tuple[Message, ...]:
    value = _value(record, column)
    if isinstance(value, list):
        return to_messages(value)
    if not isinstance(value, str):
        raise BadRow(f"column {column!r} must be a text or a list of messages, got {kind(value)}")
    more = _alpaca_input(record, column)
    return (Message(role="user", content=f"{value}\n\n{more}" if more else value),)


def _alpaca_input(record: Mapping[str, Any], column: str) -> str:
    value = record.get("input") if column == "instruction" else None
    return value if isinstance(value, str) and value.strip() else ""


def _check_prompt(messages: tuple[Message, ...], layout: Layout) -> None:
    if not messages:
        raise BadRow("the prompt is empty")
    role, content = messages[-1]["role"], messages[-1]["content"]
    if role == "assistant" and not layout.shared:
        raise BadRow(
            "the prompt ends with an assistant turn "
            f"(to revise that answer: --response-column {layout.prompt}; only the last one is revised)"
        )
    if role != "user":
        raise BadRow(f"the prompt must end with a user turn, got {role!r}")
    if not content.strip():
        raise BadRow("the prompt is empty")


def _response(value: Any) -> str:
    if isinstance(value, list):
        return _last_answer(to_messages(value))
    if not isinstance(value, str):
        raise BadRow(f"the response must be a text or a list of messages, got {kind(value)}")
    if not value.strip():
        raise BadRow("the response is empty")
    return value


def _last_answer(messages: tuple[Message, ...]) -> str:
    if not messages or messages[-1]["role"] != "assistant":
        raise BadRow("there is no response: the conversation does not end with an assistant turn")
    return _response(messages[-1]["content"])


def _value(record: Mapping[str, Any], column: str) -> Any:
    keys = find_keys(record, column)
    if keys is None:
        raise BadRow(f"there is no column {column!r} (found: {', '.join(map(str, record)) or 'none'})")
    value: Any = record
    for key in keys:
        value = value[key]
    return value


def find_keys(record: Mapping[str, Any], path: str) -> tuple[str, ...] | None:
    """The keys that lead to `path`; both may hold dots. None if nothing is there."""
    if path in record:
        return (path,)
    for position, character in enumerate(path):
        if character == "." and isinstance(inner := record.get(path[:position]), Mapping):
            rest = find_keys(inner, path[position + 1 :])
            if rest is not None:
                return (path[:position], *rest)
    return None


def _without(record: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """The record without these columns; an object that loses its last key goes too."""
    rest = dict(record)
    for column in columns:
        keys = find_keys(rest, column)
        rest = _drop(rest, keys) if keys else rest
    return rest


def _drop(record: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    rest = {key: value for key, value in record.items() if key != keys[0]}
    if len(keys) > 1 and (inner := _drop(record[keys[0]], keys[1:])):
        rest[keys[0]] = inner
    return rest
