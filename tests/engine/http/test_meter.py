"""Whose time passes, on real connections."""

from pathlib import Path

import pytest

from engine.http.route import Route
from tests.engine.making import two_routes
from tests.engine.wire import Wire, get, post

JFK = get("/v1/airport?faa=JFK")
BATCH = post("/v1/other", b'{"keys":["JFK","LAX"]}')


@pytest.fixture
def routes(wire: Wire, airports_dir: Path) -> dict[str, Route]:
    """Two services, measured."""
    made = dict(zip(("airport", "other"), two_routes(airports_dir), strict=True))
    wire.server.deploy(made)
    wire.server.measure(True)
    return made


def test_a_lap_is_its_service_s(wire: Wire, routes: dict[str, Route]) -> None:
    client = wire.client()
    for request, name, other in ((JFK, "airport", "other"), (JFK, "airport", "other"), (BATCH, "other", "airport")):
        assert client.ask(request).status == 200
        usage = routes[name].budget.take()
        assert usage is not None
        assert (usage.offered, usage.shed, usage.shed_ns) == (1, 0, 0)
        assert 1_000 < usage.served_ns < 50_000_000
        assert routes[other].budget.take() is None
        assert wire.server.meter.budget is None


def test_requests_of_one_lap_are_told_apart(wire: Wire, routes: dict[str, Route]) -> None:
    assert len(wire.client().talk(JFK + BATCH + JFK)) == 3
    first, second = (routes[name].budget.take() for name in ("airport", "other"))
    assert first is not None and second is not None  # noqa: PT018
    assert (first.offered, second.offered) == (2, 1)
    assert first.served_ns > 1_000 and second.served_ns > 1_000  # noqa: PT018


def test_what_the_fast_way_leaves_to_the_general_one_counts_once(wire: Wire, routes: dict[str, Route]) -> None:
    client = wire.client()
    client.ask(JFK)
    assert client.ask(get("/v1/airport?faa=%4aFK")).status == 200
    assert client.ask(get("/v1/airport?faa=JFK&x=1")).code == "bad_param"
    usage = routes["airport"].budget.take()
    assert usage is not None and usage.offered == 3  # noqa: PT018


def test_a_server_that_is_measured_no_more_asks_nobody(wire: Wire, routes: dict[str, Route]) -> None:
    client = wire.client()
    client.ask(JFK)
    wire.server.measure(False)
    assert routes["airport"].limit is None
    assert client.ask(JFK).status == 200
    assert not routes["airport"].budget.offered


def test_a_route_that_comes_while_others_are_measured_is_too(wire: Wire, routes: dict[str, Route]) -> None:
    client = wire.client()
    client.ask(JFK)
    old = routes["airport"]
    new = Route(old.program, b"now", histogram=old.histogram, limit=old.rate, budget=old.budget)
    wire.deploy(airport=new)
    client.ask(JFK)
    usage = new.budget.take()
    assert usage is not None and usage.offered == 2, "what was counted before goes on"  # noqa: PT018
