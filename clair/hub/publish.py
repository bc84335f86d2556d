"""A run folder goes to the Hub, as one commit; or into a folder, as it would go.

    published = publish(run_dir, "me/pairs", license="cc-by-4.0")

Resumable: the same call again sends what is missing, and where nothing is, makes no commit. What an earlier version
had and this one has not is deleted in the same commit.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from clair.errors import ClairError, RunStopped, UsageError
from clair.hub.card import config_names, is_ours, merged, prepared
from clair.hub.check import Counts, check_run
from clair.hub.failures import FAILURES, TOKENS_PAGE, explain
from clair.hub.files import CARD, RUN_JSON, File, own_paths, publication, read_card, read_run_json
from clair.hub.licenses import check_license
from clair.hub.remote import MAIN, Committed, Head, Remote

CONFLICTS = 1  # times that a commit is tried again on top of somebody else's
WAITS = 3  # times that a busy Hub is waited for

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Published:
    """What went up. `commit`, `url` and `pr_url` are None where nothing was sent (`unchanged`, or a dry run)."""

    repo: str
    counts: Counts
    files: tuple[tuple[str, int], ...]
    deleted: tuple[str, ...] = ()
    url: str | None = None
    commit: str | None = None
    pr_url: str | None = None
    unchanged: bool = False


def publish(
    run_dir: str | Path,
    repo: str,
    *,
    license: str | None,
    private: bool = False,
    rejects: bool = True,
    revision: str | None = None,
    create_pr: bool = False,
    allow_secrets: Collection[str] = (),
    token_env: str | None = None,
    endpoint: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Check the run, then send its data, card, report and run.json to the dataset repository `repo`.

    The token comes from the environment variable `token_env`, else from HF_TOKEN or `hf auth login`; `endpoint` is
    another Hub than that of HF_ENDPOINT.

    Raises:
        UsageError: no license, no token, no such run, a wrong name.
        ClairError: the run is not fit to be published (`check_run`), or the repository is not for it.
        RunStopped: the Hub refused or could not be reached; says why, and the same call goes on.
    """
    check_repo(repo)
    if create_pr and revision not in (None, MAIN):
        raise UsageError("--create-pr offers a change of main: leave --revision out")
    license = check_license(license)
    token, token_env = _token(token_env)
    counts, files = _checked(Path(run_dir), repo, license, rejects, allow_secrets)
    remote = Remote(repo, token=token, endpoint=endpoint, revision=revision, create_pr=create_pr)
    message = f"clair publish: {counts.pairs:,} pairs" + (f", {counts.rejects:,} rejects" if rejects else "")

    def prepare() -> None:
        remote.prepare(private=private)

    def send() -> tuple[Head, Committed, list[File], list[str]]:
        head = remote.head()
        _refuse_unsuitable(repo, head, private)
        merged_files = [_merged(file, head.card) for file in files]
        paths = {file.path for file in files}
        deleted = [path for path in own_paths(head.paths) if path not in paths]
        return head, remote.commit(merged_files, deleted, parent=head.commit, message=message), merged_files, deleted

    patience = _Patience(repo, token, token_env, sleep)
    patience.call(prepare)
    head, committed, sent, deleted = patience.call(send)
    return Published(
        repo=repo,
        counts=counts,
        files=_sizes(sent),
        deleted=tuple(deleted),
        url=remote.url,
        commit=committed.commit,
        pr_url=committed.pr_url,
        unchanged=committed.commit == head.commit,
    )


def write_publication(
    run_dir: str | Path,
    folder: str | Path,
    *,
    repo: str,
    license: str | None,
    rejects: bool = True,
    allow_secrets: Collection[str] = (),
) -> Published:
    """Check the run and write what would go up into `folder`, without asking the Hub (so without its card's text).

    Raises as `publish`; UsageError if the folder holds anything that is no publication.
    """
    check_repo(repo)
    license = check_license(license)
    folder = Path(folder)
    _refuse_foreign(folder)
    counts, files = _checked(Path(run_dir), repo, license, rejects, allow_secrets)
    paths = {file.path for file in files}
    for path in own_paths(_paths_below(folder)):
        if path not in paths:
            (folder / path).unlink()
    for file in files:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(file.content, bytes):
            target.write_bytes(file.content)
        else:
            shutil.copyfile(file.content, target)
    return Published(repo=repo, counts=counts, files=_sizes(files))


