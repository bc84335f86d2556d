"""Under which names answers are kept when servers change. Pure; nothing is doubled."""

from __future__ import annotations

import pytest

from clair.endpoints.naming import is_same_model, names_in_keys
from clair.errors import LedgerError

A, B, C = "http://a:8000/v1", "http://b:8000/v1", "http://c:8000/v1"
WEIGHTS = "sandbox-student@http://0123456789abcdef.sandbox.internal/v1"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (f"m@{A}", f"m@{B}", True),
        (f"m@{A}", f"m@{A},{B}", True),
        ("m", f"m@{A}", True),
        (f" org/m:8b@{A} ", "org/m:8b", True),
        (f"m@{A}", f"n@{A}", False),
        ("sandbox", f"m@{A}", False),
        (A, B, True),  # what they serve is known when they are asked
        (A, f"m@{B}", True),
        (None, f"m@{A}", False),
        (None, None, True),
        (WEIGHTS, WEIGHTS, True),
        (WEIGHTS, WEIGHTS.replace("0123", "3210"), False),
        (WEIGHTS, f"sandbox-student@{A}", False),
    ],
)
def test_a_model_is_the_same_wherever_it_is_served(one: str | None, other: str | None, same: bool) -> None:
    assert is_same_model(one, other) is is_same_model(other, one) is same


@pytest.mark.parametrize("now", [f"m@{A}", f"m@{B}", f"m@{A},{B}", f"m@{B},{C}"])
def test_a_name_stays_whatever_the_servers_are(now: str) -> None:
    known = {"target": f"m@{A}", "reviser": f"r@{C}"}
    assert names_in_keys({"target": now}, known=known, used=()) == {"target": f"m@{A}"}


def test_a_new_run_names_its_models_as_it_asks_them() -> None:
    now = {"target": f"m@{A}", "reviser": f"m@{B}"}
    assert names_in_keys(now, known={}, used=()) == now


def test_models_that_are_called_the_same_stay_apart_when_both_move() -> None:
    known = {"target": f"m@{A}", "baseline": f"m@{B}"}
    now = {"target": f"m@{C}", "baseline": "m@http://d/v1"}
    assert names_in_keys(now, known=known, used=()) == known


def test_exchanged_servers_of_models_that_are_called_the_same_are_noticed() -> None:
    known = {"target": f"m@{A}", "baseline": f"m@{B}"}
    with pytest.raises(LedgerError, match="served the baseline until now, under the same model name"):
        names_in_keys({"target": f"m@{B}", "baseline": f"m@{A}"}, known=known, used=())


def test_one_server_of_two_parts_may_become_two() -> None:
    known = {"target": f"m@{A}", "reviser": f"m@{A}"}
    assert names_in_keys({"target": f"m@{A}", "reviser": f"m@{B}"}, known=known, used=()) == known


def test_another_model_is_refused_with_both_names() -> None:
    with pytest.raises(LedgerError, match=f"the target was 'm@{A}' until now and is 'n@{A}': another model"):
        names_in_keys({"target": f"n@{A}"}, known={"target": f"m@{A}"}, used=())


@pytest.mark.parametrize(
    ("now", "used", "names"),
    [
        ({"target": f"m@{A}"}, {f"m@{A}", f"r@{B}"}, {"target": f"m@{A}"}),
        ({"target": f"m@{A},{B}"}, {f"m@{A}", f"r@{B}"}, {"target": f"m@{A}"}),
        ({"target": f"m@{A}"}, {f"n@{A}"}, {"target": f"m@{A}"}),
        ({"target": f"m@{A}", "baseline": f"m@{B}"}, {f"m@{A}", f"m@{B}"}, {"target": f"m@{A}", "baseline": f"m@{B}"}),
        ({"target": f"m@{A}", "baseline": f"m@{C}"}, {f"m@{A}", f"m@{B}"}, {"target": f"m@{A}", "baseline": f"m@{B}"}),
        ({"target": f"m@{A}", "baseline": f"m@{C}"}, {f"m@{A}"}, {"target": f"m@{A}", "baseline": f"m@{C}"}),
        ({"reviser": f"m@{B}", "judge": f"m@{B}"}, {f"m@{A}"}, {"reviser": f"m@{A}", "judge": f"m@{A}"}),
    ],
)
def test_answers_without_kept_names_are_those_of_the_model_that_is_called_so(
    now: dict[str, str], used: set[str], names: dict[str, str]
) -> None:
    assert names_in_keys(now, known={}, used=used) == names


def test_what_nobody_can_tell_is_not_guessed() -> None:
    with pytest.raises(LedgerError, match="Run it once with the same servers as before"):
        names_in_keys({"target": f"m@{C}"}, known={}, used={f"m@{A}", f"m@{B}"})
