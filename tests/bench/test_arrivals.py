"""The open-loop client against a server that misbehaves on purpose."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bench.arrivals import Arrivals, percentile_us

REQUEST = b"GET /v1/number?id=1 HTTP/1.1\r\nHost: test\r\n\r\n"
BODY = b'{"data":{"id":1}}'
OK = b"HTTP/1.1 200 OK\r\nHavok-Version: numbers@v1\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
Reply = Callable[[socket.socket, int], bool]  # (connection, how many requests came) → keep it open


class Server:
    """Serves each connection in a thread; `reply` decides what goes out."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._count = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while connection.recv(65536):
                with self._lock:
                    self._count += 1
                    number = self._count
                if not self._reply(connection, number):
                    return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Reply], Server]]:
    servers: list[Server] = []

    def start(reply: Reply) -> Server:
        servers.append(Server(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def some(count: int) -> Callable[[int], bool]:
    """Runs while so many requests have not fallen due at one a millisecond."""
    first = 0

    def running(now_ns: int) -> bool:
        nonlocal first
        first = first or now_ns
        return now_ns - first < count * 1_000_000

    return running


def send_ok(connection: socket.socket, number: int) -> bool:
    connection.sendall(OK)
    return True


def test_every_request_is_answered_once(serve: Callable[[Reply], Server]) -> None:
    arrivals = Arrivals(serve(send_ok).port, [REQUEST], rate=1000, connections=4)
    seen = arrivals.run(some(50))
    arrivals.close()
    assert seen.failed == 0
    assert len(seen.latencies_ns) == len(seen.lags_ns) == sum(seen.answers.values()) >= 50
    assert [answer.version for answer in seen.answers] == [b"numbers@v1"]


def test_answers_in_pieces_are_put_together(serve: Callable[[Reply], Server]) -> None:
    def reply(connection: socket.socket, number: int) -> bool:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(0, len(OK), 20):
            connection.sendall(OK[position : position + 20])
        return True

    arrivals = Arrivals(serve(reply).port, [REQUEST], rate=1000, connections=2)
    seen = arrivals.run(some(20))
    arrivals.close()
    assert seen.failed == 0
    assert {answer.body for answer in seen.answers} == {BODY}


def test_errors_and_lost_connections_are_failures(serve: Callable[[Reply], Server]) -> None:
    def reply(connection: socket.socket, number: int) -> bool:
        if number == 3:
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}")
            return True
        if number == 6:
            connection.sendall(OK[:30])
            return False
        return send_ok(connection, number)

    arrivals = Arrivals(serve(reply).port, [REQUEST], rate=1000, connections=2)
    seen = arrivals.run(some(20))
    arrivals.close()
    assert seen.failed == 2
    assert any("503" in reason for reason in seen.reasons)
    assert any("closed" in reason for reason in seen.reasons)


def test_a_stall_costs_everyone_who_was_due_in_it(serve: Callable[[Reply], Server]) -> None:
    """One connection, so that requests queue behind the one that is held."""
    release = threading.Event()

    def reply(connection: socket.socket, number: int) -> bool:
        if number == 10:
            release.wait(5)
        return send_ok(connection, number)

    timer = threading.Timer(0.2, release.set)
    timer.start()
    arrivals = Arrivals(serve(reply).port, [REQUEST], rate=1000, connections=1)
    seen = arrivals.run(some(150))
    arrivals.close()
    assert seen.failed == 0
    assert percentile_us(seen.latencies_ns, 0.5) > 20_000  # half of them were due while it stood
    assert percentile_us(seen.from_sent_ns, 0.5) < 20_000  # but only one was sent into it


@pytest.mark.parametrize(("share", "expected"), [(0, 0.001), (0.5, 0.006), (0.999, 0.01), (1, 0.01)])
def test_percentile(share: float, expected: float) -> None:
    assert percentile_us([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected


def test_percentile_of_nothing() -> None:
    assert percentile_us([], 0.5) == 0
