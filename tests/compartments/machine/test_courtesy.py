"""Who gives way, and for how long: tables of what was run and waited for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compartments.machine.courtesy import FAIR_NS, SHARE_MIN, WINDOW_NS, Courtesy, sharers

MS = 1_000_000


def test_only_who_shares_with_a_higher_one() -> None:
    cpus = {"high": [0], "medium": [0, 1], "low": [1], "beside": [2], "peer": [0]}
    assert sharers(
        cpus, {"high": "high", "medium": "medium", "low": "low", "beside": "low", "peer": "high"}
    ) == {"medium", "low"}  # fmt: skip
    assert sharers({"one": [0]}, {"one": "low"}) == frozenset()


@pytest.mark.parametrize(
    ("ran_ms", "waited_ms", "gives_way"),
    [
        (0, 0, True),  # nothing to do
        (300, 0, True),  # it has all it wants
        (100, 200, True),  # a third
        (5, 60, True),  # a tenth of the little it wants
        (0, 300, False),  # nothing at all
        (20, 280, False),
    ],
)
def test_who_starves_gives_way_no_more(ran_ms: int, waited_ms: int, gives_way: bool) -> None:
    courtesy = Courtesy()
    assert courtesy.gives_way(7, 8, 1000)
    assert courtesy.gives_way(7 + ran_ms * MS, 8 + waited_ms * MS, 1000 + WINDOW_NS - 1), "that is too short to say"
    assert courtesy.gives_way(7 + ran_ms * MS, 8 + waited_ms * MS, 1000 + WINDOW_NS) is gives_way


def test_it_is_tried_again() -> None:
    courtesy = Courtesy()
    courtesy.gives_way(0, 0, 0)
    assert not courtesy.gives_way(0, WINDOW_NS, WINDOW_NS)
    assert not courtesy.gives_way(WINDOW_NS, WINDOW_NS, WINDOW_NS + FAIR_NS - 1)
    assert courtesy.gives_way(WINDOW_NS, WINDOW_NS, WINDOW_NS + FAIR_NS)
    assert courtesy.gives_way(2 * WINDOW_NS, WINDOW_NS, 2 * WINDOW_NS + FAIR_NS), "it is judged by what came since"


def test_a_worker_that_went_takes_its_times_along() -> None:
    courtesy = Courtesy()
    courtesy.gives_way(1000 * MS, 1000 * MS, 0)
    assert courtesy.gives_way(0, 999 * MS, WINDOW_NS), "of others: nothing is known"
    assert not courtesy.gives_way(1 * MS, 1299 * MS, 2 * WINDOW_NS)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=40))
def test_nobody_gives_way_who_gets_less_than_a_tenth(spans: list[tuple[int, int]]) -> None:
    """And whoever gets more does, but for a while after he did not."""
    courtesy, ran, waited, now = Courtesy(), 0, 0, 0
    courtesy.gives_way(0, 0, 0)
    starved_ns: int | None = None
    for ran_ms, waited_ms in spans:
        ran, waited, now = ran + ran_ms * MS, waited + waited_ms * MS, now + WINDOW_NS
        hungry = waited_ms >= 150 and ran_ms < SHARE_MIN * (ran_ms + waited_ms)
        found = courtesy.gives_way(ran, waited, now)
        if hungry and (starved_ns is None or now - starved_ns < FAIR_NS):
            assert not found
        if starved_ns is None or now - starved_ns >= FAIR_NS:
            starved_ns = None if found else now
            assert found or hungry
        elif hungry:
            starved_ns = now
