"""Endpoint strings. Pure; nothing is doubled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.endpoints.spec import EndpointSpec, parse_spec
from clair.errors import UsageError

LOCAL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("text", "model", "urls"),
    [
        ("gpt-4o-mini", "gpt-4o-mini", ("https://api.openai.com/v1",)),
        (" gpt-4o-mini ", "gpt-4o-mini", ("https://api.openai.com/v1",)),
        ("@cf/meta/llama-3", "@cf/meta/llama-3", ("https://api.openai.com/v1",)),
        (f"Qwen/Qwen3-8B@{LOCAL}", "Qwen/Qwen3-8B", (LOCAL,)),
        (f"llama3:8b@{LOCAL}/", "llama3:8b", (LOCAL,)),
        ("claude@20240101@HTTPS://API.Host.com/V1", "claude@20240101", ("https://api.host.com/V1",)),
        ("m@http://a:1/v1,http://b:2/v1", "m", ("http://a:1/v1", "http://b:2/v1")),
        (LOCAL, None, (LOCAL,)),
        ("http://[::1]:8000//v1//", None, ("http://[::1]:8000/v1",)),
        ("m@http://h", "m", ("http://h",)),
    ],
)
def test_each_form_is_read(text: str, model: str | None, urls: tuple[str, ...]) -> None:
    assert parse_spec(text, env={}) == EndpointSpec(model=model, base_urls=urls)


def test_openai_base_url_is_the_default_for_a_model_alone() -> None:
    assert parse_spec("m", env={"OPENAI_BASE_URL": LOCAL}).base_urls == (LOCAL,)
    assert parse_spec(f"m@{LOCAL}/x", env={"OPENAI_BASE_URL": LOCAL}).base_urls == (f"{LOCAL}/x",)


def test_the_sandbox_stands_for_a_model() -> None:
    spec = parse_spec("sandbox", env={}, sandbox_model="teacher")
    assert spec == EndpointSpec(model="teacher", base_urls=("http://sandbox/v1",), sandbox=True)
    assert spec.identity == "teacher"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("@http://h/v1", "No model before the @"),
        ("m@localhost:8000/v1", "Write @http://localhost:8000"),
        ("m@10.0.0.1:8000", "Write @http://10.0.0.1:8000"),
        ("a@http://h/v1,b@http://i/v1", "not a model name"),
        ("//user:password@", "not a model name"),
        ("m@", "No base URL after the @"),
        ("m@http://h/v1,http://h/v1/", "given twice"),
        ("m@http://h/v1,ftp://i", "not a base URL"),
        ("m@http://", "not a base URL"),
        ("m@http://h:99999/v1", "cannot be read"),
        ("m@http://h/v1?key=1", "must not have a ?query"),
        ("my model@http://h/v1", "white space"),
        ("m@http://h/v1/chat/completions", "Give the base URL without its last part: http://h/v1"),
    ],
)
def test_a_wrong_form_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text, env={})
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["m@https://me:hunter2@h/v1", "https://me:hunter2@h/v1", "m@http://hunter2@h/v1"])
def test_a_password_in_a_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(text, env={})
    assert "user name or password" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_identity_does_not_depend_on_the_order_of_replicas() -> None:
    one = parse_spec("m@http://a/v1,http://b/v1", env={})
    other = parse_spec("m@http://b/v1,http://a/v1", env={})
    assert one.identity == other.identity == "m@http://a/v1,http://b/v1"


@pytest.mark.parametrize(
    ("text", "is_openai"),
    [
        ("m", True),
        ("m@https://eu.api.openai.com/v1", True),
        ("m@https://x.openai.azure.com/openai/v1", True),
        ("m@https://x.services.ai.azure.com/openai/v1", True),
        ("m@https://x.cognitiveservices.azure.com/openai/v1", True),
        (f"m@https://api.openai.com/v1,{LOCAL}", False),
        (f"m@{LOCAL}", False),
        ("m@https://notapi.openai.com.evil.org/v1", False),
    ],
)
def test_openai_itself_is_told_from_other_servers(text: str, is_openai: bool) -> None:
    assert parse_spec(text, env={}).is_openai is is_openai


def _is_a_name(text: str) -> bool:
    return "//" not in text and not text.endswith("@")


@given(model=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/@:-]{0,30}", fullmatch=True).filter(_is_a_name))
def test_any_model_name_survives_in_front_of_a_url(model: str) -> None:
    text = f"{model}@{LOCAL}"
    try:
        spec = parse_spec(text, env={})
    except UsageError as error:
        assert "starts with http://" in str(error)  # noqa: PT017  # a name such as m@host:80 is taken for a URL
        return
    assert spec == EndpointSpec(model=model, base_urls=(LOCAL,))
    assert parse_spec(spec.identity, env={}) == spec
