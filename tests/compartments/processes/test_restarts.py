"""When what died is started again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compartments.processes.restarts import FIRST_S, HEALTHY_S, LONGEST_S, Restarts, after_death

fraction = st.floats(0, 1, exclude_max=True)


def waits(jitter: float, deaths: int) -> list[float]:
    record, found = Restarts(), []
    for _ in range(deaths):
        record, wait = after_death(record, 0.2, jitter)
        found.append(wait)
    return found


def test_the_table() -> None:
    expected = [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]
    assert waits(0.999999999, 11) == pytest.approx(expected)
    assert waits(0.0, 11) == pytest.approx([wait / 2 for wait in expected])


@given(st.integers(0, 10**9), st.floats(0, HEALTHY_S, exclude_max=True), fraction)
def test_a_wait_is_within_its_bounds(failures: int, lived_s: float, jitter: float) -> None:
    record, wait = after_death(Restarts(failures), lived_s, jitter)
    assert record.failures == failures + 1
    if failures == 0:
        assert wait == 0
    else:
        assert FIRST_S / 2 <= wait <= LONGEST_S


@given(st.integers(0, 100), st.floats(HEALTHY_S, 1e9), fraction)
def test_a_healthy_life_clears_the_record(failures: int, lived_s: float, jitter: float) -> None:
    assert after_death(Restarts(failures), lived_s, jitter) == (Restarts(1), 0.0)
