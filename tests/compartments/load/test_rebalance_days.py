"""Rebalancing over synthetic days: hundreds of compartments, sines, steps, spikes, noise.

Every move is checked as it is performed (`tests.compartments.synthetic`): limits, slots,
priorities. HAVOK_SEED replays a run.
"""

import math
import os
import random

import pytest

from compartments.load.moves import AddWorker, MoveConnections, Pressure, Relief, RemoveWorker
from havok.settings import Priority, Watermarks
from tests.compartments.synthetic import SECOND, Business, Demand, SyntheticNode

DAY_S = 86_400
COARSE_S = 120  # of days: the smoothing then takes samples as they are, which is the harder case
PRIORITIES: tuple[Priority, ...] = ("high", "medium", "low")


@pytest.fixture
def seed() -> int:
    chosen = int(os.environ.get("HAVOK_SEED", random.SystemRandom().randrange(2**32)))
    print(f"HAVOK_SEED={chosen}")
    return chosen


def steady(load: float) -> Demand:
    return lambda _: load


def step(before: float, after: float, at_s: float) -> Demand:
    return lambda now_s: before if now_s < at_s else after


def daily(dice: random.Random) -> Demand:
    """A sine with a peak of its own hour, steps of a campaign, and spikes of some minutes."""
    low, high, peak_s = dice.uniform(0.05, 0.5), dice.uniform(0.5, 2.6), dice.uniform(0, DAY_S)
    campaign_s, lasts_s = dice.uniform(0, 2 * DAY_S), dice.uniform(3600, 6 * 3600)
    spikes = [(at, at + dice.uniform(60, 600)) for at in (dice.uniform(0, 2 * DAY_S) for _ in range(6))]

    def demand(now_s: float) -> float:
        load = low + (high - low) * (1 + math.cos((now_s - peak_s) / DAY_S * 2 * math.pi)) / 2
        if campaign_s < now_s < campaign_s + lasts_s:
            load *= 1.5
        if any(start < now_s < end for start, end in spikes):
            load += 1.0
        return load

    return demand


def test_two_days_of_two_hundred_compartments(seed: int) -> None:
    dice = random.Random(seed)
    businesses = [
        Business(f"b{number}", daily(dice), dice.choice(PRIORITIES), max=dice.choice((2, 4, 6)))
        for number in range(200)
    ]
    node = SyntheticNode(420, businesses, seed, noise=0.05)
    node.run(2 * DAY_S, COARSE_S * SECOND)
    changes = sorted(len(business.added) + len(business.removed) for business in businesses)
    print(f"worker moves per compartment in two days: median {changes[100]}, most {changes[-1]}")
    print(f"longest wait for a slot that was free: {node.longest_wait_s:.0f} s, a tick is {COARSE_S} s")
    assert changes[100] > 0
    assert changes[-1] <= 2 * 24 * 2, "two an hour, with all spikes"
    assert node.longest_wait_s <= 3 * COARSE_S


def test_a_full_node_lends_by_priority_and_starves_nobody_who_may_borrow(seed: int) -> None:
    """Scarce slots: half of what all would like. The low ones are under pressure, the high ones are not."""
    dice = random.Random(seed)
    businesses = [Business(f"b{number}", daily(dice), PRIORITIES[number % 3]) for number in range(60)]
    node = SyntheticNode(90, businesses, seed, noise=0.05)
    node.run(2 * DAY_S, COARSE_S * SECOND)
    lent = [move for business in businesses for _, move in business.added if move.lender]
    given = [move for business in businesses for _, move in business.removed if move.gives_back_to]
    print(f"{len(lent)} slots were lent, {len(given)} given back, {len(node.memory.loans)} are lent now")
    print(
        f"longest wait for a slot that was free or could be lent: {node.longest_wait_s:.0f} s, a tick is {COARSE_S} s"
    )
    assert lent
    assert given
    assert node.longest_wait_s <= 3 * COARSE_S


@pytest.mark.parametrize("up", [True, False])
def test_a_step_of_a_steady_load_takes_two_moves_and_then_there_is_peace(seed: int, up: bool) -> None:
    """Of workers; and as many of connections as there are workers to take from."""
    dice = random.Random(seed)
    businesses = []
    for number in range(60):
        count = 1 + number % 3
        before, after = count * dice.uniform(0.4, 0.5), count * dice.uniform(0.78, 0.9)
        most = count + 4
        if not up:
            before, after, most = after, before * 0.3, count + 1
        businesses.append(Business(f"b{number}", step(before, after, 60), max=most, wanted=count))
    node = SyntheticNode(1000, businesses, seed, noise=0.03)
    node.run(60)
    ready = {business.name: len(business.moved) for business in businesses}
    node.run(30)
    if not up:
        node.run(600, 10 * SECOND)
    quiet = {business.name: len(business.moved) for business in businesses}
    node.run(60)
    node.run(3600, 10 * SECOND)
    most_moves = 0
    for business in businesses:
        moves = [move for _, move in business.moved[ready[business.name] :]]
        workers = [move for move in moves if isinstance(move, AddWorker | RemoveWorker)]
        assert len(business.moved) == quiet[business.name], [move.reason for move in moves]
        if up:
            assert 1 <= len(workers) <= 2
            assert len(moves) - len(workers) <= business.wanted
            loads = node.loads(business.name)
            assert max(loads) <= 1.3 * sum(loads) / len(loads) + 0.02
        if up and business.wanted == 2:
            assert len(moves) == 2, [move.reason for move in moves]
        most_moves = max(most_moves, len(workers))
    assert most_moves >= 1


