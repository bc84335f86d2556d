"""Rows driven over the ledger alone: what is there needs no worker, and what a worker needs is found here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from clair.endpoints.endpoint import Endpoint
from clair.ledger.store import Ledger, StoredReply
from clair.pipeline.answers import Answers
from clair.pipeline.budget import Budget
from clair.pipeline.progress import Progress
from clair.records import Ask, Part


class Missing(Exception):
    """A question whose answer is not in the ledger, by its content key."""

    def __init__(self, key: bytes) -> None:
        super().__init__(key)
        self.key = key


class FromLedger(Answers):
    """Answers from the ledger and from nowhere else; `known` gets every answer that was found."""

    def __init__(self, ledger: Ledger, endpoints: Mapping[Part, Endpoint], known: dict[bytes, StoredReply]) -> None:
        super().__init__(ledger=_Noting(ledger, known), endpoints=endpoints, budget=Budget(None), progress=Progress())

    async def buy(self, _ask: Ask, _endpoint: Endpoint, _body: dict[str, object], key: bytes) -> NoReturn:
        """Nothing is bought here."""
        raise Missing(key)


class _Noting:
    def __init__(self, ledger: Ledger, known: dict[bytes, StoredReply]) -> None:
        self._ledger = ledger
        self._known = known

    def get(self, key: bytes) -> StoredReply | None:
        stored = self._ledger.get(key)
        if stored is not None:
            self._known[key] = stored
        return stored

    async def put(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nothing is bought here")

    async def doubt(self, *_: object, **__: object) -> NoReturn:
        raise AssertionError("nothing is bought here")
