"""Connections: deadlines, limits, and what versions and headers of HTTP ask for."""

import pytest

from engine.http.connection import RECV_BYTES
from engine.http.head import BODY_BYTES_MAX, HEADER_BYTES_MAX, REQUEST_LINE_MAX
from engine.http.peer import BODY, HEAD, IDLE, LINGER, PHASE_S_MAX
from tests.engine.wire import (
    Answer,
    Client,
    Wire,
    chunked,
    codes_of,
    get,
    parse_answers,
    post,
    undated,
)

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


def test_the_deadlines_of_the_contract() -> None:
    assert (PHASE_S_MAX[HEAD], PHASE_S_MAX[IDLE]) == (5, 60)


def test_a_silent_newcomer_is_closed(airports: Wire) -> None:
    client = airports.client()
    client.connection.since_ns -= 4 * SECOND
    airports.sweep()
    assert not client.connection.closed
    client.late(HEAD)
    assert client.pump() == b""
    assert client.ended


def test_one_that_rested_elsewhere_goes_on_resting(airports: Wire) -> None:
    client = airports.client()
    client.connection.rest()
    client.connection.since_ns -= 59 * SECOND
    airports.sweep()
    assert client.ask(JFK).status == 200


def test_an_idle_connection_is_closed(client: Client) -> None:
    client.ask(JFK)
    client.connection.since_ns -= 59 * SECOND
    client.wire.sweep()
    assert client.ask(JFK).status == 200, "which starts the minute anew"
    client.connection.since_ns -= 59 * SECOND
    client.wire.sweep()
    assert not client.connection.closed
    client.late(IDLE)
    assert client.pump() and client.ended  # noqa: PT018


@pytest.mark.parametrize("start", [b"", JFK])
def test_a_head_that_does_not_end(client: Client, start: bytes) -> None:
    client.talk(start)
    client.talk(*(bytes([byte]) for byte in JFK[:40]))
    client.connection.since_ns -= 4 * SECOND
    client.talk(JFK[40:50])
    client.wire.sweep()
    assert not client.connection.closed
    client.connection.since_ns -= 1 * SECOND  # bytes that trickle in win no time
    client.wire.sweep()
    client.received = b""
    client.pump()
    [answer] = parse_answers(client.received)
    assert (answer.status, answer.code, answer.closes) == (408, "request_timeout", True)
    assert client.ended


def test_a_body_that_does_not_end(client: Client) -> None:
    client.talk(post("/v1/airport", b'{"faa":"JFK"}')[:-1])
    client.late(BODY)
    [answer] = parse_answers(client.pump())
    assert (answer.status, answer.closes) == (408, True)


def test_a_head_gets_its_own_time_after_an_answer(client: Client) -> None:
    client.talk(JFK + JFK[:20])
    assert client.connection.phase == HEAD
    client.connection.since_ns -= 4 * SECOND
    assert client.ask(JFK[20:] + JFK[:20]).status == 200
    client.connection.since_ns -= 4 * SECOND
    client.wire.sweep()
    assert not client.connection.closed


def test_lingering_ends(client: Client) -> None:
    client.talk(get("/v1/airport?faa=JFK", "Connection: close"))
    assert client.ended
    client.send(b"x" * 1000)
    client.pump()
    client.late(LINGER)
    assert client.connection.closed


def test_deadlines_count_from_now_in_a_server_that_was_idle_for_long(airports: Wire) -> None:
    """Whatever happens outside of a tick must not take the last tick's time for now."""
    airports.server.reactor.now_ns -= 3600 * SECOND
    client = airports.client(JFK)
    assert parse_answers(client.pump())
    airports.server.reactor.now_ns -= 3600 * SECOND
    airports.sweep()
    assert not client.connection.closed
    late_one = airports.client(b"GET ")
    airports.server.reactor.now_ns -= 3600 * SECOND
    late_one.late(HEAD)
    airports.sweep()
    assert not late_one.connection.closed, "it lingers for the answer to be read"
    route = airports.server.table[b"/v1/airport"]
    assert route.histogram.quantile_ns(1) < 60 * SECOND  # type: ignore[union-attr]


def refused(client: Client, *pieces: bytes, status: int, code: str) -> Answer:
    answer = client.talk(*pieces)[-1]
    assert (answer.status, answer.code, answer.closes) == (status, code, True)
    assert client.ended
    assert answer.headers["havok-compartment"] == "travel-high"
    assert answer.headers["date"]
    return answer


def test_a_request_line_that_is_too_long(airports: Wire) -> None:
    fits = b"GET /v1/airport?faa=" + b"x" * (REQUEST_LINE_MAX - 29) + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    assert len(fits.partition(b"\r\n")[0]) == REQUEST_LINE_MAX
    assert airports.client().ask(fits).status == 404
    refused(airports.client(), fits.replace(b"xx", b"xxx", 1), status=414, code="target_too_long")
    refused(airports.client(), b"G" * (REQUEST_LINE_MAX + 2), status=414, code="target_too_long")


def test_headers_that_are_too_large(airports: Wire) -> None:
    refused(airports.client(), get("/", *["X: y"] * 64), status=431, code="headers_too_large")
    refused(airports.client(), get("/", "X: " + "y" * HEADER_BYTES_MAX), status=431, code="headers_too_large")
    assert airports.client().ask(get("/v1/airport?faa=JFK", *["X: y"] * 63)).status == 200


