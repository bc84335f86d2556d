"""A train leaves and travels for some time: when does it arrive? Each step needs the one before."""

from __future__ import annotations

from random import Random

from clair.sandbox.arithmetic import Arithmetic
from clair.sandbox.families.base import Family, wordings
from clair.sandbox.wordings import Values

CITIES = ("Paris", "Rome", "Vienna", "Berlin", "Madrid", "Oslo")


def _draw(rng: Random) -> dict[str, str]:
    hour, minute = rng.randint(5, 14), rng.randint(0, 59)
    return {
        "city": rng.choice(CITIES), "dep": f"{hour}:{minute:02}",
        "dh": str(rng.randint(2, 8)), "dm": str(rng.randrange(5, 60, 5)),
    }  # fmt: skip


def _solve(given: Values, calc: Arithmetic) -> dict[str, str]:
    hour, minute = (int(part) for part in given["dep"].split(":"))
    minutes = calc.plus(minute, int(given["dm"]))
    carry, rest = divmod(minutes, 60)
    entered = calc.carried_hour(carry)
    hours = calc.plus(hour + int(given["dh"]), entered)
    return {
        **given, "h": str(hour), "m": str(minute), "sum": str(minutes), "carry": str(carry), "rest": str(rest),
        "entered": str(entered), "hours": str(hours), "arr": f"{hours}:{rest:02}",
    }  # fmt: skip


TRIP = Family(
    name="trip",
    numbers=("dep", "dh", "dm"),
    answer=("arr",),
    independent=False,
    draw=_draw,
    solve=_solve,
    questions=wordings(
        [
            "A train leaves {city} at {dep} and travels for {dh} hours and {dm} minutes. When does it arrive?",
            "The ride from {city} takes {dh} hours and {dm} minutes. The train starts at {dep}. What time is it at"
            " the end of the ride?",
            "It is {dep} in {city} when the show begins. It lasts {dh} hours and {dm} minutes. When is it over?",
        ]
    ),
    steps=(
        wordings(
            [
                "The minutes are {m} + {dm} = {sum}.",
                "Adding up the minutes, {m} and {dm} make {sum}.",
                "Minutes: {m} + {dm} = {sum}.",
            ]
        ),
        wordings(
            [
                "That is {carry} full hours and {rest} minutes.",
                "This gives {carry} hours to carry and {rest} minutes over.",
                "{sum} minutes = {carry} h {rest} min.",
            ]
        ),
        wordings(
            [
                "The hours are {h} + {dh} + {entered} = {hours}.",
                "Adding up the hours, {h} and {dh} and {entered} make {hours}.",
                "Hours: {h} + {dh} + {entered} = {hours}.",
            ]
        ),
        wordings(
            [
                "So the time is {arr} then.",
                "Taken together, it will be {arr} by the clock.",
                "Time: {arr}.",
            ]
        ),
    ),
)
