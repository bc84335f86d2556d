"""What every test is given: the garbage collector as it was."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def collect_garbage_as_before() -> Iterator[None]:
    """`clair generate` and Ray's workers slow the garbage collector of their process down, which here is pytest's."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
