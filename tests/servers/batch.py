"""A server that speaks OpenAI's Batch API beside chat completions, with the faults of real ones, for tests.

    with BatchServer(world.answer, models=("target", "reviser")) as server:
        ...  # POST, GET and DELETE /v1/files, /v1/files/ID/content, /v1/batches, /v1/batches/ID and .../cancel
    assert server.submitted == Counter({custom_id: 1, ...})

Real HTTP on a TCP port, driven by the real `openai` client. A batch takes one status further with each look at it
(validating, in_progress, finalizing, its end), so tests wait for nothing. `endings` says how the batches end, in the
order of their making, and `faults` what happens to calls: both run out, after which everything goes well. It checks
what OpenAI checks: the purpose of the file, one model a file, unique custom_ids, the limits on requests and enqueued
tokens.

`python -m tests.servers.batch` serves the world of `tests.servers.world`, for trying the command by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers.chat import Answer, ChatServer, Fault, Reply, _completion, _Connection, echo, error

STAGES = ("validating", "in_progress", "finalizing")


@dataclass(frozen=True, slots=True)
class Ending:
    """How one batch ends, and what its files look like.

    `answered` is the share of requests with an answer; `failures` maps the place of a request in the file to (status,
    error body), or to None for a line that is missing. `errors` are those of a batch that fails as a whole. `seed`
    shuffles the lines, `twice` repeats each, `strangers` adds lines about nothing that was asked, `cut` drops the last
    bytes of the output file, `hidden` keeps all answers out of it.
    """

    status: str = "completed"
    answered: float = 1.0
    failures: dict[int, tuple[int, dict[str, Any]] | None] = field(default_factory=dict)
    errors: tuple[dict[str, Any], ...] = ()
    seed: int | None = None
    twice: bool = False
    strangers: int = 0
    cut: int = 0


@dataclass(slots=True)
class _Batch:
    id: str
    file_id: str
    lines: list[dict[str, Any]]
    metadata: dict[str, str]
    ending: Ending
    looks: int = 0
    unseen: int = 0
    ended: bool = False
    output: str | None = None
    errors: str | None = None
    completed: int = 0
    failed: int = 0
    cancelled: bool = False


CallFault = Callable[[str], Fault | None]


class BatchServer(ChatServer):
    """See the module's docstring.

    `invisible_looks`: so many lists and retrievals do not show a batch that was just made. `most_tokens` may be
    enqueued, four bytes each. `call_fault(call, number)` is asked about each call to the Batch API, named like "POST
    /files", before it is carried out and, with " after" at the end, when its reply is about to be sent.
    """

    def __init__(
        self,
        answer: Answer = echo,
        *,
        endings: Iterable[Ending] = (),
        invisible_looks: int = 0,
        most_tokens: int | None = None,
        call_fault: CallFault | None = None,
        batches: bool = True,
        page: int = 100,
        looks_until_done: int = 3,
        **options: Any,
    ) -> None:
        super().__init__(answer, **options)
        self.endings = deque(endings)
        self.invisible_looks = invisible_looks
        self.most_tokens = most_tokens
        self.call_fault = call_fault or (lambda call: None)
        self.has_batches = batches
        self.page = page
        self.looks_until_done = looks_until_done
        self.files: dict[str, tuple[str, bytes]] = {}
        self.made: dict[str, _Batch] = {}
        self.submitted: Counter[str] = Counter()
        """custom_id -> the batches that it was in, those that failed as a whole not counted: they cost nothing."""
        self.delivered: set[str] = set()
        """custom_ids with a whole answer in a file."""
        self.doubled: list[str] = []
        """custom_ids that were submitted although an answer was delivered, or under way in another batch."""
        self.executed: Counter[str] = Counter()
        """custom_id -> how often a model was asked."""
        self.calls: list[str] = []

    def respond(self, connection: _Connection, method: str, path: str, headers: dict[str, str], raw: bytes) -> None:
        parts = urlsplit(path)
        if not self.has_batches or not re.match(r"/v1/(files|batches)(/|$)", parts.path):
            super().respond(connection, method, path, headers, raw)
            return
        self.paths.append(f"{method} {path}")
        if self.api_key is not None and headers.get("authorization") != f"Bearer {self.api_key}":
            connection.send(error(401, "Incorrect API key provided", code="invalid_api_key"))
            return
        call = f"{method} {re.sub(r'/(file|batch)[-_][^/]+', '/ID', parts.path.removeprefix('/v1'))}"
        self.calls.append(call)
        fault = self.call_fault(call)
        if fault is None:
            reply = self._carry_out(call, parts.path, dict(parse_qsl(parts.query)), headers, raw)
            fault = self.call_fault(f"{call} after") or reply
        connection.later(fault, fault.stall_s)

    def _carry_out(self, call: str, path: str, query: dict[str, str], headers: dict[str, str], raw: bytes) -> Fault:
        found = path.split("/")[3] if path.count("/") > 2 else ""
        if call == "POST /files":
            return self._upload(headers, raw)
        if call == "GET /files":
            return self._listed([self._file(file_id) for file_id in reversed(self.files)], query)
        if call == "GET /files/ID/content":
            return Fault(body=self.files[found][1]) if found in self.files else error(404, f"No such File {found}")
        if call == "DELETE /files/ID":
            return Fault(body={"id": found, "deleted": self.files.pop(found, None) is not None})
        if call == "POST /batches":
            return self._make(json.loads(raw))
        if call == "GET /batches":
            return self._listed([self._batch(it) for it in reversed(self.made.values()) if self._visible(it)], query)
        batch = self.made.get(found)
        if batch is None or not self._visible(batch):
            return error(404, f"No batch found with id '{found}'.")
        if call == "POST /batches/ID/cancel":
            batch.cancelled = True
        else:
            self._advance(batch)
        return Fault(body=self._batch(batch))

    def _upload(self, headers: dict[str, str], raw: bytes) -> Fault:
        boundary = headers["content-type"].partition("boundary=")[2].strip('"').encode()
        fields: dict[str, bytes] = {}
        name = ""
        for part in raw.split(b"--" + boundary)[1:-1]:
            head, _, body = part.partition(b"\r\n\r\n")
            title = re.search(rb'name="([^"]+)"', head)
            assert title is not None
            fields[title[1].decode()] = body[:-2]
            found = re.search(rb'filename="([^"]+)"', head)
            name = found[1].decode() if found else name
        if fields.get("purpose") != b"batch" or not name.endswith(".jsonl"):
            return error(400, "Invalid file format for Batch API. Must be .jsonl")
        file_id = f"file-{len(self.files) + 1:04}"
        self.files[file_id] = (name, fields["file"])
        return Fault(body=self._file(file_id))

    def _make(self, body: dict[str, Any]) -> Fault:
        if body["input_file_id"] not in self.files:
            return error(404, f"No such File object: {body['input_file_id']}")
        if body["completion_window"] != "24h" or body["endpoint"] != "/v1/chat/completions":
            return error(400, "bad completion_window or endpoint")
        metadata = body.get("metadata") or {}
        assert len(metadata) <= 16
        assert all(len(key) <= 64 and len(value) <= 512 for key, value in metadata.items())
        raw = self.files[body["input_file_id"]][1]
        lines = [json.loads(line) for line in raw.splitlines()]
        tokens = sum(len(line) for line in raw.splitlines()) // 4
        ending = self._refused(lines, tokens) or (self.endings.popleft() if self.endings else Ending())
        batch = _Batch(f"batch_{len(self.made) + 1:04}", body["input_file_id"], lines, metadata, ending)
        batch.unseen = self.invisible_looks
        if ending.status != "failed":
            ids = [line["custom_id"] for line in lines]
            under_way = {line["custom_id"] for it in self.made.values() if not it.ended for line in it.lines}
            self.doubled += [each for each in ids if each in self.delivered or each in under_way]
            self.submitted.update(ids)
        self.made[batch.id] = batch
        return Fault(body=self._batch(batch))

    def _refused(self, lines: list[dict[str, Any]], tokens: int) -> Ending | None:
        """How a batch ends that OpenAI would refuse after its making."""
        code = None
        if len({line["body"]["model"] for line in lines}) != 1:
            code = "model_mismatch"
        elif len({line["custom_id"] for line in lines}) < len(lines):
            code = "duplicate_custom_id"
        elif not lines or any(len(line["custom_id"]) > 64 for line in lines):
            code = "invalid_json_line"
        elif len(lines) > 50_000:
            code = "too_many_tasks"
        enqueued = sum(self._tokens(batch) for batch in self.made.values() if not batch.ended)
        if code is None and self.most_tokens is not None and enqueued + tokens > self.most_tokens:
            code = "token_limit_exceeded"
        return Ending("failed", errors=({"code": code, "message": f"scripted {code}", "line": None},)) if code else None

    def _tokens(self, batch: _Batch) -> int:
        return 0 if batch.ending.status == "failed" else len(self.files[batch.file_id][1]) // 4

    def _visible(self, batch: _Batch) -> bool:
        batch.unseen -= 1
        return batch.unseen < 0

    def _advance(self, batch: _Batch) -> None:
        batch.looks += 1
        if batch.looks < self.looks_until_done and not batch.cancelled and batch.ending.status != "failed":
            return
        if not batch.ended:
            batch.ended = True
            self._execute(batch)

    def _execute(self, batch: _Batch) -> None:
        ending = batch.ending
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        if ending.status == "failed":
            return
        for place, line in enumerate(batch.lines):
            if place in ending.failures:
                failure = ending.failures[place]
                if failure is not None:
                    bad.append(_line(line["custom_id"], *failure))
                continue
            if place >= ending.answered * len(batch.lines):
                code = "batch_expired" if ending.status == "expired" else "batch_cancelled"
                bad.append({"custom_id": line["custom_id"], "response": None, "error": {"code": code, "message": "x"}})
                continue
            self.executed[line["custom_id"]] += 1
            answer = self.answer(line["body"])
            reply = Reply(answer) if isinstance(answer, str) else answer
            if isinstance(reply, Fault):
                bad.append(_line(line["custom_id"], reply.status, reply.body))
            else:
                good.append(_line(line["custom_id"], 200, _completion(line["body"], reply, place)))
        batch.completed, batch.failed = len(good), len(bad)
        batch.output, batch.errors = self._written(good, ending), self._written(bad, Ending(seed=ending.seed))

    def _written(self, lines: list[dict[str, Any]], ending: Ending) -> str | None:
        if not lines:
            return None
        lines = lines * (2 if ending.twice else 1)
        lines += [_line(f"{number:064x}", 200, {"strange": True}) for number in range(ending.strangers)]
        if ending.seed is not None:
            random.Random(ending.seed).shuffle(lines)
        raw = "".join(json.dumps(line) + "\n" for line in lines).encode()
        file_id = f"file-out-{len(self.files) + 1:04}"
        raw = raw[: len(raw) - ending.cut]
        self.files[file_id] = ("output.jsonl", raw)
        self.delivered |= _answered(raw)
        return file_id

    def _file(self, file_id: str) -> dict[str, Any]:
        name, raw = self.files[file_id]
        purpose = "batch_output" if "-out-" in file_id else "batch"
        return {"id": file_id, "object": "file", "bytes": len(raw), "filename": name, "purpose": purpose}

    def _batch(self, batch: _Batch) -> dict[str, Any]:
        status = STAGES[min(batch.looks, 2)] if not batch.ended else batch.ending.status
        if batch.ended and batch.cancelled:
            status = "cancelled"
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "input_file_id": batch.file_id,
            "status": status,
            "created_at": 0,
            "output_file_id": batch.output,
            "error_file_id": batch.errors if batch.errors else "",
            "errors": {"object": "list", "data": list(batch.ending.errors)} if status == "failed" else None,
            "request_counts": {"total": len(batch.lines), "completed": batch.completed, "failed": batch.failed},
            "metadata": batch.metadata,
        }

    def _listed(self, items: list[dict[str, Any]], query: dict[str, str]) -> Fault:
        if "purpose" in query:
            items = [item for item in items if item["purpose"] == query["purpose"]]
        ids = [item["id"] for item in items]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        size = min(self.page, int(query.get("limit", "20")))
        shown = items[start : start + size]
        return Fault(body={"object": "list", "data": shown, "has_more": start + size < len(items)})


def _answered(raw: bytes) -> set[str]:
    found = set()
    for line in raw.splitlines():
        with contextlib.suppress(ValueError):
            read = json.loads(line)
            response = read["response"] or {}
            if response.get("status_code") == 200 and response["body"].get("choices"):
                found.add(read["custom_id"])
    return found


def _line(custom_id: str, status: int, body: object) -> dict[str, Any]:
    return {
        "id": "batch_req_x",
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": "x", "body": body},
        "error": None,
    }


def main() -> None:
    from tests.servers import world

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--api-key")
    parser.add_argument("--looks", type=int, default=3, help="looks at a batch until it is done")
    parser.add_argument("--no-batches", action="store_true")
    options = parser.parse_args()
    with BatchServer(
        world.answer,
        models=("target", "reviser"),
        port=options.port,
        api_key=options.api_key,
        batches=not options.no_batches,
        looks_until_done=options.looks,
    ) as server:
        print(server.base_url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
