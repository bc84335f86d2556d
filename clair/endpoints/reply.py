"""What an answer says: the body of an HTTP 200 reply as a `Completion`. Pure, and used again on ledger
contents.

The text is left as the model wrote it, `<think>` blocks included; reasoning in fields of its own is not text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from clair.endpoints.pricing import Price
from clair.records import Completion, Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `raw` is the body as it came, for the ledger; `completion` is what it says."""

    raw: bytes
    completion: Completion


class MalformedBody(Exception):
    """A 200 reply that is not a chat completion. The message says what it is instead."""


_MOST_TOKENS = 2**53


def _count(value: object) -> int | None:
    """A number of tokens as servers report it; None for what cannot be one, such as a negative number.

    A wrong count must neither lower the cost of a run nor lose an answer that was paid for.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_TOKENS:
        return None
    return int(value)


_Count = Annotated[int | None, BeforeValidator(_count)]


class _Part(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[object] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str


class _PromptDetails(BaseModel):
    cached_tokens: _Count = None


class _Usage(BaseModel):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None
    prompt_tokens_details: _PromptDetails | None = None


class _Body(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: _Usage | None = None
    model: str | None = None


class _Bill(BaseModel):
    usage: _Usage | None = None


class _ErrorBody(BaseModel):
    error: dict[str, object]


def parse_reply(raw: bytes, price: Price | None) -> Completion:
    """Read a chat completion. Token counts and cost are None where the server or the price list has none.

    Raises MalformedBody for anything that is not one: no JSON, no choice, no finish reason, a tool call, no
    text.
    """
    try:
        body = _Body.model_validate_json(raw)
    except ValidationError as error:
        raise MalformedBody(_what_it_is(raw, error)) from None
    choice = body.choices[0]
    usage = body.usage or _Usage()
    return Completion(
        text=_text(choice),
        finish_reason=choice.finish_reason,
        refusal=choice.message.refusal or None,
        usage=Usage(usage.prompt_tokens, usage.completion_tokens),
        cost_usd=_cost_usd(usage, price),
        model=body.model or "",
    )


def stated_cost_usd(raw: bytes, price: Price | None) -> float | None:
    """What a reply that is no answer cost, by the usage that it states; None if it states none."""
    try:
        usage = _Bill.model_validate_json(raw).usage
    except ValidationError:
        return None
    return _cost_usd(usage or _Usage(), price)


def _text(choice: _Choice) -> str:
    content, message = choice.message.content, choice.message
    if isinstance(content, list):
        content = "".join(part.text for part in content if part.type == "text")
    if message.tool_calls and not content:
        raise MalformedBody("a tool call instead of text, though no tool was offered")
    if content is None and choice.finish_reason == "stop" and not message.refusal:
        raise MalformedBody('a finished message without content ("content" is null)')
    return content or ""


def _cost_usd(usage: _Usage, price: Price | None) -> float | None:
    if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    return price.cost_usd(usage.prompt_tokens, usage.completion_tokens, cached_tokens=cached or 0)


def _what_it_is(raw: bytes, error: ValidationError) -> str:
    try:
        reported = _ErrorBody.model_validate_json(raw).error
    except ValidationError:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"not a chat completion ({place + ': ' if place else ''}{first['msg']}); it starts {raw[:80]!r}"
    return f"an error in a reply with status 200: {str(reported.get('message', reported))[:300]}"
