"""When to give up on a server: no success for a set time although requests were made and failed. Pure.

Time in which nothing was asked does not count, nor does waiting for slow answers: only the time that failed
requests took, with the waits between them, and only if as many have failed as are still open.
"""

from __future__ import annotations

_MIN_FAILURES = 5
_MAX_REJECTED = 50
_LONGEST_WAIT_S = 60.0
_WAY_OUT = "Mend the server or the option that it names, or leave out these rows"


class Breaker:
    """Collects failures of one server. `why` says why it is given up, None as long as it is not.

    A server that is given up may still come back: the next success says so.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._failing_s = 0.0
        self._failures = 0
        self._last_at: float | None = None
        self._accepts = False
        self._rejected = 0
        self._forbidden = self._forbidden_questions = 0
        self.why: str | None = None

    def succeeded(self) -> None:
        """A request was answered."""
        self._accepts = True
        self._forbidden = self._forbidden_questions = 0
        self._alive()

    def failed(self, now: float, *, started_at: float, open_requests: int, detail: str) -> None:
        """A request failed for a reason that says nothing about its content."""
        if self._last_at is not None:
            # The wait before a retry counts, idle time beyond the longest wait does not.
            self._failing_s += min(now - self._last_at, now - started_at + _LONGEST_WAIT_S)
        self._last_at = now
        self._failures += 1
        if self._failing_s >= self._after_s and self._failures >= max(_MIN_FAILURES, open_requests):
            failed = f"no request succeeded for {self._failing_s:.0f} s ({self._failures} failed)"
            self.why = f"{failed}; the last one: {detail}"

    def rejected(self, *, is_first_try: bool, open_requests: int, detail: str) -> bool:
        """The server refused a request as bad (400). Whether the question surely is the reason: others were accepted.

        Else it is worth asking again, until so many questions were refused, or fewer with none still open, that it must
        be the server: how it was started, or an option of this run.
        """
        self._alive()
        if self._accepts:
            return True
        self._rejected += is_first_try
        if self._rejected >= (_MAX_REJECTED if open_requests else _MIN_FAILURES):
            self.why = f"the first {self._rejected} requests were all refused; the last one: {detail}. {_WAY_OUT}"
        return False

    def forbidden(self, *, is_first_try: bool, open_requests: int, detail: str) -> bool:
        """The server will not have a request (403): for what it says, or for the key. Whether it surely is the request.

        It is if others have been answered since the last one of this kind. Else it is worth asking again, until so many
        have been refused in a row that it must be the key, or what the key may spend. As long as the first answers are
        awaited, tries of one question count once: a server may be quick to refuse and slow to answer.
        """
        self._alive()
        self._forbidden += 1
        self._forbidden_questions += is_first_try
        in_a_row = self._forbidden if self._accepts or not open_requests else self._forbidden_questions
        if in_a_row >= max(_MAX_REJECTED if self._accepts else _MIN_FAILURES, open_requests):
            refused = f"the last {in_a_row} requests were all refused; the last one: {detail}"
            self.why = f"{refused}. Check the API key, or leave out these rows"
        return self._accepts and self._forbidden == 1

    def refused(self, detail: str) -> None:
        """The server said something that no further request could change, or does not answer at all."""
        self.why = detail

    def _alive(self) -> None:
        self._failing_s, self._failures, self._last_at, self.why = 0.0, 0, None, None
