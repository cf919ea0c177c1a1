"""Where real code meets the simulation: the names in its modules that stand for something else.

Rule: names only; not a line of the real code is another. A name that is gone is an error here.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from compartments import balancer, changes, gate, supervisor, worker
from compartments.connections import channel
from compartments.facts import bus, follower
from compartments.load.gauges import Gauge
from compartments.processes import fleet, launcher, member, seating
from compartments.versions import deployer, rollout, suspects
from engine.http import server
from engine.http.connection import Connection
from engine.http.route import Route
from tests.simulation.balance import WatchedBalancer
from tests.simulation.disk import Configuration
from tests.simulation.laws import RecordedLedger
from tests.simulation.processes import SimMember
from tests.simulation.programs import Compiled, Program, opened
from tests.simulation.wires import Context, Wire

SLOTS = 5  # of the node: how many workers all compartments may have together
_ROOMS = ("compartments.", "engine.", "havok.")


class Named:
    """A module with some other names in it."""

    def __init__(self, module: Any, **names: Any) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class Nothing:
    """Does what it is asked, which is nothing."""

    sharers: frozenset[str] = frozenset()

    def __init__(self, *args: object, **more: object) -> None:
        pass

    def close(self) -> None:
        pass

    def note(self, *words: object) -> None:
        pass

    note_all = place = confine = forget = open = keep = give_way = set_aside = release = prime = note


class Ports(Nothing):
    """They listen already."""

    def fds(self, addresses: Iterable[str]) -> dict[str, int]:
        return dict.fromkeys(addresses, -1)


class Complaints(logging.Handler):
    """What real code logs goes into the trace; an exception that it logs ends the run."""

    def __init__(self, world: Any) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        trace = self._world.trace
        trace.say(self._world.loop.current.name, "{}", record.getMessage())
        if record.exc_info is not None and record.exc_info[1] is not None:
            trace.broken = trace.broken or f"{record.getMessage()}: {record.exc_info[1]!r}"


class Gauges(Nothing):
    """A worker's load is what the world says."""

    world: Any

    def __init__(self, loop: Any, *args: object) -> None:
        self._process = loop.current

    def sample(self, now_ns: int, cpu_ns: int) -> Gauge:
        return Gauge(busy=self.world.load_of(self._process))


@contextlib.contextmanager
def played(world: Any) -> Iterator[None]:
    """For as long as a world runs, real code runs in it."""
    with pytest.MonkeyPatch.context() as patch:
        _clocks(patch, world)
        _processes(patch, world)
        _disk(patch, world)
        handler, log = Complaints(world), logging.getLogger("compartments")
        log.addHandler(handler)
        patch.setattr(log, "propagate", False)
        patch.setattr(logging.getLogger("engine"), "handlers", [handler])
        try:
            yield
        finally:
            log.removeHandler(handler)


@cache
def _clock_readers() -> list[tuple[Any, str]]:
    """Modules that ask for the monotonic time, whichever they are."""
    rooms = [module for name, module in list(sys.modules.items()) if name.startswith(_ROOMS)]
    clocks = ("monotonic", "monotonic_ns")
    return [(room, clock) for room in rooms for clock in clocks if getattr(room, clock, None) is getattr(time, clock)]


def _clocks(patch: pytest.MonkeyPatch, world: Any) -> None:
    for module, clock in _clock_readers():
        patch.setattr(module, clock, getattr(world.loop, clock))
    wall = SimpleNamespace(time=world.wall)
    patch.setattr(server, "time", wall)
    patch.setattr(gate, "time", wall)


def _processes(patch: pytest.MonkeyPatch, world: Any) -> None:
    loop, sockets = world.loop, world.sockets

    def start_loop(name: str, on_terminate: Any, fds: int | None = None) -> Any:
        loop.current.on_terminate = on_terminate
        return loop

    async def rank_session(*args: object) -> None:
        pass

    system = Named(os, getpid=lambda: loop.current.pid, set_inheritable=lambda *args: None)
    for module in (worker, gate):
        patch.setattr(module, "start_loop", start_loop)
        patch.setattr(module, "Lender", Nothing)
        patch.setattr(module, "os", system)
    patch.setattr(Gauges, "world", world, raising=False)
    patch.setattr(worker, "Gauges", Gauges)
    patch.setattr(gate, "socket", sockets)
    patch.setattr(worker, "step_back", lambda: None)  # of the whole simulation
    patch.setattr(supervisor, "rank_own_session", lambda nice: None)
    patch.setattr(channel, "socket", sockets)
    patch.setattr(Connection, "__hash__", lambda self: self.sock.number)
    for room in (bus, follower):
        patch.setattr(room, "Wire", Wire)
        patch.setattr(room, "zmq", Named(room.zmq, Context=Context))
    patch.setattr(Wire, "network", world.network, raising=False)
    patch.setattr(SimMember, "kernel", world.kernel, raising=False)
    patch.setattr(fleet, "Member", SimMember)
    patch.setattr(launcher, "Member", SimMember)
    patch.setattr(launcher, "os", system)
    patch.setattr(fleet, "random", world.dice)
    patch.setattr(supervisor, "Isolation", Nothing)
    patch.setattr(seating, "rank_session", rank_session)
    patch.setattr(suspects, "DEATHS", 1 << 30)  # here workers die of the dice, and of nothing that they serve
    for name, value in (("trace", world.trace), ("moves", world.moves), ("slots", SLOTS)):
        patch.setattr(WatchedBalancer, name, value, raising=False)
    patch.setattr(supervisor, "Balancer", WatchedBalancer)
    patch.setattr(balancer, "os", Named(os, sched_getaffinity=lambda pid: set(range(SLOTS))))
    patch.setattr(member, "is_there", world.kernel.is_there)


def _disk(patch: pytest.MonkeyPatch, world: Any) -> None:
    disk, trace = world.disk, world.trace
    patch.setattr(fleet, "write_roster", disk.write_roster)
    patch.setattr(rollout, "choose", disk.choose)
    patch.setattr(rollout, "read_manifest", disk.read_manifest)
    patch.setattr(supervisor, "live_version", disk.live_version)
    patch.setattr(supervisor, "next_epoch", disk.next_epoch)
    patch.setattr(supervisor, "left_behind", disk.left_behind)
    patch.setattr(supervisor, "held_listeners", lambda *args: {})
    patch.setattr(supervisor, "Ports", Ports)
    patch.setattr(supervisor, "lock_data_dir", lambda *args: -1)
    patch.setattr(supervisor, "make_run_dir", lambda *args: None)
    patch.setattr(supervisor, "code_id", lambda: "one")
    patch.setattr(supervisor, "handle", lambda pid: None)
    patch.setattr(supervisor, "Configuration", lambda path: Configuration(disk))
    patch.setattr(changes, "Audit", Nothing)
    patch.setattr(RecordedLedger, "history", world.history, raising=False)
    patch.setattr(supervisor, "Ledger", RecordedLedger)
    patch.setattr(deployer, "compile_plan", Compiled)
    patch.setattr(deployer, "bind", lambda made, snapshots, runner: Program(made, snapshots, world.loop.current.name))
    patch.setattr(deployer, "route_class", lambda program: Route)
    patch.setattr(deployer, "_open_quietly", lambda path, on_damage, aside: opened(path, aside, disk.damaged, trace))
