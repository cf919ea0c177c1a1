"""GCRA: a table of arrivals, and the law that no pattern of them beats the rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limit import RateLimit

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("rps", "burst", "arrivals"),
    [
        # (milliseconds, admitted)
        (10, 1, [(0, True), (0, False), (99, False), (100, True), (199, False), (200, True)]),
        (10, 3, [(0, True), (0, True), (0, True), (0, False), (99, False), (100, True), (100, False)]),
        (10, 2, [(0, True), (1000, True), (1000, True), (1000, False), (1100, True), (1100, False)]),
        (0.5, 1, [(0, True), (1999, False), (2000, True)]),
        (1000, 1, [(0, True), (1, True), (1, False), (2, True)]),
    ],
)
def test_arrivals(rps: float, burst: int, arrivals: list[tuple[int, bool]]) -> None:
    limit = RateLimit(rps, burst)
    start = 5 * SECOND
    assert [limit.admit(start + at * 1_000_000) for at, _ in arrivals] == [admitted for _, admitted in arrivals]


def test_waiting_as_long_as_told_is_enough() -> None:
    limit = RateLimit(0.3, 2)
    now = 7 * SECOND
    assert limit.admit(now)
    assert limit.admit(now)
    assert not limit.admit(now)
    wait = limit.retry_after_s(now)
    assert wait == 4
    assert not limit.admit(now + 3 * SECOND)
    assert limit.admit(now + wait * SECOND)
    assert RateLimit(1000, 1).retry_after_s(now) == 1, "never zero"


@given(
    rps=st.floats(0.1, 100_000),
    burst=st.integers(1, 1000),
    gaps=st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=300),
)
def test_never_more_than_rate_times_time_plus_burst(rps: float, burst: int, gaps: list[int]) -> None:
    limit = RateLimit(rps, burst)
    interval = max(1, round(SECOND / rps))
    now = SECOND
    admitted: list[int] = []
    for gap in gaps:
        now += gap
        if limit.admit(now):
            admitted.append(now)
    for first in range(len(admitted)):
        allowed = (admitted[-1] - admitted[first]) / interval + burst
        assert len(admitted) - first <= allowed + 1e-6


@given(rps=st.floats(0.5, 10_000), burst=st.integers(1, 50), count=st.integers(1, 200))
def test_who_keeps_to_the_rate_is_always_admitted(rps: float, burst: int, count: int) -> None:
    limit = RateLimit(rps, burst)
    interval = max(1, round(SECOND / rps))
    assert all(limit.admit(SECOND + number * interval) for number in range(count))


def test_who_shares_has_a_part_of_it_and_keeps_what_was_admitted() -> None:
    limit = RateLimit(10, 4)
    now = 7 * SECOND
    assert [limit.admit(now) for _ in range(5)] == [True] * 4 + [False]
    limit.share(2)
    assert not limit.admit(now + SECOND // 10), "the burst of two is spent as well"
    assert limit.admit(now + 4 * SECOND)
    assert limit.admit(now + 4 * SECOND)
    assert not limit.admit(now + 4 * SECOND)
    limit.share(1)
    assert limit.same_as(RateLimit(10, 4))
