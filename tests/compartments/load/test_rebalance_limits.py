"""What must hold for any node at any time, whatever its gauges, settings and processes do."""

import random
from dataclasses import dataclass

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compartments.load.moves import (
    AddWorker,
    Compartment,
    Memory,
    Move,
    MoveConnections,
    Node,
    Pressure,
    Relief,
    RemoveWorker,
    Worker,
)
from compartments.load.rebalance import MOVES_MAX, RANK, plan_moves, starts_max
from havok.settings import Watermarks

TICK = 100_000_000
SECOND = 1_000_000_000


@dataclass
class Wild:
    """A node whose gauges, settings and processes are anything, from a seed."""

    dice: random.Random
    found: dict[str, Compartment]
    slots: int
    number: int = 0

    def worker(self, name: str) -> Worker:
        dice = self.dice
        self.number += 1
        return Worker(
            f"{name}-{self.number}", dice.random() < 0.9, dice.random() * 1.2, dice.random() * 2e4, dice.randrange(40)
        )

    def shake(self) -> None:
        dice = self.dice
        for name, item in list(self.found.items()):
            workers = [self.gauged(worker) for worker in item.workers]
            if dice.random() < 0.05 and workers:
                workers.pop()  # it died
            while len(workers) < item.wanted and dice.random() < 0.7:
                workers.append(self.worker(name))
            self.found[name] = msgspec.structs.replace(item, workers=tuple(workers))
            if dice.random() < 0.01:
                self.found[name] = self.compartment(name)
        if dice.random() < 0.01:
            self.found.pop(dice.choice(list(self.found)))
            self.found.setdefault(name := f"c{dice.randrange(9)}", self.compartment(name))

    def gauged(self, worker: Worker) -> Worker:
        dice = self.dice
        if dice.random() < 0.7:
            return worker
        busy = min(1.0, max(0.0, worker.busy + dice.gauss(0, 0.3)))
        return Worker(worker.name, dice.random() < 0.95, busy, worker.delay_us, dice.randrange(40))

    def compartment(self, name: str) -> Compartment:
        dice = self.dice
        least = dice.randint(1, 3)
        most = dice.randint(least, 6)
        wanted = dice.randint(least, most)
        low = dice.uniform(0, 0.9)
        marks = Watermarks(low=low, high=dice.uniform(low + 0.001, 1))
        workers = tuple(self.worker(name) for _ in range(wanted))
        return Compartment(name, dice.choice(("high", "medium", "low")), least, most, marks, wanted, workers)

    def perform(self, move: Move) -> None:
        item = self.found[move.compartment]
        names = {worker.name: worker for worker in item.workers}
        if isinstance(move, MoveConnections):
            assert move.source != move.target
            assert names[move.source].ready
            assert names[move.target].ready
            assert 0 < move.count <= names[move.source].connections
        elif isinstance(move, AddWorker):
            assert item.wanted < item.max
            if move.lender is not None:
                assert RANK[self.found[move.lender].priority] >= RANK[item.priority]
            self.found[item.name] = msgspec.structs.replace(item, wanted=item.wanted + 1)
        elif isinstance(move, RemoveWorker):
            assert item.wanted > item.min
            if move.worker is None:
                assert len(item.workers) < item.wanted
            else:
                assert move.worker in names
            left = tuple(worker for worker in item.workers if worker.name != move.worker)
            self.found[item.name] = msgspec.structs.replace(item, wanted=item.wanted - 1, workers=left)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
@example(28445244)  # none is ready any more, and what was known of their loads said: uneven
def test_whatever_a_node_does_its_limits_hold(seed: int) -> None:
    dice = random.Random(seed)
    wild = Wild(dice, {}, dice.randint(1, 30))
    for number in range(dice.randint(1, 7)):
        wild.found[f"c{number}"] = wild.compartment(f"c{number}")
    memory, now = Memory(), dice.randrange(-(10**15), 10**15)
    pressed: set[str] = set()
    for _ in range(150):
        wild.shake()
        now += dice.choice((0, TICK, TICK, TICK, TICK, 5 * SECOND, 100 * SECOND))
        node = Node(wild.slots, tuple(wild.found.values()))
        before = sum(item.wanted for item in wild.found.values())
        moves, memory = plan_moves(node, memory, now)
        assert len(moves) <= MOVES_MAX
        for move in moves:
            assert move.reason.endswith(".")
            wild.perform(move)
        assert sum(item.wanted for item in wild.found.values()) <= max(before, wild.slots)
        assert len(memory.starts_ns) <= starts_max(wild.slots)
        assert set(memory.known) == set(wild.found)
        assert all(memory.known[item.name].wanted == item.wanted for item in wild.found.values())
        pressed &= set(wild.found)
        for move in moves:
            if isinstance(move, Pressure):
                assert move.compartment not in pressed
                pressed.add(move.compartment)
            elif isinstance(move, Relief):
                pressed.remove(move.compartment)
        pressed = {name for name in pressed if memory.known[name].pressed_ns is not None}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(-(10**15), 10**15))
def test_the_same_is_decided_for_the_same_and_at_any_hour(seed: int, shift: int) -> None:
    told: list[list[Move]] = []
    for start in (0, shift):
        dice = random.Random(seed)
        wild = Wild(dice, {}, 12)
        for number in range(5):
            wild.found[f"c{number}"] = wild.compartment(f"c{number}")
        memory, moves = Memory(), []
        for number in range(60):
            wild.shake()
            found, memory = plan_moves(Node(12, tuple(wild.found.values())), memory, start + number * TICK)
            for move in found:
                wild.perform(move)
            moves += found
        told.append(moves)
    assert told[0] == told[1]
