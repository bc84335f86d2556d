"""SECURITY.md: every promise names tests, and they are there. Reads the page itself."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_promise_names_tests_that_exist():
    lines = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("\n")
    start = lines.index("|---|---|") + 1
    promises = [line for line in lines[start:] if line.startswith("|")]
    assert len(promises) >= 14
    for promise in promises:
        held_by = re.findall(r"`(tests/[^`]+)`", promise.split("|")[-2])
        assert held_by, promise
        assert [path for path in held_by if not (ROOT / path).exists()] == []
