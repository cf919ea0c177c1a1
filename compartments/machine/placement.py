"""Which cores each worker runs on.

Rule: pure, and the same for the same asks in any order. The unit is a physical core with all
its hyper-threads that we may use.

1. `cpus` are taken as they are said.
2. A high compartment that asks for `cores` gets so many, rounded up, for itself. As many others
   as still need a core each keep one; what is left over a high one's first core is the first to
   go. Only where there are fewer cores than that, cores are split into their hyper-threads, as
   few as will do, and only where those do not suffice either, cores are shared.
3. Medium and low ones get the whole part of their `cores` for themselves, while one core stays
   for those who share; a fraction shares a core with others whose fractions fit beside it.
4. Who asks for nothing runs on all cores that nobody owns. Where there is none, a core of
   another is better than one of a high compartment.

High ones choose first, so that medium and low ones move none of them while there are cores
enough. Whoever chooses takes the smallest NUMA node that has what he wants, and no more nodes
than needed. Every compromise is a note.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import ceil, floor

import msgspec

from compartments.machine.topology import Topology, ranges
from havok.settings import CompartmentSettings, Priority

Unit = tuple[int, ...]  # the processors of a core, or of a part of one

_RANK: dict[Priority, int] = {"high": 0, "medium": 1, "low": 2}
_CROWDED = "no core is left for it; it runs on those of others"
_EPSILON = 1e-6  # 0.1 + 0.2 fits beside 0.7


class Ask(msgspec.Struct, frozen=True):
    """What a compartment wants: `cpus`, or `cores`, or neither."""

    name: str
    priority: Priority
    workers: int
    cpus: tuple[int, ...] = ()
    cores: float | None = None


class Note(msgspec.Struct, frozen=True):
    """A sentence about a compartment. `asked`: it is not as the compartment asked, for want of cores."""

    text: str
    asked: bool = True


class Placement(msgspec.Struct, frozen=True):
    workers: dict[str, tuple[Unit, ...]]  # compartment → processors of each worker, never none
    notes: dict[str, tuple[Note, ...]]  # only of compartments that have some

    def cpus(self, compartment: str) -> Unit:
        """Of all its workers together."""
        return tuple(sorted({cpu for worker in self.workers[compartment] for cpu in worker}))


def asks_of(compartments: Mapping[str, CompartmentSettings], workers: Mapping[str, int]) -> list[Ask]:
    """`workers`: how many each compartment has; as many as it starts with where it is not named."""
    return [
        Ask(name, found.priority, workers.get(name, found.workers.min), found.cpus, found.cores)
        for name, found in compartments.items()
    ]


def place(topology: Topology, asks: Iterable[Ask]) -> Placement:
    """Names must differ."""
    table = _Table(topology, sorted(asks, key=lambda ask: (_RANK[ask.priority], ask.name)))
    table.seat_named()
    table.seat_high()
    table.seat_others()
    table.seat_free()
    table.note_sharing()
    return Placement(
        {ask.name: spread(table.units[ask.name], ask.workers) for ask in table.asks},
        {name: tuple(notes) for name, notes in sorted(table.notes.items())},
    )


def spread(units: Sequence[Unit], workers: int) -> tuple[Unit, ...]:
    """Each worker its own core, or its equal share of them; where that is not even, all of them run on all."""
    if workers <= len(units):
        cuts = [round(worker * len(units) / workers) for worker in range(workers + 1)]
        shares = [units[first:last] for first, last in pairwise(cuts)]
    elif workers % len(units) == 0:
        shares = [units[worker % len(units) :][:1] for worker in range(workers)]
    else:
        shares = [units] * workers
    return tuple(tuple(sorted({cpu for unit in share for cpu in unit})) for share in shares)


class _Table:
    """Who sits where so far. `free` are the cores that nobody owns."""

    def __init__(self, topology: Topology, asks: list[Ask]) -> None:
        self.asks = asks
        self.units: dict[str, list[Unit]] = {}
        self.notes: dict[str, list[Note]] = {}
        self._topology = topology
        self._node = {cpu.number: cpu.node for cpu in topology.cpus}
        self._core = {cpu.number: cpu.core for cpu in topology.cpus}
        self._owned: dict[int, set[str]] = {}  # processor → who owns it
        self._spare: list[Unit] = []  # hyper-threads beside processors that medium and low ones named
        self.free: list[Unit] = list(topology.cores().values())

    def _of(self, priorities: Sequence[Priority]) -> list[Ask]:
        """Who wants `cores`, and does not sit yet."""
        return [
            ask
            for ask in self.asks
            if ask.priority in priorities and ask.cores is not None and ask.name not in self.units
        ]

    def _own(self, ask: Ask, units: Sequence[Unit]) -> None:
        self.units.setdefault(ask.name, []).extend(units)
        for unit in units:
            for cpu in unit:
                self._owned.setdefault(cpu, set()).add(ask.name)

    def _note(self, name: str, text: str, *, asked: bool = True) -> None:
        self.notes.setdefault(name, []).append(Note(text, asked))

    # -- 1 ---------------------------------------------------------------------------

    def seat_named(self) -> None:
        high: set[int] = set()  # cores
        touched: set[int] = set()
        for ask in self.asks:
            there = [cpu for cpu in dict.fromkeys(ask.cpus) if cpu in self._core]
            if len(there) < len(set(ask.cpus)):
                missing = ranges(set(ask.cpus) - set(there))
                self._note(ask.name, f"this machine has no cpus {missing} for it")
            if there:
                self._own(ask, [(cpu,) for cpu in there])
                touched |= {self._core[cpu] for cpu in there}
                high |= {self._core[cpu] for cpu in there if ask.priority == "high"}
        cores = self._topology.cores()
        self.free = [unit for core, unit in cores.items() if core not in touched]
        beside = [[cpu for cpu in cores[core] if cpu not in self._owned] for core in sorted(touched - high)]
        self._spare = [tuple(unit) for unit in beside if unit]

    # -- 2 ---------------------------------------------------------------------------

    def seat_high(self) -> None:
        asks = self._of(["high"])
        others = any(ask.name not in self.units and ask not in asks for ask in self.asks) and not self._spare
        self._split(len(asks) + others)
        left = len(self.free) - (others and len(self.free) >= len(asks) + 1)
        for position, ask in enumerate(asks):
            wanted = ceil(ask.cores or 1)
            count = min(wanted, max(1, left - (len(asks) - position - 1)), left)
            if count:
                self._own(ask, self._take(count))
                left -= count
            else:
                self._own(ask, [self._last_resort(position)])
            self._note_short(ask, wanted, count)

    def _split(self, wanted: int) -> None:
        """As many units as wanted, if hyper-threads of single cores make so many."""
        while len(self.free) < wanted:
            largest = max(self.free, key=lambda unit: (len(unit), self.free.index(unit)), default=())
            if len(largest) < 2:
                return
            at = self.free.index(largest)
            self.free[at : at + 1] = [largest[:-1]]
            self.free.append(largest[-1:])

    def _take(self, count: int, near: Unit = ()) -> list[Unit]:
        """Out of `free`: whole cores before parts, of the smallest node that has as many, else of the largest."""
        by_node: dict[int, list[Unit]] = {}
        for unit in sorted(self.free, key=lambda unit: (-len(unit), unit)):
            by_node.setdefault(self._node[unit[0]], []).append(unit)
        home = self._node[near[0]] if near else None
        taken: list[Unit] = []
        while len(taken) < count:
            rest = count - len(taken)
            fits = [node for node, units in by_node.items() if len(units) >= rest]
            if home in fits:
                node = home
            elif fits:
                node = min(fits, key=lambda node: (-len(by_node[node][rest - 1]), len(by_node[node]), node))
            else:
                node = max(by_node, key=lambda node: (len(by_node[node]), -node))
            taken += by_node.pop(node)[:rest]
        self.free = [unit for unit in self.free if unit not in taken]
        return taken

    def _last_resort(self, turn: int | None = None) -> Unit:
        """Where to run when no core is free: nowhere near a high one, if that can be; else on all, or on one."""
        high = {ask.name for ask in self.asks if ask.priority == "high"}
        spare = tuple(cpu for unit in self._spare for cpu in unit)
        unowned = tuple(cpu for cpu in self._topology.numbers if cpu not in self._owned)
        lower = tuple(cpu for cpu in self._topology.numbers if not self._owned.get(cpu, set()) & high)
        found = spare or unowned or lower
        if found:
            return found
        every = self._topology.numbers
        return every if turn is None else (every[turn % len(every)],)

    def _note_short(self, ask: Ask, wanted: float, count: float) -> None:
        if count < wanted:
            self._note(ask.name, f"it has {count or 'none'} of the {ask.cores:g} cores it asks for")

    # -- 3 ---------------------------------------------------------------------------

    def seat_others(self) -> None:
        asks = self._of(["medium", "low"])
        roaming = any(ask.cores is None and ask.name not in self.units for ask in self.asks)
        sharing: list[tuple[Ask, float]] = []
        for position, ask in enumerate(asks):
            cores = ask.cores or 0
            whole = floor(cores + _EPSILON)
            part = cores - whole if cores - whole > _EPSILON or not whole else 0.0
            others = bool(roaming or sharing or part or position + 1 < len(asks)) and not self._spare
            count = max(0, min(whole, len(self.free) - others))
            self._own(ask, self._take(count))
            if part or count < whole:
                sharing.append((ask, part + whole - count))
            self._note_short(ask, whole, count)
        pool = [*self.free, *self._spare]
        filled = dict.fromkeys(pool, 0.0)
        for ask, part in sharing:
            own = self.units[ask.name]
            if not pool and not own:
                own.append(self._last_resort())
                self._note(ask.name, _CROWDED)
            if part > 1 + _EPSILON or not pool:
                own += pool
                continue
            home = self._node[own[0][0]] if own else None
            room = [unit for unit in pool if filled[unit] + part <= 1 + _EPSILON]
            unit = min(room or pool, key=lambda unit: (bool(not room) * filled[unit], self._node[unit[0]] != home))
            filled[unit] += part
            own.append(unit)
            if not room:
                self._note(ask.name, f"its part of core {ranges(unit)} is less than it asks for")

    # -- 4 ---------------------------------------------------------------------------

    def seat_free(self) -> None:
        for ask in self.asks:
            if ask.name not in self.units:
                pool = [*self.free, *self._spare]
                self.units[ask.name] = pool or [self._last_resort()]
                if not pool:
                    self._note(ask.name, _CROWDED)

    # -- what is shared ----------------------------------------------------------------

    def note_sharing(self) -> None:
        """Of whoever is high or named his cores; that others share is how they are meant to run."""
        cpus = {name: {cpu for unit in units for cpu in unit} for name, units in self.units.items()}
        cores = {name: {self._core[cpu] for cpu in found} for name, found in cpus.items()}
        for ask in self.asks:
            if ask.priority != "high" and not ask.cpus:
                continue
            others = [other for other in self.asks if other.name != ask.name]
            shared = {other.name: cpus[ask.name] & cpus[other.name] for other in others}
            names = [name for name, found in shared.items() if found]
            if names:
                which = ranges(set().union(*shared.values()))
                by_choice = ask.cores is None and not ask.cpus
                crowded = len(self._topology.cpus) < len(self.asks)
                advice = "cores = 1 or more would give it its own" if by_choice else ""
                advice = "there are fewer cores than compartments" if crowded else advice
                text = f"it shares cpus {which} with {', '.join(sorted(names))}"
                self._note(ask.name, f"{text}; {advice}" if advice else text, asked=crowded or not by_choice)
            beside = [o.name for o in others if cores[ask.name] & cores[o.name] and o.name not in names]
            if beside and ask.priority == "high":
                self._note(ask.name, f"hyper-threads beside its own run {', '.join(sorted(beside))}")
