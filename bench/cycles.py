"""A closed-loop client whose connections each go round a cycle of requests of their own.

Rule: a connection sends its next request when it has the answer to the one before, so the order on
each is exact, which `wrk` does not give. One thread, raw sockets and `epoll`: some tens of thousands
of requests a second, enough to measure the CPU of a server, not to saturate one that is fast.
"""

import re
import select
import socket
import time
from collections import defaultdict
from collections.abc import Sequence

import msgspec

ANSWER_S_MAX = 20.0  # an answer later than this ends the run: a closed loop has nobody else to ask
_RECV_BYTES = 256 * 1024
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n").search


class Step(msgspec.Struct, frozen=True):
    """One request of a cycle; `label`: what it is counted as."""

    label: str
    request: bytes


class Seen(msgspec.Struct):
    """Latencies by label, in order of completion."""

    latencies_ns: dict[str, list[int]] = msgspec.field(default_factory=lambda: defaultdict(list))
    seconds: float = 0.0
    failed: int = 0

    @property
    def requests(self) -> int:
        return sum(map(len, self.latencies_ns.values()))

    def all_ns(self, *labels: str) -> list[int]:
        return [took for label in labels or self.latencies_ns for took in self.latencies_ns.get(label, ())]


class _Round:
    """A connection and where it is in its cycle."""

    def __init__(self, port: int, cycle: Sequence[Step]) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_S_MAX)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._cycle = cycle
        self._at = -1
        self.sent_ns = 0
        self._received = b""
        self._end = 0  # of the answer, when its head is there

    def send_next(self) -> None:
        self._at = (self._at + 1) % len(self._cycle)
        self._received = b""
        self._end = 0
        self.sent_ns = time.monotonic_ns()
        self.sock.send(self._cycle[self._at].request)  # far below a socket's buffer: taken whole

    def receive(self) -> bool:
        """Whether the answer is whole. Raises ConnectionError."""
        data = self.sock.recv(_RECV_BYTES)
        if not data:
            raise ConnectionError("closed before the answer was whole")
        self._received = self._received + data if self._received else data
        if not self._end:
            end = self._received.find(b"\r\n\r\n")
            length = _LENGTH(self._received, 0, end + 2) if end >= 0 else None
            if end < 0:
                return False
            if length is None:
                raise ConnectionError("an answer without a length")
            self._end = end + 4 + int(length[1])
        return len(self._received) >= self._end

    @property
    def label(self) -> str:
        return self._cycle[self._at].label

    @property
    def is_good(self) -> bool:
        return self._received.startswith(b"HTTP/1.1 200 ") and len(self._received) == self._end


class Cycles:
    """One connection for each cycle."""

    def __init__(self, port: int, cycles: Sequence[Sequence[Step]]) -> None:
        self._rounds = {round_.sock.fileno(): round_ for round_ in (_Round(port, cycle) for cycle in cycles)}
        self._epoll = select.epoll()
        for fd in self._rounds:
            self._epoll.register(fd, select.EPOLLIN)

    def run(self, seconds: float) -> Seen:
        """Until the time is up and the last answers are in. Raises ConnectionError, TimeoutError."""
        seen = Seen()
        begun = time.monotonic_ns()
        end = begun + round(seconds * 1e9)
        for round_ in self._rounds.values():
            round_.send_next()
        busy = len(self._rounds)
        while busy:
            ready = self._epoll.poll(ANSWER_S_MAX)
            if not ready:
                raise TimeoutError(f"no answer for {ANSWER_S_MAX:.0f} s")
            for fd, _ in ready:
                round_ = self._rounds[fd]
                if not round_.receive():
                    continue
                now = time.monotonic_ns()
                seen.latencies_ns[round_.label].append(now - round_.sent_ns)
                seen.failed += not round_.is_good
                if now < end:
                    round_.send_next()
                else:
                    busy -= 1
        seen.seconds = (time.monotonic_ns() - begun) / 1e9
        return seen

    def close(self) -> None:
        self._epoll.close()
        for round_ in self._rounds.values():
            round_.sock.close()
