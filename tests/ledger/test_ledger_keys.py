"""Content keys: equal for equal questions, different for different ones. Pure; nothing is doubled."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clair.ledger import canonical_json, content_key

QUESTION: dict[str, Any] = {
    "identity": "m@http://host/v1",
    "body": {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0.7},
    "sample_index": 0,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_the_key_is_the_sha256_of_the_canonical_question():
    text = (
        '{"body":{"messages":[{"content":"Grüße","role":"user"}],"model":"m"},'
        '"identity":"m@http://h/v1","sample_index":2}'
    )
    body = {"model": "m", "messages": [{"role": "user", "content": "Grüße"}]}
    key = content_key(identity="m@http://h/v1", body=body, sample_index=2)
    assert key == hashlib.sha256(text.encode()).digest()


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_the_order_of_keys_does_not_matter(body: dict[str, Any]):
    reversed_body = dict(reversed(body.items()))
    assert content_key(**{**QUESTION, "body": body}) == content_key(**{**QUESTION, "body": reversed_body})


@pytest.mark.parametrize(
    "other",
    [
        {"identity": "m@http://other/v1"},
        {"sample_index": 1},
        {"body": {**QUESTION["body"], "model": "n"}},
        {"body": {**QUESTION["body"], "temperature": 0.8}},
        {"body": {**QUESTION["body"], "messages": [{"role": "user", "content": "Hi "}]}},
        {"body": {**QUESTION["body"], "messages": [{"role": "system", "content": "Hi"}]}},
        {"body": {**QUESTION["body"], "seed": None}},
    ],
)
def test_every_part_of_the_question_matters(other: dict[str, Any]):
    assert content_key(**{**QUESTION, **other}) != content_key(**QUESTION)


def test_lone_surrogates_have_keys_of_their_own():
    keys = {content_key(identity="m", body={"x": text}, sample_index=0) for text in ("\ud83d", "\ude00", "😀", "?")}
    assert len(keys) == 4


def test_canonical_json_has_no_spaces_and_keeps_unicode():
    assert canonical_json({"b": [1, None, "é"], "a": {"d": True, "c": 0.5}}) == (
        '{"a":{"c":0.5,"d":true},"b":[1,null,"é"]}'.encode()
    )
