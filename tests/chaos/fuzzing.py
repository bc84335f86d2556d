"""Fuzzing for a bounded time: hypothesis tests that go on until the clock says stop.

    @fuzz(raw=st.binary())
    def test_any_bytes(raw): ...

CLAIR_FUZZ_SECONDS is the time for each target (1 by default, so that it runs with the tests), CLAIR_FUZZ_SEED the first
seed: the same seed gives the same examples in the same order. One example may take `EXAMPLE_S` seconds of processor
time; processor time, because the clock measures the machine's other work too. `test.target` is the plain hypothesis
test, for `tests.chaos.guided`.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("CLAIR_FUZZ_SECONDS", "1"))
SEED = int(os.environ.get("CLAIR_FUZZ_SEED", "0"))
EXAMPLE_S = 5.0
BATCH = 50

SETTINGS = settings(
    max_examples=BATCH,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def fuzz(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Make a check of drawn values a test without arguments that draws until the time is over."""

    def decorate(check: Callable[..., None]) -> Any:
        @functools.wraps(check)
        def bounded(**values: Any) -> None:
            began = time.process_time()
            check(**values)
            assert time.process_time() - began < EXAMPLE_S, "this example takes too long"

        def draw() -> Any:
            return SETTINGS(given(**strategies)(bounded))

        def run() -> None:
            end, number = time.monotonic() + SECONDS, SEED
            while True:
                seed(number)(draw())()
                number += 1
                if time.monotonic() >= end:
                    return

        run.__name__, run.__doc__, run.__module__ = check.__name__, check.__doc__, check.__module__
        run.target = draw()  # type: ignore[attr-defined]
        return run

    return decorate


def result_of(call: Callable[[], Any], *errors: type[Exception]) -> Any:
    """What the call returns, or the error of one of these classes that it raises. Any other one is a finding."""
    try:
        return call()
    except errors as error:
        return error


_PLACE = st.floats(0, 1)
DAMAGES = st.lists(
    st.tuples(
        st.sampled_from(["cut", "drop", "double", "insert", "overwrite", "overwrite"]),
        _PLACE,
        _PLACE,
        st.binary(max_size=12)
        | st.sampled_from([b"\x00", b"\xff", b'"', b"{", b"]", b"\n", b"\r", b"\xef\xbb\xbf", b"\\ud800"]),
    ),
    max_size=4,
)


def mutated(whole: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of the given kind after some damage: cut, overwritten, doubled, with junk put in."""
    return st.builds(damaged, whole, DAMAGES)


def damaged(data: bytes, damages: list[tuple[str, float, float, bytes]]) -> bytes:
    """The data after `DAMAGES`: a kind, two places as shares of the length, and the junk to put there."""
    for kind, first, second, junk in damages:
        start, end = sorted((int(first * len(data)), int(second * len(data))))
        if kind == "cut":
            data = data[:start]
        elif kind == "drop":
            data = data[:start] + data[end:]
        elif kind == "double":
            data = data[:end] + data[start:]
        elif kind == "insert":
            data = data[:start] + junk + data[start:]
        else:
            data = data[:start] + junk + data[start + len(junk) :]
    return data


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=10**40)
    | st.floats()
    | st.text(max_size=20)
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Anything that Python's json module writes, NaN and lone surrogates included."""
