"""The models of a run that goes on, possibly on other servers: under which names the ledger has their answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from clair.endpoints.naming import is_same_model, names_in_keys
from clair.endpoints.spec import urls_in
from clair.ledger.store import Ledger
from clair.pipeline.progress import Progress

if TYPE_CHECKING:
    from clair.endpoints.endpoint import Endpoint
    from clair.records import Part

_SETTINGS = frozenset({"target", "reviser", "judge", "model", "baseline"})


def alike(key: str, old: object, new: object) -> bool:
    """Whether a changed setting is the same one all the same: one model on other servers."""
    return key in _SETTINGS and is_same_model(old, new)


def name_models(ledger: Ledger, endpoints: Mapping[Part, Endpoint], progress: Progress) -> None:
    """Give each endpoint the name that its model has in this ledger's content keys, and remember it.

    From here on the endpoints' notes are the run's. Raises LedgerError, see `names_in_keys`.
    """
    known = ledger.names()
    now: dict[str, str] = {part: endpoint.where for part, endpoint in endpoints.items()}
    used = ledger.identities() if now.keys() - known.keys() else frozenset()
    names = names_in_keys(now, known=known, used=used)
    ledger.keep_names({**known, **names})
    for part, endpoint in endpoints.items():
        endpoint.identity = names[part]
        endpoint.listen(progress.notes.append)
        before, after = urls_in(names[part]), urls_in(now[part])
        if before and not before & after:
            progress.notes.append(
                f"{part} {endpoint.model!r}: the first answers came from {_list(before)}, further ones come from "
                f"{_list(after)}. If that serves another model under this name, start a new run instead."
            )


def _list(urls: frozenset[str]) -> str:
    return ", ".join(sorted(urls))
