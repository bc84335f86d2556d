"""What the paper (arXiv 2408.06266) says of its comparison, held against a study's figures. Pure.

A claim is decided if the 95 % interval of the difference it is about excludes zero, and left open otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from clair.study.statistics import Answers, Arm, Difference, difference, share

Verdict = Literal["as in the paper", "against the paper", "not decided"]
CONTRASTIVE = ("dpo", "kto", "apo_zero", "apo_down")

Arms = Mapping[tuple[str, str], Arm]
"""(dataset, objective) -> its models' answers."""


class Claim(NamedTuple):
    """One claim: what the paper says, what was measured, what follows."""

    says: str
    measured: str
    difference: Difference
    verdict: Verdict


def claims(arms: Arms, student: Answers) -> list[Claim]:
    """Every claim whose arms were trained."""
    return [*_best_dataset(arms), *_best_objective(arms), *_contrast(arms), *_fit(arms, student)]


def _best_dataset(arms: Arms) -> Iterator[Claim]:
    # Of APO-down the paper says the opposite: it is not for chosen answers that are better than the model's own.
    for objective in dict.fromkeys(objective for _, objective in arms if objective != "apo_down"):
        rivals = {it: arm for it, arm in arms.items() if it[1] == objective and it[0] != "clair"}
        if rivals and ("clair", objective) in arms:
            yield _versus(arms, ("clair", objective), _best(rivals), f"CLAIR is the best dataset (here: {objective})")


def _best_objective(arms: Arms) -> Iterator[Claim]:
    rivals = {it: arm for it, arm in arms.items() if it[0] == "clair" and it[1] != "apo_zero"}
    if rivals and ("clair", "apo_zero") in arms:
        yield _versus(arms, ("clair", "apo_zero"), _best(rivals), "APO-zero is the best objective on CLAIR")


def _contrast(arms: Arms) -> Iterator[Claim]:
    rivals = {it: arm for it, arm in arms.items() if it[0] == "judge_off_policy" and it[1] != "apo_down"}
    if rivals and ("judge_off_policy", "apo_down") in arms:
        ours = ("judge_off_policy", "apo_down")
        yield _versus(arms, ours, _best(rivals), "APO-down is the best objective on off-policy judged data")


def _fit(arms: Arms, student: Answers) -> Iterator[Claim]:
    for objective in CONTRASTIVE:
        if ("stronger_preferred", objective) in arms:
            says = f"contrastive objectives on stronger-preferred data harm the model (here: {objective})"
            yield _harms(arms, ("stronger_preferred", objective), student, says)
    if ("clair", "apo_down") in arms:
        yield _harms(arms, ("clair", "apo_down"), student, "APO-down on CLAIR harms the model")


def _versus(arms: Arms, ours: tuple[str, str], rival: tuple[str, str], says: str) -> Claim:
    found = difference(arms[ours], arms[rival])
    measured = f"{_name(ours)} {_percent(arms[ours])}, best other {_name(rival)} {_percent(arms[rival])}"
    return Claim(says, measured, found, verdict(found, expected=1))


def _harms(arms: Arms, ours: tuple[str, str], student: Answers, says: str) -> Claim:
    found = difference(arms[ours], [student])
    measured = f"{_name(ours)} {_percent(arms[ours])}, the student {_percent([student])}"
    return Claim(says, measured, found, verdict(found, expected=-1))


def verdict(found: Difference, *, expected: Literal[1, -1]) -> Verdict:
    """What the interval of a difference says of a claim about its sign."""
    if found.low <= 0 <= found.high:
        return "not decided"
    return "as in the paper" if (found.low > 0) == (expected > 0) else "against the paper"


def _best(arms: Arms) -> tuple[str, str]:
    return max(arms, key=lambda name: sum(map(share, arms[name])))


def _name(arm: tuple[str, str]) -> str:
    return f"{arm[0]} x {arm[1]}"


def _percent(arm: Arm) -> str:
    return f"{100 * sum(map(share, arm)) / len(arm):.1f} %"
