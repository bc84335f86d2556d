"""Four numbers: put them in order, find the ends, and say how far apart they are. Each step needs the one before."""

from __future__ import annotations

from random import Random

from clair.sandbox.arithmetic import Arithmetic
from clair.sandbox.families.base import PEOPLE, Family, wordings
from clair.sandbox.wordings import Values

THINGS = ("scores", "weights", "prices", "heights", "ages", "points")


def _draw(rng: Random) -> dict[str, str]:
    numbers = rng.sample(range(11, 50), 4)
    return {"who": rng.choice(PEOPLE), "things": rng.choice(THINGS), "list": ", ".join(map(str, numbers))}


def _solve(given: Values, calc: Arithmetic) -> dict[str, str]:
    numbers = sorted(int(number) for number in given["list"].split(", "))
    low, high = numbers[0], numbers[-1]
    gap = calc.minus(high, low)
    return {
        **given, "sorted_list": ", ".join(map(str, numbers)), "low": str(low), "high": str(high), "gap": str(gap),
    }  # fmt: skip


MARKS = Family(
    name="marks",
    numbers=("list",),
    answer=("gap",),
    independent=False,
    draw=_draw,
    solve=_solve,
    questions=wordings(
        [
            "{who} writes down the {things} {list}. How far apart are the smallest and the largest?",
            "Here are four {things}: {list}. Please sort them for {who} and tell the gap between the extremes.",
            "Sort the {things} {list} for {who}. What is the difference between the ends?",
        ]
    ),
    steps=(
        wordings(
            [
                "In order the {things} are {sorted_list}.",
                "Sorting the {things} gives {sorted_list}.",
                "Sorted: {sorted_list}.",
            ]
        ),
        wordings(
            [
                "The smallest is {low} and the largest is {high}.",
                "At the ends there are {low} and {high}.",
                "Ends: {low}, {high}.",
            ]
        ),
        wordings(
            [
                "So they are {high} - {low} = {gap} apart.",
                "Taking {low} from {high} shows a gap of {gap}.",
                "Gap: {high} - {low} = {gap}.",
            ]
        ),
    ),
)
