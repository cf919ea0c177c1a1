"""A worker: serves one compartment's services on connections it is handed.

Rule: it decides nothing about other processes. It follows the supervisor's facts, serves,
reports, hands on connections that belong elsewhere, and drains when told to.
"""

import asyncio
import os
import socket
import sys
from functools import partial
from pathlib import Path
from time import monotonic, monotonic_ns, thread_time_ns

import msgspec

from compartments.connections.acceptor import Acceptor
from compartments.connections.channel import TELL_S, Inbox, Outbox
from compartments.connections.lines import Lines
from compartments.connections.peers import Peers
from compartments.facts.follower import Follower
from compartments.load.gauges import Gauges
from compartments.load.sharing import Sharing
from compartments.processes.listeners import Lender, lending_path
from compartments.processes.process import WorkerSettings, end, start_loop, step_back
from compartments.versions.deployer import Deployer
from engine.http.relay import Relay
from engine.http.server import Server
from havok.messages import Leave, Order, Report

UNLISTED_S_MAX = 0.5  # until a supervisor that is there has told all that a worker takes no connections any more
IDLE_GRACE_S = 0.5  # how long a keep-alive connection may wait to be told that it ends
MOVE_AGAIN_S = 0.001  # between two slices of connections on their way to siblings
HELD_UP_S = 0.7  # longer than any wait of a drain between two looks
TAKEN_S_MAX = 1.0  # siblings that take none for as long are on their way out themselves, or hang


