"""A split of a run folder as a `datasets.Dataset`, or as a stream.

    pairs = load_split(run_dir, "pairs")
    pairs = stream_split(run_dir, "pairs")

The same as `datasets.load_dataset(run_dir)`, and it also works where there is no row: `load_dataset`
refuses an empty split unless it streams.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clair.dataset.schema import Kind
from clair.dataset.writer import shards
from clair.errors import UsageError

if TYPE_CHECKING:
    import datasets


def load_split(run_dir: Path, kind: Kind = "pairs") -> datasets.Dataset:
    """The split's rows, memory-mapped from the cache of `datasets`.

    Raises:
        UsageError: the folder holds no such split.
    """
    import datasets
    import pyarrow.parquet as pq

    paths = _shards(run_dir, kind)
    features = _features(paths[0])
    if sum(pq.read_metadata(path).num_rows for path in paths) == 0:
        return datasets.Dataset.from_dict({name: [] for name in features}, features=features)
    return datasets.Dataset.from_parquet([str(path) for path in paths], features=features)


def stream_split(run_dir: Path, kind: Kind = "pairs") -> datasets.IterableDataset:
    """The split's rows, read from its files while they are iterated over; nothing is cached.

    Raises:
        UsageError: the folder holds no such split.
    """
    import datasets

    paths = _shards(run_dir, kind)
    return datasets.Dataset.from_parquet([str(path) for path in paths], features=_features(paths[0]), streaming=True)


def _shards(run_dir: Path, kind: Kind) -> list[Path]:
    paths = shards(run_dir, kind)
    if not paths:
        raise UsageError(f"{str(run_dir)!r} holds no {kind}. Expected a run folder made by `clair generate`.")
    return paths


def _features(path: Path) -> datasets.Features:
    # The file's own columns, not those of this version: an older run lacks columns that came later.
    import datasets
    import pyarrow.parquet as pq

    return datasets.Features.from_arrow_schema(pq.read_schema(path))
