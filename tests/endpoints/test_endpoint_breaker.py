"""When an endpoint is given up, on a simulated clock. Pure; nothing is doubled."""

from __future__ import annotations

from clair.endpoints.breaker import Breaker


def fail(breaker: Breaker, *times: float, took_s: float = 1.0, open_requests: int = 0) -> list[bool]:
    given_up = []
    for t in times:
        breaker.failed(t, started_at=t - took_s, open_requests=open_requests, detail="HTTP 500: x")
        given_up.append(breaker.why is not None)
    return given_up


def reject(breaker: Breaker, times: int, *, open_requests: int = 1, is_first_try: bool = True) -> list[bool]:
    given_up = []
    for _ in range(times):
        breaker.rejected(is_first_try=is_first_try, open_requests=open_requests, detail="HTTP 400: x")
        given_up.append(breaker.why is not None)
    return given_up


def test_opens_after_the_set_time_without_success() -> None:
    breaker = Breaker(120)
    assert fail(breaker, 0, 30, 60, 90, 119) == [False] * 5
    assert fail(breaker, 121) == [True]
    assert breaker.why == "no request succeeded for 121 s (6 failed); the last one: HTTP 500: x"


def test_a_success_starts_the_count_again() -> None:
    breaker = Breaker(120)
    fail(breaker, *range(0, 120, 10))
    breaker.succeeded()
    assert fail(breaker, *range(120, 230, 10)) == [False] * 11


def test_time_in_which_nothing_was_asked_does_not_count() -> None:
    breaker = Breaker(120)
    assert fail(breaker, 0, 1, 2, 3, 4, 5000, 5001) == [False] * 7


def test_few_failures_among_many_slow_answers_do_not_open_it() -> None:
    assert fail(Breaker(120), *range(0, 600, 50), open_requests=1000) == [False] * 12


def test_stalls_that_take_the_whole_timeout_count_in_full() -> None:
    breaker = Breaker(120)
    assert fail(breaker, *[600.0] * 8, took_s=600) == [False] * 8
    assert fail(breaker, 1201, took_s=600) == [True]


def test_a_server_that_never_accepted_anything_is_given_up() -> None:
    breaker = Breaker(120)
    assert reject(breaker, 50) == [False] * 49 + [True]
    assert breaker.why is not None
    assert breaker.why.startswith("the first 50 requests were all refused; the last one: HTTP 400: x. Mend the server")


def test_five_questions_are_enough_if_no_other_is_open_and_tries_of_one_are_not() -> None:
    assert reject(Breaker(120), 5, open_requests=0) == [False] * 4 + [True]
    breaker = Breaker(120)
    reject(breaker, 1, open_requests=0)
    assert not any(reject(breaker, 50, open_requests=0, is_first_try=False))


def test_a_server_that_accepted_something_may_refuse_as_much_as_it_likes() -> None:
    breaker = Breaker(120)
    breaker.succeeded()
    assert not any(reject(breaker, 500))


def test_what_no_request_could_change_gives_it_up_at_once_and_a_success_takes_it_back() -> None:
    breaker = Breaker(120)
    breaker.refused("HTTP 401: x")
    assert breaker.why == "HTTP 401: x"
    breaker.succeeded()
    assert breaker.why is None


def forbid(
    breaker: Breaker, times: int, *, open_requests: int = 0, is_first_try: bool = True
) -> list[tuple[bool, bool]]:
    """For each 403: whether it is surely its question's own fault, and whether the server is given up."""
    found = []
    for _ in range(times):
        is_its_own = breaker.forbidden(is_first_try=is_first_try, open_requests=open_requests, detail="HTTP 403: x")
        found.append((is_its_own, breaker.why is not None))
    return found


def test_a_server_that_has_answered_nobody_is_given_up_after_five_that_it_will_not_have() -> None:
    breaker = Breaker(120)
    assert forbid(breaker, 5) == [(False, False)] * 4 + [(False, True)]
    assert breaker.why is not None
    assert breaker.why.startswith("the last 5 requests were all refused; the last one: HTTP 403: x. Check the API key")
    assert forbid(Breaker(120), 9, open_requests=9) == [(False, False)] * 8 + [(False, True)]


def test_tries_of_few_questions_do_not_give_it_up_while_others_await_the_first_answer() -> None:
    breaker = Breaker(120)
    forbid(breaker, 4, open_requests=9)
    again = forbid(breaker, 16, open_requests=9, is_first_try=False)
    assert again == [(False, False)] * 16
    assert forbid(breaker, 1, is_first_try=False) == [(False, True)]


def test_what_it_will_not_have_between_two_answers_is_the_questions_fault() -> None:
    breaker = Breaker(120)
    for _ in range(100):
        breaker.succeeded()
        assert forbid(breaker, 2) == [(True, False), (False, False)]


def test_fifty_in_a_row_that_it_will_not_have_are_the_keys_fault_whatever_it_answered_before() -> None:
    """Such as a key that has spent what it may."""
    breaker = Breaker(120)
    breaker.succeeded()
    assert [given_up for _, given_up in forbid(breaker, 50)] == [False] * 49 + [True]
