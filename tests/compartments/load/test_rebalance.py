"""Each rung of the ladder, and who gets what back."""

from collections.abc import Sequence

import msgspec
import pytest

from compartments.load.moves import (
    AddWorker,
    Compartment,
    Loan,
    Memory,
    Move,
    MoveConnections,
    Node,
    Pressure,
    Relief,
    RemoveWorker,
    Worker,
)
from compartments.load.rebalance import plan_moves, starts_max
from havok.settings import Priority, Watermarks

TICK = 100_000_000
SECOND = 1_000_000_000
MARKS = Watermarks()


def compartment(
    name: str, *busy: float, priority: Priority = "medium", most: int = 8, least: int = 1, connections: int = 20
) -> Compartment:
    """A worker for each load."""
    workers = tuple(Worker(f"{name}-{n}", True, load, 0.0, connections) for n, load in enumerate(busy))
    return Compartment(name, priority, least, most, MARKS, len(busy), workers)


def first_moves(node: Node, memory: Memory | None = None, seconds: float = 8) -> list[Move]:
    """Of the first tick that has any, while the node stays as it is."""
    memory, now = memory or Memory(), 0
    if memory.known:
        now = max(known.unsettled_ns for known in memory.known.values())
    while now < seconds * SECOND:
        now += TICK
        moves, memory = plan_moves(node, memory, now)
        if moves:
            return moves
    return []


def kinds(moves: Sequence[Move]) -> list[tuple[type, str]]:
    return [(type(move), move.compartment) for move in moves]


def test_nothing_happens_where_nothing_is_the_matter() -> None:
    node = Node(8, (compartment("a", 0.5), compartment("b", 0.1), compartment("c", 0.6, 0.5)))
    assert first_moves(node, seconds=300) == []


def test_rung_a_connections_first() -> None:
    (move,) = first_moves(Node(8, (compartment("a", 1.0, 0.7),)))
    assert move == MoveConnections(
        "a",
        "a-0",
        "a-1",
        3,
        "a-0 is at 100 % and the mean of a at 85 %: 3 of its 20 connections go to a-1, which is at 70 %.",
    )


def test_rung_a_a_hot_worker_of_a_compartment_that_is_not_high() -> None:
    moves = first_moves(Node(4, (compartment("a", 0.6, 0.2),)))
    assert [(move.source, move.target, move.count) for move in moves if isinstance(move, MoveConnections)] == [
        ("a-0", "a-1", 6)
    ]


def test_rung_b_a_free_slot() -> None:
    (move,) = first_moves(Node(2, (compartment("a", 0.8),)))
    assert move == AddWorker(
        "a",
        "a is at 80 %, over its high mark of 75 %; 1 of the node's 2 slots are free, "
        "so it gets a worker more: 2 in all.",
    )


def test_rung_b_as_many_as_are_needed_and_no_more_than_max() -> None:
    moves = first_moves(Node(40, (compartment("a", 1.0, 1.0),)))
    assert kinds(moves) == [(AddWorker, "a")] * 2, "2.0 / 0.55"
    assert kinds(first_moves(Node(40, (compartment("a", 1.0, 1.0, most=3),)))) == [(AddWorker, "a")]


def test_rung_b_the_high_priority_first() -> None:
    node = Node(
        4, (compartment("l", 0.9, priority="low"), compartment("m", 0.9), compartment("h", 0.9, priority="high"))
    )
    assert kinds(first_moves(node))[0] == (AddWorker, "h")


def test_rung_b_not_more_at_once_than_may_start() -> None:
    node = Node(16, tuple(compartment(f"c{n}", 0.9) for n in range(8)))
    assert len(first_moves(node)) == starts_max(16) == 4


def test_rung_c_a_slot_of_the_lowest_that_is_calm() -> None:
    node = Node(
        7,
        (
            compartment("a", 0.9),
            compartment("low", 0.1, 0.05, priority="low"),
            compartment("medium", 0.0, 0.0),
            compartment("high", 0.0, 0.0, priority="high"),
        ),
    )
    removed, added = first_moves(node)
    assert removed == RemoveWorker("low", "low-1", "low is at 8 %, under its low mark of 35 %; its slot goes to a.")
    assert isinstance(added, AddWorker)
    assert (added.compartment, added.lender) == ("a", "low")


@pytest.mark.parametrize(
    "other",
    [
        compartment("b", 0.1, 0.1, priority="high"),  # a higher one
        compartment("b", 0.1, 0.1, least=2),  # its min
        compartment("b", 0.5, 0.5),  # not calm
        compartment("b", 0.3, 0.3),  # calm, but one could not carry it
    ],
)
def test_rung_c_who_does_not_lend(other: Compartment) -> None:
    (move,) = first_moves(Node(3, (compartment("a", 0.9), other)))
    assert move == Pressure(
        "a",
        "a is at 90 %, over its high mark of 75 %; none of the node's 3 slots is free and nobody below may lend one.",
    )


def test_rung_d_with_all_its_workers() -> None:
    moves = first_moves(Node(9, (compartment("a", 0.9, most=1),)))
    assert moves == [Pressure("a", "a is at 90 %, over its high mark of 75 %, with all of its one worker.")]


def test_rung_d_is_told_once_and_ends() -> None:
    node, memory, told = Node(1, (compartment("a", 0.9),)), Memory(), []
    for number in range(200):
        if number == 100:
            node = Node(1, (compartment("a", 0.5),))
        moves, memory = plan_moves(node, memory, number * TICK)
        told += moves
    assert [type(move) for move in told] == [Pressure, Relief]
    assert told[1].reason == "a is at 50 %, no longer over its high mark of 75 %."


