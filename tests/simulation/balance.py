"""The real balancer, watched: every move is within its compartment's limits and the node's slots.

Rule: it is the supervisor's own; only how many slots the node has is the world's.
"""

from collections import Counter
from typing import Any

from compartments.balancer import Balancer
from compartments.load.moves import Move
from tests.simulation.trace import Trace


class WatchedBalancer(Balancer):
    """`trace`, `moves` and `slots` are set on the class of a run."""

    trace: Trace
    moves: Counter[str]
    slots: int

    def perform(self, move: Move) -> None:
        self.trace.say("balance", "{}: {}", type(move).__name__, move.reason)
        self.moves[type(move).__name__] += 1
        super().perform(move)

    def tick(self, compartments: Any) -> list[Move]:
        moves = super().tick(compartments)
        wanted = {name: self._fleet.wanted(name) for name in compartments}
        for name, found in compartments.items():
            if not found.workers.min <= wanted[name] <= found.workers.max:
                self.trace.fail(f"{name} is to have {wanted[name]} workers")
        if sum(wanted.values()) > self.slots:
            self.trace.fail(f"{wanted} workers are wanted, and there are {self.slots} slots")
        return moves


class Balance:
    """What a started supervisor wants."""

    def __init__(self, supervisor: Any) -> None:
        self._supervisor = supervisor

    @property
    def wanted(self) -> dict[str, int]:
        return dict(self._supervisor.fleet._wanted)
