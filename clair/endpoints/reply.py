"""What an answer says: the body of an HTTP 200 reply as a `Completion`. Pure, and used again on ledger
contents.

The text is left as the model wrote it, `<think>` blocks included; reasoning in fields of its own is not text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from clair.endpoints.pricing import Price
from clair.records import Completion, Usage


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `raw` is the body as it came, for the ledger; `completion` is what it says."""

    raw: bytes
    completion: Completion


class MalformedBody(Exception):
    """A 200 reply that is not a chat completion. The message says what it is instead."""


class ReportedError(MalformedBody):
    """A 200 reply in which the server says that it failed, as routers do once they have begun to answer.

    `status` is what it would have answered with, `fields` is its error; `charged` whether the model may have worked.
    """

    def __init__(self, status: int, fields: Mapping[str, object], *, charged: bool) -> None:
        super().__init__(_reported(fields))
        self.status = status
        self.fields = fields
        self.charged = charged


ENDS: Mapping[str, str] = {
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
}
"""Finish reasons in the words of other servers (Together, watsonx, Anthropic, Mistral), and OpenAI's for them."""

_FAILED = "error"  # the finish reason of an answer that its server broke off (OpenRouter)
_UPSTREAM = 502  # what a failure behind the server comes to, if that server had not begun to answer
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
    reasoning: object = None
    reasoning_content: object = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: Annotated[str, AfterValidator(lambda said: ENDS.get(said, said))]


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


class _FailedChoice(BaseModel):
    finish_reason: object = None
    error: dict[str, object] | None = None


class _ErrorBody(_Bill):
    choices: list[_FailedChoice] | None = None
    error: dict[str, object] | None = None


def parse_reply(raw: bytes, price: Price | None) -> Completion:
    """Read a chat completion. Token counts and cost are None where the server or the price list has none.

    Raises MalformedBody for anything that is not one: no JSON, no choice, no finish reason, a tool call, no
    text and no sign of work either.
    """
    try:
        body = _Body.model_validate_json(raw)
    except ValidationError as error:
        raise _instead(raw, error) from None
    choice = body.choices[0]
    usage = body.usage or _Usage()
    return Completion(
        text=_text(choice, usage),
        finish_reason=choice.finish_reason,
        refusal=choice.message.refusal or None,
        usage=Usage(usage.prompt_tokens, usage.completion_tokens),
        cost_usd=_cost_usd(usage, price),
        model=body.model or "",
    )


def parse_new(raw: bytes, price: Price | None) -> Completion:
    """`parse_reply` of what has just come in: an answer that the server broke off is not worth keeping.

    Raises MalformedBody.
    """
    completion = parse_reply(raw, price)
    if completion.finish_reason == _FAILED:
        body = _error_body(raw)
        raise _broken_off(body) or ReportedError(_UPSTREAM, body.error or {}, charged=True)
    return completion


def stated_cost_usd(raw: bytes, price: Price | None) -> float | None:
    """What a reply that is no answer cost, by the usage that it states; None if it states none."""
    try:
        usage = _Bill.model_validate_json(raw).usage
    except ValidationError:
        return None
    return _cost_usd(usage or _Usage(), price)


def _text(choice: _Choice, usage: _Usage) -> str:
    content, message = choice.message.content, choice.message
    if isinstance(content, list):
        content = "".join(part.text for part in content if part.type == "text")
    if message.tool_calls and not content:
        raise MalformedBody("a tool call instead of text, though no tool was offered")
    has_worked = usage.completion_tokens or message.reasoning or message.reasoning_content
    if content is None and choice.finish_reason == "stop" and not message.refusal and not has_worked:
        raise MalformedBody('a finished message without content ("content" is null)')
    return content or ""


def _cost_usd(usage: _Usage, price: Price | None) -> float | None:
    if price is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else None
    return price.cost_usd(usage.prompt_tokens, usage.completion_tokens, cached_tokens=cached or 0)


def _instead(raw: bytes, error: ValidationError) -> MalformedBody:
    """What a reply is that is no completion."""
    body = _error_body(raw)
    broken_off = _broken_off(body)
    if broken_off is not None:
        return broken_off
    if body.error is not None:
        status = _status(body.error.get("code"))
        if status is None or body.choices:
            return MalformedBody(_reported(body.error))
        return ReportedError(status, body.error, charged=_states_tokens(body))
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return MalformedBody(
        f"not a chat completion ({place + ': ' if place else ''}{first['msg']}); it starts {raw[:80]!r}"
    )


def _error_body(raw: bytes) -> _ErrorBody:
    try:
        return _ErrorBody.model_validate_json(raw)
    except ValidationError:
        return _ErrorBody()


def _broken_off(body: _ErrorBody) -> ReportedError | None:
    """The failure of an answer that had begun."""
    for choice in body.choices or ():
        if choice.error and choice.finish_reason in (None, _FAILED):
            return ReportedError(_UPSTREAM, choice.error, charged=True)
    return None


def _status(code: object) -> int | None:
    """The HTTP status that an error's code is, if it is one of an error."""
    if isinstance(code, str) and code.isdecimal():
        code = int(code[:4])
    return code if isinstance(code, int) and 400 <= code < 600 else None


def _states_tokens(body: _ErrorBody) -> bool:
    return body.usage is not None and bool(body.usage.prompt_tokens or body.usage.completion_tokens)


def _reported(fields: Mapping[str, object]) -> str:
    return f"an error in a reply with status 200: {str(fields.get('message', fields))[:300]}"
