"""One model that is asked by batch: the file that fills, and the batches under way, none of which is ever made twice.

    await lane.take(request, line)        # raises Full; a file that is full is submitted
    await lane.submit()                   # what is left of it
    for submission, job in await lane.ended(): ...     # orphans of a killed process are adopted on the way

Making a batch is the one step that costs money and must not be repeated. It is tried only after the submission is
recorded as "uploaded"; when nobody knows whether it worked (the connection broke, the server was too busy, the process
was killed) the batches at the provider are listed until the tag has failed to show up several times. A file uploaded
twice costs nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from clair.endpoints.batch_objects import Job
from clair.endpoints.batches import BatchApi, NotThere, Refused, Unclear
from clair.engines.batch.records import Failure, Records, Request, Submission
from clair.engines.batch.upload_file import MOST_BYTES, UploadFile, tokens_of
from clair.errors import ClairError, EndpointUnusable, RowFailure, RunStopped
from clair.pipeline.budget import Budget

LOOKS = 4
"""So many lists without a tag, `poll_s` apart, mean that there is no batch of it: lists may lag behind. Also the tries
of a step that the provider does not answer."""

LOST_AFTER = 20
"""So many looks in a row at which the provider does not know what it made (a batch, its output) mean that it is gone,
or that the key is another project's."""

OVER_LIMIT = "over_limit"
"""How a batch ended that failed because too many prompt tokens would be enqueued."""


class Full(Exception):
    """Nothing more can be submitted until something that is under way has ended. `short_usd` if money is the reason."""

    def __init__(self, short_usd: float | None = None) -> None:
        super().__init__()
        self.short_usd = short_usd


class LaneOptions(NamedTuple):
    """`max_requests` in one file; `max_tokens` enqueued at a time, None if only the provider knows; `poll_s` between
    two looks at a batch."""

    max_requests: int
    max_tokens: int | None
    poll_s: float


class _Room(NamedTuple):
    """Prompt tokens that are enqueued, and that may be."""

    under_way: int
    most: int | None