class Worker:
    def __init__(self, settings: WorkerSettings, *, forwards: bool = True) -> None:
        """`forwards`: whether a request may go elsewhere while its connection stays; else no switch for anybody but
        `bench.mixed`, which measures what that is worth.
        """
        self._settings = settings
        self._loop = start_loop(settings.process, self._begin_drain, settings.fds)
        for fd in settings.listeners.values():
            os.set_inheritable(fd, False)  # executors are not to hold them
        self._ended = asyncio.Event()
        self._draining = False
        self._leaving: asyncio.TimerHandle | None = None
        self._deadline = self._moved_s = self._looked_s = 0.0  # of a drain: its end, the last move, the last look
        self._server = Server(self._loop, settings.compartment, self._pass_on, self._ask if forwards else None)
        self._gauges = Gauges(self._loop, self._server.table, monotonic_ns(), thread_time_ns())
        self._sharing = Sharing(self._server)
        self._peers = Peers(settings.inbox)
        self._outbox = Outbox()
        self._lines = Lines(self._loop, self._server.reactor, self._peers, self._outbox)
        self._deployer = Deployer(self._server, Path(settings.data_dir), self._acknowledge)
        self._inbox = Inbox(self._server.reactor, settings.inbox, self._take, self._count)
        self._teller: asyncio.TimerHandle | None = None
        self._lender = Lender(self._server.reactor, lending_path(settings.inbox), settings.listeners)
        self._acceptor = None
        if settings.listen is not None:
            fd = os.dup(settings.listeners[settings.listen])
            self._acceptor = Acceptor(self._server.reactor, fd, self._server.accept)
        self._follower = Follower(
            self._loop, Path(settings.data_dir), settings.process, self._on_change, self._report, self._obey
        )

    def run(self) -> None:
        """Until drained."""
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        await self._ended.wait()
        self._follower.close()
        self._gauges.close()
        self._lender.close()
        self._inbox.close()
        if self._teller is not None:
            self._teller.cancel()
        self._lines.close()
        self._server.close()
        self._outbox.close()
        step_back()
        await self._deployer.close()

    def _take(self, connection: socket.socket, received: bytes, hops: int) -> None:
        taken = self._server.accept(connection, received, hops)
        if not received:  # from a sibling: the gate reads a line first
            taken.rest()

    def _count(self) -> int:
        """Somebody wants to know; from now on he is told in time."""
        if self._teller is None:
            self._teller = self._loop.call_later(TELL_S, self._tell)
        return self._server.callers

    def _tell(self) -> None:
        self._teller = None
        self._inbox.tell()

    def _pass_on(self, connection: socket.socket, received: bytes, hops: int, compartment: str) -> bool:
        inside = compartment == self._settings.compartment
        if self._peers.send(self._outbox, compartment, connection, received, hops, inside=inside):
            return True
        return self._draining and self._peers.send(self._outbox, None, connection, received, hops, inside=True)

    def _ask(self, relay: Relay) -> None:
        self._lines.ask(relay)

    def _obey(self, order: Order) -> None:
        if isinstance(order, Leave):
            self._begin_drain()
        elif order.to in self._peers.paths and not self._draining:
            self._server.hand_overs.give(order.count, partial(self._outbox.send, order.to))

    # -- following -------------------------------------------------------------------

    def _on_change(self, entries: dict[str, bytes]) -> None:
        self._peers.follow(entries)
        self._sharing.follow(entries)
        self._outbox.keep(self._peers.paths)
        self._lines.keep()
        self._server.share(self._peers.sharers(self._settings.compartment))
        self._deployer.follow(entries)
        if self._leaving is not None and not self._peers.has_own:
            self._leave()

    def _acknowledge(self) -> None:
        self._follower.acknowledge()

    def _report(self, epoch: int, seq: int) -> Report:
        ready = self._follower.replica.synced and self._deployer.settled and not self._draining
        if ready and self._acceptor is not None:
            self._acceptor.begin()
        now_ns = monotonic_ns()
        gauge = self._gauges.sample(now_ns, thread_time_ns())
        requests = self._server.count_requests()
        self._sharing.look(gauge, now_ns)
        return Report(
            process=self._settings.process,
            pid=os.getpid(),
            epoch=epoch,
            seq=seq,
            ready=ready,
            draining=self._draining,
            serving=self._deployer.serving,
            staged=self._deployer.staged,
            faults=self._deployer.faults,
            connections=self._server.callers,
            requests=requests,
            errors=dict(self._server.problems.counts),
            shed=dict(self._sharing.shed),
            handed_over=self._server.hand_overs.count,
            forwarded=self._server.forwarding.count,
            executors=self._deployer.executors,
            queries=self._deployer.queries,
            busy=gauge.busy,
            delay_us=gauge.delay_us,
            rss_mb=gauge.rss_mb,
            faults_major=gauge.faults_major,
            costs=gauge.costs,
        )

    # -- draining --------------------------------------------------------------------

    def _begin_drain(self) -> None:
        """Told to leave, which is often heard before who else is there: that comes with the news that we are not."""
        if self._draining:
            return
        self._draining = True
        self._deadline = monotonic() + self._settings.drain_s
        self._acknowledge()
        self._leaving = self._loop.call_later(UNLISTED_S_MAX if self._peers.has_own else 0, self._leave)

    def _leave(self) -> None:
        """Nobody sends connections here any more; those here go to others, each between two of its requests."""
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        self._moved_s = self._looked_s = monotonic()
        self._inbox.close()
        if self._acceptor is not None:
            self._acceptor.end(take_queued=not self._peers.sharers(self._settings.compartment) > 1)
        if self._peers.is_alone:
            self._stay()
        else:
            self._server.hand_overs.leave()
            self._move()

    def _move(self) -> None:
        """A few at a time: others are served meanwhile. Late ones are cut off."""
        self._note_hold_up()
        moved = self._server.hand_overs.count
        left = self._server.hand_overs.move_idle()
        if self._server.hand_overs.count != moved:
            self._moved_s = monotonic()
        if not left:
            self._ended.set()
        elif self._peers.is_alone or monotonic() > self._moved_s + TAKEN_S_MAX:  # they leave as well
            self._stay()
        else:
            self._loop.call_later(MOVE_AGAIN_S, self._move)

    def _note_hold_up(self) -> None:
        """Time in which we stood still is nobody's fault."""
        now = monotonic()
        late_s, self._looked_s = now - self._looked_s, now
        if late_s > HELD_UP_S:
            self._deadline += late_s
            self._moved_s += late_s

    def _stay(self) -> None:
        """Nobody takes them: every answer is a connection's last."""
        self._server.drain()
        self._loop.call_later(IDLE_GRACE_S, self._end_when_empty)

    def _end_when_empty(self) -> None:
        """Requests in flight finish; who asks nothing is not waited for; late ones are cut off."""
        self._note_hold_up()
        self._server.close_idle()
        if not self._server.connections or monotonic() >= self._deadline:
            self._ended.set()
        else:
            self._loop.call_later(0.05, self._end_when_empty)


def main() -> None:
    Worker(msgspec.json.decode(sys.argv[1], type=WorkerSettings)).run()
    end()


if __name__ == "__main__":
    main()
