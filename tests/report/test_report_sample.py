"""The sample of rows. Everything is real."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clair.report.sample import Sample


def sample_of(keys, texts=str, **options):
    sample = Sample(**{"rows": 10, "size": 10**6, **options})
    for key in keys:
        sample.offer(str(key), lambda key=key: texts(key))
    return sample


def test_all_rows_are_kept_in_order_while_there_is_room():
    sample = sample_of(range(10))
    assert sample.texts() == [str(number) for number in range(10)]
    assert (len(sample), sample.seen) == (10, 10)


def test_which_rows_are_kept_does_not_depend_on_their_order():
    keys = list(range(1000))
    assert sorted(sample_of(keys).texts()) == sorted(sample_of(keys[::-1]).texts())
    assert len(sample_of(keys)) == 10


def test_another_seed_is_another_sample():
    assert sample_of(range(1000), seed=1).texts() != sample_of(range(1000), seed=2).texts()


def test_every_part_of_the_run_has_its_chance():
    kept = [int(text) for text in sample_of(range(10_000), rows=1000).texts()]
    assert all(60 < sum(low <= number < low + 1000 for number in kept) < 140 for low in range(0, 10_000, 1000))


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 200), st.integers(1, 20))
def test_the_first_rows_by_rank_that_fit_are_kept(sizes, size, rows):
    """Whatever the order: the longest run of first ranks within both bounds, and one row at least."""
    keys = range(len(sizes))
    sample = sample_of(keys, lambda key: "x" * sizes[key], rows=rows, size=size)
    backwards = sample_of(reversed(keys), lambda key: "x" * sizes[key], rows=rows, size=size)
    assert sum(map(len, sample.texts())) <= max(size, max(sizes, default=0))
    assert len(sample) <= rows
    assert sorted(map(len, sample.texts())) == sorted(map(len, backwards.texts()))
    assert bool(len(sample)) == bool(sizes)


def test_rows_of_one_key_come_together():
    sample = Sample(rows=20, size=10**6)
    for number in range(300):
        sample.offer(str(number % 100), lambda number=number: str(number % 100))
    kept = sample.texts()
    assert len(kept) == 18
    assert all(kept.count(text) == 3 for text in kept)


def test_shrinking_keeps_the_first_ranks():
    sample = sample_of(range(100), lambda key: f"{key:02d}", rows=50)
    before = set(sample.texts())
    sample.shrink(20)
    assert len(sample) == 10
    assert set(sample.texts()) < before


def test_a_row_is_encoded_only_when_it_is_kept_for_now():
    encoded = []
    sample = Sample(rows=10, size=10**6)
    for number in range(10_000):
        sample.offer(str(number), lambda number=number: encoded.append(number) or "x")
    assert len(encoded) < 150  # about 10 * (1 + ln 1000)
