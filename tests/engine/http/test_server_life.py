"""The server over time: swaps between any two requests, the date, a real listener."""

import asyncio
import http.client
import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.http.route import Elsewhere, Route, Unready
from engine.http.server import COUNT_MAX, SWEEP_MAX, Server
from engine.snapshot import open_snapshot
from havok.errors import NoVersion
from tests.engine.making import DATE, program_of, route_of, write_airports
from tests.engine.wire import Wire, elsewhere, get, parse_answers, post, undated

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


def test_hot_swap_between_any_two_requests(wire: Wire, tmp_path: Path) -> None:
    """No failed request, and the header always tells the version the row is of."""
    versions = [f"20261123T03040{number}Z-1a2b3c4d" for number in range(3)]
    directories = [write_airports(tmp_path / version, version=version) for version in versions]
    snapshots = [open_snapshot(directory) for directory in directories]
    routes = []
    client = wire.client()
    requests = [
        JFK,
        get("/v1/airport?faa=LGA"),
        get("/v1/airport?faa=%4AFK"),
        post("/v1/airport", b'{"keys":["JFK","LGA"]}'),
        JFK * 3,
        get("/v1/airport?faa=JFK", "Accept: application/msgpack"),
    ]
    for number in range(2000):
        snapshot = snapshots[number % 3]
        snapshot.acquire()
        route = Route(program_of(snapshot), wire.server.date)
        routes.append(route)
        wire.deploy(airport=route)
        if number:
            routes[-2].program.close()
        client.send(requests[number % len(requests)])
        client.received = b""
        wire.turn_until(lambda: client.read() > 0)
        for answer in parse_answers(client.received):
            rows = answer.data
            for row in rows if isinstance(rows, list) else [rows]:
                assert isinstance(row, dict)
                assert answer.headers["havok-version"] == f"airports@{row['marker']}" == f"airports@{snapshot.version}"
    for snapshot in snapshots:
        assert not snapshot.closed
        snapshot.release()
    assert [snapshot.closed for snapshot in snapshots].count(False) == 1, "the one that is served"
    routes[-1].program.close()
    assert all(snapshot.closed for snapshot in snapshots)


def test_a_swap_of_several_services_is_one(wire: Wire, tmp_path: Path) -> None:
    old, new = (
        open_snapshot(write_airports(tmp_path / name, version=f"20261123T030405Z-{name}"))
        for name in ("1" * 8, "2" * 8)
    )
    for snapshot in (old, new):
        snapshot.acquire()
    wire.deploy(**{name: Route(program_of(old), DATE) for name in "ab"})
    client = wire.client()
    client.ask(get("/v1/a?faa=JFK"))
    outgoing = [target for target in wire.server.table.values() if isinstance(target, Route)]
    wire.deploy(a=Route(program_of(new), DATE), b=elsewhere("b"), c=Unready("c", NoVersion()))
    for route in outgoing:
        route.program.close()
    assert old.closed
    assert client.ask(get("/v1/a?faa=JFK")).headers["havok-version"] == f"airports@{new.version}"
    assert b"GET /v1/b" not in wire.server.fast
    assert isinstance(wire.server.target("b"), Elsewhere)
    new.release()


def test_closing_gives_the_leases_back(tmp_path: Path) -> None:
    snapshot = open_snapshot(write_airports(tmp_path / "v"))
    wire = Wire()
    route = Route(program_of(snapshot), DATE)
    wire.deploy(a=route, b=route)
    clients = [wire.client(JFK) for _ in range(3)]
    wire.close()
    assert snapshot.closed
    assert all(client.connection.closed for client in clients)


def test_the_date_is_stamped_each_second(airports: Wire) -> None:
    client = airports.client()
    client.ask(JFK)
    server = airports.server
    route = server.fast[b"GET /v1/airport"]
    route.stamp(DATE)
    server.problems.date = DATE
    for request in (
        JFK,
        get("/v1/airport?faa=XXX"),
        get("/x"),
        get("/v1/airport?faa=%4AFK"),
        post("/v1/airport", b"{}"),
    ):
        assert client.ask(request).headers["date"] == DATE.decode()
    server._timers[0].cancel()
    server._each_second()
    assert client.ask(JFK).headers["date"] == server.date.decode() != DATE.decode()
    assert client.ask(get("/x")).headers["date"] == server.date.decode()


def test_latencies_are_counted_both_ways(airports: Wire) -> None:
    client = airports.client()
    route = airports.server.table[b"/v1/airport"]
    assert isinstance(route, Route)
    requests = [JFK, JFK, get("/v1/airport?faa=XXX"), post("/v1/airport", b"{}"), get("/v1/airport?faa=%4A")]
    for count, request in enumerate(requests, 1):
        client.ask(request)
        assert route.histogram.count == count
    assert route.histogram.quantile_ns(1) < SECOND


