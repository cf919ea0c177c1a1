"""What a worker measures of itself, with its clocks given."""

import os
from time import monotonic, monotonic_ns

import psutil
import pytest

from compartments.load.gauges import COSTS_MAX, COSTS_SHOWN, SAMPLE_NS_MIN, Costs, Gauges, Waits
from engine.http.route import Route, SqlRoute
from tests.compartments.loops import Driver, driver
from tests.compartments.workbench import Bench

SECOND = 1_000_000_000
TICK = SECOND // 10
MS = 1_000_000


def routes(bench: Bench, count: int) -> list[Route]:
    """As many services, all with the one program of the bench."""
    version = bench.build(1)
    bench.serve(version, "a")
    bench.settle()
    route = bench.server.table.pop(b"/v1/a")
    assert isinstance(route, Route)
    made = []
    for number in range(count):
        another = Route(route.program, b"")
        another.service = f"s{number}"
        bench.server.table[b"/v1/s%d" % number] = another
        made.append(another)
    return made


def test_busy_and_memory(bench: Bench) -> None:
    gauges = Gauges(bench.drive.loop, bench.server.table, 0, 5 * SECOND)
    gauge = gauges.sample(TICK, 5 * SECOND + TICK // 4)
    assert gauge.busy == 0.25
    assert abs(gauge.rss_mb - psutil.Process(os.getpid()).memory_info().rss / 2**20) < 5
    assert gauge.faults_major >= 0
    assert gauges.sample(2 * TICK, 5 * SECOND + TICK // 4).busy == 0.0
    gauges.close()


def test_a_report_a_moment_after_another_says_the_same(bench: Bench) -> None:
    """What a millisecond says of the load is nothing."""
    gauges = Gauges(bench.drive.loop, bench.server.table, 0, 0)
    gauge = gauges.sample(TICK, TICK // 2)
    assert gauges.sample(TICK + SAMPLE_NS_MIN - 1, TICK // 2 + SAMPLE_NS_MIN - 1) is gauge
    assert gauges.sample(TICK + SAMPLE_NS_MIN, TICK // 2).busy == 0.0
    gauges.close()


def test_a_loop_that_is_held_up_is_late() -> None:
    with driver() as drive:
        gauges = Gauges(drive.loop, {}, monotonic_ns(), 0)
        until_s = monotonic() + 0.3

        def hold_up() -> None:
            """30 ms of work at a time."""
            ends_s = monotonic() + 0.03
            while monotonic() < ends_s:
                pass
            if monotonic() < until_s:
                drive.loop.call_soon(hold_up)

        drive.loop.call_soon(hold_up)
        drive.until(lambda: monotonic() > until_s)
        late_us = gauges.sample(monotonic_ns(), 0).delay_us
        idle_us = _idle_delay_us(drive, gauges)
        print(f"delay behind turns of 30 ms: {late_us:.0f} µs, idle {idle_us:.0f} µs")
        assert late_us > 3_000
        gauges.close()
    assert drive.unhandled == []


def _idle_delay_us(drive: Driver, gauges: Gauges) -> float:
    until_s = monotonic() + 0.3
    drive.until(lambda: monotonic() > until_s)
    return gauges.sample(monotonic_ns(), 0).delay_us


@pytest.mark.parametrize(
    ("late_ms", "mean_ms"),
    [
        ([0, 10], 5.0),
        ([-1, -1], 0.0),  # a timer may be early
        ([20], 20.0),
        ([120], 70.0),  # 120, 70 and 20: those that were left out would have waited, too
        ([500], 250.0),
        ([], 0.0),
    ],
)
def test_what_a_long_wait_left_out_is_counted(late_ms: list[int], mean_ms: float) -> None:
    waits = Waits()
    for late in late_ms:
        waits.record(late * MS)
    assert waits.mean_us() == pytest.approx(mean_ms * 1000)
    assert waits.mean_us() == pytest.approx(mean_ms * 1000), "there was no probe since"


def test_costs_are_shares_of_the_last_interval(bench: Bench) -> None:
    first, second = routes(bench, 2)
    costs = Costs(bench.server.table)
    first.histogram.record(10 * SECOND)  # long ago
    assert costs.sample(0, 1.0) == {}
    for _ in range(100):
        first.histogram.record(200_000)
        second.histogram.record(100_000)
    found = costs.sample(TICK, 1.0)
    assert found == pytest.approx({"s0": 0.2, "s1": 0.1}, rel=0.02)
    assert costs.sample(2 * TICK, 1.0) == {}


def test_costs_are_no_more_than_the_loop_did(bench: Bench) -> None:
    """Requests of one tick share its time, so their latencies add up to more."""
    first, second = routes(bench, 2)
    costs = Costs(bench.server.table)
    costs.sample(0, 0.0)
    for _ in range(100):
        first.histogram.record(2_000_000)
        second.histogram.record(1_000_000)
    assert costs.sample(TICK, 0.6) == pytest.approx({"s0": 0.4, "s1": 0.2}, rel=0.1)


def test_a_sql_service_costs_its_turns(bench: Bench) -> None:
    """Of an answer that waits most of the time, the latency is no cost."""
    (kv,) = routes(bench, 1)
    route = SqlRoute(kv.program, b"")
    route.service = "q"
    bench.server.table[b"/v1/q"] = route
    costs = Costs(bench.server.table)
    costs.sample(0, 0.0)
    route.histogram.record(SECOND)
    route.histogram.turns_ns += 5 * MS
    assert costs.sample(TICK, 1.0) == pytest.approx({"q": 0.05})


def test_thousands_of_services_are_looked_at_some_at_a_time(bench: Bench) -> None:
    made = routes(bench, 1000)
    costs = Costs(bench.server.table)
    rounds = -(-1000 // COSTS_MAX)
    for number in range(rounds):
        costs.sample(number * TICK, 1.0)
    for number, route in enumerate(made):
        route.histogram.record((number + 1) * 100_000)
    started = monotonic()
    found: dict[str, float] = {}
    for number in range(rounds):
        found = costs.sample((rounds + number) * TICK, 1.0)
    each_ms = (monotonic() - started) / rounds * 1000
    print(f"one look with 1,000 services: {each_ms:.2f} ms")
    assert each_ms < 20
    assert set(found) == {f"s{number}" for number in range(1000 - COSTS_SHOWN, 1000)}


def test_a_service_that_is_gone_costs_nothing(bench: Bench) -> None:
    first, second = routes(bench, 2)
    costs = Costs(bench.server.table)
    costs.sample(0, 0.0)
    for route in (first, second):
        route.histogram.record(10 * MS)
    assert set(costs.sample(TICK, 1.0)) == {"s0", "s1"}
    del bench.server.table[b"/v1/s0"]
    assert "s0" not in costs.sample(TICK + 1, 1.0)