def test_a_worker_that_does_not_get_ready_is_pressure() -> None:
    item = msgspec.structs.replace(compartment("a", 0.9), wanted=2)
    (move,) = first_moves(Node(9, (item,)), seconds=20)
    assert isinstance(move, Pressure)
    assert "has not been ready for 10 s" in move.reason


@pytest.mark.parametrize(
    ("borrower", "load", "returns"),
    [("high", 0.5, True), ("high", 0.9, False), ("high", 0.74, False), ("medium", 0.9, True)],
)
def test_a_slot_is_given_back_to_a_lender_who_needs_it(borrower: Priority, load: float, returns: bool) -> None:
    """By a higher one when it is not high and would not become so."""
    item = compartment("borrower", load, load * 0.9, load * 0.9, priority=borrower, most=3)
    lender = compartment("lender", 0.9)
    memory = Memory(loans=(Loan("lender", "borrower", 0),))
    node = Node(4, (item, lender))
    moves: list[Move] = []
    for number in range(60):
        found, memory = plan_moves(node, memory, number * TICK)
        moves += found
        if any(isinstance(move, AddWorker) for move in found):
            break
    changes = [move for move in moves if isinstance(move, AddWorker | RemoveWorker)]
    if returns:
        assert kinds(changes) == [(RemoveWorker, "borrower"), (AddWorker, "lender")]
        assert isinstance(changes[0], RemoveWorker)
        assert changes[0].gives_back_to == "lender"
        assert (
            changes[0].reason
            == "lender is at 90 %, over its high mark of 75 %, and needs the slot that it lent to borrower."
        )
        assert memory.loans == ()
    else:
        assert changes == []
        assert (Pressure, "lender") in kinds(moves)


def test_who_just_grew_lends_nothing() -> None:
    """It is calm since it has one worker more; a moment ago it was not."""
    grown, memory = compartment("b", 0.8, priority="low"), Memory()
    found: list[Move] = []
    now = 0
    while not found:
        now += TICK
        found, memory = plan_moves(Node(3, (compartment("a", 0.5), grown)), memory, now)
    assert kinds(found) == [(AddWorker, "b")]
    grown_ns, node = now, Node(3, (compartment("a", 0.9), compartment("b", 0.1, 0.1, priority="low")))
    lent: list[Move] = []
    while not lent:
        now += TICK
        found, memory = plan_moves(node, memory, now)
        lent = [move for move in found if isinstance(move, AddWorker)]
    assert 30 * SECOND <= now - grown_ns < 31 * SECOND


def test_a_worker_that_connections_are_on_their_way_to_is_not_given_back() -> None:
    borrower = compartment("borrower", 0.5, 0.1, 0.1, priority="high")
    node, memory = Node(4, (borrower, compartment("lender", 0.9, priority="low"))), Memory()
    for number in range(50):
        _, memory = plan_moves(node, memory, number * TICK)
    now = 50 * TICK
    due = msgspec.structs.replace(memory.known["borrower"], uneven_ns=0, moved_ns=None)
    memory = Memory({**memory.known, "borrower": due}, (Loan("lender", "borrower", 0),))
    moves, memory = plan_moves(node, memory, now)
    assert (MoveConnections, "borrower") in kinds(moves)
    assert not any(isinstance(move, RemoveWorker) for move in moves)
    moves, _ = plan_moves(node, memory, now + TICK)
    assert kinds(moves) == [(RemoveWorker, "borrower"), (AddWorker, "lender")]


def test_what_is_calm_for_a_minute_gives_up_its_coolest() -> None:
    item = Compartment(
        "a", "low", 1, 4, MARKS, 2, (Worker("a-0", True, 0.2, 0, 9), Worker("a-1", True, 0.2, 0, 4))
    )  # fmt: skip
    assert first_moves(Node(4, (item,)), seconds=59) == []
    (move,) = first_moves(Node(4, (item,)), Memory(loans=(Loan("b", "a", 0),)), seconds=70)
    assert move == RemoveWorker("a", "a-1", "a is at 20 %, under its low mark of 35 % for 60 s: one worker will do.")
    node = Node(4, (item, compartment("b", 0.5)))
    (move,) = first_moves(node, Memory(loans=(Loan("b", "a", 0),)), seconds=70)
    assert isinstance(move, RemoveWorker)
    assert move.gives_back_to == "b"
    assert move.reason.endswith("one worker will do; the slot goes back to b.")


def test_who_has_more_than_max_gives_up_who_is_not_there() -> None:
    item = msgspec.structs.replace(compartment("a", 0.5, 0.5, most=2), wanted=3)
    assert first_moves(Node(9, (item,))) == [RemoveWorker("a", None, "a has 3 workers and may have 2.")]


def test_changed_marks_act_at_the_next_tick() -> None:
    node, memory = Node(4, (compartment("a", 0.6),)), Memory()
    for number in range(50):
        moves, memory = plan_moves(node, memory, number * TICK)
        assert moves == []
    tighter = msgspec.structs.replace(node.compartments[0], marks=Watermarks(low=0.2, high=0.5))
    moves, _ = plan_moves(Node(4, (tighter,)), memory, 50 * TICK)
    assert kinds(moves) == [(AddWorker, "a")]


def test_memory_and_moves_can_be_written_down() -> None:
    memory = Memory()
    for number in range(30):
        moves, memory = plan_moves(Node(4, (compartment("a", 0.9, 0.1),)), memory, number * TICK)
        for move in moves:
            assert msgspec.json.decode(msgspec.json.encode(move), type=Move) == move
    assert msgspec.json.decode(msgspec.json.encode(memory), type=Memory) == memory
