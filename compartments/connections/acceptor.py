"""Accepts at a compartment's own port, in each of its workers.

Rule: between the callers and their compartment there is nobody, so nobody else's fate is
shared. Who is not ready, or is leaving, does not accept: siblings do, or the queue waits.
"""

import socket
from collections.abc import Callable

from engine.http.reactor import Reactor

ACCEPTS_MAX = 4  # in one go: siblings are woken as well, and whoever has time takes more
QUEUED_MAX = 4096  # the listener's backlog: as many are taken at the end
REST_S = 0.01  # while there are no descriptors; FAULTS 31 allows 100 ms after relief


class Acceptor:
    """`take(sock, b"", 0)` owns what comes: nothing was read, and it has not moved."""

    def __init__(self, reactor: Reactor, fd: int, take: Callable[[socket.socket, bytes, int], object]) -> None:
        self._reactor = reactor
        self._take = take
        self._listener = socket.socket(fileno=fd)
        self._listener.setblocking(False)
        self._accepting = False

    def begin(self) -> None:
        if not self._accepting:
            self._accepting = True
            self._reactor.add(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        self._accept_some(ACCEPTS_MAX)

    def _accept_some(self, most: int) -> None:
        for _ in range(most):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:  # out of descriptors, most likely: relief comes with time
                if self._accepting:
                    self._reactor.rest(self._listener.fileno(), REST_S)
                return
            connection.setblocking(False)
            if connection.family != socket.AF_UNIX:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._take(connection, b"", 0)

    def end(self, *, take_queued: bool) -> None:
        """Accepts no more. `take_queued`: those that wait are taken, since no sibling is there for them."""
        if not self._accepting:
            return
        self._accepting = False
        self._reactor.remove(self._listener.fileno())
        if take_queued:
            self._accept_some(QUEUED_MAX)
