"""Two servers on one loop, lines between them, and clients of the first."""

import socket
from collections.abc import Callable
from pathlib import Path

from engine.http.connection import Connection
from engine.http.passage import LINE, RANKS
from engine.http.relay import Line, Relay
from engine.http.route import Elsewhere, Target
from engine.http.server import Server
from tests.engine.selecting import rows_of, write_rows
from tests.engine.wire import Client, Wire, get

HERE = get("/v1/airport?faa=JFK")
THERE = get("/v1/far?faa=LGA")


class Straight:
    """The owner of lines, with nothing in between: each leads to a new connection of the other server."""

    def __init__(self) -> None:
        self.accept: Callable[[socket.socket], Connection] | None = None
        self.wire: Wire | None = None
        self.buffer: int | None = None  # what a line's socket takes unread
        self.idle: list[Line] = []
        self.lost: list[tuple[Relay | None, bool]] = []
        self.ends: list[Connection] = []
        self.retries = False

    def ask(self, relay: Relay) -> None:
        line = self.idle.pop() if self.idle else self._line()
        line.ask(relay)

    def _line(self) -> Line:
        assert self.wire is not None
        assert self.accept is not None
        ours, theirs = socket.socketpair()
        for side in (ours, theirs):
            side.setblocking(False)
            if self.buffer is not None:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.buffer)
        self.ends.append(self.accept(theirs))
        return Line(self.wire.server.reactor, ours, "there", self)

    def is_free(self, line: Line) -> None:
        self.idle.append(line)

    def is_lost(self, line: Line, relay: Relay | None, *, untouched: bool) -> None:
        if line in self.idle:
            self.idle.remove(line)
        self.lost.append((relay, untouched))
        if relay is None or relay.closed:
            return
        if self.retries and relay.again(line.place, untouched=untouched):
            self.ask(relay)
        else:
            relay.fail("the worker ended")
            assert self.wire is not None
            self.wire.server.soon(relay.wake)


class Pair:
    """`here` has high priority, `there` low; what is there is forwarded."""

    def __init__(self) -> None:
        self.lines = Straight()
        self.handed: list[tuple[bytes, int, str]] = []
        self.here = Wire(self._pass_on, self.lines.ask)
        self.here.server.forwarding.rank = RANKS["high"]
        self.there = Server(self.here.loop, "travel-low")
        self.lines.wire = self.here
        self.lines.accept = lambda sock: self.there.accept(sock, b"", LINE)

    def _pass_on(self, _sock: socket.socket, received: bytes, hops: int, compartment: str) -> bool:
        self.handed.append((received, hops, compartment))
        return True

    def deploy(self, here: dict[str, Target], there: dict[str, Target]) -> None:
        self.here.deploy(**here, **{name: Elsewhere(name, "travel-low", RANKS["low"]) for name in there})
        self.there.deploy(there)

    def client(self, **options: object) -> Client:
        return self.here.client(**options)  # type: ignore[arg-type]

    def close(self) -> None:
        for line in list(self.lines.idle):
            line.lose()
        self.there.close()
        self.here.close()


def write_wide(path: Path) -> Path:
    """A million bytes of rows of one key."""
    return write_rows(path, rows_of(500, "y" * 2000))
