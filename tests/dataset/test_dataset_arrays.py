"""Arrow arrays from buffers are those that pyarrow makes of the same values. Everything is real."""

from __future__ import annotations

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.dataset.arrays import record_batch
from clair.dataset.schema import PAIR_SCHEMA, REJECT_SCHEMA

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
MESSAGES = st.lists(st.fixed_dictionaries({"role": TEXTS, "content": TEXTS}), max_size=3)
VALUES = {
    pa.string(): TEXTS,
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
}


def rows_of(schema: pa.Schema):
    columns = {field.name: VALUES.get(field.type, MESSAGES) for field in schema}
    nullable = {field.name for field in schema if field.nullable}
    return st.lists(
        st.fixed_dictionaries({name: (st.none() | it) if name in nullable else it for name, it in columns.items()}),
        max_size=12,
    )


@pytest.mark.parametrize("schema", [PAIR_SCHEMA, REJECT_SCHEMA], ids=["pairs", "rejects"])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_they_are_what_pyarrow_makes(schema, data):
    rows = data.draw(rows_of(schema))
    columns = {field.name: [row[field.name] for row in rows] for field in schema}
    made = record_batch(columns, schema)
    made.validate(full=True)
    assert made.equals(pa.RecordBatch.from_pydict(columns, schema=schema), check_metadata=True)


def test_what_does_not_fit_is_refused():
    with pytest.raises(OverflowError):
        record_batch({"n": [2**63]}, pa.schema([pa.field("n", pa.int64())]))


def test_writing_a_dataset_does_without_pandas(tmp_path):
    """It would cost every command a second."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from clair.dataset.writer import write_split\n"
        "from tests.dataset.dataset_examples import pair, reject\n"
        f"write_split([pair(1)], Path({str(tmp_path)!r}), 'pairs')\n"
        f"write_split([reject(2)], Path({str(tmp_path)!r}), 'rejects')\n"
        "print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
