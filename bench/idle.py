"""`python -m bench.idle`: ten thousand connections that ask nothing, and what they cost.

Rule: every connection asks once, so that it is at the worker, and then waits. A worker's private memory is
read before the first and after the last of them; what the kernel keeps for a socket is not in it. An open-loop
client asks meanwhile, in rounds with and without them, from a process of its own before all others on its core.
"""

import argparse
import resource
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console

from bench import bars
from bench.apart import observe
from bench.arrivals import percentile_us
from bench.awake import awake
from bench.bars import Verdict, judge
from bench.cpu import assign_cores
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.neighbour import VICTIM, contents
from bench.node import Node, node_missing
from bench.process import StartFailed
from bench.report import Skipped, conclude, wide_console
from bench.start import memory_of
from bench.workload import Request

RATE = 1000.0
TARGET = f"/v1/{VICTIM}?faa=JFK"
SPARE_FDS = 200
TOGETHER = 100  # connections that are opened before the first of them is answered


class Options(msgspec.Struct, frozen=True):
    connections: int = 10_000
    rounds: int = 5
    seconds: float = 3.0


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    connections: int
    bytes_each: float | None
    free_p99_us: tuple[float, ...]
    crowded_p99_us: tuple[float, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]


@contextmanager
def idle(port: int, count: int) -> Iterator[None]:
    """So many connections at a worker, all of which have been answered once."""
    request = Request(TARGET).raw(port)
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            some = [
                socket.create_connection(("127.0.0.1", port), timeout=10)
                for _ in range(min(TOGETHER, count - len(held)))
            ]
            held += some
            for each in some:
                each.sendall(request)
            for each in some:
                if not each.recv(65536).startswith(b"HTTP/1.1 200 "):
                    raise StartFailed(f"connection {len(held)} was not served")
        yield
    finally:
        for each in held:
            each.close()


def _own_bytes(pid: int) -> float:
    return memory_of(pid).own_mb * 1e6


def _p99_us(node: Node, core: int, seconds: float) -> float:
    seen = observe(node.port, [Request(TARGET).raw(node.port)], RATE, core, lambda: time.sleep(seconds))
    if seen.failed:
        raise StartFailed(f"{seen.failed} requests failed: {seen.reasons}")
    return percentile_us(seen.latencies_ns, 0.99)


def measure(options: Options, console: Console) -> Report:
    cores = assign_cores()
    machine = look(cores)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(options.connections, most - SPARE_FDS)
    each: float | None = None
    free: list[float] = []
    crowded: list[float] = []
    skipped = []
    if reason := node_missing():
        skipped.append(Skipped("idle", reason, failed=True))
    else:
        with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory:
            core_of = {"high": cores.server, "medium": cores.client}
            node = Node(Path(directory), cores.server, contents(), loose=True, core_of=core_of)
            try:
                node.start(TARGET)
                with console.status("rounds"), awake((cores.server, cores.client)):
                    _p99_us(node, cores.client, 0.5)  # warm, not kept
                    (worker,) = node.status().compartments["high"].workers
                    for _ in range(options.rounds):
                        free.append(_p99_us(node, cores.client, options.seconds))
                        before = _own_bytes(worker.pid)
                        with idle(node.port, count):
                            if each is None:  # later ones find what earlier ones left
                                each = (_own_bytes(worker.pid) - before) / count
                            crowded.append(_p99_us(node, cores.client, options.seconds))
            except (StartFailed, OSError) as failure:
                skipped.append(Skipped("idle", str(failure), failed=True))
            finally:
                node.stop()
    over = median(crowded) / median(free) if crowded else None
    verdicts = (
        judge(bars.IDLE_BYTES, None if each is None else each / 1024),
        judge(bars.IDLE_STEP, over),
    )
    return Report(machine, options, count, each, tuple(free), tuple(crowded), verdicts, tuple(skipped))


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=Options().rounds)
    parser.add_argument("--small", action="store_true", help="a few connections: does it run, not how much")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    options = Options(300, 1, 0.5) if chosen.small else Options(rounds=chosen.rounds)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    if report.bytes_each is not None:
        console.print(f"{report.connections:,} connections, {report.bytes_each:,.0f} bytes each", highlight=False)
        for name, found in (("without", report.free_p99_us), ("with", report.crowded_p99_us)):
            console.print(f"p99 µs {name}: {', '.join(f'{value:,.0f}' for value in found)}", highlight=False)
    conclude(console, report, small=chosen.small, json=chosen.json)


if __name__ == "__main__":
    main(sys.argv[1:])
