"""Who gives way, and for how long: tables of what was run and waited for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compartments.machine.courtesy import FAIR_NS, FAIR_NS_MAX, SHARE_MIN, WINDOW_NS, Courtesy, Task, sharers

MS = 1_000_000
LOOK_NS = 100 * MS


def test_only_who_shares_with_a_higher_one() -> None:
    cpus = {"high": [0], "medium": [0, 1], "low": [1], "beside": [2], "peer": [0]}
    assert sharers(
        cpus, {"high": "high", "medium": "medium", "low": "low", "beside": "low", "peer": "high"}
    ) == {"medium", "low"}  # fmt: skip
    assert sharers({"one": [0]}, {"one": "low"}) == frozenset()


def task(ran_ms: int, waited_ms: int, *, runnable: bool = False) -> dict[int, Task]:
    return {7: Task(ran_ms * MS, waited_ms * MS, runnable)}


@pytest.mark.parametrize(
    ("ran_ms", "waited_ms", "gives_way"),
    [
        (0, 0, True),  # nothing to do
        (300, 0, True),  # it has all it wants
        (100, 200, True),  # a third
        (30, 270, True),  # a tenth: no less than its weight would give it
        (5, 60, True),  # little of the little it wants
        (0, 300, False),  # nothing at all
        (10, 290, False),
    ],
)
def test_who_starves_gives_way_no_more(ran_ms: int, waited_ms: int, gives_way: bool) -> None:
    courtesy = Courtesy()
    assert courtesy.gives_way(task(7, 8), 1000)
    assert courtesy.gives_way(task(7 + ran_ms, 8 + waited_ms), 1000 + WINDOW_NS - 1), "that is too short to say"
    assert courtesy.gives_way(task(7 + ran_ms, 8 + waited_ms), 1000 + WINDOW_NS) is gives_way


def test_a_wait_that_is_not_over_counts() -> None:
    """The kernel tells of it when its thread runs again."""
    courtesy = Courtesy()
    found = [courtesy.gives_way(task(9, 9, runnable=True), look * LOOK_NS) for look in range(4)]
    assert found == [True, True, True, False]
    sleeps = Courtesy()
    assert all(sleeps.gives_way(task(9, 9), look * LOOK_NS) for look in range(40))


def test_one_that_starves_is_enough() -> None:
    """However well another thread of the compartment lives."""
    courtesy = Courtesy()
    for look in range(3):
        tasks = {1: Task(look * LOOK_NS, 0, True), 2: Task(0, 0, True)}
        assert courtesy.gives_way(tasks, look * LOOK_NS)
    assert not courtesy.gives_way({1: Task(3 * LOOK_NS, 0, True), 2: Task(0, 0, True)}, 3 * LOOK_NS)


def test_a_thread_that_is_new_is_judged_by_what_it_gets_from_now_on() -> None:
    courtesy = Courtesy()
    courtesy.gives_way({1: Task(0, 0, False)}, 0)
    assert courtesy.gives_way({1: Task(0, 0, False), 2: Task(0, 5000 * MS, False)}, WINDOW_NS)
    assert courtesy.gives_way({2: Task(10 * MS, 5000 * MS, False)}, 2 * WINDOW_NS)


def starve(courtesy: Courtesy, now_ns: int) -> int:
    """When it has its weight back."""
    while courtesy.gives_way(task(9, 9, runnable=True), now_ns):
        now_ns += LOOK_NS
    return now_ns


def test_it_is_tried_again_and_more_seldom_the_oftener_it_fails() -> None:
    courtesy, now, fair = Courtesy(), 0, FAIR_NS
    for _ in range(8):
        now = starve(courtesy, now)
        assert not courtesy.gives_way(task(9, 9), now + fair - 1)
        now += fair
        assert courtesy.gives_way(task(9, 9), now)
        fair = min(2 * fair, FAIR_NS_MAX)
    assert fair == FAIR_NS_MAX
    for look in range(round(1.1 * FAIR_NS_MAX / LOOK_NS)):
        now += LOOK_NS
        assert courtesy.gives_way(task(look * 100, 9), now)
    now = starve(courtesy, now)
    assert courtesy.gives_way(task(9, 9), now + FAIR_NS), "it lived on what was left meanwhile"


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=60))
def test_nobody_gives_way_who_gets_next_to_nothing(spans: list[tuple[int, int]]) -> None:
    courtesy, ran, waited, now = Courtesy(), 0, 0, 0
    courtesy.gives_way(task(0, 0), 0)
    gave_way = True
    for ran_ms, waited_ms in spans:
        ran, waited, now = ran + ran_ms, waited + waited_ms, now + WINDOW_NS
        hungry = waited_ms >= 150 and ran_ms < SHARE_MIN * (ran_ms + waited_ms)
        found = courtesy.gives_way(task(ran, waited), now)
        if gave_way:
            assert found is not hungry
        gave_way = found
