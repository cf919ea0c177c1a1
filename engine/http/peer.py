"""One client's socket: what it has not taken yet, which phase it is in, and its end.

Rule: answers leave in order and are never dropped; while the peer does not read, nothing
more is read of it. What the bytes mean is `engine.http.connection`'s.
"""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.http.reactor import READ, WRITE

if TYPE_CHECKING:
    from engine.http.server import Server

BODY_RECV_BYTES = 64 * 1024
PENDING_BYTES_MAX = 256 * 1024  # unsent answers; then serving stops until the peer reads
PROGRESS_BYTES = 64 * 1024  # a slow reader that takes as much gets a new deadline
IDLE, HEAD, BODY, BLOCKED, PAUSED, AWAITING, LINGER = range(7)
# Seconds in each phase. 60 s idle is nginx's order of magnitude; an honest head or answer
# gets through in 5 s even with three retransmissions; PAUSED (others first) and AWAITING (an
# answer is made elsewhere) end by themselves, with the longest of queries.
PHASE_S_MAX = (60, 5, 10, 5, 3600, 3600, 2)

_read = os.read
_write = os.write
_join = b"".join
_nothing = memoryview(b"")


class Peer:
    __slots__ = (
        "_out",
        "_out_bytes",
        "_taken",
        "closed",
        "closing",
        "fd",
        "pending",
        "phase",
        "reactor",
        "server",
        "shed_ns",
        "sheds",
        "since_ns",
        "sock",
    )

    def __init__(self, server: "Server", sock: socket.socket) -> None:
        self.server = server
        self.reactor = server.reactor
        self.sock = sock
        self.fd = sock.fileno()
        self.phase = HEAD
        self.since_ns = self.reactor.now_ns
        self.pending = _nothing  # answers the peer has not taken yet
        self.closed = False  # or given away
        self.closing = False  # nothing is read after the answers in hand
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._taken = 0
        self.sheds = self.shed_ns = 0  # see `engine.http.shedding`
        server.connections.add(self)  # type: ignore[arg-type]

    def advance(self) -> None:
        """Goes on with what there is to do: everything written so far was taken."""
        raise NotImplementedError

    def add(self, message: bytes) -> None:
        self._out.append(message)
        self._out_bytes += len(message)

    def flush(self) -> bool:
        """Writes the answers in hand; False when the peer did not take them all."""
        if self._out:
            message = _join(self._out)
            self._out.clear()
            self._out_bytes = 0
            try:
                sent = _write(self.fd, message)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return False
            if sent != len(message):
                self.block(memoryview(message)[sent:])
        return not self.pending

    def wait(self, phase: int, callback: Callable[[], None], events: int = READ) -> None:
        if phase != self.phase:
            self.since_ns = self.reactor.now_ns
            if phase > HEAD or self.phase > HEAD:  # both of the first two wait alike
                self.reactor.change(self.fd, callback, events)
            self.phase = phase

    def block(self, rest: memoryview) -> None:
        """The peer does not read: neither do we, until it does."""
        self.pending = rest
        self._taken = 0
        self.wait(BLOCKED, self.on_writable, WRITE)

    def on_writable(self) -> None:
        try:
            sent = _write(self.fd, self.pending[:PENDING_BYTES_MAX])
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        self.pending = self.pending[sent:]
        self._taken += sent
        if self._taken >= PROGRESS_BYTES:
            self._taken = 0
            self.since_ns = self.reactor.now_ns
        if not self.pending:
            self.pending = _nothing  # an empty view would keep the whole answer
            self.advance()

    def finish(self) -> None:
        """Everything is written: end our side and wait for the peer to end its own."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.wait(LINGER, self.on_lingering)

    def on_lingering(self) -> None:
        """After the last answer: take what the peer still sends until it closes too.

        Closing with unread bytes would reset the connection and lose the answer.
        """
        try:
            if _read(self.fd, BODY_RECV_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.reactor.remove(self.fd)
            self.server.connections.discard(self)
            self.server.lines.discard(self)
            self.sock.close()
