"""Rate limits per minute on a simulated clock. Pure; nothing is doubled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clair.endpoints.bucket import TokenBucket


def takes(per_minute: float, amounts: list[float]) -> list[float]:
    """When each amount is let through if all are asked for at time 0."""
    bucket, now, times = TokenBucket(per_minute), 0.0, []
    for amount in amounts:
        now += bucket.wait_s(now, amount)
        bucket.take(amount)
        times.append(now)
    return times


def test_one_second_at_once_and_then_evenly() -> None:
    assert [round(t, 6) for t in takes(120, [1, 1, 1, 1])] == [0.0, 0.0, 0.5, 1.0]
    assert [round(t, 6) for t in takes(6, [1, 1, 1])] == [0.0, 10.0, 20.0]


def test_an_amount_above_the_burst_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    assert [round(t, 6) for t in takes(60, [10, 1])] == [0.0, 10.0]


def test_what_was_not_used_comes_back() -> None:
    bucket = TokenBucket(60)
    bucket.take(10)
    assert round(bucket.wait_s(0.0, 1), 6) == 10.0
    bucket.settle(estimated=10, used=1)
    assert round(bucket.wait_s(0.0, 1), 6) == 1.0
    bucket.settle(estimated=0, used=5)
    assert round(bucket.wait_s(0.0, 1), 6) == 6.0


@given(st.floats(1, 10_000), st.lists(st.floats(0.1, 1.0), min_size=1, max_size=100))
def test_no_minute_gets_more_than_the_limit_and_a_second_of_it(per_minute: float, amounts: list[float]) -> None:
    times = takes(per_minute, amounts)
    for start in times:
        within = sum(amount for time, amount in zip(times, amounts, strict=True) if start <= time < start + 60)
        assert within <= per_minute + max(1.0, per_minute / 60) * 1.2 + 1.0