def check_repo(repo: str) -> None:
    """Raise UsageError unless `repo` is NAMESPACE/NAME as the Hub allows it."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if "/" not in repo:
        raise UsageError(f"the repository {repo!r} has no owner: expected USER/{repo} or ORGANIZATION/{repo}")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(f"{repo!r} is no name of a repository: {error}") from error


def _checked(
    run_dir: Path, repo: str, license: str, rejects: bool, allowed: Collection[str]
) -> tuple[Counts, list[File]]:
    counts = check_run(run_dir, rejects=rejects, allowed=allowed)
    card = prepared(read_card(run_dir), repo=repo, license=license, rejects=rejects)
    run_json = {**read_run_json(run_dir), "license": license}
    return counts, publication(run_dir, card=card, run_json=run_json, rejects=rejects)


def _merged(file: File, card_there: str | None) -> File:
    if file.path != CARD or not isinstance(file.content, bytes):
        return file
    return File(CARD, merged(file.content.decode(), card_there).encode())


def _refuse_unsuitable(repo: str, head: Head, private: bool) -> None:
    if private and not head.private:
        raise ClairError(
            f"{repo} is there already and is public. Make it private in its settings on the Hub, or leave --private out"
        )
    if is_ours(head.card) or RUN_JSON in head.paths:
        return
    foreign = own_paths(head.paths) or sorted(config_names(head.card) & {"default", "rejects"})
    if foreign:
        raise ClairError(
            f"{repo} holds a dataset that is not from clair ({', '.join(foreign[:3])}), which would be replaced. "
            "Publish to another repository, or delete these from it first"
        )


class _Patience:
    """Calls the Hub; goes round again after somebody else's commit, and after a pause that a busy Hub asks for."""

    def __init__(self, repo: str, token: str, token_env: str, sleep: Callable[[float], None]) -> None:
        self._known = {"repo": repo, "token": token, "token_env": token_env}
        self._sleep = sleep
        self._left = {"conflict": CONFLICTS, "again": WAITS, "stop": 0}

    def call(self, step: Callable[[], Result]) -> Result:
        while True:
            try:
                return step()
            except FAILURES as error:
                failure = explain(error, **self._known)
                if not self._left[failure.action]:
                    # What the server said may repeat the token, so the error must not hang on in a traceback.
                    raise RunStopped(failure.message) from None
                self._left[failure.action] -= 1
            self._sleep(failure.wait_s)


def _token(token_env: str | None) -> tuple[str, str]:
    """The token, and the variable that a message should name."""
    from huggingface_hub import get_token

    token = (os.environ.get(token_env) if token_env else get_token()) or ""
    token_env = token_env or "HF_TOKEN"
    token = token.strip()
    if not token:
        raise UsageError(
            f"there is no token: {token_env} is not set. Make one with the right to write at {TOKENS_PAGE} and set "
            f"{token_env} to it, or run `hf auth login`"
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"what is in {token_env} cannot be a token: it has blanks or characters outside of ASCII")
    return token, token_env


def _sizes(files: list[File]) -> tuple[tuple[str, int], ...]:
    return tuple((file.path, file.size) for file in files)


def _paths_below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir()]


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{str(folder)!r} is a file; -o takes a folder")
    there = _paths_below(folder)
    foreign = sorted(set(there) - set(own_paths(there)) - {CARD})
    if foreign:
        raise UsageError(f"{str(folder)!r} holds other files ({', '.join(foreign[:3])}); name a new or an empty folder")
