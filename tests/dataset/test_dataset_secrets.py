"""What is taken for a key and what is not. The keys are made of random characters; none was ever valid."""

from __future__ import annotations

import base64
import json
import random
import string
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clair.dataset.secrets import Secret, find_secrets, masked

ALNUM = string.ascii_letters + string.digits


def drawn(alphabet: str, length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(alphabet, k=length))


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


JWT = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': 'kim', 'exp': 1})}.{drawn(ALNUM, 43, 1)}"
PEM_BODY = drawn(ALNUM + "+/", 64, 2)

KEYS = {
    "openai": f"sk-{drawn(ALNUM, 48, 3)}",
    "openai project": f"sk-proj-{drawn(ALNUM + '_-', 156, 4)}",
    "openai service": f"sk-svcacct-{drawn(ALNUM + '_-', 120, 5)}",
    "openai hex": f"sk-{drawn('0123456789abcdef', 32, 6)}",
    "anthropic": f"sk-ant-api03-{drawn(ALNUM + '_-', 93, 7)}AA",
    "huggingface": f"hf_{drawn(string.ascii_letters, 34, 8)}",
    "github": f"ghp_{drawn(ALNUM, 36, 9)}",
    "github fine": f"github_pat_{drawn(ALNUM, 22, 10)}_{drawn(ALNUM, 59, 11)}",
    "aws_key_id": f"AKIA{drawn(string.ascii_uppercase + '234567', 16, 12)}",
    "google": f"AIza{drawn(ALNUM + '_-', 35, 13)}",
    "slack": f"xoxb-{drawn(string.digits, 12, 14)}-{drawn(string.digits, 13, 15)}-{drawn(ALNUM, 24, 16)}",
    "jwt": JWT,
}
"""Kind (and a word more) -> a key of that form."""


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize(
    "form", ["{}", "key={}", 'x = "{}";', "({}).", "The key is {}, keep it.", '{{"k": "{}"}}', "\n{}\n"]
)
def test_a_key_is_found_where_it_stands(name: str, form: str):
    text = form.format(KEYS[name])
    start = text.index(KEYS[name])
    assert find_secrets(text) == [Secret(name.split()[0], start, start + len(KEYS[name]))]


def test_the_value_of_an_assigned_secret_is_found():
    value = drawn(ALNUM + "/+", 40, 17)
    for text in (
        f"aws_secret_access_key = {value}",
        f"AWS_SECRET_ACCESS_KEY={value}\n",
        f'"SecretAccessKey": "{value}"',
        json.dumps(json.dumps({"secret_key": value})),
    ):
        (secret,) = find_secrets(text)
        assert (secret.kind, text[secret.start : secret.end]) == ("aws_secret", value)


def test_the_token_of_an_authorization_header_is_found():
    token = drawn(ALNUM + "._~+/-", 40, 18)
    for text in (
        f"Authorization: Bearer {token}",
        f'-H "authorization: bearer {token}"',
        f'"Authorization": "Bearer {token}"',
    ):
        (secret,) = find_secrets(text)
        assert (secret.kind, text[secret.start : secret.end]) == ("authorization", token)


