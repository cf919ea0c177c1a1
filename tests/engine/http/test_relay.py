"""Requests that are forwarded, and their answers on the way back, over real sockets and two servers."""

import itertools
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.http.peer import BLOCKED, IDLE
from engine.http.responses import CONTINUE
from tests.engine.bodies import unchunked
from tests.engine.http.relaying import HERE, THERE, Pair
from tests.engine.making import route_of, write_airports
from tests.engine.wire import Client, Wire, chunked, get, parse_answers, post, undated

FAR_BODY = b'{"faa":"LGA"}'


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Wire]:
    """Everything at one place: what the answers are to be."""
    wire = Wire()
    names = ("airport", "far")
    wire.deploy(**{name: route_of(write_airports(tmp_path / name)) for name in names})
    yield wire
    wire.close()


def settled(pair: Pair) -> None:
    """Nothing is under way."""
    pair.here.turn(3)
    assert all(line.relay is None for line in pair.lines.idle)


# -- the same answers, in order ----------------------------------------------------------------

KINDS = [
    HERE,
    THERE,
    get("/v1/far?faa=XXX"),
    get("/v1/far"),
    get("/v1/far?faa=LGA", "Accept: application/msgpack"),
    get("/v1/far?faa=LGA", "Accept: text/html"),
    get("/v1/far?faa=LGA", method="HEAD"),
    get("/v1/far?faa=LGA", method="PUT"),
    get("/v1/far?faa=LGA", "Connection: keep-alive", version="1.0"),
    post("/v1/far", FAR_BODY),
    post("/v1/far", b'{"keys":["LGA","JFK"]}'),
    post("/v1/far", b""),
    post("/v1/airport", FAR_BODY),
    chunked("/v1/far", FAR_BODY[:5], FAR_BODY[5:]),
    chunked("/v1/far"),
    b"\r\n" + THERE,
]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=12), st.lists(st.integers(0, 3000), max_size=5))
def test_answers_are_those_of_one_server(pair: Pair, one: Wire, kinds: list[bytes], cuts: list[int]) -> None:
    data = b"".join(kinds)
    methods = [kind.split()[0].decode() for kind in kinds]
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    client, other = pair.client(), one.client()
    answers = client.talk(*pieces, methods=methods)
    assert undated(answers) == undated(other.talk(*pieces, methods=methods))
    assert client.ended == other.ended
    assert pair.handed == []
    client.socket.close()
    other.socket.close()
    pair.here.turn(3)
    assert len(pair.lines.idle) <= 1, "one line is used again and again"


def test_a_stream_of_both(pair: Pair) -> None:
    client = pair.client()
    answers = client.talk((HERE + THERE * 2) * 500)
    assert len(answers) == 1500
    assert [answer.data["faa"] for answer in answers[:3]] == ["JFK", "LGA", "LGA"]  # type: ignore[index]
    assert len(pair.lines.ends) == 1
    assert pair.here.server.forwarding.count == 1000


def test_the_fast_way_is_open_after_a_forwarded_request(pair: Pair) -> None:
    client = pair.client()
    client.talk(HERE)
    client.talk(THERE)
    asked = pair.here.record()
    assert len(client.talk(HERE)) == 1
    assert asked == [], "answered the fast way"


def test_many_clients_take_many_lines_and_leave_them(pair: Pair) -> None:
    clients = [pair.client() for _ in range(20)]
    for _ in range(5):
        for client in clients:
            client.send(THERE)
        for client in clients:
            client.pump()
    assert all(len(parse_answers(client.received)) == 5 for client in clients)
    assert len(pair.lines.ends) == len(pair.lines.idle) == 20
    assert pair.lines.lost == []


