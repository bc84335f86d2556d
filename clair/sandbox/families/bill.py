"""Two kinds of goods are bought and paid for: how much is the change? Each step needs the one before."""

from __future__ import annotations

from random import Random

from clair.sandbox.arithmetic import Arithmetic
from clair.sandbox.families.base import GOODS, PEOPLE, Family, wordings
from clair.sandbox.wordings import Values


def _draw(rng: Random) -> dict[str, str]:
    n1, n2 = rng.randint(2, 9), rng.randint(2, 9)
    p1, p2 = rng.randint(2, 7), rng.randint(2, 7)
    total = n1 * p1 + n2 * p2
    paid = (total // 5 + rng.randint(1, 12)) * 5
    item1, item2 = rng.sample(GOODS, 2)
    return {
        "who": rng.choice(PEOPLE), "item1": item1, "item2": item2,
        "n1": str(n1), "p1": str(p1), "n2": str(n2), "p2": str(p2), "paid": str(paid),
    }  # fmt: skip


def _solve(given: Values, calc: Arithmetic) -> dict[str, str]:
    cost1 = calc.times(int(given["n1"]), int(given["p1"]))
    cost2 = calc.times(int(given["n2"]), int(given["p2"]))
    total = calc.plus(cost1, cost2)
    change = calc.minus(int(given["paid"]), total)
    return {**given, "c1": str(cost1), "c2": str(cost2), "total": str(total), "change": str(change)}


BILL = Family(
    name="bill",
    numbers=("n1", "p1", "n2", "p2", "paid"),
    answer=("change",),
    independent=False,
    draw=_draw,
    solve=_solve,
    questions=wordings(
        [
            "{who} buys {n1} {item1} at {p1} dollars each and {n2} {item2} at {p2} dollars each, and pays with"
            " {paid} dollars. How much change is due?",
            "In a shop one of the {item1} costs {p1} dollars and one of the {item2} costs {p2} dollars. {who} takes"
            " {n1} {item1} and {n2} {item2} and hands over {paid} dollars. What comes back?",
            "{who} has {paid} dollars and needs {n1} {item1} for {p1} dollars each as well as {n2} {item2} for {p2}"
            " dollars each. How many dollars are left after shopping?",
        ]
    ),
    steps=(
        wordings(
            [
                "The {item1} cost {n1} x {p1} = {c1} dollars.",
                "For the {item1} we pay {n1} times {p1}, so {c1} dollars.",
                "{item1}: {n1} * {p1} = {c1}.",
            ]
        ),
        wordings(
            [
                "The {item2} cost {n2} x {p2} = {c2} dollars.",
                "For the {item2} we pay {n2} times {p2}, so {c2} dollars.",
                "{item2}: {n2} * {p2} = {c2}.",
            ]
        ),
        wordings(
            [
                "Together that is {c1} + {c2} = {total} dollars.",
                "Adding {c1} and {c2} gives a bill of {total} dollars.",
                "Sum: {c1} + {c2} = {total}.",
            ]
        ),
        wordings(
            [
                "The change is {paid} - {total} = {change} dollars.",
                "Taking {total} from {paid} leaves {change} dollars.",
                "Change: {paid} - {total} = {change} dollars.",
            ]
        ),
    ),
)
