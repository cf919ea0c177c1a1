"""`python -m bench.start`: from the command to the first answer, and a worker's memory.

Rule: the snapshots are there before the clock starts; the clock runs from the moment the
process is started to the first 200 of a service. Nothing is pinned: this is how a person
starts it. A worker's private memory (USS) is read after it has answered every kind of
request. Pages of a mapped snapshot are the system's cache of a file: Linux counts them as
private for as long as one process alone has touched them, so they are shown apart and the
bar is for the rest.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
import psutil
from rich.console import Console

from bench import bars
from bench.bars import Verdict, judge
from bench.cpu import assign_cores
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.node import Node, node_missing
from bench.peers.havok import CONTENTS, READY
from bench.process import StartFailed, get
from bench.report import Skipped, conclude, wide_console
from bench.workload import read_workload
from havok.manifest import ROWS_FILE

_LOOKUPS = 500  # of each kind before memory is read
_MB = 1e6


class Options(msgspec.Struct, frozen=True):
    rounds: int = 7


class Memory(msgspec.Struct, frozen=True):
    """Private memory of one worker in MB: its own, and the pages of snapshots it has touched."""

    own_mb: float
    snapshot_mb: float


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    seconds: tuple[float, ...]
    memory: tuple[Memory, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]


def memory_of(pid: int) -> Memory:
    process = psutil.Process(pid)
    maps = process.memory_maps(grouped=True)
    snapshots = sum(each.private_clean for each in maps if each.path.endswith(f"/{ROWS_FILE}"))
    return Memory((process.memory_full_info().uss - snapshots) / _MB, snapshots / _MB)


def start_once(node: Node) -> tuple[float, Memory]:
    """Starts and stops the node → (seconds to the first 200, memory of its largest worker)."""
    started = time.monotonic()
    node.start(READY)
    seconds = time.monotonic() - started
    try:
        workload = read_workload()
        airports = workload.airport_lookups("/v1/airport?faa={}")[:_LOOKUPS]
        flights = workload.flight_lookups("flight")[:_LOOKUPS]
        brief = workload.flight_lookups("flight_brief")[:_LOOKUPS]
        node.wait_for(flights[0].target, brief[0].target)  # the first start is still loading them
        for request in (*airports, *flights, *brief):
            answer = get(node.port, request.target)
            if answer is None or answer[0] != 200:
                raise StartFailed(f"{request.target} got {answer[0] if answer else 'no answer'}")
        return seconds, max((memory_of(pid) for pid in node.status().worker_pids), key=lambda found: found.own_mb)
    finally:
        node.stop()


def measure(options: Options, console: Console) -> Report:
    machine = look(assign_cores())
    seconds: list[float] = []
    memory: list[Memory] = []
    skipped = []
    if reason := node_missing():
        skipped.append(Skipped("start", reason, failed=True))
    else:
        with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory:
            node = Node(Path(directory), None, CONTENTS)
            try:
                with console.status("loading the datasets"):
                    start_once(node)
                for number in range(options.rounds):
                    with console.status(f"start {number + 1} of {options.rounds}"):
                        elapsed, used = start_once(node)
                    seconds.append(elapsed)
                    memory.append(used)
            except StartFailed as failure:
                skipped.append(Skipped("start", str(failure), failed=True))
            finally:
                node.stop()
    verdicts = (
        judge(bars.START, median(seconds) if seconds else None),
        judge(bars.WORKER_USS, max(each.own_mb for each in memory) if memory else None),
    )
    return Report(machine, options, tuple(seconds), tuple(memory), verdicts, tuple(skipped))


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.start", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=Options().rounds)
    parser.add_argument("--small", action="store_true", help="one start: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    options = Options(rounds=1 if chosen.small else chosen.rounds)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    if report.seconds:
        shown = ", ".join(f"{each:.2f}" for each in report.seconds)
        console.print(f"seconds to the first 200: {shown}", highlight=False)
        own = ", ".join(f"{each.own_mb:.1f} + {each.snapshot_mb:.1f}" for each in report.memory)
        console.print(f"MB private to the worker + touched pages of its snapshots: {own}", highlight=False)
    conclude(console, report, small=chosen.small, json=chosen.json)


if __name__ == "__main__":
    main(sys.argv[1:])
