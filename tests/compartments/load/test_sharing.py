"""Services that share a worker: by gauges made by hand, then a real worker under a flood."""

from time import monotonic

import msgspec
import pytest

from compartments.facts.deployment import marks_key
from compartments.load.gauges import Gauge
from compartments.load.sharing import CAPACITY_MAX, Sharing, capacity_of
from engine.http.route import Route
from havok import messages
from havok.settings import Watermarks
from tests.compartments.deadline import pause, until
from tests.compartments.flooding import Flood
from tests.compartments.node import Node, service
from tests.compartments.workbench import Bench

MS = 1_000_000
SECOND = 1_000_000_000
CALM, FULL = Gauge(busy=0.1), Gauge(busy=0.95)


class Looking:
    """A worker's sharing, looked at every 100 ms; its services were asked as many more times as is said."""

    def __init__(self, bench: Bench) -> None:
        bench.serve(bench.build(1), "a", "v")
        bench.settle()
        self.server = bench.server
        self.sharing = Sharing(bench.server)
        self.now = SECOND

    def budget(self, name: str) -> tuple[Route, object]:
        route = self.server.target(name)
        assert isinstance(route, Route)
        return route, route.budget

    def look(self, gauge: Gauge, **asked: int) -> None:
        """Each request takes a millisecond, of those that are let in."""
        for name, count in asked.items():
            route, _ = self.budget(name)
            for _ in range(count):
                if route.limit is not None and route.limit.admit(self.now):
                    route.budget.charge(MS)
                route.histogram.record(MS)
        self.server.count_requests()
        self.now += 100 * MS
        self.sharing.look(gauge, self.now)


@pytest.fixture
def looking(bench: Bench) -> Looking:
    return Looking(bench)


def test_below_the_low_mark_nothing_is_measured(looking: Looking) -> None:
    for _ in range(20):
        looking.look(CALM, a=500, v=1)
    assert not looking.server.measured
    assert looking.budget("a")[0].limit is None


def test_a_service_alone_shares_with_nobody(looking: Looking) -> None:
    for _ in range(20):
        looking.look(FULL, a=500)
    assert not looking.server.measured


def test_services_that_follow_upon_each_other_do_not_compete(looking: Looking) -> None:
    """Each fills the worker, one after the other; for a few looks, the one that ends is asked as well."""
    looking.look(CALM, a=1, v=1)
    for _ in range(3):
        for _ in range(15):
            looking.look(FULL, a=1000)
        looking.look(FULL, a=1000, v=1000)
        looking.look(FULL, a=1000, v=1000)
        for _ in range(15):
            looking.look(FULL, v=1000)
    assert looking.server.measured
    assert looking.sharing.shed == {}
    for name in ("a", "v"):
        assert looking.budget(name)[0].budget.admit(looking.now)


def test_above_it_who_is_over_its_share_is_shed(looking: Looking) -> None:
    looking.look(CALM, a=1, v=1)
    for _ in range(3):
        looking.look(FULL, a=100, v=10)
    assert looking.server.measured
    for _ in range(10):
        looking.look(FULL, a=300, v=10)
    assert set(looking.sharing.shed) == {"a"}
    seen = looking.sharing.shed["a"]
    for _ in range(30):
        looking.look(CALM, a=300, v=10)
    assert looking.server.measured, "what is shed cannot be seen in the load"
    assert looking.sharing.shed["a"] > seen
    for _ in range(30):
        looking.look(CALM, a=10, v=10)
    assert not looking.server.measured
    assert looking.budget("a")[0].limit is None


def test_marks_hold_as_they_come(looking: Looking, bench: Bench) -> None:
    looking.sharing.follow({marks_key("one"): msgspec.msgpack.encode(Watermarks(0.97, 1.0))})
    for _ in range(20):
        looking.look(FULL, a=300, v=10)
    assert not looking.server.measured
    looking.sharing.follow({marks_key("two"): msgspec.msgpack.encode(Watermarks(0.1, 0.2))})
    looking.look(FULL, a=100, v=10)
    looking.look(FULL, a=100, v=10)
    assert looking.server.measured, "none of its own: the defaults"


