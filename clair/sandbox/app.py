"""The sandbox as an OpenAI-compatible application: one function from request to response, no socket in sight.

    app = SandboxApp()
    status, body = await app.respond("POST", "/v1/chat/completions", b'{"model": "sandbox-teacher", ...}')

`transport` puts it behind an httpx client in the same process, `server` behind a port. The models are
`sandbox-student` (the bundled student or any other checkpoint) and `sandbox-teacher` (the exact solver).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, Field, ValidationError

from clair.records import Message
from clair.sandbox.batching import Batcher
from clair.sandbox.reviser import answer_as_teacher

if TYPE_CHECKING:
    from clair.sandbox.student import Generated, Sample, Student

STUDENT, TEACHER = "sandbox-student", "sandbox-teacher"
CREATED = 0  # a constant, so that the same request and seed give the same bytes
_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])")


class _TextPart(BaseModel):
    type: Literal["text"]
    text: str


class _Turn(BaseModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[_TextPart] = ""

    def message(self) -> Message:
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return Message(role="system" if self.role == "developer" else self.role, content=text)


class ChatRequest(BaseModel):
    """What is understood of a chat completion request; other members are ignored, as other servers do."""

    model: str
    messages: list[_Turn] = Field(min_length=1)
    n: int = Field(1, ge=1, le=128)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: Literal[False] | None = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class Response(NamedTuple):
    """An HTTP status and the bytes of a JSON body."""

    status: int
    body: bytes


class _Choice(NamedTuple):
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


class _Refused(Exception):
    """A request that is answered with an error body in OpenAI's form."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


class SandboxApp:
    """`student` is a folder or hub id in place of the bundled student. `faults` is the share of flawed first replies
    of the teacher, drawn by `seed`."""

    def __init__(self, *, student: str | Path | None = None, faults: float = 0.04, seed: int = 0) -> None:
        self.faults = faults
        self.seed = seed
        self._path = student
        self._student: Student | None = None
        self._batcher: Batcher[Sample, Generated | ValueError] = Batcher(self._generate)

    async def respond(self, method: str, path: str, body: bytes) -> Response:
        """Answer one request. Never raises for what the request holds."""
        try:
            return Response(200, _json(await self._route(method, path.rstrip("/"), body)))
        except _Refused as refused:
            return Response(refused.status, _json(refused.body))

    def close(self) -> None:
        """End the student's thread."""
        self._batcher.close()

    async def _route(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        if path == "/v1/models" and method == "GET":
            return {"object": "list", "data": [_model(STUDENT), _model(TEACHER)]}
        if path.startswith("/v1/models/") and method == "GET":
            return _model(_known(path.removeprefix("/v1/models/")))
        if path == "/v1/chat/completions" and method == "POST":
            return await self._chat(_parsed(body))
        raise _Refused(
            404, f"Unknown request URL: {method} {path}. The sandbox has /v1/models and /v1/chat/completions."
        )

    async def _chat(self, request: ChatRequest) -> dict[str, Any]:
        answer = self._as_student if _known(request.model) == STUDENT else self._as_teacher
        choices = await asyncio.gather(*(answer(request, index) for index in range(request.n)))
        choices = [_stopped(choice, request.stop) for choice in choices]
        return _completion(request, choices)

    async def _as_teacher(self, request: ChatRequest, index: int) -> _Choice:
        del index  # the teacher gives the same answer every time
        messages = [turn.message() for turn in request.messages]
        reply = answer_as_teacher(messages, faults=self.faults, seed=self.seed)
        pieces = _PIECE.findall(reply.text)
        prompt_tokens = sum(len(_PIECE.findall(message["content"])) for message in messages)
        if request.limit is not None and len(pieces) > request.limit:
            pieces = pieces[: request.limit]
            return _Choice("".join(pieces), "length", prompt_tokens, len(pieces))
        return _Choice(reply.text, reply.finish_reason, prompt_tokens, len(pieces))

    async def _as_student(self, request: ChatRequest, index: int) -> _Choice:
        from clair.sandbox.student import Sample

        generated = await self._batcher.answer(
            Sample(
                [turn.message() for turn in request.messages],
                temperature=1.0 if request.temperature is None else request.temperature,
                top_p=1.0 if request.top_p is None else request.top_p,
                seed=None if request.seed is None else f"{request.seed}/{index}",
                max_tokens=request.limit,
            )
        )
        if isinstance(generated, ValueError):
            raise _Refused(400, str(generated), code="context_length_exceeded", param="messages")
        return _Choice(*generated)

    def _generate(self, samples: Any) -> list[Generated | ValueError]:
        """On the batcher's thread. A prompt that is too long fails alone, not with its neighbors."""
        from clair.sandbox.student import PromptTooLong, Student

        if self._student is None:
            self._student = Student.load(self._path)
        results: list[Generated | ValueError | None] = []
        for sample in samples:
            try:
                self._student.encode(sample.messages)
                results.append(None)
            except PromptTooLong as error:
                results.append(error)
        fitting = iter(self._student.generate([s for s, r in zip(samples, results, strict=True) if r is None]))
        return [next(fitting) if result is None else result for result in results]


def _parsed(body: bytes) -> ChatRequest:
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if where == "stream":
            raise _Refused(400, "The sandbox does not stream: leave `stream` out.", param="stream") from error
        raise _Refused(400, f"{where or 'body'}: {first['msg']}", param=where or None) from error


def _known(model: str) -> str:
    if model not in (STUDENT, TEACHER):
        message = f"The model `{model}` does not exist. The sandbox has {STUDENT} and {TEACHER}."
        raise _Refused(404, message, code="model_not_found", param="model")
    return model


def _stopped(choice: _Choice, stop: str | list[str] | None) -> _Choice:
    """The choice cut before the first of the stop texts."""
    texts = [stop] if isinstance(stop, str) else stop or []
    places = [place for text in texts if text and (place := choice.text.find(text)) >= 0]
    return choice._replace(text=choice.text[: min(places)], finish_reason="stop") if places else choice


def _completion(request: ChatRequest, choices: list[_Choice]) -> dict[str, Any]:
    written = sum(choice.completion_tokens for choice in choices)
    digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()[:24]
    return {
        "id": f"chatcmpl-{digest}",
        "object": "chat.completion",
        "created": CREATED,
        "model": request.model,
        "choices": [
            {
                "index": index,
                "message": {"role": "assistant", "content": choice.text, "refusal": None},
                "finish_reason": choice.finish_reason,
                "logprobs": None,
            }
            for index, choice in enumerate(choices)
        ],
        "usage": {
            "prompt_tokens": choices[0].prompt_tokens,
            "completion_tokens": written,
            "total_tokens": choices[0].prompt_tokens + written,
        },
    }


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "clair"}


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
