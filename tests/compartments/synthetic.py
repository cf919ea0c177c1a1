"""A node made of numbers: compartments with a demand, workers that take time to start, moves performed at once.

Rule: no process and no clock. Every move is checked when it is performed: limits of its
compartment, slots of the node, who may take from whom.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

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
from havok.settings import Priority, Watermarks

SECOND = 1_000_000_000
TICK = SECOND // 10
Demand = Callable[[float], float]  # seconds → workers' worth of load


@dataclass
class Process:
    name: str
    ready_ns: int
    connections: int = 0
    heavy: float = 0.0  # demand of single connections of it, beside the common one


@dataclass
class Business:
    """A compartment and what is asked of it."""

    name: str
    demand: Demand
    priority: Priority = "medium"
    min: int = 1
    max: int = 4
    wanted: int = 1
    connections: int = 64
    marks: Watermarks = field(default_factory=Watermarks)
    processes: list[Process] = field(default_factory=list)
    high_ns: int | None = None  # since when it is high and could have had a worker
    moved: list[tuple[float, Move]] = field(default_factory=list)

    @property
    def added(self) -> list[tuple[float, AddWorker]]:
        return [(at, move) for at, move in self.moved if isinstance(move, AddWorker)]

    @property
    def removed(self) -> list[tuple[float, RemoveWorker]]:
        return [(at, move) for at, move in self.moved if isinstance(move, RemoveWorker)]


class SyntheticNode:
    def __init__(self, slots: int, businesses: list[Business], seed: int, noise: float = 0.0) -> None:
        self.slots = slots
        self.businesses = {business.name: business for business in businesses}
        self.random = random.Random(seed)
        self.noise = noise
        self.memory = Memory()
        self.now_ns = 0
        self.longest_wait_s = 0.0  # of who was high while a slot was free, or somebody calm below had one to spare
        self._number = 0
        for business in businesses:
            for _ in range(business.wanted):
                self._start(business, 0)
            for index in range(business.connections):
                business.processes[index % business.wanted].connections += 1

    # -- what the planner sees -------------------------------------------------------

    def node(self) -> Node:
        return Node(self.slots, tuple(self._compartment(business) for business in self.businesses.values()))

    def loads(self, name: str) -> list[float]:
        """Of the workers that are ready, without noise."""
        business = self.businesses[name]
        demand = business.demand(self.now_ns / SECOND)
        each = demand / max(1, business.connections)
        return [p.connections * each + p.heavy for p in business.processes if p.ready_ns <= self.now_ns]

    def _compartment(self, business: Business) -> Compartment:
        each = business.demand(self.now_ns / SECOND) / max(1, business.connections)
        workers = []
        for process in business.processes:
            ready = process.ready_ns <= self.now_ns
            load = process.connections * each + process.heavy
            if self.noise:
                load *= max(0.0, self.random.gauss(1.0, self.noise))
            delay_us = 20_000.0 if load > 1 else 100.0 * load
            workers.append(Worker(process.name, ready, min(1.0, load) if ready else 0.0, delay_us, process.connections))
        return Compartment(
            business.name,
            business.priority,
            business.min,
            business.max,
            business.marks,
            business.wanted,
            tuple(workers),
        )

    # -- time ------------------------------------------------------------------------

    def run(self, seconds: float, tick_ns: int = TICK) -> None:
        until_ns = self.now_ns + round(seconds * SECOND)
        while self.now_ns < until_ns:
            self.now_ns += tick_ns
            self.tick()

    def tick(self) -> list[Move]:
        moves, self.memory = plan_moves(self.node(), self.memory, self.now_ns)
        assert len(moves) <= MOVES_MAX
        assert sum(isinstance(move, AddWorker) for move in moves) <= starts_max(self.slots)
        ranks = [RANK[self.businesses[move.compartment].priority] for move in moves if isinstance(move, AddWorker)]
        assert ranks == sorted(ranks), "high priority gets first"
        for move in moves:
            self.perform(move)
        self._check(moves)
        return moves

    def _check(self, moves: list[Move]) -> None:
        businesses = self.businesses
        wanted = sum(business.wanted for business in businesses.values())
        assert wanted <= max(self.slots, sum(business.min for business in businesses.values()))
        owed: dict[str, int] = {}
        for loan in self.memory.loans:
            lender, borrower = businesses[loan.lender], businesses[loan.borrower]
            assert RANK[lender.priority] >= RANK[borrower.priority], "a lower one never takes from a higher"
            owed[loan.borrower] = owed.get(loan.borrower, 0) + 1
        for name, count in owed.items():
            assert count <= businesses[name].wanted - businesses[name].min
        busy = sum(isinstance(move, AddWorker) for move in moves)
        for business in businesses.values():
            standing = self.memory.known[business.name].standing
            waits = standing is not None and standing.level == "high" and business.wanted < business.max
            starting = any(process.ready_ns > self.now_ns for process in business.processes)
            if not waits or starting or busy or not (wanted < self.slots or self._can_borrow(business)):
                business.high_ns = None
            elif business.high_ns is None:
                business.high_ns = self.now_ns
            else:
                self.longest_wait_s = max(self.longest_wait_s, (self.now_ns - business.high_ns) / SECOND)

    def _can_borrow(self, business: Business) -> bool:
        return any(
            RANK[other.priority] >= RANK[business.priority]
            and other.wanted > other.min
            and (standing := self.memory.known[other.name].standing) is not None
            and standing.level == "calm"
            and standing.load * other.wanted / (other.wanted - 1) < other.marks.low
            for other in self.businesses.values()
        )

    # -- performing ------------------------------------------------------------------

    def perform(self, move: Move) -> None:
        assert move.reason.endswith(".")
        business = self.businesses[move.compartment]
        business.moved.append((self.now_ns / SECOND, move))
        match move:
            case MoveConnections(source=source, target=target, count=count):
                origin, goal = self._process(business, source), self._process(business, target)
                assert 0 < count <= origin.connections
                origin.connections -= count
                goal.connections += count
            case AddWorker(lender=lender):
                business.wanted += 1
                assert business.wanted <= business.max
                if lender is not None:
                    assert RANK[self.businesses[lender].priority] >= RANK[business.priority]
                self._start(business, self.now_ns + round(self.random.uniform(0.3, 1.5) * SECOND))
            case RemoveWorker(worker=worker):
                business.wanted -= 1
                assert business.wanted >= business.min
                gone = self._process(business, worker or "")
                business.processes.remove(gone)
                for _ in range(gone.connections):
                    min(business.processes, key=lambda process: process.connections).connections += 1
                business.processes[0].heavy += gone.heavy
            case Pressure() | Relief():
                pass

    def _start(self, business: Business, ready_ns: int) -> None:
        self._number += 1
        business.processes.append(Process(f"{business.name}-{self._number}", ready_ns))

    def _process(self, business: Business, name: str) -> Process:
        (found,) = [process for process in business.processes if process.name == name]
        return found
