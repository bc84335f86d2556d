"""What a family of word problems is: how it draws numbers, asks, and is solved step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from clair.sandbox.arithmetic import Arithmetic
from clair.sandbox.wordings import Values, Wording

PEOPLE = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry")
GOODS = ("apples", "pears", "plums", "pens", "books", "cups", "candles", "balls", "roses", "hats")


@dataclass(frozen=True)
class Family:
    """A kind of problem.

    `draw` makes the given values; `solve` adds every value that the steps state. `numbers` names the given values
    that make two problems different (the rest is decoration). `steps[i][w]` is the sentence of step i as writer w
    puts it; the last writer is the teacher's own wording. `answer` names the values that the question asks for.
    `independent` says that no step uses another step's result.
    """

    name: str
    numbers: tuple[str, ...]
    answer: tuple[str, ...]
    questions: tuple[Wording, ...]
    steps: tuple[tuple[Wording, ...], ...]
    draw: Callable[[Random], dict[str, str]]
    solve: Callable[[Values, Arithmetic], dict[str, str]]
    independent: bool

    @property
    def writers(self) -> int:
        return len(self.steps[0])


def wordings(texts: Sequence[str]) -> tuple[Wording, ...]:
    """One `Wording` per text."""
    return tuple(Wording(text) for text in texts)


def repeated(texts: Sequence[str], times: int) -> tuple[tuple[Wording, ...], ...]:
    """The same sentences for field 1, 2, ...: `#` stands for the number of the field."""
    return tuple(wordings([text.replace("#", str(i)) for text in texts]) for i in range(1, times + 1))
