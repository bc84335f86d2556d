"""Under which name a model's answers are kept, when the servers that it runs on change.

    names = names_in_keys({"target": "m@http://b:8000/v1"}, known={"target": "m@http://a:8000/v1"}, used=())
    assert names == {"target": "m@http://a:8000/v1"}

A content key must name the model and not the server: a run that goes on with a replica more, on another port or on
another machine must find what it has paid for. But the model's name alone will not do. Servers call what they serve by
any name ("default"; a tuned model like its base), one run may ask two of them the same question (`clair eval` does
nothing else), and the answer of one is not the answer of the other.

So the name is the identity, model and servers, with which a run first asked for the model: it keeps two models of one
run apart whatever they are called, and stays when the servers change. That those of today serve what those of then
served is the user's word: the same part of the run is given the same model name. Another model name is another model.

Pure. The ledger keeps `known`; in ledgers that have none, of before there were such names, the identities that are in
`used` with the stored answers are what their keys were made of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clair.endpoints.spec import model_in, urls_in
from clair.errors import LedgerError


def is_same_model(one: object, other: object) -> bool:
    """Whether two endpoint strings or identities name one model, or may do so: a URL alone names none."""
    if not isinstance(one, str) or not isinstance(other, str):
        return one == other
    models = model_in(one), model_in(other)
    return None in models or models[0] == models[1]


def names_in_keys(now: Mapping[str, str], *, known: Mapping[str, str], used: Collection[str]) -> dict[str, str]:
    """The name of each part's model in content keys. `now`, `known`: part -> identity, at present and by the ledger.

    Raises LedgerError if a part's model has changed, or if its servers are those of another part's until now.
    """
    names = {part: _kept(part, identity, known) for part, identity in now.items() if part in known}
    names |= {part: identity for part, identity in now.items() if part not in names and identity in used}
    for part, identity in now.items():
        if part not in names:
            names[part] = _guessed(
                part, identity, used, taken={name for p, name in names.items() if now[p] != identity}
            )
    return names


def _kept(part: str, identity: str, known: Mapping[str, str]) -> str:
    name = known[part]
    if not is_same_model(name, identity):
        raise LedgerError(
            f"the {part} was {name!r} until now and is {identity!r}: another model. One dataset must not mix two kinds "
            "of data. Go back to the old model, or add --fork NEW: a new run that reuses every answer it can."
        )
    urls = urls_in(identity)
    for other, others_name in known.items():
        is_theirs = others_name != name and is_same_model(others_name, identity) and urls & urls_in(others_name)
        if is_theirs and not urls & urls_in(name):
            raise LedgerError(
                f"{', '.join(sorted(urls))} is given for the {part}, but it served the {other} until now, under the "
                f"same model name. Are the two exchanged? The {part} was {name!r}."
            )
    return name


def _guessed(part: str, identity: str, used: Collection[str], taken: Collection[str]) -> str:
    """A ledger without names, asked at new servers: the answers it has of a model of this name are this model's."""
    found = sorted(name for name in used if is_same_model(name, identity) and name not in taken)
    if len(found) > 1:
        raise LedgerError(
            f"the answers so far came from {' and '.join(found)}, so nobody can say which of these models the {part} "
            f"{identity!r} is. Run it once with the same servers as before; then they may change."
        )
    return found[0] if found else identity
