"""Where rows are driven through their recipe: in this process (`Here`), or on other machines (`clair.engines.ray`).

The engine reads rows, gives each to its site and commits what becomes of it; it does not know where that happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from clair.errors import RowFailure
from clair.pipeline.answers import Answers
from clair.recipes.base import Piece, Plan
from clair.records import Ask, Check, Completion, Reject, Row, Spent


class Paid(Protocol):
    """What says what it cost."""

    @property
    def spent(self) -> Spent:
        """What the row used."""


Made = TypeVar("Made", bound=Paid)
"""What a recipe makes of a row that is not rejected: a pair, or what an evaluation compares."""
Made_co = TypeVar("Made_co", bound=Paid, covariant=True)


class Site(Protocol[Made_co]):
    """Drives rows, many at a time."""

    @property
    def stopping(self) -> bool:
        """Whether nothing more is bought."""

    def stop(self) -> None:
        """Buy nothing more. Requests in flight finish and are committed."""

    def capacity(self) -> int:
        """How many rows may be in flight now."""

    def on_room(self, call: Callable[[], None]) -> None:
        """Call this when there may be room for more rows although none has ended."""

    async def drive(self, row: Row, *, finished_before: bool) -> Made_co | Reject:
        """How the row ends. `finished_before`: an earlier invocation finished it, so its re-asks are not bought anew.

        Raises Stopping if a question would have to be bought after `stop`, and what stops the run.
        """

    async def aclose(self) -> None:
        """Let go of what the site holds; no row is driven any more."""


class Here(Generic[Made]):
    """In this process. `answers` answers the recipe's questions, `checker` scores its checks."""

    def __init__(
        self,
        recipe: Callable[[Row, Plan], Piece[Made | Reject]],
        plan: Plan,
        answers: Answers,
        *,
        capacity: Callable[[], int],
        checker: Callable[[Check], float] | None = None,
    ) -> None:
        self._recipe = recipe
        self._plan = plan
        self._answers = answers
        self._checker = checker
        self.capacity = capacity

    @property
    def stopping(self) -> bool:
        """Whether nothing more is bought."""
        return self._answers.stopping

    def stop(self) -> None:
        """Buy nothing more."""
        self._answers.stop()

    def on_room(self, call: Callable[[], None]) -> None:
        """Room comes with the rows that end."""

    async def drive(self, row: Row, *, finished_before: bool) -> Made | Reject:
        """How the row ends, see `Site`."""
        steps = self._recipe(row, self._plan)
        try:
            questions = next(steps)
            while True:
                questions = steps.send(await self._answered(questions, finished_before))
        except StopIteration as end:
            outcome: Made | Reject = end.value
            return outcome

    async def aclose(self) -> None:
        """Nothing is held."""

    async def _answered(self, questions: Sequence[Ask] | Sequence[Check], finished_before: bool) -> list[Any]:
        """A result for each question: a Completion, the RowFailure in its place, or a checker's number."""
        if len(questions) == 1:
            return [await self._result(questions[0], finished_before)]
        results = await asyncio.gather(
            *(self._result(question, finished_before) for question in questions), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, RowFailure):
                raise result
        return results

    async def _result(self, question: Ask | Check, finished_before: bool) -> Completion | RowFailure | float:
        if isinstance(question, Check):
            assert self._checker is not None
            return await asyncio.to_thread(self._checker, question)
        try:
            return await self._answers.get(question, finished_before=finished_before)
        except RowFailure as failure:
            return failure
