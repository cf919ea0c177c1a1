"""`python -m bench.mixed`: connections that ask services of two compartments in turn, as a load balancer's do.

Rule: two nodes, alike but for one thing: one forwards, the other always hands the connection over.
First what a request costs, CPU of gate and both workers, rounds interleaved: on connections that stay,
that alternate and are forwarded for, that alternate and are handed over. Then how long high-priority
requests of alternating connections take while the low compartment is saturated by others. Each
stretch of that has connections of its own; all processes of both nodes run on the server's core.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench import bars, handing, node
from bench.arrivals import percentile_us
from bench.bars import Verdict, judge
from bench.contest import Contest, Options
from bench.cpu import assign_cores, pinned
from bench.cycles import Cycles, Seen, Step
from bench.http import end_on_sigterm
from bench.machine import Machine, look
from bench.node import Contents, Dataset, Node, Service, node_missing
from bench.peer import Drive, Place, Running
from bench.questions import ROUTE_DELAYS, datasets, questions
from bench.report import Figures, Row, Skipped, conclude, figures, print_figures, wide_console
from bench.workload import Request
from bench.wrk import CONNECTIONS, ClientFailed, Observed

HIGH, LOW, HEAVY = "airport", "airport_low", ROUTE_DELAYS  # services: one of high priority, two of low
STAYS = "havok, one compartment"
FORWARDED = "havok, two in turn, forwarded"
HANDED = "havok, two in turn, handed over"
MIXED, LOADING = 4, 16  # connections that alternate, and that saturate the low compartment


class Waits(msgspec.Struct, frozen=True):
    """High-priority requests of mixed connections, microseconds."""

    name: str
    requests: int
    p50_us: float
    p99_us: float
    max_us: float
    low_p50_us: float  # of the low-priority ones of the same connections
    failed: int  # of all


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    options: Options
    rows: tuple[Figures, ...]
    waits: tuple[Waits, ...]
    bars: tuple[Verdict, ...]
    skipped: tuple[Skipped, ...]
    measured: tuple[Row, ...]


def contents() -> Contents:
    heavy = questions()[HEAVY].settings
    return Contents(
        datasets={
            name: Dataset(source=found.source or "", key=found.key, indexes=found.indexes)
            for name, found in datasets().items()
        },
        services={
            HIGH: Service("airports", compartment="upper"),
            LOW: Service("airports", compartment="lower"),
            HEAVY: Service(sql=heavy.sql or "", params=msgspec.to_builtins(heavy.params), compartment="lower"),
        },
        priorities={"upper": "high", "lower": "low"},
    )


class Mixed:
    """A node as a peer of the contest. `drives`: name → the services asked in turn."""

    def __init__(self, name: str, program: str, drives: dict[str, tuple[str, ...]]) -> None:
        self.name = name
        self._program = program
        self._drives = drives
        self.port = 0

    def unavailable(self) -> str | None:
        return node_missing()

    def start(self, place: Place) -> Running:
        started = Node(place.directory, place.cores.server, contents(), self._program)
        heavy = questions()[HEAVY].target(0)
        started.start(*(f"/v1/{service}?faa=JFK" for service in (HIGH, LOW)), heavy)
        try:
            self.port = started.port
            drives = tuple(
                Drive(name, "cycles", self._drive(place.cores.client, list(place.workload.airports), services))
                for name, services in self._drives.items()
            )
            return Running(started.serving_pids(), drives, started.stop)
        except BaseException:
            started.stop()
            raise

    def _drive(self, core: int, codes: Sequence[str], services: tuple[str, ...]) -> Callable[[float], Observed]:
        def cycle(first: int) -> list[Step]:
            asked = [*codes[first:], *codes[:first]]
            return [Step(name, lookup(name, code, self.port)) for code in asked for name in services]

        cycles = [cycle(number * 40) for number in range(CONNECTIONS)]

        def drive(seconds: float) -> Observed:
            before = time.process_time()
            seen = run(self.port, cycles, core, seconds)
            took, busy = seen.all_ns(), (time.process_time() - before) / seen.seconds
            p50_us, p99_us = percentile_us(took, 0.5), percentile_us(took, 0.99)
            return Observed(seen.requests, seen.seconds, p50_us, p99_us, seen.failed, busy)

        return drive


def lookup(service: str, code: str, port: int) -> bytes:
    return Request(f"/v1/{service}?faa={code}").raw(port)


def run(port: int, cycles: Sequence[Sequence[Step]], core: int, seconds: float) -> Seen:
    """On connections of its own. Raises ClientFailed."""
    with pinned(core):
        client = Cycles(port, cycles)
        try:
            return client.run(seconds)
        except OSError as error:
            raise ClientFailed(str(error)) from None
        finally:
            client.close()


PEERS = (
    Mixed("havok", node.PROGRAM, {STAYS: (HIGH,), FORWARDED: (HIGH, LOW)}),
    Mixed("havok, hand-off only", handing.PROGRAM, {HANDED: (HIGH, LOW)}),
)


def saturated(port: int, core: int, seconds: float) -> Seen:
    """A stretch in which connections alternate between high and low priority while others keep the low worker busy."""
    heavy = [Step("loading", request.raw(port)) for request in questions()[HEAVY].requests()]
    mixed = [Step("high", lookup(HIGH, "JFK", port)), Step("low", lookup(LOW, "JFK", port))]
    return run(port, [mixed] * MIXED + [heavy[n:] + heavy[:n] for n in range(LOADING)], core, seconds)


def waits(name: str, stretches: Sequence[Seen]) -> Waits:
    """Of all stretches together: there are few such requests in each."""
    high = [took for seen in stretches for took in seen.all_ns("high")]
    low = [took for seen in stretches for took in seen.all_ns("low")]
    p50_us, p99_us, max_us = (percentile_us(high, share) for share in (0.5, 0.99, 1))
    failed = sum(seen.failed for seen in stretches)
    return Waits(name, len(high), p50_us, p99_us, max_us, percentile_us(low, 0.5), failed)


def differences(rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """CPU µs of one hand-off, and of forwarding one request, over a request on a connection that stays.

    Each of a round's own: every request of HANDED took its connection along, every second of FORWARDED went alone.
    """
    by_name = {row.name: row for row in rows}
    if not {STAYS, FORWARDED, HANDED} <= by_name.keys():
        return None, None
    rounds = list(zip(*(by_name[name].rounds for name in (STAYS, FORWARDED, HANDED)), strict=False))
    handed = median(handed.cpu_us - stays.cpu_us for stays, _, handed in rounds)
    forwarded = median(2 * (forwarded.cpu_us - stays.cpu_us) for stays, forwarded, _ in rounds)
    return handed, forwarded


def verdicts(rows: Sequence[Row], found: Sequence[Waits]) -> tuple[Verdict, ...]:
    handed, forwarded = differences(rows)
    ratio = forwarded / handed if handed and forwarded is not None else None
    p99_ms = {each.name: each.p99_us / 1e3 for each in found}
    return (
        judge(bars.HAND_OFF, handed),
        judge(bars.FORWARD, forwarded),
        judge(bars.FORWARD_OVER_HAND_OFF, ratio),
        judge(bars.MIXED_HIGH_WAIT, p99_ms.get(PEERS[0].name)),
    )


def measure(options: Options, console: Console) -> Report:
    cores = assign_cores()
    machine = look(cores)
    contest = Contest(options, console)
    stretches: dict[str, list[Seen]] = {}
    with tempfile.TemporaryDirectory(prefix="havok-bench-") as directory, ExitStack() as stack:
        contest.start(PEERS, cores, Path(directory), stack)
        contest.run()
        for number in range(options.rounds):
            for peer in PEERS if number % 2 == 0 else PEERS[::-1]:
                if peer.name not in contest.running:
                    continue
                with console.status(f"round {number + 1} of {options.rounds}: {peer.name}, low saturated"):
                    try:
                        seen = saturated(peer.port, cores.client, options.seconds)
                        stretches.setdefault(peer.name, []).append(seen)
                    except ClientFailed as failure:
                        contest.leave(f"{peer.name}, low saturated", str(failure))
    rows = contest.rows()
    found = tuple(waits(name, stretches[name]) for name in sorted(stretches))
    return Report(
        machine,
        options,
        tuple(figures(row, None) for row in rows),
        found,
        verdicts(rows, found),
        tuple(contest.skipped),
        tuple(rows),
    )


def print_waits(console: Console, found: Sequence[Waits]) -> None:
    table = Table(
        title=f"{MIXED} mixed connections, the low compartment saturated by {LOADING} others", title_justify="left"
    )
    table.add_column("node", no_wrap=True)
    for heading in ("high asked", "p50 µs", "p99 µs", "max µs", "low p50 µs", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in found:
        numbers = (each.requests, each.p50_us, each.p99_us, each.max_us, each.low_p50_us, each.failed)
        table.add_row(each.name, *(f"{value:,.0f}" for value in numbers))
    console.print(table)


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mixed", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each stretch")
    parser.add_argument("--small", action="store_true", help="one round of 0.5 s: does it run, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured there too")
    chosen = parser.parse_args(argv)
    options = Options(rounds=chosen.rounds, seconds=chosen.seconds)
    if chosen.small:
        options = Options(rounds=1, seconds=0.5, small=True)
    end_on_sigterm()
    console = wide_console()
    report = measure(options, console)
    print_figures(console, report.rows, f"{options.rounds} × {options.seconds:g} s, {CONNECTIONS} connections")
    print_waits(console, report.waits)
    conclude(console, report, small=chosen.small, json=chosen.json)


if __name__ == "__main__":
    main(sys.argv[1:])
