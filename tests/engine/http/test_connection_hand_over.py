"""Connections that are given away between two requests, and what becomes of them when nobody takes them."""

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.http.connection import HELD_NS_MAX
from engine.http.passage import LINE
from engine.http.peer import BLOCKED, IDLE, PAUSED
from tests.engine.making import Row, route_of, write_airports, write_version
from tests.engine.wire import (
    Client,
    Wire,
    chunked,
    elsewhere,
    get,
    parse_answers,
    post,
)

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


class Taker:
    """Takes connections over, or not."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.taken: list[tuple[socket.socket, bytes, str]] = []
        self.hops: list[int] = []

    def __call__(self, sock: socket.socket, received: bytes, hops: int, compartment: str) -> bool:
        if self.takes:
            self.taken.append((sock.dup(), received, compartment))
            self.hops.append(hops)
        return self.takes

    def one(self) -> tuple[bytes, str]:
        [(sock, received, compartment)] = self.taken
        sock.close()
        return received, compartment


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def two(taker: Taker, airports_dir: Path) -> Iterator[Wire]:
    """`airport` is here, `plane` elsewhere."""
    wire = Wire(taker)
    wire.deploy(airport=route_of(airports_dir), plane=elsewhere("plane", "travel-low"))
    yield wire
    wire.close()


PLANE = get("/v1/plane?tailnum=N1")


@pytest.mark.parametrize("before", [b"", JFK, JFK * 3, JFK * 100, post("/v1/airport", b'{"faa":"JFK"}') + b"\r\n"])
@pytest.mark.parametrize("after", [b"", PLANE[:5], JFK * 2])
def test_a_connection_is_handed_over_with_the_bytes_read(two: Wire, taker: Taker, before: bytes, after: bytes) -> None:
    client = two.client()
    data = before + PLANE + after
    client.send(data)
    two.turn_until(lambda: bool(taker.taken))
    unread = b""
    sock = taker.taken[0][0]
    while len(unread) < len(PLANE + after) - len(taker.taken[0][1]):
        unread += sock.recv(1 << 16)
    received, compartment = taker.one()
    assert (received + unread, compartment) == (PLANE + after, "travel-low")
    client.pump()
    assert len(parse_answers(client.received)) == before.count(b"HTTP/1.1"), "earlier answers are written first"
    assert client.ended
    assert client.connection not in two.server.connections
    assert two.server.hand_overs.count == 1


def test_one_handed_over_is_served_on(two: Wire, taker: Taker, airports_dir: Path, tmp_path: Path) -> None:
    """The other side answers on the same connection, and hands it back."""
    client = two.client()
    client.send(JFK + PLANE + JFK)
    two.turn_until(lambda: bool(taker.taken))
    sock, received, _ = taker.taken.pop()
    back = Taker()
    other = Wire(back)
    rows: list[Row] = [(("N1",), {"tailnum": "N1"})]
    other.deploy(plane=route_of(write_version(tmp_path / "v", [("tailnum", "string")], rows)), airport=elsewhere())
    sock.setblocking(False)
    other.server.accept(sock, received)
    other.turn_until(lambda: bool(back.taken))
    sock, received, compartment = back.taken.pop()
    assert (received, compartment) == (JFK, "travel-low")
    two.server.accept(sock, received)
    client.pump()
    bodies = [msgspec.json.decode(answer.body)["data"] for answer in parse_answers(client.received)]
    assert [next(iter(body)) for body in bodies] == ["faa", "tailnum", "faa"]
    other.close()


@pytest.mark.parametrize(("hops", "after"), [(0, 1), (1, 2), (7, 8), (LINE, LINE)])
def test_hops_are_counted_where_a_connection_goes(two: Wire, taker: Taker, hops: int, after: int) -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    two.server.accept(theirs, PLANE, hops)
    two.turn_until(lambda: bool(taker.taken))
    assert taker.hops == [after]
    taker.one()
    ours.close()


@pytest.mark.parametrize("hops", [0, 3, LINE])
def test_moving_to_a_sibling_is_no_hop(two: Wire, taker: Taker, hops: int) -> None:
    given: list[int] = []
    for move in (
        lambda connection: two.server.hand_overs.hand_over(connection, "travel-high"),
        lambda _: two.server.hand_overs.give(1, lambda _sock, _received, hops: not given.append(hops)),
    ):
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        connection = two.server.accept(theirs, b"", hops)
        assert move(connection)
        assert connection.closed
        ours.close()
    taker.one()
    assert (taker.hops, given) == ([hops], [hops])


# -- when nobody takes it ---------------------------------------------------------------------


@pytest.fixture
def held(two: Wire, taker: Taker) -> Client:
    """A connection that was served, and that now waits for somebody to take it."""
    taker.takes = False
    client = two.client()
    assert len(client.talk(JFK * 2 + PLANE + JFK)) == 2
    assert client.connection.phase == PAUSED
    return client


def wait_longer(client: Client) -> None:
    """As if it had waited for as long as it may."""
    client.connection.since_ns -= HELD_NS_MAX


def test_whoever_comes_back_in_time_takes_it(two: Wire, taker: Taker, held: Client) -> None:
    taker.takes = True
    two.turn_until(lambda: bool(taker.taken))
    assert taker.one() == (PLANE + JFK, "travel-low")
    assert held.connection not in two.server.connections
    held.pump()
    assert held.ended, "no copy of the socket is kept here"


def test_when_nobody_comes_the_client_is_told(two: Wire, held: Client) -> None:
    before = held.received
    wait_longer(held)
    two.turn_until(lambda: bool(held.read()))
    held.pump()
    (answer,) = parse_answers(held.received[len(before) :])
    assert (answer.status, answer.code, answer.closes) == (503, "overloaded", True)
    assert answer.headers["retry-after"]
    assert held.ended


def test_a_fault_in_handing_over_is_nobody_taking_it(airports_dir: Path) -> None:
    def fails(_sock: socket.socket, _received: bytes, _hops: int, _compartment: str) -> bool:
        raise OSError("the peer is gone")

    wire = Wire(fails)
    wire.deploy(plane=elsewhere("plane", "travel-low"))
    client = wire.client()
    assert client.talk(PLANE) == []
    wait_longer(client)
    wire.turn_until(lambda: bool(client.read()))
    assert parse_answers(client.received)[0].status == 503
    wire.close()


def test_a_service_that_moves_here_is_served_where_it_waits(two: Wire, held: Client, tmp_path: Path) -> None:
    before = held.received
    two.deploy(plane=route_of(write_airports(tmp_path / "moved")))
    two.turn_until(lambda: bool(held.read()))
    held.pump()
    answers = parse_answers(held.received[len(before) :])
    assert [answer.status for answer in answers] == [400, 200], "there is no tailnum here; then JFK"
    assert held.connection.phase == IDLE
    assert held.ask(JFK).status == 200


def test_one_that_waits_and_hangs_up_is_closed(two: Wire, held: Client) -> None:
    held.socket.close()
    two.turn_until(lambda: held.connection.closed)
    assert held.connection not in two.server.connections
    two.turn_until(lambda: not two.server.hand_overs.held)


def test_one_that_waits_is_not_read_from(two: Wire, held: Client) -> None:
    size = len(held.connection.buffer)
    held.send(JFK)
    two.turn(5)
    assert len(held.connection.buffer) == size


def test_a_drain_ends_though_some_wait(two: Wire, taker: Taker, held: Client) -> None:
    two.server.drain()
    two.server.close_idle()
    assert held.connection in two.server.connections, "it has a request in hand"
    wait_longer(held)
    held.socket.shutdown(socket.SHUT_WR)
    two.turn_until(lambda: not two.server.connections)


def test_too_many_that_wait_are_told_at_once(two: Wire, taker: Taker, monkeypatch: pytest.MonkeyPatch) -> None:
    taker.takes = False
    monkeypatch.setattr("engine.http.hand_overs.HELD_MAX", 0)
    assert [answer.status for answer in two.client().talk(PLANE)] == [503]


def test_earlier_answers_are_written_before_a_hand_over(big: Wire) -> None:
    taker = Taker()
    big.server.hand_overs._pass_on = taker
    big.deploy(plane=elsewhere("plane"))
    client = big.client(send_buffer=8192)
    client.send(get("/v1/big?k=huge") + PLANE)
    big.turn(10)
    assert client.connection.phase == BLOCKED
    assert not taker.taken
    client.pump()
    assert len(parse_answers(client.received)) == 1
    assert taker.one() == (PLANE, "travel-low")


@pytest.mark.parametrize(
    "request_bytes",
    [post("/v1/airport", b'{"faa":"JFK"}'), chunked("/v1/airport", b'{"faa":', b'"JFK"}'), chunked("/v1/airport")],
)
def test_a_service_that_moves_while_a_body_comes(two: Wire, taker: Taker, request_bytes: bytes, tmp_path: Path) -> None:
    """The request goes after it, whole."""
    client = two.client()
    client.send(JFK + request_bytes[:-3])
    two.turn(5)
    route = two.server.table[b"/v1/airport"]
    two.deploy(airport=elsewhere("airport", "travel-low"))
    route.program.close()  # type: ignore[union-attr]
    client.send(request_bytes[-3:] + JFK)
    two.turn_until(lambda: bool(taker.taken))
    sock, received, compartment = taker.taken.pop()
    assert compartment == "travel-low"
    other = Wire()
    other.deploy(airport=route_of(write_airports(tmp_path / "other")))
    sock.setblocking(False)
    other.server.accept(sock, received)
    client.read()
    other.turn(3)
    client.pump()
    answers = parse_answers(client.received)
    wanted = 400 if b"faa" not in request_bytes else 200
    assert [answer.status for answer in answers] == [200, wanted, 200]
    other.close()
