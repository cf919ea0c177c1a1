"""`python -m bench.shedding`: what a refusal costs next to the request that it refuses, and what measuring costs.

Rule: one process and the worker's own loop, driven by hand over TCP: 32 requests are sent, then a tick of the
reactor is timed by the thread's CPU, then the answers are read. Only the tick counts, which reads, answers
and writes; rounds alternate between the rows, a figure is the median of the rounds.
"""

import argparse
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import thread_time_ns

import uvloop
from rich.table import Table

from bench.report import wide_console
from bench.snapshots import loaded
from bench.workload import AIRPORTS, BATCH_KEYS, Request, Workload, read_workload
from engine.http.route import Route
from engine.http.server import Server
from engine.plan import Point
from engine.planner import plan_lookup
from engine.program import Compiled, Program
from engine.shares import Ration
from engine.snapshot import Snapshot
from havok.settings import ServiceSettings

CALLERS = 32
TICKS = 100
ROUNDS = 15
_SPENT = Ration(cost_ns=1.0, price=1e15, burst_ns=0, rest_s=0.0)  # by a microsecond, for years
FREE, MEASURED, REFUSED = "free", "measured", "refused"
GET, TRACED, BATCH = "kv GET", "kv GET, new traceparent each time", f"batch of {BATCH_KEYS} keys"


class Worker:
    """A server, its loop, and callers on keep-alive connections."""

    def __init__(self, snapshot: Snapshot) -> None:
        plan = plan_lookup("airport", ServiceSettings("kv", "bench", "airports"), snapshot.manifest)
        assert isinstance(plan.access, Point)
        self.loop = uvloop.new_event_loop()
        self.server = Server(self.loop, "bench")
        self.route = Route(Program(Compiled(plan, plan.access), {snapshot.dataset: snapshot}), self.server.date)
        self.server.deploy({"airport": self.route})
        self.callers: list[socket.socket] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            for _ in range(CALLERS):
                caller = socket.create_connection(listener.getsockname())
                theirs, _ = listener.accept()
                for side in (caller, theirs):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                theirs.setblocking(False)
                self.server.accept(theirs)
                self.callers.append(caller)

    def set(self, state: str) -> None:
        self.server.measure(state != FREE)
        if state == REFUSED:
            self.route.budget.allot(_SPENT)
            self.route.budget.charge(1000)

    def tick_ns(self, requests: Sequence[bytes], status: bytes) -> float:
        """CPU of the loop's thread for each of them."""
        for caller, request in zip(self.callers, requests, strict=True):
            caller.sendall(request)
        meter = self.server.meter
        tick: Callable[[], None] = self.server.reactor._tick
        if self.server.measured:
            tick = lambda: self.server.reactor._measured_tick(meter)  # noqa: E731
        begun = thread_time_ns()
        tick()
        took = thread_time_ns() - begun
        for caller in self.callers:
            assert caller.recv(1 << 18).startswith(b"HTTP/1.1 " + status)
        return took / len(requests)

    def close(self) -> None:
        for caller in self.callers:
            caller.close()
        self.server.close()
        self.loop.close()


def raw(requests: Sequence[Request]) -> list[bytes]:
    return [request.raw(8080) for request in requests]


def measure(workload: Workload, snapshot: Snapshot, rounds: int, ticks: int) -> dict[tuple[str, str], float]:
    """(request, state) → CPU µs."""
    asked = {
        GET: raw(workload.airport_lookups("/v1/airport?faa={}")),
        TRACED: raw(workload.traced_lookups("/v1/airport?faa={}")),
        BATCH: raw(workload.airport_batches("airport")),
    }
    rows = [(name, state) for name in asked for state in (FREE, MEASURED, REFUSED)]
    took: dict[tuple[str, str], list[float]] = {row: [] for row in rows}
    worker = Worker(snapshot)
    try:
        for number in range(rounds):
            for name, state in rows if number % 2 else rows[::-1]:
                requests = asked[name]
                worker.set(FREE)
                worker.tick_ns([requests[0]] * CALLERS, b"200")  # a header block is known from its second time on
                worker.set(state)
                status = b"503" if state == REFUSED else b"200"
                each = []
                for tick in range(ticks):
                    first = tick * CALLERS
                    each.append(worker.tick_ns([requests[(first + i) % len(requests)] for i in range(CALLERS)], status))
                took[name, state].append(statistics.median(each) / 1000)
    finally:
        worker.close()
    return {row: statistics.median(found) for row, found in took.items()}


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.shedding", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--small", action="store_true", help="does it run, not how fast")
    small = parser.parse_args(argv).small
    with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory:
        snapshot = loaded(Path(directory), "airports", ("faa",), str(AIRPORTS))
        try:
            found = measure(read_workload(), snapshot, 2 if small else ROUNDS, 2 if small else TICKS)
        finally:
            snapshot.release()
    table = Table("request", FREE, MEASURED, REFUSED, f"{MEASURED} / {FREE}", f"{REFUSED} / {FREE}")
    for name in (GET, TRACED, BATCH):
        free, measured, refused = (found[name, state] for state in (FREE, MEASURED, REFUSED))
        figures = (f"{free:.2f} µs", f"{measured:.2f} µs", f"{refused:.2f} µs")
        table.add_row(name, *figures, f"{measured / free:.2f}", f"{refused / free:.2f}")
    wide_console().print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
