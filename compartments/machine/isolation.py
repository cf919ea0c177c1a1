"""What keeps compartments apart on this machine: their cores, and the limits of their processes.

Rule: `place` decides for all compartments at once and shapes their control groups; `confine`
puts one process where it belongs. Neither fails for what the system refuses: that is logged
once, and the process runs on with the limits that it took.

The memory of a group is a wall behind the limit of each worker (`memory_mb`). The kernel counts
there what it keeps in memory of the files they map, too, so that the room for these is added:
a compartment is not to lose its data's pages for want of a number that means something else.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from compartments.machine.cgroups import WEIGHT_MAX, Groups, Want, find
from compartments.machine.courtesy import sharers
from compartments.machine.limits import limit, pin
from compartments.machine.placement import Placement, asks_of, place
from compartments.machine.topology import Topology, ranges, read
from havok.settings import CompartmentSettings, Priority

log = logging.getLogger(__name__)

WITHOUT_GROUPS = "affinity and rlimits"
WEIGHT: dict[Priority, int] = {"high": 100, "medium": 33, "low": 10}  # of each worker: as much as its niceness weighs
_EXECUTOR_MB = 384  # what an executor takes beside its memory_mb; see compartments.queries.executor
_ASIDE = "node.aside"  # no compartment's name has a dot
_ASIDE_WEIGHT = 3  # where groups cannot give way
_VERSIONS = 2  # of the data: a load brings the next one beside what is served


class Isolation:
    def __init__(
        self, node: str, data_dir: Path, topology: Topology | None = None, groups: Groups | None = None
    ) -> None:
        """`topology` and `groups` are those of this machine when they are left out."""
        self._data_dir = data_dir
        self._topology = topology or read()
        self._groups, self._why = groups, tuple[str, ...]()
        if groups is None:
            found = find(prefix(node, data_dir))
            self._groups, self._why = found.groups, found.why
        self._compartments: dict[str, CompartmentSettings] = {}
        self._workers: dict[str, int] = {}
        self._placement = Placement({}, {})
        self._giving_way: frozenset[str] = frozenset()
        self.sharers: frozenset[str] = frozenset()  # who could give way to somebody higher on its cores
        self._seats: dict[str, tuple[int, str, int]] = {}  # process → (pid, compartment, which of its workers' places)
        self._refused: set[str] = set()
        log.info("compartments are kept apart by %s%s", self.mechanism,
                 "".join(f"; {reason}" for reason in self._why))  # fmt: skip

    @property
    def mechanism(self) -> str:
        return WITHOUT_GROUPS if self._groups is None else f"cgroup v{self._groups.version}"

    def place(self, compartments: Mapping[str, CompartmentSettings], workers: Mapping[str, int]) -> None:
        """Who runs where from now on; whoever runs already is confined again by his owner."""
        self._compartments = dict(compartments)
        self._workers = {name: workers.get(name, settings.workers.min) for name, settings in compartments.items()}
        self._placement = place(self._topology, asks_of(compartments, workers))
        if self._groups is None:
            return
        self._groups.keep((*compartments, _ASIDE))
        every = ranges(self._topology.numbers)
        self._refuse(self._groups.shape(_ASIDE, Want(_ASIDE_WEIGHT, every, None, gives_way=True)))
        priorities = {name: settings.priority for name, settings in compartments.items()}
        able = sharers({name: self._placement.cpus(name) for name in compartments}, priorities)
        self._giving_way &= able
        for name in compartments:
            self._refuse(self._groups.shape(name, self._want(name)))
        self.sharers = frozenset(name for name in able if self._groups.can_give_way(name))
        self._giving_way &= self.sharers

    def tasks(self, compartment: str) -> list[int]:
        """Threads of all that is confined to it."""
        return [] if self._groups is None else self._groups.tasks(compartment)

    def give_way(self, names: frozenset[str]) -> None:
        """Those run when nobody else on their cores wants to; all others have their weight."""
        if self._groups is None:
            return
        for name in (names ^ self._giving_way) & self.sharers:
            before = self._giving_way
            self._giving_way = before ^ {name}
            refused = self._groups.weigh(name, Want(self._weight(name), "", None, name in self._giving_way))
            if refused:
                self._refuse(refused)
                self._giving_way = before
                self.sharers -= {name}  # it is not tried again until all are placed anew

    def _weight(self, name: str) -> int:
        return min(WEIGHT_MAX, WEIGHT[self._compartments[name].priority] * self._workers[name])

    def _want(self, name: str) -> Want:
        settings, workers = self._compartments[name], self._workers[name]
        memory = None
        if settings.memory_mb is not None:
            executors = settings.executors
            beside_mb = executors.processes * (2 * executors.memory_mb + _EXECUTOR_MB)
            memory = workers * (settings.memory_mb + beside_mb) << 20
            memory += _VERSIONS * _data_bytes(self._data_dir)
        return Want(self._weight(name), ranges(self._placement.cpus(name)), memory, name in self._giving_way)

    def prime(self) -> None:
        """Before somebody starts who is to be set aside: the first move after a while waits 30 ms for the kernel's
        readers (a grace period of RCU), those that follow take 0.02, and a start runs at full weight until then.
        """
        self.release(os.getpid())

    def set_aside(self, pid: int) -> None:
        """On any core, when nobody else wants it, until it is confined or released."""
        if self._groups is not None:
            self._refuse(self._groups.take(_ASIDE, [pid]))

    def release(self, pid: int) -> None:
        """One that belongs to no compartment, to run as we do."""
        if self._groups is not None:
            self._refuse(self._groups.free([pid]))

    def confine(self, pid: int, name: str, compartment: str) -> None:
        """One worker, `name`, to its compartment's group, its cores and its limits; again after a change."""
        settings = self._compartments.get(compartment)
        if settings is None:
            return
        again = self._seats.get(name, (0, "", 0))[0] == pid
        children = _children(pid) if again else []  # executors; a process that has just started has none
        if self._groups is not None:
            self._refuse(self._groups.take(compartment, [pid, *children]))
        places = self._placement.workers[compartment]
        seat = self._seats[name][2] if again else self._seat(compartment)
        self._seats[name] = (pid, compartment, seat)
        limit(pid, settings, name, places[seat % len(places)])
        for child in children:
            _repin(child, places[seat % len(places)])

    def _seat(self, compartment: str) -> int:
        """The place that fewest have, the first of these."""
        taken = Counter(seat for _, of, seat in self._seats.values() if of == compartment)
        return min(range(len(self._placement.workers[compartment])), key=lambda seat: (taken[seat], seat))

    def forget(self, name: str) -> None:
        """A process has ended. Its place goes to one that shares another, as a successor does until then."""
        gone = self._seats.pop(name, None)
        if gone is None or gone[1] not in self._placement.workers:
            return
        _, compartment, free = gone
        taken = Counter(seat for _, of, seat in self._seats.values() if of == compartment)
        places = self._placement.workers[compartment]
        if taken[free] or free >= len(places):
            return
        for other, (pid, of, seat) in reversed(self._seats.items()):
            if of == compartment and taken[seat] > 1:
                self._seats[other] = (pid, compartment, free)
                for process in (pid, *_children(pid)):
                    _repin(process, places[free])
                return

    def _refuse(self, words: list[str]) -> None:
        for word in words:
            if word not in self._refused:
                self._refused.add(word)
                log.warning("a limit was refused: %s", word)

    def describe(self, compartment: str) -> dict[str, Any]:
        """For the status."""
        return {
            "isolation": self.mechanism,
            "controllers": list(self._groups.controllers) if self._groups is not None else [],
            "gives_way": compartment in self._giving_way,
            "notes": [note.text for note in self._placement.notes.get(compartment, ())],
        }

    def close(self) -> None:
        """When every process has ended."""
        if self._groups is not None:
            self._groups.close()


def prefix(node: str, data_dir: Path) -> str:
    """Of a node's groups. Nodes of one name differ in their data directories."""
    digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:8]
    return f"havok.{node}.{digest}"


def _children(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _repin(pid: int, cpus: tuple[int, ...]) -> None:
    try:
        pin(pid, cpus)
    except OSError as error:
        log.debug("process %d keeps its cores: %s", pid, error)  # it has ended, or its owner will hear of it


def _data_bytes(data_dir: Path) -> int:
    """Of all versions on disk; what a compartment maps is among them."""
    total = 0
    for path in (data_dir / "datasets").glob("*/*/*"):
        try:
            total += path.stat().st_size
        except OSError:
            continue  # retention was quicker
    return total
