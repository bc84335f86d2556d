"""The repository on the Hub: the only code that talks to it.

    remote = Remote("me/pairs", token=token, endpoint=None, revision=None, create_pr=False)
    remote.prepare(private=None)
    head = remote.head()                   # what is there now
    remote.commit(files, deleted, parent=head.commit, message="...")

Everything goes into one commit on top of what `head` saw, so that no reader ever meets half of two versions, and no
commit of somebody else is overwritten unseen. `huggingface_hub` sends large files before that commit, by content: what
the Hub has is not sent again. (Its `upload_folder` would make several commits.)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from clair.errors import ClairError
from clair.hub.files import CARD, File

MAIN = "main"


@dataclass(frozen=True)
class Head:
    """The repository as it is: its last commit, its files, its card (None without one), whether it is private."""

    commit: str
    paths: tuple[str, ...]
    card: str | None
    private: bool


@dataclass(frozen=True)
class Committed:
    """The commit that holds the publication; `url` shows it, `pr_url` the pull request if there is one."""

    commit: str
    url: str
    pr_url: str | None


class Remote:
    """A dataset repository. Every method raises what `huggingface_hub` raises (`failures.FAILURES`)."""

    def __init__(
        self,
        repo: str,
        *,
        token: str,
        endpoint: str | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> None:
        self.repo = repo
        self.revision = revision or MAIN
        self.create_pr = create_pr
        self._api = HfApi(endpoint=endpoint, token=token, library_name="clair")

    @property
    def url(self) -> str:
        return f"{self._api.endpoint}/datasets/{self.repo}"

    def prepare(self, *, private: bool) -> None:
        """Make the repository and the branch, where they are not there."""
        self._api.create_repo(self.repo, repo_type="dataset", private=private or None, exist_ok=True)
        if self.revision != MAIN:
            self._api.create_branch(self.repo, branch=self.revision, repo_type="dataset", exist_ok=True)

    def head(self) -> Head:
        """What is on the branch now."""
        info = self._api.dataset_info(self.repo, revision=self.revision)
        paths = tuple(it.rfilename for it in info.siblings or ())
        card = self._text(CARD, str(info.sha)) if CARD in paths else None
        return Head(str(info.sha), paths, card, bool(info.private))

    def _text(self, path: str, commit: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            local = self._api.hf_hub_download(self.repo, path, repo_type="dataset", revision=commit, local_dir=folder)
            try:
                return Path(local).read_text(encoding="utf-8")
            except UnicodeDecodeError as error:
                raise ClairError(
                    f"the {path} of {self.repo} on the Hub is not UTF-8: {error}. Mend it first"
                ) from error

    def commit(self, files: Iterable[File], deleted: Sequence[str], *, parent: str, message: str) -> Committed:
        """Send the files and take the deleted ones away, in one commit. Without any change the commit is `parent`."""
        additions = [CommitOperationAdd(path_in_repo=file.path, path_or_fileobj=file.content) for file in files]
        deletions = [CommitOperationDelete(path_in_repo=path, is_folder=False) for path in deleted]
        done = self._api.create_commit(
            self.repo,
            [*additions, *deletions],
            commit_message=message,
            repo_type="dataset",
            revision=self.revision,
            create_pr=self.create_pr,
            parent_commit=parent,
        )
        return Committed(done.oid, done.commit_url, done.pr_url)
