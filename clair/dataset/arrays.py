"""Columns of Python values as Arrow arrays, built from their buffers.

    record_batch(columns, schema)       # what pa.RecordBatch.from_pydict(columns, schema=schema) gives

`pyarrow` imports pandas before it looks at a list, which takes a second of every command that writes a dataset.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pyarrow as pa

_NUMBERS = {pa.int64(): "q", pa.float64(): "d"}


def record_batch(columns: Mapping[str, Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """The columns of a schema of texts, numbers, and lists of objects of texts (`clair.dataset.schema`).

    None is null. Raises OverflowError for a number beyond 64 bits or a column of more than 2 GiB.
    """
    return pa.RecordBatch.from_arrays([_array(columns[field.name], field.type) for field in schema], schema=schema)


def _array(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    if pa.types.is_list(of):
        return _lists(values, of)
    if pa.types.is_string(of):
        return _texts(values)
    numbers = array(_NUMBERS[of], (0 if value is None else value for value in values))
    return pa.Array.from_buffers(of, len(values), [_validity(values), pa.py_buffer(numbers)])


def _texts(values: Sequence[str | None]) -> pa.Array:
    encoded = [b"" if value is None else value.encode() for value in values]
    buffers = [_validity(values), _offsets(encoded), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def _lists(values: Sequence[Sequence[Mapping[str, str]]], of: pa.DataType) -> pa.Array:
    """Lists without nulls, of objects without nulls."""
    inner = of.value_type
    found = list(chain.from_iterable(values))
    fields = [_texts([item[field.name] for item in found]) for field in inner]
    objects = pa.Array.from_buffers(inner, len(found), [None], children=fields)
    return pa.Array.from_buffers(of, len(values), [None, _offsets(values)], children=[objects])


def _offsets(parts: Sequence[Any]) -> pa.Buffer:
    return pa.py_buffer(array("i", accumulate(map(len, parts), initial=0)))


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    if None not in values:
        return None
    return pa.py_buffer(np.packbits([value is not None for value in values], bitorder="little").tobytes())
