"""Preference pairs in: a run folder, Parquet or JSONL files, a Hugging Face dataset id, or rows in memory.

Three layouts of a row are understood, told apart by their types:

    explicit    prompt and answers apart: `prompt` list of messages, `chosen` and `rejected` one assistant message
                each, or all three strings (then plain text is trained, without a chat template, as TRL does)
    implicit    no `prompt`: `chosen` and `rejected` are whole conversations (or strings) that begin alike
    clair_32k   `prompt` a string, `chosen` and `rejected` whole conversations, as in ContextualAI's releases

Messages reach the chat template whole (`tool_calls`, `name`, `reasoning_content`), less what is None, as tables fill up
with it; and so does a row's column `tools`, a list of function schemas or the same as JSON text.

Everything raised here is a UsageError that names the row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clair.errors import UsageError

COLUMNS = ("prompt", "chosen", "rejected")
Turn = Mapping[str, Any]
"""A message of any keys beside `role`."""


class TextPair(NamedTuple):
    """One pair before tokenizing. With messages, `chosen` and `rejected` hold one assistant turn; else plain text."""

    prompt: tuple[Turn, ...] | str
    chosen: Turn | str
    rejected: Turn | str
    tools: tuple[Turn, ...] = ()


def read_pairs(source: str) -> list[TextPair]:
    """Every pair of `source`: a folder, a file or a dataset id. Raises UsageError."""
    path = Path(source).expanduser()
    if path.is_dir():
        rows: Iterable[Mapping[str, Any]] = _parquet(_parquet_files(path))
    elif path.suffix == ".parquet" and path.is_file():
        rows = _parquet([path])
    elif path.suffix in (".jsonl", ".json") and path.is_file():
        rows = _json_lines(path)
    elif path.exists():
        raise UsageError(f"{source!r} is neither a folder, nor .parquet, nor .jsonl; convert it to one of these")
    else:
        rows = _hub(source)
    return pairs_of(rows, source)


def pairs_of(rows: Iterable[Mapping[str, Any]], source: str = "the given rows") -> list[TextPair]:
    """Normalize rows in memory (a list of dicts, a `datasets.Dataset`). Raises UsageError."""
    pairs = [text_pair(row, f"{source}, row {i}") for i, row in enumerate(rows)]
    if not pairs:
        raise UsageError(f"{source} holds no pairs")
    return pairs


def text_pair(row: Mapping[str, Any], where: str = "row") -> TextPair:
    """One row of any of the three layouts. Raises UsageError that begins with `where`."""
    for name in ("chosen", "rejected"):
        if row.get(name) is None:
            raise UsageError(f"{where}: no column {name!r}; it has {', '.join(sorted(row)) or 'no columns'}")
    pair, tools = _pair(row, where), _tools(row.get("tools"), where)
    if tools and isinstance(pair.prompt, str):
        raise UsageError(f"{where}: tools belong to a chat, and the row is plain text; give its prompt as messages")
    return pair._replace(tools=tools)


def _pair(row: Mapping[str, Any], where: str) -> TextPair:
    prompt, chosen, rejected = (row.get(name) for name in COLUMNS)
    if isinstance(chosen, str) and isinstance(rejected, str):
        return _plain(prompt, chosen, rejected, where)
    chosen, rejected = _messages(chosen, "chosen", where), _messages(rejected, "rejected", where)
    if prompt is not None and not isinstance(prompt, str):
        turns = _messages(prompt, "prompt", where)
        return TextPair(turns, _only(chosen, "chosen", where), _only(rejected, "rejected", where))
    if isinstance(prompt, str) and len(chosen) == len(rejected) == 1:
        asked = {"role": "user", "content": prompt}
        return TextPair((asked,), _only(chosen, "chosen", where), _only(rejected, "rejected", where))
    if chosen[:-1] != rejected[:-1] or len(chosen) < 2:
        raise UsageError(f"{where}: chosen and rejected must be the same conversation up to their last turn")
    return TextPair(chosen[:-1], _only(chosen[-1:], "chosen", where), _only(rejected[-1:], "rejected", where))


def _plain(prompt: Any, chosen: str, rejected: str, where: str) -> TextPair:
    if isinstance(prompt, str) and prompt:
        return TextPair(prompt, chosen, rejected)
    if prompt:
        turns = _messages(prompt, "prompt", where)
        good, bad = ({"role": "assistant", "content": text} for text in (chosen, rejected))
        return TextPair(turns, good, bad)
    same = next(
        (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b), min(len(chosen), len(rejected))
    )
    cut = chosen[:same].rfind(" ")
    if cut < 1:
        raise UsageError(f"{where}: without a prompt, chosen and rejected must begin with the same words")
    return TextPair(chosen[:cut], chosen[cut:], rejected[cut:])


def _messages(value: Any, column: str, where: str) -> tuple[Turn, ...]:
    turns = [value] if isinstance(value, Mapping) else value
    if not isinstance(turns, Sequence) or isinstance(turns, str) or not turns:
        raise UsageError(f"{where}: {column} must be text or a list of messages, got {type(value).__name__}")
    for turn in turns:
        if not (isinstance(turn, Mapping) and "role" in turn and _has_content(turn)):
            raise UsageError(f"{where}: {column} holds {turn!r:.80}, expected a message with role and content")
    return tuple(_without_none(turn) for turn in turns)


def _has_content(turn: Turn) -> bool:
    content = turn.get("content")
    return isinstance(content, str) or (content is None and bool(turn.get("tool_calls")))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    return [_without_none(part) for part in value] if isinstance(value, (list, tuple)) else value


def _tools(value: Any, where: str) -> tuple[Turn, ...]:
    try:
        tools = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise UsageError(f"{where}: tools is text and not JSON: {error}") from error
    if not isinstance(tools or [], Sequence) or not all(isinstance(tool, Mapping) for tool in tools or []):
        raise UsageError(f"{where}: tools must be a list of function schemas, got {value!r:.80}")
    return tuple(_without_none(tool) for tool in tools or [])


def _only(turns: tuple[Turn, ...], column: str, where: str) -> Turn:
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        roles = ", ".join(turn["role"] for turn in turns)
        raise UsageError(f"{where}: {column} must be one assistant message, got {roles}")
    return turns[0]


def _parquet_files(folder: Path) -> list[Path]:
    for place in (folder / "data", folder):
        files = sorted(place.glob("train*.parquet")) or sorted(place.glob("*.parquet"))
        if files:
            return files
    raise UsageError(f"{str(folder)!r} holds no Parquet files; a run folder has data/train-*.parquet")


def _parquet(files: list[Path]) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        try:
            names = pq.read_schema(file).names
            yield from pq.read_table(file, columns=[c for c in (*COLUMNS, "tools") if c in names] or None).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise UsageError(f"{str(file)!r} cannot be read as Parquet: {error}") from error


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{str(path)!r}, line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise UsageError(f"{str(path)!r}, line {number}: expected an object, got {type(row).__name__}")
            yield row


def _hub(source: str) -> Iterable[Mapping[str, Any]]:
    """`org/name`, `org/name:config`, `org/name/split` or `org/name:config/split`."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    name, _, rest = source.partition(":")
    if rest:
        config, _, split = rest.partition("/")
    else:
        parts = name.split("/")
        name, config, split = "/".join(parts[:2]), "", "/".join(parts[2:])
    try:
        rows: Iterable[Mapping[str, Any]] = load_dataset(name, config or None, split=split or "train")
    except (DatasetNotFoundError, FileNotFoundError, ValueError, ConnectionError) as error:
        message = f"{source!r} is neither a file or folder here nor a dataset that can be loaded: {error}"
        raise UsageError(message) from error
    return rows
