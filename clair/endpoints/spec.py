"""Which model, and where: the one string that names an endpoint.

    gpt-4o-mini                              a model of OpenAI, or of $OPENAI_BASE_URL
    Qwen/Qwen3-8B@http://localhost:8000/v1   a model of any OpenAI-compatible server
    m@http://a:8000/v1,http://b:8000/v1      replicas of one model
    http://localhost:8000/v1                 the one model that is served there
    sandbox                                  the built-in world

Pure. Model names may hold `/`, `:` and `@`: the split is at the last `@http://` or `@https://`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from clair.errors import UsageError

OPENAI_URL = "https://api.openai.com/v1"
SANDBOX_URL = "http://sandbox/v1"
WEIGHTS_DOMAIN = ".sandbox.internal"
"""Hosts of a domain that does not exist, for models that are read from files: the host's name is their digest."""
FORMS = "Write MODEL, MODEL@BASE_URL, MODEL@URL1,URL2, BASE_URL or sandbox."

_OPENAI_DOMAINS = (".api.openai.com", ".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_SPLIT = re.compile(r"@(?=https?://)", re.IGNORECASE)
_HOST_WITHOUT_SCHEME = re.compile(r"@(localhost|[\w.-]+:\d+)(/|$)")


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One model and where it is served. `model` None means: the one that the server lists."""

    model: str | None
    base_urls: tuple[str, ...]
    sandbox: bool = False
    key_env: str = "OPENAI_API_KEY"

    @property
    def identity(self) -> str:
        """`MODEL@URL`: what is asked and where. Replicas are listed in sorted order."""
        if self.sandbox:
            return self.model or "sandbox"
        return f"{self.model or ''}@{','.join(sorted(self.base_urls))}"

    @property
    def is_openai(self) -> bool:
        """Whether OpenAI itself answers, or its models on Azure: nobody gets in there without a key."""
        return all(map(is_openai_host, self.base_urls))


def is_openai_host(url: str) -> bool:
    """Whether a URL is OpenAI's, or one of Azure's for its models."""
    return f".{urlsplit(url).hostname}".endswith(_OPENAI_DOMAINS)


def parse_spec(
    text: str, *, env: Mapping[str, str], key_env: str = "OPENAI_API_KEY", sandbox_model: str | None = None
) -> EndpointSpec:
    """Read an endpoint's string. `sandbox_model` is the model that `sandbox` stands for.

    Raises UsageError, whose message never repeats a URL that holds a user name or password.
    """
    text = text.strip()
    if not text:
        raise UsageError(f"The endpoint is an empty text. {FORMS}")
    if text == "sandbox":
        return EndpointSpec(model=sandbox_model, base_urls=(SANDBOX_URL,), sandbox=True, key_env=key_env)
    model, urls = _split(text)
    if not urls:
        urls = env.get("OPENAI_BASE_URL", "").strip() or OPENAI_URL
    if model is not None:
        _check_model(model)
    return EndpointSpec(model=model, base_urls=_base_urls(urls), key_env=key_env)


def model_in(text: str) -> str | None:
    """The model that an endpoint's string or identity names, wherever it is served; None if only the server knows.

    Where the URL stands for the weights, the model is all of it.
    """
    text = text.strip()
    model, urls = _split(text)
    return text if (urlsplit(urls).hostname or "").endswith(WEIGHTS_DOMAIN) else model


def urls_in(identity: str) -> frozenset[str]:
    """The base URLs in an identity."""
    return frozenset(_split(identity)[1].split(",")) - {""}


def _split(text: str) -> tuple[str | None, str]:
    if text.lower().startswith(("http://", "https://")):
        return None, text
    places = [match.start() for match in _SPLIT.finditer(text)]
    if places:
        return text[: places[-1]], text[places[-1] + 1 :]
    return text, ""


def _check_model(model: str) -> None:
    if not model:
        raise UsageError(f"No model before the @. {FORMS}")
    if "//" in model:
        raise UsageError(f"The part before the last @http is not a model name: it holds a URL. {FORMS}")
    if model.endswith("@"):
        raise UsageError(f"No base URL after the @. {FORMS}")
    if any(character.isspace() for character in model):
        raise UsageError(f"The model name {model!r} holds white space. {FORMS}")
    if found := _HOST_WITHOUT_SCHEME.search(model):
        raise UsageError(f"A base URL starts with http:// or https://. Write @http://{found[0][1:]}")


def _base_urls(text: str) -> tuple[str, ...]:
    urls = tuple(_base_url(url.strip()) for url in text.split(","))
    if len(set(urls)) < len(urls):
        raise UsageError(f"The same base URL is given twice: {text!r}.")
    return urls


def _base_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"A base URL cannot be read: {error}.") from None
    if parts.username is not None or parts.password is not None:
        raise UsageError("A base URL must not hold a user name or password. Put the key into the environment variable.")
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not a base URL such as http://localhost:8000/v1. {FORMS}")
    if parts.query or parts.fragment:
        raise UsageError(f"The base URL of {parts.hostname!r} must not have a ?query or #fragment.")
    return _normalized(parts)


def _normalized(parts: SplitResult) -> str:
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    if path.endswith(("/chat/completions", "/models")):
        base = path.removesuffix("/chat/completions").removesuffix("/models")
        raise UsageError(f"Give the base URL without its last part: {parts.scheme}://{parts.netloc}{base}")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"