# -- long ones ---------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/v1/huge?k=huge", "/v1/whole?k=a"])
def test_a_long_answer_to_a_slow_client_waits_in_no_memory(pair: Pair, target: str) -> None:
    pair.lines.buffer = 8192
    client = pair.client(send_buffer=8192)
    client.send(get(target) + HERE)
    pair.here.turn_until(lambda: client.connection.phase == BLOCKED)
    pair.here.turn(50)
    (end,) = pair.lines.ends
    assert end.phase == BLOCKED, "the other worker waits as well"
    relay = client.connection._answering
    held = len(client.connection.pending) + len(relay._piece)  # type: ignore[union-attr]
    assert held <= 2 * 64 * 1024

    def all_read() -> bool:
        client.read()
        return client.connection.phase == IDLE

    pair.here.turn_until(all_read)
    client.read()
    body = direct(pair, target).partition(b"\r\n\r\n")[2]
    mine = client.received.partition(b"\r\n\r\n")[2]
    assert mine[: len(body)] == body, "not a byte is lost"
    assert [answer.status for answer in parse_answers(mine[len(body) :])] == [200], "then the next"
    settled(pair)
    assert len(pair.lines.idle) == 1


def direct(pair: Pair, target: str) -> bytes:
    """The answer of the other server itself; without its head, which has a date."""
    ours, theirs = socket.socketpair()
    for side in (ours, theirs):
        side.setblocking(False)
    client = Client(pair.here, ours, pair.there.accept(theirs))
    client.send(get(target))
    client.pump()
    ours.close()
    return client.received


def test_a_long_answer_to_http_1_0_ends_with_the_connection(pair: Pair) -> None:
    client = pair.client()
    client.send(get("/v1/whole?k=a", version="1.0"))
    client.pump()
    head, _, body = client.received.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert b"Content-Length" not in head
    assert body == unchunked(direct(pair, "/v1/whole?k=a"))[1], "not in chunks"
    assert client.ended
    assert pair.lines.idle == []


def test_a_request_longer_than_a_socket_takes(pair: Pair) -> None:
    pair.lines.buffer = 8192
    client = pair.client()
    body = FAR_BODY.ljust(900_000)
    (answer,) = client.talk(post("/v1/far", body))
    assert answer.data["faa"] == "LGA"  # type: ignore[index]
    settled(pair)
    (answer,) = client.talk(THERE)
    assert answer.status == 200
    assert len(pair.lines.ends) == 1


def test_a_refusal_while_the_request_is_on_its_way(pair: Pair) -> None:
    """The other server ends the line; the client's connection it may keep."""
    pair.lines.buffer = 4096
    client = pair.client()
    far = pair.there.target("far")
    pair.there.deploy({"far": None})
    client.send(post("/v1/far", b"[" * 500_000))
    client.pump()
    (answer,) = parse_answers(client.received)
    assert answer.status == 404
    pair.there.deploy({"far": far})


# -- ends --------------------------------------------------------------------------------------


def test_a_client_that_closes_with_its_request(pair: Pair) -> None:
    client = pair.client()
    (answer,) = client.talk(get("/v1/far?faa=LGA", "Connection: close"))
    assert answer.closes
    assert client.ended
    assert pair.lines.idle == [], "the other side ends the line as well"


def test_expect_continue_is_answered_once_and_here(pair: Pair) -> None:
    client = pair.client()
    head = get("/v1/far", "Content-Type: application/json", "Content-Length: 13", "Expect: 100-continue", method="POST")
    client.send(head)
    client.pump()
    assert client.received == CONTINUE
    client.send(FAR_BODY + HERE)
    client.pump()
    statuses = [answer.status for answer in parse_answers(client.received)]
    assert statuses == [100, 200, 200]


def test_a_client_that_is_gone_costs_the_line(pair: Pair) -> None:
    pair.lines.buffer = 8192
    client = pair.client(send_buffer=8192)
    client.send(get("/v1/huge?k=huge"))
    pair.here.turn_until(lambda: client.connection.phase == BLOCKED)
    client.socket.close()
    pair.here.turn_until(lambda: client.connection.closed and pair.lines.ends[0].closed)
    assert pair.lines.idle == []


def test_a_client_that_ends_its_side_is_told_apart_by_the_other_server(pair: Pair) -> None:
    """As without forwarding: what is made in a moment is answered."""
    client = pair.client()
    client.send(THERE)
    client.socket.shutdown(socket.SHUT_WR)
    client.pump()
    assert [answer.status for answer in parse_answers(client.received)] == [200]
    assert client.ended
    pair.here.turn_until(lambda: not pair.here.server.connections)