class Lane:
    """See the module's docstring. `in_flight` are the requests in batches that have not ended.

    `pause` waits, or raises if the run is to stop; `note` tells the user a sentence.
    """

    def __init__(
        self,
        name: str,
        api: BatchApi,
        *,
        run_dir: Path,
        records: Records,
        budget: Budget,
        options: LaneOptions,
        pause: Callable[[float], Awaitable[None]],
        note: Callable[[str], None],
    ) -> None:
        self.name = name
        self.api = api
        self.options = options
        self._run_dir = run_dir
        self._records = records
        self._budget = budget
        self._pause = pause
        self._note = note
        self._file: UploadFile | None = None
        self._files = 0
        self._unseen: dict[str, int] = {}
        self._measured: _Room | None = None
        self.in_flight = sum(submission.requests for submission in records.under_way(name))

    @property
    def limit(self) -> int:
        """For the display: batches are not pressed, they take what they are given."""
        return self.in_flight

    def knows(self, key: bytes) -> bool:
        """Whether a question is under way, or about to be."""
        return (self._file is not None and key in self._file.requests) or self._records.is_under_way(key)

    async def take(self, request: Request, line: bytes) -> None:
        """Put a question into the file. Raises Full if it must wait for others to end, RowFailure if it cannot go."""
        if len(line) > MOST_BYTES:
            raise RowFailure("context_too_long", f"the request has {len(line):,} bytes, a batch's file at most 200 MB")
        while self._file is not None and not self._has_place(self._file, line):
            await self.submit()
        if self.knows(request.key):  # another row asked the same meanwhile
            return
        self._make_sure_of_room(request, line)
        if self._file is None:
            self._files += 1
            self._file = UploadFile(self._run_dir, f"{id(self)}-{self._files}")
        self._file.add(request, line)
        self._budget.hold(request.worst_usd)

    def drop(self) -> None:
        """Forget what was taken and not submitted: the next pass finds it again."""
        if self._file is not None:
            self._budget.hold(-self._file.worst_usd)
            self._file.remove()
            self._file = None

    async def pause(self, at_least_s: float | None = None) -> None:
        """Wait as long as between two looks at a batch. Raises if the run is to stop."""
        await self._pause(max(self.options.poll_s, at_least_s or 0.0))

    @property
    def is_looking(self) -> bool:
        """Whether a batch under way was not known to the provider at the last look."""
        return bool(self._unseen)

    async def submit(self) -> None:
        """Send off what was taken. Raises EndpointUnusable if the provider refuses it."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except ClairError:
            self._budget.hold(-file.worst_usd)
            file.remove()
            raise
        # No other task may run between these two: a question is in the file or in the records at any time.
        enqueued = file.tokens + self._room().under_way
        submission = self._records.intend(
            self.name, file.requests, size=file.size, tokens=file.tokens, enqueued=enqueued
        )
        self._measured = None
        self.in_flight += submission.requests
        try:
            job = await self._make(submission, await self._upload(submission, file.path))
        finally:
            file.remove()
        self._note(f"{self.name}: batch {job.id} submitted with {counted(submission.requests, 'request')}")

    async def ended(self) -> list[tuple[Submission, Job]]:
        """The batches that have ended since the last look. What a killed process left unrecorded is found and adopted.

        Raises RunStopped if a batch has vanished.
        """
        found = []
        for submission in self._records.under_way(self.name):
            job = await self._current(submission)
            if job is not None and job.done:
                found.append((submission, job))
        return found

    def close(self, submission: Submission, ended: str, failures: Mapping[bytes, Failure] | None = None) -> None:
        """The submission is over, in the way `ended`; what has no answer in the ledger may be asked again."""
        self._records.settle(submission.tag, ended, failures or {})
        self._budget.hold(-(submission.worst_usd or 0.0))
        self._measured = None
        self.in_flight -= submission.requests

    async def _current(self, submission: Submission) -> Job | None:
        if submission.batch_id is not None:
            return await self._look(submission, submission.batch_id)
        file_id = submission.file_id
        if file_id is None:
            file_id = await self.api.find_file(submission.file_name, submission.size)
            if file_id is None:  # it was never sent: its questions are asked again
                self.close(submission, "never_sent")
                return None
            self._records.uploaded(submission.tag, file_id)
            return await self._make(submission, file_id)
        job = await self._find(submission, file_id)
        if job is None:
            return await self._make(submission, file_id)
        self._records.created(submission.tag, job.id)
        self._note(f"{self.name}: batch {job.id} of an earlier process found")
        return job

    async def _look(self, submission: Submission, batch_id: str) -> Job | None:
        job = await self.api.retrieve(batch_id)
        if job is not None:
            self._unseen.pop(batch_id, None)
            return job
        self._unseen[batch_id] = self._unseen.get(batch_id, 0) + 1
        if self._unseen[batch_id] < LOST_AFTER:
            return None
        del self._unseen[batch_id]
        job = await self.api.find_batch(submission.tag, submission.file_id)
        if job is None:
            self._miss(submission, batch_id)
        return job

    def _miss(self, submission: Submission, batch_id: str) -> None:
        """A batch is unknown to the server: one command says so, the next one gives it up."""
        what = (
            f"{self.name}: batch {batch_id} with {counted(submission.requests, 'request')} is not known to the server"
        )
        if submission.state == "missing":
            self.close(submission, "lost")
            self._note(f"{what} any more: they are asked again")
            return
        self._records.missing(submission.tag, batch_id)
        raise RunStopped(
            f"{what}. If the API key is not of the project that it was made in, set that one. The same command looks "
            "again, and submits them anew if it does not find it either"
        )

    async def _upload(self, submission: Submission, path: Path) -> str:
        """The id of the input file, sent once if that can be known."""
        unclear = ""
        for _ in range(LOOKS):
            try:
                file_id = await self.api.upload(path, submission.file_name)
            except Unclear as error:
                unclear = str(error)
                await self.pause(error.retry_after_s)
                found = await self.api.find_file(submission.file_name, submission.size)
                if found is None:
                    continue
                file_id = found
            except Refused:
                self.close(submission, "refused")
                raise
            self._records.uploaded(submission.tag, file_id)
            return file_id
        raise EndpointUnusable(f"{self.name}: the input file cannot be uploaded; the last time: {unclear}.")

    async def _make(self, submission: Submission, file_id: str) -> Job:
        """The batch of an uploaded file, none of which is known to exist."""
        failed, gone = "", False
        for _ in range(LOOKS):
            try:
                job: Job | None = await self.api.create(file_id, tag=submission.tag)
            except NotThere as error:  # the file is not visible yet
                failed, gone = str(error), True
                await self.pause()
                continue
            except Unclear as error:
                failed, gone = str(error), False
                await self.pause(error.retry_after_s)
                job = await self._find(submission, file_id)
            except Refused:
                self.close(submission, "refused")
                raise
            if job is not None:
                self._records.created(submission.tag, job.id)
                return job
        if gone:
            self.close(submission, "refused")
        raise EndpointUnusable(f"{self.name}: no batch can be made; the last time: {failed}.")

    async def _find(self, submission: Submission, file_id: str) -> Job | None:
        """The batch that bears the tag; None only when it has had time to show up."""
        for look in range(LOOKS):
            if look:
                await self.pause()
            job = await self.api.find_batch(submission.tag, file_id)
            if job is not None:
                return job
        return None

    def _has_place(self, file: UploadFile, line: bytes) -> bool:
        return len(file.requests) < self.options.max_requests and file.size + len(line) <= MOST_BYTES

    def _make_sure_of_room(self, request: Request, line: bytes) -> None:
        if not self._budget.fits(request.worst_usd):
            raise Full(request.worst_usd)
        room = self._room()
        taken = room.under_way + (self._file.tokens if self._file else 0)
        if room.most is not None and taken and taken + tokens_of(line) > room.most:
            raise Full

    def _room(self) -> _Room:
        if self._measured is None:
            known = allowance(self._records.ended(self.name)), self.options.max_tokens
            most = min((each for each in known if each is not None), default=None)
            under_way = sum(submission.tokens for submission in self._records.under_way(self.name))
            self._measured = _Room(under_way, most)
        return self._measured


def counted(number: int, noun: str, ending: str = "s") -> str:
    """A number of things, in words for the user."""
    return f"{number:,} {noun}{'' if number == 1 else ending}"


def allowance(ended: Iterable[Submission]) -> int | None:
    """How many prompt tokens to enqueue at a time, by how earlier batches ended; None if no limit was met.

    Half of what was too much, and a quarter more with every batch that went through: the limit is the organization's,
    and other work of it comes and goes.
    """
    most: int | None = None
    for submission in ended:
        if submission.state == OVER_LIMIT:
            most = max(1, submission.enqueued // 2)
        elif submission.state == "completed" and most is not None:
            most += most // 4
    return most
