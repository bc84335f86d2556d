"""Three events lie some days ahead: on which weekdays are they? The three answers do not depend on each other."""

from __future__ import annotations

from random import Random

from clair.sandbox.arithmetic import DAYS, Arithmetic
from clair.sandbox.families.base import PEOPLE, Family, repeated, wordings
from clair.sandbox.wordings import Values

EVENTS = ("party", "concert", "exam", "wedding", "match", "picnic", "dinner", "race")
AHEAD = [days for days in range(8, 42) if days % 7]


def _draw(rng: Random) -> dict[str, str]:
    events, days = rng.sample(EVENTS, 3), rng.sample(AHEAD, 3)
    fields = {f"e{i}": event for i, event in enumerate(events, 1)}
    fields |= {f"o{i}": str(day) for i, day in enumerate(days, 1)}
    return {"who": rng.choice(PEOPLE), "start": rng.choice(DAYS), **fields}


def _solve(given: Values, calc: Arithmetic) -> dict[str, str]:
    solved = dict(given)
    for i in "123":
        over = calc.days_over(int(given[f"o{i}"]))
        days = calc.days_after(given["start"], over)
        solved |= {f"r{i}": str(over), f"days{i}list": ", ".join(days), f"d{i}": days[-1]}
    return solved


WEEK = Family(
    name="week",
    numbers=("start", "o1", "o2", "o3"),
    answer=("d1", "d2", "d3"),
    independent=True,
    draw=_draw,
    solve=_solve,
    questions=wordings(
        [
            "Today is {start}. {who} has the {e1} in {o1} days, the {e2} in {o2} days and the {e3} in {o3} days. On"
            " which weekdays are they?",
            "{who} looks at the calendar on a {start}: {e1} in {o1} days, {e2} in {o2} days, {e3} in {o3} days. Which"
            " weekday is each?",
            "From this {start} on it is {o1} days to the {e1}, {o2} days to the {e2} and {o3} days to the {e3}. Can"
            " you tell {who} the weekdays?",
        ]
    ),
    steps=repeated(
        [
            "The {e#} is {o#} days away, {r#} over the weeks: {days#list}, which is a {d#}.",
            "For the {e#} in {o#} days we count {r#}, so {days#list}, and get {d#}.",
            "{e#}: {o#} mod 7 = {r#}, {days#list} = {d#}.",
        ],
        3,
    ),
)