def test_a_body_that_is_too_large(airports: Wire) -> None:
    client = airports.client()
    head = post("/v1/airport", b"")[:-4].replace(b"Length: 0", b"Length: %d" % (BODY_BYTES_MAX + 1)) + b"\r\n\r\n"
    refused(client, head, status=413, code="body_too_large")
    sent = b"%x\r\n%b\r\n" % (65536, b"x" * 65536)
    stream = chunked("/v1/airport").removesuffix(b"0\r\n\r\n") + sent * 17
    refused(airports.client(), stream, status=413, code="body_too_large")
    fits = b'{"faa":"%b"}' % (b"x" * (BODY_BYTES_MAX - 10))
    assert len(fits) == BODY_BYTES_MAX
    assert airports.client().ask(post("/v1/airport", fits)).status == 404
    assert airports.client().ask(chunked("/v1/airport", fits)).status == 404


def test_the_refusal_survives_what_the_client_still_sends(airports: Wire) -> None:
    """Closing at once would reset the connection and lose the answer."""
    client = airports.client(tcp=True)
    client.send(post("/v1/airport", b"x" * (3 * BODY_BYTES_MAX)))
    airports.turn_until(lambda: client.read() == 0 and client.ended)
    [answer] = parse_answers(client.received)
    assert answer.status == 413


def test_a_refused_head_request_has_no_body(airports: Wire) -> None:
    """Its client would take the body for the next answer."""
    for data in (
        get("/", "Content-Length: 2000000", method="HEAD"),
        get("/", "Transfer-Encoding: x", method="HEAD"),
        get("/", "Transfer-Encoding: chunked", method="HEAD") + b"x\r\n",
    ):
        [answer] = airports.client().talk(data, methods=["HEAD"])
        assert answer.status >= 400
        assert answer.closes


def test_an_idle_connection_keeps_no_large_head(client: Client) -> None:
    client.ask(get("/v1/airport?faa=JFK", "X: " + "y" * 12000))
    assert len(client.connection.tail) + len(client.connection.buffer) <= RECV_BYTES


def test_expect_continue(client: Client) -> None:
    request = post("/v1/airport", b'{"faa":"JFK"}', "Expect: 100-continue")
    head, body = request[:-13], request[-13:]
    [interim] = client.talk(head)
    assert (interim.status, interim.headers) == (100, {})
    [answer] = client.talk(body)
    assert codes_of([answer]) == ["JFK"]
    assert codes_of(client.talk(request)) == ["JFK"], "the body came along: nothing to tell"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (post("/v1/airport", b"", "Expect: 100-continue").replace(b"Length: 0", b"Length: 2000000"), 413),
        (
            post("/v1/airport", b"", "Expect: 100-continue", content_type="text/xml").replace(
                b"Length: 0", b"Length: 9"
            ),
            415,
        ),
        (
            post("/v1/airport", b"", "Expect: 100-continue", "Content-Encoding: gzip").replace(
                b"Length: 0", b"Length: 9"
            ),
            415,
        ),
        (
            post("/v1/airport", b"", "Expect: 100-continue")
            .replace(b"POST", b"PUT")
            .replace(b"Length: 0", b"Length: 9"),
            405,
        ),
        (post("/v1/airport", b"", "Expect: a-miracle").replace(b"Length: 0", b"Length: 9"), 417),
    ],
)
def test_expect_refused_without_100(airports: Wire, request_head: bytes, status: int) -> None:
    client = airports.client()
    [answer] = client.talk(request_head)
    assert (answer.status, answer.closes) == (status, True)
    assert (answer.headers.get("allow") == "GET, HEAD, POST") == (status == 405)


@pytest.mark.parametrize("target", ["/v1/airport?faa=JFK", "/v1/airport?faa=XXX", "/v1/airport?x=1", "/healthz", "/x"])
@pytest.mark.parametrize("accept", ["*/*", "application/msgpack", "text/html"])
def test_head_is_get_without_a_body(client: Client, target: str, accept: str) -> None:
    for _ in range(2):
        by_get = client.ask(get(target, f"Accept: {accept}"))
        by_head = client.ask(get(target, f"Accept: {accept}", method="HEAD"), "HEAD")
        assert undated([by_head]) == [(by_get.status, undated([by_get])[0][1], b"")]


def test_http_1_0(airports: Wire) -> None:
    once = get("/v1/airport?faa=JFK", version="1.0")
    client = airports.client()
    [answer] = client.talk(once + once)
    assert (answer.status, answer.closes) == (200, True)
    assert client.ended
    client = airports.client()
    again = get("/v1/airport?faa=JFK", "Connection: Keep-Alive", version="1.0")
    for _ in range(3):
        answer = client.ask(again)
        assert (answer.status, answer.headers["connection"]) == (200, "keep-alive")
    assert (
        client.ask(get("/v1/airport?x=1", "Connection: keep-alive", version="1.0")).headers["connection"]
        == "keep-alive"
    )
    assert client.ask(b"GET /v1/airport?faa=JFK HTTP/1.0\r\n\r\n").closes, "a host is not asked for"
    assert client.ended


def test_connection_close(airports: Wire) -> None:
    for data in (
        JFK,
        get("/v1/airport?faa=XXX"),
        get("/x"),
        post("/v1/airport", b"{}"),
        get("/v1/airport", method="PUT"),
    ):
        client = airports.client()
        [answer] = client.talk(data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        assert answer.closes
        assert client.ended
