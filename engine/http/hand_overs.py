"""Connections on their way to other processes: one by one, some of them, or all.

Rule: only between two requests, with the bytes that were read. One that nobody takes stays
and is served here. Many go a slice at a time, so that nobody else waits for them.
"""

import logging
import socket
from collections.abc import Callable
from heapq import nlargest
from itertools import islice
from time import monotonic_ns
from typing import TYPE_CHECKING

from engine.http.connection import Connection

if TYPE_CHECKING:
    from engine.http.server import Server

log = logging.getLogger(__name__)

TRY_AGAIN_S = 0.01  # while nobody takes a connection
HELD_MAX = 250  # connections that wait for a taker: a hundred tries a second of 4 µs each are a tenth of a core
MOVES_MAX = 16  # connections handed over in one go: some 50 µs each
GIVE_MAX = 64  # of one order: some 3 ms
LOOKED_AT_MAX = 2048  # for the busiest

PassOn = Callable[[socket.socket, bytes, int, str], bool]


def refuse(_sock: socket.socket, _received: bytes, _hops: int, _compartment: str) -> bool:
    """For a server that stands alone."""
    return False


def _since(connection: Connection) -> int:
    return connection.since_ns


class HandOvers:
    """`pass_on(sock, received, hops, compartment)` gives a connection to another process and says whether it went;
    the socket is then closed here. `hops`: see `engine.http.passage`.
    """

    def __init__(self, server: "Server", pass_on: PassOn) -> None:
        self._server = server
        self._pass_on = pass_on
        self.count = 0
        self.leaving = False
        self.held: list[Connection] = []  # nobody takes them now
        self._moving: list[Connection] = []

    def hand_over(self, connection: Connection, compartment: str) -> bool:
        """Between two requests: the connection goes to `compartment`, or stays (False)."""
        sock, received, hops = connection.parcel
        if compartment != self._server.compartment and connection.habit is not None:
            hops = connection.habit.after_hop(self._server.reactor.now_ns)
        try:
            went = self._pass_on(sock, received, hops, compartment)
        except Exception:
            log.exception("a connection could not be handed to compartment %s", compartment)
            went = False
        if went:
            connection.close()  # our copy of the socket
            self.count += 1
        return went

    def try_again(self, connection: Connection) -> bool:
        """Advances it in a moment, with all others that wait for a taker; False when those are too many."""
        if len(self.held) >= HELD_MAX:
            return False
        if not self.held:
            self._server.loop.call_later(TRY_AGAIN_S, self._advance_held)
        self.held.append(connection)
        return True

    def _advance_held(self) -> None:
        self._server.reactor.now_ns = monotonic_ns()  # this is no tick of the reactor either
        held, self.held = self.held, []
        for connection in held:
            self._server.soon(connection.advance)  # which looks itself whether it was closed meanwhile

    def leave(self) -> None:
        """From now on every connection goes to a sibling as soon as it is between two requests."""
        self.leaving = True
        for connection in self._server.connections:
            connection.drain()

    def move_idle(self) -> int:
        """Hands over a slice of those that wait for a request; how many connections are left here."""
        if not self._moving:
            self._moving = list(self._server.connections)
        for connection in self._moving[-MOVES_MAX:]:
            if connection.idle and not self.hand_over(connection, self._server.compartment):
                break  # nobody takes more for now; its turn comes again
        del self._moving[-MOVES_MAX:]
        return len(self._server.connections)

    def give(self, count: int, take: Callable[[socket.socket, bytes, int], bool]) -> int:
        """Hands on so many of those that are between two requests, the busiest of late; how many went."""
        idle = (connection for connection in islice(self._server.connections, LOOKED_AT_MAX) if connection.idle)
        given = 0
        for connection in nlargest(min(count, GIVE_MAX), idle, key=_since):
            if not take(*connection.parcel):
                break
            connection.close()  # our copy of the socket
            given += 1
        self.count += given
        return given
