"""Connections: order, bounds, slow readers, draining."""

import os
import re
import socket
from time import monotonic

from engine.http.connection import PIPELINE_MAX, RECV_BYTES
from engine.http.peer import BLOCKED, IDLE, PAUSED, PENDING_BYTES_MAX, PHASE_S_MAX, PROGRESS_BYTES
from tests.engine.making import BIG
from tests.engine.wire import (
    Client,
    Wire,
    chunked,
    codes_of,
    get,
    parse_answers,
    post,
)

JFK = get("/v1/airport?faa=JFK")
SECOND = 1_000_000_000


def test_keep_alive(client: Client) -> None:
    for _ in range(3):
        for code in ("JFK", "LGA"):
            answer = client.ask(get(f"/v1/airport?faa={code}"))
            assert (answer.status, codes_of([answer])) == (200, [code])
            assert "connection" not in answer.headers
    assert client.connection.phase == IDLE
    assert not client.ended


def test_a_pipeline_is_answered_in_order(client: Client) -> None:
    codes = ["JFK", "LGA", "EWR", "BOS"] * 50
    answers = client.talk(b"".join(get(f"/v1/airport?faa={code}") for code in codes))
    assert codes_of(answers) == codes
    assert client.connection.phase == IDLE


def test_a_mixed_pipeline(client: Client) -> None:
    stream = [
        JFK,
        get("/v1/airport?faa=XXX"),
        post("/v1/airport", b'{"faa":"LGA"}'),
        get("/v1/airport?faa=JFK", method="HEAD"),
        b"\r\n",
        chunked("/v1/airport", b'{"keys":', b'["JFK"]}'),
        get("/healthz"),
        get("/v1/airport?fab=1"),
        get("/v1/airport?faa=%4aFK", "Connection: close"),
        JFK,
    ]
    answers = client.talk(b"".join(stream), methods=["GET", "GET", "POST", "HEAD"])
    assert [answer.status for answer in answers] == [200, 404, 200, 200, 200, 200, 400, 200]
    assert [answer.closes for answer in answers] == [False] * 7 + [True]
    assert client.ended, "what follows Connection: close is not answered"


def test_no_more_than_the_bound_is_in_hand(airports: Wire) -> None:
    """Others get their turn between two handfuls, and until then nothing is read."""
    client = airports.client()
    request = get("/v1/airport?faa=JFK").replace(b"Host: havok.test", b"Host:")
    assert RECV_BYTES // len(request) > PIPELINE_MAX
    client.send(request * 300)
    client.connection.on_readable()
    client.read()
    assert len(parse_answers(client.received)) == PIPELINE_MAX
    assert client.connection.phase == PAUSED
    assert 0 < len(client.connection.buffer) <= RECV_BYTES
    client.connection.advance()
    client.read()
    assert len(parse_answers(client.received)) <= 2 * PIPELINE_MAX
    client.pump()
    assert len(parse_answers(client.received)) == 300
    assert client.connection.phase == IDLE


def test_large_answers_of_a_pipeline_are_all_written(big: Wire) -> None:
    """Serving stops when much is unsent; with everything taken by the socket it must go on."""
    client = big.client(send_buffer=4 * 1024 * 1024)
    answers = client.talk(b"".join(get(f"/v1/big?k=k{number % 10}") for number in range(40)))
    assert 40 * len(BIG) > 2 * PENDING_BYTES_MAX
    assert [answer.json()["data"]["n"] for answer in answers] == [number % 10 for number in range(40)]  # type: ignore[index]
    assert client.connection.phase == IDLE


def test_the_peer_may_half_close(client: Client) -> None:
    client.send(JFK * 5)
    client.socket.shutdown(socket.SHUT_WR)
    client.pump()
    assert len(parse_answers(client.received)) == 5
    assert client.ended


def test_a_peer_that_goes_away(airports: Wire) -> None:
    for data in (b"", b"GET", JFK, JFK[:-1], post("/v1/airport", b"{}")[:-1], JFK * 500):
        client = airports.client(tcp=True)
        client.send(data)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()  # with a reset
        airports.turn_until(lambda client=client: client.connection.closed)  # type: ignore[misc]
    assert not airports.server.connections


def test_an_answer_larger_than_the_socket_takes(big: Wire) -> None:
    client = big.client(send_buffer=8192)
    client.send(get("/v1/big?k=huge") + get("/v1/big?k=k1"))
    big.turn(5)
    assert client.connection.phase == BLOCKED
    assert len(client.connection.pending) > 2_900_000
    client.pump()
    answers = parse_answers(client.received)
    assert [len(answer.body) > 3_000_000 for answer in answers] == [True, False]
    assert client.connection.pending.obj == b"", "what was sent is not kept"