@pytest.mark.parametrize("name", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
@pytest.mark.parametrize("line", ["\n", "\r\n", r"\n"])
def test_a_private_key_is_found_also_inside_json(name: str, line: str):
    text = line.join([f"-----BEGIN {name}PRIVATE KEY-----", PEM_BODY, PEM_BODY, f"-----END {name}PRIVATE KEY-----"])
    (secret,) = find_secrets(f"x {text} y")
    assert (secret.kind, secret.start) == ("private_key", 2)


def test_a_private_key_with_headers_is_found():
    head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123"
    (secret,) = find_secrets(f"-----BEGIN RSA PRIVATE KEY-----\n{head}\n\n{PEM_BODY}\n")
    assert secret.kind == "private_key"


def test_one_spot_is_reported_once_and_as_the_special_kind():
    text = f"Authorization: Bearer {KEYS['anthropic']} and Authorization: Bearer {JWT}"
    assert [secret.kind for secret in find_secrets(text)] == ["anthropic", "jwt"]


@pytest.mark.parametrize(
    "text",
    [
        "sk-... sk-xxxxxxxx sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "OPENAI_API_KEY=sk-your-key-here-0123456789abcdefghijklmnop",
        "sk-1234567890abcdef1234567890abcdef",
        "sk-proj-abc123def456ghi789jkl012mno345pqr678stu901vwx234yz",
        "sk-ant-api03-XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
        '<div class="sk-fading-circle sk-circle12 sk-estimator-doc-link-fitted-2"></div>',
        "the task-force-of-the-risk-management-division-number-12-of-the-city",
        "hf_hub_download hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx hf_token=hf_...",
        "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "secret_key = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'",
        "ASIAPACIFICECONOMICS is a region",
        "AIzaSyYOUR_API_KEY_HERE_0123456789abcdefgh",
        "xoxb-your-token-goes-here-2024-01-01",
        "Authorization: Bearer <token>; Authorization: Bearer YOUR_ACCESS_TOKEN_1; Authorization: Bearer $TOKEN",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA... (your key here)\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\n" + PEM_BODY + "\n-----END PUBLIC KEY-----",
        # the sample of jwt.io, alone and in a header
        f"Authorization: Bearer {part({'alg': 'HS256'})}.{part({'sub': '1234567890', 'name': 'J'})}.{'SflKxwRJSM' * 4}",
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{'z' * 30}.{drawn(ALNUM, 43, 19)}",
        "data:image/png;base64," + drawn(ALNUM + "+/", 2000, 20),
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_ordinary_text_and_placeholders_are_not_keys(text: str):
    assert find_secrets(text) == []


@given(st.text(alphabet=string.ascii_letters + " .,'\n-_"))
def test_text_without_digits_and_keys_is_clean(text: str):
    assert [secret for secret in find_secrets(text) if secret.kind != "huggingface"] == []


@given(st.sampled_from(sorted(KEYS)), st.text(max_size=40), st.text(max_size=40))
def test_a_key_between_blanks_is_found_in_any_text(name: str, before: str, after: str):
    text = f"{before} {KEYS[name]} {after}"
    spans = [(secret.start, secret.end) for secret in find_secrets(text)]
    assert (len(before) + 1, len(before) + 1 + len(KEYS[name])) in spans


@given(
    st.lists(st.sampled_from([*KEYS.values(), "sk-", "eyJ", ".", " ", "Authorization: Bearer ", "x", "\n"])).map(
        "".join
    )
)
def test_secrets_come_in_order_and_do_not_overlap(text: str):
    found = find_secrets(text)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(0 <= secret.start < secret.end <= len(text) for secret in found)


@given(st.sampled_from(sorted(KEYS)))
def test_a_message_shows_four_characters_at_most(name: str):
    text = f"a {KEYS[name]} b"
    (secret,) = find_secrets(text)
    shown = masked(text, secret)
    assert shown == f"{KEYS[name][:4]}… ({len(KEYS[name])} characters)"
    assert KEYS[name][:5] not in shown


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    ["eyJ", "sk-", "sk-proj-", "eyJaaaaaaaaaaaa.", "-----BEGIN RSA PRIVATE KEY-----", "secret key = ", "AIza", "xoxb-",
     "Authorization: Bearer ", "Authorization: ", "a", "A", "hf_", "ghp_", "github_pat_", "AKIA", "\\n",
     " ", "sk-ant-api03-"],
)  # fmt: skip
def test_a_megabyte_of_beginnings_takes_no_time(piece: str):
    """Quadratic time would take minutes on this, linear time a few hundredths of a second."""
    find_secrets(piece * (1_000_000 // len(piece)))
