"""Callers of a simulated node: what they ask, and what they may be told.

Rule: each request is answered once, in order, by a worker that serves it; what is not
answered was lost with a process that died holding the connection, or its message.
"""

import json
import random
import re
import socket
from collections import Counter, deque

from tests.simulation.loop import Loop
from tests.simulation.sockets import Line, Sockets
from tests.simulation.trace import Trace

MS = 1_000_000
_LENGTH = re.compile(rb"Content-Length: (\d+)")
REFUSED = {b"503"}  # by who cannot do better: no worker is there, or none takes the connection for a second
_BLOCK = b" HTTP/1.1\r\nHost: node\r\n"


class Answer:
    def __init__(self, head: bytes, body: bytes) -> None:
        self.status = head[9:12]
        self.closes = b"Connection: close" in head
        self.data = json.loads(body)["data"] if self.status == b"200" else {}
        self.body = body


class Client:
    """One connection at a time; it asks until told to rest."""

    def __init__(self, name: str, loop: Loop, dice: random.Random, sockets: Sockets, trace: Trace, port: str) -> None:
        self.name = name
        self.loop = loop
        self.dice = dice
        self.sockets = sockets
        self.trace = trace
        self.port = port
        self.services = ["a", "b"]
        self.asked: deque[tuple[str, str, int]] = deque()  # (service, id, when) that wait for their answers
        self.counts: Counter[str] = Counter()
        self.newest: dict[str, tuple[bytes, str]] = {}  # service → the last answer: status, version
        self.pause_ms = 40.0  # at most, between an answer and what is asked next
        self.resting = False
        self._probing = False
        self.line: Line
        self._number = self._connections = 0
        self._rest = b""
        self._told_of_end = False
        self._sock: socket.socket | None = None

    # -- connecting ------------------------------------------------------------------

    def connect(self) -> None:
        self._connections += 1
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind("")  # the kernel gives it a name, by which its other end is known
        self.line = self.sockets.expect(sock.getsockname(), f"{self.name}.{self._connections}")
        sock.connect(self.port)
        self._sock = sock
        self._told_of_end = False
        self._rest = b""
        self.loop.add_reader(sock.fileno(), self._hear)
        self._soon(self.ask, 10)

    def _soon(self, callback: object, within_ms: float) -> None:
        at_ns = self.loop.now_ns + int(self.dice.random() * within_ms * MS)
        self.loop.at(at_ns, self.loop.outside, self._if_same, callback, self._connections)

    def _if_same(self, callback: object, connection: int) -> None:
        if connection == self._connections and self._sock is not None:
            callback()  # type: ignore[operator]

    # -- asking ----------------------------------------------------------------------

    def ask(self) -> None:
        """Some requests at once, now and then with a body, now and then in pieces."""
        if self._probing and not self.asked:
            self.probe()
        if self.resting:
            return
        message = b"".join(self._request() for _ in range(self.dice.choice((1, 1, 1, 2, 4))))
        if self.dice.random() < 0.25:
            cut = self.dice.randrange(1, len(message))
            self._send(message[:cut])
            self._soon(lambda: self._send(message[cut:]), 20)
        else:
            self._send(message)

    def probe(self) -> None:
        """Asks every service once more, on this connection or, should that just end, the next."""
        self._probing = True
        if self._sock is not None:
            self._send(b"".join([self._get(service) for service in self.services]))

    def _request(self) -> bytes:
        service = self.dice.choice(self.services)
        if self.dice.random() < 0.8:
            return self._get(service)
        body = b'{"id":"%b"}' % self._next(service).encode()
        length = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        return b"POST /v1/" + service.encode() + _BLOCK + length + body

    def _get(self, service: str) -> bytes:
        return b"GET /v1/%b?id=%b" % (service.encode(), self._next(service).encode()) + _BLOCK + b"\r\n"

    def _next(self, service: str) -> str:
        self._number += 1
        self.counts["asked"] += 1
        self.asked.append((service, f"{self.name}-{self._number}", self.loop.now_ns))
        return self.asked[-1][1]

    def _send(self, message: bytes) -> None:
        if self._sock is None:
            return
        try:
            sent = self._sock.send(message)
        except OSError:
            self._end()
            return
        assert sent == len(message)

    # -- hearing ---------------------------------------------------------------------

    def _hear(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._rest += data
        while (answer := self._take()) is not None:
            self._check(answer)
            self._probing = self._probing and bool(self.asked)
        if not data:
            self._end()
        elif not self.asked and not self._told_of_end:
            self._soon(self.ask, self.pause_ms)

    def _take(self) -> Answer | None:
        head, ends, rest = self._rest.partition(b"\r\n\r\n")
        if not ends:
            return None
        found = _LENGTH.search(head)
        assert found is not None, head
        length = int(found[1])
        if len(rest) < length:
            return None
        self._rest = rest[length:]
        return Answer(head, rest[:length])

    def _check(self, answer: Answer) -> None:
        if not self.asked:
            self.trace.fail(f"{self.line.name} is answered what it did not ask, or twice: {answer.body!r}")
        if self._told_of_end:
            self.trace.fail(f"{self.line.name} is answered after its last answer: {answer.body!r}")
        service, key, _ = self.asked.popleft()
        self._told_of_end = answer.closes
        self.counts[answer.status.decode()] += 1
        if answer.status == b"200":
            if (answer.data["service"], answer.data["id"]) != (service, key):
                self.trace.fail(f"{self.line.name} asked {service} {key} and was answered {answer.body!r}")
            self.newest[service] = (answer.status, answer.data["version"])
            self.trace.say(answer.data["by"], "answers {} of {}", key, service)
        else:
            self.newest[service] = (answer.status, "")
            self.trace.say(self.name, "{} of {} is refused: {}", key, service, answer.body)
            if answer.status not in REFUSED:
                self.trace.fail(f"{self.line.name} asked {service} {key} and was answered {answer.body!r}")

    def _end(self) -> None:
        """Legitimate only where something died, or the end was told."""
        assert self._sock is not None
        self.loop.remove_reader(self._sock.fileno())
        self._sock.close()
        self._sock = None
        line = self.line
        if line.lost_with is not None:
            self.counts["lost"] += 1
            self.trace.say(self.name, "{} is lost with {}, which died", line.name, line.lost_with)
        elif not self._told_of_end:
            before = any(at_ns < line.ended_ns for _, _, at_ns in self.asked)
            if before or not getattr(line.ended_by, "told_to_end", False):
                self.trace.fail(f"{line.name} was ended by {getattr(line.ended_by, 'name', None)}: nothing died")
            self.counts["let go"] += 1
        self.asked.clear()
        self.loop.at(self.loop.now_ns + int(self.dice.random() * 20 * MS), self.loop.outside, self.connect)

    def rest(self) -> None:
        """Asks nothing more of its own; what is asked in part is asked whole."""
        self.resting = True

    @property
    def settled(self) -> bool:
        return self._sock is not None and not self.asked and not self._probing

    def close(self) -> None:
        if self._sock is not None:
            self.loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
