"""Requests of a service over its share: refused at once, on a connection that stays."""

from pathlib import Path

import pytest

from engine.http.route import Route
from engine.http.shedding import SHEDS_MAX
from engine.shares import Ration
from tests.engine.making import two_routes
from tests.engine.wire import Answer, Client, Wire, get, post

JFK = get("/v1/airport?faa=JFK")
OTHER = get("/v1/other?faa=JFK")


@pytest.fixture
def route(wire: Wire, airports_dir: Path) -> Route:
    """Service `airport` has spent its ration; `other` has none."""
    made, other = two_routes(airports_dir)
    wire.deploy(airport=made, other=other)
    wire.server.measure(True)
    ration(made)
    return made


def ration(route: Route, rest_s: float = 0.0) -> None:
    """Spent by a microsecond, for years."""
    route.budget.allot(Ration(cost_ns=1.0, price=1e15, burst_ns=0, rest_s=rest_s))
    route.budget.charge(1000)
    route.budget.take()


def is_shed(answer: Answer) -> bool:
    if answer.status == 200:
        return False
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "overloaded", "1")
    assert answer.headers["havok-compartment"] == "travel-high"
    assert not answer.closes
    return True


@pytest.fixture
def client(wire: Wire, route: Route) -> Client:
    """On its fast way."""
    made = wire.client()
    assert not is_shed(made.ask(OTHER))
    return made


def test_the_fast_way_and_the_general_one_say_the_same(wire: Wire, client: Client, route: Route) -> None:
    recorded = wire.record()
    fast = client.ask(JFK)
    assert recorded == []
    assert is_shed(fast)
    general = client.ask(get("/v1/airport?faa=JFK", "X-Other: 1"))
    assert len(recorded) == 1
    assert {**fast.headers, "date": ""} == {**general.headers, "date": ""}
    assert fast.body == general.body
    assert is_shed(client.ask(post("/v1/airport", b'{"keys":["JFK"]}')))
    usage = route.budget.take()
    assert usage is not None and usage.shed == usage.offered == 3  # noqa: PT018
    assert wire.server.problems.counts["overloaded"] == 3
    assert usage.served_ns == 0 < usage.shed_ns


def test_others_are_served_on_the_same_connection(client: Client) -> None:
    for _ in range(5):
        assert is_shed(client.ask(JFK))
        assert not is_shed(client.ask(OTHER))


def test_nothing_is_looked_up_for_it(client: Client, route: Route) -> None:
    route.query = None  # type: ignore[assignment]
    assert is_shed(client.ask(JFK))


@pytest.mark.parametrize("headers", [[], ["X-Other: 1"]])
def test_who_asks_again_and_again_is_not_read_from_for_a_moment(
    wire: Wire, client: Client, route: Route, headers: list[str]
) -> None:
    asked = get("/v1/airport?faa=JFK", *headers)
    ration(route, rest_s=0.02)
    for _ in range(SHEDS_MAX):
        assert is_shed(client.ask(asked))
    client.received = b""
    client.send(OTHER)
    for _ in range(5):
        wire.turn()
        assert client.read() == 0, "it rests"
    wire.turn_until(lambda: client.read() > 0)
    assert client.received.startswith(b"HTTP/1.1 200")


def test_who_is_served_between_does_not_rest(wire: Wire, client: Client, route: Route) -> None:
    ration(route, rest_s=3600.0)
    for _ in range(SHEDS_MAX * 2):
        assert is_shed(client.ask(JFK))
        assert client.ask(OTHER).status == 200


def test_a_connection_that_rests_can_be_closed(wire: Wire, client: Client, route: Route) -> None:
    ration(route, rest_s=0.005)
    for _ in range(SHEDS_MAX):
        client.ask(JFK)
    client.connection.close()
    successor = wire.client()  # most likely of the same number
    wire.turn_until(lambda: successor.ask(OTHER).status == 200)
