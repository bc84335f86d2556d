"""A full pass over the input before anything is bought.

total = check_rows("prompts.jsonl", samples=2)      # rows that read_rows will yield, or UsageError
"""

from __future__ import annotations

from pathlib import Path

from clair.errors import UsageError
from clair.sources.rows import OnBadRow, contents

SHOWN = 5


def check_rows(
    prompts: str,
    *,
    prompt_column: str | None = None,
    response_column: str | None = None,
    answer_columns: tuple[str, ...] = (),
    samples: int = 1,
    limit: int | None = None,
    on_bad_row: OnBadRow = "stop",
) -> int | None:
    """Count the rows that `read_rows` will yield with the same arguments.

    None for a dataset id, which is not read.

    Raises:
        UsageError: with "stop", if any record is bad; names file, line and reason of the first few.
    """
    if not Path(prompts).expanduser().exists():
        return None
    good = bad = 0
    shown: list[str] = []
    found = contents(
        prompts,
        prompt_column=prompt_column,
        response_column=response_column,
        answer_columns=answer_columns,
        limit=limit,
    )
    for _, content in found:
        if not isinstance(content, str):
            good += 1
            continue
        bad += 1
        if bad <= SHOWN:
            shown.append(f"  {content}")
    if bad and on_bad_row == "stop":
        raise UsageError(_message(shown, bad, good + bad))
    return good * samples + bad


def _message(shown: list[str], bad: int, total: int) -> str:
    more = [f"  ... and {bad - len(shown)} more"] if bad > len(shown) else []
    head = f"{bad} of {total} rows cannot be used:"
    return "\n".join([head, *shown, *more, "Fix them, or go on without them: --on-bad-row reject."])
