"""Three kinds of goods, some sold: how many of each are left? The three answers do not depend on each other."""

from __future__ import annotations

from random import Random

from clair.sandbox.arithmetic import Arithmetic
from clair.sandbox.families.base import GOODS, PEOPLE, Family, repeated, wordings
from clair.sandbox.wordings import Values


def _draw(rng: Random) -> dict[str, str]:
    fields: dict[str, str] = {"who": rng.choice(PEOPLE)}
    for i, item in enumerate(rng.sample(GOODS, 3), 1):
        had = rng.randint(21, 49)
        fields |= {f"item{i}": item, f"a{i}": str(had), f"b{i}": str(rng.randint(4, 19))}
    return fields


def _solve(given: Values, calc: Arithmetic) -> dict[str, str]:
    left = {f"l{i}": str(calc.minus(int(given[f"a{i}"]), int(given[f"b{i}"]))) for i in "123"}
    return {**given, **left}


STOCK = Family(
    name="stock",
    numbers=("a1", "b1", "a2", "b2", "a3", "b3"),
    answer=("l1", "l2", "l3"),
    independent=True,
    draw=_draw,
    solve=_solve,
    questions=wordings(
        [
            "{who} has {a1} {item1}, {a2} {item2} and {a3} {item3} in the shop and sells {b1} {item1}, {b2} {item2}"
            " and {b3} {item3}. How many of each are left?",
            "In the morning there are {a1} {item1}, {a2} {item2} and {a3} {item3}. By the evening {who} has given"
            " away {b1} {item1}, {b2} {item2} and {b3} {item3}. What remains of each?",
            "From {a1} {item1} {who} takes {b1}, from {a2} {item2} {b2} and from {a3} {item3} {b3}. How many stay"
            " behind of every kind?",
        ]
    ),
    steps=repeated(
        [
            "Of the {item#} there were {a#}, so {a#} - {b#} = {l#} are left.",
            "For the {item#} it is {a#} minus {b#}, and this makes {l#} still there.",
            "{item#}: {a#} - {b#} = {l#}.",
        ],
        3,
    ),
)
