"""The closed-loop client: the order on each connection, and servers that misbehave."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from bench.cycles import Cycles, Step

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answered = Callable[[int, bytes], bytes]  # (connection, request) → response; b"": it is closed


class Server:
    """A thread for each connection; `asked` holds what came on it."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self.asked: list[list[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.asked.append([])
            threading.Thread(target=self._serve, args=(len(self.asked) - 1, connection), daemon=True).start()

    def _serve(self, number: int, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                self.asked[number].append(data)
                answer = self._answered(number, data)
                if not answer:
                    return
                for part in (answer[:20], answer[20:]):
                    connection.sendall(part)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[[Answered], Server]]:
    servers: list[Server] = []

    def start(answered: Answered) -> Server:
        servers.append(Server(answered))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def steps(*names: str) -> list[Step]:
    return [Step(name, b"GET /%b" % name.encode()) for name in names]


def test_each_connection_goes_round_its_own_cycle(serve: Callable[[Answered], Server]) -> None:
    server = serve(lambda number, request: OK)
    client = Cycles(server.port, [steps("a", "b"), steps("c", "d", "e")])
    seen = client.run(0.2)
    client.close()
    assert seen.failed == 0
    assert seen.requests == sum(map(len, server.asked))
    assert len(seen.all_ns("a", "b")) + len(seen.all_ns("c", "d", "e")) == len(seen.all_ns()) == seen.requests
    for asked in server.asked:
        cycle = b"ab" if asked[0] == b"GET /a" else b"cde"
        assert [request[-1] for request in asked] == [cycle[n % len(cycle)] for n in range(len(asked))]


def test_what_is_no_200_is_counted(serve: Callable[[Answered], Server]) -> None:
    server = serve(lambda number, request: OK.replace(b"200 OK", b"503 No") if request == b"GET /b" else OK)
    client = Cycles(server.port, [steps("a", "b")])
    seen = client.run(0.1)
    client.close()
    assert seen.failed == len(seen.all_ns("b")) > 0


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\nendless"])
def test_a_connection_that_fails_ends_the_run(serve: Callable[[Answered], Server], answer: bytes) -> None:
    server = serve(lambda number, request: answer)
    client = Cycles(server.port, [steps("a")])
    with pytest.raises(ConnectionError):
        client.run(5)
    client.close()