def test_the_fast_way_blocks_too(big: Wire) -> None:
    client = big.client(send_buffer=8192)
    client.ask(get("/v1/big?k=k1"))
    assert client.connection._tail_size
    client.send(get("/v1/big?k=huge"))
    big.turn(5)
    assert client.connection.phase == BLOCKED
    client.received = b""
    client.pump()
    assert [len(answer.body) > 3_000_000 for answer in parse_answers(client.received)] == [True]
    assert client.ask(get("/v1/big?k=k2")).status == 200


def rss_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_hundred_thousand_requests_while_the_client_reads_slowly(airports: Wire) -> None:
    count, codes = 100_000, ("JFK", "LGA", "EWR", "BOS", "SFO")
    batch = b"".join(get(f"/v1/airport?faa={code}") for code in codes)
    requests = memoryview(batch * (count // len(codes)))
    client = airports.client(send_buffer=64 * 1024)
    connection = client.connection
    sent = answered = 0
    rest = b""
    blocked = False
    before = rss_bytes()
    deadline = monotonic() + 60
    while answered < count:
        assert monotonic() < deadline
        try:
            sent += client.socket.send(requests[sent : sent + 65536])
        except BlockingIOError:
            blocked = blocked or connection.phase == BLOCKED
        airports.turn()
        assert len(connection.buffer) <= RECV_BYTES
        assert len(connection.pending) <= PIPELINE_MAX * 1024
        try:
            rest += client.socket.recv(16384)
        except BlockingIOError:
            continue
        found = re.findall(rb'\r\n\r\n{"data":{"faa":"(\w+)".*?}}(?=HTTP/1\.1 )', rest)
        rest = rest[rest.rfind(b"HTTP/1.1 ") :]
        if answered + len(found) == count - 1 and rest.endswith(b"}}"):
            found.append(b"SFO")
        for code in found:
            assert code == codes[answered % len(codes)].encode()
            answered += 1
    assert blocked, "reading stopped while the answers were not taken"
    assert rss_bytes() - before < 10 * 1024 * 1024


def test_a_slow_reader_is_evicted(big: Wire) -> None:
    client = big.client(send_buffer=8192)
    client.send(get("/v1/big?k=huge"))
    big.turn(5)
    client.late(BLOCKED)
    assert client.connection.closed


def test_a_slow_reader_that_takes_some_stays(big: Wire) -> None:
    client = big.client(send_buffer=64 * 1024)
    client.send(get("/v1/big?k=huge"))
    big.turn(5)
    for _ in range(3):
        client.connection.since_ns -= (PHASE_S_MAX[BLOCKED] - 1) * SECOND
        taken = 0
        while taken < 2 * PROGRESS_BYTES:
            taken += client.read()
            big.turn()
        big.sweep()
        assert not client.connection.closed
    client.late(BLOCKED)
    assert client.connection.closed


def test_a_drained_connection_is_told_with_its_next_answer(airports: Wire) -> None:
    idle, fresh, begun, posting = (airports.client() for _ in range(4))
    idle.ask(JFK)
    begun.talk(JFK[:30])
    posting.talk(post("/v1/airport", b'{"faa":"JFK"}')[:-4])
    airports.server.drain()
    for client, rest in ((idle, JFK), (fresh, JFK), (begun, JFK[30:]), (posting, b'FK"}')):
        [answer] = client.talk(rest)
        assert (answer.status, answer.closes, codes_of([answer])) == (200, True, ["JFK"])
        assert client.ended
    late_one = airports.client(get("/healthz"))
    [answer] = parse_answers(late_one.pump())
    assert (answer.status, answer.code, answer.closes) == (503, "draining", True)


def test_draining_finishes_what_is_in_flight(big: Wire) -> None:
    writing, begun, idle = (big.client(send_buffer=8192) for _ in range(3))
    idle.ask(get("/v1/big?k=k1"))
    writing.send(get("/v1/big?k=huge"))
    begun.send(get("/v1/big?k=k1")[:-1])
    big.turn(5)
    big.server.drain()
    big.server.close_idle()
    assert big.server.connections == {writing.connection, begun.connection}
    idle.read()
    assert idle.ended
    writing.pump()
    assert len(parse_answers(writing.received)[0].body) > 3_000_000
    [answer] = begun.talk(b"\n")
    assert (answer.status, answer.closes) == (200, True)
    big.server.close_idle()
    for client in (writing, begun):
        client.socket.close()
    big.turn(5)
    assert not big.server.connections
