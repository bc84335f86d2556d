"""Every error that clair raises on purpose.

    ClairError                    a message for the user; the command prints it without a traceback
    ├── UsageError                bad option, bad input file, bad config               exit 2
    ├── RunStopped                the run cannot go on; what was paid for is committed  exit 1
    │   ├── EndpointUnusable      wrong key, no quota, unknown model, nothing listening, circuit open
    │   └── BudgetExhausted       --max-cost would be exceeded
    ├── LedgerError               locked, damaged, or settings that would mix two kinds of data   exit 1
    └── RowFailure                one row ends here as a reject; the run goes on (never reaches the user)
        ├── RevisionError         a reviser's reply that cannot be used, with its reason code
        └── NotBought             a re-ask that this pass does not pay for

A message says what was got, what was expected, and what to do next.
"""

from __future__ import annotations

from clair.records import Reason, Stage


class ClairError(Exception):
    """A failure with a message meant for the user. `exit_code` is what the command returns."""

    exit_code = 1


class UsageError(ClairError):
    """The command line, the configuration or an input file is wrong. Nothing was bought."""

    exit_code = 2


class RunStopped(ClairError):
    """The run cannot go on, but is resumable with the same command."""


class EndpointUnusable(RunStopped):
    """No request to this endpoint can succeed until somebody changes something."""


class BudgetExhausted(RunStopped):
    """The next request could exceed `--max-cost`."""


class LedgerError(ClairError):
    """The run folder cannot be used: locked, damaged, or made with other settings."""


class RowFailure(ClairError):
    """One row cannot become a pair. `reason` is a member of the closed set in `records.Reason`."""

    def __init__(self, reason: Reason, detail: str, *, stage: Stage | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.stage = stage


class RevisionError(RowFailure):
    """A reply of the reviser that gives no usable revision. `feedback` tells the reviser what to do better.

    `revision` is the text that was refused, where the reply had one.
    """

    def __init__(
        self, reason: Reason, detail: str, *, feedback: str, stage: Stage = "parse", revision: str | None = None
    ) -> None:
        super().__init__(reason, detail, stage=stage)
        self.feedback = feedback
        self.revision = revision


class NotBought(RowFailure):
    """A further attempt for a row that was finished earlier: re-gating is free, so it is not asked for."""

    def __init__(self) -> None:
        super().__init__("bad_request", "a further attempt is not bought for a finished row")
