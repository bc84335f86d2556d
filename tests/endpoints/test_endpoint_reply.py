"""Bodies of 200 replies. Pure; nothing is doubled."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.endpoints.pricing import FixedPrice
from clair.endpoints.reply import MalformedBody, ReportedError, parse_new, parse_reply
from clair.records import Completion, Usage


def body(**changes: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "hi", **changes.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **changes.pop("choice", {})}
    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    return {"id": "1", "model": "m-2024", "choices": [choice], "usage": usage, **changes}


def read(value: object, price: FixedPrice | None = None) -> Completion:
    return parse_reply(json.dumps(value).encode(), price)


def test_a_whole_reply() -> None:
    assert read(body(), FixedPrice(2.0, 8.0)) == Completion(
        text="hi",
        finish_reason="stop",
        refusal=None,
        usage=Usage(1000, 500),
        cost_usd=(1000 * 2 + 500 * 8) / 1e6,
        model="m-2024",
    )


def test_what_the_server_does_not_say_is_none() -> None:
    for usage in (None, {}, {"prompt_tokens": None}):
        assert read(body(usage=usage, model=None), FixedPrice(2.0, 8.0)) == Completion(text="hi", finish_reason="stop")
    assert read(body(), None).cost_usd is None


def test_refusal_and_cut_answers_are_answers() -> None:
    refused = read(body(message={"content": None, "refusal": "I cannot."}))
    assert (refused.text, refused.refusal, refused.finish_reason) == ("", "I cannot.", "stop")
    cut = read(body(message={"content": None}, choice={"finish_reason": "length"}))
    assert (cut.text, cut.finish_reason) == ("", "length")
    assert read(body(message={"content": ""})).text == ""


def test_reasoning_is_not_text() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert read(body(message={"content": parts})).text == "ab"
    assert read(body(message={"reasoning_content": "hm", "reasoning": "hm"})).text == "hi"
    assert read(body(message={"content": "<think>hm</think>hi"})).text == "<think>hm</think>hi"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (body(choices=[]), "choices"),
        (body(choice={"finish_reason": None}), "finish_reason"),
        (body(message={"content": None}, usage=None), "without content"),
        (body(message={"content": None}, usage={"prompt_tokens": 9, "completion_tokens": 0}), "without content"),
        (body(message={"content": None, "tool_calls": [{}]}, choice={"finish_reason": "tool_calls"}), "tool call"),
        (body(message={"content": 3}), "content"),
        ({"error": {"message": "no worker", "code": 502}}, "an error in a reply with status 200: no worker"),
        ({"object": "list", "data": []}, "choices"),
        ([], "not a chat completion"),
    ],
)
def test_what_is_no_completion_is_malformed(value: object, says: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        read(value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "message", [{"reasoning": "hm"}, {"reasoning_content": "hm"}, {"reasoning_content": None}, {}], ids=str
)
def test_a_finished_message_without_content_is_an_answer_without_text_if_the_model_has_worked(
    message: dict[str, Any],
) -> None:
    """A model that spends all its tokens on reasoning is paid like any other (vLLM and gpt-oss)."""
    usage = None if any(message.values()) else {"completion_tokens": 1}
    found = read(body(message={"content": None, **message}, usage=usage))
    assert (found.text, found.finish_reason) == ("", "stop")


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_length", "length"),
        ("tool_calls", "tool_calls"),
        ("Stop", "Stop"),
    ],
)
def test_the_finish_reasons_of_other_servers_are_read_as_openais(said: str, means: str) -> None:
    assert read(body(choice={"finish_reason": said})).finish_reason == means


BROKEN_OFF = {"code": 402, "message": "the provider went away"}


@pytest.mark.parametrize(
    ("value", "status", "charged"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, 429, False),
        ({"error": {"code": "402", "message": "no credits"}, "choices": []}, 402, False),
        ({"error": {"code": 503, "message": "x"}, "choices": None, "usage": {"prompt_tokens": 0}}, 503, False),
        ({"error": {"code": 502, "message": "x"}, "usage": {"prompt_tokens": 7}}, 502, True),
        (body(choice={"finish_reason": "error", "error": BROKEN_OFF}), 502, True),
        (body(choice={"finish_reason": None, "error": BROKEN_OFF}), 502, True),
        (body(choice={"finish_reason": "error"}, usage=None), 502, True),
        (body(choice={"finish_reason": "error", "error": "went away"}), 502, True),
    ],
)
def test_a_failure_that_is_reported_with_status_200_has_the_status_that_it_should_have_had(
    value: object, status: int, charged: bool
) -> None:
    with pytest.raises(ReportedError) as caught:
        parse_new(json.dumps(value).encode(), None)
    assert (caught.value.status, caught.value.charged) == (status, charged)


@pytest.mark.parametrize("code", [None, 200, 399, 600, True, 429.0, "4290", "server_error", [429]], ids=str)
def test_an_error_whose_code_is_no_status_of_an_error_is_malformed(code: object) -> None:
    with pytest.raises(MalformedBody, match="an error in a reply with status 200: odd") as caught:
        read({"error": {"code": code, "message": "odd"}})
    assert not isinstance(caught.value, ReportedError)


def test_an_answer_that_was_kept_although_it_was_broken_off_can_still_be_read() -> None:
    """Ledgers hold such answers, and what they hold must parse."""
    kept = read(body(choice={"finish_reason": "error", "error": BROKEN_OFF}))
    assert (kept.text, kept.finish_reason) == ("hi", "error")


@pytest.mark.parametrize("raw", [b"", b"<html>Bad gateway</html>", b'{"choices": [', b"\xff\xfe", b"null"])
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedBody, match="not a chat completion"):
        parse_reply(raw, None)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_raise(raw: bytes) -> None:
    with pytest.raises(MalformedBody):
        parse_reply(raw, None)


@given(st.text(), st.sampled_from(["stop", "length", "content_filter"]))
def test_any_text_comes_back_as_it_was(text: str, finish_reason: str) -> None:
    completion = read(body(message={"content": text}, choice={"finish_reason": finish_reason}))
    assert (completion.text, completion.finish_reason) == (text, finish_reason)
