"""Who runs where: cases by hand, and laws over machines of 1 to 128 cores."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compartments.machine.placement import Ask, Placement, asks_of, place, spread
from compartments.machine.topology import Topology
from havok.settings import CompartmentSettings, Priority, WorkerCount
from tests.compartments.machines import machine

Where = dict[str, list[int]]


def ask(name: str, priority: Priority = "medium", workers: int = 1, **more: Any) -> Ask:
    return Ask(name, priority, workers, **more)


def high(name: str = "h", cores: float | None = 1.0, workers: int = 1, **more: Any) -> Ask:
    return Ask(name, "high", workers, cores=None if "cpus" in more else cores, **more)


def low(name: str = "l", **more: Any) -> Ask:
    return Ask(name, "low", 1, **more)


def where(found: Placement) -> Where:
    return {name: list(found.cpus(name)) for name in sorted(found.workers)}


def words(found: Placement, name: str) -> str:
    return "; ".join(note.text for note in found.notes.get(name, ()))


SMT2 = machine(2, threads=2)  # cores (0, 2) and (1, 3)
SMT4 = machine(4, threads=2)  # cores (0, 4), (1, 5), (2, 6), (3, 7)
NUMA = machine(8, nodes=2)  # 0-3 and 4-7
BIG = machine(32, threads=2, nodes=4)  # node 0: 0-7 and 32-39


CASES: list[tuple[str, Topology, Sequence[Ask], Where]] = [
    ("nobody asks", machine(2), [ask("a", "high"), low()], {"a": [0, 1], "l": [0, 1]}),
    ("one core for all", machine(1), [high(), low()], {"h": [0], "l": [0]}),
    ("a core each", machine(2), [high(), low()], {"h": [0], "l": [1]}),
    ("named cores are not for others", machine(2), [low(cpus=(0,)), ask("a")], {"a": [1], "l": [0]}),
    ("named wins over high", machine(2), [high(), low(cpus=(0,))], {"h": [1], "l": [0]}),
    ("a low one keeps a core", machine(4), [high(cores=4), low()], {"h": [0, 1, 2], "l": [3]}),
    ("alone it has all", machine(4), [high(cores=4)], {"h": [0, 1, 2, 3]}),
    ("high rounds up", machine(4), [high(cores=1.5), low()], {"h": [0, 1], "l": [2, 3]}),
    ("whole cores with their hyper-threads", SMT4, [high(), low()], {"h": [0, 4], "l": [1, 2, 3, 5, 6, 7]}),
    ("beside a named one nobody runs", SMT4, [high(cpus=(1,)), low()], {"h": [1], "l": [0, 2, 3, 4, 6, 7]}),
    ("beside a low one somebody may", SMT4, [low(cpus=(1,)), ask("a")],
     {"a": [0, 2, 3, 4, 5, 6, 7], "l": [1]}),
    ("as few cores split as will do", SMT2, [high("h1"), high("h2"), low()], {"h1": [0, 2], "h2": [1], "l": [3]}),
    ("all split", SMT2, [high("h1"), high("h2"), high("h3"), low()], {"h1": [0], "h2": [1], "h3": [2], "l": [3]}),
    ("high ones share last", machine(2), [high("h1"), high("h2"), low()], {"h1": [0], "h2": [1], "l": [0, 1]}),
    ("more high ones than cores", machine(2), [high("h1"), high("h2"), high("h3")], {"h1": [0], "h2": [1], "h3": [0]}),
    ("rather a low one's core than a high one's", machine(2), [high(cpus=(0,)), low(cpus=(1,)), ask("a")],
     {"a": [1], "h": [0], "l": [1]}),
    ("the whole part and a share", machine(4), [ask("a", cores=1.5), low(cores=0.5)], {"a": [0, 1], "l": [1]}),
    ("fractions that do not fit together", machine(4), [ask("a", cores=0.6), low(cores=0.6)], {"a": [0], "l": [1]}),
    ("fractions of tenths do", machine(4), [ask("a", cores=0.7), ask("b", cores=0.2), low(cores=0.1)],
     {"a": [0], "b": [0], "l": [0]}),
    ("without an ask beside fractions", machine(3), [ask("a", cores=1.5), low()], {"a": [0, 1], "l": [1, 2]}),
    ("medium before low", machine(3), [low(cores=2), ask("a", cores=2), high()], {"a": [1, 2], "h": [0], "l": [2]}),
    ("in one node", NUMA, [high("h1", 3), high("h2", 2), low()], {"h1": [0, 1, 2], "h2": [4, 5], "l": [3, 6, 7]}),
    ("the node with least to spare", NUMA, [high("h1", 3), high("h2", 1), low()],
     {"h1": [0, 1, 2], "h2": [3], "l": [4, 5, 6, 7]}),
    ("no more nodes than needed", NUMA, [high("h1", 6)], {"h1": [0, 1, 2, 3, 4, 5]}),
    ("on a large machine", BIG, [high("h", 8), ask("a", cores=4), low(cores=2)],
     {"a": [8, 9, 10, 11, 40, 41, 42, 43], "h": [*range(8), *range(32, 40)], "l": [12, 13, 44, 45]}),
    ("cpus that are not there", machine(2), [ask("a", cpus=(7,))], {"a": [0, 1]}),
]  # fmt: skip


@pytest.mark.parametrize(("topology", "asks", "expected"), [pytest.param(*c[1:], id=c[0]) for c in CASES])
def test_a_case(topology: Topology, asks: Sequence[Ask], expected: Where) -> None:
    assert where(place(topology, asks)) == expected
    assert where(place(topology, asks[::-1])) == expected


NOTES = [
    (machine(2), [high(), low()], "h", ""),
    (machine(2), [high(), low()], "l", ""),
    (machine(1), [high(), low()], "h", "it shares cpus 0 with l; there are fewer cores than compartments"),
    (machine(1), [high(), low()], "l", "no core is left for it; it runs on those of others"),
    (machine(4), [high(cores=4), low()], "h", "it has 3 of the 4 cores it asks for"),
    (machine(2), [high("h", None), low()], "h", "it shares cpus 0-1 with l; cores = 1 or more would give it its own"),
    (SMT2, [high("h1"), high("h2"), low()], "h2", "hyper-threads beside its own run l"),
    (SMT2, [high("h1"), high("h2"), low()], "h1", ""),
    (machine(4), [low("x", cpus=(1, 2)), low("y", cpus=(2, 3))], "x", "it shares cpus 2 with y"),
    (machine(2), [ask("a", cpus=(1, 7))], "a", "this machine has no cpus 7 for it"),
    (machine(1), [ask("a", cores=0.6), ask("b", cores=0.6)], "b", "its part of core 0 is less than it asks for"),
    (machine(2), [ask("a", cores=3), low()], "a", "it has 1 of the 3 cores it asks for"),
]


@pytest.mark.parametrize(("topology", "asks", "name", "expected"), NOTES)
def test_compromises_are_told(topology: Topology, asks: Sequence[Ask], name: str, expected: str) -> None:
    assert words(place(topology, asks), name) == expected


def test_sharing_that_nobody_minded_is_no_compromise() -> None:
    (note,) = place(machine(2), [high("h", None), low()]).notes["h"]
    assert not note.asked
    (note,) = place(machine(1), [high("h", None), low()]).notes["h"]
    assert note.asked, "that is told wherever it may be seen"


@pytest.mark.parametrize(
    ("units", "workers", "expected"),
    [
        ([(0, 4), (1, 5)], 1, [(0, 1, 4, 5)]),
        ([(0, 4), (1, 5)], 2, [(0, 4), (1, 5)]),
        ([(0,), (1,)], 4, [(0,), (1,), (0,), (1,)]),
        ([(0,), (1,)], 3, [(0, 1)] * 3),
        ([(0,), (1,), (2,)], 2, [(0, 1), (2,)]),
        ([(0, 1)], 2, [(0, 1), (0, 1)]),
    ],
)
def test_workers_share_evenly_or_roam(units: Sequence[tuple[int, ...]], workers: int, expected: object) -> None:
    assert list(spread(units, workers)) == expected


def test_asks_follow_the_settings() -> None:
    made = {
        "a": CompartmentSettings("x", "low", WorkerCount(2, 4), cores=1.5),
        "b": CompartmentSettings("x", cpus=(1,)),
    }
    assert asks_of(made, {"b": 3}) == [Ask("a", "low", 2, cores=1.5), Ask("b", "medium", 3, cpus=(1,))]


# -- laws ------------------------------------------------------------------------------


@st.composite
def machines(draw: st.DrawFn) -> Topology:
    made = machine(
        draw(st.one_of(st.integers(1, 8), st.integers(1, 128))),
        threads=draw(st.sampled_from([1, 2, 4])), nodes=draw(st.sampled_from([1, 2, 4, 8])),
    )  # fmt: skip
    dice = draw(st.randoms(use_true_random=False))
    kept = [cpu for cpu in made.cpus if dice.random() < draw(st.sampled_from([1.0, 1.0, 0.6]))]
    return Topology(tuple(kept)) if kept else made


@st.composite
def crowds(draw: st.DrawFn, *, named: bool = True) -> list[Ask]:
    asks = []
    for number in range(draw(st.integers(1, 8))):
        priority: Priority = draw(st.sampled_from(["high", "medium", "low"]))
        kind = draw(st.sampled_from(["cores", "none", "cpus"] if named else ["cores", "none"]))
        cores = draw(st.one_of(st.integers(1, 6).map(float), st.floats(0.01, 5))) if kind == "cores" else None
        cpus = tuple(draw(st.lists(st.integers(0, 20), min_size=1, max_size=4, unique=True))) if kind == "cpus" else ()
        asks.append(Ask(f"c{number}", priority, draw(st.integers(1, 6)), cpus, cores))
    return asks


@given(machines(), crowds(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_everybody_sits_on_cores_that_are_there_whatever_the_order(
    topology: Topology, asks: list[Ask], dice: Any
) -> None:
    found = place(topology, asks)
    for one in asks:
        assert len(found.workers[one.name]) == one.workers
        assert all(found.workers[one.name])
        assert set(found.cpus(one.name)) <= set(topology.numbers)
        there = set(one.cpus) & set(topology.numbers)
        assert not there or set(found.cpus(one.name)) == there
    shuffled = list(asks)
    dice.shuffle(shuffled)
    assert place(topology, shuffled) == found


@given(machines(), crowds(named=False))
@settings(max_examples=150, deadline=None)
def test_high_ones_share_only_where_there_are_fewer_cores_than_compartments(
    topology: Topology, asks: list[Ask]
) -> None:
    found = place(topology, asks)
    core = {cpu.number: cpu.core for cpu in topology.cpus}
    for one in asks:
        if one.priority != "high" or one.cores is None:
            continue
        mine = set(found.cpus(one.name))
        others = {cpu for other in asks if other is not one for cpu in found.cpus(other.name)}
        if len(topology.cpus) >= len(asks):
            assert not mine & others
        if len(topology.cores()) >= len(asks):
            assert not {core[cpu] for cpu in mine} & {core[cpu] for cpu in others}
            assert {cpu for cpu in topology.numbers if core[cpu] in {core[c] for c in mine}} == mine


@given(machines(), crowds())
@settings(max_examples=150, deadline=None)
def test_a_high_one_that_shares_or_has_less_says_so(topology: Topology, asks: list[Ask]) -> None:
    found = place(topology, asks)
    for one in asks:
        mine = set(found.cpus(one.name))
        others = {cpu for other in asks if other is not one for cpu in found.cpus(other.name)}
        cores = {cpu.core for cpu in topology.cpus if cpu.number in mine}
        less = one.cores is not None and not one.cpus and len(cores) < ceil(one.cores)
        if one.priority == "high" and (mine & others or less):
            assert one.name in found.notes


@given(machines(), crowds(named=False), st.sampled_from(["medium", "low"]), st.sampled_from([None, 0.5, 1.0, 2.0]))
@settings(max_examples=150, deadline=None)
def test_a_newcomer_below_moves_no_high_one_while_there_is_room(
    topology: Topology, asks: list[Ask], priority: Priority, cores: float | None
) -> None:
    room = len(topology.cores()) - sum(ceil(a.cores) for a in asks if a.priority == "high" and a.cores)
    before, after = place(topology, asks), place(topology, [*asks, Ask("new", priority, 1, (), cores)])
    for one in asks:
        if one.priority == "high" and one.cores and room >= 1:
            assert after.workers[one.name] == before.workers[one.name]


@given(machines(), st.integers(1, 16))
@settings(max_examples=100, deadline=None)
def test_who_fits_into_a_node_stays_in_one(topology: Topology, wanted: int) -> None:
    sizes: dict[int, int] = {}
    for core in topology.cores():
        node = next(cpu.node for cpu in topology.cpus if cpu.core == core)
        sizes[node] = sizes.get(node, 0) + 1
    found = place(topology, [high("h", float(wanted)), low()])
    nodes = {cpu.node for cpu in topology.cpus if cpu.number in found.cpus("h")}
    if max(sizes.values()) >= wanted and len(topology.cores()) > wanted:
        assert len(nodes) == 1
