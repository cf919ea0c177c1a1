"""An open-loop client: requests fall due at a fixed rate, whatever the server does.

Rule: latency counts from when a request was due, not from when it could be sent, so a
server that stalls pays for every caller that would have come meanwhile. Requests wait for a
free connection in the order they fell due; each connection carries one at a time. What the
client itself was late is recorded apart (`lag`), because it is in every latency too.

One thread, raw sockets and `select`: a few thousand requests a second on part of a core,
not what saturates a worker.
"""

import select
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

CONNECTIONS = 32
ANSWER_S_MAX = 5.0  # an answer later than this counts as failed
_RECV_BYTES = 65536
_REASONS_MAX = 5


class Answer(msgspec.Struct, frozen=True):
    """What identifies an answer's content: its version header and its body."""

    version: bytes
    body: bytes


class Observation(msgspec.Struct):
    """Latencies from due time and from sending, in order of completion; lags in order of sending."""

    latencies_ns: list[int] = msgspec.field(default_factory=list)
    from_sent_ns: list[int] = msgspec.field(default_factory=list)
    lags_ns: list[int] = msgspec.field(default_factory=list)
    answers: Counter[Answer] = msgspec.field(default_factory=Counter)
    failed: int = 0
    reasons: list[str] = msgspec.field(default_factory=list)  # of the first few failures

    def fail(self, reason: str) -> None:
        self.failed += 1
        if len(self.reasons) < _REASONS_MAX:
            self.reasons.append(reason)


class _Head(msgspec.Struct, frozen=True):
    ok: bool
    version: bytes
    length: int


def percentile_us(values_ns: Sequence[int], share: float) -> float:
    """The nearest-rank percentile in microseconds; 0 of nothing."""
    if not values_ns:
        return 0.0
    ordered = sorted(values_ns)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e3


class Arrivals:
    """Loads one port with the given requests in turn."""

    def __init__(self, port: int, requests: Sequence[bytes], rate: float, connections: int = CONNECTIONS) -> None:
        self._port = port
        self._requests = requests
        self._interval_ns = round(1e9 / rate)
        self._idle = deque(self._connect() for _ in range(connections))
        self._busy: dict[socket.socket, tuple[int, int, bytearray]] = {}  # due at, sent at, received
        self._heads: dict[bytes, _Head] = {}

    def run(self, running: Callable[[int], bool]) -> Observation:
        """Until `running(now_ns)` is false and the last answers are in."""
        seen = Observation()
        due_ns = time.monotonic_ns()
        waiting: deque[int] = deque()
        number = 0
        open_ = True
        while open_ or waiting or self._busy:
            now_ns = time.monotonic_ns()
            open_ = open_ and running(now_ns)
            while open_ and due_ns <= now_ns:
                waiting.append(due_ns)
                due_ns += self._interval_ns
            while waiting and self._idle:
                number += 1
                self._send(waiting.popleft(), self._requests[number % len(self._requests)], seen)
            wait_s = max(0, due_ns - time.monotonic_ns()) / 1e9 if open_ else 0.1
            ready, _, _ = select.select(list(self._busy), (), (), wait_s)
            for connection in ready:
                self._receive(connection, seen)
            self._expire(seen)
        return seen

    def close(self) -> None:
        for connection in [*self._idle, *self._busy]:
            connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=ANSWER_S_MAX)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        return connection

    def _send(self, due_ns: int, request: bytes, seen: Observation) -> None:
        connection = self._idle.popleft()
        now_ns = time.monotonic_ns()
        seen.lags_ns.append(now_ns - due_ns)
        self._busy[connection] = due_ns, now_ns, bytearray()
        try:
            connection.send(request)  # far below a socket's buffer: taken whole
        except OSError as error:
            self._replace(connection, f"send: {error}", seen)

    def _receive(self, connection: socket.socket, seen: Observation) -> None:
        due_ns, sent_ns, received = self._busy[connection]
        try:
            data = connection.recv(_RECV_BYTES)
        except OSError as error:
            self._replace(connection, f"receive: {error}", seen)
            return
        if not data:
            self._replace(connection, "closed before the answer was whole", seen)
            return
        received += data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        raw = bytes(received[:end])
        head = self._heads.get(raw)
        if head is None:
            head = self._heads[raw] = _read_head(raw)
        body = bytes(received[end + 4 :])
        if len(body) < head.length:
            return
        now_ns = time.monotonic_ns()
        seen.latencies_ns.append(now_ns - due_ns)
        seen.from_sent_ns.append(now_ns - sent_ns)
        del self._busy[connection]
        self._idle.append(connection)
        if head.ok and len(body) == head.length:
            seen.answers[Answer(head.version, body)] += 1
        else:
            status = raw.partition(b"\r\n")[0]
            seen.fail(f"{status.decode(errors='replace')}: {body[:200].decode(errors='replace')}")

    def _expire(self, seen: Observation) -> None:
        """Connections come in the order they were sent on: only the oldest can be late."""
        if not self._busy:
            return
        connection, (due_ns, _, _) = next(iter(self._busy.items()))
        if time.monotonic_ns() - due_ns > ANSWER_S_MAX * 1e9:
            self._replace(connection, f"no answer within {ANSWER_S_MAX:.0f} s", seen)

    def _replace(self, connection: socket.socket, reason: str, seen: Observation) -> None:
        """One request failed with its connection; the caller would open another."""
        del self._busy[connection]
        connection.close()
        seen.fail(reason)
        self._idle.append(self._connect())


def _read_head(raw: bytes) -> _Head:
    status, *lines = raw.split(b"\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    return _Head(
        ok=status.split(b" ")[1:2] == [b"200"],
        version=headers.get(b"havok-version", b""),
        length=int(headers.get(b"content-length", b"0")),
    )
