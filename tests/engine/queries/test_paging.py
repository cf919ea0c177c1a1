"""Pages of random queries over random tables, cursors that were never given among them."""

from collections.abc import Iterator
from operator import itemgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.queries.paging import best, in_order
from tests.engine.oracle import Oracle
from tests.engine.paging_properties import SERVICES_PER_EXAMPLE, Paging
from tests.engine.properties import hold, wanted

SERVICES = 150  # in CI


@pytest.fixture(scope="module")
def oracle() -> Iterator[Oracle]:
    found = Oracle()
    yield found
    found.close()


@pytest.mark.timeout(900)  # a failure is shrunk
def test_pages_are_the_whole_answer(oracle: Oracle) -> None:
    paging = Paging(oracle)
    services, seed = wanted(SERVICES)
    hold(paging.check, max(1, services // SERVICES_PER_EXAMPLE), seed)
    print(dict(paging.went))
    assert paging.went["rows"] > services / 10
    assert paging.went["grouped"] > services / 20


@given(
    st.lists(st.integers(-9, 9), max_size=200) | st.lists(st.integers(), max_size=200),
    st.integers(1, 20),
    st.booleans(),
)
def test_the_best_are_those_that_come_first(values: list[int], enough: int, descends: bool) -> None:
    """Equal ones in the order in which they were read."""
    order = ((itemgetter(1), descends),)
    every, found = list(enumerate(values)), list(best(range(len(values)), [values], enough, descends))
    for rows in (every, found):
        assert list(in_order(rows, order)) == []
    assert found[:enough] == every[:enough]


def test_most_of_the_others_are_left_out() -> None:
    values = [number * 7919 % 1000 for number in range(500)]
    for descends in (False, True):
        found = list(best(range(500), [values, values[::-1]], 21, descends))
        assert 21 <= len(found) < 150
        assert all(item == (item[0], values[item[0]], values[-1 - item[0]]) for item in found)
