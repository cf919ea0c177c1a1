"""`python -m bench.neighbour`: a medium compartment is saturated; what does the high one feel?

Rule: an open-loop client asks the high compartment at a fixed rate, latency from when each
request was due; 32 callers that never pause ask the medium one for aggregates of thousands of
rows. Rounds alternate, quiet and saturated, once with a core for each compartment and once on
a shared one. The client goes before all others on its core, which on a machine of two cores
the medium compartment and its callers have as well.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench import bars
from bench.apart import observe
from bench.arrivals import percentile_us
from bench.awake import awake
from bench.bars import Verdict, judge
from bench.cpu import Cores, assign_cores
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.node import Contents, Dataset, Node, Service, node_missing
from bench.process import StartFailed
from bench.questions import ROUTE_DELAYS, datasets, questions
from bench.report import Skipped, conclude, wide_console
from bench.workload import Request
from bench.wrk import wrk_drive, wrk_missing

VICTIM, HEAVY = "airport", ROUTE_DELAYS
CROWD_MORE_S = 2.0  # than the client asks: it comes before, and the client's process takes a moment to start
RATE = 1000.0  # of the victim: a tenth of a core


class Options(msgspec.Struct, frozen=True):
    rounds: int = 5
    seconds: float = 4.0


class Stretch(msgspec.Struct, frozen=True):
    """Medians over rounds, microseconds."""

    cores: str
    quiet_p50_us: float
    quiet_p99_us: float
    saturated_p50_us: float
    saturated_p99_us: float
    failed: int

    @property
    def p99_over(self) -> float:
        return self.saturated_p99_us / self.quiet_p99_us


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    stretches: tuple[Stretch, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]


def contents() -> Contents:
    found = datasets()
    heavy = questions()[HEAVY]
    return Contents(
        datasets={
            name: Dataset(source=found[name].source or "", key=found[name].key, indexes=found[name].indexes)
            for name in ("airports", "flights")
        },
        services={
            VICTIM: Service("airports", compartment="high"),
            HEAVY: Service(
                sql=heavy.settings.sql or "", params=msgspec.to_builtins(heavy.settings.params), compartment="medium"
            ),
        },
        priorities={"high": "high", "medium": "medium"},
    )


def _observe(node: Node, core: int, seconds: float) -> tuple[float, float, int]:
    """(p50, p99, failed) of the victim."""
    requests = [Request(f"/v1/{VICTIM}?faa=JFK").raw(node.port)]
    seen = observe(node.port, requests, RATE, core, lambda: time.sleep(seconds))
    return percentile_us(seen.latencies_ns, 0.5), percentile_us(seen.latencies_ns, 0.99), seen.failed


def stretch(directory: Path, cores: Cores, options: Options, *, shared: bool) -> Stretch:
    core_of = {"high": cores.server, "medium": cores.server if shared else cores.client}
    node = Node(directory, cores.server, contents(), loose=True, core_of=core_of)
    heavy = questions()[HEAVY]
    quiet, saturated, failed = [], [], 0
    try:
        node.start(f"/v1/{VICTIM}?faa=JFK", heavy.target(0))
        drive = wrk_drive(node.port, heavy.requests(), many=True, core=cores.client, script=directory / "heavy.lua")
        with awake((cores.server, cores.client)):
            _observe(node, cores.client, 0.5)  # warm, not kept
            for _ in range(options.rounds):
                quiet.append(_observe(node, cores.client, options.seconds))
                crowd = threading.Thread(target=drive, args=(options.seconds + CROWD_MORE_S,))
                crowd.start()
                time.sleep(0.5)  # for the crowd to be there
                saturated.append(_observe(node, cores.client, options.seconds))
                crowd.join()
    finally:
        node.stop()
    failed = sum(each[2] for each in (*quiet, *saturated))
    return Stretch(
        "shared" if shared else "own",
        median(each[0] for each in quiet),
        median(each[1] for each in quiet),
        median(each[0] for each in saturated),
        median(each[1] for each in saturated),
        failed,
    )


def measure(options: Options, console: Console) -> Report:
    cores = assign_cores()
    machine = look(cores)
    found: list[Stretch] = []
    skipped = []
    if reason := wrk_missing() or node_missing():
        skipped.append(Skipped("neighbour", reason, failed=node_missing() is not None))
    else:
        for shared in (False, True):
            with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory, console.status("rounds"):
                try:
                    found.append(stretch(Path(directory), cores, options, shared=shared))
                except StartFailed as failure:
                    skipped.append(Skipped("neighbour", str(failure), failed=True))
    by_cores = {each.cores: each.p99_over for each in found}
    verdicts = (
        judge(bars.NEIGHBOUR_OWN, by_cores.get("own")),
        judge(bars.NEIGHBOUR_SHARED, by_cores.get("shared")),
    )
    return Report(machine, options, tuple(found), verdicts, tuple(skipped))


def print_stretches(console: Console, found: Sequence[Stretch]) -> None:
    table = Table(title=f"the high compartment, {RATE:,.0f} requests/s due", title_justify="left")
    table.add_column("core", no_wrap=True)
    for heading in ("quiet p50 µs", "p99 µs", "saturated p50 µs", "p99 µs", "p99 over", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        times = (each.quiet_p50_us, each.quiet_p99_us, each.saturated_p50_us, each.saturated_p99_us)
        table.add_row(each.cores, *(f"{value:,.0f}" for value in times), f"{each.p99_over:.2f}", str(each.failed))
    console.print(table)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.neighbour", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=Options().rounds)
    parser.add_argument("--seconds", type=float, default=Options().seconds, help="length of each stretch")
    parser.add_argument("--small", action="store_true", help="one round of a second: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    options = Options(1, 1.0) if chosen.small else Options(chosen.rounds, chosen.seconds)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    print_stretches(console, report.stretches)
    conclude(console, report, small=chosen.small, json=chosen.json)


if __name__ == "__main__":
    main(sys.argv[1:])
