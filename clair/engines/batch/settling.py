"""What a batch that has ended brought: every answer into the ledger, every failure into the records, the rest is asked
again.

The output file and the error file are read line by line, in whatever order and however often a line comes, and joined
with the questions by `custom_id` alone. A batch that expired or was canceled keeps what it has. An answer is committed
as if it had come online; only then is the batch recorded as ended, so a kill on the way repeats the reading, not the
asking.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace

from clair.endpoints.batch_lines import Answered, Failed, read_line, refusal
from clair.endpoints.batch_objects import Job
from clair.endpoints.batches import NotThere, Unclear
from clair.endpoints.charge import is_uncharged
from clair.endpoints.classify import Verdict, classify
from clair.endpoints.endpoint import Endpoint
from clair.endpoints.reply import MalformedBody, parse_new, stated_cost_usd
from clair.engines.batch.lane import LOOKS, LOST_AFTER, OVER_LIMIT, Lane
from clair.engines.batch.records import Failure, Records, Request, Submission
from clair.errors import EndpointUnusable, RunStopped
from clair.ledger.store import Ledger
from clair.pipeline.budget import Budget
from clair.pipeline.progress import Progress
from clair.records import Completion

TOKEN_LIMIT = "token_limit_exceeded"  # noqa: S105 - a code of the Batch API
MOST_FAILED = 3
"""Batches of one model in a row that fail validation end the run: the next one would, too."""
MOST_REFUSED = 5
"""So many requests of a batch that are refused with 400 or 403, and none that is answered, end the run; with 400 only
if none was answered before."""

_AT_ONCE = 256  # answers on their way to the disk: a group commit's worth


@dataclass(slots=True)
class _Reading:
    """What the files of one batch have said so far about what was `asked`."""

    asked: dict[bytes, Request]
    answered: set[bytes] = field(default_factory=set)
    failures: dict[bytes, Failure] = field(default_factory=dict)
    unsure: dict[bytes, Verdict] = field(default_factory=dict)
    lines: int = 0
    unreadable: int = 0
    strange: int = 0
    stop: str | None = None
    doubtful_usd: dict[bytes, float | None] = field(default_factory=dict)
    gone: str | None = None


class Settling:
    """Takes batches of one lane to their end."""

    def __init__(
        self, lane: Lane, endpoint: Endpoint, *, records: Records, ledger: Ledger, budget: Budget, progress: Progress
    ) -> None:
        self._lane = lane
        self._endpoint = endpoint
        self._records = records
        self._ledger = ledger
        self._budget = budget
        self._progress = progress

    async def settle(self, submission: Submission, job: Job) -> None:
        """Keep what the batch has and end it.

        Raises EndpointUnusable if it shows that no request can succeed, RunStopped if somebody canceled it or deleted
        its files.
        """
        reading = await self._read(submission, job)
        self._refuse_unsure(reading)
        ended = job.status
        if job.status == "failed" and any(problem.code == TOKEN_LIMIT for problem in job.problems):
            ended = OVER_LIMIT
        if ended in ("completed", "expired") or reading.gone is not None:
            self._miss(reading, job)
        for usd in reading.doubtful_usd.values():
            await self._doubt(usd)
        self._lane.close(submission, ended, reading.failures)
        self._tell(submission, job, reading)
        if reading.stop is not None:
            raise EndpointUnusable(f"{self._lane.name}: {reading.stop}.")
        if ended == "failed":
            self._refuse(job)
        if reading.gone is not None:
            raise RunStopped(
                f"{self._lane.name}: the provider has no file {reading.gone} any more, with answers of batch {job.id}; "
                f"{len(reading.answered):,} of {submission.requests:,} are kept. Run the same command to submit the "
                "others again"
            )
        if ended == OVER_LIMIT and submission.requests == 1 and submission.enqueued == submission.tokens:
            raise RunStopped(
                f"{self._lane.name}: the provider's queue has no room for a single request: other work of the "
                "organization fills it, or its limit is too low. Run the same command later"
            )
        if ended == "cancelled":
            raise RunStopped(
                f"{self._lane.name}: batch {job.id} was canceled at the provider; {len(reading.answered):,} of "
                f"{submission.requests:,} answers are kept. Run the same command to submit the others again"
            )

    async def _read(self, submission: Submission, job: Job) -> _Reading:
        """Both files; twice if the first time not all came that the server counts: a file may come after its batch."""
        reading = _Reading(self._records.requests(submission.tag))
        for again in range(2):
            if again:
                await self._lane.pause()
                job = await self._lane.api.retrieve(job.id) or job
            reading.lines = reading.unreadable = reading.strange = 0
            # Output first: a question that is in both files has been answered.
            for file_id in (job.output_file_id, job.error_file_id):
                if file_id:
                    await self._read_file(file_id, reading)
            whole = not reading.unreadable and reading.lines >= min(job.finished, submission.requests)
            if whole or reading.gone is not None:
                break
        return reading

    async def _read_file(self, file_id: str, reading: _Reading) -> None:
        before = reading.lines, reading.unreadable, reading.strange
        why, absent, broken = "", 0, 0
        while broken < LOOKS:
            try:
                await self._read_lines(file_id, reading)
                return
            except (NotThere, Unclear) as error:
                why = str(error)
                absent += isinstance(error, NotThere)
                broken += isinstance(error, Unclear)
            if absent >= LOST_AFTER:
                reading.gone = file_id
                return
            reading.lines, reading.unreadable, reading.strange = before
            await self._lane.pause()
        raise RunStopped(
            f"{self._lane.name}: the file {file_id} with answers cannot be read ({why}). Run the same command to try "
            "again: nothing is bought twice"
        )

    async def _read_lines(self, file_id: str, reading: _Reading) -> None:
        commits: list[Awaitable[None]] = []
        try:
            async with contextlib.aclosing(self._lane.api.lines(file_id)) as lines:
                async for line in lines:
                    if not line.strip():
                        continue
                    reading.lines += 1
                    if reading.lines > 4 * len(reading.asked) + 1000:
                        break  # no honest file is that long
                    answer = self._hear(line, reading)
                    if answer is not None:
                        commits.append(asyncio.ensure_future(self._commit(*answer)))
                    if len(commits) >= _AT_ONCE:
                        await asyncio.gather(*commits)
                        commits.clear()
        finally:
            await asyncio.gather(*commits)

    def _hear(self, line: bytes, reading: _Reading) -> tuple[Request, bytes, Completion] | None:
        """Note what a line says. An answer that is new is returned, to be committed."""
        found = read_line(line)
        if found is None:
            reading.unreadable += 1
        elif found.key not in reading.asked:
            reading.strange += 1
        elif found.key in reading.answered:
            pass  # the line comes twice
        elif isinstance(found, Failed):
            self._fail(found, reading)
        else:
            return self._parsed(found, reading)
        return None

    def _parsed(self, found: Answered, reading: _Reading) -> tuple[Request, bytes, Completion] | None:
        request, price = reading.asked[found.key], self._endpoint.price
        try:
            completion = parse_new(found.raw, price)
        except MalformedBody as error:
            if found.key not in reading.failures and not is_uncharged(error):
                usd = stated_cost_usd(found.raw, price)
                reading.doubtful_usd[found.key] = request.worst_usd if usd is None else usd
            self._fail(Failed(found.key, classify(error)), reading)
            return None
        reading.answered.add(found.key)
        reading.failures.pop(found.key, None)
        return None if self._ledger.get(found.key) is not None else (request, found.raw, completion)

    async def _commit(self, request: Request, raw: bytes, completion: Completion) -> None:
        """Put one answer into the ledger, as the online path does."""
        reserved_usd = None
        if self._budget.limit_usd is not None and completion.cost_usd is None and request.worst_usd:
            reserved_usd = request.worst_usd
            await self._ledger.doubt(reserved_usd)
        await self._ledger.put(
            request.key,
            stage=request.stage,
            model=self._endpoint.identity,
            raw=raw,
            prompt_tokens=completion.usage.prompt_tokens,
            completion_tokens=completion.usage.completion_tokens,
            cost_usd=completion.cost_usd,
            reserved_usd=reserved_usd,
        )
        self._budget.spend(request.worst_usd if completion.cost_usd is None else completion.cost_usd)
        self._progress.bought += 1
        self._progress.cost_usd += completion.cost_usd or 0.0
        self._progress.cost_known &= completion.cost_usd is not None

    async def _doubt(self, usd: float | None) -> None:
        """Count an answer that was charged, or may have been, and cannot be used."""
        self._budget.spend(usd)
        self._progress.cost_usd += usd or 0.0
        self._progress.cost_known &= usd is not None
        if usd != 0.0:
            await self._ledger.doubt(usd)

    def _fail(self, failed: Failed, reading: _Reading) -> None:
        verdict = failed.verdict
        detail = self._lane.api.redact(verdict.detail)
        if self._endpoint.spelling.mended(verdict.refused):
            reading.failures.setdefault(failed.key, Failure(verdict.reason, detail, final=False, tries=0))
        elif verdict.action == "stop":
            reading.stop = detail
        elif verdict.action == "forbidden" or verdict.reason == "bad_request":
            reading.unsure[failed.key] = replace(verdict, detail=detail)
        else:
            final = verdict.action == "row"
            reading.failures.setdefault(failed.key, Failure(verdict.reason, detail, final=final))

    def _refuse_unsure(self, reading: _Reading) -> None:
        """A 400 or 403 ends its row if others of the batch were answered, or it is one of few; else all are meant.

        A 400 does so too if others were answered in an earlier batch: questions that are bad may be all that is left.
        """
        refused = {key: verdict for key, verdict in reading.unsure.items() if key not in reading.answered}
        if len(refused) >= MOST_REFUSED and not reading.answered and not self._answered_alike(refused, reading):
            last = [*refused.values()][-1]
            advice = ". Check the API key" if last.action == "forbidden" else ""
            reading.stop = reading.stop or f"all {len(refused):,} were refused; the last one: {last.detail}{advice}"
            return
        for key, verdict in refused.items():
            reading.failures.setdefault(key, Failure(verdict.reason, verdict.detail, final=True))

    def _answered_alike(self, refused: Mapping[bytes, Verdict], reading: _Reading) -> bool:
        """Whether none of these was forbidden, and questions of their stages were answered before."""
        known = self._ledger.totals().by_stage
        return all(
            verdict.action != "forbidden" and reading.asked[key].stage in known for key, verdict in refused.items()
        )

    def _miss(self, reading: _Reading, job: Job) -> None:
        """Questions that no line of either file speaks of have had a try as well, which may have been charged unless it
        was for want of time."""
        if reading.stop is not None:
            return
        expired = job.status == "expired" and reading.gone is None
        why = "the batch expired before it was answered" if expired else "the batch's files do not speak of it"
        for key in reading.asked.keys() - reading.answered - reading.failures.keys():
            reading.failures[key] = Failure("timeout" if expired else "malformed_body", why, final=False)
            if not expired:
                reading.doubtful_usd[key] = reading.asked[key].worst_usd

    def _tell(self, submission: Submission, job: Job, reading: _Reading) -> None:
        counts = Counter(failure.reason for failure in reading.failures.values())
        parts = [f"{len(reading.answered):,} of {submission.requests:,} answers"]
        parts += [f"{count:,} {reason}" for reason, count in counts.most_common(3)]
        if reading.strange:
            parts.append(f"{reading.strange:,} lines about nothing that was asked, ignored")
        self._progress.notes.append(f"{self._lane.name}: batch {job.id} {job.status}: {', '.join(parts)}")

    def _refuse(self, job: Job) -> None:
        """A batch failed as a whole. Once may be chance, unless its code says what is wrong."""
        earlier = [submission.state for submission in self._records.ended(self._lane.name)][-MOST_FAILED:]
        said = [f"{problem.code}: {problem.message}" for problem in job.problems] or ["no reason given"]
        why = self._lane.api.redact("; ".join(said)[:300])
        verdicts = [refusal(400, {"error": problem.model_dump()}) for problem in job.problems]
        if earlier.count("failed") >= MOST_FAILED or any(verdict.action == "stop" for verdict in verdicts):
            raise EndpointUnusable(f"{self._lane.name}: batch {job.id} failed ({why}).")
