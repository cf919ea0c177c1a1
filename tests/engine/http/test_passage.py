"""Which requests take their connection along: a table, and what must hold of every history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.http.passage import (
    AWAY_NS,
    HALVED_NS,
    HOPS_MAX,
    HOPS_TO_STAY,
    IN_A_ROW_MAX,
    LINE,
    RANKS,
    UNRANKED,
    Habit,
)

SECOND = 1_000_000_000
LOW, MEDIUM, HIGH = RANKS["low"], RANKS["medium"], RANKS["high"]


@pytest.mark.parametrize(
    ("own", "its", "hops", "after_s", "in_a_row", "along"),
    [
        (LOW, HIGH, 0, 0, 0, True),
        (LOW, MEDIUM, 9, 0, 0, True),
        (MEDIUM, HIGH, 9, 50, 3, True),
        (UNRANKED, LOW, 9, 0, 0, True),
        (HIGH, LOW, 0, 0, 0, False),
        (HIGH, MEDIUM, 0, 59, 100, False),
        (HIGH, LOW, 0, 60, 0, True),
        (HIGH, LOW, 9, 60, 1000, True),
        (HIGH, HIGH, 0, 0, 0, True),
        (HIGH, HIGH, 1, 0, 0, True),
        (HIGH, HIGH, 2, 0, 0, False),
        (LOW, LOW, 2, 59, 0, False),
        (LOW, LOW, 2, 60, 0, True),
        (LOW, LOW, 4, 60, 0, False),
        (MEDIUM, MEDIUM, 9, 0, IN_A_ROW_MAX - 1, False),
        (MEDIUM, MEDIUM, 9, 0, IN_A_ROW_MAX, True),
        (HIGH, LOW, LINE, 0, 0, True),
        (LOW, LOW, LINE, 0, 0, True),
        (LOW, HIGH, LINE, 0, 0, True),
    ],
)
def test_the_table(own: int, its: int, hops: int, after_s: int, in_a_row: int, along: bool) -> None:
    """A connection came at 0 and asked nothing of ours since; so many requests in a row were forwarded."""
    habit = Habit(hops, 0)
    used_ns = 0
    for _ in range(in_a_row):
        habit.takes_along(own, its, used_ns, used_ns)
        used_ns += 1
        habit.forwarded(used_ns)
    assert habit.takes_along(own, its, used_ns, after_s * SECOND + used_ns) == along


def test_a_request_of_ours_starts_both_counts_anew() -> None:
    habit = Habit(9, 0)
    for at in range(1, IN_A_ROW_MAX + 1):
        assert not habit.takes_along(LOW, LOW, at - 1, at)
        habit.forwarded(at)
    assert habit.takes_along(LOW, LOW, IN_A_ROW_MAX, IN_A_ROW_MAX)
    served_ns = 5 * SECOND
    assert not habit.takes_along(LOW, LOW, served_ns, 6 * SECOND)
    assert not habit.takes_along(LOW, LOW - 1, served_ns, served_ns + AWAY_NS - 1)
    assert habit.takes_along(LOW, LOW - 1, served_ns, served_ns + AWAY_NS)


def test_hops_travel_and_fade() -> None:
    assert Habit(0, 0).after_hop(1) == 1
    assert Habit(7, 0).after_hop(HALVED_NS - 1) == 8
    assert Habit(7, 0).after_hop(HALVED_NS) == 4
    assert Habit(HOPS_MAX, 0).after_hop(0) == HOPS_MAX
    assert Habit(HOPS_MAX, 0).hops(9 * HALVED_NS) == 0
    assert Habit(LINE, 0).after_hop(99 * HALVED_NS) == LINE, "a line remains one wherever it goes"


class Node:
    """Workers of several compartments, and one connection among them, as they would have it."""

    def __init__(self, ranks: list[int], first: int) -> None:
        self.ranks = ranks
        self.at = first
        self.habit = Habit(0, 0)
        self.used_ns = self.now_ns = 0
        self.handed = self.forwarded = 0
        self.queued = 0  # requests that waited for a worker of a lower priority than their service's

    def ask(self, compartment: int, pause_ns: int = 1) -> None:
        self.now_ns += pause_ns
        its, own = self.ranks[compartment], self.ranks[self.at]
        self.queued += its > own
        if compartment == self.at:
            self.used_ns = self.now_ns
        elif self.habit.takes_along(own, its, self.used_ns, self.now_ns):
            self.habit = Habit(self.habit.after_hop(self.now_ns), self.now_ns)
            self.at, self.used_ns = compartment, self.now_ns
            self.handed += 1
        else:
            self.used_ns = self.now_ns
            self.habit.forwarded(self.now_ns)
            self.forwarded += 1


asked = st.lists(st.integers(0, 4), min_size=1, max_size=300)
ranks = st.lists(st.sampled_from([LOW, MEDIUM, HIGH]), min_size=5, max_size=5)


@given(ranks, asked)
def test_it_waits_for_a_lower_worker_only_on_its_way_up(ranks: list[int], asked: list[int]) -> None:
    """Within a minute: once for each step up, and never again."""
    node = Node(ranks, asked[0])
    for compartment in asked:
        node.ask(compartment)
    highest = max(ranks[compartment] for compartment in asked)
    assert ranks[node.at] == highest, "it rests at the highest priority it uses"
    assert node.queued <= highest - ranks[asked[0]]


@given(ranks, st.lists(st.tuples(st.integers(0, 4), st.integers(1, 100 * SECOND)), min_size=1, max_size=300))
def test_at_any_pace_it_goes_down_only_after_long(ranks: list[int], asked: list[tuple[int, int]]) -> None:
    node = Node(ranks, asked[0][0])
    own_ns = 0
    for compartment, pause_ns in asked:
        before = node.at
        node.ask(compartment, pause_ns)
        if ranks[node.at] < ranks[before]:
            assert node.now_ns - own_ns >= AWAY_NS
        if node.at == compartment:
            own_ns = node.now_ns


@pytest.mark.parametrize("rank", [LOW, MEDIUM, HIGH])
def test_equals_in_turn_are_handed_over_a_few_times_and_then_forwarded(rank: int) -> None:
    node = Node([rank, rank], 0)
    for number in range(1000):
        node.ask(number % 2, SECOND // 100)
    assert node.handed == HOPS_TO_STAY
    assert node.forwarded == (1000 - HOPS_TO_STAY) // 2


def test_a_change_of_use_is_followed() -> None:
    node = Node([HIGH, HIGH, LOW], 0)
    for compartment in (0, 1) * 20:
        node.ask(compartment)
    for _ in range(50):
        node.ask(1)
    assert node.at == 1
    for _ in range(70):
        node.ask(2, SECOND)
    assert node.at == 2
    forwarded = node.forwarded
    for _ in range(1000):
        node.ask(2)
    assert node.forwarded == forwarded, "it is at home there"
