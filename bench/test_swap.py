"""A swap inside one worker, and what its requests cost around it.

The server runs on one end of a socket pair, driven by hand: no process, no gate, no wire.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from pytest_benchmark.fixture import BenchmarkFixture

from bench.snapshots import load, loaded
from bench.workload import AIRPORTS, Request, Workload, read_workload
from engine.http.route import Route
from engine.http.server import Server
from engine.plan import Point
from engine.planner import plan_lookup
from engine.program import Compiled, Program
from engine.snapshot import Snapshot, open_snapshot
from havok.layout import version_dir
from havok.settings import ServiceSettings

SERVICE = "airport"
SETTINGS = ServiceSettings(kind="kv", dataset="airports", compartment="bench")
_RECV_BYTES = 65536


@pytest.fixture(scope="module")
def workload() -> Workload:
    return read_workload()


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Snapshot]:
    opened = loaded(tmp_path, "airports", ("faa",), str(AIRPORTS))
    yield opened
    opened.release()


@pytest.fixture
def server(snapshot: Snapshot) -> Iterator[Server]:
    loop = uvloop.new_event_loop()
    server = Server(loop, "bench")
    route = _route(server, snapshot)
    server.deploy({SERVICE: route})
    yield server
    server.close()
    route.program.close()
    loop.close()


def _route(server: Server, snapshot: Snapshot) -> Route:
    plan = plan_lookup(SERVICE, SETTINGS, snapshot.manifest)
    assert isinstance(plan.access, Point)
    return Route(Program(Compiled(plan, plan.access), {snapshot.dataset: snapshot}), server.date)


class Caller:
    """A client and the connection it is served on, one request at a time."""

    def __init__(self, server: Server) -> None:
        self._client, served = socket.socketpair()
        self._client.settimeout(5)
        served.setblocking(False)
        self._connection = server.accept(served)

    def call(self, request: bytes) -> bytes:
        self._client.send(request)
        self._connection.on_readable()
        return self._client.recv(_RECV_BYTES)

    def close(self) -> None:
        self._client.close()
        self._connection.close()


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    caller = Caller(server)
    yield caller
    caller.close()


def test_request_like_the_one_before(benchmark: BenchmarkFixture, caller: Caller) -> None:
    request = Request("/v1/airport?faa=JFK").raw(80)
    assert benchmark(caller.call, request).startswith(b"HTTP/1.1 200")


def test_request_with_another_head(benchmark: BenchmarkFixture, caller: Caller, workload: Workload) -> None:
    requests = [request.raw(80) for request in workload.traced_lookups("/v1/airport?faa={}")]
    asked = iter(requests * 1000)
    assert benchmark(lambda: caller.call(next(asked))).startswith(b"HTTP/1.1 200")


def test_batch_request(benchmark: BenchmarkFixture, caller: Caller, workload: Workload) -> None:
    request = workload.airport_batches(SERVICE)[0].raw(80)
    assert benchmark(caller.call, request).startswith(b"HTTP/1.1 200")


def test_opening_a_version(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """Off the loop in a worker: verify, warm, map."""
    result = load(tmp_path, "airports", ("faa",), str(AIRPORTS))
    directory = version_dir(tmp_path, "airports", result.version)

    def open_and_release() -> Snapshot:
        opened = open_snapshot(directory)
        opened.release()
        return opened

    assert benchmark(open_and_release).closed


def test_flip(benchmark: BenchmarkFixture, server: Server, snapshot: Snapshot) -> None:
    """Between two requests: the new route is ready, this puts it in the table."""
    route = _route(server, snapshot)
    benchmark(server.deploy, {SERVICE: route})
    assert server.fast[b"GET /v1/airport"] is route
    route.program.close()
