"""A worker: serves one compartment's services on connections it is handed.

Rule: it decides nothing about other processes. It follows the supervisor's facts, serves,
reports, hands on connections that belong elsewhere, and drains when told to.
"""

import asyncio
import os
import socket
import sys
from pathlib import Path
from time import monotonic, process_time

import msgspec

from compartments.channel import Inbox, Outbox
from compartments.deployer import Deployer
from compartments.follower import Follower
from compartments.peers import Peers
from compartments.process import WorkerSettings, start_loop
from engine.http.server import Server
from havok.messages import Report

IDLE_GRACE_S = 0.5  # how long a keep-alive connection may wait to be told that it ends


class Worker:
    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._loop = start_loop(self._begin_drain)
        self._ended = asyncio.Event()
        self._draining = False
        self._busy_since = (monotonic(), process_time())
        self._server = Server(self._loop, settings.compartment, self._pass_on)
        self._peers = Peers()
        self._outbox = Outbox()
        self._deployer = Deployer(self._server, Path(settings.data_dir), self._acknowledge)
        self._inbox = Inbox(self._server.reactor, settings.inbox, self._take)
        self._follower = Follower(self._loop, Path(settings.data_dir), settings.process, self._on_change, self._report)

    def run(self) -> None:
        """Until drained."""
        try:
            self._loop.run_until_complete(self._live())
        finally:
            self._loop.close()

    async def _live(self) -> None:
        await self._ended.wait()
        self._follower.close()
        self._inbox.close()
        self._server.close()
        await self._deployer.close()
        self._outbox.close()

    def _take(self, connection: socket.socket, received: bytes) -> None:
        self._server.accept(connection, received)

    def _pass_on(self, connection: socket.socket, received: bytes, compartment: str) -> bool:
        if self._peers.send(self._outbox, compartment, connection, received):
            return True
        return self._draining and self._peers.send(self._outbox, None, connection, received)

    # -- following -------------------------------------------------------------------

    def _on_change(self, entries: dict[str, bytes]) -> None:
        self._peers.follow(entries)
        self._outbox.keep(self._peers.paths)
        self._deployer.follow(entries)

    def _acknowledge(self) -> None:
        self._follower.acknowledge()

    def _report(self, epoch: int, seq: int) -> Report:
        since, cpu_since = self._busy_since
        now, cpu = self._busy_since = monotonic(), process_time()
        return Report(
            process=self._settings.process,
            pid=os.getpid(),
            epoch=epoch,
            seq=seq,
            ready=self._follower.replica.synced and self._deployer.settled and not self._draining,
            draining=self._draining,
            serving=self._deployer.serving,
            staged=self._deployer.staged,
            faults=self._deployer.faults,
            connections=len(self._server.connections),
            requests=self._server.count_requests(),
            errors=dict(self._server.problems.counts),
            handed_over=self._server.handed_over,
            executors=self._deployer.executors,
            queries=self._deployer.queries,
            busy=(cpu - cpu_since) / (now - since) if now > since else 0.0,
        )

    # -- draining --------------------------------------------------------------------

    def _begin_drain(self) -> None:
        if self._draining:
            return
        self._draining = True
        self._server.drain()
        self._acknowledge()
        self._loop.call_later(IDLE_GRACE_S, self._end_when_empty, monotonic() + self._settings.drain_s)

    def _end_when_empty(self, deadline: float) -> None:
        """Requests in flight finish; who waits for none goes to a worker that stays; late ones are cut off."""
        for connection in [connection for connection in self._server.connections if connection.idle]:
            self._server.hand_over(connection, self._settings.compartment)
        self._server.close_idle()  # when nobody stays
        if not self._server.connections or monotonic() >= deadline:
            self._ended.set()
        else:
            self._loop.call_later(0.05, self._end_when_empty, deadline)


def main() -> None:
    Worker(msgspec.json.decode(sys.argv[1], type=WorkerSettings)).run()


if __name__ == "__main__":
    main()