def test_a_load_many_times_the_old_is_reached_in_two_rounds(seed: int) -> None:
    """Busy stops at 1, so what is needed shows only when the first addition is there."""
    one = Business("one", step(0.4, 3.0, 5), max=8)
    node = SyntheticNode(16, [one], seed, noise=0.03)
    node.run(60)
    added = sorted({at for at, _ in one.added})
    print("rounds of additions, s after the step:", [round(at - 5, 1) for at in added])
    assert max(node.loads("one")) < 0.75
    assert added[0] - 5 < 1.0
    assert added[-1] - 5 < 12.0
    moves = len(one.moved)
    node.run(3600, 10 * SECOND)
    assert len(one.moved) == moves


def test_noise_at_the_marks_makes_no_flapping(seed: int) -> None:
    marks = Watermarks()
    loads = [marks.high * 0.98, marks.high, marks.high * 1.02, marks.low, 0.55]
    businesses = [
        Business(f"b{number}-{index}", steady(load * (1 + number % 2)), wanted=1 + number % 2)
        for index, load in enumerate(loads)
        for number in range(6)
    ]
    node = SyntheticNode(100, businesses, seed, noise=0.15)
    node.run(300)
    for business in businesses:
        reasons = [move.reason for _, move in business.moved]
        assert len(business.added) + len(business.removed) <= 2, reasons
        assert len(business.moved) <= 12, reasons


def test_a_key_that_is_one_connection_is_not_chased_around(seed: int) -> None:
    """What cannot be mended by moving is tried ever more seldom: 2, 4, 8 … 64 s apart."""
    one = Business("one", steady(0.4), wanted=4)
    node = SyntheticNode(4, [one], seed)
    one.processes[0].heavy = 0.9
    node.run(3600, SECOND)
    moved = {at for at, move in one.moved if isinstance(move, MoveConnections)}
    print(f"{len(moved)} spreads in an hour")
    assert len(moved) <= 66


def test_a_hot_worker_is_relieved_within_seconds(seed: int) -> None:
    one = Business("one", steady(1.6), wanted=4, connections=0)
    node = SyntheticNode(4, [one], seed, noise=0.05)
    one.connections = 80
    one.processes[0].connections = 50
    for process in one.processes[1:]:
        process.connections = 10
    assert max(node.loads("one")) > 2 * 0.4
    node.run(3)
    loads = node.loads("one")
    assert max(loads) <= 1.3 * sum(loads) / len(loads)
    node.run(120)
    assert len({at for at, move in one.moved if isinstance(move, MoveConnections)}) <= 2


def test_what_was_lent_returns_when_the_lender_needs_it(seed: int) -> None:
    low = Business("low", lambda now_s: 0.3 if now_s < 200 else 1.9, "low", wanted=3)
    high = Business("high", lambda now_s: 0.4 if now_s < 20 or now_s > 190 else 1.9, "high")
    node = SyntheticNode(4, [low, high], seed, noise=0.03)
    node.run(60)
    assert (low.wanted, high.wanted) == (1, 3)
    assert {move.lender for _, move in high.added} == {"low"}
    assert len(node.memory.loans) == 2
    node.run(139)
    assert low.wanted == 1
    node.run(21)
    returned = [(at, move) for at, move in high.removed if move.gives_back_to == "low"]
    print("returned, s after the lender's step:", [round(at - 200, 1) for at, _ in returned])
    assert len(returned) == 2
    assert (low.wanted, high.wanted) == (3, 1)
    assert not node.memory.loans


def test_a_lender_of_low_priority_waits_while_the_borrower_is_high(seed: int) -> None:
    low = Business("low", lambda now_s: 0.3 if now_s < 60 else 1.9, "low", wanted=2)
    high = Business("high", step(0.4, 1.9, 20), "high", max=2)
    node = SyntheticNode(3, [low, high], seed, noise=0.03)
    node.run(200)
    assert (low.wanted, high.wanted) == (1, 2)
    assert [type(move) for _, move in low.moved] == [RemoveWorker, Pressure]
    assert [type(move) for _, move in high.moved if not isinstance(move, MoveConnections)] == [AddWorker, Pressure]


def test_equals_get_back_what_is_theirs(seed: int) -> None:
    one = Business("one", lambda now_s: 0.3 if now_s < 60 else 1.9, wanted=2)
    two = Business("two", step(0.4, 1.9, 20))
    node = SyntheticNode(3, [one, two], seed, noise=0.03)
    node.run(50)
    assert (one.wanted, two.wanted) == (1, 2)
    node.run(30)
    assert (one.wanted, two.wanted) == (2, 1)
    node.run(300)
    assert (one.wanted, two.wanted) == (2, 1), "it is not taken again"


def test_pressure_ends_with_the_load(seed: int) -> None:
    one = Business("one", lambda now_s: 1.5 if 10 < now_s < 60 else 0.4, max=1)
    node = SyntheticNode(8, [one], seed, noise=0.03)
    node.run(100)
    (began, pressure), (ended, relief) = one.moved
    assert isinstance(pressure, Pressure)
    assert isinstance(relief, Relief)
    assert began - 10 < 1.5
    assert 4 < ended - 60 < 9