def test_many_connections_are_swept_a_slice_at_a_time(airports: Wire) -> None:
    assert SWEEP_MAX >= 100
    clients = [airports.client() for _ in range(100)]
    for client in clients[::2]:
        client.connection.since_ns -= 6 * SECOND
    airports.sweep()
    assert [client.connection.closed for client in clients] == [True, False] * 50


@pytest.fixture
def background(airports_dir: Path) -> Iterator[tuple[str, int]]:
    """A server whose loop runs in another thread, behind a listener."""
    loop = uvloop.new_event_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    ready, done = threading.Event(), asyncio.Event()

    async def live() -> None:
        server = Server(loop, "travel-high")
        server.deploy({"airport": route_of(airports_dir)})

        def accept() -> None:
            sock, _ = listener.accept()
            sock.setblocking(False)
            server.accept(sock)

        loop.add_reader(listener.fileno(), accept)
        ready.set()
        await done.wait()
        loop.remove_reader(listener.fileno())
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
    thread.start()
    assert ready.wait(10)
    yield listener.getsockname()
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    assert not thread.is_alive()
    loop.close()
    listener.close()


def test_an_ordinary_client(background: tuple[str, int]) -> None:
    connection = http.client.HTTPConnection(*background, timeout=10)
    for code, status in itertools.islice(itertools.cycle([("JFK", 200), ("XXX", 404), ("%C3%A4", 200)]), 30):
        connection.request("GET", f"/v1/airport?faa={code}")
        response = connection.getresponse()
        assert response.status == status
        assert response.getheader("Havok-Compartment") == "travel-high"
        msgspec.json.decode(response.read())
    connection.request(
        "POST",
        "/v1/airport",
        body=iter([b'{"keys":', b'["JFK"]}']),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json"},
    )
    assert len(msgspec.json.decode(connection.getresponse().read())["data"]) == 1
    connection.close()


@given(st.text(st.characters(codec="utf-8"), max_size=50))
@settings(max_examples=100)
def test_any_key_is_one_answer_by_every_way(shared: Wire, key: str) -> None:
    client = shared.client()
    queried = client.ask(get(f"/v1/airport?faa={quote(key, safe='')}"))
    posted = client.ask(post("/v1/airport", msgspec.json.encode({"faa": key})))
    packed = client.ask(post("/v1/airport", msgspec.msgpack.encode({"faa": key}), content_type="application/msgpack"))
    assert undated([queried]) == undated([posted]) == undated([packed])
    assert queried.status in (200, 404)
    batch = client.ask(post("/v1/airport", msgspec.json.encode({"keys": [key]}))).data
    assert isinstance(batch, list)
    assert (batch[0] is None) == (queried.status == 404)
    client.socket.close()
    shared.turn(2)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    wire = Wire()
    wire.deploy(airport=route_of(write_airports(tmp_path_factory.mktemp("server") / "v")))
    yield wire
    wire.close()


def test_requests_are_counted_over_routes_that_come_and_go(airports: Wire, tmp_path: Path) -> None:
    """A counter that falls is taken for a restart by whoever computes a rate of it."""
    client = airports.client()
    client.ask(JFK)
    client.ask(JFK)
    assert airports.server.count_requests() == 2
    old = airports.server.target("airport")
    assert isinstance(old, Route)
    directory, later = write_airports(tmp_path / "next"), write_airports(tmp_path / "later")
    same = Route(program_of(open_snapshot(directory)), DATE, histogram=old.histogram)
    airports.server.deploy({"airport": same})
    assert airports.server.count_requests() == 2
    airports.server.deploy({"airport": Unready("airport", NoVersion("gone"))})
    assert airports.server.count_requests() == 2
    airports.server.deploy({"airport": route_of(later)})
    client.ask(JFK)
    assert airports.server.count_requests() == 3
    old.program.close()
    same.program.close()


def test_counting_many_routes_takes_turns(wire: Wire, airports_dir: Path) -> None:
    """A report each 100 ms may not stop a worker of a thousand services for 7 ms."""
    snapshot = open_snapshot(airports_dir)
    routes = {}
    for number in range(COUNT_MAX * 2 + 1):
        snapshot.acquire()
        routes[f"s{number}"] = Route(program_of(snapshot), DATE)
    snapshot.release()
    wire.server.deploy(routes)
    assert wire.server.count_requests() == 0
    for number, route in enumerate(routes.values()):
        route.histogram.record(1000 * number)
    counts = [wire.server.count_requests() for _ in range(6)]
    assert counts == sorted(counts)
    assert counts[-1] == len(routes)
    assert max(after - before for before, after in itertools.pairwise([0, *counts])) <= COUNT_MAX
    gone = dict.fromkeys(list(routes)[::2])
    for route in routes.values():
        route.histogram.record(1000)
    wire.server.deploy(gone)
    counts = [counts[-1], *(wire.server.count_requests() for _ in range(6))]
    assert counts == sorted(counts), "what is gone stays counted, once"
    assert counts[-1] == 2 * len(routes)
    for name in gone:
        routes[name].program.close()
