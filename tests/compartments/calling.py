"""A worker's server with analytical services on real executors, and callers on TCP; one thread drives all."""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from engine.analysis.analysis_program import AnalysisProgram, CompiledAnalysis
from engine.front import plan_service
from engine.http.connection import Connection
from engine.http.route import SqlRoute
from engine.http.server import Server
from engine.plan import Analysis
from engine.snapshot import open_snapshot
from havok.settings import ServiceSettings
from tests.compartments.querying import Querying, querying
from tests.engine.twinning import Twinned


class Calling:
    def __init__(self, asking: Querying, services: dict[str, str]) -> None:
        self.asking = asking
        self.drive = asking.drive
        self.executors = asking.executors
        self.server = Server(self.drive.loop, "one")
        self.snapshots = {name: open_snapshot(asking.data.place(name)) for name in asking.data.versions}
        self.routes = {name: self._route(name, sql) for name, sql in services.items()}
        self.server.deploy(self.routes)

    def _route(self, name: str, sql: str) -> SqlRoute:
        settings = ServiceSettings(kind="sql", sql=sql, compartment="one", analytical=True)
        plan = plan_service(name, settings, self.asking.data.manifests)
        assert isinstance(plan.access, Analysis)
        return SqlRoute(AnalysisProgram(CompiledAnalysis(plan, plan.access), self.snapshots, self.executors), b"now")

    def caller(self) -> "Caller":
        return Caller(self)

    def leases(self, dataset: str) -> int:
        return self.snapshots[dataset]._leases

    def close(self) -> None:
        self.server.close()
        for snapshot in self.snapshots.values():
            snapshot.release()


class Caller:
    def __init__(self, calling: Calling) -> None:
        self._calling = calling
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.socket = socket.create_connection(listener.getsockname())
            theirs, _ = listener.accept()
        self.socket.setblocking(False)
        theirs.setblocking(False)
        self.connection: Connection = calling.server.accept(theirs)
        self.received = b""

    def call(self, *services: str) -> None:
        """At once, the one behind the other."""
        self.socket.sendall(b"".join(b"GET /v1/%b HTTP/1.1\r\nHost: x\r\n\r\n" % name.encode() for name in services))

    def receive(self, what: bytes) -> None:
        """Until it has come."""

        def came() -> bool:
            with suppress(BlockingIOError):
                self.received += self.socket.recv(1 << 16)
            return what in self.received

        self._calling.drive.until(came, 20, f"{what!r} instead of {self.received[-500:]!r}")

    def ended(self) -> bool:
        """Reads what has come; whether that was the end."""
        with suppress(BlockingIOError):
            data = self.socket.recv(1 << 20)
            self.received += data
            return not data
        return False

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@contextmanager
def calling(data: Twinned, services: dict[str, str], **settings: Any) -> Iterator[Calling]:
    with querying(data, **settings) as asking:
        made = Calling(asking, services)
        try:
            yield made
        finally:
            made.close()
