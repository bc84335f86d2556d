"""The first look at a server, before anything is bought: GET /models.

Finds out that nothing listens, that the key is wrong, that the model is not served, or which model is. A
server without a model list is taken as it is: the first real request decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import anyio
import openai
from pydantic import BaseModel, ValidationError

from clair.endpoints.classify import FAILURES, classify
from clair.endpoints.client import PLACEHOLDER_KEY, Client, Secret
from clair.endpoints.spec import EndpointSpec
from clair.errors import EndpointUnusable

_DEADLINE_S = 30.0
_SHOWN = 20

# 403: a restricted key may chat but not list. 404, 405, 501: no list. 429 and 5xx: busy or still loading.
_GO_ON = frozenset({403, 404, 405, 408, 409, 425, 429})


class _Model(BaseModel):
    id: str


class _ModelList(BaseModel):
    data: list[_Model]
    has_more: bool = False


class Unreachable(EndpointUnusable):
    """Nothing answers at a base URL."""


async def probe_all(clients: Sequence[Client], spec: EndpointSpec, key: Secret) -> tuple[str, dict[int, str]]:
    """The model's name, after a look at every server, and the numbers of those that do not answer, with why.

    Raises EndpointUnusable if none answers, or if one that answers is of no use: that is a mistake in the URLs.
    """
    found = await asyncio.gather(*[probe(client, spec, key) for client in clients], return_exceptions=True)
    silent = {number: result for number, result in enumerate(found) if isinstance(result, Unreachable)}
    for result in found:
        if isinstance(result, BaseException) and (not isinstance(result, Unreachable) or len(silent) == len(found)):
            raise result
    served = {result: client.base_url for result, client in zip(found, clients, strict=True) if isinstance(result, str)}
    if len(served) > 1:
        names = " and ".join(f"{url} serves {name!r}" for name, url in served.items())
        raise EndpointUnusable(f"{names}: replicas serve one model. Name it, as MODEL@URL1,URL2")
    return next(iter(served)), {number: str(result) for number, result in silent.items()}


async def probe(client: Client, spec: EndpointSpec, key: Secret) -> str:
    """The model's name, after a look at the server's list. Raises EndpointUnusable with what to do."""
    listed = await _listed(client, spec, key)
    if spec.model is None:
        return _only_one(client, listed)
    if listed is None or listed.has_more or not listed.data or _serves(listed, spec.model):
        return spec.model
    if await _knows(client, spec.model):
        return spec.model
    raise EndpointUnusable(
        f"{client.base_url} does not serve {spec.model!r}. It serves {_names(listed)}. "
        f"(The whole list: GET {client.base_url}/models)"
    )


async def _listed(client: Client, spec: EndpointSpec, key: Secret) -> _ModelList | None:
    try:
        with anyio.fail_after(_DEADLINE_S):
            raw = await client.get("models")
    except openai.APIStatusError as error:
        if error.status_code in _GO_ON or error.status_code >= 500:
            return None
        raise EndpointUnusable(key.redact(_refused(client, spec, key, error))) from None
    except FAILURES as error:
        verdict = classify(error)
        detail = key.redact(verdict.detail)
        if verdict.action != "retry":
            raise EndpointUnusable(f"{client.base_url}: {detail}.") from None
        raise Unreachable(
            f"Nothing answers at {client.base_url} ({detail}). Is the server running, and is this its base URL?"
        ) from None
    return _read_list(client, raw, key)


def _refused(client: Client, spec: EndpointSpec, key: Secret, error: openai.APIStatusError) -> str:
    detail = classify(error).detail
    if error.status_code != 401:
        return f"{client.base_url}: {detail}"
    if key.reveal() == PLACEHOLDER_KEY:
        return f"{client.base_url} asks for an API key: set the environment variable {spec.key_env}. ({detail})"
    return f"{client.base_url} refused the API key in the environment variable {spec.key_env}. ({detail})"


def _read_list(client: Client, raw: bytes, key: Secret) -> _ModelList | None:
    text = raw.lstrip()
    if text.startswith(b"["):  # some servers send the bare list
        text = b'{"data":' + text + b"}"
    try:
        return _ModelList.model_validate_json(text)
    except ValidationError:
        if text.startswith(b"{"):
            return None
    raise EndpointUnusable(
        f"{client.base_url}/models answered with something that is not JSON (it starts {key.redact(repr(raw[:60]))}). "
        "Is this the base URL of an OpenAI-compatible API? Most end in /v1"
    )


def _only_one(client: Client, listed: _ModelList | None) -> str:
    if listed is None or not listed.data:
        raise EndpointUnusable(f"{client.base_url} does not list its models: name one, as MODEL@{client.base_url}")
    if len(listed.data) > 1:
        raise EndpointUnusable(
            f"{client.base_url} serves {_names(listed)}: name one of them, as MODEL@{client.base_url}"
        )
    return listed.data[0].id


def _serves(listed: _ModelList, model: str) -> bool:
    """Whether the list holds the model, also as `NAME:latest` (Ollama) or `models/NAME` (Gemini)."""
    names = {entry.id for entry in listed.data}
    return bool(names & {model, f"{model}:latest", f"models/{model}"})


async def _knows(client: Client, model: str) -> bool:
    """Whether the server knows a name that it does not list: an alias, or on Azure a deployment."""
    if (urlsplit(client.base_url).hostname or "").endswith(".azure.com"):
        return True
    try:
        with anyio.fail_after(_DEADLINE_S):
            raw = await client.get(f"models/{quote(model)}")
        _Model.model_validate_json(raw)
    except (*FAILURES, ValidationError):
        return False
    return True


def _names(listed: _ModelList) -> str:
    names = sorted(entry.id for entry in listed.data)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(repr(name) for name in names[:_SHOWN]) + more
