"""Keys and tokens in text that is about to be shown to the world.

    for secret in find_secrets(text):
        print(secret.kind, masked(text, secret))          # github ghp_… (40 characters)

Each kind is recognized by its published form, and what follows the prefix must look random: "sk-xxxxxxxx", "sk-...",
"YOUR_TOKEN_HERE" and the keys printed in vendors' manuals are no secrets. Time is linear in the text: a repetition
either has a small bound or can start only where a run of its characters starts.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Literal, NamedTuple

Kind = Literal[
    "private_key", "anthropic", "openai", "huggingface", "github", "aws_key_id", "aws_secret", "google", "slack",
    "jwt", "authorization",
]  # fmt: skip

SHOWN = 4  # characters of a secret that a message may show
FEWEST_DISTINCT = 8  # sixteen random letters or digits have fewer different ones less than once in ten thousand

_PLACEHOLDER = re.compile(
    r"(?i:example|your|placeholder|dummy|fake|redacted|insert|replace|changeme|secret|token|here|abcd|abc123|a1b2|1234)"
    r"|(.)\1{4}"
)


class Secret(NamedTuple):
    """A secret of a kind at `text[start:end]`."""

    kind: Kind
    start: int
    end: int


def find_secrets(text: str) -> list[Secret]:
    """The secrets in a text, in their order and without overlaps. Where one spot fits two kinds, the special one
    counts.
    """
    found = [
        Secret(form.kind, *match.span("key"))
        for form in _FORMS
        if any(hint in text for hint in form.hints)
        for match in form.pattern.finditer(text)
        if form.fits(match["body"])
    ]
    kept: list[Secret] = []
    for secret in sorted(found, key=lambda secret: secret.start):  # stable, and special kinds come first
        if not kept or secret.start >= kept[-1].end:
            kept.append(secret)
    return kept


def masked(text: str, secret: Secret) -> str:
    """The secret's first four characters and its length, for messages."""
    return f"{text[secret.start : secret.start + SHOWN]}… ({secret.end - secret.start} characters)"


class _Form(NamedTuple):
    """How a kind looks. One of `hints` is in every text that has it (asked first: far faster than the pattern). The
    group `key` is the secret, `body` the part of it that has to look random, as `fits` decides.
    """

    kind: Kind
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    fits: Callable[[str], bool]


def _random(body: str) -> bool:
    return len(set(body)) >= FEWEST_DISTINCT and _PLACEHOLDER.search(body) is None


def _mixed(body: str) -> bool:
    """Random, with letters and digits: a name made of words has no digits."""
    return any(map(str.isdigit, body)) and any(map(str.isalpha, body)) and _random(body)


def _mixed_case(body: str) -> bool:
    """Random, with capitals and small letters: a hexadecimal checksum has one case."""
    return any(map(str.isupper, body)) and any(map(str.islower, body)) and _random(body)


def _opaque(body: str) -> bool:
    """A bearer token that is no JSON Web Token; those are told from samples by what is in them."""
    return not body.startswith("eyJ") and _mixed(body)


def _signed(body: str) -> bool:
    """Whether the first parts of a JSON Web Token are its header and its claims, and not the well-known sample."""
    header, claims = (_decoded(part) for part in body.split(".")[:2])
    return b'"alg"' in header and claims.startswith(b"{") and b'"1234567890"' not in claims


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        return b""


_ASSIGN = r"[\"'\\\s]{0,4}(?::|=>?)[\"'\\\s]{0,4}"
_BREAK = r"(?:\\[nr]|\s){1,4}"  # also as JSON writes it

_FORMS = (
    _Form(
        "private_key",
        ("PRIVATE KEY",),
        re.compile(
            r"(?P<key>-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            rf"(?:{_BREAK}[A-Za-z-]{{1,20}}: [^\n\\]{{1,80}}){{0,4}}{_BREAK}(?P<body>[A-Za-z0-9+/=]{{40,80}}))"
        ),
        _random,
    ),
    _Form(
        "anthropic",
        ("sk-ant-",),
        re.compile(r"(?<![A-Za-z0-9_-])(?P<key>sk-ant-[a-z]{2,8}\d\d-(?P<body>[A-Za-z0-9_-]{40,}))"),
        _mixed,
    ),
    _Form(
        "openai",
        ("sk-proj-", "sk-svcacct-", "sk-admin-", "sk-None-", "sk-or-v1-"),
        re.compile(r"(?<![A-Za-z0-9_-])(?P<key>sk-(?:proj|svcacct|admin|None|or-v1)-(?P<body>[A-Za-z0-9_-]{40,}))"),
        _mixed,
    ),
    _Form(
        "openai",
        ("sk-",),
        re.compile(r"(?<![A-Za-z0-9_-])(?P<key>sk-(?P<body>[A-Za-z0-9]{32,}))(?![A-Za-z0-9_-])"),
        _mixed,
    ),
    _Form(
        "huggingface",
        ("hf_",),
        re.compile(r"(?<![A-Za-z0-9_])(?P<key>hf_(?P<body>[A-Za-z0-9]{34,40}))(?![A-Za-z0-9_])"),
        _mixed_case,
    ),
    _Form(
        "github",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
        re.compile(r"(?<![A-Za-z0-9_])(?P<key>gh[pousr]_(?P<body>[A-Za-z0-9]{36,255}))(?![A-Za-z0-9_])"),
        _mixed,
    ),
    _Form(
        "github",
        ("github_pat_",),
        re.compile(r"(?<![A-Za-z0-9_])(?P<key>github_pat_(?P<body>[A-Za-z0-9]{22}_[A-Za-z0-9]{40,255}))"),
        _mixed,
    ),
    _Form(
        "aws_key_id",
        ("AKIA", "ASIA"),
        # A word in capitals may start with ASIA, so one digit must follow; AKIA starts no word.
        re.compile(r"(?<![A-Za-z0-9])(?P<key>(?:AKIA|ASIA(?=[A-Z]{0,15}[2-7]))(?P<body>[A-Z2-7]{16}))(?![A-Za-z0-9])"),
        _random,
    ),
    _Form(
        "aws_secret",
        ("ecret", "ECRET"),
        re.compile(
            r"(?i:secret[_ -]?(?:access[_ -]?)?key)"
            rf"{_ASSIGN}(?P<key>(?P<body>[A-Za-z0-9/+]{{40}}))(?![A-Za-z0-9/+=])"
        ),
        _mixed_case,
    ),
    _Form(
        "google",
        ("AIza",),
        re.compile(r"(?<![A-Za-z0-9_-])(?P<key>AIza(?P<body>[A-Za-z0-9_-]{35}))(?![A-Za-z0-9_-])"),
        _mixed_case,
    ),
    _Form(
        "slack",
        ("xox",),
        re.compile(r"(?<![A-Za-z0-9-])(?P<key>xox[abeoprs]-(?P<body>[A-Za-z0-9-]{20,255}))"),
        _mixed,
    ),
    _Form(
        "jwt",
        ("eyJ",),
        re.compile(
            r"(?<![A-Za-z0-9_-])(?P<key>(?P<body>eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}))"
        ),
        _signed,
    ),
    _Form(
        "authorization",
        ("uthorization", "UTHORIZATION"),
        re.compile(rf"(?i:authorization){_ASSIGN}(?i:bearer)\s{{1,3}}(?P<key>(?P<body>[A-Za-z0-9._~+/=-]{{20,}}))"),
        _opaque,
    ),
)
