"""Readers of .jsonl, .json and .txt files, line by line.

    for raw in read_jsonl(Path("prompts.jsonl")):
        raw.value or raw.problem

Lines end at "\\n" only ("\\r\\n" is accepted), so the other Unicode line separators stay inside a prompt.
A UTF-8 byte order mark is skipped. Blank lines are skipped but counted.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clair.errors import UsageError
from clair.sources.record import BadRow, Raw, kind


def read_text(path: Path) -> Iterator[Raw]:
    """One prompt per line, as the column `prompt`."""
    for place, line in _lines(path):
        try:
            yield Raw(place, {"prompt": _decode(line)})
        except BadRow as bad:
            yield Raw(place, None, str(bad))


def read_jsonl(path: Path) -> Iterator[Raw]:
    """One JSON object per line."""
    for place, line in _lines(path):
        try:
            yield Raw(place, _as_object(_parse(_decode(line))))
        except BadRow as bad:
            yield Raw(place, None, str(bad))


def read_json(path: Path) -> Iterator[Raw]:
    """An array of objects, one object, or JSON lines under the wrong name.

    An array is held in memory as a whole, and so is a file whose first line is not JSON by itself.

    Raises:
        UsageError: an array that is not valid JSON; no part of it can be trusted.
    """
    first = next((line for _, line in _lines(path)), b"").strip()
    if first.startswith(b"["):
        yield from _read_array(path)
    elif _is_json(first):
        yield from read_jsonl(path)
    else:
        whole = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        if first and _is_json(whole):
            yield Raw("the whole file", _as_object(_parse(_decode(whole))))
        else:
            yield from read_jsonl(path)


def _read_array(path: Path) -> Iterator[Raw]:
    try:
        elements = _parse(_decode(path.read_bytes().removeprefix(codecs.BOM_UTF8)))
    except BadRow as bad:
        raise UsageError(
            f"{path.name} starts like a JSON array, but is {bad}. Expected an array of objects; "
            "for one object per line, name the file .jsonl."
        ) from bad
    for number, element in enumerate(elements, 1):
        try:
            yield Raw(f"element {number}", _as_object(element))
        except BadRow as bad:
            yield Raw(f"element {number}", None, str(bad))


def _lines(path: Path) -> Iterator[tuple[str, bytes]]:
    """The lines that are not blank, without their ends, each with its place ("line 1" is the first)."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield f"line {number}", line.removesuffix(b"\n").removesuffix(b"\r")


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRow(f"not UTF-8 (byte {error.start + 1})") from error


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise BadRow(f"not JSON ({error.msg} at {line}column {error.colno})") from error
    except RecursionError as error:
        raise BadRow("not JSON that can be read (nested too deeply)") from error
    except ValueError as error:  # an integer of thousands of digits
        raise BadRow(f"not JSON that can be read ({error})") from error


def _as_object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadRow(f"expected a JSON object, got {kind(value)}")
    return value


def _is_json(text: bytes) -> bool:
    try:
        return isinstance(_parse(_decode(text)), dict)
    except BadRow:
        return False
