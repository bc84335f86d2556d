"""A random sample that does not depend on the order of rows, within a number of rows and of bytes.

    sample = Sample(rows=2000, size=6_000_000)
    sample.offer(row_id, lambda: encode(row))      # encodes only what is kept for now
    sample.texts()

Rows are ranked by a hash of seed and key and the first ones are kept, so equal keys (a pair and its steps) come
together, the same run gives the same sample, and a row is encoded only if it is among the first so far.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable

SEED = 0


class Sample:
    """The `rows` first rows by hash, fewer where they take more than `size` bytes. `seen` counts what was offered.

    One row is always kept, whatever its size.
    """

    def __init__(self, *, rows: int, size: int, seed: int = SEED) -> None:
        self.seen = 0
        self._rows, self._size, self._seed = rows, size, seed
        self._held: list[tuple[int, int, str]] = []  # (-rank, place, text): the last rank on top
        self._bytes = 0
        self._below = 1 << 64  # ranks from here on are out: something before them was dropped

    def __len__(self) -> int:
        return len(self._held)

    def offer(self, key: str, encode: Callable[[], str]) -> None:
        """Take a row into account; `encode` gives its text if it is kept."""
        place = self.seen
        self.seen += 1
        rank = self._rank(key)
        if rank >= self._below:
            return
        text = encode()
        heapq.heappush(self._held, (-rank, place, text))
        self._bytes += _size(text)
        self._drop()

    def shrink(self, size: int) -> None:
        """Keep no more than this many bytes."""
        self._size = min(size, self._size)
        self._drop()

    def texts(self) -> list[str]:
        """What was kept, in the order in which it was offered."""
        return [text for _, text in self.placed()]

    def placed(self) -> list[tuple[int, str]]:
        """The same with the place of each among all that was offered."""
        return sorted((place, text) for _, place, text in self._held)

    def _drop(self) -> None:
        while len(self._held) > 1 and (len(self._held) > self._rows or self._bytes > self._size):
            self._below = -self._held[0][0]
            while len(self._held) > 1 and -self._held[0][0] >= self._below:
                self._bytes -= _size(heapq.heappop(self._held)[2])

    def _rank(self, key: str) -> int:
        digest = hashlib.blake2b(f"{self._seed}:{key}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
