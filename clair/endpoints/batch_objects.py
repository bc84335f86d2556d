"""What the Batch API's replies hold: batches, files, and pages of them; fields without a use here are left out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})


class Problem(BaseModel):
    """Why a batch failed as a whole."""

    code: str | None = None
    message: str | None = None
    line: int | None = None


class _Problems(BaseModel):
    data: list[Problem] | None = None


class _Counts(BaseModel):
    total: int = 0
    completed: int = 0
    failed: int = 0


class Job(BaseModel):
    """One batch as the server describes it."""

    id: str = Field(min_length=1)
    status: str
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Problems | None = None
    request_counts: _Counts | None = None
    metadata: dict[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.status in TERMINAL

    @property
    def problems(self) -> list[Problem]:
        """What was wrong with it, if it failed."""
        return (self.errors.data if self.errors else None) or []

    @property
    def finished(self) -> int:
        """Requests that have ended, well or not, as far as the server counts."""
        return self.request_counts.completed + self.request_counts.failed if self.request_counts else 0


class File(BaseModel):
    id: str = Field(min_length=1)
    filename: str = ""
    bytes: int | None = None


class _Page(BaseModel):
    has_more: bool = False


class Jobs(_Page):
    data: list[Job]


class Files(_Page):
    data: list[File]
