"""Prompts in: every supported input becomes a stream of `records.Row`.

    for row in read_rows("prompts.jsonl", samples=2, limit=100):
        ...
    total = check_rows("prompts.jsonl")     # a full pass that raises before anything is bought
    for record in read_records("evaluation.jsonl"): ...     # as they are, whatever their columns

Inputs: .jsonl, .json, .csv, .parquet and .txt files, a folder of them, or a Hugging Face dataset id
(`owner/name[:config][/split]`). Memory stays flat for all but .json arrays.

Who does what: `files` finds and opens local files, `lines` and `tables` read their formats, `hub` streams
datasets, `columns` decides which column holds the prompt, `chat` validates conversations, `rows` puts it
together, `validation` runs it without using the rows.
"""

from clair.sources.rows import read_records, read_rows
from clair.sources.validation import check_rows

__all__ = ["check_rows", "read_records", "read_rows"]
