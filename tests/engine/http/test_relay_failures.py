"""Workers that end before their answer, in the middle of it, or send what is none."""

import socket

import pytest

from engine.http.connection import Connection
from engine.http.peer import AWAITING
from tests.engine.http.relaying import HERE, THERE, Pair
from tests.engine.wire import Client, get, parse_answers, post

FAR_BODY = b'{"faa":"LGA"}'


class Silent:
    """Takes lines and leaves them to the test."""

    def __init__(self, pair: Pair, *, after: bool = False) -> None:
        self.ends: list[socket.socket] = []
        self._pair = pair
        self._accept = pair.lines.accept
        pair.lines.accept = self.accept
        self._after = after  # the second is served

    def accept(self, sock: socket.socket) -> Connection:
        if self._after and self.ends:
            assert self._accept is not None
            return self._accept(sock)
        self.ends.append(sock)
        return None  # type: ignore[return-value]


def waiting(pair: Pair, request: bytes) -> Client:
    client = pair.client()
    client.send(request)
    pair.here.turn_until(lambda: client.connection.phase == AWAITING)
    return client


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_a_worker_that_ends_before_it_answers_is_replaced_by_another(pair: Pair, part: bytes) -> None:
    silent = Silent(pair, after=True)
    pair.lines.retries = True
    client = waiting(pair, THERE + HERE)
    silent.ends[0].send(part)
    pair.here.turn(3)
    silent.ends[0].close()
    client.pump()
    assert [answer.status for answer in parse_answers(client.received)] == [200, 200]


@pytest.mark.parametrize(("request_bytes", "method"), [(THERE, "GET"), (get("/v1/far?faa=LGA", method="HEAD"), "HEAD")])
def test_it_is_tried_once_more_and_not_again(pair: Pair, request_bytes: bytes, method: str) -> None:
    silent = Silent(pair)
    pair.lines.retries = True
    client = waiting(pair, request_bytes)
    silent.ends[0].close()
    pair.here.turn_until(lambda: len(silent.ends) == 2)
    silent.ends[1].close()
    client.pump()
    (answer,) = parse_answers(client.received, [method])
    assert answer.status == 503
    assert answer.headers["retry-after"]
    assert not answer.closes
    assert client.ask(HERE).status == 200, "the connection is as good as before"


def test_what_may_change_something_is_not_asked_again(pair: Pair) -> None:
    silent = Silent(pair)
    pair.lines.retries = True
    client = waiting(pair, post("/v1/far", FAR_BODY))
    silent.ends[0].close()
    client.pump()
    (answer,) = parse_answers(client.received)
    assert (answer.status, answer.code) == (503, "overloaded")
    assert len(silent.ends) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_line_that_took_nothing_is_no_try(pair: Pair, method: str) -> None:
    """It was ended while it was idle, and we had not heard of it yet."""
    client = pair.client()
    client.talk(THERE)
    (line,) = pair.lines.idle
    pair.lines.retries = True
    pair.lines.ends[0].close()
    client.connection.buffer = THERE if method == "GET" else post("/v1/far", FAR_BODY)
    client.received = b""
    client.connection.advance()  # before the reactor looks
    client.pump()
    assert line.sock.fileno() < 0
    assert [answer.status for answer in parse_answers(client.received)] == [200]


def test_an_end_in_the_middle_of_an_answer_ends_the_connection(pair: Pair) -> None:
    silent = Silent(pair)
    pair.lines.retries = True
    client = waiting(pair, THERE + HERE)
    silent.ends[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    pair.here.turn_until(lambda: client.read() > 0)
    silent.ends[0].close()
    client.pump()
    assert client.received.endswith(b"half"), "and nothing after it"
    assert client.ended


@pytest.mark.parametrize(
    "rubbish", [b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK"]
)
def test_what_is_no_answer_is_none(pair: Pair, rubbish: bytes) -> None:
    silent = Silent(pair)
    client = waiting(pair, THERE)
    silent.ends[0].send(rubbish)
    client.pump()
    assert [answer.status for answer in parse_answers(client.received)] == [503]
    assert silent.ends[0].recv(1000).startswith(b"GET /v1/far")
    silent.ends[0].close()


def test_an_idle_line_that_speaks_is_closed(pair: Pair) -> None:
    silent = Silent(pair)
    client = waiting(pair, THERE)
    silent.ends[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    client.pump()
    silent.ends[0].send(b"HTTP/1.1 200 OK\r\n")
    pair.here.turn_until(lambda: not pair.lines.idle)
    silent.ends[0].close()
