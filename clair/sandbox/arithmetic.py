"""The operations that solve the problems: exactly, with a bad habit, or with a slip of the pen.

Families solve by calling these operations, so one wrong operation has its natural consequences in later steps.
"""

from __future__ import annotations

from random import Random

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Arithmetic:
    """The exact operations. Subclasses get single ones wrong."""

    def times(self, a: int, b: int) -> int:
        return a * b

    def plus(self, a: int, b: int) -> int:
        return a + b

    def minus(self, a: int, b: int) -> int:
        """a - b for a >= b >= 0."""
        return a - b

    def carried_hour(self, hours: int) -> int:
        """Full hours that come out of adding the minutes, as they enter the sum of the hours."""
        return hours

    def days_over(self, days: int) -> int:
        """Days left over after full weeks."""
        return days % 7

    def days_after(self, start: str, days: int) -> list[str]:
        """The `days` weekdays that follow `start`, at least one."""
        return self._weekdays(start, 1, days)

    def _weekdays(self, start: str, first: int, count: int) -> list[str]:
        return [DAYS[(DAYS.index(start) + offset) % 7] for offset in range(first, first + count)]


class BadHabits(Arithmetic):
    """Systematic mistakes that school teachers know, each with a chance per use.

    Subtracting each digit from the larger one instead of borrowing, forgetting the carried hour, and counting
    today as the first day. The rest is done exactly. With `chance` 1 the habit is always shown.
    """

    def __init__(self, rng: Random, chance: float) -> None:
        self.rng = rng
        self.chance = chance

    def _strikes(self) -> bool:
        return self.rng.random() < self.chance

    def minus(self, a: int, b: int) -> int:
        if not self._strikes():
            return a - b
        width = len(str(a))
        digits = zip(str(a), str(b).zfill(width), strict=True)
        return int("".join(str(abs(int(x) - int(y))) for x, y in digits))

    def carried_hour(self, hours: int) -> int:
        return 0 if self._strikes() else hours

    def days_after(self, start: str, days: int) -> list[str]:
        return self._weekdays(start, 0 if self._strikes() else 1, days)


class Slips(Arithmetic):
    """Exact, but now and then a result is off by a little."""

    def __init__(self, rng: Random, chance: float) -> None:
        self.rng = rng
        self.chance = chance

    def _off(self, value: int) -> int:
        if self.rng.random() >= self.chance:
            return value
        return max(0, value + self.rng.choice((-10, -2, -1, 1, 2, 10)))

    def times(self, a: int, b: int) -> int:
        return self._off(a * b)

    def plus(self, a: int, b: int) -> int:
        return self._off(a + b)

    def minus(self, a: int, b: int) -> int:
        return self._off(a - b)

    def days_over(self, days: int) -> int:
        return min(6, max(1, self._off(days % 7)))
