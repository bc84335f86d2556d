"""README.md of a run folder: the dataset card.

    write_card(run_dir, summary, tally.examples())

The front matter holds what the Hub and `datasets.load_dataset` read: two configurations (`default` with the
pairs, `rejects`), the features, and the sizes of the shards that are in the folder. The rest says how the
data were made and what to watch for, with a few pairs to look at. The text depends on the summary, the
examples and the sizes of the shards alone, so the same ledger gives the same card.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from clair.dataset.card_text import body
from clair.dataset.markdown import END, START, one_line
from clair.dataset.schema import COLUMNS, Kind, card_features
from clair.dataset.storage import replace_text
from clair.dataset.summary import RunSummary
from clair.dataset.writer import FOLDERS, shards
from clair.records import Pair

CONFIGS: dict[str, Kind] = {"default": "pairs", "rejects": "rejects"}
TAGS = ("synthetic", "preference", "dpo", "apo", "clair", "trl")

_SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
)


def write_card(run_dir: Path, summary: RunSummary, examples: Sequence[Pair] = ()) -> Path:
    """Write RUN/README.md for the shards in the folder (write those first); returns its path.

    `examples` are the pairs that it shows.
    """
    path = Path(run_dir) / "README.md"
    replace_text(path, card(run_dir, summary, examples))
    return path


def card(run_dir: Path, summary: RunSummary, examples: Sequence[Pair] = ()) -> str:
    """The card's text."""
    front = yaml.safe_dump(_front_matter(Path(run_dir), summary), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{front}---\n\n{START}\n\n{body(summary, examples)}\n{END}\n"


def _front_matter(run_dir: Path, summary: RunSummary) -> dict[str, Any]:
    license = {"license": one_line(summary.facts.license)} if summary.facts.license else {}
    return {
        **license,
        "pretty_name": one_line(summary.facts.name),
        "annotations_creators": ["machine-generated"],
        "task_categories": ["text-generation"],
        "size_categories": [size_category(summary.pairs)],
        "tags": list(TAGS),
        "configs": [_config(name, kind) for name, kind in CONFIGS.items()],
        "dataset_info": [_info(run_dir, name, kind) for name, kind in CONFIGS.items()],
    }


def _config(name: str, kind: Kind) -> dict[str, Any]:
    files = [{"split": "train", "path": f"{FOLDERS[kind]}/train-*.parquet"}]
    return {"config_name": name, "data_files": files, **({"default": True} if name == "default" else {})}


def _info(run_dir: Path, name: str, kind: Kind) -> dict[str, Any]:
    paths = shards(run_dir, kind)
    parquet = [pq.read_metadata(path) for path in paths]
    size = sum(file.row_group(index).total_byte_size for file in parquet for index in range(file.num_row_groups))
    rows = sum(file.num_rows for file in parquet)
    return {
        "config_name": name,
        "features": card_features(COLUMNS[kind]),
        "splits": [{"name": "train", "num_bytes": size, "num_examples": rows}],
        "download_size": sum(path.stat().st_size for path in paths),
        "dataset_size": size,
    }


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    return next((name for below, name in _SIZES if rows < below), "n>1B" if rows < 10**12 else "n>1T")
