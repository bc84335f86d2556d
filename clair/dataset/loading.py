"""A split of a run folder as a `datasets.Dataset`.

    pairs = load_split(run_dir, "pairs")

The same as `datasets.load_dataset(run_dir)`, and it also works where there is no row: `load_dataset`
refuses an empty split unless it streams.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clair.dataset.schema import SCHEMAS, Kind
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

    paths = shards(run_dir, kind)
    if not paths:
        raise UsageError(f"{str(run_dir)!r} holds no {kind}. Expected a run folder made by `clair generate`.")
    features = datasets.Features.from_arrow_schema(SCHEMAS[kind])
    if sum(pq.read_metadata(path).num_rows for path in paths) == 0:
        return datasets.Dataset.from_dict({name: [] for name in features}, features=features)
    return datasets.Dataset.from_parquet([str(path) for path in paths], features=features)
