"""Fair shares: laws of the division, and a worker's loop on a virtual clock under overload."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.shares import FLOOR, Usage, fair_shares, observe
from tests.engine.loop_model import Loop, Service

MS = 1_000_000
CAPACITY = 0.875
asked = st.dictionaries(
    st.sampled_from("abcdefgh"), st.tuples(st.floats(0.001, 1000), st.floats(0, 20)), min_size=1, max_size=8
)


@pytest.mark.parametrize(
    ("of", "shares"),
    [
        ({"a": (1, 0.2), "b": (1, 0.3)}, {"a": 0.2, "b": 0.3}),  # there is room
        ({"a": (1, 9), "b": (1, 9)}, {"a": 0.5, "b": 0.5}),
        ({"a": (3, 9), "b": (1, 9)}, {"a": 0.75, "b": 0.25}),
        ({"a": (1, 9), "b": (1, 0.1)}, {"a": 0.9, "b": 0.1}),  # what b leaves is a's
        ({"a": (2, 9), "b": (1, 9), "c": (1, 0.1)}, {"a": 0.6, "b": 0.3, "c": 0.1}),
        ({"a": (1000, 9), "b": (1, 9)}, {"a": 0.95, "b": 0.05}),  # the floor
        ({"a": (1000, 9), "b": (1, 0.01)}, {"a": 0.99, "b": 0.01}),
        ({}, {}),
    ],
)
def test_what_is_fair(of: dict[str, tuple[float, float]], shares: dict[str, float]) -> None:
    assert fair_shares(of, 1.0) == pytest.approx(shares)


@given(of=asked, capacity=st.floats(0.1, 1.0))
def test_the_laws_of_a_division(of: dict[str, tuple[float, float]], capacity: float) -> None:
    shares = fair_shares(of, capacity)
    assert shares.keys() == of.keys()
    total = sum(demand for _, demand in of.values())
    assert sum(shares.values()) == pytest.approx(min(total, capacity)), "work conserving, and no more than there is"
    least = FLOOR * capacity / len(of)
    for name, (weight, demand) in of.items():
        assert shares[name] <= demand * (1 + 1e-9)
        assert shares[name] >= min(demand, least) * (1 - 1e-9), "nobody starves"
        if shares[name] < demand * (1 - 1e-6):  # who wants more has no less for its weight than anybody above the floor
            for other, (weight_other, _) in of.items():
                if shares[other] > least * (1 + 1e-6):
                    assert shares[other] / weight_other <= shares[name] / weight * (1 + 1e-6)


@given(of=asked, capacity=st.floats(0.1, 1.0))
def test_who_asks_for_less_than_its_part_gets_it_whatever_others_ask(
    of: dict[str, tuple[float, float]], capacity: float
) -> None:
    weights = 1.0 + sum(weight for weight, _ in of.values())
    part = capacity / weights * (1 - FLOOR)
    assert fair_shares({**of, "modest": (1.0, part)}, capacity)["modest"] == pytest.approx(part)


def test_what_is_shed_counts_as_asked_for() -> None:
    flows = observe({}, {"a": Usage(1.0, 100, 60, 40 * MS, 0), "b": Usage(1.0, 10, 0, 10 * MS, 0)}, 100 * MS, CAPACITY)
    assert flows["a"].demand == pytest.approx(1.0), "of which 0.4 was served"
    assert flows["a"].share == pytest.approx(0.775)
    assert flows["a"].ration is not None
    assert flows["b"].ration is None


def test_a_refusal_is_paid_by_who_asked() -> None:
    flows = observe({}, {"a": Usage(1.0, 1000, 900, 90 * MS, 10 * MS)}, 100 * MS, CAPACITY)
    assert flows["a"].allowed == pytest.approx(0.775)
    assert flows["a"].rest_s > 0, "a tenth of the loop"
    flows = observe(flows, {"a": Usage(1.0, 9000, 9000, 0, 90 * MS)}, 100 * MS, CAPACITY)
    assert flows["a"].allowed == pytest.approx(CAPACITY / 4), "something is served all the same"


def test_a_service_that_asks_no_more_is_forgotten() -> None:
    flows = observe({}, {"a": Usage(1.0, 1, 0, MS, 0)}, 100 * MS, CAPACITY)
    for _ in range(19):
        flows = observe(flows, {}, 100 * MS, CAPACITY)
    assert set(flows) == {"a"}
    assert observe(flows, {}, 100 * MS, CAPACITY) == {}


@pytest.mark.parametrize("times", [2, 5, 10])
@pytest.mark.parametrize("weight", [1.0, 2.0, 4.0])
def test_shares_follow_the_weights_under_overload(times: int, weight: float) -> None:
    """Costs differ by five, arrivals are random and so are the costs of one service."""
    loop = Loop(
        {
            "light": Service(1 * MS, rate=times * 500, spread=1.0),
            "heavy": Service(5 * MS, weight=weight, rate=times * 100),
        },
        seed=times,
    )
    loop.run(1)
    loop.reset()
    loop.run(10)
    shares = loop.shares(10)
    wanted = min(times / 2, CAPACITY * weight / (1 + weight))  # of heavy; at 2 × it may want less than its share
    print(times, weight, shares, f"refusals {loop.shed_ns / 1e8:.1f} %")
    assert shares["heavy"] == pytest.approx(wanted, rel=0.04)
    assert sum(shares.values()) + loop.shed_ns / 1e10 == pytest.approx(CAPACITY, rel=0.04)


@pytest.mark.parametrize("callers", [4, 32, 256])
@pytest.mark.parametrize("cost_ms", [0.3, 3.0])
def test_who_keeps_to_its_share_is_never_shed(callers: int, cost_ms: float) -> None:
    """Whatever its neighbour does: here it asks again as soon as it was answered or refused."""
    loop = Loop(
        {"flood": Service(round(cost_ms * MS), callers=callers, spread=1.0), "modest": Service(20_000, rate=1000)},
        seed=callers,
    )
    loop.run(1)
    loop.reset()
    loop.run(5)
    shares = loop.shares(5)
    print(
        callers, cost_ms, shares, f"refusals {loop.shed_ns / 5e7:.1f} %, p99 {loop.quantile_ms('modest', 0.99):.1f} ms"
    )
    assert loop.shed["modest"] == 0
    assert loop.shed["flood"] > 0
    assert shares["modest"] == pytest.approx(0.02, rel=0.05)
    assert shares["flood"] > 0.78
    assert loop.shed_ns / 5e9 < 0.08
    assert loop.quantile_ms("modest", 0.99) < 5 + 7 * cost_ms


def test_nobody_is_shed_while_there_is_room() -> None:
    loop = Loop({"a": Service(MS, rate=700, spread=1.0), "b": Service(MS, rate=70)}, seed=3)
    loop.run(20)
    assert not loop.shed
    loop = Loop({"a": Service(MS, rate=70, weight=0.001), "b": Service(MS, rate=700, spread=1.0)}, seed=3)
    loop.run(20)
    assert not loop.shed


def test_what_a_service_leaves_the_others_use() -> None:
    loop = Loop({"a": Service(MS, rate=5000), "b": Service(MS, rate=5000), "c": Service(MS, rate=100)}, seed=4)
    loop.run(1)
    loop.reset()
    loop.run(10)
    shares = loop.shares(10)
    print(shares)
    assert shares["c"] == pytest.approx(0.1, rel=0.1)
    assert shares["a"] == pytest.approx(shares["b"], rel=0.03)
    assert loop.shed["c"] == 0


def test_steady_demand_does_not_swing() -> None:
    """Who is limited stays so."""
    loop = Loop({"flood": Service(MS, callers=32, spread=1.0), "b": Service(MS, rate=100)}, seed=5)
    loop.run(1)
    loop.reset()
    loop.run(10)
    assert set(loop.limited) == {frozenset({"flood"})}


def test_a_flood_that_ends_is_forgiven() -> None:
    loop = Loop({"a": Service(MS, rate=5000), "b": Service(MS, rate=100)}, seed=6)
    loop.run(2)
    loop.services["a"].rate = 100.0
    loop.run(2)
    loop.reset()
    loop.run(5)
    assert not loop.shed


def test_a_loop_that_is_late_gives_what_it_kept() -> None:
    """On a crowded core it has its turn 10 ms late, in the mean, which is more than a burst."""
    loop = Loop({"flood": Service(MS // 2, callers=16), "b": Service(20_000, rate=150)}, seed=7, late_ns=10 * MS)
    loop.run(2)
    loop.reset()
    loop.run(5)
    print(loop.shares(5), f"burst {loop.flows['flood'].burst_ns / MS:.0f} ms")
    assert loop.shares(5)["flood"] > 0.75
    assert loop.shed["b"] == 0
