"""A Hugging Face Hub for tests: the documented calls that `huggingface_hub` makes to publish a dataset, with faults.

    with HubServer(token="hf_test") as hub:
        hub.faults.append(Fault("POST", "/commit/", status=412))
        ...  # publish to hub.url with the real client
    assert hub.repos["me/pairs"].files() == {"README.md": b"..."}

Real: HTTP over a loopback port, commits with parents, branches, pull requests, large files by content (LFS batch,
upload, verify), the check of a card's license. Left out: everything else, and Xet, which the client must have turned
off.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import yaml
from aiohttp import web

LICENSES = {"cc-by-4.0", "mit", "apache-2.0", "other"}
LARGE = 10_000_000

Files = dict[str, bytes]


@dataclass
class Fault:
    """An answer in place of the real one, for requests with this method and this text in their path.

    `passes` requests that fit go through before it, then it is given `times` times. `cut_at` reads so many bytes of
    the body and drops the connection. `does_it_first` does what was asked, and answers with the fault all the same.
    """

    method: str
    path: str
    status: int = 500
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    does_it_first: bool = False
    passes: int = 0
    times: int = 1


@dataclass
class Commit:
    """One commit: the whole tree after it."""

    oid: str
    tree: Files
    message: str
    parent: str | None


@dataclass
class Repo:
    """A dataset repository: branches of commits, and pull requests as branches."""

    private: bool
    branches: dict[str, list[Commit]]
    pulls: list[Commit] = field(default_factory=list)

    def files(self, branch: str = "main") -> Files:
        return self.branches[branch][-1].tree

    def find(self, revision: str) -> Commit | None:
        if revision in self.branches:
            return self.branches[revision][-1]
        return next((it for commits in self.branches.values() for it in commits if it.oid == revision), None)


def new_repo(*, private: bool = False, **files: bytes) -> Repo:
    """A repository with the first commit that the Hub makes, and these files (`__` in a name is a slash, `_` a dot)."""
    tree = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}
    named = {name.replace("__", "/").replace("_", "."): content for name, content in files.items()}
    return Repo(private, {"main": [_commit({**tree, **named}, "initial commit", None)]})


def _commit(tree: Files, message: str, parent: str | None) -> Commit:
    state = json.dumps([sorted((k, hashlib.sha1(v).hexdigest()) for k, v in tree.items()), message, parent])
    return Commit(hashlib.sha1(state.encode()).hexdigest(), tree, message, parent)


class HubServer:
    """Serve while the `with` block runs. `requests` are "METHOD path" in order, `uploaded` bodies of large files."""

    def __init__(self, *, token: str = "hf_test", namespaces: tuple[str, ...] = ("me",)) -> None:
        self.token = token
        self.namespaces = namespaces
        self.repos: dict[str, Repo] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.uploaded: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="hub-server")

    def __enter__(self) -> HubServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(timeout=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._faults], client_max_size=2**30)
        repo = r"{repo:[^/]+/[^/]+}"
        app.add_routes(
            [
                web.post("/api/repos/create", self._create),
                web.post("/api/validate-yaml", self._validate),
                web.get(f"/api/datasets/{repo}/revision/{{revision}}", self._info),
                web.get(f"/api/datasets/{repo}", self._info),
                web.post(f"/api/datasets/{repo}/branch/{{revision}}", self._branch),
                web.post(f"/api/datasets/{repo}/preupload/{{revision}}", self._preupload),
                web.post(f"/api/datasets/{repo}/commit/{{revision}}", self._commit),
                web.post(f"/datasets/{repo}.git/info/lfs/objects/batch", self._batch),
                web.put("/storage/{oid}", self._upload),
                web.post("/verify/{oid}", self._verify),
                web.get(f"/datasets/{repo}/resolve/{{revision}}/{{path:.+}}", self._resolve),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    @web.middleware
    async def _faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        fault = self._fault(request)
        if fault is not None:
            if fault.cut_at is not None:
                await request.content.readexactly(fault.cut_at)
                assert request.transport is not None
                request.transport.abort()
            if fault.does_it_first:
                await handler(request)
            return _error(fault.status, fault.message, fault.headers)
        # The storage takes presigned addresses, which bear no token.
        signed_in = request.headers.get("Authorization") == f"Bearer {self.token}"
        if not signed_in and not request.path.startswith("/storage/"):
            return _error(401, "Invalid credentials in Authorization header")
        return await handler(request)

    def _fault(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            if fault.method == request.method and fault.path in request.path:
                if fault.passes:
                    fault.passes -= 1
                    continue
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
                return fault
        return None

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        owner, name = body["organization"], body["name"]
        if owner == "nobody":
            return _error(404, "Organization not found")
        if owner not in self.namespaces:
            return _error(403, f'You don\'t have the rights to create a dataset under the namespace "{owner}"')
        assert body["type"] == "dataset"
        url = {"url": f"{self.url}/datasets/{owner}/{name}"}
        if f"{owner}/{name}" in self.repos:
            return web.json_response({**url, "error": "You already created this dataset repo"}, status=409)
        self.repos[f"{owner}/{name}"] = new_repo(private=body.get("visibility") == "private")
        return web.json_response(url)

    async def _validate(self, request: web.Request) -> web.Response:
        body = await request.json()
        front = re.match(r"---\n(.*?)\n---\n", body["content"], re.DOTALL)
        data = yaml.safe_load(front[1]) if front else {}
        if data.get("license") not in LICENSES:
            return web.json_response({"errors": [{"message": '"license" must be one of [...]'}]}, status=400)
        return web.json_response({"errors": [], "warnings": []})

    def _repo(self, request: web.Request) -> Repo:
        return self.repos[request.match_info["repo"]]

    async def _info(self, request: web.Request) -> web.Response:
        repo = self.repos.get(request.match_info["repo"])
        if repo is None:
            return _error(404, "Repository not found", {"X-Error-Code": "RepoNotFound"})
        commit = repo.find(request.match_info.get("revision", "main"))
        if commit is None:
            return _error(404, "Invalid rev id", {"X-Error-Code": "RevisionNotFound"})
        name = request.match_info["repo"]
        siblings = [{"rfilename": path} for path in sorted(commit.tree)]
        return web.json_response({"id": name, "sha": commit.oid, "private": repo.private, "siblings": siblings})

    async def _branch(self, request: web.Request) -> web.Response:
        branches = self._repo(request).branches
        if request.match_info["revision"] in branches:
            return _error(409, "Reference already exists")
        branches[request.match_info["revision"]] = list(branches["main"])
        return web.json_response({})

    async def _preupload(self, request: web.Request) -> web.Response:
        tree = self._repo(request).files(request.match_info["revision"])
        return web.json_response({"files": [_mode(it, tree.get(it["path"])) for it in (await request.json())["files"]]})

    async def _batch(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert (body["operation"], body["hash_algo"]) == ("upload", "sha256")
        return web.json_response({"transfer": "basic", "objects": [self._object(it) for it in body["objects"]]})

    def _object(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.objects:
            return wanted
        signature = "X-Amz-Signature=" + "5" * 40
        return {
            **wanted,
            "actions": {
                "upload": {"href": f"{self.url}/storage/{wanted['oid']}?{signature}"},
                "verify": {"href": f"{self.url}/verify/{wanted['oid']}"},
            },
        }

    async def _upload(self, request: web.Request) -> web.Response:
        body = await request.read()
        oid = request.match_info["oid"]
        self.uploaded[oid] += 1
        if hashlib.sha256(body).hexdigest() != oid:
            return _error(400, "checksum mismatch")
        self.objects[oid] = body
        return web.Response()

    async def _verify(self, request: web.Request) -> web.Response:
        body = await request.json()
        stored = self.objects.get(request.match_info["oid"])
        if stored is None or len(stored) != body["size"]:
            return _error(404, "object not found")
        return web.json_response({})

    async def _commit(self, request: web.Request) -> web.Response:
        repo, revision = self._repo(request), request.match_info["revision"]
        head = repo.branches[revision][-1]
        lines = [json.loads(line) for line in (await request.text()).splitlines()]
        header = lines[0]["value"]
        if header.get("parentCommit", head.oid) != head.oid:
            return _error(412, "The branch was updated since you opened this page")
        tree = dict(head.tree)
        for line in lines[1:]:
            problem = self._apply(tree, line["key"], line["value"])
            if problem:
                return _error(400, problem)
        commit = _commit(tree, header["summary"], head.oid)
        url = f"{self.url}/datasets/{request.match_info['repo']}"
        answer = {"commitUrl": f"{url}/commit/{commit.oid}", "commitOid": commit.oid}
        if request.query.get("create_pr"):
            repo.pulls.append(commit)
            return web.json_response({**answer, "pullRequestUrl": f"{url}/discussions/{len(repo.pulls)}"})
        repo.branches[revision].append(commit)
        return web.json_response(answer)

    def _apply(self, tree: Files, key: str, value: dict[str, Any]) -> str | None:
        path = value["path"]
        if key == "file":
            tree[path] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            if value["oid"] not in self.objects:
                return f"the object of {path} was not uploaded"
            tree[path] = self.objects[value["oid"]]
        elif key == "deletedFile":
            if path not in tree:
                return f"A file with this name doesn't exist: {path}"
            del tree[path]
        else:
            return f"unknown operation {key}"
        return None

    async def _resolve(self, request: web.Request) -> web.Response:
        commit = self._repo(request).find(request.match_info["revision"])
        content = commit and commit.tree.get(request.match_info["path"])
        if commit is None or content is None:
            return _error(404, "Entry not found", {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit.oid}
        return web.Response(body=content, headers=headers, content_type="text/plain")


def _mode(file: dict[str, Any], there: bytes | None) -> dict[str, Any]:
    large = file["path"].endswith(".parquet") or file["size"] > LARGE
    found = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
    if there is None:
        return found
    git = hashlib.sha1(b"blob %d\0" % len(there) + there).hexdigest()
    return {**found, "oid": hashlib.sha256(there).hexdigest() if large else git}


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers={**(headers or {}), "X-Error-Message": message})
