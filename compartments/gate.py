"""The gate: accepts, reads the first request's line, hands the connection to its worker.

Rule: it answers nothing itself except when nobody else can. What it has read goes with the
socket. Connections that do not say a line in time are ended.
"""

import asyncio
import os
import re
import socket
import sys
import time
from collections import Counter
from time import monotonic_ns

import msgspec

from compartments.connections.channel import Outbox
from compartments.connections.peers import Peers
from compartments.facts.follower import Follower
from compartments.processes.listeners import Lender
from compartments.processes.process import GateSettings, start_loop
from engine.http.head import REQUEST_LINE_MAX
from engine.http.reactor import Reactor
from engine.http.responses import error_response, http_date
from havok.errors import Overloaded
from havok.messages import Leave, Order, Report

WAITING_MAX = 20_000  # connections whose first line is awaited; then accepting stops
RETRY_S = 0.01  # when every worker's queue is full, and while none is there
RETRIES_MAX = 100  # one second in all: a restarted worker is back by then
ACCEPTS_MAX = 64  # in one go
QUEUED_MAX = 4096  # the listener's backlog: as many are taken before a drain stops accepting
SILENT_GRACE_S = 0.5  # of a drain, for who connected before it and is about to ask
_SERVICE = re.compile(rb"\S+ (?:[Hh][Tt]{2}[Pp][Ss]?://[^/ ?]*)?/v1/([A-Za-z0-9_-]+)[ ?]")


