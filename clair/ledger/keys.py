"""Content keys: the name under which an answer is kept, made from everything that shaped the question.

Concurrency, timeouts, retries and API keys are no part of it, so changing them finds the same answers again. Nor are
the servers of today: `identity` is the name that a run gave to the model when it first asked it, model and base URL of
then, and keeps on other replicas, ports and machines (`endpoints/naming.py` says why not the model's name alone).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def canonical_json(value: object) -> bytes:
    """One spelling per JSON value: sorted keys, no spaces, UTF-8 in which even lone surrogates have bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


def content_key(*, identity: str, body: Mapping[str, object], sample_index: int) -> bytes:
    """32 bytes that name a question: whom (`identity`), what is sent, which sample of it."""
    question = {"identity": identity, "body": body, "sample_index": sample_index}
    return hashlib.sha256(canonical_json(question)).digest()