def test_capacity_stands_above_the_high_mark() -> None:
    """A compartment that sheds must be seen to be high."""
    assert capacity_of(Watermarks(0.35, 0.75)) == 0.875
    assert capacity_of(Watermarks(0.1, 0.2)) == 0.6
    assert capacity_of(Watermarks(0.9, 1.0)) == CAPACITY_MAX


def ask(node: Node, name: str, count: int) -> list[float]:
    """Moderately; milliseconds of each answer, the longest last. Nobody is refused."""
    took = []
    with node.client() as client:
        for number in range(count):
            begun = monotonic()
            answer = client.get(name, f"k{number % 20}")
            took.append((monotonic() - begun) * 1000)
            assert answer.status == 200, answer
            pause(0.004)
    return sorted(took)


def shed(node: Node) -> dict[str, int]:
    found: dict[str, int] = node.workers("one")[0]["shed"]
    return found


def figures(took: list[float]) -> str:
    return f"p50 {took[len(took) // 2]:.2f} ms, p99 {took[int(len(took) * 0.99)]:.2f} ms"


def test_a_neighbour_in_the_same_compartment_is_unhurt(node: Node) -> None:
    node.services = {"modest": service("one"), "greedy": service("one"), "b": service("two")}
    node.load(1)
    node.start()
    print("alone:", figures(ask(node, "modest", 200)))
    ask(node, "greedy", 20)
    assert shed(node) == {}, "below the low mark"
    with Flood(node.port, "greedy") as flood:
        asked = node.workers("one")[0]["requests"]
        until(lambda: node.workers("one")[0]["requests"] > asked + 300, 20, "alone it has all there is")
        assert shed(node) == {}
        until(lambda: ask(node, "modest", 5) and shed(node).get("greedy", 0) > 100, 20, "the flood is shed")
        took = ask(node, "modest", 300)
        worker = node.workers("one")[0]
    print("flooded:", figures(took), flood.statuses, "busy", worker["busy"], "delay", worker["delay_us"])
    assert set(worker["shed"]) == {"greedy"}
    assert worker["errors"]["overloaded"] >= worker["shed"]["greedy"] > 0
    assert flood.statuses["200"] > 100, "the flood has its share"
    assert set(flood.statuses) == {"200", "503"}
    assert took[len(took) // 2] < 50
    until(lambda: not node.workers("one")[0]["connections"])
    ask(node, "greedy", 50)


def test_two_floods_share_by_weight(node: Node) -> None:
    node.services = {"three": service("one", weight=3.0), "one": service("one"), "b": service("two")}
    node.load(1)
    node.start()
    with Flood(node.port, "three") as three, Flood(node.port, "one") as one:
        until(lambda: len(shed(node)) == 2, 20, "both are shed")
        for flood in (three, one):
            flood.count()
        asked = node.workers("one")[0]["requests"]
        until(lambda: node.workers("one")[0]["requests"] > asked + 10_000, 30)
    ratio = three.statuses["200"] / one.statuses["200"]
    print(f"served {ratio:.2f} : 1 by weights of 3 : 1;", three.statuses, one.statuses)
    assert 1.8 < ratio < 5, "by time it is closer; here batches of both cost alike"


def test_marks_change_at_run_time(node: Node) -> None:
    """A low mark of next to nothing: what was nobody's concern is measured, and shared."""
    node.services = {"modest": service("one"), "greedy": service("one"), "b": service("two")}
    node.compartments["one"]["watermarks"] = {"low": 0.9, "high": 1.0}
    node.load(1)
    node.start()
    node.request(messages.ScaleRequest("one", low=0.01, high=0.02))
    with Flood(node.port, "greedy", connections=2) as flood:
        ask(node, "modest", 20)
        until(lambda: ask(node, "modest", 5) and shed(node).get("greedy", 0) > 0, 20, "half of the loop is too much")
    print(flood.statuses)