class Gate:
    def __init__(self, settings: GateSettings) -> None:
        self._settings = settings
        self._loop = start_loop(settings.process, self._begin_drain)
        self._ended = asyncio.Event()
        self._draining = False
        self._reactor = Reactor(self._loop)
        self._listener = socket.socket(fileno=settings.listener_fd)
        self._listener.setblocking(False)
        self._lender = None
        if settings.lends_at:
            self._lender = Lender(self._reactor, settings.lends_at, {settings.listen: os.dup(settings.listener_fd)})
        self._peers = Peers()
        self._outbox = Outbox()
        self._waiting: dict[socket.socket, tuple[bytes, int]] = {}  # → (received, since ns)
        self._retrying = 0
        self._accepting = False
        self._accepted = 0
        self._refused: Counter[str] = Counter()  # by compartment
        self._follower = Follower(
            self._loop, settings.data_path, settings.process, self._on_change, self._report, self._obey
        )
        self._sweeper = self._loop.call_later(settings.line_s / 5, self._sweep)
        self._loop.call_later(settings.alone_s, self._begin_accepting)

    def run(self) -> None:
        """Until drained."""
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        await self._ended.wait()
        self._follower.close()
        self._sweeper.cancel()
        if self._lender is not None:
            self._lender.close()
        self._outbox.close()
        self._reactor.close()

    # -- following -------------------------------------------------------------------

    def _on_change(self, entries: dict[str, bytes]) -> None:
        self._peers.follow(entries)
        self._outbox.keep(self._peers.paths)
        self._peers.ask(self._outbox)
        if self._peers.paths:
            self._begin_accepting()

    def _begin_accepting(self) -> None:
        """From the first worker on, or when none has come for long; until then the backlog holds them."""
        if not self._accepting and not self._draining:
            self._accepting = True
            self._reactor.add(self._listener.fileno(), self._accept)

    def _report(self, epoch: int, seq: int) -> Report:
        return Report(
            process=self._settings.process,
            pid=os.getpid(),
            epoch=epoch,
            seq=seq,
            ready=self._accepting,
            draining=self._draining,
            connections=len(self._waiting),
            requests=self._accepted,
            refused=dict(self._refused),
        )

    def _obey(self, order: Order) -> None:
        if isinstance(order, Leave):
            self._begin_drain()

    # -- connections -----------------------------------------------------------------

    def _accept(self) -> None:
        self._accept_some()

    def _accept_some(self) -> bool:
        """False when nobody else waits, or nobody else can be taken now."""
        for _ in range(ACCEPTS_MAX):
            if len(self._waiting) >= WAITING_MAX:
                self._reactor.rest(self._listener.fileno(), RETRY_S)
                return False
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return False
            except OSError:  # out of descriptors, most likely: relief comes with time
                self._reactor.rest(self._listener.fileno(), RETRY_S)
                return False
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted += 1
            self._waiting[connection] = (b"", monotonic_ns())
            self._reactor.add(connection.fileno(), lambda sock=connection: self._read(sock))  # type: ignore[misc]
            self._read(connection)  # the request is often there already
        return True

    def _read(self, connection: socket.socket) -> None:
        received, since = self._waiting[connection]
        try:
            data = connection.recv(REQUEST_LINE_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        received += data
        line_end = received.find(b"\n", 2 if received[:2] == b"\r\n" else 0)  # a bare one is for the worker to refuse
        if line_end < 0 and len(received) <= REQUEST_LINE_MAX:
            self._waiting[connection] = (received, since)
            return
        self._reactor.remove(connection.fileno())
        del self._waiting[connection]
        match = _SERVICE.match(received.lstrip(b"\r\n"))
        self._hand_over(connection, received, match[1].decode() if match else "", RETRIES_MAX)

    def _hand_over(self, connection: socket.socket, received: bytes, service: str, tries: int) -> None:
        """To the owner of the service; what has none is answered (404) by whoever is there."""
        owner = self._peers.owner(service)
        if self._peers.full(self._outbox, owner):
            self._refused[owner or ""] += 1
            what = f"compartment {owner} has" if owner is not None else "all compartments have"
            self._refuse(connection, f"{what} as many connections as allowed")
        elif self._peers.send(self._outbox, owner, connection, received):
            connection.close()
        elif tries:
            self._retrying += 1
            self._loop.call_later(RETRY_S, self._retry, connection, received, service, tries - 1)
        else:
            self._refuse(connection, "no worker can take the request now")

    def _retry(self, connection: socket.socket, received: bytes, service: str, tries: int) -> None:
        self._retrying -= 1
        self._hand_over(connection, received, service, tries)

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        error = Overloaded(reason, retry_after_s=1)
        try:
            connection.send(error_response(error, http_date(time.time()), close=True))
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the caller is gone as well
        finally:
            connection.close()

    def _drop(self, connection: socket.socket) -> None:
        self._reactor.remove(connection.fileno())
        self._waiting.pop(connection, None)
        connection.close()

    def _sweep(self) -> None:
        limit = monotonic_ns() - round(self._settings.line_s * 1e9)
        for connection in [sock for sock, (_, since) in self._waiting.items() if since < limit]:
            self._drop(connection)
        self._sweeper = self._loop.call_later(self._settings.line_s / 5, self._sweep)

    # -- draining --------------------------------------------------------------------

    def _begin_drain(self) -> None:
        """Takes what is queued, and who connected before and is about to ask; then nothing more."""
        if self._draining:
            return
        self._draining = True
        self._loop.call_later(SILENT_GRACE_S if self._accepting else 0.0, self._close_listener)

    def _close_listener(self) -> None:
        if self._accepting:
            for _ in range(QUEUED_MAX // ACCEPTS_MAX):
                if not self._accept_some():
                    break
            self._reactor.remove(self._listener.fileno())
        self._listener.close()
        self._end_when_empty(monotonic_ns() + round(min(self._settings.drain_s, self._settings.line_s) * 1e9))

    def _end_when_empty(self, deadline_ns: int) -> None:
        limit = monotonic_ns() - round(SILENT_GRACE_S * 1e9)
        silent = [sock for sock, (received, since) in self._waiting.items() if not received and since < limit]
        for connection in silent:
            self._drop(connection)
        if (not self._waiting and not self._retrying) or monotonic_ns() >= deadline_ns:
            self._ended.set()
        else:
            self._loop.call_later(0.02, self._end_when_empty, deadline_ns)


def main() -> None:
    Gate(msgspec.json.decode(sys.argv[1], type=GateSettings)).run()


if __name__ == "__main__":
    main()
