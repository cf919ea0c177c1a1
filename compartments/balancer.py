"""Performs what rebalancing decides: looks at the node ten times a second, and moves what is to be moved.

Rule: the decisions are `compartments.load.rebalance`'s; here they are carried out in their order,
written into the audit log with their reasons, and counted.
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic_ns
from typing import Any

import msgspec

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
from compartments.load.rebalance import plan_moves
from compartments.people.audit import NODE, Audit
from compartments.processes.fleet import Fleet
from compartments.processes.member import Member
from havok.messages import Give
from havok.settings import CompartmentSettings

log = logging.getLogger(__name__)

TICK_S = 0.1


class Balancer:
    """`send(process, order)` tells a worker what to do; `press(pressed)` what is under pressure, and why."""

    def __init__(
        self,
        fleet: Fleet,
        audit: Audit,
        send: Callable[[Member, Give], None],
        press: Callable[[Mapping[str, str]], None],
    ) -> None:
        self._fleet = fleet
        self._audit = audit
        self._send = send
        self._press = press
        self.memory = Memory()
        self.pressed: dict[str, str] = {}  # compartment → reason
        self.counts: Counter[tuple[str, str]] = Counter()  # (compartment, kind of move)

    async def run(self, compartments: Callable[[], Mapping[str, CompartmentSettings]]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            moves = self.tick(compartments())
            if moves:
                await asyncio.to_thread(self._audit.note_all, [entry(move) for move in moves])

    def tick(self, compartments: Mapping[str, CompartmentSettings]) -> list[Move]:
        moves, self.memory = plan_moves(self._look(compartments), self.memory, monotonic_ns())
        for move in moves:
            self.perform(move)
            self.counts[move.compartment, kind(move)] += 1
            log.info("%s: %s: %s", move.compartment, kind(move).replace("_", " "), move.reason)
        pressed = {name: reason for name, reason in self.pressed.items() if name in compartments}
        if moves or pressed != self.pressed:
            self.pressed = pressed
            self._press(pressed)
        return moves

    def describe(self, compartment: str) -> dict[str, Any]:
        """For the status: `level` None before anything is known, `pressure` None while there is none."""
        known = self.memory.known.get(compartment)
        standing = known.standing if known is not None else None
        return {
            "level": standing.level if standing is not None else None,
            "wanted": self._fleet.wanted(compartment),
            "pressure": self.pressed.get(compartment),
            "moves": {kind: count for (name, kind), count in self.counts.items() if name == compartment},
        }

    def _look(self, compartments: Mapping[str, CompartmentSettings]) -> Node:
        found = tuple(
            Compartment(
                name,
                settings.priority,
                settings.workers.min,
                _most(settings),
                settings.watermarks,
                self._fleet.wanted(name),
                tuple(map(_worker, self._fleet.lasting(name))),
            )
            for name, settings in compartments.items()
        )
        least = sum(compartment.min for compartment in found)
        return Node(max(least, len(os.sched_getaffinity(0))), found)

    def perform(self, move: Move) -> None:
        """One move, at once."""
        fleet = self._fleet
        match move:
            case MoveConnections(source=source, target=target, count=count):
                giver, taker = fleet.processes.get(source), fleet.processes.get(target)
                if giver is not None and taker is not None:
                    self._send(giver, Give(taker.inbox, count))
            case AddWorker(compartment=name):
                fleet.want(name, fleet.wanted(name) + 1)
            case RemoveWorker(compartment=name, worker=worker):
                fleet.want(name, fleet.wanted(name) - 1, fleet.processes.get(worker) if worker else None)
            case Pressure(compartment=name, reason=reason):
                self.pressed[name] = reason
            case Relief(compartment=name):
                self.pressed.pop(name, None)


def _most(settings: CompartmentSettings) -> int:
    """Workers beyond the cores they are pinned to would only share them."""
    most = settings.workers.max
    return max(settings.workers.min, min(most, len(settings.cpus)) if settings.cpus else most)


def _worker(process: Member) -> Worker:
    report = process.report
    if report is None:
        return Worker(process.name, ready=False)
    ready = process.was_ready and not process.silent
    return Worker(process.name, ready, report.busy, report.delay_us, report.connections)


def kind(move: Move) -> str:
    """The move's kind in the words of metrics and audit log."""
    return _KINDS[type(move)]


_KINDS: dict[type, str] = {
    MoveConnections: "move_connections",
    AddWorker: "add_worker",
    RemoveWorker: "remove_worker",
    Pressure: "pressure",
    Relief: "relief",
}


def entry(move: Move) -> tuple[str, str, str, str]:
    """Actor, action, target, reason with the move's particulars."""
    particulars = {
        name: value
        for name, value in msgspec.to_builtins(move).items()
        if name not in ("type", "compartment", "reason") and value is not None
    }
    said = ", ".join(f"{name} {value}" for name, value in particulars.items())
    return NODE, kind(move), move.compartment, f"{move.reason} ({said})" if said else move.reason
