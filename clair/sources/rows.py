"""From an input name to a stream of rows.

    for row in read_rows("owner/name:config/test", samples=4):
        ...

A local path always wins over a dataset id. Each prompt gives `samples` rows with sample_index 0, 1, ...; a
record that cannot be used gives one row with `problem` (or ends the stream, see `on_bad_row`). The id of a
row is the first 32 hex characters of the sha256 over the canonical JSON of [messages, given response or
null, sample_index], so it does not depend on where the prompt stands. Where there are further given answers their
sorted list comes last, so it does not depend on the order of their columns either.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Literal

from clair.errors import UsageError
from clair.records import Row
from clair.sources import hub
from clair.sources.canonical import short_hash
from clair.sources.columns import Content, Layout, decide, extract
from clair.sources.files import KNOWN, READERS, find_files, read_file
from clair.sources.record import BadRow, Record

PEEK = 100
"""Records of a source that are read before its columns are decided."""

OnBadRow = Literal["stop", "reject"]


def read_rows(
    prompts: str,
    *,
    prompt_column: str | None = None,
    response_column: str | None = None,
    answer_columns: tuple[str, ...] = (),
    samples: int = 1,
    limit: int | None = None,
    on_bad_row: OnBadRow = "stop",
) -> Iterator[Row]:
    """Stream the rows of a file, a folder or a dataset, in a fixed order.

    Args:
        prompts: path of a .jsonl, .json, .csv, .parquet or .txt file, of a folder of them, or a dataset id
            `owner/name[:config][/split]`.
        prompt_column: the column of the prompt; None follows the convention of `sources.columns`.
        response_column: the column of an existing response (dots lead into objects); None: there is none.
        answer_columns: the columns of further given answers, for `Row.answers`.
        samples: rows per prompt.
        limit: the largest number of input records to use, bad ones included.
        on_bad_row: "stop" raises at the first bad record, "reject" yields a row with `problem`.

    Raises:
        UsageError: at once for an input that does not exist; while reading for undecided columns, no prompts,
            or a bad record with "stop".
        RunStopped: a dataset's stream broke off.
    """
    if samples < 1 or (limit is not None and limit < 1):
        raise UsageError(f"samples and limit must be at least 1, got {samples!r} and {limit!r}.")
    found = contents(
        prompts,
        prompt_column=prompt_column,
        response_column=response_column,
        answer_columns=answer_columns,
        limit=limit,
    )
    return _rows(found, samples=samples, on_bad_row=on_bad_row)


def read_records(name: str) -> Iterator[Record]:
    """Stream the records of a file, a folder or a dataset, without deciding which column holds what.

    Raises:
        UsageError: at once for an input that does not exist.
        RunStopped: a dataset's stream broke off.
    """
    return chain.from_iterable(_open(name))


def _rows(found: Iterator[tuple[Record, Content | str]], *, samples: int, on_bad_row: OnBadRow) -> Iterator[Row]:
    ordinal = 0
    for record, content in found:
        if isinstance(content, str):
            if on_bad_row == "stop":
                raise UsageError(f"{content}. Fix the row, or go on without it: --on-bad-row reject.")
            rows = [_bad_row(record, ordinal, content)]
        else:
            rows = [_row(record, content, ordinal + index, index) for index in range(samples)]
        yield from rows
        ordinal += len(rows)


def _row(record: Record, content: Content, ordinal: int, sample_index: int) -> Row:
    given = [sorted(content.answers)] if content.answers else []
    return Row(
        id=short_hash([content.messages, content.response, sample_index, *given]),
        ordinal=ordinal,
        messages=content.messages,
        sample_index=sample_index,
        source=record.source,
        source_index=record.source_index,
        response=content.response,
        metadata=content.metadata,
        answers=content.answers,
    )


def _bad_row(record: Record, ordinal: int, problem: str) -> Row:
    return Row(
        id=short_hash(["bad_row", record.source, record.source_index]),
        ordinal=ordinal,
        messages=(),
        sample_index=0,
        source=record.source,
        source_index=record.source_index,
        problem=problem,
    )


def contents(
    prompts: str,
    *,
    prompt_column: str | None,
    response_column: str | None,
    answer_columns: tuple[str, ...],
    limit: int | None,
) -> Iterator[tuple[Record, Content | str]]:
    """Each record of the input with its content or, as text, what is wrong with it and where."""
    sources = _open(prompts)

    def records() -> Iterator[tuple[Record, Content | str]]:
        nothing = True
        for source in sources:
            head = list(islice(source, PEEK))
            if head:
                layout = _decide(head, prompt_column, response_column, answer_columns)
                nothing = False
                yield from ((record, _content(record, layout)) for record in chain(head, source))
        if nothing:
            raise UsageError(f"{prompts!r} holds no prompts.")

    return islice(records(), limit)


def _open(prompts: str) -> Iterator[Iterator[Record]]:
    """The sources of the input, one per file. What does not exist is found out here, before any reading."""
    path = Path(prompts).expanduser()
    if path.exists():
        return (read_file(file) for file in find_files(path))
    dataset = hub.parse_dataset_id(prompts)
    if dataset is None or path.suffix.lower() in READERS:
        raise UsageError(
            f"There is no file or folder {prompts!r}. Expected a {KNOWN} file, a folder of them, "
            "or a dataset id like owner/name:config/split."
        )
    return iter([hub.stream(dataset)])


def _decide(
    head: list[Record], prompt_column: str | None, response_column: str | None, answer_columns: tuple[str, ...]
) -> Layout:
    values = [record.value for record in head if record.value is not None]
    if not values:
        reason = head[0].explain(head[0].problem or "")
        raise UsageError(f"None of the first {len(head)} rows can be read. The first: {reason}.")
    try:
        return decide(
            values, prompt_column=prompt_column, response_column=response_column, answer_columns=answer_columns
        )
    except UsageError as error:
        raise UsageError(f"{head[0].source}: {error}") from error


def _content(record: Record, layout: Layout) -> Content | str:
    if record.value is None:
        return record.explain(record.problem or "")
    try:
        return extract(record.value, layout)
    except BadRow as bad:
        return record.explain(str(bad))
    except RecursionError:
        return record.explain("nested too deeply")
