"""Datasets of the Hugging Face Hub as a source, streamed.

dataset = parse_dataset_id("owner/name:config/test")
for record in stream(dataset): ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from clair.errors import RunStopped, UsageError
from clair.sources.record import Record

_ID = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?::(?P<config>[^/:\s]+))?(?:/(?P<split>\w[\w.]*))?"
)


class DatasetId(NamedTuple):
    """A dataset, its configuration (None: the default one) and split."""

    name: str
    config: str | None = None
    split: str = "train"

    def __str__(self) -> str:
        config = f":{self.config}" if self.config else ""
        return f"{self.name}{config}/{self.split}"


def parse_dataset_id(text: str) -> DatasetId | None:
    """Read `owner/name`, `owner/name:config`, `owner/name:config/split` or `owner/name/split`.

    None if the text is none of these. The owner may be left out where a slash does not make it ambiguous:
    `name:config/split`.
    """
    match = _ID.fullmatch(text)
    if match is None:
        return None
    return DatasetId(match["name"], match["config"], match["split"] or "train")


def stream(dataset: DatasetId) -> Iterator[Record]:
    """The dataset's rows in their order; opening happens at once, reading row by row.

    Raises:
        UsageError: no such dataset, configuration or split, or the Hub cannot be reached.
        RunStopped: reading broke off later; the same command goes on.
    """
    return _records(dataset, _open(dataset))


def _records(dataset: DatasetId, rows: Any) -> Iterator[Record]:
    index = -1
    values = iter(rows)
    while True:
        try:
            value = next(values)
        except StopIteration:
            return
        except Exception as error:  # whatever the network, a file format or a decoder raises
            raise RunStopped(
                f"Reading the dataset {dataset} broke off after row {index + 1}: {error}. "
                "Run the same command again to go on."
            ) from error
        index += 1
        yield Record(str(dataset), index, f"row {index + 1}", dict(value))


def _open(dataset: DatasetId) -> Any:
    import datasets

    try:
        splits = datasets.load_dataset(dataset.name, name=dataset.config, streaming=True)
    except Exception as error:  # `datasets` raises what the network, the Hub and its own checks raise
        raise UsageError(
            f"The dataset {dataset.name!r} cannot be opened: {error} "
            f"(There is no local file or folder of that name either. {_offline_note()}"
            "Expected a path or an id like owner/name:config/split.)"
        ) from error
    if dataset.split not in splits:
        raise UsageError(
            f"The dataset {dataset.name!r} has no split {dataset.split!r}; it has {', '.join(splits)}. "
            f"Name one as {str(dataset._replace(split=next(iter(splits), 'SPLIT')))!r}."
        )
    return splits[dataset.split]


def _offline_note() -> str:
    from huggingface_hub import constants

    return "HF_HUB_OFFLINE is set, so the Hub was not asked. " if constants.HF_HUB_OFFLINE else ""
