"""A plain keep-alive client, and a steady load of them; every failure is kept."""

import random
import socket
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from tests.compartments.deadline import pause

Address = tuple[str, int]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.body)["data"]

    @property
    def version(self) -> str:
        return self.headers.get("havok-version", "")

    @property
    def compartment(self) -> str:
        return self.headers["havok-compartment"]


class Client:
    """One connection."""

    def __init__(self, address: Address, timeout: float = 10) -> None:
        self.sock = socket.create_connection(address, timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def get(self, service: str, key: str = "k1", headers: str = "") -> Answer:
        self.send(request(service, key, headers))
        return self.answer()

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionResetError(f"ended after {self._buffer!r}")
        self._buffer += data

    def take(self) -> None:
        """Reads what has arrived, without waiting."""
        try:
            self._buffer += self.sock.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return

    def answer(self) -> Answer:
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(int(first.split()[1]), headers, body)

    def ended(self) -> bool:
        """True when the peer ends the connection (waits for it)."""
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def request(service: str, key: str = "k1", headers: str = "") -> bytes:
    return f"GET /v1/{service}?id={key} HTTP/1.1\r\nHost: h\r\n{headers}\r\n".encode()


class Load:
    """Threads that ask services in turn, each on its keep-alive connection, from start to stop.

    An answer is good when it is a 200 whose row is the one asked for and whose value is of
    the version its header names.
    """

    def __init__(
        self,
        address: Address,
        services: Sequence[str],
        threads: int = 3,
        *,
        good: Callable[[str, str, Answer], bool] | None = None,
        seed: int = 1,
        gap_s: float = 0.0,
    ) -> None:
        self._address = address
        self._services = services
        self._good = good or whole
        self._gap_s = gap_s
        self._stop = threading.Event()
        self.asked = 0
        self.failures: list[tuple[float, str, str]] = []  # (when, service, what)
        self.seconds: list[float] = []
        self.reconnects = 0
        print(f"load: seed {seed}, {threads} connections over {', '.join(services)}")
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed * 1000 + n),), daemon=True)
            for n in range(threads)
        ]

    def _run(self, dice: random.Random) -> None:
        client: Client | None = None
        while not self._stop.is_set():
            service, key = dice.choice(self._services), f"k{dice.randrange(20)}"
            started = monotonic()
            try:
                if client is None:
                    client = Client(self._address)
                answer = client.get(service, key)
                if not self._good(service, key, answer):
                    self.failures.append((started, service, f"{answer}"))
                if answer.headers.get("connection") == "close":
                    client.sock.close()
                    client = None
                    self.reconnects += 1
            except OSError as error:
                self.failures.append((started, service, repr(error)))
                if client is not None:
                    client.sock.close()
                    client = None
            self.asked += 1
            self.seconds.append(monotonic() - started)
            if self._gap_s:
                pause(self._gap_s * dice.random() * 2)
        if client is not None:
            client.sock.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(15)

    def summary(self) -> str:
        slow = sorted(self.seconds)[-3:]
        return (
            f"{self.asked} asked, {len(self.failures)} failed, {self.reconnects} reconnects, "
            f"slowest {', '.join(f'{s * 1000:.1f}' for s in slow)} ms; {self.failures[:3]}"
        )


def whole(_service: str, key: str, answer: Answer) -> bool:
    """A row as `Node.load` makes them: `v<number>-<i>`, its version's id saying the same number."""
    if answer.status != 200 or answer.data["id"] != key:
        return False
    number, _, row = answer.data["v"].removeprefix("v").partition("-")
    return f"k{row}" == key and answer.version.endswith(f"-{int(number):08x}")
