"""Fuzzing what servers send: bodies, headers. And what users type as a model. Pure functions, no doubles."""

from __future__ import annotations

import json
import math
import re

from hypothesis import strategies as st

from clair.endpoints.classify import error_text, retry_after_s
from clair.endpoints.pricing import FixedPrice
from clair.endpoints.reply import MalformedBody, parse_new, parse_reply
from clair.endpoints.spec import parse_spec
from clair.errors import UsageError
from tests.chaos.fuzzing import JSON, SCALARS, fuzz, mutated, result_of

PRICE = FixedPrice(1.0, 2.0)


def either(likely: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Mostly what belongs there."""
    return likely | likely | JSON


MESSAGES = st.fixed_dictionaries(
    {"content": either(st.text(max_size=50))},
    optional={
        "refusal": either(st.text(max_size=20)),
        "tool_calls": JSON,
        "role": JSON,
        "reasoning_content": JSON,
    },
)
CHOICES = st.fixed_dictionaries(
    {"message": either(MESSAGES)},
    optional={"finish_reason": either(st.sampled_from(["stop", "length", "eos", "error"])), "error": JSON},
)
USAGE = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": SCALARS,
        "completion_tokens": SCALARS,
        "prompt_tokens_details": either(st.fixed_dictionaries({"cached_tokens": SCALARS})),
    },
)
BODIES = st.fixed_dictionaries(
    {"choices": either(st.lists(CHOICES, max_size=3))}, optional={"usage": either(USAGE), "model": JSON, "error": JSON}
)
RAW = BODIES.map(lambda body: json.dumps(body).encode())


@fuzz(raw=RAW | mutated(RAW) | st.binary(max_size=200))
def test_a_body_is_a_completion_or_malformed(raw: bytes) -> None:
    """And the same the second time, with counts that the ledger can hold, a cost that is one, text that can be sent."""
    found = result_of(lambda: parse_reply(raw, PRICE), MalformedBody)
    new = result_of(lambda: parse_new(raw, PRICE), MalformedBody)
    assert isinstance(new, MalformedBody) or new == found
    if isinstance(found, MalformedBody):
        assert len(str(found)) < 2000
        return
    assert parse_reply(raw, PRICE) == found
    for count in (found.usage.prompt_tokens, found.usage.completion_tokens):
        assert count is None or 0 <= count < 2**63
    assert found.cost_usd is None or (math.isfinite(found.cost_usd) and found.cost_usd >= 0)
    for text in (found.text, found.refusal or "", found.finish_reason, found.model):
        text.encode("utf-8")


HEADERS = st.sampled_from(["0", "1.5", "-1", "nan", "inf", "1e400", "Wed, 21 Oct 2015 07:28:00 GMT"]) | st.text(
    max_size=40
)


@fuzz(after=HEADERS, milliseconds=HEADERS, date=HEADERS)
def test_a_wait_is_a_number_of_seconds_or_none(after: str, milliseconds: str, date: str) -> None:
    for headers in ({"retry-after": after, "date": date}, {"retry-after": after}, {"retry-after-ms": milliseconds}):
        wait_s = retry_after_s(headers)
        assert wait_s is None or (math.isfinite(wait_s) and wait_s >= 0)


DATES = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Wed", "", "x"]),
    *[st.integers(-5, 99999)],
    st.sampled_from(["Oct", "Feb", "10", "?"]),
    *[st.integers(-5, 99999)] * 4,
    st.sampled_from(["GMT", "+0000", "-9999", "+99999999999", "EST", ""]),
)


@fuzz(after=DATES, date=DATES)
def test_a_date_to_wait_for_is_a_number_of_seconds_or_none(after: str, date: str) -> None:
    wait_s = retry_after_s({"retry-after": after, "date": date})
    assert wait_s is None or (math.isfinite(wait_s) and wait_s >= 0)


@fuzz(body=JSON | st.fixed_dictionaries({"message": JSON}))
def test_the_text_of_an_error_is_one_short_line(body: object) -> None:
    text = error_text(body)
    assert len(text) <= 300
    assert len(text.splitlines()) <= 1


SPECS = st.lists(
    st.sampled_from(
        [
            "@",
            ",",
            "http://",
            "https://",
            "//",
            "host",
            ":8000",
            "/v1",
            "user:pw@",
            "[::1]",
            "?a=b",
            "#",
            " ",
            "m",
            "sandbox",
            "\n",
        ]
    )
    | st.text(max_size=5),
    max_size=7,
).map("".join)


@fuzz(text=SPECS)
def test_a_models_name_and_place_are_understood_or_refused(text: str) -> None:
    """What is understood holds no password: `identity` goes into ledger and card."""
    try:
        spec = parse_spec(text, env={})
    except UsageError:
        return
    assert not re.search("//[^/]*pw@", spec.identity)
    for url in spec.base_urls:
        assert url.startswith(("http://", "https://"))
