"""Conversations and canonical JSON. Everything is real."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.sources.canonical import canonical_json, metadata_json
from clair.sources.chat import check_text, to_messages
from clair.sources.columns import Layout, decide, extract, find_keys
from clair.sources.record import BadRow


def test_openai_messages_with_text_parts():
    value = [
        {"role": "system", "content": "be brief", "name": None},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    assert to_messages(value) == (
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "a\nb"},
    )


def test_sharegpt_turns_also_beside_empty_openai_fields():
    value = [
        {"from": "system", "value": "s", "role": None},
        {"from": "human", "value": "q"},
        {"from": "gpt", "value": "a"},
        {"from": "user", "value": "r"},
    ]
    assert [message["role"] for message in to_messages(value)] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"role": "user"}, "expected a list of messages, got an object"),
        (["hi"], "message 1 must be an object with role and content, got a string"),
        ([{"role": "user", "content": None}], "the content of message 1 must be text, got null"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "message 1 has a part that is not text"),
        ([{"role": "user", "content": ["x"]}], "message 1 has a part that is not text"),
        ([{"role": "human", "content": "x"}], "message 1 has the role 'human'"),
        ([{"from": "robot", "value": "x"}], "message 1 has the role 'robot'"),
        ([{"content": "x"}], "message 1 has the role None"),
        ([{"role": "assistant", "content": "x", "tool_calls": [{}]}], "message 1 calls a tool"),
    ],
)
def test_other_turns_are_bad(value, message):
    with pytest.raises(BadRow, match=message):
        to_messages(value)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "the prompt is empty"),
        ([{"role": "system", "content": "x"}], "must end with a user turn, got 'system'"),
        ([{"role": "user", "content": "\n"}], "the prompt is empty"),
    ],
)
def test_a_prompt_ends_with_something_the_user_says(messages, reason):
    with pytest.raises(BadRow, match=reason):
        extract({"messages": messages}, Layout("messages"))


def test_a_shared_conversation_needs_an_answer_and_a_question():
    layout = Layout("messages", "messages")
    with pytest.raises(BadRow, match="does not end with an assistant turn"):
        extract({"messages": [{"role": "user", "content": "x"}]}, layout)
    with pytest.raises(BadRow, match="the response is empty"):
        extract({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": " "}]}, layout)
    with pytest.raises(BadRow, match="must end with a user turn, got 'assistant'"):
        extract({"messages": [{"role": "assistant", "content": "x"}] * 2}, layout)


@pytest.mark.parametrize("text", ["a\x00", "\udc80"])
def test_what_cannot_be_sent_is_bad(text):
    with pytest.raises(BadRow):
        check_text(["fine", text])


def test_the_first_record_with_a_candidate_decides():
    records = [{"id": 1}, {"prompt": None, "query": "q"}, {"prompt": "p"}]
    assert decide(records, prompt_column=None, response_column=None) == Layout("query")
    chat = [{"prompt": [{"role": "user", "content": "x"}], "task": 3}]
    assert decide(chat, prompt_column=None, response_column=None) == Layout("prompt")


def test_paths_may_lead_through_keys_with_dots():
    record = {"a": {"b.c": {"d": 1}}, "a.b": 2}
    assert find_keys(record, "a.b") == ("a.b",)
    assert find_keys(record, "a.b.c.d") == ("a", "b.c", "d")
    assert find_keys(record, "a.x") is None
    assert find_keys(record, "") is None


def test_metadata_is_valid_json_whatever_the_columns_hold():
    columns = {
        "b": math.nan,
        "a": [math.inf, {"x": (1, True, None)}],
        "price": Decimal("1.50"),
        "odd": object(),
        "half": "\ud800!",
    }
    assert metadata_json(columns) == (
        '{"a":[null,{"x":[1,true,null]}],"b":null,"half":"\ufffd!","odd":"<object>","price":"1.50"}'
    )


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(st.characters(exclude_categories=())), json_values, max_size=4))
def test_metadata_of_anything_parses_and_encodes(columns):
    text = metadata_json(columns)
    assert isinstance(json.loads(text, parse_constant=pytest.fail), dict)
    text.encode("utf-8")


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans()))
def test_canonical_json_forgets_the_order_of_keys_and_nothing_else(value):
    reordered = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(reordered)
    assert json.loads(canonical_json(value)) == value
